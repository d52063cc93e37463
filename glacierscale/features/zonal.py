"""Terrain and climate of the glaciers of a block: windows of the cube's grids, reduced through exact coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import sparse

from glacierscale.features import climate as climate_kernels
from glacierscale.features import terrain as terrain_kernels
from glacierscale.features import windows
from glacierscale.features.coverage import Coverage, Grid, cover
from glacierscale.region import seamless
from glacierscale.units import WGS84_ECCENTRICITY2, WGS84_RADIUS_M

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

MAX_WINDOW_CELLS = 4_000_000
"""Terrain cells read at once; a block whose glaciers lie farther apart is worked on in halves."""

MAX_CLIMATE_VALUES = 10_000_000
"""Cells times months of climate read at once; a block is worked on in halves where these read notably less."""

_EARTH_KM = 6371.0
_CUT = 3.0  # radii beyond which climate cells are not pooled


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The grids of a cube, read window by window."""

    cube: xr.Dataset
    """The cube, lazy."""
    terrain: Grid | None
    """Grid of elevation; None where the cube has no terrain."""
    climate: Grid
    """Grid of temp and precip."""
    geographic: bool
    """Whether the terrain's coordinates are degrees."""
    over_antimeridian: bool = False
    """Whether the region lies on both sides of it, and the longitudes of glaciers count from 0 to 360."""

    @classmethod
    def of(cls, cube: xr.Dataset) -> Frame:
        """The grids of a cube."""
        import pyproj

        world = (360.0, 360.0)  # a climate of one cell is the climate of everywhere
        return cls(
            cube=cube,
            terrain=Grid.from_centres(cube.x.values, cube.y.values) if cube.sizes["x"] else None,
            climate=Grid.from_centres(cube.clim_lon.values, cube.clim_lat.values, step=world),
            geographic=pyproj.CRS.from_wkt(cube.attrs["terrain_crs_wkt"]).is_geographic,
            over_antimeridian=bool((seamless(cube.lon.values) > 180).any()),
        )


@dataclass(frozen=True, kw_only=True)
class Outlines:
    """Centres and vertices of a run of glaciers."""

    centre_lon: Floats
    """(glacier,) degrees"""
    centre_lat: Floats
    """(glacier,) degrees"""
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
            centre_lon=glaciers.lon.values,
            centre_lat=glaciers.lat.values,
            polygon=np.repeat(np.arange(len(count)), count),
            ring=part.vertex_ring.values,
            x=part.vertex_x.values,
            y=part.vertex_y.values,
            lon=part.vertex_lon.values,
            lat=part.vertex_lat.values,
        )

    def half(self, first: bool) -> Outlines:
        """The first or the second half of the glaciers."""
        middle = len(self) // 2
        chosen = self.polygon < middle if first else self.polygon >= middle
        part = slice(None, middle) if first else slice(middle, None)
        arrays = {name: getattr(self, name)[part] for name in ("centre_lon", "centre_lat")}
        arrays |= {name: getattr(self, name)[chosen] for name in ("ring", "x", "y", "lon", "lat")}
        return Outlines(polygon=self.polygon[chosen] - (0 if first else middle), **arrays)

    @property
    def places(self) -> tuple[Floats, Floats, float]:
        """Longitudes and latitudes of the vertices, and the longitude of the first centre, degrees."""
        return self.lon, self.lat, float(self.centre_lon[0])

    def __len__(self) -> int:
        return len(self.centre_lon)


def topography(frame: Frame, outlines: Outlines, *, bands: int) -> dict[str, Floats]:
    """Topography of every glacier (see `features.terrain.per_glacier`); NaN where no cell below has an elevation."""
    if frame.terrain is None:
        none, nothing = np.zeros(0, np.int64), np.zeros(0)
        return terrain_kernels.per_glacier(none, *[nothing] * 4, glaciers=len(outlines), bands=bands)
    rows, columns, grid = windows.window(frame.terrain, outlines.x, outlines.y, margin=1)
    if grid.shape[0] * grid.shape[1] > MAX_WINDOW_CELLS and len(outlines) > 1:
        halves = [topography(frame, outlines.half(first), bands=bands) for first in (True, False)]
        return {name: np.concatenate([half[name] for half in halves]) for name in halves[0]}
    elevation = frame.cube.elevation[rows, columns].values
    covered = cover(outlines.x, outlines.y, outlines.ring, outlines.polygon, len(outlines), grid)
    dx_m, dy_m = _cell_size(frame, grid)
    cell = covered.row * grid.shape[1] + covered.column
    height = elevation.ravel()[cell]
    known = np.isfinite(height)
    east, north = terrain_kernels.surface_gradient(elevation, covered.row[known], covered.column[known], dx_m, dy_m)
    # A neighbour without elevation leaves no slope: such a cell counts as flat.
    return terrain_kernels.per_glacier(
        covered.polygon[known],
        (covered.fraction * np.abs(dx_m[covered.row] * dy_m[covered.row]))[known],
        height[known],
        np.nan_to_num(east),
        np.nan_to_num(north),
        glaciers=len(outlines),
        bands=bands,
    )


def climate(
    frame: Frame, outlines: Outlines, *, lapse_rate_k_km: float | None, radius_km: float = 0.0
) -> dict[str, Floats]:
    """Monthly climate of every glacier: the mean over climate cells, by weight.

    Without a radius, cells weigh what the glacier covers of them. With one, they weigh exp(-d^2 / 2 r^2), d from the
    outline's centre, up to three radii; cells that the glacier covers take part wherever they are, and each cell's
    temperature is first brought to the mean height of all with the cell's own lapse rate.

    Of these cells those count that have a height and data in every month in which any cell that it covers has some, so
    that all its months are means over the same cells. Lapse rates are regressed over cells whose climatologies are
    means over the same months: all those in which any cell of the window has data.

    Returns
    -------
    dict
        ``temp`` degC and ``precip`` kg m-2, each (glacier, time) float32, NaN in months that no cell of a glacier has;
        ``lapse_rate`` (glacier, month) K m-1; ``ref_height`` (glacier,) m. All NaN where no cell counts.
    """
    reach_deg = float(np.degrees(_CUT * radius_km / _EARTH_KM))
    rows, columns, grid, lon = windows.around(frame.climate, *outlines.places, reach_deg)
    if _worth_halving(frame, outlines, reach_deg, grid):
        halves = [
            climate(frame, outlines.half(first), lapse_rate_k_km=lapse_rate_k_km, radius_km=radius_km)
            for first in (True, False)
        ]
        return {name: np.concatenate([half[name] for half in halves]) for name in halves[0]}
    window = frame.cube[["temp", "precip", "clim_height"]].isel(clim_lat=rows, clim_lon=columns).load()
    covered = cover(lon, outlines.lat, outlines.ring, outlines.polygon, len(outlines), grid)
    temp, precip, height = window.temp.values, window.precip.values, window.clim_height.values
    told = np.isfinite(temp) & np.isfinite(precip) & np.isfinite(height)
    by_cell = np.ascontiguousarray(told.reshape(len(told), -1).T)
    if radius_km > 0:
        weights, absent = _pooled(covered, by_cell, outlines, grid, radius_km)
    else:
        weights, absent = _covering(covered, by_cell, grid.shape[1])
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

    result = {"temp": reduced(temp), "precip": reduced(precip), "lapse_rate": reduced(lapse)}
    ref_height = reduced(height)[:, 0]
    if radius_km > 0:
        raised = result["lapse_rate"] * ref_height[:, None] - reduced(lapse * height)  # (glacier, month)
        result["temp"] += np.tile(raised, len(temp) // 12).astype(np.float32)
    result["temp"][absent] = result["precip"][absent] = np.nan
    result["ref_height"] = ref_height
    for values in result.values():
        values[np.asarray(weights.sum(axis=1)).ravel() == 0] = np.nan
    return result


def _pooled(
    covered: Coverage, told: npt.NDArray[np.bool_], outlines: Outlines, grid: Grid, radius_km: float
) -> tuple[sparse.csr_array, npt.NDArray[np.bool_]]:
    """As `_covering`, of the cells around each glacier (see `climate`); distances are on the sphere.

    Covered cells beyond the cut weigh what cells on it do. The months are those that covered cells have, if any does.
    """
    lat = np.radians(grid.y0 + grid.dy * (np.arange(grid.shape[0]) + 0.5))[:, None]
    lon = np.radians(grid.x0 + grid.dx * (np.arange(grid.shape[1]) + 0.5))[None, :]
    parts, absent = [], np.empty((len(outlines), told.shape[1]), bool)
    for number in range(len(outlines)):
        lon0, lat0 = np.radians(outlines.centre_lon[number]), np.radians(outlines.centre_lat[number])
        chord = np.sin((lat - lat0) / 2) ** 2 + np.cos(lat) * np.cos(lat0) * np.sin((lon - lon0) / 2) ** 2
        radii = (2 * _EARTH_KM / radius_km * np.arcsin(np.sqrt(np.minimum(chord, 1)))).ravel()
        of = slice(*np.searchsorted(covered.polygon, (number, number + 1)))
        own = covered.row[of] * grid.shape[1] + covered.column[of]
        cell = np.union1d(np.flatnonzero(radii <= _CUT), own)
        months = told[own].any(axis=0) if told[own].any() else told[cell].any(axis=0)
        cell = cell[told[cell][:, months].all(axis=1) & months.any()]
        absent[number] = ~months
        parts.append((np.full(len(cell), number), cell, np.exp(-(np.minimum(radii[cell], _CUT) ** 2) / 2)))
    polygon, cell, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
    return _shares(polygon, cell, weight, (len(outlines), len(told))), absent


def _climatology(temp: Floats) -> Floats:
    """Mean of each month of the year over the years that have it: (month, clim_lat, clim_lon), NaN where none has."""
    years = temp.reshape(-1, 12, *temp.shape[1:])
    count = np.isfinite(years).sum(axis=0)
    total = np.nansum(years, axis=0, dtype=years.dtype)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _covering(
    covered: Coverage, told: npt.NDArray[np.bool_], columns: int
) -> tuple[sparse.csr_array, npt.NDArray[np.bool_]]:
    """Share of each climate cell that counts in each glacier, and the months that no cell of a glacier has.

    From whether each cell has data in each month, `told` (cell, time), to (glacier, cell) float32, rows summing to 1 or
    0, and (glacier, time) bool.
    """
    cell = covered.row * columns + covered.column
    shape = (covered.polygons, len(told))
    touched = sparse.csr_array((np.ones(len(cell), np.float32), (covered.polygon, cell)), shape=shape)
    any_told: npt.NDArray[np.bool_] = np.greater(touched @ told.astype(np.float32), 0)
    months = told.sum(axis=1)[cell]
    counts = (months > 0) & (months == any_told.sum(axis=1)[covered.polygon])
    return _shares(covered.polygon, cell, covered.fraction * counts, shape), ~any_told


def _shares(polygon: Ints, cell: Ints, weight: Floats, shape: tuple[int, int]) -> sparse.csr_array:
    """Weights of cells as a matrix (glacier, cell), rows summing to 1 or 0."""
    total = np.bincount(polygon, weight, shape[0])
    share = weight / np.where(total > 0, total, 1)[polygon]
    return sparse.csr_array((share.astype(np.float32), (polygon, cell)), shape=shape)


def _worth_halving(frame: Frame, outlines: Outlines, reach_deg: float, grid: Grid) -> bool:
    """Whether the window of some glaciers is too large and that of each half, at most four fifths of it, is not."""
    cells = grid.shape[0] * grid.shape[1]
    if cells * frame.cube.sizes["time"] <= MAX_CLIMATE_VALUES or len(outlines) < 2:
        return False
    halves = [outlines.half(first).places for first in (True, False)]
    shapes = [windows.around(frame.climate, *places, reach_deg)[2].shape for places in halves]
    return max(rows * columns for rows, columns in shapes) <= 0.8 * cells


def _cell_size(frame: Frame, grid: Grid) -> tuple[Floats, Floats]:
    """Column and row step of each row, signed, in metres: two (row,) arrays."""
    ones = np.ones(grid.shape[0])
    if not frame.geographic:
        return grid.dx * ones, grid.dy * ones
    latitude = np.radians(grid.y0 + grid.dy * (np.arange(grid.shape[0]) + 0.5))
    flat = 1 - WGS84_ECCENTRICITY2 * np.sin(latitude) ** 2
    east = WGS84_RADIUS_M * np.cos(latitude) / np.sqrt(flat)  # radius of the parallel
    north = WGS84_RADIUS_M * (1 - WGS84_ECCENTRICITY2) / flat**1.5  # radius of curvature of the meridian
    return np.radians(grid.dx) * east, np.radians(grid.dy) * north
