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

    Returns
    -------
    dict
        ``temp`` degC and ``precip`` kg m-2, each (glacier, time) float32; ``lapse_rate`` (glacier, month) K m-1;
        ``ref_height`` (glacier,) m.

    Raises
    ------
    ValueError
        Naming glaciers whose climate cells have no data.
    """
    rows, columns, grid = _window(frame.climate, outlines.lon, outlines.lat, margin=1)
    window = frame.cube[["temp", "precip", "clim_height"]].isel(clim_lat=rows, clim_lon=columns).load()
    covered = cover(outlines.lon, outlines.lat, outlines.ring, outlines.polygon, len(outlines.glacier_id), grid)
    temp, precip, height = window.temp.values, window.precip.values, window.clim_height.values
    known = np.isfinite(temp).all(axis=0) & np.isfinite(precip).all(axis=0) & np.isfinite(height)
    weights = _weights(covered, known)
    _refuse_without(
        outlines.glacier_id,
        np.asarray(weights.sum(axis=1)).ravel() == 0,
        "climate: every cell there lacks temperature, precipitation or height",
    )
    if lapse_rate_k_km is None:
        climatology = temp.reshape(-1, 12, *temp.shape[1:]).mean(axis=0)
        lapse = climate_kernels.lapse_rates(np.where(known, climatology, np.nan), np.where(known, height, np.nan))
    else:
        lapse = np.full((12, *known.shape), lapse_rate_k_km / 1000)

    def reduced(field: Floats) -> Floats:
        """(..., clim_lat, clim_lon) -> (glacier, ...)."""
        flat = np.where(known, field, 0).reshape(-1, known.size)
        mean: Floats = weights @ flat.T
        return mean

    return {
        "temp": reduced(temp),
        "precip": reduced(precip),
        "lapse_rate": reduced(lapse),
        "ref_height": reduced(height)[:, 0],
    }


def _weights(covered: Coverage, known: npt.NDArray[np.bool_]) -> sparse.csr_array:
    """Share of each known climate cell in each glacier: (glacier, cell) float32, rows summing to 1 or 0."""
    cell = covered.row * known.shape[1] + covered.column
    fraction = covered.fraction * known.ravel()[cell]
    total = np.bincount(covered.polygon, fraction, covered.polygons)
    share = fraction / np.where(total > 0, total, 1)[covered.polygon]
    shape = (covered.polygons, known.size)
    return sparse.csr_array((share.astype(np.float32), (covered.polygon, cell)), shape=shape)


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
