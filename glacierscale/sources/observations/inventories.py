"""Dated inventories: the topography of a glacier at several times."""

from __future__ import annotations

import numpy as np
import pandas as pd

_FRENCH = {
    "area": ("Area", "Surface"),
    "mean_elevation": ("MEAN_Pixel", "MOY"),
    "max_elevation": ("MAX_Pixel", "MAX_PixelV", "MAX"),
    "slope20": ("slope20_evo", "slope20"),
    "year": ("Annee", "Année", "Date_"),
}
_COLUMNS = ("glacier_id", "year", "area_m2", "mean_elevation", "max_elevation", "slope20")


def inventories(
    table: pd.DataFrame, convention: str, *, links: pd.DataFrame | None = None, year: int | None = None
) -> pd.DataFrame:
    """Area, elevations and tongue slope of glaciers in one inventory.

    Parameters
    ----------
    table : pandas.DataFrame
        As read (the French ones with separator ``;``, some in ISO-8859-1).
    convention : {"glims", "glacierscale"}
        ``"glims"`` are the French inventories: areas in km2, or in m2 in the one of 1967-71 (column ``Surface``), whose
        positions are not used (its latitude and longitude are swapped). ``"glacierscale"`` has our column names.
    links : pandas.DataFrame, optional
        ``glims_id`` and ``glacier_id`` (our outlines) or ``rgi60_id``, for inventories without RGI numbers or with
        wrong ones; a number that the inventory gives to two glaciers is not used.
    year : int, optional
        Nominal year of the inventory; the year of each row where left out.

    Returns
    -------
    pandas.DataFrame
        ``glacier_id``, ``year`` (int), ``area_m2``, ``mean_elevation`` (m), ``max_elevation`` (m), ``slope20``
        (degrees), NaN where the inventory says nothing. Of several polygons with one GLIMS id the largest is kept.
        ``attrs["dropped_rows"]`` counts rows without identifier or year, ``attrs["dropped_parts"]`` smaller polygons.

    Raises
    ------
    ValueError
        For unknown conventions, missing columns, and areas or elevations that are none.
    """
    if convention == "glacierscale":
        missing = [name for name in _COLUMNS if name not in table.columns]
        if missing:
            raise ValueError(f"the inventory lacks {', '.join(missing)}; expected {', '.join(_COLUMNS)}.")
        rows = table[list(_COLUMNS)].reset_index(drop=True)
    elif convention == "glims":
        rows = _french(table, links)
    else:
        raise ValueError(f"unknown inventory convention {convention!r}; expected 'glims' or 'glacierscale'.")
    rows["year"] = year if year is not None else rows["year"]
    usable = (rows["glacier_id"].fillna("") != "") & rows["year"].notna()
    kept = rows[usable].sort_values("area_m2", ascending=False, kind="stable")
    parts = kept.duplicated(["glacier_id", "year"])
    kept = kept[~parts].sort_index().reset_index(drop=True)
    kept["year"] = kept["year"].astype(np.int32)
    for name in ("mean_elevation", "max_elevation"):
        kept[name] = kept[name].mask(kept[name] <= 0)  # a vanished glacier has an area of 0 and no elevation
        _refuse(kept, kept[name] > 9000, name, "m between 0 and 9000")
    _refuse(kept, (kept["area_m2"] < 0) | (kept["area_m2"] > 2e10), "area_m2", "m2 between 0 and 20,000 km2")
    _refuse(kept, (kept["slope20"] < 0) | (kept["slope20"] > 90), "slope20", "degrees between 0 and 90")
    kept.attrs.update(dropped_rows=int((~usable).sum()), dropped_parts=int(parts.sum()))
    return kept


def _french(table: pd.DataFrame, links: pd.DataFrame | None) -> pd.DataFrame:
    found = {key: next((name for name in names if name in table.columns), None) for key, names in _FRENCH.items()}
    missing = [key for key, name in found.items() if name is None and key != "slope20"]
    missing += [] if "GLIMS_ID" in table.columns else ["GLIMS_ID"]
    if missing:
        raise ValueError(
            f"the inventory lacks {', '.join(missing)}; it has {', '.join(map(str, table.columns))}. Check its "
            "separator (';') and encoding (ISO-8859-1)."
        )
    numbers = {
        key: pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64) if name else np.full(len(table), np.nan)
        for key, name in found.items()
        if key != "year"
    }
    years = table[found["year"]].astype(str).str.extract(r"(\d{4})", expand=False)  # "similaire a 1967" is 1967
    return pd.DataFrame(
        {
            "glacier_id": _identifiers(table, links),
            "year": pd.to_numeric(years),
            "area_m2": numbers["area"] * (1.0 if found["area"] == "Surface" else 1e6),
            "mean_elevation": numbers["mean_elevation"],
            "max_elevation": numbers["max_elevation"],
            "slope20": numbers["slope20"],
        }
    )


def _identifiers(table: pd.DataFrame, links: pd.DataFrame | None) -> pd.Series:
    """Return identifiers by link, else by a number that only one glacier carries, else the GLIMS id."""
    glims = table["GLIMS_ID"].reset_index(drop=True)
    ids = glims
    if "ID" in table.columns:
        number = pd.to_numeric(table["ID"], errors="coerce").fillna(0).astype(int).reset_index(drop=True)
        owners = glims.groupby(number).transform("nunique")  # some numbers are given to two glaciers: one is wrong
        ids = ids.where((number <= 0) | (owners > 1), "RGI60-11." + number.astype(str).str.zfill(5))
    return ids if links is None else glims.map(linked(links)).fillna(ids)


def linked(links: pd.DataFrame) -> pd.Series:
    """Map GLIMS ids to glacier ids, leaving out glaciers without one and GLIMS ids that several glaciers share."""
    column = "glacier_id" if "glacier_id" in links.columns else "rgi60_id"
    pairs = links[["glims_id", column]].dropna()
    pairs = pairs[(pairs["glims_id"] != "") & (pairs[column] != "")]
    return pairs[~pairs["glims_id"].duplicated(keep=False)].set_index("glims_id")[column]


def _refuse(rows: pd.DataFrame, bad: pd.Series, name: str, expected: str) -> None:
    if bad.any():
        first = rows[bad].iloc[0]
        raise ValueError(
            f"{int(bad.sum())} glaciers have an impossible {name} ({first['glacier_id']}: {first[name]:g}); expected "
            f"{expected}. Check the unit of the inventory."
        )
