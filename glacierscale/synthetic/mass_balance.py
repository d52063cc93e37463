"""The true mass balance of the synthetic glaciers: a monthly temperature-index model on elevation bands."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.special import erfc

from glacierscale.region import WINTER_MONTHS
from glacierscale.synthetic.atmosphere import (
    REFERENCE_M,
    days_in_month,
    lapse_rate,
    months,
    precipitation_at,
    temperature_at,
)
from glacierscale.synthetic.glaciers import Forms, forms
from glacierscale.synthetic.margins import glacier_ids
from glacierscale.synthetic.options import GROUP, Floats, SyntheticOptions, TrueProcess, block
from glacierscale.synthetic.relief import hypsometry
from glacierscale.units import RAIN_ABOVE_DEGC, SNOW_BELOW_DEGC


def degree_days(temp_degc: Floats, days: Floats, sigma_k: float) -> Floats:
    """Positive degree days of months from their mean temperature, K d.

    The integral of Calov & Greve (2005, Journal of Glaciology 51, 332) with a normal spread of `sigma_k` inside
    the month.
    """
    scaled = temp_degc / (np.sqrt(2) * sigma_k)
    mean = sigma_k / np.sqrt(2 * np.pi) * np.exp(-(scaled**2)) + temp_degc / 2 * erfc(-scaled)
    return np.asarray(mean * days)


def _facing(options: SyntheticOptions, aspect: Floats) -> Floats:
    """What the aspect of a glacier, radians, multiplies both degree-day factors with; those that face the pole last."""
    shaded = np.cos(aspect) if options.hemisphere == "north" else -np.cos(aspect)
    return np.asarray(1 - options.process.aspect_effect * shaded)


def _balances(
    temp_degc: Floats, precip_kg_m2: Floats, days: Floats, facing: Floats, process: TrueProcess
) -> tuple[Floats, Floats]:
    """Winter and summer balance of one hydrological year, kg m-2.

    Months come last, the first of the year first; `facing` multiplies both degree-day factors and broadcasts against
    the other dimensions. Snow of the year melts first; the melt left over takes firn or ice with the factor of ice. The
    year begins without snow.
    """
    solid = np.clip((RAIN_ABOVE_DEGC - temp_degc) / (RAIN_ABOVE_DEGC - SNOW_BELOW_DEGC), 0, 1)
    snowfall = process.precip_factor * solid * precip_kg_m2
    melt_as_snow = process.ddf_snow * facing[..., None]
    melt_as_snow = melt_as_snow * degree_days(temp_degc, days, process.pdd_sigma_k)
    snow, balance = np.zeros(temp_degc.shape[:-1]), np.zeros(temp_degc.shape[:-1])
    winter = balance
    for month in range(12):
        snow = snow + snowfall[..., month]
        melted = np.minimum(snow, melt_as_snow[..., month])
        ice = (melt_as_snow[..., month] - melted) * (process.ddf_ice / process.ddf_snow)
        snow = snow - melted
        balance = balance + snowfall[..., month] - melted - ice
        if month + 1 == WINTER_MONTHS:
            winter = balance
    return winter, balance - winter


def _hydro(options: SyntheticOptions, values: Floats) -> Floats:
    """Cut (..., time) as `atmosphere.months` has it into (..., hydro_year, month)."""
    count = len(options.years)
    return values[..., 9 : 9 + 12 * count].reshape(*values.shape[:-1], count, 12)


def seasonal_at(options: SyntheticOptions, form: Forms, elevation_m: Floats) -> tuple[Floats, Floats]:
    """Noiseless winter and summer balance at heights on glaciers.

    Parameters
    ----------
    options : SyntheticOptions
        The range.
    form : Forms
        Glaciers.
    elevation_m : numpy.ndarray
        Heights on each, (glacier, height).

    Returns
    -------
    winter, summer : numpy.ndarray
        (glacier, hydro_year, height) kg m-2.
    """
    days = days_in_month(months(options)).astype(np.float64)
    temp = _hydro(options, temperature_at(options, form.x_m, form.y_m))[:, :, None, :]
    precip = _hydro(options, precipitation_at(options, form.x_m, form.y_m) * 1000 * days)[:, :, None, :]
    lapse = _hydro(options, lapse_rate(options))[None, :, None, :]
    temp = temp + lapse * (elevation_m[:, None, :, None] - REFERENCE_M)  # (glacier, hydro_year, height, month)
    temp = temp + options.process.temp_bias_k
    facing = _facing(options, form.aspect[:, None, None])
    return _balances(temp, precip, _hydro(options, days)[None, :, None, :], facing, options.process)


def truth_seasonal(options: SyntheticOptions, start: int = 0, stop: int | None = None) -> xr.Dataset:
    """Noiseless glacier-wide winter, summer and annual balances of a block of glaciers.

    The geometry is that of the outlines in every year, and climate that of the glacier's centre.

    Parameters
    ----------
    options : SyntheticOptions
        The range.
    start, stop : int
        Glaciers of the block; all by default.

    Returns
    -------
    xarray.Dataset
        ``winter``, ``summer`` and their sum ``annual``, (glacier, hydro_year) kg m-2.
    """
    start, stop = block(options, start, stop)
    shape = (stop - start, len(options.years))
    winter, summer = np.empty(shape), np.empty(shape)
    for low in range(start, stop, GROUP):
        high = min(low + GROUP, stop)
        ice = hypsometry(options, low, high)
        parts = seasonal_at(options, forms(options, low, high), ice.elevation_m)
        for out, values in zip((winter, summer), parts, strict=True):
            total = np.zeros(values.shape[:2])
            for band in range(values.shape[2]):  # a fixed order of sums keeps every block equal to the whole
                total += ice.share[:, None, band] * values[:, :, band]
            out[low - start : high - start] = total
    dims = ("glacier", "hydro_year")
    names = {"winter": winter, "summer": summer, "annual": winter + summer}
    return xr.Dataset(
        {
            name: (dims, values, {"units": "kg m-2", "long_name": f"true glacier-wide {name} surface mass balance"})
            for name, values in names.items()
        },
        coords={
            "glacier_id": ("glacier", glacier_ids(start, stop)),
            "hydro_year": ("hydro_year", np.array(options.years, dtype=np.int32)),
        },
    )


def truth(options: SyntheticOptions, start: int = 0, stop: int | None = None) -> xr.DataArray:
    """Noiseless annual balance of a block of glaciers, (glacier, hydro_year) kg m-2; see `truth_seasonal`."""
    return truth_seasonal(options, start, stop)["annual"].rename("smb")


def truth_at(options: SyntheticOptions, glacier: npt.ArrayLike, elevation_m: npt.ArrayLike) -> xr.DataArray:
    """Noiseless annual balance of cells of glaciers, the process of `truth` at each height.

    Parameters
    ----------
    options : SyntheticOptions
        The range.
    glacier : array_like of int
        Number of the glacier that each cell lies on, counted from 0, (cell).
    elevation_m : array_like
        Height of each cell, (cell) m.

    Returns
    -------
    xarray.DataArray
        (cell, hydro_year) kg m-2.

    Raises
    ------
    ValueError
        If the two differ in length, a number is not that of a glacier, or a height is not finite.
    """
    number, height = np.asarray(glacier), np.asarray(elevation_m, dtype=np.float64)
    if (
        number.ndim != 1
        or number.shape != height.shape
        or not (number.size == 0 or np.issubdtype(number.dtype, np.integer))
    ):
        raise ValueError(
            f"glacier is {number.dtype} of shape {number.shape}, elevation_m of shape {height.shape}; "
            "expected a whole number and a height for every cell."
        )
    if number.size and not 0 <= number.min() <= number.max() < options.glaciers:
        raise ValueError(
            f"glacier runs from {number.min()} to {number.max()}; expected numbers from 0 to {options.glaciers - 1}."
        )
    if not np.isfinite(height).all():
        raise ValueError(
            f"elevation_m is not finite in {(~np.isfinite(height)).sum()} of {height.size} cells; "
            "expected heights, so leave out cells without ice."
        )
    values = np.empty((height.size, len(options.years)))
    for one in np.unique(number):
        cells = np.flatnonzero(number == one)
        winter, summer = seasonal_at(options, forms(options, int(one), int(one) + 1), height[None, cells])
        values[cells] = (winter + summer)[0].T
    return xr.DataArray(
        values,
        coords={"hydro_year": ("hydro_year", np.array(options.years, dtype=np.int32))},
        dims=("cell", "hydro_year"),
        name="smb",
        attrs={"units": "kg m-2", "long_name": "true annual surface mass balance at the cell"},
    )


def degree_day_factors(options: SyntheticOptions, start: int = 0, stop: int | None = None) -> xr.Dataset:
    """True degree-day factors of a block of glaciers, which depend on the way each faces.

    Returns
    -------
    xarray.Dataset
        ``ddf_snow`` and ``ddf_ice``, (glacier) kg m-2 K-1 day-1.
    """
    start, stop = block(options, start, stop)
    process = options.process
    facing = _facing(options, forms(options, start, stop).aspect)
    factors = {"ddf_snow": process.ddf_snow * facing, "ddf_ice": process.ddf_ice * facing}
    return xr.Dataset(
        {name: ("glacier", values, {"units": "kg m-2 K-1 day-1"}) for name, values in factors.items()},
        coords={"glacier_id": ("glacier", glacier_ids(start, stop))},
    )
