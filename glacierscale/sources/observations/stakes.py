"""Point balances at stakes, with the dates between which they were read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from glacierscale.sources.observations.glacierwide import day_month_year
from glacierscale.sources.observations.table import table_of
from glacierscale.units import convert

_SEASONS = {
    "annual": ("balance_netto", "start", "end"),
    "winter": ("balance_winter", "start", "turn"),
    "summer": ("balance_summer", "turn", "end"),
}
_LONGEST_DAYS = 500


def norway_stakes(table: pd.DataFrame, seasons: Sequence[str] = ("annual", "winter", "summer")) -> pd.DataFrame:
    """Stake balances of Norwegian glaciers (NVE), m w.e.

    The year of a row is the one that two of its three dates agree on; a date that contradicts it (the file holds slips
    of up to eleven years) is replaced by that of the hydrological year. Readings of several stakes at one place
    over one period are averaged.

    Parameters
    ----------
    table : pandas.DataFrame
        ``RGIID``, ``altitude``, ``lat``, ``lon``, ``balance_winter``, ``balance_summer``, ``balance_netto`` and the
        dates ``dt_prev_year_min_date``, ``dt_curr_year_max_date``, ``dt_curr_year_min_date`` (dd.mm.yyyy).
    seasons : sequence of str
        Which balances to return. Annual is the sum of the other two and not independent of them.

    Returns
    -------
    pandas.DataFrame
        Observations of kind ``"point"``; ``attrs["averaged"]`` counts readings that were merged into another,
        ``attrs["dates_replaced"]`` dates that were missing or contradictory.
    """
    unknown = [season for season in seasons if season not in _SEASONS]
    if unknown:
        raise ValueError(f"unknown seasons {', '.join(unknown)}; expected {', '.join(_SEASONS)}.")
    dates, year, replaced = _dates(table)
    parts = []
    for season in seasons:
        column, start, end = _SEASONS[season]
        parts.append(
            pd.DataFrame(
                {
                    "obs_unit_id": table["RGIID"],
                    "season": season,
                    "obs_year": year,
                    "obs_value": convert(table[column].to_numpy(np.float64), "m w.e.", "kg m-2"),
                    "obs_start": dates[start],
                    "obs_end": dates[end],
                    "obs_elevation": table["altitude"],
                    "obs_lon": table["lon"],
                    "obs_lat": table["lat"],
                }
            )
        )
    rows = pd.concat(parts, ignore_index=True).dropna(subset=["obs_value"])
    key = [name for name in rows.columns if name != "obs_value"]
    merged = rows.groupby(key, dropna=False, sort=False)["obs_value"].mean().reset_index()
    result = table_of({"obs_kind": "point", **{str(name): merged[name] for name in merged.columns}})
    result.attrs.update(averaged=len(rows) - len(merged), dates_replaced=replaced)
    return result


def iceland_stakes(table: pd.DataFrame) -> pd.DataFrame:
    """Stake balances of Icelandic glaciers, m w.e., one row per winter, summer or annual balance.

    Parameters
    ----------
    table : pandas.DataFrame
        ``YEAR``, ``RGIId``, ``POINT_LAT``, ``POINT_LON``, ``POINT_ELEVATION``, ``FROM_DATE``, ``TO_DATE`` (yyyymmdd)
        and ``POINT_BALANCE``. Rows without a balance are left out.
    """
    if "RGIId" not in table.columns:
        raise ValueError("the Icelandic table has no RGIId; take the one with topographical features, which has.")
    return table_of(
        {
            "obs_unit_id": table["RGIId"],
            "obs_kind": "point",
            "obs_year": table["YEAR"],
            "obs_value": convert(table["POINT_BALANCE"].to_numpy(np.float64), "m w.e.", "kg m-2"),
            "obs_start": pd.to_datetime(table["FROM_DATE"].astype(str), format="%Y%m%d"),
            "obs_end": pd.to_datetime(table["TO_DATE"].astype(str), format="%Y%m%d"),
            "obs_elevation": table["POINT_ELEVATION"],
            "obs_lon": table["POINT_LON"],
            "obs_lat": table["POINT_LAT"],
        }
    )


def _dates(table: pd.DataFrame) -> tuple[dict[str, pd.Series], pd.Series, int]:
    """Start, turn and end of each stake year, the hydrological year, and how many dates were not usable."""
    start = day_month_year(table["dt_prev_year_min_date"])
    turn = day_month_year(table["dt_curr_year_max_date"])
    end = day_month_year(table["dt_curr_year_min_date"])
    # Autumn readings run into January: shift by five months so that each stands for its balance year.
    by_start = (start - pd.DateOffset(months=5)).dt.year + 1
    by_end = (end - pd.DateOffset(months=5)).dt.year
    by_turn = turn.dt.year
    year = by_turn.where(~((by_start == by_end) & (by_start != by_turn)), by_end).astype(np.int32)
    usable = {
        "start": start.where(by_start == year),
        "turn": turn.where(by_turn == year),
        "end": end.where(by_end == year),
    }
    for late, early in (("turn", "start"), ("end", "turn"), ("end", "start")):
        days = (usable[late] - usable[early]).dt.days
        bad = (days <= 0) | (days > _LONGEST_DAYS)
        usable[late] = usable[late].mask(bad)
        usable[early] = usable[early].mask(bad)
    replaced = sum(int(series.isna().sum()) for series in usable.values())
    return usable, year, replaced
