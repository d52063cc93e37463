"""Published monthly climate -> temperature, precipitation and cell height in our names and units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from glacierscale.schema import CUBE
from glacierscale.sources.grid import (
    check_gapless,
    decoded,
    month_starts,
    name_axes,
    on_one_grid,
    order_axes,
    snap,
    take_member,
)
from glacierscale.units import GRAVITY_M_S2, convert

TEMPERATURE_LIMITS_DEGC = (-90.0, 60.0)
"""Monthly means outside these are a wrong unit or wrong packing (the coldest hour on record is -89.2 degC)."""

LOWEST_PRECIP_KG_M2 = -100.0
"""Negative monthly precipitation down to here is an artefact of interpolation and becomes 0; below it is an error."""


@dataclass(frozen=True, kw_only=True)
class _Convention:
    temp: tuple[str, ...]
    precip: tuple[str, ...]
    height: tuple[str, ...]
    amounts_per_day: bool = False  # precipitation amounts are means of daily totals, not monthly totals
    height_needed: bool = True


_ECMWF = _Convention(
    temp=("t2m", "2t", "2m_temperature"),
    precip=("tp", "total_precipitation"),
    height=("z", "geopotential", "geopotential_at_surface"),
    amounts_per_day=True,
)
_CONVENTIONS = {
    "histalp": _Convention(temp=("temp",), precip=("prcp",), height=("hgt",)),
    "era5": _ECMWF,
    "era5_land": _ECMWF,
    "cera20c": _ECMWF,
    "cmip5": _Convention(temp=("tas",), precip=("pr",), height=("orog",), height_needed=False),
    "cru": _Convention(temp=("tmp",), precip=("pre",), height=(), height_needed=False),
    "cf": _Convention(
        temp=("air_temperature",),
        precip=(
            "precipitation_flux",
            "precipitation_amount",
            "lwe_precipitation_rate",
            "lwe_thickness_of_precipitation_amount",
        ),
        height=("surface_altitude", "geopotential", "height_above_mean_sea_level"),
        height_needed=False,
    ),
}
CONVENTIONS = tuple(_CONVENTIONS)
"""Names accepted by `normalize`."""


def normalize(datasets: Sequence[xr.Dataset], convention: str, *, member: int | None = None) -> xr.Dataset:
    """Bring published monthly climate to the cube's names, units and axes.

    Parameters
    ----------
    datasets : sequence of xarray.Dataset
        Opened files, in any order: one may hold everything, or one each the temperature, the precipitation and the
        orography; a variable that appears in several is joined along time. Lazy (dask) input stays lazy; it is
        streamed once for the checks.
    convention : {"histalp", "era5", "era5_land", "cera20c", "cmip5", "cru", "cf"}
        Who wrote them. ECMWF sets state precipitation as the mean of daily totals in metres and height as
        geopotential; ``"cf"`` finds variables by ``standard_name``.
    member : int, optional
        Label on the ensemble dimension; the ensemble mean where left out.

    Returns
    -------
    xarray.Dataset
        ``temp`` (time, clim_lat, clim_lon) degC; ``precip`` (time, clim_lat, clim_lon) kg m-2 of the month;
        ``clim_height`` (clim_lat, clim_lon) m, NaN where the source has none. ``time`` is the first of each month,
        gapless; latitude and longitude ascend, longitude from -180, beyond 180 only where a grid of a part of the Earth
        runs on over the antimeridian. ``precip.attrs["precip_clipped"]`` counts negative
        values set to 0. Cells without data in every month (sea) stay NaN.

    Raises
    ------
    ValueError
        Naming the variable, what it holds and the remedy.
    """
    if convention not in _CONVENTIONS:
        raise ValueError(f"unknown climate convention {convention!r}; expected one of {', '.join(_CONVENTIONS)}.")
    rules = _CONVENTIONS[convention]
    find = _by_standard_name if convention == "cf" else _by_name
    temp = _series(_needed(find(datasets, rules.temp), "temperature", rules.temp, datasets), member, _to_degc)
    to_amount = partial(_to_monthly_amount, per_day=rules.amounts_per_day)
    precip = _series(_needed(find(datasets, rules.precip), "precipitation", rules.precip, datasets), member, to_amount)
    _check_temperature(temp)
    precip = _clip_precipitation(precip)
    temp, precip = on_one_grid(temp, precip)
    found = find(datasets, rules.height)
    if rules.height_needed:
        _needed(found, "height or geopotential", rules.height, datasets)
    height = _height(found[0], temp) if found else xr.full_like(temp.isel(time=0, drop=True), np.nan)
    result = xr.Dataset(
        {
            "temp": _described(temp, "temp"),
            "precip": _described(precip, "precip"),
            "clim_height": _described(height.astype(np.float32), "clim_height"),
        },
        attrs={"climate_convention": convention, "precip_clipped": precip.attrs["precip_clipped"]},
    )
    for axis in ("time", "clim_lat", "clim_lon"):
        result[axis] = _described(result[axis], axis)
        result[axis].encoding = {}
    return result


def _by_name(datasets: Sequence[xr.Dataset], names: tuple[str, ...]) -> list[xr.DataArray]:
    lower = [name.lower() for name in names]
    return [ds[name] for ds in datasets for name in ds.data_vars if str(name).lower() in lower]


def _by_standard_name(datasets: Sequence[xr.Dataset], names: tuple[str, ...]) -> list[xr.DataArray]:
    import cf_xarray  # noqa: F401 - registers the accessor

    for wanted in names:
        found = [ds[name] for ds in datasets for name in ds.cf.standard_names.get(wanted, []) if name in ds.data_vars]
        if found:
            return found
    return []


def _needed(
    found: list[xr.DataArray], what: str, names: tuple[str, ...], datasets: Sequence[xr.Dataset]
) -> list[xr.DataArray]:
    if not found:
        held = sorted({str(name) for ds in datasets for name in ds.data_vars})
        raise ValueError(
            f"no {what} found: expected one of {', '.join(names)}, the files hold {', '.join(held) or 'nothing'}. "
            "Check the convention, or add the file that holds it."
        )
    return found


def _series(
    parts: Sequence[xr.DataArray],
    member: int | None,
    to_unit: Callable[[xr.DataArray, xr.DataArray, str, str], xr.DataArray],
) -> xr.DataArray:
    """Decode, check and convert each part, and join them along time."""
    pieces = []
    for part in parts:
        what, unit = str(part.name), part.attrs.get("units", "")
        values = take_member(name_axes(decoded(part, what), what), member, what)
        values = order_axes(values, what)
        starts, days = month_starts(values, what)
        values = values.drop_vars([name for name in values.coords if name not in values.dims])
        values = values.assign_coords(time=("time", starts)).transpose("time", "clim_lat", "clim_lon")
        month_days = xr.DataArray(days, dims="time", coords={"time": starts})
        pieces.append(to_unit(values, month_days, unit, what).astype(np.float32).rename(what))
    joined = pieces[0] if len(pieces) == 1 else xr.concat(pieces, "time", join="exact")
    joined = joined.sortby("time") if len(pieces) > 1 or np.any(np.diff(joined["time"].values) < 0) else joined
    check_gapless(joined["time"].values, str(joined.name))
    return joined


def _to_degc(values: xr.DataArray, days: xr.DataArray, unit: str, what: str) -> xr.DataArray:
    unit = "degC" if unit.lower() == "degrees celsius" else unit  # CRU TS
    convert(0.0, unit, "degC", name=what)  # a wrong unit is an error now, not when the graph runs
    return _apply(values, lambda block: convert(block, unit, "degC", name=what))


def _to_monthly_amount(
    values: xr.DataArray, days: xr.DataArray, unit: str, what: str, *, per_day: bool
) -> xr.DataArray:
    """Amounts of the month in kg m-2 from amounts or rates, as mass or as depth of water of 1000 kg m-3."""
    for target, factor, rate in (
        ("kg m-2", 1.0, per_day),
        ("kg m-2 day-1", 1.0, True),
        ("m", 1000.0, per_day),
        ("m s-1", 1000.0 * 86400.0, True),
    ):
        try:
            scale = float(convert(1.0, unit, target, name=what)) * factor
        except ValueError:
            continue
        return values.astype(np.float64) * scale * (days if rate else 1.0)
    return values * float(convert(1.0, unit, "kg m-2", name=what))  # raises, saying what is wrong with the unit


def _apply(values: xr.DataArray, function: Callable[[Any], np.ndarray]) -> xr.DataArray:
    result: xr.DataArray = xr.apply_ufunc(
        function, values.astype(np.float64), dask="parallelized", output_dtypes=[np.float64]
    )
    return result


def _check_temperature(temp: xr.DataArray) -> None:
    low, high = TEMPERATURE_LIMITS_DEGC
    filled = temp.where(np.isfinite(temp), 0.0)
    found = xr.Dataset({"low": filled.min(), "high": filled.max()}).compute()
    if float(found["low"]) < low or float(found["high"]) > high:
        raise ValueError(
            f"{temp.name} runs from {float(found['low']):.1f} to {float(found['high']):.1f} degC after conversion; "
            f"expected {low:g} to {high:g}. Suspect its unit or its packing (scale_factor, add_offset)."
        )


def _clip_precipitation(precip: xr.DataArray) -> xr.DataArray:
    filled = precip.where(np.isfinite(precip), 0.0)
    found = xr.Dataset({"low": filled.min(), "negative": (filled < 0).sum()}).compute()
    if float(found["low"]) <= LOWEST_PRECIP_KG_M2:
        raise ValueError(
            f"{precip.name} holds negative precipitation down to {float(found['low']):.1f} kg m-2 a month in "
            f"{int(found['negative'])} values; expected none below {LOWEST_PRECIP_KG_M2:g}. "
            "Suspect its unit, packing or sign."
        )
    clipped = precip.clip(min=0.0)
    clipped.attrs = {"precip_clipped": int(found["negative"])}
    return clipped


def _height(values: xr.DataArray, grid: xr.DataArray) -> xr.DataArray:
    """Height in metres from a height or a geopotential, on the cells of `grid`."""
    what, unit = str(values.name), values.attrs.get("units", "")
    values = name_axes(decoded(values, what), what)
    values = take_member(values.isel(time=0, drop=True) if "time" in values.dims else values, None, what)
    values = values.drop_vars([name for name in values.coords if name not in values.dims])
    try:
        convert(0.0, unit, "m2 s-2", name=what)
        target, divisor = "m2 s-2", GRAVITY_M_S2
    except ValueError:
        convert(0.0, unit, "m", name=what)
        target, divisor = "m", 1.0
    height = _apply(values, lambda block: convert(block, unit, target, name=what)) / divisor
    height = snap(order_axes(height, what), grid, what).transpose("clim_lat", "clim_lon")
    found = xr.Dataset({"low": height.min(), "high": height.max()}).compute()
    if float(found["low"]) < -1000.0 or float(found["high"]) > 9000.0:
        raise ValueError(
            f"{what} gives cell heights from {float(found['low']):.0f} to {float(found['high']):.0f} m; expected "
            "-1000 to 9000. Suspect its unit (geopotential is in m2 s-2) or its packing."
        )
    return height


def _described(values: xr.DataArray, name: str) -> xr.DataArray:
    variable = CUBE.variables[name]
    attrs = {"units": variable.units, "long_name": variable.long_name, "cell_methods": variable.cell_methods}
    kept = {"precip_clipped": values.attrs["precip_clipped"]} if "precip_clipped" in values.attrs else {}
    result = values.rename(name)
    result.attrs = {key: text for key, text in attrs.items() if text} | kept
    return result
