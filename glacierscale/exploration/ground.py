"""What lies under the values of a map: outlines of glaciers, and terrain in the light of the north-west."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glacierscale import provenance, schema
from glacierscale.exploration.opening import Ints, Source, Sources
from glacierscale.exploration.reading import Floats, mean_of
from glacierscale.region import beside
from glacierscale.store import Files

if TYPE_CHECKING:
    import geopandas as gpd
    import xarray as xr

_VERTICES_AT_ONCE = 500_000
_METRES_PER_DEGREE = 111_195.0
_WIDTH_IN_PARTS = 4_000
_TOLERANCE_M = (5.0, 150.0)
_MOST_CELLS = 250_000_000
"""Terrain beyond that is no small region: it would take a minute to read."""
_ROWS_AT_ONCE = 512
_HALF_TURN = 180.0
_TABLE = "glaciers.parquet"


@dataclass(frozen=True, kw_only=True, eq=False)
class Hillshade:
    """Light on the terrain on a grid of longitude and latitude, row 0 in the north."""

    shade: npt.NDArray[np.float32]
    """(y, x) 0 dark to 1 light, NaN beside the terrain"""
    west: float
    """Western edge, degrees; longitudes are next to those of the glaciers."""
    south: float
    """Southern edge."""
    east: float
    """Eastern edge."""
    north: float
    """Northern edge."""


def outlines(sources: Sources, lon: Floats, rows: Ints, tolerance_m: float | None) -> gpd.GeoDataFrame | None:
    """Outlines of glaciers of an atlas, see `Atlas.outlines`; `lon` (glacier,) are longitudes to lie next to."""
    import geopandas as gpd
    import shapely

    cube = sources.one(schema.CUBE)
    found = _of_table(sources, lon, rows) if cube is None else _of_cube(cube, lon, rows)
    if found is None:
        return None
    chosen, parts = found
    shapes = gpd.GeoSeries(parts, crs="EPSG:4326")
    degrees = (_tolerance(shapes) if tolerance_m is None else tolerance_m) / _METRES_PER_DEGREE
    simple = shapely.simplify(shapes.values, degrees) if degrees > 0 else shapes.values
    simple = np.where(shapely.is_empty(simple), shapes.values, simple)
    table = gpd.GeoDataFrame({"glacier": chosen}, geometry=simple, crs="EPSG:4326")
    return table.sort_values("glacier", ignore_index=True)


def _of_cube(cube: Source, lon: Floats, rows: Ints) -> tuple[Ints, list[Any]]:
    """Glaciers that have an outline in a cube, and the outlines, read in runs."""
    start, count = (cube.data[name].values.astype(np.int64) for name in ("vertex_start", "vertex_count"))
    rows = rows[cube.position[rows] >= 0]
    rows = rows[count[cube.position[rows]] > 0]
    rows = rows[np.argsort(cube.position[rows], kind="stable")]
    start, count = start[cube.position[rows]], count[cube.position[rows]]
    parts: list[Any] = []
    for run in _runs(start, count):
        parts += _shapes(cube.data, start[run], count[run], lon[rows[run]])
    return rows, parts


def _of_table(sources: Sources, lon: Floats, rows: Ints) -> tuple[Ints, list[Any]] | None:
    """The same from the GeoParquet file beside the first store, where there is one."""
    import geopandas as gpd

    leading = next(iter(sources)).store
    data = Files.at(provenance.join(leading.url, "..")).read(_TABLE)
    if data is None:
        return None
    table = gpd.read_parquet(io.BytesIO(data), columns=["glacier_id", "geometry"]).set_index("glacier_id")
    rows = rows[np.isin(sources.ids[rows], table.index.to_numpy(str))]
    shapes = table.geometry.loc[sources.ids[rows]]
    return rows, [_next_to(shape, lon[row]) for shape, row in zip(shapes, rows, strict=True)]


def _next_to(shape: Any, centre: float) -> Any:
    """A shape with longitudes next to one; the halves of one that is cut at the antimeridian become one again."""
    import shapely

    west, _, east, _ = shape.bounds
    moved = shapely.transform(shape, lambda points: np.column_stack([beside(points[:, 0], centre), points[:, 1]]))
    return shapely.union_all(shapely.get_parts(moved)) if east - west > _HALF_TURN else moved


def _runs(start: Ints, count: Ints) -> list[slice]:
    """Runs of glaciers, in order of their vertices, whose vertices lie close together and are not too many."""
    runs, first = [], 0
    for at in range(1, len(start) + 1):
        if at == len(start) or start[at] + count[at] - start[first] > _VERTICES_AT_ONCE:
            runs.append(slice(first, at))
            first = at
    return runs


def _shapes(data: xr.Dataset, start: Ints, count: Ints, lon: Floats) -> list[Any]:
    """Multipolygons of glaciers of a cube, in order of their vertices; shells run counter-clockwise, holes do not."""
    import shapely

    low, high = int(start[0]), int(start[-1] + count[-1])
    names = ("vertex_lon", "vertex_lat", "vertex_ring")
    with ThreadPoolExecutor(len(names)) as pool:
        read = list(pool.map(lambda name: data[name].isel(vertex=slice(low, high)).values, names))
    glacier, first = np.repeat(np.arange(len(start)), count), np.cumsum(count) - count
    own = np.arange(count.sum()) + np.repeat(start - low - first, count)  # other glaciers may lie in between
    vertex_lon, vertex_lat, ring = (values[own] for values in read)
    cut = np.maximum.reduceat(vertex_lon, first) - np.minimum.reduceat(vertex_lon, first) > _HALF_TURN
    points = np.column_stack([beside(vertex_lon, lon[glacier]), vertex_lat])
    begin = np.flatnonzero(np.append(True, (np.diff(ring) != 0) | (np.diff(glacier) != 0)))
    shell = _turn_left(points, begin)
    shell[np.append(True, np.diff(glacier[begin]) != 0)] = True
    parts = np.flatnonzero(shell)  # holes follow their shell
    closed = points[np.insert(np.arange(len(points)), np.append(begin[1:], len(points)), begin)]
    rings = np.append(begin, len(points)) + np.arange(len(begin) + 1)
    polygons = np.append(parts, len(begin))
    whole = np.searchsorted(glacier[begin[parts]], np.arange(len(start) + 1))
    shapes = shapely.from_ragged_array(shapely.GeometryType.MULTIPOLYGON, closed, (rings, polygons, whole))
    for at in np.flatnonzero(cut):
        shapes[at] = shapely.union_all(shapely.get_parts(shapes[at]))
    return list(shapes)


def _turn_left(points: Floats, begin: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Which open rings (point, 2), by their first points, run counter-clockwise, from their signed area."""
    local = points - np.repeat(points[begin], np.diff(np.append(begin, len(points))), axis=0)
    after = np.arange(1, len(points) + 1)
    after[np.append(begin[1:], len(points)) - 1] = begin
    ahead = local[after]
    turns: npt.NDArray[np.bool_] = np.add.reduceat(local[:, 0] * ahead[:, 1] - ahead[:, 0] * local[:, 1], begin) > 0
    return turns


def _tolerance(shapes: Any) -> float:
    """Metres that are not seen on a map of all outlines."""
    if not len(shapes):
        return 0.0
    west, south, east, north = shapes.total_bounds
    return float(np.clip(max(east - west, north - south) * _METRES_PER_DEGREE / _WIDTH_IN_PARTS, *_TOLERANCE_M))


def hillshade(cube: Source, lon: Floats, most: int) -> Hillshade | None:
    """Shaded terrain of a cube, at most so many cells wide or high; None where there is none, or too much of it."""
    data = cube.data
    if "elevation" not in data or min(data.sizes["y"], data.sizes["x"]) < 3:
        return None
    if data.sizes["y"] * data.sizes["x"] > _MOST_CELLS:
        return None
    x, y, elevation = _coarse(data, most)
    if not np.isfinite(elevation).any():
        return None
    crs = data.attrs["terrain_crs_wkt"]
    return _on_degrees(x, y, _shaded(x, y, elevation, crs), crs, float(np.nanmedian(lon)), most)


def _coarse(data: xr.Dataset, most: int) -> tuple[Floats, Floats, Floats]:
    """Terrain as means of squares of cells, read a band of rows at a time."""
    high, wide = data.sizes["y"], data.sizes["x"]
    step = max(1, min(-(-max(high, wide) // most), min(high, wide) // 2))  # two squares at least make a slope
    rows, columns = high // step, wide // step
    at_once = max(1, _ROWS_AT_ONCE // step) * step

    def band(first: int) -> Floats:
        part = slice(first, min(first + at_once, rows * step))
        found = data["elevation"].isel(y=part, x=slice(0, columns * step)).values
        return mean_of(mean_of(found.reshape(-1, step, columns, step), axis=3), axis=1)

    with ThreadPoolExecutor(4) as pool:
        elevation = np.concatenate(list(pool.map(band, range(0, rows * step, at_once))))
    x, y = data.x.values[: columns * step], data.y.values[: rows * step]
    return x.reshape(-1, step).mean(1), y.reshape(-1, step).mean(1), elevation


def _shaded(x: Floats, y: Floats, elevation: Floats, crs: str) -> Floats:
    """Light on slopes, lit from the north-west, 0 dark to 1 light."""
    import pyproj

    to_m = np.ones(2)
    if pyproj.CRS(crs).is_geographic:
        to_m = _METRES_PER_DEGREE * np.array([np.cos(np.deg2rad(y.mean())), 1.0])
    north, east = np.gradient(elevation.astype(float), y * to_m[1], x * to_m[0])
    light = (1 + (east - north) / np.sqrt(2)) / np.sqrt(2) / np.sqrt(1 + east**2 + north**2)
    shade: Floats = np.clip(light, 0.0, 1.0)
    return shade


def _on_degrees(x: Floats, y: Floats, shade: Floats, crs: str, centre: float, most: int) -> Hillshade:
    """A grid looked up at the nearest cells of one of longitude and latitude that holds it."""
    import pyproj

    degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    frame_x, frame_y = np.meshgrid(np.linspace(x[0], x[-1], 25), np.linspace(y[0], y[-1], 25))
    lon, lat = degrees.transform(frame_x, frame_y)
    lon = beside(lon, centre)
    west, east, south, north = float(lon.min()), float(lon.max()), float(lat.min()), float(lat.max())
    stretch = np.cos(np.deg2rad((south + north) / 2))
    side = max((east - west) * stretch, north - south) / most
    columns, rows = (max(2, int(np.ceil(size / side))) for size in ((east - west) * stretch, north - south))
    columns, rows = min(columns, most), min(rows, most)
    to_lon = west + (np.arange(columns) + 0.5) * (east - west) / columns
    to_lat = north - (np.arange(rows) + 0.5) * (north - south) / rows
    at_x, at_y = degrees.transform(*np.meshgrid(to_lon, to_lat), direction="INVERSE")
    column = np.rint((at_x - x[0]) / (x[1] - x[0]))
    row = np.rint((at_y - y[0]) / (y[1] - y[0]))
    inside = (column >= 0) & (column < len(x)) & (row >= 0) & (row < len(y))
    found = np.full(at_x.shape, np.nan, np.float32)
    found[inside] = shade[row[inside].astype(int), column[inside].astype(int)]
    return Hillshade(shade=found, west=west, south=south, east=east, north=north)
