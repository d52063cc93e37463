"""Climate of glaciers from monthly fields: lapse rates, degree days, snowfall and anomalies.

Arrays end in (..., hydro_year, month), month 0 being the first of the hydrological year.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from glacierscale.region import WINTER_MONTHS
from glacierscale.units import LAPSE_RATE_K_M, LAPSE_RATE_LIMITS_K_M, RAIN_ABOVE_DEGC, SNOW_BELOW_DEGC

DAYS_PER_MONTH = 365.25 / 12
Floats = npt.NDArray[np.floating]


def degree_days(temp_degc: npt.ArrayLike, sigma_k: float, *, days: float = DAYS_PER_MONTH) -> Floats:
    """Positive degree days of a month from its mean temperature.

    The expected positive part of a normal variable, in closed form (Calov & Greve 2005, doi 10.3189/172756505781829601,
    eq. 6).

    Parameters
    ----------
    temp_degc : array_like, any shape
        Monthly mean temperature, degC.
    sigma_k : float
        Standard deviation of daily temperature within the month, K.
    days : float
        Days in the month.

    Returns
    -------
    numpy.ndarray
        Same shape, K day.
    """
    temp = np.asarray(temp_degc)
    scaled = temp / np.asarray(sigma_k, temp.dtype)
    density = np.exp(-0.5 * scaled * scaled) * np.asarray(1 / np.sqrt(2 * np.pi), temp.dtype)
    degree: Floats = (density + scaled * special.ndtr(scaled)) * np.asarray(sigma_k * days, temp.dtype)
    return degree


def solid_fraction(temp_degc: npt.ArrayLike) -> Floats:
    """Share of precipitation that falls as snow: 1 below 0 degC, 0 above 2 degC, linear between."""
    temp = np.asarray(temp_degc)
    return np.clip((RAIN_ABOVE_DEGC - temp) / (RAIN_ABOVE_DEGC - SNOW_BELOW_DEGC), 0, 1).astype(temp.dtype, copy=False)


def lapse_rates(temp_degc: Floats, height_m: Floats, *, min_spread_m: float = 100.0) -> Floats:
    """Lapse rate around each climate cell, by regression over the cell and its eight neighbours.

    Parameters
    ----------
    temp_degc : (month, clim_lat, clim_lon) degC
        Climatology of each calendar month; the slope of a mean is the mean of slopes.
    height_m : (clim_lat, clim_lon) m
        Height of the cells; NaN where unknown.
    min_spread_m : float
        Standard deviation of the neighbours' heights below which the data cannot tell.

    Returns
    -------
    numpy.ndarray
        (month, clim_lat, clim_lon) K m-1, clipped to `units.LAPSE_RATE_LIMITS_K_M`; the standard rate where the heights
        vary too little.
    """
    known = np.isfinite(height_m) & np.isfinite(temp_degc).all(axis=0)
    height = np.where(known, height_m, 0.0)
    temp = np.where(known, temp_degc, 0.0)

    count = _neighbours(known.astype(float))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_height = _neighbours(height) / count
        variance = _neighbours(height**2) / count - mean_height**2
        covariance = _neighbours(temp * height) / count - _neighbours(temp) / count * mean_height
        slope = np.clip(covariance / variance, *LAPSE_RATE_LIMITS_K_M)
        tells = (count >= 3) & (variance > min_spread_m**2)
    return np.where(tells, slope, LAPSE_RATE_K_M)


def _neighbours(field: Floats) -> Floats:
    """Sum over each cell's 3 x 3 neighbourhood, edges included with the cells they have."""
    padded = np.pad(field, [(0, 0)] * (field.ndim - 2) + [(1, 1), (1, 1)])
    rows = padded[..., :-2, :] + padded[..., 1:-1, :] + padded[..., 2:, :]
    return rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]


def at_height(temp_degc: Floats, lapse_k_m: Floats, rise_m: Floats) -> Floats:
    """Temperature `rise_m` above its reference height.

    Parameters
    ----------
    temp_degc : (glacier, hydro_year, month) degC
    lapse_k_m : (glacier, month) K m-1
    rise_m : (glacier,) m, or (glacier, hydro_year) m

    Returns
    -------
    numpy.ndarray
        (glacier, hydro_year, month) degC
    """
    rise = rise_m[:, None, None] if rise_m.ndim == 1 else rise_m[:, :, None]
    return temp_degc + (lapse_k_m[:, None, :] * rise).astype(temp_degc.dtype, copy=False)


def precipitation_factor(rise_m: Floats, *, precip_factor: float, gradient_per_km: float) -> Floats:
    """Factor on the climate's precipitation so far above its height, never negative.

    Parameters
    ----------
    rise_m : array, any shape, m
    precip_factor : float
        At the height of the climate.
    gradient_per_km : float
        Relative increase with height.
    """
    factor: Floats = np.maximum(precip_factor * (1 + gradient_per_km * rise_m / 1000), 0)
    return factor


def annual_predictors(temp_degc: Floats, precip_kg_m2: Floats, sigma_k: float) -> dict[str, Floats]:
    """Degree days, seasonal snowfall and the months of one hydrological year (Bolibar et al. 2020).

    Parameters
    ----------
    temp_degc : (glacier, hydro_year, month) degC
        At the glacier's mean elevation.
    precip_kg_m2 : (glacier, hydro_year, month) kg m-2
    sigma_k : float
        Standard deviation of daily temperature within the month, K.

    Returns
    -------
    dict
        ``cpdd`` K day, ``winter_snow`` and ``summer_snow`` kg m-2, each (glacier, hydro_year); ``temp`` degC and
        ``snow`` kg m-2, each (glacier, hydro_year, month).
    """
    snow = precip_kg_m2 * solid_fraction(temp_degc)
    return {
        "cpdd": degree_days(temp_degc, sigma_k).sum(axis=-1),
        "winter_snow": snow[..., :WINTER_MONTHS].sum(axis=-1),
        "summer_snow": snow[..., WINTER_MONTHS:].sum(axis=-1),
        "temp": temp_degc,
        "snow": snow,
    }


def band_balance_terms(
    temp_degc: Floats,
    precip_kg_m2: Floats,
    lapse_k_m: Floats,
    rise_m: Floats,
    weight: Floats,
    sigma_k: float,
) -> tuple[Floats, Floats]:
    """Degree days and snowfall of the year, averaged over a glacier's elevation bands.

    The two terms of a temperature-index balance before its factors are applied.

    Parameters
    ----------
    temp_degc, precip_kg_m2 : (glacier, hydro_year, month)
        degC at the reference height, and kg m-2.
    lapse_k_m : (glacier, month) K m-1
    rise_m : (glacier, band) m
        Height of the bands above the reference height.
    weight : (glacier, band)
        Area share of the bands, summing to 1.
    sigma_k : float
        Standard deviation of daily temperature within the month, K.

    Returns
    -------
    degree_days, snow : (glacier, hydro_year)
        K day and kg m-2.
    """
    degree = np.zeros(temp_degc.shape[:2], temp_degc.dtype)
    snow = np.zeros_like(degree)
    for band in range(rise_m.shape[1]):
        temp = at_height(temp_degc, lapse_k_m, rise_m[:, band])
        share = weight[:, band, None].astype(temp_degc.dtype, copy=False)
        degree += share * degree_days(temp, sigma_k).sum(axis=-1)
        snow += share * (precip_kg_m2 * solid_fraction(temp)).sum(axis=-1)
    return degree, snow
