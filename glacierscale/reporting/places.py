"""Where glaciers lie on a map: outlines, extent and scale, over the antimeridian too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from glacierscale import schema
from glacierscale.reporting.style import INK

if TYPE_CHECKING:
    import xarray as xr

Extent = tuple[float, float, float, float]
"""West, east, south and north edge, degrees."""
KM_PER_DEGREE = 111.195
"""On a sphere of 6371 km."""


class Places(NamedTuple):
    """Where glaciers lie on a map of longitude and latitude."""

    lonlat: np.ndarray
    """(glacier, 2) degrees, longitudes next to each other"""
    paths: list[Any]
    """Outlines, as far as there are some."""
    outlined: np.ndarray
    """(path,) number of the glacier of each outline"""
    occupied: np.ndarray
    """(point, 2) degrees, all that the map must hold"""
    extent: Extent
    """What it shows."""
    stretch: float
    """Degrees east that are as long as one degree north."""


def places(data: xr.Dataset, shown: np.ndarray, outlines: Any | None, *, detail: int = 4_000) -> Places:
    """Find where the glaciers of a dataset lie on a map.

    Parameters
    ----------
    data : xarray.Dataset
        glacier_id, lon, lat (glacier).
    shown : numpy.ndarray
        (glacier,) those that the map must hold.
    outlines : geopandas.GeoDataFrame or None
        glacier_id and geometry in EPSG:4326.
    detail : int
        Parts of the map's width below which an outline is simplified.
    """
    lonlat = np.column_stack([data["lon"].values, data["lat"].values]).astype(float)
    centre = float(np.rad2deg(np.angle(np.nanmean(np.exp(1j * np.deg2rad(lonlat[:, 0]))))))
    lonlat = _unwrap(lonlat, centre)
    number = {name: at for at, name in enumerate(schema.text(data["glacier_id"].values).tolist())}
    shapes = None if outlines is None else outlines[outlines["glacier_id"].isin(list(number))]
    paths: list[Any] = []
    outlined: list[int] = []
    if shapes is not None and len(shapes):
        whole = _whole(shapes.geometry, centre)
        width = float(whole.total_bounds[2] - whole.total_bounds[0])
        paths = _paths(whole.simplify(width / detail))
        outlined = [number[name] for name in shapes["glacier_id"]]
    occupied = np.concatenate([lonlat[shown], *(path.vertices for path in paths)])
    extent, stretch = _frame(occupied)
    return Places(lonlat, paths, np.array(outlined, np.int64), occupied, extent, stretch)


def graticule(axes: Any, extent: Extent, stretch: float) -> None:
    """Limits of a map, its ground and labels of longitude and latitude."""
    west, east, south, north = extent
    axes.set(xlim=(west, east), ylim=(south, north), aspect=stretch, facecolor="#e8ecf0")
    axes.locator_params(nbins=6)
    axes.xaxis.set_major_formatter(lambda x, _: _degrees((x + 180) % 360 - 180, "E", "W"))
    axes.yaxis.set_major_formatter(lambda y, _: _degrees(y, "N", "S"))
    axes.grid(color="#ffffff", linewidth=0.5, alpha=0.6)


def scale_and_north(axes: Any, extent: Extent, stretch: float) -> None:
    """A scale bar and a north arrow above a map, where they hide nothing."""
    from matplotlib.transforms import ScaledTranslation

    west, east = extent[:2]
    width_km = (east - west) * KM_PER_DEGREE / stretch
    choices = [a * 10.0**b for b in range(-2, 4) for a in (1, 2, 5)]
    bar_km = max((c for c in choices if c <= width_km / 5), default=choices[0])
    left = 1 - bar_km / width_km
    above, label, letter = (
        axes.transAxes + ScaledTranslation(x / 72, 7 / 72, axes.figure.dpi_scale_trans) for x in (-26, -31, -11)
    )
    bar: dict[str, Any] = {"transform": above, "clip_on": False, "color": INK}
    axes.plot([left, 1], [1, 1], lw=2.5, solid_capstyle="butt", gid="scale", **bar)
    axes.text(left, 1, f"{bar_km:g} km", transform=label, ha="right", va="center", fontsize=8)
    low, high = (axes.transAxes + ScaledTranslation(-5 / 72, y / 72, axes.figure.dpi_scale_trans) for y in (2, 17))
    arrow = {"arrowstyle": "-|>", "color": INK, "lw": 1.2, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9}
    ends: dict[str, Any] = {"xycoords": high, "textcoords": low, "annotation_clip": False}
    axes.annotate("", (1, 1), (1, 1), arrowprops=arrow, **ends)
    axes.text(1, 1, "N", transform=letter, ha="right", va="center", fontsize=8, fontweight="bold")


def _whole(geometries: Any, centre: float) -> Any:
    """Outlines with longitudes next to `centre`, those that are cut at the antimeridian in one piece again."""
    import shapely

    cut = np.flatnonzero(np.ptp(geometries.bounds.values[:, ::2], axis=1) > 180)
    moved = geometries.transform(lambda points: _unwrap(points, centre))
    for number in cut:
        moved.iloc[number] = shapely.union_all(shapely.get_parts(moved.iloc[number]))
    return moved


def _paths(geometries: Sequence[Any]) -> list[Any]:
    from matplotlib.path import Path
    from shapely.geometry.polygon import orient

    paths = []
    for geometry in geometries:
        rings = []
        for polygon in getattr(geometry, "geoms", [geometry]):
            turned = orient(polygon)  # holes run the other way: SVG fills by winding
            rings += [np.asarray(ring.coords)[:, :2] for ring in (turned.exterior, *turned.interiors)]
        paths.append(Path.make_compound_path(*(Path(ring, closed=True) for ring in rings)))
    return paths


def _unwrap(lonlat: np.ndarray, centre: float) -> np.ndarray:
    """Move longitudes next to `centre`, so that a region may straddle 180 degrees; (n, 2) degrees."""
    return np.column_stack([(lonlat[:, 0] - centre + 180) % 360 - 180 + centre, lonlat[:, 1]])


def _degrees(value: float, positive: str, negative: str) -> str:
    """A longitude or latitude in words; the equator, Greenwich and the antimeridian lie on no side."""
    size = f"{abs(value):.6g}"
    return f"{size}°" if size in ("0", "180") else f"{size}° {positive if value > 0 else negative}"


def _frame(occupied: np.ndarray) -> tuple[Extent, float]:
    """Extent around points (n, 2) with a margin, and how many degrees east one degree north is."""
    (west, south), (east, north) = occupied.min(0), occupied.max(0)
    stretch = 1 / np.cos(np.deg2rad(min(abs(south + north) / 2, 85)))
    pad = max(0.04 * (east - west), 0.04 * (north - south) * stretch, 0.01)
    return (float(west - pad), float(east + pad), float(south - pad / stretch), float(north + pad / stretch)), float(
        stretch
    )
