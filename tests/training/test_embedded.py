"""The embedded region, whose truth is known: the hybrid finds it again, cell by cell, from any kind of observation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr

from glacierscale import schema, synthetic
from glacierscale.cube import IngestOptions, ingest
from glacierscale.demonstration import write_raw
from glacierscale.features.options import RasterizeOptions
from glacierscale.features.rasters import rasterize
from glacierscale.features.tensors import featurize
from glacierscale.models import mapping, raster
from glacierscale.models.bundle import SMBModel
from glacierscale.models.scene import reference_elevation, scene_of
from glacierscale.pipeline import shipped
from glacierscale.reconstruction import ReconstructOptions, reconstruct
from glacierscale.region import HydroYears, Region
from glacierscale.store import Store
from glacierscale.synthetic import SyntheticOptions
from glacierscale.training.loop import train
from glacierscale.training.options import TrainOptions

pytestmark = pytest.mark.slow

TRUE = SyntheticOptions(glaciers=8, observed=6, first_year=1990, last_year=2010)
"""Two glaciers have geodetic means alone, two have stakes."""

TRAINED = TrainOptions(nets=("hybrid",), hold_out=(), slack=0.1)
"""Slack as in deploy/runs/demo_hybrid.yaml."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A model and what it reconstructs."""

    folder: Path
    model: SMBModel
    smb: xr.Dataset

    def error(self) -> float:
        """Root mean square error of all annual balances, kg m-2."""
        return rmse(self.smb.smb, synthetic.truth(TRUE).values[numbers(self.smb.glacier_id.values)])

    def pixels(self) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating], npt.NDArray[np.int64]]:
        """Balance of all ice cells and the truth there, (cell, hydro_year), and the number of their glacier."""
        parts = []
        for store in Store.all_in(self.folder, "smb_map_*.zarr", schema.MAPS):
            maps = store.open().load()
            glacier, row, column = np.nonzero(maps.ice_fraction.values > 0)
            number = numbers(maps.glacier_id.values)[glacier]
            true = synthetic.truth_at(TRUE, number, maps.elevation.values[glacier, row, column]).values
            parts.append((maps.smb_map.values[glacier, :, row, column], true, number))
        whole = [np.concatenate(part) for part in zip(*parts, strict=True)]
        return whole[0], whole[1], whole[2]

    def parameter(self, name: str) -> npt.NDArray[np.floating]:
        """A parameter of the maps, mean over the ice of each glacier."""
        mean = np.zeros(TRUE.glaciers)
        for store in Store.all_in(self.folder, "smb_map_*.zarr", schema.MAPS):
            maps = store.open().load()
            values = maps.parameters.sel(parameter=maps.parameter == name).squeeze("parameter")
            mean[numbers(maps.glacier_id.values)] = values.weighted(maps.ice_fraction).mean(("y", "x"))
        return mean


def numbers(ids: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """RGI60-99.00001 is the glacier that the generator counts as 0."""
    return np.array([int(str(one).rsplit(".", 1)[1]) - 1 for one in ids])


def with_series() -> npt.NDArray[np.bool_]:
    """Which glaciers have annual series."""
    table = synthetic.observations(TRUE)
    series = np.zeros(TRUE.glaciers, bool)
    series[numbers(table.obs_unit_id[table.obs_kind == "annual"].unique())] = True
    return series


def r2(found: npt.ArrayLike, true: npt.ArrayLike) -> float:
    found, true = np.asarray(found), np.asarray(true)
    return float(1 - ((found - true) ** 2).sum() / ((true - true.mean()) ** 2).sum())


def rmse(found: npt.ArrayLike, true: npt.ArrayLike) -> float:
    return float(np.sqrt(np.mean((np.asarray(found) - np.asarray(true)) ** 2)))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cube, features and patches of 200 m."""
    folder = tmp_path_factory.mktemp("embedded")
    write_raw(TRUE, folder / "raw")
    region = Region("Embedded range", years=HydroYears(TRUE.first_year, TRUE.last_year))
    cube = folder / "cube.zarr"
    ingest(shipped("catalogs/demo.yaml"), region, to=cube, options=IngestOptions(data=str(folder / "raw")))
    featurize(cube, to=folder / "features.zarr")
    rasterize(cube, to=folder, options=RasterizeOptions(resolution_m=200.0))
    return folder


@pytest.fixture(scope="module")
def trained(stores: Path) -> Callable[[TrainOptions, str], Found]:
    """Train and reconstruct in a folder of its own."""

    def work(options: TrainOptions, name: str) -> Found:
        folder, features = stores / name, stores / "features.zarr"
        model = train(features, to=folder / "model", patches=stores, options=options)
        smb = reconstruct(
            folder / "model", features, to=folder / "smb.zarr", patches=stores, options=ReconstructOptions(net="hybrid")
        )
        return Found(folder=folder, model=model, smb=smb.open().load())

    return work


@pytest.fixture(scope="module")
def hybrid(trained: Callable[[TrainOptions, str], Found]) -> Found:
    """Trained on all targets."""
    return trained(TRAINED, "all")


def untrained(model: SMBModel) -> raster.RasterNet:
    """The hybrid at the centre of its priors."""
    net = model.rasters["hybrid"]
    return replace(net, parameters={name: np.zeros_like(value) for name, value in net.parameters.items()})


def annual_of(net: raster.RasterNet, stores: Path) -> npt.NDArray[np.floating]:
    """Glacier-wide annual balances of a network, glaciers as the generator counts them: (glacier, hydro_year)."""
    features = Store.at(stores / "features.zarr", schema.FEATURES).open()
    number = numbers(features.glacier_id.values)
    out = np.full((len(number), features.sizes["hydro_year"]), np.nan)
    for store in Store.all_in(stores, "patches_*.zarr", schema.PATCHES):
        found = mapping.glaciers(net, store.open().load(), features)
        assert found is not None
        out[number[found.surface.feature_row]] = found.mean(found.annual).mean(axis=0)
    return out


def test_degree_day_factors_of_snow_and_ice_come_back_within_15_percent(hybrid: Found) -> None:
    true = synthetic.degree_day_factors(TRUE)
    area, series = synthetic.outlines(TRUE).Area.to_numpy(), with_series()
    assert series.sum() == TRUE.observed
    for name in ("ddf_snow", "ddf_ice"):
        found = hybrid.parameter(name)
        mean = np.average(found[series], weights=area[series])
        assert mean == pytest.approx(np.average(true[name].values[series], weights=area[series]), rel=0.15)
        assert found == pytest.approx(true[name].values, rel=0.2)  # the others too, each by itself


def test_balance_of_every_pixel_and_year_comes_back_on_glaciers_with_series_and_with_geodetic_means_alone(
    hybrid: Found,
) -> None:
    found, true, number = hybrid.pixels()
    series = with_series()[number]
    assert 0 < series.sum() < len(series)
    for cells in (series, ~series):
        assert np.isfinite(found[cells]).all()
        assert r2(found[cells], true[cells]) >= 0.95
        within = found[cells] - found[cells].mean(axis=0), true[cells] - true[cells].mean(axis=0)
        assert r2(*within) >= 0.95  # and so the pattern in space, without what years have in common


def test_annual_balances_are_far_better_than_at_the_centre_of_the_priors(hybrid: Found, stores: Path) -> None:
    assert hybrid.error() < 0.3 * rmse(annual_of(untrained(hybrid.model), stores), synthetic.truth(TRUE))


@pytest.mark.parametrize(("target", "scheme"), [("point", "year_blocks"), ("geodetic", "spatial_blocks")])
def test_stakes_alone_and_geodetic_means_alone_still_train_predict_and_reconstruct(
    target: str, scheme: str, trained: Callable[[TrainOptions, str], Found], stores: Path
) -> None:
    folds: dict[str, Any] = {"hold_out": (scheme,), "block_years": 11, "glacier_groups": 4, "buffer_km": 0.0}
    options = replace(TRAINED, targets=(target,), raster_members=1, **folds)
    found = trained(options, target)
    features = Store.at(stores / "features.zarr", schema.FEATURES).open()
    patches = [store.open() for store in Store.all_in(stores, "patches_*.zarr", schema.PATCHES)]
    scene = scene_of(features, patches, (target,), options.kernel, reference_elevation(features))
    seen, centre = scene.functionals, untrained(found.model)
    assert set(seen.kind) == {target}

    held = found.model.raster_held_out(scene, "hybrid", scheme)
    assert sorted(held.row) == list(range(len(seen)))
    before = centre.observe(0, seen, np.arange(len(seen)), scene.surface, scene.weather)[0]
    assert rmse(held.mean, seen.value[held.row]) < 0.85 * rmse(before, seen.value)
    assert found.error() < 0.5 * rmse(annual_of(centre, stores), synthetic.truth(TRUE))
    pixels, true, _ = found.pixels()
    assert r2(pixels, true) >= 0.9
