"""Published glacier outlines -> identified, valid polygons in longitude and latitude, and flat vertex arrays."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS, Transformer

from glacierscale.region import beside, unit_of
from glacierscale.sources.polygons import centres, some, valid_polygons
from glacierscale.sources.tables import cleaned, french_topography, subregions

EQUAL_AREA_CRS = "EPSG:6933"
"""Cylindrical equal-area projection of the globe (EASE-Grid 2.0, Brodzik et al. 2012): areas from it are true."""

_KM2 = 1e6


@dataclass(frozen=True, kw_only=True)
class _Columns:
    id: tuple[str, ...]
    name: tuple[str, ...]
    centre: tuple[str, str] | None
    area: tuple[str, ...]
    area_m2: float
    year: tuple[str, ...]
    subregion: tuple[str, ...]


_RGI = _Columns(
    id=("RGIId", "RGIID"),
    name=("Name",),
    centre=("CenLon", "CenLat"),
    area=("Area",),
    area_m2=_KM2,
    year=("BgnDate", "EndDate"),
    subregion=("O1Region", "O2Region"),
)
_CONVENTIONS = {
    "rgi5": _RGI,
    "rgi6": _RGI,
    "rgi7": _Columns(
        id=("rgi_id",),
        name=("glac_name",),
        centre=("cenlon", "cenlat"),
        area=("area_km2",),
        area_m2=_KM2,
        year=("src_date",),
        subregion=("o2region",),
    ),
    "glims": _Columns(
        id=("GLIMS_ID",),
        name=("Glacier",),
        centre=("x_coord", "y_coord"),
        area=("Area",),
        area_m2=_KM2,
        year=("Annee", "date"),
        subregion=("Massif",),
    ),
    "glacierscale": _Columns(
        id=("glacier_id",),
        name=("name",),
        centre=None,
        area=("published_area_m2", "area_m2"),
        area_m2=1.0,
        year=("survey_year",),
        subregion=("subregion",),
    ),
}
CONVENTIONS = tuple(_CONVENTIONS)
"""Names accepted by `normalize`."""


def normalize(table: gpd.GeoDataFrame, convention: str) -> gpd.GeoDataFrame:
    """Bring published outlines to one form.

    Parameters
    ----------
    table : geopandas.GeoDataFrame
        One row per outline, in any CRS.
    convention : {"rgi5", "rgi6", "rgi7", "glims", "glacierscale"}
        Who wrote them. ``"glims"`` is the French inventory: the RGI 6.0 number in ``ID`` gives the identifier
        ``RGI60-11.NNNNN``; a glacier without one (0) is called by its GLIMS id, followed by its number in the inventory
        where the GLIMS id is shared; rows of one glacier, cut at a massif border, are joined again.

    Returns
    -------
    geopandas.GeoDataFrame
        ``glacier_id``, ``unit_id``, ``subregion`` (massif, or region of second order of the RGI, such as ``"11-01"``;
        empty where unknown), ``name``, ``lon``, ``lat`` (degrees; published centre where it lies at the outline, else
        the centroid of the largest part), ``area_m2`` (of the geometry, on an equal-area projection),
        ``published_area_m2`` (NaN where none), ``survey_year`` (int32, 0 where unknown), ``glims_id`` (empty where
        none) and ``geometry`` (two-dimensional, EPSG:4326), in the order of the input; of the French inventory also
        what `tables.french_topography` finds. ``attrs["repaired"]`` lists outlines whose self-intersections were
        repaired, ``attrs["joined"]`` counts rows joined with another.

        An outline over the antimeridian has to be cut there (as the RGI does): parts on both sides are fine, one ring
        from -180 to 180 is refused.

    Raises
    ------
    ValueError
        Naming the outlines and the remedy.
    """
    if convention not in _CONVENTIONS:
        raise ValueError(f"unknown outline convention {convention!r}; expected one of {', '.join(_CONVENTIONS)}.")
    if not len(table):
        raise ValueError("the outline table holds no glacier; check the file or the region's bounds.")
    columns = _CONVENTIONS[convention]
    table = table.reset_index(drop=True)
    rows = len(table)
    if convention == "glims":
        table = _joined(table)
    ids = _identifiers(table, columns, convention)
    geometry, repaired = valid_polygons(table, ids)
    area = shapely.area(gpd.GeoSeries(geometry, crs="EPSG:4326").to_crs(EQUAL_AREA_CRS).to_numpy())
    lon, lat = centres(table, columns.centre, geometry)
    result = gpd.GeoDataFrame(
        {
            "glacier_id": ids.astype(object),
            "unit_id": ids.map(unit_of).astype(object),
            "subregion": subregions(table, columns.subregion),
            "name": cleaned(table, columns.name),
            "lon": lon,
            "lat": lat,
            "area_m2": area,
            "published_area_m2": _published_area(table, columns),
            "survey_year": _years(table, columns.year),
            "glims_id": cleaned(table, ("GLIMSId", "GLIMSID", "glims_id", "GLIMS_ID")),
            **(french_topography(table) if convention == "glims" else {}),
        },
        geometry=geometry,
        crs="EPSG:4326",
    )
    result.attrs = {"repaired": repaired, "joined": rows - len(table)}
    return result


def to_vertices(outlines: gpd.GeoDataFrame, crs: str) -> dict[str, np.ndarray]:
    """Flatten outlines into the vertex arrays of the cube.

    Parameters
    ----------
    outlines : geopandas.GeoDataFrame
        As `normalize` returns them.
    crs : str
        CRS of the terrain, as WKT or authority code.

    Returns
    -------
    dict of numpy.ndarray
        ``vertex_start``, ``vertex_count`` (glacier,) and ``vertex_x``, ``vertex_y`` (in `crs`), ``vertex_lon``,
        ``vertex_lat``, ``vertex_ring`` (vertex,). Rings are open: the first vertex is not repeated at the end.
        ``vertex_ring`` counts rings from 0 inside each outline. Exteriors run counter-clockwise in longitude and
        latitude, holes clockwise.
    """
    oriented = shapely.orient_polygons(outlines.geometry.to_numpy())
    parts, part_glacier = shapely.get_parts(oriented, return_index=True)
    rings, ring_part = shapely.get_rings(parts, return_index=True)
    lonlat, vertex_ring = shapely.get_coordinates(rings, return_index=True)
    closing = np.append(vertex_ring[1:] != vertex_ring[:-1], True)
    lonlat, vertex_ring = lonlat[~closing], vertex_ring[~closing]
    ring_glacier = part_glacier[ring_part]
    count = np.bincount(ring_glacier[vertex_ring], minlength=len(outlines))
    first_ring = np.searchsorted(ring_glacier, np.arange(len(outlines)))
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lonlat[:, 0], lonlat[:, 1])
    return {
        "vertex_start": np.concatenate([[0], np.cumsum(count)[:-1]]).astype(np.int64),
        "vertex_count": count.astype(np.int32),
        "vertex_x": np.asarray(x, np.float64),
        "vertex_y": np.asarray(y, np.float64),
        "vertex_lon": lonlat[:, 0],
        "vertex_lat": lonlat[:, 1],
        "vertex_ring": (vertex_ring - first_ring[ring_glacier[vertex_ring]]).astype(np.int32),
    }


def check_on_grid(
    outlines: gpd.GeoDataFrame, bounds: tuple[float, float, float, float], what: str, *, crs: str = "EPSG:4326"
) -> None:
    """Refuse outlines that lie outside a grid, wholly or in part.

    Parameters
    ----------
    outlines : geopandas.GeoDataFrame
        As `normalize` returns them.
    bounds : tuple of float
        West, south, east, north of the outer cell edges, in `crs`; degrees may run on over the antimeridian.
    what : str
        The grid, for the message: ``"the terrain"``.
    crs : str
        CRS of the bounds.
    """
    parts, owner = shapely.get_parts(outlines.geometry.to_crs(crs).to_numpy(), return_index=True)
    boxes = shapely.bounds(parts)
    west, south, east, north = bounds
    if CRS(crs).is_geographic:
        boxes[:, ::2] += (beside(boxes[:, 0], (west + east) / 2) - boxes[:, 0])[:, None]
        around = east - west > 359.999  # then no longitude is outside
        west, east = (-np.inf, np.inf) if around else (west, east)
    beyond = (boxes[:, 0] < west) | (boxes[:, 1] < south) | (boxes[:, 2] > east) | (boxes[:, 3] > north)
    off = np.isin(np.arange(len(outlines)), owner[beyond])
    if off.any():
        raise ValueError(
            f"glacier off the grid: {some(outlines['glacier_id'][off])} reach outside {what} ({west:g}, {south:g}, "
            f"{east:g}, {north:g}). Extend {what}, or narrow the region's bounds."
        )


def _column(table: pd.DataFrame, names: tuple[str, ...]) -> pd.Series | None:
    return next((table[name] for name in names if name in table.columns), None)


def _joined(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Join rows of one glacier (same number and GLIMS id), which a massif border or a gap in the ice cuts apart."""
    key = ["FID_1", "GLIMS_ID"]
    if not set(key) <= set(table.columns) or not table.duplicated(key).any():
        return table
    groups = table[table.duplicated(key, keep=False)].groupby(key)
    whole = {names: rows.geometry.make_valid().union_all() for names, rows in groups}
    # Rows cut at a border repeat the area of the whole glacier; separate parts state their own.
    areas = {names: rows["Area"].unique().sum() for names, rows in groups} if "Area" in table.columns else {}
    kept = table[~table.duplicated(key)].reset_index(drop=True)
    shapes = kept.geometry.to_numpy().copy()
    for index, names in enumerate(kept[key].itertuples(index=False, name=None)):
        shapes[index] = whole.get(names, shapes[index])
        if names in areas:
            kept.loc[index, "Area"] = areas[names]
    return kept.set_geometry(gpd.GeoSeries(shapes, crs=table.crs))


def _identifiers(table: gpd.GeoDataFrame, columns: _Columns, convention: str) -> pd.Series:
    ids = _column(table, columns.id)
    if ids is None:
        raise ValueError(
            f"no identifier column for {convention!r} outlines: expected {' or '.join(columns.id)}, the table has "
            f"{', '.join(map(str, table.columns))}. Check the convention in the catalogue."
        )
    ids = ids.fillna("").astype(str).str.strip()
    if convention == "glims":
        shared = ids.duplicated(keep=False)
        if "FID_1" in table.columns:
            ids = ids.where(~shared, ids + "-" + table["FID_1"].astype(str))
        if "ID" in table.columns:
            number = pd.to_numeric(table["ID"], errors="coerce").fillna(0).astype(int)
            ids = ids.where(number <= 0, "RGI60-11." + number.astype(str).str.zfill(5))
    if (ids == "").any():
        raise ValueError(f"{int((ids == '').sum())} outlines have no identifier; give each row one, or drop them.")
    if ids.duplicated().any():
        raise ValueError(
            f"duplicated glacier ids: {some(ids[ids.duplicated()].unique())}; expected one row per outline. Join the "
            "parts of a glacier, or number them (_d01, _d02)."
        )
    return ids


def _published_area(table: pd.DataFrame, columns: _Columns) -> np.ndarray:
    area = _column(table, columns.area)
    if area is None:
        return np.full(len(table), np.nan)
    return pd.to_numeric(area, errors="coerce").to_numpy(np.float64) * columns.area_m2


def _years(table: pd.DataFrame, names: tuple[str, ...]) -> np.ndarray:
    """Year in dates of any spelling (20030799, 2003-08-13, 13-08-2003, 2003), from the first column that has one."""
    years = pd.Series(0, index=table.index, dtype=np.int32)
    for name in names:
        if name in table.columns:
            text = table[name].astype(str).str.extract(r"(?<!\d)((?:1[89]|20)\d\d)(?=\d{4}(?!\d)|(?!\d))", expand=False)
            years = years.where(years > 0, text.fillna("0").astype(np.int32))
    return years.to_numpy(np.int32)
