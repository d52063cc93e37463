"""Tables of the World Glacier Monitoring Service (Fluctuations of Glaciers, as prepared for OGGM)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from glacierscale.region import unit_of
from glacierscale.sources.observations.table import LIMITS_KG_M2, empty, table_of

_NO_VALUE = -9999.0  # stands undeclared in one profile (WGMS 432, 2012)

_LINK_COLUMNS = {
    "RGI40": ("RGI40_ID", "rgi40_id"),
    "RGI50": ("rgi50_id_shapefile", "RGI50_ID", "rgi50_id"),
    "RGI60": ("RGI60_ID", "rgi60_id"),
    "RGI2000": ("RGI70_ID", "rgi70_id"),
}


def wgms(
    tables: Iterable[pd.DataFrame], links: pd.DataFrame, ids: Sequence[str], *, periods: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Glacier-wide annual, winter and summer balances.

    Parameters
    ----------
    tables : iterable of pandas.DataFrame
        ``YEAR``, ``WGMS_ID``, ``ANNUAL_BALANCE``, ``WINTER_BALANCE``, ``SUMMER_BALANCE`` in mm w.e.; YEAR is the year
        in which the balance year ends.
    links : pandas.DataFrame
        WGMS id to RGI ids. The RGI version of `ids` chooses the column: numbers differ between versions.
    ids : sequence of str
        Identifiers of the outlines; parts of a glacier (``_d01``, ``_d02``) share one observation.
    periods : pandas.DataFrame, optional
        ``WGMS_ID``, ``Year``, ``BEGIN_PERIOD``, ``END_WINTER``, ``END_PERIOD``: survey dates; those of the
        hydrological year elsewhere.

    Returns
    -------
    pandas.DataFrame
        Observations in kg m-2. ``attrs["dropped_glaciers"]`` lists WGMS ids without an outline among `ids`.
    """
    units = _units(links, ids)
    selected = [table[_needed(table)] for table in tables]
    if not selected:
        raise ValueError("no WGMS table was given; check the pattern of file names in the catalogue.")
    table = pd.concat(selected, ignore_index=True)
    kept = table[table["WGMS_ID"].isin(units.index)].reset_index(drop=True)
    dropped = sorted({int(number) for number in table["WGMS_ID"]} - {int(number) for number in kept["WGMS_ID"]})
    if kept.empty:
        return _noted(empty(), dropped)
    if periods is not None:
        dates = periods.rename(columns={"Year": "YEAR"})
        kept = kept.merge(dates[["WGMS_ID", "YEAR", "BEGIN_PERIOD", "END_WINTER", "END_PERIOD"]], how="left")
    else:
        kept[["BEGIN_PERIOD", "END_WINTER", "END_PERIOD"]] = np.datetime64("NaT", "ns")
    south = _south(links, units)
    parts = [
        pd.DataFrame(
            {
                "obs_unit_id": kept["WGMS_ID"].map(units),
                "obs_kind": kind,
                "obs_year": kept["YEAR"],
                "obs_value": kept[column],
                "obs_start": pd.to_datetime(kept[start]),
                "obs_end": pd.to_datetime(kept[end]),
                "hemisphere": np.where(kept["WGMS_ID"].isin(south), "south", "north"),
            }
        )
        for kind, column, start, end in (
            ("annual", "ANNUAL_BALANCE", "BEGIN_PERIOD", "END_PERIOD"),
            ("winter", "WINTER_BALANCE", "BEGIN_PERIOD", "END_WINTER"),
            ("summer", "SUMMER_BALANCE", "END_WINTER", "END_PERIOD"),
        )
    ]
    return _noted(_built(pd.concat(parts, ignore_index=True)), dropped)


def wgms_profiles(tables: Mapping[int | str, pd.DataFrame], links: pd.DataFrame, ids: Sequence[str]) -> pd.DataFrame:
    """Annual balance by elevation band.

    Parameters
    ----------
    tables : mapping
        Profile tables by WGMS id, or by a name that ends in it (``"profile_WGMS-00491"``): the first column (or the
        index) is the year, the headers of the others are band centres in m, values in mm w.e.
    links, ids
        As for `wgms`.

    Returns
    -------
    pandas.DataFrame
        Observations of kind ``"band"``. ``attrs["dropped_glaciers"]`` lists WGMS ids without an outline,
        ``attrs["dropped_values"]`` counts values that mean none (-9999) or are
        beyond the limit for a band (the collection holds some of 160 m w.e.).
    """
    units = _units(links, ids)
    south = _south(links, units)
    parts, dropped = [], []
    for name, table in tables.items():
        number = int(re.findall(r"\d+", str(name))[-1])
        if number not in units.index:
            dropped.append(number)
            continue
        if not isinstance(table.index, pd.RangeIndex) or table.index.name:
            table = table.reset_index()
        year = str(table.columns[0])
        long = table.rename(columns={table.columns[0]: year}).melt(
            id_vars=year, var_name="band", value_name="obs_value"
        )
        parts.append(
            pd.DataFrame(
                {
                    "obs_unit_id": units[number],
                    "obs_kind": "band",
                    "obs_year": long[year].astype(np.int32),
                    "obs_value": long["obs_value"],
                    "obs_elevation": pd.to_numeric(long["band"]),
                    "hemisphere": "south" if number in south else "north",
                }
            )
        )
    if not parts:
        return _noted(empty(), dropped)
    found = pd.concat(parts, ignore_index=True)
    wild = (found["obs_value"].abs() > LIMITS_KG_M2["band"]) | (found["obs_value"] == _NO_VALUE)
    result = _noted(_built(found[~wild]), dropped)
    result.attrs["dropped_values"] = int(wild.sum())
    return result


def _built(rows: pd.DataFrame) -> pd.DataFrame:
    return table_of(
        {str(name): rows[name] for name in rows.columns if name != "hemisphere"}, hemisphere=rows["hemisphere"]
    )


def _noted(table: pd.DataFrame, dropped: list[int]) -> pd.DataFrame:
    table.attrs["dropped_glaciers"] = sorted(dropped)
    return table


def _needed(table: pd.DataFrame) -> list[str]:
    wanted = ["YEAR", "WGMS_ID", "ANNUAL_BALANCE", "WINTER_BALANCE", "SUMMER_BALANCE"]
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise ValueError(f"the WGMS table lacks {', '.join(missing)}; it has {', '.join(map(str, table.columns))}.")
    return wanted


def _units(links: pd.DataFrame, ids: Sequence[str]) -> pd.Series:
    """Map WGMS ids to unit ids, for the units that have an outline."""
    versions = sorted({re.split(r"[-.]", str(name))[0] for name in ids})
    if len(versions) != 1 or versions[0] not in _LINK_COLUMNS:
        raise ValueError(
            f"outline ids of {' and '.join(versions) or 'no version'} cannot be linked to WGMS ids; expected ids of "
            f"one RGI version, {', '.join(_LINK_COLUMNS)}."
        )
    column = next((name for name in _LINK_COLUMNS[versions[0]] if name in links.columns), None)
    number = next((name for name in ("WGMS_ID", "wgms_id") if name in links.columns), None)
    if column is None or number is None:
        raise ValueError(
            f"the link table has no column of {versions[0]} ids (one of {', '.join(_LINK_COLUMNS[versions[0]])}) and "
            f"WGMS ids; it has {', '.join(map(str, links.columns))}."
        )
    wanted = {unit_of(str(name)) for name in ids}
    pairs = links[[number, column]].dropna()
    pairs = pairs.assign(unit=pairs[column].astype(str).map(unit_of)).drop_duplicates([number, "unit"])
    pairs = pairs[pairs["unit"].isin(wanted)]
    if pairs[number].duplicated().any():
        twice = ", ".join(str(value) for value in pairs.loc[pairs[number].duplicated(), number].unique()[:6])
        raise ValueError(
            f"WGMS ids {twice} link to several outlines; mark the outlines as parts (_d01, _d02) of one glacier."
        )
    return pd.Series(pairs["unit"].to_numpy(object), index=pairs[number].astype(int).to_numpy())


def _south(links: pd.DataFrame, units: pd.Series) -> set[int]:
    number = "WGMS_ID" if "WGMS_ID" in links.columns else "wgms_id"
    lat = next((name for name in ("CenLat", "cenlat") if name in links.columns), None)
    if lat is None:
        return set()
    south = links[links[lat] < 0.0][number].dropna()
    return {int(value) for value in south} & {int(value) for value in units.index}
