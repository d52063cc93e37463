"""Reconstruct with gaps filled: consistent with what was observed, blind to what it predicts, the same bytes again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from glacierscale import provenance
from glacierscale.features.tensors import featurize
from glacierscale.models.glacier_years import observed_of
from glacierscale.reconstruction import ReconstructOptions, reconstruct
from glacierscale.reconstruction.gapfilling import NAMES, Filling
from glacierscale.repair import verify
from glacierscale.store import Store
from tests import loopback
from tests.trees import digests

FILLED = ReconstructOptions(gapfill=True)


@pytest.fixture(scope="module")
def fine(write_cube_to: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features with one glacier to a block."""
    folder = tmp_path_factory.mktemp("fine")
    return Path(featurize(write_cube_to(folder / "cube.zarr", glaciers_per_block=1), to=folder / "features.zarr").url)


@pytest.fixture(scope="module")
def filled(model_folder: Path, fine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reconstruction with gaps filled, six blocks."""
    return Path(reconstruct(model_folder, fine, to=tmp_path_factory.mktemp("gaps") / "smb.zarr", options=FILLED).url)


def arrays(model: Any, dataset: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Gap-filled mean and spread of all glaciers by the Lasso, without the stores."""
    filling = Filling.of(model, dataset, {"lasso": lambda g: trend(model, dataset.isel(glacier=g))})
    smb = trend(model, dataset)
    found = filling.arrays(dataset, np.full(len(smb), "lasso"), smb, np.full(smb.shape, 300.0))
    return found[NAMES[0]], found[NAMES[1]]


def trend(model: Any, dataset: xr.Dataset) -> np.ndarray:
    found = model.reconstruct(dataset, "lasso").mean(axis=0)
    return np.where((dataset.set_aside.values == "")[:, None], found, np.nan)


def with_geodetic(dataset: xr.Dataset, unit: str, value: float, sigma: float) -> xr.Dataset:
    """The features with one more observation: the mean of 1993 to 1998 of a glacier."""
    one = dataset[[n for n in dataset.variables if str(n).startswith("obs_")]].isel(observation=[0]).copy(deep=True)
    one["obs_unit_id"] = ("observation", np.array([unit], object))
    one["obs_kind"] = ("observation", np.array(["geodetic"], object))
    one["obs_year"] = ("observation", np.array([1998], np.int32))
    one["obs_value"] = ("observation", np.array([value], np.float32))
    one["obs_sigma"] = ("observation", np.array([sigma], np.float32))
    one["obs_start"] = ("observation", np.array(["1992-10-01"], "datetime64[ns]"))
    one["obs_end"] = ("observation", np.array(["1998-09-30"], "datetime64[ns]"))
    both = xr.concat([dataset[list(one.variables)], one], dim="observation")
    return dataset.drop_dims("observation").merge(both).assign_attrs(dataset.attrs)


def test_the_variables_are_written_beside_the_others_and_come_nearer_to_the_truth(
    filled: Path, region: SimpleNamespace
) -> None:
    found = Store.at(filled).open().load()
    plain, gaps = [], []
    for unit in ("RGI60-11.00001", "RGI60-11.00002", "RGI60-11.00003"):
        at = found.glacier_id.values.tolist().index(unit)
        plain.append(found.smb.values[at] - region.truth[unit])
        gaps.append(found.smb_gapfilled.values[at] - region.truth[unit])
        assert (np.abs(gaps[-1]) < 3 * found.smb_gapfilled_std.values[at]).mean() > 0.9
    assert np.sqrt(np.mean(np.square(gaps))) < np.sqrt(np.mean(np.square(plain))) + 10
    np.testing.assert_array_equal(np.isfinite(found.smb_gapfilled), np.isfinite(found.smb))
    assert found.smb_gapfilled.attrs["units"] == "kg m-2"
    assert set(provenance.nested(found.attrs["gapfill"])) == set(
        found.attrs["net"].replace(" for observed glaciers,", "").split()[:1]
    )


def test_without_the_option_they_are_absent(model_folder: Path, features: Any, tmp_path: Path) -> None:
    found = reconstruct(model_folder, features, to=tmp_path / "smb.zarr").open()
    assert not set(NAMES) & set(found.variables)


def test_parts_of_one_glacier_move_alike(filled: Path) -> None:
    found = Store.at(filled).open().load()
    moved = (found.smb_gapfilled - found.smb).values[found.unit_id.values.tolist().index("RGI50-11.00719") :][:2]
    np.testing.assert_allclose(moved[0], moved[1], atol=0.01)


@pytest.mark.parametrize("lost", [(0,), (0, 1, 2)], ids=str)
def test_whichever_blocks_are_missing_running_again_restores_the_bytes(
    model_folder: Path, fine: Path, filled: Path, tmp_path: Path, lost: tuple[int, ...]
) -> None:
    target = tmp_path / "smb.zarr"
    shutil.copytree(filled, target)
    for number in lost:
        (target / f".blocks/glacier-{number:09d}.json").unlink()
    reconstruct(model_folder, fine, to=target, options=FILLED)
    assert digests(target) == digests(filled)


@pytest.mark.parametrize("place", ["dask", pytest.param("ray", marks=pytest.mark.slow)])
def test_worker_processes_fill_gaps_to_the_same_bytes_as_threads(
    place: str, model_folder: Path, fine: Path, filled: Path, tmp_path: Path
) -> None:
    words = ["reconstruct", str(model_folder), str(fine), "--to", str(tmp_path / "smb.zarr")]
    command = [sys.executable, "-m", "glacierscale.cli", *words, "--options.gapfill", "true", f"--{place}", "local:2"]
    done = subprocess.run(
        [*(loopback.prefix() if place == "ray" else ()), *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
        env=loopback.environment(),
    )
    assert done.returncode == 0, done.stderr
    assert len(chunks(filled)) > 20
    assert chunks(tmp_path / "smb.zarr") == chunks(filled)


def chunks(folder: Path) -> dict[str, str]:
    """All arrays; provenance names the inputs as seen from the store."""
    return {name: digest for name, digest in digests(folder).items() if "/c/" in name}


def test_no_annual_balance_moves_the_value_of_its_own_glacier_and_year_by_a_bit(model: Any, features: Any) -> None:
    dataset = features.open().load()
    fill = Filling.of(model, dataset, {"lasso": lambda g: trend(model, dataset.isel(glacier=g))}).of_net["lasso"]
    number = int(np.flatnonzero(dataset.obs_unit_id.values == "RGI60-11.00002")[3])
    other = dataset.copy(deep=True)
    other.obs_value.values[number] = 1e9
    at = dataset.glacier_id.values.tolist().index("RGI60-11.00002")
    year = int(np.searchsorted(dataset.hydro_year.values, dataset.obs_year.values[number]))
    values = []
    for some in (dataset, other):
        observed = observed_of(some, lambda g: trend(model, dataset.isel(glacier=g)), {})
        own = observed.units.take([observed.units.unit_id.tolist().index("RGI60-11.00002")])
        values.append(type(fill).of(observed, fill.covariance).predict(own, trend(model, dataset)[[at]])[0][0])
    assert values[1][year] == values[0][year]
    assert np.abs(np.delete(values[1] - values[0], year)).min() > 1  # its offset in all other years follows


def test_the_mean_of_a_geodetic_period_lies_within_its_error(model: Any, features: Any) -> None:
    dataset = features.open().load()
    dataset = dataset.isel(observation=dataset.obs_unit_id.values != "RGI60-11.00001")
    unit, at = "RGI60-11.00001", dataset.glacier_id.values.tolist().index("RGI60-11.00001")
    years = (dataset.hydro_year.values >= 1993) & (dataset.hydro_year.values <= 1998)
    goal = float(arrays(model, dataset)[0][at, years].mean()) + 150.0
    mean, std = arrays(model, with_geodetic(dataset, unit, goal, 10.0))
    assert abs(mean[at, years].mean() - goal) < 2 * 10.0
    assert np.isfinite(std[at]).all()


def test_a_geodetic_error_of_zero_is_refused(model: Any, features: Any) -> None:
    dataset = with_geodetic(features.open().load(), "RGI60-11.00001", -500.0, 0.0)
    with pytest.raises(
        ValueError, match=r"1 observations cannot be conditioned on, such as -500 \+/- 0 kg m-2 of RGI60"
    ):
        arrays(model, dataset)


def test_without_annual_or_geodetic_balances_gap_filling_is_refused(model: Any, features: Any) -> None:
    dataset = features.open().load()
    dataset["obs_kind"] = ("observation", np.full(dataset.sizes["observation"], "winter", object))
    with pytest.raises(ValueError, match=r"nothing was observed that gaps could be filled from.*leave gapfill off"):
        observed_of(dataset, lambda g: np.zeros((len(g), 12)), {})


def test_a_damaged_block_is_found_and_computed_again(
    model_folder: Path, fine: Path, filled: Path, tmp_path: Path
) -> None:
    target = tmp_path / "smb.zarr"
    reconstruct(model_folder, fine, to=target, options=FILLED)
    chunk = next(target.glob("smb_gapfilled/c/1/*"))
    good = chunk.read_bytes()
    chunk.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    verify(target, repair=True)
    assert chunk.read_bytes() == good
