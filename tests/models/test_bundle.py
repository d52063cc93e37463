"""The saved model: predictions, round trip, damage."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from glacierscale.models import bundle
from glacierscale.models.bundle import SMBModel
from glacierscale.models.physics import BIASES_K


def test_a_saved_model_predicts_what_it_predicted_before(model: Any, rows: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    again = SMBModel.load(tmp_path / "m")
    for net in model.nets:
        for fold in range(len(model.plan.folds)):
            np.testing.assert_array_equal(again.predict(rows.design, net, fold), model.predict(rows.design, net, fold))
    for name in ("predictors", "residual_std", "unseen_std", "best_observed", "best_unobserved", "stamp"):
        assert json.dumps(getattr(again, name), default=str) == json.dumps(getattr(model, name), default=str)
    for one, other in zip(again.plan.folds, model.plan.folds, strict=True):
        assert (one.scheme, one.name) == (other.scheme, other.name)
        np.testing.assert_array_equal(one.train, other.train)
        np.testing.assert_array_equal(one.test, other.test)


def test_saving_twice_gives_the_same_bytes_and_no_pickle(model: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        model.save(tmp_path / name)
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["model.json", "weights.safetensors"]
    for name in ("model.json", "weights.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_damaged_weights_are_refused(model_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(model_folder, tmp_path / "m")
    weights = tmp_path / "m" / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ValueError, match=r"does not have the checksum that model.json states; train again"):
        SMBModel.load(tmp_path / "m")


def test_another_format_and_no_model_are_refused(model_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(model_folder, tmp_path / "m")
    about = json.loads((tmp_path / "m" / "model.json").read_text())
    (tmp_path / "m" / "model.json").write_text(json.dumps(about | {"format": 99}))
    with pytest.raises(ValueError, match="holds a model of format 99, expected 1; train again"):
        SMBModel.load(tmp_path / "m")
    with pytest.raises(FileNotFoundError, match=r"no model at .*nothing: model.json is missing"):
        SMBModel.load(tmp_path / "nothing")


def test_an_unknown_net_is_refused(model: Any, rows: Any, features: Any) -> None:
    with pytest.raises(ValueError, match=r"the model has no net 'cnn'; it has \['lasso', 'mlp'\]"):
        model.predict(rows.design, "cnn")
    with pytest.raises(ValueError, match="no net 'cnn'"):
        model.reconstruct(features.open().load(), "cnn")


def test_the_prediction_is_the_base_and_the_correction(model: Any, rows: Any) -> None:
    base = model.base.predict(2, rows.design.snow, rows.design.degree_days)
    learned = model.nets["lasso"].members(2, model.scaler.transform(2, rows.design.predictors))
    np.testing.assert_allclose(model.predict(rows.design, "lasso", 2), base + learned)


def test_held_out_rows_are_predicted_by_the_fold_that_never_saw_them(model: Any, rows: Any) -> None:
    for scheme in ("logo", "lsygo"):
        held = model.held_out(rows.design, "mlp", scheme)
        np.testing.assert_array_equal(np.sort(held.row), np.arange(len(rows)))
        for row, fold in zip(held.row, held.fold, strict=True):
            assert row not in model.plan.folds[fold].train
        n = 7
        own = model.predict(rows.design.take(held.row[[n]]), "mlp", held.fold[n])[:, 0]
        assert held.mean[n] == pytest.approx(own.mean(), rel=1e-5)
        assert held.spread[n] == pytest.approx(own.std(ddof=1), rel=1e-3)
        np.testing.assert_allclose(held.std, np.hypot(held.spread, held.residual))


def test_a_single_member_has_no_spread_and_its_uncertainty_is_the_residual(model: Any, rows: Any) -> None:
    net = model.nets["lasso"]
    alone = dataclasses.replace(net, coefficient=net.coefficient[:, :1], intercept=net.intercept[:, :1])
    held = dataclasses.replace(model, nets={"lasso": alone}).held_out(rows.design, "lasso", "logo")
    np.testing.assert_array_equal(held.spread, 0)
    np.testing.assert_array_equal(held.std, held.residual)
    assert (held.std > 0).all()


def test_the_true_process_is_recovered_within_the_noise(model: Any, rows: Any, region: SimpleNamespace) -> None:
    assert model.base.degree_day_factor[0] == pytest.approx(region.degree_day_factor, rel=0.15)
    assert model.base.precip_factor[0] == pytest.approx(region.precip_factor, rel=0.15)
    assert abs(BIASES_K[model.base.bias[0]]) <= 0.5
    for net in model.nets:
        held = model.held_out(rows.design, net, "logo")
        rmse = np.sqrt(np.mean((held.mean - rows.observed[held.row]) ** 2))
        assert rmse < 1.6 * region.noise
        assert rmse < 0.25 * rows.observed.std()


def test_glaciers_that_were_never_observed_have_their_own_net_and_uncertainty(model: Any, features: Any) -> None:
    dataset = features.open().load()
    widened = dataclasses.replace(
        model, unseen_std=dict.fromkeys(model.nets, 999.0), best_observed="mlp", best_unobserved="lasso"
    )
    dataset["unit_id"] = ("glacier", np.array(["new", *dataset.unit_id.values[1:]]), dataset.unit_id.attrs)
    members, residual = widened.reconstruct(dataset)
    assert members.shape == (3, 6, 12)
    assert residual[0] == 999.0
    assert (residual[1:] == model.residual_std["mlp"][0]).all()
    for net, glacier in (("lasso", 0), ("mlp", 1)):
        np.testing.assert_array_equal(members[:, glacier], widened.reconstruct(dataset, net)[0][:, glacier])


def test_a_glacier_alone_is_reconstructed_as_among_others(model: Any, features: Any) -> None:
    dataset = features.open().load()
    whole, _ = model.reconstruct(dataset)
    alone, _ = model.reconstruct(dataset.isel(glacier=[3]))
    np.testing.assert_allclose(alone[:, 0], whole[:, 3], rtol=1e-5, atol=0.01)


def test_fold_weights_are_zero_outside_the_training_rows(model: Any) -> None:
    weight = np.linspace(1, 2, len(model.unit_id))
    found = bundle.fold_weights(model.plan, weight)
    for number, fold in enumerate(model.plan.folds):
        np.testing.assert_array_equal(np.flatnonzero(found[number]), np.sort(fold.train))
        np.testing.assert_array_equal(found[number, fold.train], weight[fold.train])
