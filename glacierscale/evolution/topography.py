"""Size and shape of glaciers as their ice changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glacierscale.evolution.delta_h import covered_area
from glacierscale.evolution.geometry import Ice
from glacierscale.evolution.packing import Columns
from glacierscale.features.terrain import LOWEST_SHARE

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Around:
    """What lies beside each cell, of the glaciers of a `Ground` and the segments they are in."""

    neighbour: Ints
    """(side, cell) as in `Ice`, counted within the cells of a glacier and then its rim"""
    surface: Floats
    """(place,) m: ground of all cells of a segment without ice, then of its rim, one segment after the other"""
    rims_before: Ints
    """(segment,) cells of rims of the segments before"""
    start: Ints
    """(segment,) first place"""
    dx: Floats
    """(segment,) m, side of a cell"""

    @classmethod
    def of(cls, ices: Sequence[Ice], glacier: Ints) -> Around:
        """Of single glaciers, and the glacier of each segment."""
        own = [np.concatenate([ice.bed[0].numpy(), ice.rim[0].numpy()]) for ice in ices]
        rims = np.array([ice.rim.shape[1] for ice in ices])[glacier]
        sizes = np.array([len(one) for one in own])[glacier]
        return cls(
            neighbour=np.concatenate([ice.neighbour[0].numpy() for ice in ices], axis=1),
            surface=np.concatenate([own[one] for one in glacier.tolist()]),
            rims_before=np.cumsum(rims) - rims,
            start=np.cumsum(sizes) - sizes,
            dx=np.array([float(ice.dx[0]) for ice in ices])[glacier],
        )


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Elevations in equal steps over all that each segment may reach, one segment after the other."""

    lowest_m: Floats
    """(segment,) the first"""
    first: Ints
    """(segment + 1,) where those of each segment start"""
    step_m: float


def topography(columns: Columns, around: Around) -> dict[str, Floats]:
    """Size and shape of the ice of each segment (see `features.terrain.per_glacier`).

    Returns
    -------
    dict
        ``area`` m2, ``volume`` m3, ``mean_elevation``, ``min_elevation``, ``max_elevation`` m and ``slope20`` degree,
        each (segment,), and ``covered``, area under ice (column,) m2. Only area and volume tell of segments without
        ice.
    """
    covered = covered_area(columns.thickness, columns.area, columns.initial)
    area, low, high = columns.total(covered), columns.lowest, columns.highest
    there = np.where(area > 0, area, 1.0)
    reach = np.where(area > 0, high, 0.0) - np.where(area > 0, low, 0.0)
    tongue = np.flatnonzero(columns.surface <= columns.spread(low + LOWEST_SHARE * reach))
    return {
        "area": area,
        "volume": columns.total(columns.thickness * columns.area),
        "mean_elevation": columns.total(covered * columns.surface) / there,
        "min_elevation": low,
        "max_elevation": high,
        "slope20": _mean_slope(columns, around, tongue, covered[tongue]),
        "covered": covered,
    }


def area_at(columns: Columns, covered: Floats, levels: Levels) -> Floats:
    """Area of ice at elevations in equal steps; a cell between two counts for both, for the nearer one more.

    A mean over the ice of anything that is linear between the elevations is the mean over them weighted by this.

    Parameters
    ----------
    columns : Columns
    covered : (column,) m2
    levels : Levels
        What lies outside counts for the first or the last of its segment.

    Returns
    -------
    numpy.ndarray
        (node,) m2, of all segments.
    """
    below, share = between(columns, levels)
    upper = covered * share
    size = int(levels.first[-1])
    out = np.bincount(below, covered - upper, minlength=size).astype(float, copy=False)
    out[1:] += np.bincount(below, upper, minlength=size)[:-1]
    return out


def between(columns: Columns, levels: Levels) -> tuple[Ints, Floats]:
    """Node below the surface of each column, and how far it is on the way to the next, 0 to 1."""
    last = np.diff(levels.first) - 1
    place = columns.surface - columns.spread(levels.lowest_m)
    place /= levels.step_m
    within = (columns.lowest >= levels.lowest_m) & (columns.highest < levels.lowest_m + levels.step_m * (last - 0.5))
    if within.all():
        below = place.astype(np.intp)
    else:
        np.clip(place, 0, columns.spread(last), out=place)
        below = np.minimum(place.astype(np.intp), columns.spread(last - 1))
    place -= below
    below += columns.spread(levels.first[:-1])
    return below, place


def _mean_slope(columns: Columns, around: Around, column: Ints, weight: Floats) -> Floats:
    """Mean slope of the surface by central differences over some columns: (segment,) degree."""
    surface = around.surface.copy()
    place = columns.place + columns.spread(around.rims_before)
    surface[place] = columns.surface
    owner = columns.owner(column)
    start = around.start[owner]
    cell = place[column] - start + columns.ground.first[columns.glacier[owner]]
    west, east, north, south = (surface.take(side.take(cell) + start) for side in around.neighbour)
    steps = 2 * around.dx[owner]
    rise = np.sqrt((east - west) ** 2 + (south - north) ** 2) / steps
    segments = len(columns.glacier)
    total = np.bincount(owner, weight * np.arctan(rise), minlength=segments)
    covered = np.bincount(owner, weight, minlength=segments)
    mean: Floats = np.rad2deg(total / np.where(covered > 0, covered, 1.0))
    return mean
