"""Ice of one glacier on its patch: how thick it is, and where the surface lies that its bed hangs from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from glacierscale.features.coverage import Grid, cover
from glacierscale.features.sampling import Lookup, sample, to_metres

if TYPE_CHECKING:
    from glacierscale.features.patches import Placement, Rings

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

LEAST_TOLD = 0.5
"""Share of an outline, at least, on which the source has ice; below it the ice there is another glacier's."""

BLED_M = 1.0
"""Thickness up to which a cell beside an outline counts as bare: resampling leaves so much beyond the margin of ice."""

_LEAST_SHARE = 0.02  # of a cell: less ice tells nothing of its thickness
_AROUND = 4  # cells of the source kept around an outline: one to interpolate, one to tell neighbours


@dataclass(frozen=True, kw_only=True)
class Outline:
    """Vertices of one glacier in cells of its patch, 0 at the centre of the first."""

    row: Floats
    """(vertex,)"""
    column: Floats
    """(vertex,)"""
    ring: Ints
    """(vertex,) a change of value starts a new ring"""


def outline(rings: Rings, placement: Placement, glacier: int, cells: int) -> Outline:
    """Outline of one of some glaciers on its patch of so many cells."""
    mine = rings.polygon == glacier
    x, y = to_metres(rings.lon[mine], rings.lat[mine], placement.centre_lon[glacier], placement.centre_lat[glacier])
    side, middle = placement.resolution[glacier], (cells - 1) / 2
    return Outline(row=middle - y / side, column=middle + x / side, ring=rings.ring[mine])


def channels(
    source: Mapping[str, Floats],
    around: Outline | None,
    lookup: Lookup,
    fraction: Floats,
    elevation_m: Floats,
    parts: int,
) -> dict[str, Floats]:
    """What the source tells of the ice: its speed, its thickness and the elevation of the surface that this refers to.

    Parameters
    ----------
    source : mapping
        ``elevation`` (y, x) m, and where there are some ``velocity`` m year-1, ``thickness``, mean over whole cells,
        and ``ice_surface`` m; NaN where unknown.
    around : Outline, optional
        Of the glacier; needed where there is a thickness.
    lookup : Lookup
        The patch in that source.
    fraction : (y, x)
        Share of each cell of the patch that is ice.
    elevation_m : (y, x)
        Terrain of the patch.
    parts : int
        Samples per side of a cell.

    Returns
    -------
    dict
        ``velocity`` (y, x) m year-1; ``thickness`` (y, x) m, mean over the part of the cell that is ice, 0 where none
        is, NaN on all ice of a glacier that the source does not know; ``ice_surface`` (y, x) m, the terrain where there
        is no ice.
    """
    at = np.arange(float(len(fraction)))
    told = {"velocity": sample(source["velocity"], lookup, at, parts)} if "velocity" in source else {}
    if "thickness" not in source or around is None:
        return told
    inner, box, own = _covered(around, lookup, source["thickness"].shape)
    depth = np.nan_to_num(source["thickness"][box].astype(float))
    iced = fraction > 0
    if own[depth > 0].sum() < LEAST_TOLD * own.sum() or not own.any():
        return told | {"thickness": np.where(iced, np.nan, 0.0), "ice_surface": elevation_m}
    surface = elevation_m
    if "ice_surface" in source:
        # Only what it differs from the terrain is interpolated, so that slopes at the margin lose nothing.
        above = sample(source["ice_surface"][box] - source["elevation"][box], inner, at, parts)
        surface = np.where(iced, elevation_m + _nearest(above, iced & np.isfinite(above)), elevation_m)
    return told | {"thickness": _thickness(depth, own, inner, fraction, parts), "ice_surface": surface}


def _covered(around: Outline, lookup: Lookup, shape: tuple[int, ...]) -> tuple[Lookup, tuple[slice, slice], Floats]:
    """The source near an outline: the patch in it, its rows and columns, and the share of its cells that is covered."""
    step = lookup.knots[1] - lookup.knots[0]
    where = [(at - lookup.knots[0]) / step for at in (around.row, around.column)]
    at, box = [], []
    for positions, length in ((lookup.row, shape[0]), (lookup.column, shape[1])):
        # What lies outside of the source, or cannot be transformed, need not be told how far.
        vertices = np.clip(ndimage.map_coordinates(positions, where, order=1, mode="nearest"), -2, length + 1)
        first = int(np.clip(np.floor(vertices.min()) - _AROUND, 0, length - 1))
        last = int(np.clip(np.ceil(vertices.max()) + _AROUND + 1, first + 1, length))
        at.append(vertices - first)
        box.append(slice(first, last))
    inside = (box[0].stop - box[0].start, box[1].stop - box[1].start)
    grid = Grid(x0=-0.5, y0=-0.5, dx=1, dy=1, shape=inside)
    found = cover(at[1], at[0], around.ring, np.zeros(len(at[0]), np.int64), 1, grid)
    own = np.zeros(inside)
    own[found.row, found.column] = found.fraction
    return lookup.within(box[0].start, box[1].start, 1), (box[0], box[1]), own


def _thickness(depth_m: Floats, own: Floats, lookup: Lookup, fraction: Floats, parts: int) -> Floats:
    """Mean thickness over the ice of each cell of the patch; its mean over the glacier is that of the source.

    A cell at the margin of all ice holds little because little of it is ice: means over cells and their shares of ice
    are sampled alike and divided. A cell at a divide is full, though this glacier has only a part of it: what has ice
    of neighbours beside it counts as full. Then all is scaled to the volume that the source has inside of the outline.
    """
    iced = fraction > 0
    shared = ndimage.binary_dilation((own == 0) & (depth_m > BLED_M), np.ones((3, 3)))
    share = np.where(own > 0, np.where(shared, 1.0, own), depth_m > 0)
    mean = (depth_m * own / np.where(share > 0, share, 1.0)).sum() / own.sum()
    at = np.arange(float(len(fraction)))
    total, weight = (np.nan_to_num(sample(values, lookup, at, parts)) for values in (depth_m, share))
    found = np.where(weight > _LEAST_SHARE, total / np.maximum(weight, _LEAST_SHARE), 0.0)
    found = np.minimum(found, ndimage.maximum_filter(total, 3))  # an outline that is too small makes no ice thicker
    found = _nearest(found, iced & (found > 0))  # one that is too large has ice on all that it covers
    return np.where(iced, found * (mean / np.average(found, weights=fraction)), 0.0)


def _nearest(values: Floats, known: npt.NDArray[np.bool_]) -> Floats:
    """Values where they are known, elsewhere that of the nearest cell where they are; 0 where they are nowhere."""
    if not known.any():
        return np.zeros_like(values)
    row, column = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    nearest: Floats = values[row, column]
    return nearest
