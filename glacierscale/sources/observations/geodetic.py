"""Geodetic balances: mean mass change per year between two surveys."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from glacierscale.sources.observations.glacierwide import day_month_year
from glacierscale.sources.observations.table import table_of
from glacierscale.units import VOLUME_TO_MASS_KG_M3, VOLUME_TO_MASS_SIGMA_KG_M3, convert

DAYS_PER_YEAR = 365.2425
"""Mean length of a year of the Gregorian calendar."""

_NEAREST = {"north": (-1, "-10-01", "-09-30"), "south": (0, "-04-01", "-03-31")}
"""Where hydrological years turn that is nearest to 1 January: years later, first day after and last day before."""
_END_OF_MELT = 7  # a survey from July on closes the balance year it falls in


def geodetic_from_dh(
    dh_m: npt.ArrayLike, sigma_dh_m: npt.ArrayLike, start: npt.ArrayLike, end: npt.ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Mean annual mass balance from mean elevation change (Huss 2013: 850 +/- 60 kg m-3).

    Parameters
    ----------
    dh_m, sigma_dh_m : (observation,) m
        Elevation change over the period, negative for thinning, averaged over the glacier, and its standard error.
    start, end : (observation,) dates
        The two surveys.

    Returns
    -------
    value, sigma : (observation,) kg m-2 per year
        The errors of elevation change and density are independent and add in quadrature.

    Raises
    ------
    ValueError
        If a period is not positive or a standard error is negative.
    """
    dh, sigma = np.asarray(dh_m, np.float64), np.asarray(sigma_dh_m, np.float64)
    days = np.asarray(end, "datetime64[D]") - np.asarray(start, "datetime64[D]")
    years = days.astype(np.float64) / DAYS_PER_YEAR
    if not np.all(years > 0):
        raise ValueError(
            f"{int(np.sum(~(years > 0)))} geodetic periods do not end after they start; give start, then end."
        )
    if np.any(sigma < 0):
        raise ValueError(f"{int(np.sum(sigma < 0))} standard errors of elevation change are negative; expected m >= 0.")
    value = dh * VOLUME_TO_MASS_KG_M3 / years
    return value, np.hypot(sigma * VOLUME_TO_MASS_KG_M3, dh * VOLUME_TO_MASS_SIGMA_KG_M3) / years


def geodetic_norway(table: pd.DataFrame) -> pd.DataFrame:
    """Geodetic balances of Norwegian glaciers (NVE), m w.e. per year with standard errors.

    Parameters
    ----------
    table : pandas.DataFrame
        ``RGIID`` (spelled ``RGI160-08.xxxxx`` for ``RGI60-08.xxxxx``), ``from_date``, ``to_date`` (dd.mm.yyyy),
        ``B_geod``, ``sigma_B_geod``.
    """
    end = day_month_year(table["to_date"])
    return table_of(
        {
            "obs_unit_id": table["RGIID"].str.replace(r"^RGI160-", "RGI60-", regex=True),
            "obs_kind": "geodetic",
            "obs_year": last_hydro_year(end),
            "obs_value": convert(table["B_geod"].to_numpy(np.float64), "m w.e.", "kg m-2"),
            "obs_sigma": convert(table["sigma_B_geod"].to_numpy(np.float64), "m w.e.", "kg m-2"),
            "obs_start": day_month_year(table["from_date"]),
            "obs_end": end,
        }
    )


def hugonnet_decades(table: pd.DataFrame, *, hemisphere: str = "north") -> pd.DataFrame:
    """Decadal geodetic balances (Hugonnet et al. 2021), m w.e. per year with standard errors.

    A period from 1 January 2000 to 1 January 2010 counts as the hydrological years 2000 to 2009 in the north and 2001
    to 2010 in the south, which make up most of it: climate by hydrological year then covers both decades, and what
    three months at both ends differ by is a small part of ten years.

    Very small glaciers carry the mean of their region instead of a measurement; those values have more than the four
    decimals of the publication and are left out.

    Parameters
    ----------
    table : pandas.DataFrame
        ``rgi_id``, ``period`` (``"2000-2010"``: 1 January to 1 January), ``dmdtda``, ``err_dmdtda``.
    hemisphere : {"north", "south"}
        Which hydrological years are meant.

    Returns
    -------
    pandas.DataFrame
        Observations of kind ``"geodetic"``; ``attrs["dropped_fills"]`` counts regional fill values.
    """
    scaled = table["dmdtda"].to_numpy(np.float64) * 1e4
    fill = np.abs(scaled - np.round(scaled)) > 1e-3
    kept = table[~fill].reset_index(drop=True)
    later, first_day, last_day = _NEAREST[hemisphere]
    span = kept["period"].str.split("-", expand=True).astype(int) + later
    result = table_of(
        {
            "obs_unit_id": kept["rgi_id"],
            "obs_kind": "geodetic",
            "obs_year": span[1].astype(np.int32),
            "obs_value": convert(kept["dmdtda"].to_numpy(np.float64), "m w.e.", "kg m-2"),
            "obs_sigma": convert(kept["err_dmdtda"].to_numpy(np.float64), "m w.e.", "kg m-2"),
            "obs_start": pd.to_datetime(span[0].astype(str) + first_day),
            "obs_end": pd.to_datetime(span[1].astype(str) + last_day),
        }
    )
    result.attrs["dropped_fills"] = int(fill.sum())
    return result


def last_hydro_year(end: pd.Series) -> pd.Series:
    """Last hydrological year of a northern period: surveys from July on close the year they fall in."""
    years: pd.Series = end.dt.year - (end.dt.month < _END_OF_MELT)
    return years.astype(np.int32)
