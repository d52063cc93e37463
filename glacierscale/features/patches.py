"""Outlines and terrain -> square raster patches in a few sizes (see `features.sampling` for where their cells lie)."""

from __future__ import annotations

from collections.abc import Container, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from glacierscale.features import ice as ice_of
from glacierscale.features import radiation
from glacierscale.features.coverage import Grid, cover
from glacierscale.features.sampling import Lookup, sample, to_degrees, to_metres

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

CHANNELS = {
    "elevation": "m",
    "slope": "degree",
    "sin_aspect": "1",
    "cos_aspect": "1",
    "curvature": "m-1",
    "ice_fraction": "1",
    "thickness": "m",
    "velocity": "m year-1",
    "margin_distance": "m",
    "ice_surface": "m",
}
"""Unit of every channel, in stored order."""

OPTIONAL = ("thickness", "velocity", "ice_surface")
"""Channels that a source may lack; without a surface of its own the ice has the terrain's."""

MAX_PARTS = 10
"""Samples of a finer source per side of a cell, at most: a mean of a hundred is a mean."""

NO_ICE = "a patch without ice: the outline covers no part of any cell; check the outline or leave it out."


@dataclass(frozen=True, kw_only=True)
class Rings:
    """Vertices of some glaciers."""

    polygon: Ints
    """(vertex,) glacier of each vertex, from 0, ascending"""
    ring: Ints
    """(vertex,) a change of value starts a new ring"""
    lon: Floats
    """(vertex,) degrees"""
    lat: Floats
    """(vertex,) degrees"""
    glaciers: int
    """How many glaciers."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the patches of some glaciers lie."""

    centre_lon: Floats
    """(glacier,) degrees; NaN for an outline without vertices"""
    centre_lat: Floats
    """(glacier,) degrees"""
    resolution: Floats
    """(glacier,) m"""
    bucket: Ints
    """(glacier,) cells of a side"""
    reason: npt.NDArray[np.object_]
    """(glacier,) why it has no patch; empty where it has one"""

    def take(self, rows: Ints | slice) -> Placement:
        """Some of the glaciers."""
        return Placement(**{name: values[rows] for name, values in vars(self).items()})

    @classmethod
    def concatenate(cls, parts: Sequence[Placement]) -> Placement:
        """The glaciers of several placements in order."""
        return cls(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})


def place(
    rings: Rings, *, resolution_m: float, buckets: Sequence[int], margin_cells: int, coarsest_m: float
) -> Placement:
    """Choose centre, bucket and resolution of every glacier from the extent of its outline.

    Parameters
    ----------
    rings : Rings
    resolution_m : float
        Wanted side of a cell.
    buckets : sequence of int
        Cells of a side, ascending. The smallest that holds the outline is taken; an outline larger than the last has
        cells that are coarser by a whole factor.
    margin_cells : int
        Cells kept free on each side.
    coarsest_m : float
        Coarsest side of a cell; an outline that needs more has a reason.
    """
    centre_lon, centre_lat = _middle_of_degrees(rings)
    for _ in range(2):  # the second time for giants, whose box turns with the projection
        east, west, north, south = _box(rings, centre_lon, centre_lat)
        centre_lon, centre_lat = to_degrees((east + west) / 2, (north + south) / 2, centre_lon, centre_lat)
    east, west, north, south = _box(rings, centre_lon, centre_lat)
    half = np.nan_to_num(np.max([np.abs(side) for side in (east, west, north, south)], axis=0))
    room = np.asarray(buckets) / 2 - margin_cells  # cells between centre and margin
    number = np.minimum(np.searchsorted(room * resolution_m, half), len(buckets) - 1)
    factor = np.maximum(np.ceil(half / (room[-1] * resolution_m) - 1e-9), 1)
    allowed = np.floor(coarsest_m / resolution_m + 1e-9)
    reason = np.full(rings.glaciers, "", dtype=object)
    for glacier in np.flatnonzero(factor > allowed):
        holds = 2 * room[-1] * allowed * resolution_m / 1000
        reason[glacier] = (
            f"the outline spans {2 * half[glacier] / 1000:.0f} km, the biggest patch holds {holds:.0f} km "
            f"({buckets[-1]} cells of {allowed * resolution_m:g} m, margins off); raise buckets or coarsest_m."
        )
    return Placement(
        centre_lon=centre_lon,
        centre_lat=centre_lat,
        resolution=resolution_m * np.minimum(factor, allowed),
        bucket=np.asarray(buckets)[number],
        reason=reason,
    )


def _middle_of_degrees(rings: Rings) -> tuple[Floats, Floats]:
    """Middle of each outline's longitudes, taken around its first vertex, and latitudes; NaN without vertices."""
    first = np.full(rings.glaciers, np.nan)
    start = np.flatnonzero(np.diff(rings.polygon, prepend=-1))
    first[rings.polygon[start]] = rings.lon[start]
    around = (rings.lon - first[rings.polygon] + 180) % 360 - 180
    high, low = _extremes(rings, around)
    top, bottom = _extremes(rings, rings.lat)
    return first + (high + low) / 2, (top + bottom) / 2


def _box(rings: Rings, centre_lon: Floats, centre_lat: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Largest and smallest x, largest and smallest y of each outline, metres from its centre."""
    x, y = to_metres(rings.lon, rings.lat, centre_lon[rings.polygon], centre_lat[rings.polygon])
    return (*_extremes(rings, x), *_extremes(rings, y))


def _extremes(rings: Rings, values: Floats) -> tuple[Floats, Floats]:
    """Largest and smallest value of each glacier; NaN without vertices."""
    high, low = np.full(rings.glaciers, np.nan), np.full(rings.glaciers, np.nan)
    start = np.flatnonzero(np.diff(rings.polygon, prepend=-1))
    if len(start):
        present = rings.polygon[start]
        high[present], low[present] = np.maximum.reduceat(values, start), np.minimum.reduceat(values, start)
    return high, low


def ice_fractions(rings: Rings, placement: Placement, cells: int) -> Floats:
    """Share of each patch cell that its glacier covers, exactly: (glacier, y, x) float32; 0 for the set aside."""
    fractions = np.zeros((rings.glaciers, cells, cells), np.float32)
    held = (placement.reason == "")[rings.polygon]  # what is too large would need a buffer of its own size
    if held.any():
        owner = rings.polygon[held]
        x, y = to_metres(rings.lon[held], rings.lat[held], placement.centre_lon[owner], placement.centre_lat[owner])
        side = placement.resolution[owner]
        grid = Grid(x0=-cells / 2, y0=cells / 2, dx=1, dy=-1, shape=(cells, cells))  # each patch in its own cells
        found = cover(x / side, y / side, rings.ring[held], owner, rings.glaciers, grid)
        fractions[found.polygon, found.row, found.column] = found.fraction
    return fractions


@dataclass(frozen=True, kw_only=True)
class Patch:
    """What is stored of one glacier."""

    rasters: Floats
    """(channel, y, x) float32 in the units of `CHANNELS`; all NaN where there is a reason"""
    radiation: Floats
    """(month, y, x) W m-2 float32"""
    reason: str
    """Why the glacier was set aside; empty where it was not."""


def padding(resolution_m: float, shading_m: float) -> int:
    """Cells around a patch that its slopes and shadows need."""
    return max(1, int(np.ceil(shading_m / resolution_m - 1e-9)))


def channels(source: Container[Hashable]) -> list[str]:
    """Names of the channels that a source gives."""
    return [n for n in CHANNELS if n not in OPTIONAL or {"ice_surface": "thickness"}.get(n, n) in source]


def build(
    source: Mapping[str, Floats],
    lookup: Lookup,
    fraction: Floats,
    *,
    lat_deg: float,
    resolution_m: float,
    months: Sequence[str],
    azimuths: int,
    shading_m: float,
    outline: ice_of.Outline | None = None,
) -> Patch:
    """Rasters and radiation of one glacier.

    Parameters
    ----------
    source : mapping
        ``elevation`` (y, x) m, and ``thickness`` m, ``ice_surface`` m and ``velocity`` m year-1 where there are some;
        NaN where unknown.
    lookup : Lookup
        The patch and `padding` cells around it in that source.
    fraction : (y, x)
        Share of each cell that is ice.
    lat_deg, resolution_m : float
        Latitude of the centre, and side of a cell.
    months : sequence of str
        Order of the months.
    azimuths, shading_m
        See `radiation.horizon`.
    outline : Outline, optional
        Needed where there is a thickness.
    """
    cells, pad = len(fraction), padding(resolution_m, shading_m)
    names = channels(source)
    blank = Patch(
        rasters=np.full((len(names), cells, cells), np.nan, np.float32),
        radiation=np.full((12, cells, cells), np.nan, np.float32),
        reason=NO_ICE,
    )
    ice = fraction > 0
    if not ice.any():
        return blank
    parts = int(np.clip(np.ceil(lookup.cells_of_source() - 0.1), 1, MAX_PARTS))
    surface = sample(source["elevation"], lookup, np.arange(-1.0, cells + 1), parts)
    elevation = surface[1:-1, 1:-1]
    unknown = int((np.isnan(elevation) & ice).sum())
    if unknown:
        return replace(
            blank,
            reason=f"the elevation is unknown on {unknown} of {ice.sum()} cells with ice; "
            "catalogue terrain that covers the glacier, or leave it out.",
        )
    around = sample(source["elevation"], lookup, np.arange(-float(pad), cells + pad))  # far away one sample will do
    around[pad - 1 : pad + cells + 1, pad - 1 : pad + cells + 1] = surface
    east, north, curvature = derivatives(surface, resolution_m)
    rasters = terrain_channels(elevation, east, north) | {
        "curvature": curvature,
        "ice_fraction": fraction,
        "margin_distance": margin_distance(ice, resolution_m),
    }
    rasters |= ice_of.channels(source, outline, lookup, fraction, elevation, parts)
    skyline = radiation.horizon(around, cells, resolution_m=resolution_m, azimuths=azimuths, distance_m=shading_m)
    sun = radiation.sun(lat_deg, months)
    return Patch(
        rasters=np.stack([rasters[name] for name in names], dtype=np.float32, casting="same_kind"),
        radiation=radiation.clear_sky(elevation, east, north, skyline, sun),
        reason="",
    )


def derivatives(elevation_m: Floats, resolution_m: float) -> tuple[Floats, Floats, Floats]:
    """Eastward and northward gradient (m m-1) and Laplacian (m-1) by central differences.

    Where one neighbour is unknown the difference is one-sided, where both are the surface counts as flat along them.

    Parameters
    ----------
    elevation_m : (y + 2, x + 2) m
        One ring more than is wanted, row 0 in the north.
    resolution_m : float
    """
    here = elevation_m[1:-1, 1:-1]

    def filled(side: Floats, opposite: Floats) -> Floats:
        return np.where(np.isnan(side), np.where(np.isnan(opposite), here, 2 * here - opposite), side)

    west, east = elevation_m[1:-1, :-2], elevation_m[1:-1, 2:]
    north, south = elevation_m[:-2, 1:-1], elevation_m[2:, 1:-1]
    west, east = filled(west, east), filled(east, west)
    north, south = filled(north, south), filled(south, north)
    laplacian = (east + west + north + south - 4 * here) / resolution_m**2
    return (east - west) / (2 * resolution_m), (north - south) / (2 * resolution_m), laplacian


def terrain_channels(elevation_m: Floats, east: Floats, north: Floats) -> dict[str, Floats]:
    """Elevation (m), slope (degree) and where the surface falls to (north: cos 1; 0, 0 where it is flat)."""
    steepness = np.hypot(east, north)
    length = np.where(steepness > 0, steepness, 1)
    return {
        "elevation": elevation_m,
        "slope": np.degrees(np.arctan(steepness)),
        "sin_aspect": -east / length,
        "cos_aspect": -north / length,
    }


def margin_distance(ice: npt.NDArray[np.bool_], resolution_m: float) -> Floats:
    """Metres from each cell with ice to the nearest cell without any of this glacier's, centre to centre; 0 off it."""
    distance: Floats = ndimage.distance_transform_edt(np.pad(ice, 1), sampling=resolution_m)
    return distance[1:-1, 1:-1]
