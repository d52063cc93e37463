"""Models on disk: round trips with and without networks of ice cells, the same bytes, damage refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as parse

from glacierscale.folds import ALL, Fold, FoldPlan
from glacierscale.models.bundle import SMBModel
from glacierscale.models.form import Form, draw
from glacierscale.models.raster import RasterNet

FORM = Form(
    kind="hybrid",
    slack=0.3,
    sigma_k=4.5,
    units=("RGI60-11.00001", "RGI60-11.00002"),
    kinds=("annual", "point"),
    targets=("annual", "winter", "point"),
    channels=("elevation", "slope", "shade"),
    reference_elevation=2712.5,
    kernel=5,
    hidden=(6, 4),
)
FOLDS, MEMBERS = 3, 2
PLAN = FoldPlan(
    folds=(
        Fold(scheme=ALL, name="nothing", train=np.arange(7), test=np.array([], int)),
        Fold(
            scheme="lsygo",
            name="G1 in 1999-2003",
            train=np.array([0, 5]),
            test=np.array([1, 2, 6]),
            glaciers=("G1", "Süd 2"),
            years=(1999, 2003),
        ),
        Fold(scheme="halves", name="the north", train=np.array([3]), test=np.array([4, 5])),
    )
)


def raster_net(form: Form, seed: int) -> RasterNet:
    drawn = draw(form, FOLDS * MEMBERS, seed)
    rng = np.random.default_rng(seed)
    return RasterNet(
        form=form,
        parameters={
            name: rng.normal(size=(FOLDS, MEMBERS, *value.shape[1:])).astype(np.float32)
            for name, value in drawn.items()
        },
    )


@pytest.fixture(scope="module")
def with_rasters(model: SMBModel) -> SMBModel:
    """The trained model with two networks of ice cells whose parameters are noise, and their own plan."""
    nets = {"hybrid": raster_net(FORM, 1), "cnn": raster_net(dataclasses.replace(FORM, kind="cnn", slack=1.0), 2)}
    left = {"hybrid": np.array([[150.0, np.nan]] * FOLDS), "cnn": np.arange(6.0).reshape(FOLDS, 2)}
    return dataclasses.replace(
        model,
        rasters=nets,
        raster_plan=PLAN,
        raster_residual=left,
        unseen_std={**model.unseen_std, "hybrid": 210.0},
        best_observed="hybrid",
        row_kind="observation",
    )


def assert_same_plan(one: FoldPlan, other: FoldPlan) -> None:
    assert len(one.folds) == len(other.folds)
    for a, b in zip(one.folds, other.folds, strict=True):
        assert (a.scheme, a.name, a.glaciers, a.years) == (b.scheme, b.name, b.glaciers, b.years)
        np.testing.assert_array_equal(a.train, b.train)
        np.testing.assert_array_equal(a.test, b.test)


def test_a_saved_model_predicts_what_it_predicted_before(model: Any, rows: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    again = SMBModel.load(tmp_path / "m")
    for net in model.nets:
        for fold in range(len(model.plan.folds)):
            np.testing.assert_array_equal(again.predict(rows.design, net, fold), model.predict(rows.design, net, fold))
    for name in ("predictors", "residual_std", "unseen_std", "best_observed", "best_unobserved", "stamp", "row_kind"):
        assert json.dumps(getattr(again, name), default=str) == json.dumps(getattr(model, name), default=str)
    for net, left in model.unseen_left.items():
        np.testing.assert_array_equal(again.unseen_left[net], left)
    assert again.recipe == model.recipe
    np.testing.assert_array_equal(again.unit_id, model.unit_id)
    np.testing.assert_array_equal(again.hydro_year, model.hydro_year)


def test_without_networks_of_ice_cells_there_is_no_trace_of_any(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    again = SMBModel.load(tmp_path / "m")
    assert (dict(again.rasters), dict(again.raster_residual), again.raster_plan.folds) == ({}, {}, ())
    assert not [name for name in parse((tmp_path / "m" / "weights.safetensors").read_bytes()) if "raster" in name]


def test_plans_keep_their_rows_and_the_glaciers_and_years_they_hold_out(with_rasters: SMBModel, tmp_path: Path) -> None:
    with_rasters.save(tmp_path / "m")
    again = SMBModel.load(tmp_path / "m")
    assert_same_plan(again.plan, with_rasters.plan)
    assert_same_plan(again.raster_plan, PLAN)
    assert any(fold.glaciers and fold.years for fold in again.plan.folds)
    assert {type(year) for fold in again.plan.folds for year in fold.years} == {int}


def test_networks_of_ice_cells_come_back_with_form_and_parameters(with_rasters: SMBModel, tmp_path: Path) -> None:
    with_rasters.save(tmp_path / "m")
    again = SMBModel.load(tmp_path / "m")
    assert set(again.rasters) == {"hybrid", "cnn"}
    for name, net in with_rasters.rasters.items():
        found = again.rasters[name]
        assert found.form == net.form
        assert hash(found.form) == hash(net.form)  # lists would not be hashable
        assert set(found.parameters) == set(net.parameters) == set(net.form.shapes)
        for key, value in net.parameters.items():
            np.testing.assert_array_equal(found.parameters[key], value, err_msg=key)
            assert found.parameters[key].dtype == np.float32
        np.testing.assert_array_equal(again.raster_residual[name], with_rasters.raster_residual[name])
        assert again.members_of(name) == MEMBERS
    assert (again.best_observed, again.row_kind, again.unseen_std["hybrid"]) == ("hybrid", "observation", 210.0)
    assert set(again.nets) == {"lasso", "mlp"}


def test_a_model_of_networks_of_ice_cells_alone_comes_back(with_rasters: SMBModel, tmp_path: Path) -> None:
    alone = dataclasses.replace(with_rasters, nets={}, residual_std={}, predictors=())
    alone.save(tmp_path / "m")
    again = SMBModel.load(tmp_path / "m")
    assert (dict(again.nets), again.predictors, set(again.rasters)) == ({}, (), {"hybrid", "cnn"})
    assert again.residual_of("hybrid") == 150.0


def test_saving_twice_gives_the_same_bytes_and_no_pickle(
    model: SMBModel, with_rasters: SMBModel, tmp_path: Path
) -> None:
    for which, saved in (("plain", model), ("rasters", with_rasters)):
        one, other = tmp_path / which / "a", tmp_path / which / "b"
        saved.save(one)
        SMBModel.load(one).save(other)
        assert sorted(p.name for p in one.iterdir()) == ["model.json", "weights.safetensors"]
        for name in ("model.json", "weights.safetensors"):
            assert (one / name).read_bytes() == (other / name).read_bytes()


@dataclasses.dataclass
class Elsewhere:
    """A place that is no folder of this machine, with the order in which files came."""

    url: str = "s3://ice/model"
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)

    def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    def write(self, name: str, data: bytes) -> None:
        self.files[name] = data


def test_a_model_goes_to_any_place_that_reads_and_writes_with_the_bytes_of_a_local_one_the_description_last(
    with_rasters: SMBModel, tmp_path: Path
) -> None:
    place = Elsewhere()
    with_rasters.save(place)
    with_rasters.save(tmp_path)
    assert list(place.files) == ["weights.safetensors", "model.json"]
    assert place.files == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert_same_plan(SMBModel.load(place).raster_plan, PLAN)
    place.files["weights.safetensors"] = b"ice"
    with pytest.raises(ValueError, match=r"s3://ice/model/weights\.safetensors does not have the checksum"):
        SMBModel.load(place)
    with pytest.raises(FileNotFoundError, match=r"no model at s3://ice/model: model\.json is missing"):
        SMBModel.load(Elsewhere())


def test_a_bare_url_is_refused_and_says_what_to_pass(with_rasters: SMBModel) -> None:
    for work in (with_rasters.save, SMBModel.load):
        with pytest.raises(ValueError, match=r"s3://ice/model is a URL.*pass glacierscale\.store\.Files\.at\(URL\)"):
            work("s3://ice/model")


def test_damaged_weights_are_refused(with_rasters: SMBModel, tmp_path: Path) -> None:
    with_rasters.save(tmp_path / "m")
    weights = tmp_path / "m" / "weights.safetensors"
    whole = weights.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for data in (bytes(flipped), whole[:-1], b""):
        weights.write_bytes(data)
        with pytest.raises(ValueError, match=r"does not have the checksum that model.json states\. Remove it and run"):
            SMBModel.load(tmp_path / "m")


def test_a_description_that_was_cut_off_is_refused(model_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(model_folder, tmp_path / "m")
    about = tmp_path / "m" / "model.json"
    about.write_bytes(about.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"model\.json is no JSON \(.*\)\. Remove it and run `glacierscale train`"):
        SMBModel.load(tmp_path / "m")


def test_another_format_and_no_model_are_refused(model_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(model_folder, tmp_path / "m")
    about = json.loads((tmp_path / "m" / "model.json").read_text())
    for number in (2, 99):
        (tmp_path / "m" / "model.json").write_text(json.dumps(about | {"format": number}))
        with pytest.raises(ValueError, match=f"holds a model of format {number}, expected 3. Remove it and run"):
            SMBModel.load(tmp_path / "m")
    with pytest.raises(FileNotFoundError, match=r"no model at .*nothing: model.json is missing"):
        SMBModel.load(tmp_path / "nothing")


def test_a_form_that_cannot_be_is_refused_on_reading(with_rasters: SMBModel, tmp_path: Path) -> None:
    with_rasters.save(tmp_path / "m")
    about = json.loads((tmp_path / "m" / "model.json").read_text())
    about["rasters"]["hybrid"]["kernel"] = 4
    (tmp_path / "m" / "model.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="kernel is 4; expected 1, 3, 5 or 7 cells"):
        SMBModel.load(tmp_path / "m")


def test_the_fingerprint_of_a_model_is_that_of_its_weights_too_saved_or_not(
    with_rasters: SMBModel, tmp_path: Path
) -> None:
    with_rasters.save(tmp_path / "m")
    assert SMBModel.load(tmp_path / "m").fingerprint == with_rasters.fingerprint != with_rasters.stamp.fingerprint
    others = {**with_rasters.rasters, "hybrid": raster_net(FORM, 3)}
    assert dataclasses.replace(with_rasters, rasters=others).fingerprint != with_rasters.fingerprint
    stamp = dataclasses.replace(with_rasters.stamp, version="0")
    assert dataclasses.replace(with_rasters, stamp=stamp).fingerprint != with_rasters.fingerprint
