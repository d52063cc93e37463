"""Rasters looked up in another projection: patches of any place on Earth from projected and geographic grids.

A patch is n x n cells of side `resolution` in the transverse Mercator projection of its own centre (WGS84, scale 1),
row 0 in the north, column 0 in the west: cell (r, c) has its centre at x = (c - (n - 1) / 2) resolution and
y = ((n - 1) / 2 - r) resolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from glacierscale.features.coverage import Grid

Floats = npt.NDArray[np.floating]

_KNOT_CELLS = 8  # the map between two projections is straight over so few cells, to centimetres
_SAMPLES_AT_ONCE = 500_000
_OUTSIDE = -1e6  # index of what cannot be transformed


@lru_cache
def _transverse_mercator() -> Any:
    """The projection about (0, 0); another centre is a shift of longitude and northing, so one serves all."""
    import pyproj

    return pyproj.Transformer.from_pipeline(
        "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad "
        "+step +proj=tmerc +lat_0=0 +lon_0=0 +k=1 +ellps=WGS84"
    )


def to_metres(lon: Floats, lat: Floats, centre_lon: Floats, centre_lat: Floats) -> tuple[Floats, Floats]:
    """Metres east and north of a centre in its transverse Mercator projection; arrays broadcast."""
    x, y = _transverse_mercator().transform(*np.broadcast_arrays((lon - centre_lon + 180) % 360 - 180, lat))
    return x, y - _northing(centre_lat)


def to_degrees(x_m: Floats, y_m: Floats, centre_lon: Floats, centre_lat: Floats) -> tuple[Floats, Floats]:
    """Longitude (-180 to 180) and latitude of metres east and north of a centre; arrays broadcast."""
    northing = y_m + _northing(centre_lat)
    lon, lat = _transverse_mercator().transform(*np.broadcast_arrays(x_m, northing), direction="INVERSE")
    return (lon + centre_lon + 180) % 360 - 180, lat


def _northing(lat: Floats) -> Floats:
    """Metres from the equator along a meridian."""
    northing: Floats = _transverse_mercator().transform(np.zeros_like(lat), lat)[1]
    return northing


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """Where the cells of a patch lie in a source grid: a few knots, straight in between."""

    knots: Floats
    """(knot,) rows and columns of the patch, evenly spaced"""
    column: Floats
    """(knot, knot) column of the source, 0 at the centre of its first"""
    row: Floats
    """(knot, knot)"""

    @classmethod
    def of(cls, lon: float, lat: float, resolution_m: float, cells: int, pad: int, grid: Grid, crs_wkt: str) -> Lookup:
        """Look up a patch and `pad` cells around it.

        Columns of a geographic grid are counted so that the patch lies as near to the grid's middle as it can.
        """
        count = int(np.ceil((cells + 2 * pad) / _KNOT_CELLS)) + 1
        knots = np.linspace(-pad - 0.5, cells + pad - 0.5, count)
        away = (knots - (cells - 1) / 2) * resolution_m
        x_m, y_m = np.meshgrid(away, -away)
        x, y = _transformer(crs_wkt).transform(*to_degrees(x_m, y_m, np.full(1, lon), np.full(1, lat)))
        column, row = (x - grid.x0) / grid.dx - 0.5, (y - grid.y0) / grid.dy - 0.5
        if is_geographic(crs_wkt):
            turn = 360 / abs(grid.dx)
            middle = column[count // 2, count // 2]
            column = middle + (column - middle + turn / 2) % turn - turn / 2
            column += turn * np.round((grid.shape[1] / 2 - middle) / turn)
        known = np.isfinite(column) & np.isfinite(row)
        return cls(knots=knots, column=np.where(known, column, _OUTSIDE), row=np.where(known, row, _OUTSIDE))

    def at(self, rows: Floats, columns: Floats) -> tuple[Floats, Floats]:
        """Row and column of the source at rows and columns of the patch: two (row, column) arrays."""
        step = self.knots[1] - self.knots[0]
        down, right = (
            np.maximum(0, 1 - np.abs(at[:, None] - self.knots) / step).astype(np.float64) for at in (rows, columns)
        )
        return down @ self.row @ right.T, down @ self.column @ right.T

    def cells_of_source(self) -> float:
        """How many cells of the source a cell of the patch is wide, along its finer axis."""
        step = self.knots[1] - self.knots[0]
        return float(max(np.abs(np.diff(v, axis=a)).max() for v in (self.row, self.column) for a in (0, 1)) / step)

    def within(self, first_row: int, first_column: int, stride: int) -> Lookup:
        """The same cells in a window of the source, of which every `stride`-th row and column was read."""
        return Lookup(
            knots=self.knots,
            row=(self.row - first_row) / stride,
            column=(self.column - first_column) / stride,
        )


@lru_cache(maxsize=8)
def _transformer(crs_wkt: str) -> Any:
    """From longitude and latitude to a CRS."""
    import pyproj

    return pyproj.Transformer.from_crs("EPSG:4326", pyproj.CRS.from_wkt(crs_wkt), always_xy=True)


@lru_cache(maxsize=8)
def is_geographic(crs_wkt: str) -> bool:
    """Whether the coordinates of a CRS are degrees."""
    import pyproj

    return bool(pyproj.CRS.from_wkt(crs_wkt).is_geographic)


def sample(values: Floats, lookup: Lookup, at: Floats, parts: int = 1) -> Floats:
    """Mean of `parts` x `parts` bilinear samples in each cell of a patch.

    Parameters
    ----------
    values : (y, x)
        The source, NaN where unknown.
    lookup : Lookup
        Into that source.
    at : (cell,)
        Wanted rows, and columns, of the patch.
    parts : int
        Samples per side of a cell; as many as the source has cells there, so that nothing aliases.

    Returns
    -------
    numpy.ndarray
        (cell, cell) float32; NaN where less than half of the weight falls on known source cells.
    """
    known = np.isfinite(values)
    filled = values if known.all() else np.where(known, values, 0)
    offsets = (np.arange(parts) + 0.5) / parts - 0.5
    columns = (at[:, None] + offsets).ravel()
    result = np.empty((len(at), len(at)), np.float32)
    rows_at_once = max(1, _SAMPLES_AT_ONCE // (len(columns) * parts))
    for start in range(0, len(at), rows_at_once):
        some = slice(start, start + rows_at_once)
        row, column = lookup.at((at[some, None] + offsets).ravel(), columns)
        inside = (np.abs(row - (values.shape[0] - 1) / 2) <= values.shape[0] / 2) & (
            np.abs(column - (values.shape[1] - 1) / 2) <= values.shape[1] / 2
        )
        # The half cell outside the outermost centres belongs to the source: "nearest" holds it constant.
        where = [row, column]
        total = ndimage.map_coordinates(filled, where, order=1, mode="nearest") * inside
        weight = inside * (
            1.0 if known.all() else ndimage.map_coordinates(known.astype(np.float32), where, order=1, mode="nearest")
        )
        total, weight = (v.reshape(-1, parts, len(at), parts).mean(axis=(1, 3)) for v in (total, weight))
        result[some] = np.where(weight >= 0.5, total / np.where(weight > 0, weight, 1), np.nan)
    return result
