"""Future climates of a catalogue: the runs that ingest is asked for, side by side on the months of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from glacierscale.cube.weather import in_memory_if_small
from glacierscale.region import beside, seamless
from glacierscale.sources import scenarios

if TYPE_CHECKING:
    import geopandas as gpd

    from glacierscale.catalog import Catalog, Entry


def dataset_of(entry: Entry) -> str:
    """Data set that an entry belongs to: what the catalogue says, or its own name."""
    return str(entry.metadata.get("dataset", entry.name))


def choose(catalog: Catalog, wanted: tuple[str, ...]) -> list[Entry]:
    """Entries of the data sets of future climate that are asked for, in that order.

    Raises
    ------
    ValueError
        If the catalogue lacks one, listing those it has.
    """
    entries = catalog.select("climate")
    there = sorted({dataset_of(entry) for entry in entries})
    lacking = [name for name in wanted if name not in there]
    if lacking:
        raise ValueError(
            f"the catalogue {catalog.name} offers climate of {there or 'no data set'}; asked for the scenarios "
            f"{', '.join(lacking)}. Correct the option `scenarios`: it takes data sets of role climate."
        )
    return [
        entry
        for name in wanted
        for entry in [*(e for e in entries if dataset_of(e) == name), *catalog.select("climate_invariant", name)]
    ]


def futures(entries: list[Entry], shapes: gpd.GeoDataFrame, named: Any) -> xr.Dataset | None:
    """Future climates near the glaciers, or None where none is asked for.

    Parameters
    ----------
    entries : list of Entry
        From `choose`.
    shapes : geopandas.GeoDataFrame
        Outlines with ``lon`` and ``lat``.
    named : callable
        Calls a reader so that its errors name the entry.

    Returns
    -------
    xarray.Dataset or None
        The cube's variables ``scenario*``, on the months of all scenarios; NaN where one lacks a month or a cell.

    Raises
    ------
    ValueError
        If two data sets are the same scenario or one is several, or if data fail a check.
    """
    if not entries:
        return None
    datasets = {name: [e for e in entries if dataset_of(e) == name] for name in dict.fromkeys(map(dataset_of, entries))}
    lon = seamless(shapes.lon.to_numpy())
    bounds = (float(lon.min()), float(shapes.lat.min()), float(lon.max()), float(shapes.lat.max()))
    found = {}
    for dataset, group in datasets.items():
        name = named(group[0], scenario_name, group)
        if name in found:
            raise ValueError(
                f"entry {group[0].name!r}: the data set {dataset!r} is the scenario {name!r}, as another one is. "
                "Give each a name of its own (`scenario` in the catalogue's metadata)."
            )
        found[name] = named(group[0], _run, group, bounds)
    return side_by_side(found)


def scenario_name(entries: list[Entry]) -> str:
    """What a data set's scenario is called: `scenario` of its entries, or the data set."""
    said = sorted({str(entry.metadata["scenario"]) for entry in entries if entry.metadata.get("scenario")})
    if len(said) > 1:
        raise ValueError(
            f"the data set {dataset_of(entries[0])!r} holds the scenarios {', '.join(said)}; expected one. Give each a "
            "data set of its own, with the historical files in both."
        )
    return said[0] if said else dataset_of(entries[0])


def _run(entries: list[Entry], bounds: scenarios.Bounds) -> xr.Dataset:
    opened = [in_memory_if_small(part) for entry in entries for _, part in entry.parts()]
    member = next((entry.metadata["member"] for entry in entries if "member" in entry.metadata), None)
    return scenarios.normalize(opened, entries[0].convention, bounds, member=member)


def side_by_side(runs: dict[str, xr.Dataset]) -> xr.Dataset:
    """Runs of climate models as the cube's variables.

    Parameters
    ----------
    runs : dict
        Normalized runs by the name of their scenario: ``temp`` and ``precip`` (time, clim_lat, clim_lon).

    Returns
    -------
    xarray.Dataset
        ``scenario``, ``scenario_time``, ``scenario_lon`` and ``scenario_lat`` (scenario, scenario_cell),
        ``scenario_temp`` degC and ``scenario_precip`` kg m-2 (scenario, scenario_cell, scenario_time).
    """
    flat = {name: _cells(run) for name, run in runs.items()}
    times = np.unique(np.concatenate([run.time.values for run in flat.values()]))
    cells = max(run.sizes["cell"] for run in flat.values())
    place = ("scenario", "scenario_cell")
    arrays: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        name: (place, np.full((len(flat), cells), np.nan)) for name in ("scenario_lat", "scenario_lon")
    } | {
        name: ((*place, "scenario_time"), np.full((len(flat), cells, len(times)), np.nan, np.float32))
        for name in ("scenario_temp", "scenario_precip")
    }
    for number, run in enumerate(flat.values()):
        here, start = slice(run.sizes["cell"]), int(np.searchsorted(times, run.time.values[0]))
        months = slice(start, start + run.sizes["time"])  # a run has no gap, so neither has its part of the union
        for name in ("lat", "lon"):
            arrays[f"scenario_{name}"][1][number, here] = run[f"clim_{name}"].values
        for name in ("temp", "precip"):
            arrays[f"scenario_{name}"][1][number, here, months] = run[name].values
    named = {"scenario": ("scenario", np.array(list(flat))), "scenario_time": ("scenario_time", times)}
    return xr.Dataset(named | arrays)


def _cells(run: xr.Dataset) -> xr.Dataset:
    """Cells that have data, in a row: (cell, time); longitudes from -180 to 180."""
    flat = run[["temp", "precip"]].stack(cell=("clim_lat", "clim_lon"), create_index=False).transpose("cell", "time")
    flat = flat.assign_coords(clim_lon=("cell", beside(flat.clim_lon.values, 0.0))).load()
    has_data = np.isfinite(flat.temp.values[:, 0]) & np.isfinite(flat.precip.values[:, 0])
    return flat.isel(cell=np.flatnonzero(has_data))
