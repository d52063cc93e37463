"""Differentiable accumulation and degree-day melt, month by month, with the snow of the year carried along.

Snow that has fallen since the hydrological year began melts first, with the degree-day factor of snow; what melt is
left takes firn or ice with the factor of ice (Hock 2003, doi 10.1016/S0022-1694(03)00257-9). Any leading dimensions.
"""

from __future__ import annotations

import math

import torch

from glacierscale.features.climate import DAYS_PER_MONTH
from glacierscale.units import RAIN_ABOVE_DEGC, SNOW_BELOW_DEGC


def degree_days(temp_degc: torch.Tensor, sigma_k: torch.Tensor | float) -> torch.Tensor:
    """Positive degree days of a month from its mean temperature (Calov & Greve 2005, eq. 6), K day.

    Parameters
    ----------
    temp_degc : tensor, any shape
        Monthly mean temperature, degC.
    sigma_k : tensor or float
        Standard deviation of daily temperature within the month, K; broadcasts.
    """
    scaled = temp_degc / sigma_k
    density = torch.exp(-0.5 * scaled * scaled) / math.sqrt(2 * math.pi)
    below = 0.5 * torch.erfc(-scaled * math.sqrt(0.5))
    # In very cold months the two terms cancel, and rounding must not make snow of melt.
    return (density + scaled * below).clamp_min(0) * (sigma_k * DAYS_PER_MONTH)


def solid_fraction(temp_degc: torch.Tensor) -> torch.Tensor:
    """Share of precipitation that falls as snow: 1 below 0 degC, 0 above 2 degC, linear between."""
    return ((RAIN_ABOVE_DEGC - temp_degc) / (RAIN_ABOVE_DEGC - SNOW_BELOW_DEGC)).clamp(0, 1)


def monthly_balance(
    snowfall_kg_m2: torch.Tensor,
    warmth_k_day: torch.Tensor,
    ddf_snow: torch.Tensor,
    ddf_ice: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Balance and snow cover of every month of hydrological years.

    Parameters
    ----------
    snowfall_kg_m2 : (..., month)
        Snowfall of each month, kg m-2.
    warmth_k_day : (..., month)
        Positive degree days of each month, K day.
    ddf_snow, ddf_ice : (...)
        Degree-day factors, kg m-2 K-1 day-1.

    Returns
    -------
    balance, snow : (..., month)
        kg m-2 gained in the month, and kg m-2 of this year's snow on the ground at its end.
    """
    as_snow = ddf_snow[..., None] * warmth_k_day
    ratio = ddf_ice / ddf_snow
    # Month by month in stacks of lists: the state of one month is the start of the next.
    cover = torch.zeros_like(as_snow[..., 0])
    balance, snow = [], []
    for fallen, could_melt in zip(snowfall_kg_m2.unbind(-1), as_snow.unbind(-1), strict=True):
        ground = cover + fallen
        melted = torch.minimum(ground, could_melt)
        cover = ground - melted
        balance.append(fallen - melted - (could_melt - melted) * ratio)
        snow.append(cover)
    return torch.stack(balance, -1), torch.stack(snow, -1)
