"""Reconstruct: every glacier and year, streamed by blocks; whatever stops it, running again finishes it."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from glacierscale import provenance
from glacierscale.features.options import FeaturizeOptions
from glacierscale.features.tensors import featurize
from glacierscale.reconstruction import ReconstructOptions, reconstruct
from glacierscale.store import Store, StoreError
from tests.reconstruction.rewriting import rewritten
from tests.trees import digests

HALTING = """
import sys, threading
from pathlib import Path
from glacierscale.reconstruction import reconstruct
from glacierscale.store import Store
write, turn = Store.write, threading.Lock()
def halting(self, block, arrays):
    with turn:
        if len(list(Path(self.url).glob(".blocks/glacier-*.json"))) == int(sys.argv[4]):
            threading.Event().wait()
        write(self, block, arrays)
Store.write = halting
reconstruct(sys.argv[1], sys.argv[2], to=sys.argv[3])
"""
"""A reconstruction that writes some blocks and then waits to be killed."""


@pytest.fixture(scope="module")
def fine(write_cube_to: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features with one glacier to a block."""
    folder = tmp_path_factory.mktemp("fine")
    return Path(featurize(write_cube_to(folder / "cube.zarr", glaciers_per_block=1), to=folder / "features.zarr").url)


@pytest.fixture(scope="module")
def whole(model_folder: Path, fine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reconstruction that nothing interrupted."""
    return Path(reconstruct(model_folder, fine, to=tmp_path_factory.mktemp("whole") / "smb.zarr").url)


def test_every_glacier_and_year_is_predicted_by_every_member(model: Any, features: Any, tmp_path: Path) -> None:
    found = reconstruct(model, features, to=tmp_path / "smb.zarr").open().load()
    dataset = features.open().load()
    near, far = model.best_observed, model.best_unobserved
    observed = np.isin(dataset.unit_id.values, model.unit_id)
    members = np.where(observed[:, None], model.reconstruct(dataset, near), model.reconstruct(dataset, far))
    residual = np.where(observed, model.residual_of(near), model.unseen_std[far])
    assert found.sizes == {"glacier": 6, "hydro_year": 12, "member": 3}
    np.testing.assert_allclose(found.smb_member, members, rtol=1e-4, atol=0.02)
    np.testing.assert_allclose(found.smb, members.mean(axis=0), rtol=1e-4, atol=0.02)
    std = np.sqrt(members.var(axis=0, ddof=1) + residual[:, None] ** 2)
    np.testing.assert_allclose(found.smb_std, std, rtol=1e-3)
    np.testing.assert_array_equal(found.hydro_year, dataset.hydro_year)
    np.testing.assert_array_equal(found.glacier_id, dataset.glacier_id)


def test_the_truth_is_met_within_the_stated_uncertainty(
    model: Any, features: Any, region: SimpleNamespace, tmp_path: Path
) -> None:
    found = reconstruct(model, features, to=tmp_path / "smb.zarr").open().load()
    owner = dict(zip(found.glacier_id.values.tolist(), range(6), strict=True))
    for unit in ("RGI60-11.00001", "RGI60-11.00002", "RGI60-11.00003"):
        at = owner[unit]
        error = found.smb.values[at] - region.truth[unit]
        assert np.sqrt((error**2).mean()) < region.noise
        assert (np.abs(error) < 3 * found.smb_std.values[at]).mean() > 0.9


def test_blocks_do_not_change_the_prediction(model: Any, features: Any, whole: Path, tmp_path: Path) -> None:
    coarse = reconstruct(model, features, to=tmp_path / "smb.zarr").open().load()
    single = Store.at(whole).open().load()
    np.testing.assert_allclose(single.smb_member, coarse.smb_member, rtol=1e-4, atol=0.05)


@pytest.mark.parametrize("done", [1, 4])
def test_killed_after_some_blocks_and_run_again_the_bytes_are_the_same(
    model_folder: Path, fine: Path, whole: Path, tmp_path: Path, done: int
) -> None:
    target = tmp_path / "smb.zarr"
    words = [str(model_folder), str(fine), str(target), str(done)]
    running = subprocess.Popen([sys.executable, "-c", HALTING, *words])
    deadline = time.monotonic() + 240
    while len(list(target.glob(".blocks/glacier-*.json"))) < done:
        assert running.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    written = {p.name: p.stat().st_mtime_ns for p in target.glob(".blocks/glacier-*.json")}
    assert len(written) == done

    with pytest.raises(StoreError, match=f"is unfinished: {6 - done} blocks are missing"):
        Store.at(target).open()
    reconstruct(model_folder, fine, to=target)
    assert digests(target) == digests(whole)
    after = {p.name: p.stat().st_mtime_ns for p in target.glob(".blocks/glacier-*.json")}
    assert {name: after[name] for name in written} == written  # what was done was kept


@pytest.mark.parametrize("lost", [(0, 1, 2), (0, 3, 5), (1, 2, 4), (5,), tuple(range(6))], ids=str)
def test_whichever_blocks_are_missing_running_again_restores_the_bytes(
    model_folder: Path, fine: Path, whole: Path, tmp_path: Path, lost: tuple[int, ...]
) -> None:
    target = tmp_path / "smb.zarr"
    shutil.copytree(whole, target)
    for number in lost:
        (target / f".blocks/glacier-{number:09d}.json").unlink()
        for chunk in target.glob(f"smb/c/{number}/*"):
            chunk.write_bytes(b"half writ")
    reconstruct(model_folder, fine, to=target)
    assert digests(target) == digests(whole)


def test_a_finished_reconstruction_is_left_alone(model_folder: Path, fine: Path, whole: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in whole.rglob("*")}
    reconstruct(model_folder, fine, to=whole)
    assert {p: p.stat().st_mtime_ns for p in whole.rglob("*")} == before


def test_other_options_another_model_and_other_features_are_refused_with_the_difference(
    model_folder: Path, model: Any, fine: Path, features: Any, whole: Path
) -> None:
    with pytest.raises(provenance.StampMismatch, match=r"options.net: there '', now 'mlp'"):
        reconstruct(model_folder, fine, to=whole, options=ReconstructOptions(net="mlp"))
    other = dataclasses.replace(model, stamp=dataclasses.replace(model.stamp, options={"members": 9}))
    with pytest.raises(provenance.StampMismatch, match=r"inputs.model: there"):
        reconstruct(other, fine, to=whole)
    with pytest.raises(provenance.StampMismatch, match=r"inputs.features: there"):
        reconstruct(model_folder, features, to=whole)


def test_a_named_net_makes_the_reconstruction(model: Any, fine: Path, tmp_path: Path) -> None:
    stores = [
        reconstruct(model, fine, to=tmp_path / n, options=ReconstructOptions(net=n)).open() for n in ("lasso", "mlp")
    ]
    assert [s.attrs["net"] for s in stores] == ["lasso", "mlp"]
    assert (stores[0].smb.values != stores[1].smb.values).any()


def test_glaciers_that_were_never_observed_have_their_own_net_and_uncertainty(
    model: Any, features: Any, tmp_path: Path
) -> None:
    kept = model.unit_id != "RGI60-11.00001"
    widened = dataclasses.replace(
        model,
        unit_id=np.where(kept, model.unit_id, "elsewhere"),
        unseen_std=dict.fromkeys(model.nets, 999.0),
        lasting_share={"mlp": (0.25, 0.5), "lasso": (0.125, 0.75)},
        best_observed="mlp",
        best_unobserved="lasso",
    )
    found = reconstruct(widened, features, to=tmp_path / "smb.zarr").open().load()
    dataset = features.open().load()
    new = dataset.unit_id.values == "RGI60-11.00001"
    assert new.sum() == 1
    assert found.attrs["net"] == "mlp for observed glaciers, lasso for the others"
    np.testing.assert_array_equal(found.lasting_share, np.where(new, 0.75, 0.25))
    left = np.where(new, 999.0, model.residual_std["mlp"][0])
    for net, own in (("lasso", new), ("mlp", ~new)):
        members = model.reconstruct(dataset, net)[:, own]
        np.testing.assert_allclose(found.smb_member.values[:, own], members, rtol=1e-4, atol=0.02)
        std = np.hypot(members.std(axis=0, ddof=1), left[own, None])
        np.testing.assert_allclose(found.smb_std.values[own], std, rtol=1e-3)


def test_an_unknown_net_is_refused_before_anything_is_written(model: Any, fine: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the model has no net 'forest'"):
        reconstruct(model, fine, to=tmp_path / "smb.zarr", options=ReconstructOptions(net="forest"))
    assert not (tmp_path / "smb.zarr").exists()


def test_features_of_another_recipe_are_refused(model: Any, cube: Any, tmp_path: Path) -> None:
    other = featurize(cube, to=tmp_path / "f.zarr", options=FeaturizeOptions(degree_day_sigma_k=3.0))
    with pytest.raises(ValueError, match=r"computed with degree_day_sigma_k 3\.0, not 5\.0: the model would mistake"):
        reconstruct(model, other, to=tmp_path / "smb.zarr")
    assert not (tmp_path / "smb.zarr").exists()


def test_a_store_inside_another_is_refused(model: Any, features: Any, whole: Path) -> None:
    with pytest.raises(ValueError, match="lies inside the store"):
        reconstruct(model, features, to=whole / "inner.zarr")
    assert not (whole / "inner.zarr").exists()


def test_glaciers_set_aside_and_years_without_climate_are_nan_and_keep_their_reason(
    model: Any, cube: Any, features: Any, write_cube_to: Any, tmp_path: Path
) -> None:
    opened = cube.open()
    temp, height = opened.temp.values.copy(), opened.clim_height.values.copy()
    temp[12 * 4] = np.nan  # October 1994
    row, column = (np.abs(opened[f"clim_{n}"].values - opened[n].values[5]).argmin() for n in ("lat", "lon"))
    height[row, column] = np.nan
    gappy = featurize(write_cube_to(tmp_path / "c.zarr", temp=temp, clim_height=height), to=tmp_path / "f.zarr")
    found = reconstruct(model, gappy, to=tmp_path / "smb.zarr").open().load()
    reasons = gappy.open().set_aside.values
    np.testing.assert_array_equal(found.set_aside.values, reasons)
    aside = reasons != ""
    assert aside[5]
    assert not aside.all()
    known = ~aside[:, None] & (found.hydro_year.values != 1995)[None, :]
    for name in ("smb", "smb_std"):
        np.testing.assert_array_equal(np.isfinite(found[name].values), known, err_msg=name)
    np.testing.assert_array_equal(np.isfinite(found.smb_member.values), np.broadcast_to(known, found.smb_member.shape))


def test_years_after_the_climate_are_as_uncertain_as_one_year_is_against_another(
    model: Any, features: Any, tmp_path: Path
) -> None:
    """Their climate is a mean of many years, which says nothing of what sets a year apart."""
    known = reconstruct(model, features, to=tmp_path / "known.zarr").open().load()
    ends = rewritten(features, tmp_path, attrs={"last_year_with_climate": 1999})
    found = reconstruct(model, ends, to=tmp_path / "smb.zarr").open().load()
    assert found.attrs["last_year_with_climate"] == 1999
    after = found.hydro_year.values > 1999
    assert after.sum() == 3
    np.testing.assert_array_equal(found.smb, known.smb)
    np.testing.assert_array_equal(found.smb_member, known.smb_member)
    np.testing.assert_array_equal(found.smb_std[:, ~after], known.smb_std[:, ~after])
    apart = known.smb.values[:, ~after].std(axis=1, keepdims=True)
    assert (apart > 100).all()
    np.testing.assert_allclose(found.smb_std[:, after], np.hypot(known.smb_std[:, after], apart), rtol=1e-5)


def test_a_year_without_value_does_not_spoil_those_after_the_climate(model: Any, features: Any, tmp_path: Path) -> None:
    predictors = features.open().predictors.values.copy()
    predictors[0, 4] = np.nan
    ends = rewritten(features, tmp_path, attrs={"last_year_with_climate": 1999}, predictors=predictors)
    found = reconstruct(model, ends, to=tmp_path / "smb.zarr").open().load()
    assert np.isnan(found.smb.values[0]).tolist() == [year == 4 for year in range(12)]
    np.testing.assert_array_equal(np.isfinite(found.smb_std), np.isfinite(found.smb))


def test_a_reconstruction_of_whole_features_sets_nothing_aside(whole: Path) -> None:
    assert (Store.at(whole).open().set_aside.values == "").all()
