"""Dated inventories: the topography of a glacier at several times."""

from __future__ import annotations

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import pandas as pd

from glacierscale.sources.observations.french import onto_outlines, rows_of

_NEEDED = ("glacier_id", "year", "area_m2", "mean_elevation", "max_elevation", "slope20")
_COLUMNS = (*_NEEDED, "min_elevation", "aspect")

DOUBT_M2 = 0.15e6
"""Areas may differ by this, whatever the glacier's size: small ones are hard to tell from snow and from debris."""

SHRUNK = 0.01
"""Median share of their area before, those apart that are gone, below which an inventory is in another unit."""


def inventories(
    table: pd.DataFrame, convention: str, *, outlines: gpd.GeoDataFrame | None = None, year: int | None = None
) -> pd.DataFrame:
    """Area, elevations, tongue slope and aspect of glaciers in one inventory.

    Parameters
    ----------
    table : pandas.DataFrame
        As read.
    convention : {"glims", "glacierscale"}
        ``"glims"`` are the French inventories (see `french`), whose rows are tied to outlines. ``"glacierscale"`` has
        our column names; ``min_elevation`` and ``aspect`` may be left out.
    outlines : geopandas.GeoDataFrame, optional
        Normalized outlines, which ``"glims"`` needs.
    year : int, optional
        Nominal year of the inventory; the year of each row where left out, for ``"glims"`` the most frequent one.

    Returns
    -------
    pandas.DataFrame
        ``glacier_id``, ``year`` (int), ``area_m2``, ``mean_elevation``, ``max_elevation``, ``min_elevation`` (m),
        ``slope20`` and ``aspect`` (degrees), NaN where the inventory says nothing. ``attrs["dropped_rows"]`` counts
        rows without identifier, year or outline.

    Raises
    ------
    ValueError
        For unknown conventions, missing columns, a glacier given twice, and areas or elevations that are none.
    """
    if convention == "glacierscale":
        kept, dropped = _own(table, year)
    elif convention == "glims":
        kept, dropped = _glims(table, outlines, year)
    else:
        raise ValueError(f"unknown inventory convention {convention!r}; expected 'glims' or 'glacierscale'.")
    twice = kept.duplicated(["glacier_id", "year"])
    if twice.any():
        first = kept[twice].iloc[0]
        raise ValueError(
            f"{int(twice.sum())} glaciers are in the inventory twice, such as {first['glacier_id']} in "
            f"{int(first['year'])}; keep one row a glacier and year."
        )
    kept = kept[list(_COLUMNS)]
    kept = kept.assign(year=kept["year"].astype(np.int32))
    for name in ("mean_elevation", "max_elevation", "min_elevation"):
        kept[name] = kept[name].mask(kept[name] <= 0)  # a vanished glacier has an area of 0 and no elevation
    _check(kept)
    kept.attrs["dropped_rows"] = dropped
    return kept


def _own(table: pd.DataFrame, year: int | None) -> tuple[pd.DataFrame, int]:
    """Rows of a table with our column names, and how many have no identifier or year."""
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing:
        raise ValueError(f"the inventory lacks {', '.join(missing)}; expected {', '.join(_NEEDED)}.")
    found = table.reindex(columns=list(_COLUMNS)).reset_index(drop=True)
    found["year"] = found["year"] if year is None else year
    usable = (found["glacier_id"].fillna("") != "") & found["year"].notna()
    return found[usable].reset_index(drop=True), int((~usable).sum())


def _glims(table: pd.DataFrame, outlines: gpd.GeoDataFrame | None, year: int | None) -> tuple[pd.DataFrame, int]:
    """Outlines that a French inventory knows, and how many of its rows lie at none."""
    if outlines is None:
        raise ValueError("the inventory has no glacier ids of its own; give the outlines that it is tied to.")
    rows = rows_of(table)
    _check(rows.rename(columns={"glims_id": "glacier_id"}))
    kept = onto_outlines(rows, outlines)
    stated = rows["year"].mode()
    if year is None and stated.empty:
        raise ValueError("the inventory states no year; give `inventory_year` in the catalogue.")
    kept["year"] = int(stated.iloc[0]) if year is None else year
    return kept, int(kept.attrs["dropped_rows"])


def of_outlines(outlines: gpd.GeoDataFrame, year: int | None = None) -> pd.DataFrame | None:
    """The inventory that the attributes of outlines are; None where they state no elevations.

    Parameters
    ----------
    outlines : geopandas.GeoDataFrame
        As `sources.outlines.normalize` returns them.
    year : int, optional
        Nominal year; the most frequent survey year where left out.
    """
    if "mean_elevation" not in outlines.columns:
        return None
    table = pd.DataFrame(outlines.drop(columns=["geometry", "area_m2"]))
    nominal = int(outlines["survey_year"].mode().iloc[0]) if year is None else year
    table = table.rename(columns={"published_area_m2": "area_m2"}).assign(slope20=np.nan, year=nominal)
    return inventories(table, "glacierscale")


def merged(tables: Sequence[pd.DataFrame]) -> pd.DataFrame | None:
    """Several inventories as one: of a glacier in a year, each number is that of the first table that states it.

    Parameters
    ----------
    tables : sequence of pandas.DataFrame
        As `inventories` returns them, those to be preferred first.

    Raises
    ------
    ValueError
        If two tables of one year differ by more than the smaller area, or a glacier grows from one year to the next by
        more than its size, and either by more than `DOUBT_M2`: a wrong id or unit. Glaciers do shrink, but if those of
        one year are mostly below a hundredth of what they were (`SHRUNK`), that is a wrong unit too.
    """
    if not tables:
        return None
    rows = pd.concat(tables, ignore_index=True)
    area = rows.groupby(["glacier_id", "year"])["area_m2"].agg(["min", "max"]).reset_index()
    before = area.groupby("glacier_id")["max"].shift()
    same = area["max"] - area["min"] > area["min"].clip(lower=DOUBT_M2)
    grown = area["min"] - before > before.clip(lower=DOUBT_M2)
    wrong = area[same | grown]
    if len(wrong):
        shown = [
            f"{row.glacier_id} in {row.year}: {row.max:g} m2 against {low:g} m2"
            for row, low in zip(wrong.itertuples(), before[wrong.index].where(grown, area["min"]), strict=False)
        ]
        raise ValueError(
            f"the inventories disagree by more than the glacier's size at {len(wrong)} glaciers "
            f"({'; '.join(shown[:4])}); correct their ids and units, or leave one inventory out of the catalogue."
        )
    _refuse_other_unit(area.assign(share=(area["max"] / before).where(area["max"] > 0)))
    result: pd.DataFrame = rows.groupby(["glacier_id", "year"], sort=True).first().reset_index()
    return result


def _refuse_other_unit(area: pd.DataFrame) -> None:
    """Raise if most glaciers of a year have next to nothing of what they had before: ``year`` and ``share``."""
    share = area.groupby("year")["share"].median()
    for year, least in share[share < SHRUNK].items():
        raise ValueError(
            f"the areas of the inventory of {year} are {least:g} of those before, in the median; expected "
            f"glaciers to keep more than {SHRUNK:g}. Check its unit: m2, or km2 in French ones."
        )


def estimated_slope20(table: pd.DataFrame, mean_slope: pd.Series) -> pd.DataFrame:
    """Fill tongue slopes that nobody states, from the mean slope of the glacier.

    Parameters
    ----------
    table : pandas.DataFrame
        Merged inventories.
    mean_slope : pandas.Series
        Angle of the height of a glacier over its length (degree) by glacier id, of the glaciers to fill and of those
        that tell the ratio: slope20 over the mean slope, its median over all glaciers with both.

    Returns
    -------
    pandas.DataFrame
        The same rows, with ``slope20`` where it was known or could be estimated; ``attrs["slope20_ratio"]`` is NaN
        where no glacier has both.
    """
    slope = table["glacier_id"].map(mean_slope)
    stated = table.groupby("glacier_id")["slope20"].transform("first")
    ratio = float((stated / slope)[~table["glacier_id"].duplicated()].median())
    result = table.assign(slope20=table["slope20"].where(stated.notna(), (slope * ratio).clip(0.0, 90.0)))
    result.attrs["slope20_ratio"] = ratio
    return result


def linked(links: pd.DataFrame) -> pd.Series:
    """Map GLIMS ids to glacier ids, leaving out glaciers without one and GLIMS ids that several glaciers share."""
    column = "glacier_id" if "glacier_id" in links.columns else "rgi60_id"
    pairs = links[["glims_id", column]].dropna()
    pairs = pairs[(pairs["glims_id"] != "") & (pairs[column] != "")]
    return pairs[~pairs["glims_id"].duplicated(keep=False)].set_index("glims_id")[column]


def _check(rows: pd.DataFrame) -> None:
    """Refuse numbers that are no area, elevation or slope."""
    for name, low, high, expected in (
        ("area_m2", 0.0, 2e10, "m2 between 0 and 20,000 km2"),
        ("mean_elevation", -500.0, 9000.0, "m between 0 and 9000"),
        ("max_elevation", -500.0, 9000.0, "m between 0 and 9000"),
        ("min_elevation", -500.0, 9000.0, "m between 0 and 9000"),
        ("slope20", 0.0, 90.0, "degrees between 0 and 90"),
    ):
        bad = (rows[name] < low) | (rows[name] > high)
        if bad.any():
            first = rows[bad].iloc[0]
            raise ValueError(
                f"{int(bad.sum())} glaciers have an impossible {name} ({first['glacier_id']}: {first[name]:g}); "
                f"expected {expected}. Check the unit of the inventory."
            )
