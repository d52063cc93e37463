"""Published runs of climate models -> monthly temperature and precipitation near a region, in our names and units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale.region import beside
from glacierscale.sources import climate
from glacierscale.sources.grid import month_starts, name_axes, order_axes

SPAN = (1700, 2250)
"""First and last year that are kept; runs over millennia reach beyond what dates in nanoseconds can say."""

LONE_CELL_DEG = 3.0
"""Side that a single cell is taken to have: few global models are coarser."""

_CMIP = ("cmip5", "cmip6")
_MEMBERS = ("number", "member", "realization", "ensemble", "member_id", "variant_label")
_SAID = {
    "member": ("variant_label", "source_ensemble", "realization"),
    "model": ("source_id", "model_id", "source_model"),
}
"""Attributes in which CMIP6, CMIP5 and repackaged files say what they are, by what may not be mixed."""

Bounds = tuple[float, float, float, float]
Floats = npt.NDArray[np.floating]


def normalize(
    datasets: Sequence[xr.Dataset], convention: str, bounds: Bounds, *, member: int | None = None
) -> xr.Dataset:
    """Bring one run of a climate model to the cube's names, units and axes, cut to the cells around a region.

    Parameters
    ----------
    datasets : sequence of xarray.Dataset
        Opened files, in any order: historical and future ones of temperature and of precipitation. Any CF calendar;
        totals of a month are those of its days in that calendar.
    convention : str
        ``"cmip5"`` or ``"cmip6"`` (``tas``, ``pr``), or another of `sources.climate.CONVENTIONS`.
    bounds : tuple of float
        West, south, east and north of the region's glaciers, degrees; east above 180 across the antimeridian.
    member : int, optional
        Label on the ensemble dimension, where there is one.

    Returns
    -------
    xarray.Dataset
        As `sources.climate.normalize`, of the cells that touch the bounds and of one cell around them.

    Raises
    ------
    ValueError
        As `sources.climate.normalize`; and if members or models are mixed, the months of a file are out of order, or
        no cell is near.
    """
    for what, names in _SAID.items():
        _check_one(datasets, what, names)
    near = [
        _near(part, bounds, member) for ds in map(_in_span, datasets) for part in ds.data_vars.values() if part.size
    ]
    parts = [variable.to_dataset() for variable in near]
    return climate.normalize(parts, "cmip5" if convention in _CMIP else convention, member=member)


def _check_one(datasets: Sequence[xr.Dataset], what: str, names: tuple[str, ...]) -> None:
    said = {name: sorted({str(ds.attrs[name]) for ds in datasets if name in ds.attrs}) for name in names}
    mixed = [f"{name} {', '.join(values)}" for name, values in said.items() if len(values) > 1]
    if mixed:
        raise ValueError(
            f"the files are of more than one {what} ({'; '.join(mixed)}); expected one run of one model. Give each run "
            "a data set of its own in the catalogue."
        )


def _near(values: xr.DataArray, bounds: Bounds, member: int | None) -> xr.DataArray:
    """A variable on the cells around the bounds; one that is on no grid of cells as it is."""
    what = str(values.name)
    try:
        placed = order_axes(name_axes(_with_axes(values), what), what)
        if "time" in placed.dims:
            month_starts(placed, what)
    except ValueError:
        return values  # bounds of an axis, or a fault that is told if the variable is needed
    if "time" in placed.dims:
        _check_order(placed, what)
    members = [str(dim) for dim in placed.dims if dim in _MEMBERS and placed.sizes[dim] > 1]
    if members and member is None:
        raise ValueError(
            f"{what} holds {placed.sizes[members[0]]} members at once, along {members[0]!r}; a scenario is one of "
            "them. State its label as `member` in the catalogue, in a data set for each."
        )
    return _cut(placed, bounds, what)


def _with_axes(values: xr.DataArray) -> xr.DataArray:
    """The series of one cell, whose place is a single number, on axes of length one."""
    return values.expand_dims([name for name in ("lat", "lon", "latitude", "longitude") if _single(values, name)])


def _single(values: xr.DataArray, name: str) -> bool:
    return name in values.coords and values[name].ndim == 0


def _in_span(dataset: xr.Dataset) -> xr.Dataset:
    """The times that can be kept; all where times are missing or not decoded, which is told later."""
    time = dataset.get("time")
    if time is None or not time.size or not (time.dtype.kind == "M" or hasattr(time.values[0], "calendar")):
        return dataset
    year = time.dt.year.values
    return dataset.isel(time=np.flatnonzero(~((year < SPAN[0]) | (year > SPAN[1]))))


def _check_order(values: xr.DataArray, what: str) -> None:
    months = month_starts(values, what)[0].astype("datetime64[M]")
    back = np.flatnonzero(np.diff(months) < np.timedelta64(0, "M"))
    if len(back):
        raise ValueError(
            f"{what}: time is not sorted, {months[back[0] + 1]} comes after {months[back[0]]}; expected months in "
            "order. Sort the file, and check that its dates are right."
        )


def _cut(values: xr.DataArray, bounds: Bounds, what: str) -> xr.DataArray:
    west, south, east, north = bounds
    lat = values["clim_lat"].values
    lon = beside(values["clim_lon"].values, (west + east) / 2)
    rows, columns = _around(lat, south, north), _around(lon, west, east)
    if not (len(rows) and len(columns)):
        raise ValueError(
            f"{what} has cells at latitude {lat.min():g} to {lat.max():g} and longitude {lon.min():g} to "
            f"{lon.max():g}, none near the glaciers at {south:.2f} to {north:.2f} and {west:.2f} to {east:.2f}; take "
            "a file that holds their region."
        )
    return values.isel(clim_lat=rows, clim_lon=columns)


def _around(centres: Floats, low: float, high: float) -> npt.NDArray[np.intp]:
    """Cells that touch an interval, and one more on each side: their centres lie within one and a half cells of it."""
    side = float(np.median(np.diff(np.sort(centres)))) if len(centres) > 1 else LONE_CELL_DEG
    away = np.maximum(low - centres, centres - high)
    return np.flatnonzero(away <= 1.5 * side)
