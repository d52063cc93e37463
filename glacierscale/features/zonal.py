"""Terrain and climate of the glaciers of a block: windows of the cube's grids, reduced through exact coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import sparse

from glacierscale.features import climate as climate_kernels
from glacierscale.features import terrain as terrain_kernels
from glacierscale.features.coverage import Coverage, Grid, cover
from glacierscale.schema import text

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

MAX_WINDOW_CELLS = 4_000_000
"""Terrain cells read at once; a block whose glaciers lie farther apart is worked on in halves."""

_WGS84_A, _WGS84_E2 = 6378137.0, 0.00669437999014


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The grids of a cube, read window by window."""

    cube: xr.Dataset
    """The cube, lazy."""
    terrain: Grid
    """Grid of elevation."""
    climate: Grid
    """Grid of temp and precip."""
    geographic: bool
    """Whether the terrain's coordinates are degrees."""

    @classmethod
    def of(cls, cube: xr.Dataset) -> Frame:
        """The grids of a cube."""
        import pyproj

        world = (360.0, 360.0)  # a climate of one cell is the climate of everywhere
        return cls(
            cube=cube,
            terrain=Grid.from_centres(cube.x.values, cube.y.values),
            climate=Grid.from_centres(cube.clim_lon.values, cube.clim_lat.values, step=world),
            geographic=pyproj.CRS.from_wkt(cube.attrs["terrain_crs_wkt"]).is_geographic,
        )


@dataclass(frozen=True, kw_only=True)
class Outlines:
    """Vertices of a run of glaciers."""

    glacier_id: npt.NDArray[np.str_]
    """(glacier,)"""
    polygon: Ints
    """(vertex,) glacier of each vertex, from 0"""
    ring: Ints
    """(vertex,)"""
    x: Floats
    """(vertex,) in the terrain's CRS"""
    y: Floats
    """(vertex,)"""
    lon: Floats
    """(vertex,) degrees"""
    lat: Floats
    """(vertex,) degrees"""

    @classmethod
    def of(cls, cube: xr.Dataset, glaciers: xr.Dataset) -> Outlines:
        """Read the vertices of some consecutive glaciers."""
        count = glaciers.vertex_count.values.astype(np.int64)
        start = int(glaciers.vertex_start.values[0])
        part = cube[["vertex_x", "vertex_y", "vertex_lon", "vertex_lat", "vertex_ring"]]
        part = part.isel(vertex=slice(start, start + int(count.sum()))).load()
        return cls(
            glacier_id=text(glaciers.glacier_id.values),
            polygon=np.repeat(np.arange(len(count)), count),
            ring=part.vertex_ring.values,
            x=part.vertex_x.values,
            y=part.vertex_y.values,
            lon=part.vertex_lon.values,
            lat=part.vertex_lat.values,
        )

    def half(self, first: bool) -> Outlines:
        """The first or the second half of the glaciers."""
        middle = len(self.glacier_id) // 2
        chosen = self.polygon < middle if first else self.polygon >= middle
        ids = self.glacier_id[:middle] if first else self.glacier_id[middle:]
        arrays = {name: getattr(self, name)[chosen] for name in ("ring", "x", "y", "lon", "lat")}
        return Outlines(glacier_id=ids, polygon=self.polygon[chosen] - (0 if first else middle), **arrays)


def topography(frame: Frame, outlines: Outlines, *, bands: int) -> dict[str, Floats]:
    """Topography of every glacier (see `features.terrain.per_glacier`).

    Raises
    ------
    ValueError
        Naming glaciers without a terrain cell that has an elevation.
    """
    rows, columns, grid = _window(frame.terrain, outlines.x, outlines.y, margin=1)
    if grid.shape[0] * grid.shape[1] > MAX_WINDOW_CELLS and len(outlines.glacier_id) > 1:
        halves = [topography(frame, outlines.half(first), bands=bands) for first in (True, False)]
        return {name: np.concatenate([half[name] for half in halves]) for name in halves[0]}
    elevation = frame.cube.elevation[rows, columns].values
    covered = cover(outlines.x, outlines.y, outlines.ring, outlines.polygon, len(outlines.glacier_id), grid)
    dx_m, dy_m = _cell_size(frame, grid)
    cell = covered.row * grid.shape[1] + covered.column
    height = elevation.ravel()[cell]
    known = np.isfinite(height)
    east, north = terrain_kernels.surface_gradient(elevation, covered.row[known], covered.column[known], dx_m, dy_m)
    # A neighbour without elevation leaves no slope: such a cell counts as flat.
    result = terrain_kernels.per_glacier(
        covered.polygon[known],
        (covered.fraction * np.abs(dx_m[covered.row] * dy_m[covered.row]))[known],
        height[known],
        np.nan_to_num(east),
        np.nan_to_num(north),
        glaciers=len(outlines.glacier_id),
        bands=bands,
    )
    _refuse_without(
        outlines.glacier_id, ~np.isfinite(result["mean_elevation"]), "terrain: every cell below lacks an elevation"
    )
    return result


def climate(frame: Frame, outlines: Outlines, *, lapse_rate_k_km: float | None) -> dict[str, Floats]:
    """Monthly climate of every glacier, weighted by how much of each climate cell it covers.

    Of a glacier's cells those count that have a height and data in every month in which any of its cells has some, so
    that all its months are means over the same cells. Lapse rates are regressed over cells whose climatologies are
    means over the same months: all those in which any cell of the window has data.

    Returns
    -------
    dict
        ``temp`` degC and ``precip`` kg m-2, each (glacier, time) float32, NaN in months that no cell of a glacier has;
        ``lapse_rate`` (glacier, month) K m-1; ``ref_height`` (glacier,) m.

    Raises
    ------
    ValueError
        Naming glaciers whose climate cells have no data.
    """
    rows, columns, grid = _window(frame.climate, outlines.lon, outlines.lat, margin=1)
    window = frame.cube[["temp", "precip", "clim_height"]].isel(clim_lat=rows, clim_lon=columns).load()
    covered = cover(outlines.lon, outlines.lat, outlines.ring, outlines.polygon, len(outlines.glacier_id), grid)
    temp, precip, height = window.temp.values, window.precip.values, window.clim_height.values
    told = np.isfinite(temp) & np.isfinite(precip) & np.isfinite(height)
    weights, absent = _weights(covered, told.reshape(len(told), -1), grid.shape[1])
    _refuse_without(
        outlines.glacier_id,
        np.asarray(weights.sum(axis=1)).ravel() == 0,
        "climate: every cell there lacks temperature, precipitation or height",
    )
    if lapse_rate_k_km is None:
        whole = told.sum(axis=0) == told.any(axis=(1, 2)).sum()
        climatology = _climatology(np.where(whole, temp, np.nan))
        lapse = climate_kernels.lapse_rates(climatology, np.where(whole, height, np.nan))
    else:
        lapse = np.full((12, *height.shape), lapse_rate_k_km / 1000)

    def reduced(field: Floats) -> Floats:
        """(..., clim_lat, clim_lon) -> (glacier, ...)."""
        flat = np.nan_to_num(field).reshape(-1, height.size)
        mean: Floats = weights @ flat.T
        return mean

    return {
        "temp": np.where(absent, np.float32(np.nan), reduced(temp)),
        "precip": np.where(absent, np.float32(np.nan), reduced(precip)),
        "lapse_rate": reduced(lapse),
        "ref_height": reduced(height)[:, 0],
    }


def _climatology(temp: Floats) -> Floats:
    """Mean of each month of the year over the years that have it: (month, clim_lat, clim_lon), NaN where none has."""
    years = temp.reshape(-1, 12, *temp.shape[1:])
    count = np.isfinite(years).sum(axis=0)
    total = np.nansum(years, axis=0, dtype=years.dtype)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _weights(
    covered: Coverage, told: npt.NDArray[np.bool_], columns: int
) -> tuple[sparse.csr_array, npt.NDArray[np.bool_]]:
    """Share of each climate cell that counts in each glacier, and the months that no cell of a glacier has.

    Parameters
    ----------
    covered : Coverage
        Of the cells' grid.
    told : (time, cell)
        Whether the cell has data in the month.
    columns : int
        Columns of the grid.

    Returns
    -------
    (glacier, cell) float32, rows summing to 1 or 0; (glacier, time) bool
    """
    cell = covered.row * columns + covered.column
    shape = (covered.polygons, told.shape[1])
    touched = sparse.csr_array((np.ones(len(cell), np.float32), (covered.polygon, cell)), shape=shape)
    any_told: npt.NDArray[np.bool_] = np.greater(touched @ told.T.astype(np.float32), 0)
    months = told.sum(axis=0)[cell]
    fraction = covered.fraction * ((months > 0) & (months == any_told.sum(axis=1)[covered.polygon]))
    total = np.bincount(covered.polygon, fraction, covered.polygons)
    share = fraction / np.where(total > 0, total, 1)[covered.polygon]
    weights = sparse.csr_array((share.astype(np.float32), (covered.polygon, cell)), shape=shape)
    return weights, ~any_told


def _window(grid: Grid, x: Floats, y: Floats, *, margin: int) -> tuple[slice, slice, Grid]:
    """Rows and columns of a grid around some points, and the grid of that window."""
    parts = []
    for values, origin, step, size in ((y, grid.y0, grid.dy, grid.shape[0]), (x, grid.x0, grid.dx, grid.shape[1])):
        at = (np.array([values.min(), values.max()]) - origin) / step
        first = int(np.clip(np.floor(at.min()) - margin, 0, size - 1))
        parts.append(slice(first, int(np.clip(np.floor(at.max()) + 1 + margin, first + 1, size))))
    rows, columns = parts
    inner = Grid(
        x0=grid.x0 + columns.start * grid.dx,
        y0=grid.y0 + rows.start * grid.dy,
        dx=grid.dx,
        dy=grid.dy,
        shape=(rows.stop - rows.start, columns.stop - columns.start),
    )
    return rows, columns, inner


def _cell_size(frame: Frame, grid: Grid) -> tuple[Floats, Floats]:
    """Column and row step of each row, signed, in metres: two (row,) arrays."""
    ones = np.ones(grid.shape[0])
    if not frame.geographic:
        return grid.dx * ones, grid.dy * ones
    latitude = np.radians(grid.y0 + grid.dy * (np.arange(grid.shape[0]) + 0.5))
    flat = 1 - _WGS84_E2 * np.sin(latitude) ** 2
    east = _WGS84_A * np.cos(latitude) / np.sqrt(flat)  # radius of the parallel
    north = _WGS84_A * (1 - _WGS84_E2) / flat**1.5  # radius of curvature of the meridian
    return np.radians(grid.dx) * east, np.radians(grid.dy) * north


def _refuse_without(glacier_id: npt.NDArray[np.str_], lacking: npt.NDArray[np.bool_], what: str) -> None:
    if lacking.any():
        names = ", ".join(glacier_id[lacking][:5])
        raise ValueError(
            f"{lacking.sum()} glaciers have no {what} ({names}). "
            "Catalogue data that cover them, or narrow the region's bounds."
        )
