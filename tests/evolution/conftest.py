"""The small region with ice thickness and two future climates."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

FIRST, LAST = 1998, 2030
"""Years that the small region evolves over; its climate ends in 2002."""


def rewritten(source: Any, url: str | Path, **changed: Any) -> Any:
    """A store of the same kind with some variables replaced or added, as (dims, values)."""
    from glacierscale.provenance import Stamp
    from glacierscale.store import Store

    kind = source.schema
    dataset = source.open().load().drop_vars(list(changed), errors="ignore").assign(changed)
    static = dataset[[name for name in dataset.variables if not set(dataset[name].dims) & set(kind.blocks)]]
    static = static.assign({name: dataset[name] for name in ("clim_lat", "y") if name in dataset.variables})
    lacking = [name for name in kind.variables if name not in dataset.variables]
    stamp = Stamp(verb=source.stamp.verb, options={"changed": sorted(changed)}, inputs={})
    store = Store(str(url), kind)
    first = source.blocks()[0]
    store.declare(static, stamp, sizes=dict(dataset.sizes), chunks={"glacier": first.stop}, without=lacking)
    for block in store.unfinished():
        along = [name for name in kind.variables if name in dataset and block.dim in kind.variables[name].dims]
        along = [name for name in along if name not in static.variables]
        store.write(block, {name: dataset[name].isel({block.dim: block.slice}).values for name in along})
    return store


def futures(region: SimpleNamespace, last: int) -> dict[str, Any]:
    """Two future climates as the cube holds them: the observed months over again, and so with 4 K a century more."""
    years = np.arange(region.years[0], last + 1)
    months = np.datetime64(f"{years[0] - 1}-10", "M") + np.arange(12 * len(years))
    again = np.arange(len(years)) % len(region.years)
    temp, precip = region.temp_2000[again].ravel() + 8.0, region.precip[again].ravel() * 0.5
    warmer = temp + 0.04 * np.maximum(np.repeat(years, 12) - region.years[-1], 0)
    cells = ("scenario", "scenario_cell")
    return {
        "scenario": ("scenario", np.array(["same", "warm"])),
        "scenario_time": ("scenario_time", months.astype("datetime64[ns]")),
        "scenario_lat": (cells, np.array([[46.9, 40.0], [46.9, np.nan]])),
        "scenario_lon": (cells, np.array([[10.9, 0.0], [10.9, np.nan]])),
        "scenario_temp": ((*cells, "scenario_time"), np.stack([[temp, temp - 50], [warmer, temp * np.nan]])),
        "scenario_precip": ((*cells, "scenario_time"), np.stack([[precip, precip], [precip, precip * np.nan]])),
    }


def iced(patches: xr.Dataset) -> dict[str, Any]:
    """Channels of ice thickness and its surface, deepest in the middle, added to a store of patches."""
    names = patches.channel.values.tolist()
    rasters = dict(zip(names, np.moveaxis(patches.rasters.values, 1, 0), strict=True))
    thickness = np.where(rasters["ice_fraction"] > 0, 1 + 0.1 * rasters["margin_distance"], 0.0)
    both = np.stack([thickness, rasters["elevation"]], axis=1).astype(np.float32)
    units = patches.channel_units.values.tolist()
    return {
        "channel": ("channel", np.array([*names, "thickness", "ice_surface"])),
        "channel_units": ("channel", np.array([*units, "m", "m"])),
        "rasters": (("glacier", "channel", "y", "x"), np.concatenate([patches.rasters.values, both], axis=1)),
    }


@pytest.fixture(scope="session")
def evolving(
    region: SimpleNamespace, cube: Any, features: Any, patches: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder with the cube, features and patches of the small region, ready to evolve."""
    from glacierscale import schema
    from glacierscale.store import Store

    folder = tmp_path_factory.mktemp("evolving")
    rewritten(cube, folder / "cube.zarr", **futures(region, 2040))
    rewritten(features, folder / "features.zarr")
    for found in Store.all_in(patches, "patches_*.zarr", schema.PATCHES):
        opened = found.open().load()
        rewritten(found, folder / Path(found.url).name, **iced(opened))
    return folder
