"""The table of observations: its columns, defaults and checks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from glacierscale.schema import OBSERVATION_KINDS, OBSERVATIONS

DEFAULT_SIGMA_KG_M2 = {
    "annual": 200.0,
    "winter": 140.0,
    "summer": 140.0,
    "point": 200.0,
    "band": 300.0,
    "geodetic": 100.0,
}
"""Standard error of an observation that states none (of a geodetic balance, per year).

Working values of the order that reanalyses of long series find (Zemp et al. 2013, doi 10.5194/tc-7-1227-2013, and the
compilations of Dyurgerov 2002), not the error of any one series. Winter and summer are taken as independent, so that
their sum has the error of the annual balance; a band carries the spread of few stakes inside it.
"""

LIMITS_KG_M2 = {"annual": 15e3, "winter": 15e3, "summer": 15e3, "point": 17e3, "band": 17e3, "geodetic": 15e3}
"""Largest plausible absolute value, of a point per year; the largest stake and band values on record lie between 13 and
17 m w.e."""

SMALL_KG_M2 = 20.0
"""Ten or more observations that all stay below this were given in m w.e."""

_SENTINELS = (-9999.0, -99999.0, -9999e3, -99999e3)  # as written, and after conversion from m w.e.

_KEY = [name for name in OBSERVATIONS if name not in ("obs_value", "obs_sigma")]


def table_of(columns: dict[str, Any], *, hemisphere: str | Iterable[str] = "north") -> pd.DataFrame:
    """Build and check a table: fill what a publisher does not state, cast, validate.

    Parameters
    ----------
    columns : dict
        Columns by schema name, at least ``obs_unit_id``, ``obs_kind``, ``obs_year`` and ``obs_value`` (kg m-2). Rows
        with a NaN value are left out. Where ``obs_sigma`` is missing or NaN, `DEFAULT_SIGMA_KG_M2` is used; where a
        date is missing, or the period is not positive (or shorter than 30 days for a glacier-wide balance), the
        dates of the hydrological year or season.
    hemisphere : str or sequence of str
        ``"north"`` or ``"south"``, for all rows or each.
    """
    table = pd.DataFrame({"hemisphere": hemisphere, **columns} if columns else {"hemisphere": []})
    table = table[pd.to_numeric(table["obs_value"], errors="raise").notna()].reset_index(drop=True)
    for name in ("obs_sigma", "obs_elevation", "obs_lon", "obs_lat"):
        if name not in table:
            table[name] = np.nan
    table["obs_sigma"] = table["obs_sigma"].fillna(table["obs_kind"].map(DEFAULT_SIGMA_KG_M2))
    season = table.pop("season") if "season" in table else table["obs_kind"]
    start, end = season_dates(table["obs_year"], season, table.pop("hemisphere"))
    dated = pd.Series(True, index=table.index)
    for name, default in (("obs_start", start), ("obs_end", end)):
        dated &= table[name].notna() if name in table else False
        table[name] = pd.to_datetime(table[name]).fillna(default) if name in table else default
    undated = (table["obs_kind"] == "geodetic") & ~dated
    if undated.any():
        first = table["obs_unit_id"][undated].iloc[0]
        raise ValueError(
            f"{int(undated.sum())} geodetic observations state no period (such as {first}); "
            "give obs_start and obs_end, the dates of the two surveys."
        )
    wide = table["obs_kind"].isin(["annual", "winter", "summer"])
    wrong = (table["obs_end"] - table["obs_start"]).dt.days < np.where(wide, 30, 1)
    table["obs_start"], table["obs_end"] = table["obs_start"].mask(wrong, start), table["obs_end"].mask(wrong, end)
    return check_observations(table[list(OBSERVATIONS)])


def season_dates(year: pd.Series, season: pd.Series, hemisphere: pd.Series) -> tuple[pd.Series, pd.Series]:
    """First and last day of a hydrological year, or of its winter (first seven months) or summer (last five).

    Parameters
    ----------
    year : (observation,) hydrological year
    season : (observation,) ``"winter"``, ``"summer"``, anything else for the whole year
    hemisphere : (observation,) ``"north"`` or ``"south"``
    """
    first = pd.Series(np.where(hemisphere == "south", 4, 10), index=year.index)  # month in which the year begins
    begin = (year.astype(np.int64) - 1971) * 12 + first - 1
    start_month = begin + np.where(season == "summer", 7, 0)
    end_month = begin + np.where(season == "winter", 7, 12)
    start = start_month.to_numpy().astype("datetime64[M]").astype("datetime64[ns]")
    end = end_month.to_numpy().astype("datetime64[M]").astype("datetime64[D]") - np.timedelta64(1, "D")
    return pd.Series(start, index=year.index), pd.Series(end.astype("datetime64[ns]"), index=year.index)


def empty() -> pd.DataFrame:
    """Return the table without rows."""
    return _cast(pd.DataFrame({name: [] for name in OBSERVATIONS}))


def check_observations(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table, cast to the dtypes of the schema, if it can be trusted.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns of `glacierscale.schema.OBSERVATIONS`; values in kg m-2.

    Raises
    ------
    ValueError
        For missing columns, unknown kinds, sentinels and infinities, values that suggest another unit, standard errors
        that are not positive, periods that end before they start, positions off the globe, and duplicated observations.
    """
    import pandera.pandas as pa  # takes about a second to import

    missing = [name for name in OBSERVATIONS if name not in table.columns]
    if missing:
        raise ValueError(f"observations lack the columns {', '.join(missing)}; expected {', '.join(OBSERVATIONS)}.")
    _refuse_sentinels(table)
    table = _cast(table[list(OBSERVATIONS)])
    try:
        _schema(pa).validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        faults = [f"{check} ({_examples(rows, table)})" for check, rows in cases.groupby("check", sort=False)]
        raise ValueError("observations are not usable:\n  " + "\n  ".join(faults)) from error
    small = len(table) >= 10 and float(table["obs_value"].abs().max()) < SMALL_KG_M2
    if small:
        raise ValueError(
            f"all {len(table)} observations lie within +/- {float(table['obs_value'].abs().max()):g} kg m-2: likely a "
            "wrong unit, m w.e. taken for kg m-2. Set the units of the table."
        )
    return table


def _cast(table: pd.DataFrame) -> pd.DataFrame:
    result = table.reset_index(drop=True).copy()
    for name, variable in OBSERVATIONS.items():
        if variable.dtype == "string":
            result[name] = result[name].astype(str).astype(object)
        elif variable.dtype == "datetime64[ns]":
            result[name] = pd.to_datetime(result[name]).astype("datetime64[ns]")
        else:
            result[name] = result[name].astype(np.dtype(variable.dtype))
    return result


def _refuse_sentinels(table: pd.DataFrame) -> None:
    for name in ("obs_value", "obs_sigma", "obs_elevation", "obs_lon", "obs_lat"):
        numbers = pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64)
        bad = np.isin(numbers, _SENTINELS) | np.isinf(numbers) | (np.abs(numbers) >= 1e15)
        if name in ("obs_value", "obs_sigma"):
            bad |= np.isnan(numbers)
        if bad.any():
            shown = ", ".join(f"{number:g}" for number in np.unique(numbers[bad])[:4])
            raise ValueError(
                f"{name} holds {int(bad.sum())} values that mean 'no value' or are no numbers ({shown}); expected "
                "finite numbers. Declare them as missing where the table is read (na_values), or drop these rows."
            )


def _schema(pa: Any) -> Any:
    limits = LIMITS_KG_M2

    def column(dtype: Any, rule: Any, error: str, *, nullable: bool = False) -> Any:
        return pa.Column(dtype, pa.Check(rule, error=error), nullable=nullable)

    return pa.DataFrameSchema(
        {
            "obs_unit_id": column(
                object, lambda x: (x != "") & (x != "nan"), "obs_unit_id is empty; give the glacier's id"
            ),
            "obs_kind": column(
                object, lambda x: x.isin(OBSERVATION_KINDS), f"obs_kind is not one of {', '.join(OBSERVATION_KINDS)}"
            ),
            "obs_year": column("int32", lambda x: x.between(1500, 2200), "obs_year is no hydrological year"),
            "obs_value": pa.Column("float32"),
            "obs_sigma": column(
                "float32", lambda x: x > 0, "obs_sigma is not positive; leave it empty for the default"
            ),
            "obs_start": pa.Column("datetime64[ns]"),
            "obs_end": pa.Column("datetime64[ns]"),
            "obs_elevation": column(
                "float32", lambda x: x.between(-500, 9000), "obs_elevation is no elevation in metres", nullable=True
            ),
            "obs_lon": column(
                "float32", lambda x: x.between(-180, 180), "obs_lon is beyond 180 degrees", nullable=True
            ),
            "obs_lat": column("float32", lambda x: x.between(-90, 90), "obs_lat is beyond 90 degrees", nullable=True),
        },
        checks=[
            pa.Check(
                lambda x: x["obs_value"].abs() <= x["obs_kind"].map(limits).fillna(np.inf) * _years(x),
                error="obs_value is beyond 15,000 kg m-2 (17,000 at a point or band) a year: likely a wrong unit",
            ),
            pa.Check(lambda x: x["obs_end"] > x["obs_start"], error="the period ends before it starts"),
            pa.Check(lambda x: ~x.duplicated(_KEY, keep=False), error="duplicated observations; keep one of each"),
        ],
        strict=True,
        ordered=True,
    )


def _years(table: pd.DataFrame) -> pd.Series:
    """Years that a value is the total of, at least 1: a point may be observed over several."""
    days = (table["obs_end"] - table["obs_start"]).dt.days.where(table["obs_kind"] == "point", 0)
    years: pd.Series = (days / 365.0).clip(lower=1.0)
    return years


def _examples(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    index = pd.unique(rows["index"].dropna())[:4]
    shown = [f"{table['obs_unit_id'][i]} {table['obs_year'][i]}: {table['obs_value'][i]:g}" for i in index]
    return f"{rows['index'].nunique()} rows, such as {'; '.join(shown)}" if shown else "the whole column"
