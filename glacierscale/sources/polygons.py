"""Repair and position of polygons."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import xarray as xr
from pyproj import CRS


def some(names: Iterable[Any]) -> str:
    """Join names for a message: the first six, and how many more."""
    listed = [str(name) for name in names]
    return ", ".join(listed[:6]) + (f" and {len(listed) - 6} more" if len(listed) > 6 else "")


def valid_polygons(table: gpd.GeoDataFrame, ids: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return valid two-dimensional polygons in EPSG:4326, and the ids of those that were repaired."""
    _check_crs(table)
    shapes = shapely.force_2d(table.geometry.to_numpy())
    empty = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    if empty.any():
        raise ValueError(f"empty outlines: {some(ids[empty])}; expected polygons. Drop these rows or repair the file.")
    wrong = ~np.isin(shapely.get_type_id(shapes), [3, 6])
    if wrong.any():
        raise ValueError(f"outlines that are no polygons: {some(ids[wrong])}; drop these rows or repair the file.")
    broken = ~shapely.is_valid(shapes)
    if broken.any():
        shapes = shapes.copy()
        shapes[broken] = shapely.make_valid(shapes[broken], method="structure", keep_collapsed=False)
        flat = shapely.area(shapes) == 0
        if flat.any():
            raise ValueError(f"outlines without area: {some(ids[flat])}; cannot be repaired. Digitise them again.")
    lonlat = gpd.GeoSeries(shapes, crs=table.crs).to_crs("EPSG:4326").to_numpy()
    boxes = shapely.bounds(lonlat)
    if not np.isfinite(boxes).all() or np.abs(boxes[:, ::2]).max() > 180.0001 or np.abs(boxes[:, 1::2]).max() > 90.0001:
        far = ~(np.abs(boxes[:, ::2]) <= 180.0001).all(axis=1) | ~(np.abs(boxes[:, 1::2]) <= 90.0001).all(axis=1)
        raise ValueError(
            f"outlines beyond longitude 180 or latitude 90: {some(ids[far])}; the geometry looks projected, or its "
            f"axes swapped, but the CRS says {table.crs.name!r}. Correct the CRS (.prj) of the file."
        )
    parts, owner = shapely.get_parts(lonlat, return_index=True)
    part_boxes = shapely.bounds(parts)
    around = np.unique(owner[part_boxes[:, 2] - part_boxes[:, 0] > 180.0])
    if len(around):
        raise ValueError(
            f"outlines that cross the antimeridian in one ring: {some(ids[around])}; cut them at 180 degrees."
        )
    return lonlat, list(ids[broken])


def _check_crs(table: gpd.GeoDataFrame) -> None:
    if table.crs is None:
        raise ValueError("the outlines have no CRS; expected one. Add the .prj file, or name the CRS in the catalogue.")
    west, south, east, north = table.total_bounds
    inside = -180 <= west <= east <= 180 and -90 <= south <= north <= 90
    if CRS(table.crs).is_projected and inside:
        raise ValueError(
            f"the outlines lie within ({west:g}, {south:g}, {east:g}, {north:g}), which look like degrees, but their "
            f"CRS is the projected {table.crs.name!r}. Correct the CRS (.prj) of the file."
        )


def centres(
    table: gpd.GeoDataFrame, columns: tuple[str, str] | None, geometry: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return longitude and latitude of each outline: published where it lies there, else of its largest part."""
    parts, owner = shapely.get_parts(geometry, return_index=True)
    order = np.lexsort((-shapely.area(parts), owner))
    largest = order[np.searchsorted(owner[order], np.arange(len(geometry)))]
    centroid = shapely.get_coordinates(shapely.centroid(parts[largest]))
    if columns is None or not set(columns) <= set(table.columns):
        return centroid[:, 0], centroid[:, 1]
    lon, lat = (pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64) for name in columns)
    boxes = shapely.bounds(geometry) + np.array([-0.02, -0.02, 0.02, 0.02])

    def at(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray((x >= boxes[:, 0]) & (x <= boxes[:, 2]) & (y >= boxes[:, 1]) & (y <= boxes[:, 3]))

    right, swapped = at(lon, lat), at(lat, lon)
    if swapped.sum() > max(right.sum(), len(geometry) // 2):
        raise ValueError(
            f"longitude and latitude look swapped: {int(swapped.sum())} of {len(geometry)} outlines lie at "
            f"({columns[1]}, {columns[0]}) instead of ({columns[0]}, {columns[1]}). "
            "Swap the axes of the geometry or of the columns."
        )
    return np.where(right, lon, centroid[:, 0]), np.where(right, lat, centroid[:, 1])


def ground_covered(elevation: xr.DataArray, outlines: gpd.GeoDataFrame) -> np.ndarray:
    """Share of the cells of each outline that have an elevation: (glacier,), 0 for an outline without a cell.

    Parameters
    ----------
    elevation : xarray.DataArray
        (y, x) m, with attribute ``crs_wkt``.
    outlines : geopandas.GeoDataFrame
        As `outlines.normalize` returns them.
    """
    from rasterio.features import rasterize
    from rasterio.transform import from_origin

    x, y = elevation["x"].values, elevation["y"].values
    dx, dy = (x[-1] - x[0]) / (len(x) - 1), (y[0] - y[-1]) / (len(y) - 1)
    shapes = outlines.geometry.to_crs(elevation.attrs["crs_wkt"])
    number = rasterize(
        zip(shapes, range(1, len(shapes) + 1), strict=True),
        out_shape=elevation.shape,
        transform=from_origin(x[0] - dx / 2, y[0] + dy / 2, dx, dy),
        all_touched=True,
        dtype=np.int32,
    )
    known = np.bincount(number.ravel(), np.isfinite(elevation.values).ravel(), len(shapes) + 1)
    cells = np.bincount(number.ravel(), minlength=len(shapes) + 1)
    return np.asarray((known / np.maximum(cells, 1))[1:])
