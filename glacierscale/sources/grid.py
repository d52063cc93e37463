"""Raw values and axes of published climate grids: missing values, calendars, latitudes and longitudes in any order."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

SENTINELS = (-9999.0, -999.0, -99999.0, -9999.9, -32767.0, -32768.0)
"""Numbers that publishers write for "no value"; none is a temperature or a precipitation in any unit met here."""

_AXES = {
    "clim_lat": ({"lat", "latitude", "clim_lat"}, "latitude", {"degrees_north", "degree_north"}),
    "clim_lon": ({"lon", "longitude", "clim_lon"}, "longitude", {"degrees_east", "degree_east"}),
}
_MEMBERS = ("number", "member", "realization", "ensemble")


def decoded(values: xr.DataArray, what: str) -> xr.DataArray:
    """Refuse unscaled integers and undeclared sentinels; mask declared ones."""
    if values.dtype.kind in "iu":
        raise ValueError(
            f"{what} holds unscaled integers ({values.dtype}); expected floats in physical units. Open the file with "
            "mask_and_scale=True, and if its scale_factor is lost, take the original file."
        )
    if values.dtype.kind != "f":
        raise ValueError(f"{what} has dtype {values.dtype}; expected floats. Check which variable was catalogued.")
    for key in ("_FillValue", "missing_value"):
        declared = values.attrs.get(key)
        if declared is not None and not np.isnan(np.float64(declared)):
            values = values.where(values != np.asarray(declared, values.dtype))
    infinite = np.isinf(values) | (np.abs(values) >= 1e15)
    gaps = values.isnull()
    time_dims = [dim for dim in values.dims if dim in ("time", "valid_time")]
    missing = gaps.sum(time_dims)
    count = int(np.prod([values.sizes[dim] for dim in time_dims])) if time_dims else 1
    census = xr.Dataset(
        {
            "infinite": infinite.sum(),
            "sentinels": values.isin(SENTINELS).sum(),
            "broken_cells": ((missing > 0) & (missing < count)).sum(),
            "gaps": gaps.sum(),
        }
    ).compute()
    bad = int(census["infinite"]) + int(census["sentinels"])
    if bad:
        kinds = [text for text, key in (("inf or 1e20", "infinite"), ("-9999 or the like", "sentinels")) if census[key]]
        raise ValueError(
            f"{what} holds {bad} undeclared missing values ({', '.join(kinds)}); expected numbers or NaN. Set the "
            "variable's _FillValue to that number, so that it is masked on opening."
        )
    if int(census["gaps"]) == values.size:
        raise ValueError(f"{what} holds no value at all; check the file and its _FillValue.")
    if int(census["broken_cells"]):
        raise ValueError(
            f"{what} has {int(census['gaps'])} missing values (NaN); {int(census['broken_cells'])} of {missing.size} "
            "cells have data at some times only; expected gapless cells. Fill the gaps, crop or shorten the span."
        )
    return values


def name_axes(values: xr.DataArray, what: str) -> xr.DataArray:
    """Rename dimensions to ``time``, ``clim_lat`` and ``clim_lon``, refusing swapped or two-dimensional axes."""
    for axis, (names, standard_name, units) in _AXES.items():
        found = [
            str(dim)
            for dim in values.dims
            if str(dim).lower() in names
            or (dim in values.coords and values[dim].attrs.get("standard_name") == standard_name)
            or (dim in values.coords and values[dim].attrs.get("units") in units)
        ]
        if len(found) > 1:
            raise ValueError(
                f"{what}: dimensions {found} both claim to be {standard_name}, by name or by attributes; latitude and "
                "longitude look swapped. Rename the dimensions, or correct their attributes, in the source."
            )
        if not found or found[0] not in values.coords:
            raise ValueError(
                f"{what}: no {standard_name} axis among dimensions {tuple(values.dims)}; expected a one-dimensional "
                f"coordinate named like {sorted(names)}. Regrid curvilinear or projected data to a lat-lon grid first."
            )
        attrs = values[found[0]].attrs
        other = {"latitude": "longitude", "longitude": "latitude"}[standard_name]
        other_units = _AXES["clim_lon" if axis == "clim_lat" else "clim_lat"][2]
        if attrs.get("standard_name") == other or attrs.get("units") in other_units:
            raise ValueError(
                f"{what}: dimension {found[0]!r} carries the attributes of a {other}; latitude and longitude look "
                "swapped. Correct the names or the attributes in the source."
            )
        values = values.rename({found[0]: axis})
    if "valid_time" in values.dims:
        values = values.drop_vars("time", errors="ignore").rename(valid_time="time")
    return values


def order_axes(values: xr.DataArray, what: str) -> xr.DataArray:
    """Sort latitude and longitude ascending, longitude from -180 or, where cells lie on both sides of it, beyond 180.

    The seam is the antimeridian, unless that would tear apart a grid of a part of the Earth.
    """
    lat = np.round(values["clim_lat"].values.astype(np.float64), 6)
    lon = np.round(values["clim_lon"].values.astype(np.float64), 6)
    if not np.isfinite(lat).all() or not np.isfinite(lon).all():
        raise ValueError(f"{what}: latitude or longitude holds values that are not finite; repair the axes.")
    if np.abs(lat).max() > 90:
        raise ValueError(
            f"{what}: latitude runs from {lat.min():g} to {lat.max():g}, beyond 90 degrees; latitude and longitude "
            "look swapped, or the grid is projected. Correct the axes in the source."
        )
    if lon.min() < -180 or lon.max() > 360:
        raise ValueError(f"{what}: longitude runs from {lon.min():g} to {lon.max():g}; expected -180..180 or 0..360.")
    wrapped = np.round((lon + 180.0) % 360.0 - 180.0, 6)
    ordered = np.unique(wrapped)
    gaps = np.diff(ordered)
    if len(gaps) and gaps.max() > 1.5 * (ordered[0] + 360 - ordered[-1]):
        first = ordered[gaps.argmax() + 1]
        wrapped = np.round((wrapped - first) % 360.0 + first, 6)
    values = values.assign_coords(clim_lat=("clim_lat", lat), clim_lon=("clim_lon", wrapped))
    values = values.sortby(["clim_lat", "clim_lon"])
    for axis in ("clim_lat", "clim_lon"):
        if len(np.unique(values[axis])) < values.sizes[axis]:
            raise ValueError(f"{what}: {axis} holds repeated values (0 and 360 are one meridian); keep one of each.")
    return values


def take_member(values: xr.DataArray, member: int | None, what: str) -> xr.DataArray:
    """Reduce an ensemble dimension to its mean or to one member, and drop dimensions of length one."""
    dims = [str(dim) for dim in values.dims if dim in _MEMBERS]
    if member is not None and not dims:
        raise ValueError(
            f"{what}: member {member} was asked for, but dimensions are {tuple(values.dims)}; leave member out."
        )
    for dim in dims:
        if member is None:
            values = values.mean(dim)
        else:
            labels = values[dim].values if dim in values.coords else np.arange(values.sizes[dim])
            if member not in labels:
                raise ValueError(f"{what}: no member {member}; the file holds {list(map(int, labels))}.")
            values = values.isel({dim: int(np.flatnonzero(labels == member)[0])}, drop=True)
    extra = [str(dim) for dim in values.dims if dim not in ("time", "clim_lat", "clim_lon")]
    for dim in extra:
        if values.sizes[dim] > 1:
            raise ValueError(
                f"{what}: unexpected dimension {dim!r} of length {values.sizes[dim]}; expected time, latitude and "
                "longitude. Select one entry in the catalogue."
            )
    return values.isel(dict.fromkeys(extra, 0), drop=True)


def month_starts(values: xr.DataArray, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Month starts and month lengths of a time axis.

    Returns
    -------
    starts : (time,) datetime64[ns]
        First day of the month each stamp lies in, so that mid-month stamps and other calendars meet.
    days : (time,)
        Days in that month in the *source* calendar: 30 in every month of a 360-day year.
    """
    if "time" not in values.dims or "time" not in values.coords:
        raise ValueError(f"{what}: no time coordinate among {tuple(values.dims)}; expected monthly stamps.")
    time = values["time"]
    first: Any = time.values[0]
    if not (np.issubdtype(time.dtype, np.datetime64) or hasattr(first, "calendar")):
        raise ValueError(
            f"{what}: time is not decoded (dtype {time.dtype}, attributes {dict(time.attrs)}); expected dates. Give "
            "the axis CF units ('days since ...') and a calendar, and open it with decode_times=True."
        )
    if np.issubdtype(time.dtype, np.datetime64) and np.isnat(time.values).any():
        raise ValueError(f"{what}: {int(np.isnat(time.values).sum())} time stamps are missing (NaT); repair the axis.")
    months = (time.dt.year.values.astype(np.int64) - 1970) * 12 + time.dt.month.values - 1
    return months.astype("datetime64[M]").astype("datetime64[ns]"), time.dt.days_in_month.values.astype(np.float64)


def check_gapless(starts: np.ndarray, what: str) -> None:
    """Refuse duplicated and missing months, naming them."""
    months, counts = np.unique(starts.astype("datetime64[M]"), return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"{what}: duplicated months {_some(months[counts > 1])}; expected one stamp a month. Aggregate daily or "
            "hourly data to monthly means, or drop overlapping files."
        )
    wanted = np.arange(months[0], months[-1] + np.timedelta64(1, "M"))
    if len(wanted) > len(months):
        raise ValueError(
            f"{what}: missing months {_some(np.setdiff1d(wanted, months))} between {months[0]} and {months[-1]}; "
            "expected a gapless series. Add the missing files or shorten the span."
        )


def on_one_grid(temp: xr.DataArray, precip: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Give precipitation the cells of temperature, and both the months they share."""
    precip = snap(precip, temp, str(precip.name))
    months = np.intersect1d(temp["time"].values, precip["time"].values)
    if not len(months):
        raise ValueError(
            f"{temp.name} ({_span(temp)}) and {precip.name} ({_span(precip)}) share no month; catalogue matching files."
        )
    return temp.sel(time=months), precip.sel(time=months)


def _span(values: xr.DataArray) -> str:
    months = values["time"].values.astype("datetime64[M]")
    return f"{months[0]}..{months[-1]}"


def snap(values: xr.DataArray, grid: xr.DataArray, what: str) -> xr.DataArray:
    """Bring values onto the cells of `grid`, which must be among their own to a thousandth of a degree."""
    for axis in ("clim_lat", "clim_lon"):
        wanted = grid[axis].values
        here = values[axis].values
        away = np.abs(here[:, None] - wanted[None, :])
        away = np.minimum(away, np.abs(away - 360)) if axis == "clim_lon" else away
        nearest = away.argmin(axis=0)
        if away.min(axis=0).max() > 1e-3:
            raise ValueError(
                f"{what} lies on another grid than the temperature: {axis} {here.min():g}..{here.max():g} ({len(here)} "
                f"cells) against {wanted.min():g}..{wanted.max():g} ({len(wanted)}). Regrid one to the other first."
            )
        values = values.isel({axis: nearest}).assign_coords({axis: wanted})
    return values


def _some(months: np.ndarray) -> str:
    shown = ", ".join(str(month) for month in months[:6])
    return shown if len(months) <= 6 else f"{shown} and {len(months) - 6} more"
