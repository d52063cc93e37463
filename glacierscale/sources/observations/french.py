"""The inventories of the French Alps, whose rows are tied to outlines of another year by id and by position.

GLIMS ids alone do not tie them: polygons that were one glacier share an id, some ids belong to a neighbour, and the
inventory of 1967-71 lacks some. So a row goes to the outlines of its id if it lies there, else to those at its
position; what the outlines of one id share is split among them.
"""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from glacierscale.sources.tables import degrees_of

_NAMES = {
    "area_m2": ("Area", "Surface"),
    "mean_elevation": ("MEAN_Pixel", "MOY"),
    "max_elevation": ("MAX_Pixel", "MAX_PixelV", "MAX"),
    "min_elevation": ("MIN_Pixel", "MIN_PixelV", "MIN"),
    "slope20": ("slope20_evo", "slope20"),
    "aspect": ("Aspect", "aspect_sec", "Expo_moy"),
    "year": ("Annee", "Année", "Date_"),
}
_OPTIONAL = ("slope20", "aspect", "min_elevation")
_HEIGHTS = ("mean_elevation", "max_elevation", "min_elevation")

AT_M, NEAR_M = 100.0, 1000.0
"""A row lies at an outline within the first distance; its id is believed up to the second where none lies at it."""


def rows_of(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of one inventory in our units.

    Parameters
    ----------
    table : pandas.DataFrame
        As read: separator ``;``, the one of 1967-71 in ISO-8859-1.

    Returns
    -------
    pandas.DataFrame
        ``glims_id`` (empty where none), ``year`` (NaN where none), ``area_m2``, elevations (m; NaN where 0, as for a
        vanished glacier), ``slope20`` and ``aspect`` (degree), ``lon``, ``lat`` (NaN where none). Areas are in km2, or
        in m2 in the column ``Surface``. The inventory of 1967-71 has its longitude in the column ``Latitude`` and the
        other way round, as degrees, minutes and seconds. Parts of a glacier that a massif border cuts, which repeat
        its whole area, are one row.
    """
    found = {key: next((name for name in names if name in table.columns), None) for key, names in _NAMES.items()}
    missing = [key for key, name in found.items() if name is None and key not in _OPTIONAL]
    missing += [] if "GLIMS_ID" in table.columns else ["GLIMS_ID"]
    if missing:
        raise ValueError(
            f"the inventory lacks {', '.join(missing)}; it has {', '.join(map(str, table.columns))}. Check its "
            "separator (';') and encoding (ISO-8859-1)."
        )
    if "FID_1" in table.columns:
        table = table.drop_duplicates(["FID_1", "GLIMS_ID"])
    table = table.reset_index(drop=True)
    blank = pd.Series(np.nan, index=table.index)
    numbers = {
        key: pd.to_numeric(table[name], errors="coerce") if (name := found[key]) else blank
        for key in ("area_m2", *_HEIGHTS, "slope20")
    }
    years = table[str(found["year"])].astype(str).str.extract(r"(\d{4})", expand=False)  # "similaire a 1967" is 1967
    lon, lat = _positions(table)
    rows = pd.DataFrame(numbers).assign(
        glims_id=table["GLIMS_ID"].fillna("").astype(str).str.strip(),
        year=pd.to_numeric(years),
        aspect=degrees_of(table[found["aspect"]]) if found["aspect"] else np.nan,
        lon=lon,
        lat=lat,
    )
    rows["area_m2"] *= 1.0 if found["area_m2"] == "Surface" else 1e6
    rows[list(_HEIGHTS)] = rows[list(_HEIGHTS)].where(rows[list(_HEIGHTS)] > 0)
    return rows


def _positions(table: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    if {"x_coord", "y_coord"} <= set(table.columns):
        lon, lat = (pd.to_numeric(table[name], errors="coerce") for name in ("x_coord", "y_coord"))
        return lon, lat
    if {"Latitude", "Longitude"} <= set(table.columns):
        return _sexagesimal(table["Latitude"], "E"), _sexagesimal(table["Longitude"], "N")
    blank = pd.Series(np.nan, index=table.index)
    return blank, blank


def _sexagesimal(text: pd.Series, towards: str) -> pd.Series:
    """Degrees from ``6? 11' 2,991" E``: any sign of degree, decimal commas."""
    text = text.astype(str)
    part = text.str.extract(r"^\s*(\d+)\D+(\d+)'\s*(\d+(?:[.,]\d+)?)")
    number = part[0].astype(float) + part[1].astype(float) / 60 + part[2].str.replace(",", ".").astype(float) / 3600
    return number.where(text.str.strip().str.endswith(towards))


def onto_outlines(rows: pd.DataFrame, outlines: gpd.GeoDataFrame) -> pd.DataFrame:
    """Topography of every outline from the rows of one inventory.

    Parameters
    ----------
    rows : pandas.DataFrame
        As `rows_of` returns them.
    outlines : geopandas.GeoDataFrame
        As `sources.outlines.normalize` returns them; the elevations that it keeps tell outlines of one id apart.

    Returns
    -------
    pandas.DataFrame
        ``glacier_id`` and the variables of the rows, one row an outline that the inventory knows. Areas of rows of one
        id add up, mean elevations are weighted by them. Outlines of one id keep the shares of the area that they have
        in their own year; their elevations are those of their own year, moved by as much as the mean of all of them;
        but a lone row whose area is closer to that of one of them than to that of all is that one's. The slope of the
        tongue and the aspect are those of the largest row, for the largest outline.
        ``attrs["dropped_rows"]`` counts rows that lie at no outline.
    """
    group, ids = _lone_rows(rows, _groups(rows, outlines), outlines)
    now = _together(rows[group != ""].assign(glims_id=group[group != ""]))
    own = outlines.reset_index(drop=True).reindex(columns=["glims_id", "published_area_m2", *_HEIGHTS])
    own = own.rename(columns={"published_area_m2": "area_m2"}).assign(glims_id=ids)
    own["area_m2"] = own["area_m2"].fillna(outlines["area_m2"].reset_index(drop=True))
    then = _together(own.assign(slope20=np.nan, aspect=np.nan))
    known = np.isin(ids, now.index)
    of, ids, rank = own[known], ids[known], own.groupby("glims_id")["area_m2"].rank("first", ascending=False)
    result = {"glacier_id": outlines["glacier_id"].to_numpy()[known]}
    result["area_m2"] = of["area_m2"].to_numpy() * (now["area_m2"] / then["area_m2"]).reindex(ids).to_numpy()
    rise = (now["mean_elevation"] - then["mean_elevation"]).reindex(ids).to_numpy()
    alone = ~pd.Series(ids).duplicated(keep=False).to_numpy()
    for name in _HEIGHTS:
        moved, whole = of[name].to_numpy() + rise, now[name].reindex(ids).to_numpy()
        result[name] = np.where(np.isfinite(moved) & ~alone, moved, whole)
    for name in ("slope20", "aspect"):
        result[name] = np.where(rank[known] == 1, now[name].reindex(ids).to_numpy(), np.nan)
    table = pd.DataFrame(result)
    table.attrs["dropped_rows"] = int((group == "").sum())
    return table


def _lone_rows(
    rows: pd.DataFrame, group: npt.NDArray[np.str_], outlines: gpd.GeoDataFrame
) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.str_]]:
    """Keys that tie rows to outlines, (row,) and (outline,): GLIMS ids, or longer ones of one row and one outline."""
    ids = outlines["glims_id"].to_numpy(object, copy=True)  # an object column would be a view of the outlines
    group = group.astype(object)
    area = outlines["published_area_m2"].fillna(outlines["area_m2"]).to_numpy(float)
    names, count = np.unique(group[group != ""].astype(str), return_counts=True)
    of_outlines = pd.Series(np.arange(len(ids))).groupby(ids).indices
    for name in names[count == 1].tolist():
        shared, row = of_outlines[name], np.flatnonzero(group == name)[0]
        if len(shared) == 1 or not rows["area_m2"].iloc[row] > 0:
            continue
        off = np.abs(np.log(rows["area_m2"].iloc[row] / np.append(area[shared], area[shared].sum())))
        if off.argmin() < len(shared):
            key = f"{name} {outlines['glacier_id'].iloc[shared[off.argmin()]]}"
            group[row] = ids[shared[off.argmin()]] = key
    return group.astype(str), ids.astype(str)


def _together(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of one id as one, by id."""
    weighed = rows["area_m2"].where(rows["mean_elevation"].notna())
    sums = rows.assign(weight=weighed, moment=weighed * rows["mean_elevation"]).groupby("glims_id")
    largest = rows.sort_values("area_m2", ascending=False, kind="stable").groupby("glims_id")
    return pd.DataFrame(
        {
            "area_m2": sums["area_m2"].sum(),
            "mean_elevation": sums["moment"].sum(min_count=1) / sums["weight"].sum(min_count=1).replace(0.0, np.nan),
            "max_elevation": sums["max_elevation"].max(),
            "min_elevation": sums["min_elevation"].min(),
            "slope20": largest["slope20"].first(),
            "aspect": largest["aspect"].first(),
        }
    )


def _groups(rows: pd.DataFrame, outlines: gpd.GeoDataFrame) -> npt.NDArray[np.str_]:
    """GLIMS id of the outlines that each row belongs to, empty where it lies at none.

    A row without an id of the outlines, or far from those of its id, goes to the outline at its position, if that
    brings the total of the rows there closer to the area of the outlines: parts that the outlines leave out lie there
    too.
    """
    plane = outlines.estimate_utm_crs()
    shapes = outlines.geometry.to_crs(plane).to_numpy()
    places = gpd.GeoSeries(gpd.points_from_xy(rows["lon"].fillna(0.0), rows["lat"].fillna(0.0)), crs="EPSG:4326")
    points = places.to_crs(plane).to_numpy()
    ids, said = outlines["glims_id"].to_numpy(str), rows["glims_id"].to_numpy(str)
    nearest = shapely.STRtree(shapes).nearest(points)
    away = shapely.distance(points, shapes[nearest])
    whole = pd.Series(shapes).groupby(ids).agg(lambda parts: shapely.union_all(parts.to_numpy())).to_dict()
    own = shapely.distance(points, np.array([whole.get(name) for name in said]))  # NaN where no outline has the id
    unplaced = rows["lon"].isna().to_numpy() | rows["lat"].isna().to_numpy()
    own, away = np.where(unplaced & np.isfinite(own), 0.0, own), np.where(unplaced, np.inf, away)
    direct = (own <= AT_M) | ((own <= NEAR_M) & (away > AT_M))
    group = np.where(direct, said, "")
    areas = rows["area_m2"].to_numpy(float)
    total = pd.Series(areas[direct]).groupby(said[direct]).sum().to_dict()
    wanted = outlines["published_area_m2"].fillna(outlines["area_m2"]).groupby(ids).sum()
    moved = np.flatnonzero(~direct & (away <= AT_M))
    for row in moved[np.argsort(-areas[moved], kind="stable")]:
        at = str(ids[nearest[row]])
        before, after, aim = total.get(at, 0.0), total.get(at, 0.0) + areas[row], float(wanted[at])
        if before == 0 or abs(np.log(after / aim)) < abs(np.log(before / aim)):
            group[row], total[at] = at, after
    return group
