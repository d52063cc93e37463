"""Exact fraction of every grid cell that a polygon covers, for thousands of polygons at once.

Zonal statistics of a whole block of glaciers are one pass over polygon edges instead of one clip per glacier. An edge
that is cut at every row and column of the grid falls into pieces that lie in one cell each. A piece that climbs `dv`
rows at mean column `u` covers the part of its own cell right of `u` and the whole of every cell further right, so a
running sum along the row gives the covered area exactly (the signed-area accumulation of font rasterisers).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_TINY = 1e-6  # of a cell, or of a polygon smaller than one: rounding left by the running sum

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A regular grid of rectangular cells."""

    x0: float
    """Outer edge of column 0."""
    y0: float
    """Outer edge of row 0."""
    dx: float
    """Column step; negative where x falls with the column."""
    dy: float
    """Row step; negative where y falls with the row (north up)."""
    shape: tuple[int, int]
    """Rows, columns."""

    @classmethod
    def from_centres(cls, x: npt.ArrayLike, y: npt.ArrayLike, *, step: tuple[float, float] | None = None) -> Grid:
        """Grid of given cell centres; `step` (dx, dy) where an axis has one cell.

        Raises
        ------
        ValueError
            If the centres are not equally spaced.
        """
        x, y = np.asarray(x, float), np.asarray(y, float)
        steps = []
        for name, axis, given in (("x", x, step and step[0]), ("y", y, step and step[1])):
            gaps = np.diff(axis)
            if not len(gaps) and not given:
                raise ValueError(f"the {name} axis has one cell and no step; give `step`.")
            width = float(gaps.mean()) if len(gaps) else float(given or 0)
            if len(gaps) and np.abs(gaps - width).max() > 1e-3 * abs(width):
                raise ValueError(
                    f"the {name} axis is not regular: steps run from {gaps.min()} to {gaps.max()}; regrid it first."
                )
            steps.append(width)
        return cls(x0=x[0] - steps[0] / 2, y0=y[0] - steps[1] / 2, dx=steps[0], dy=steps[1], shape=(len(y), len(x)))


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Covered cells of many polygons, sorted by polygon, row and column."""

    polygon: Ints
    """(entry,) polygon number."""
    row: Ints
    """(entry,) grid row."""
    column: Ints
    """(entry,) grid column."""
    fraction: Floats
    """(entry,) covered fraction of the cell, above 0 and at most 1."""
    polygons: int
    """How many polygons were asked for."""


def cover(x: Floats, y: Floats, ring: Ints, polygon: Ints, polygons: int, grid: Grid) -> Coverage:
    """Cells covered by each polygon.

    Parameters
    ----------
    x, y : (vertex,)
        Vertices in the grid's coordinates. A ring is a run of vertices, closed from its last to its first. Shells and
        holes turn in opposite directions.
    ring : (vertex,) int
        Ring of each vertex; a change of value starts a new ring.
    polygon : (vertex,) int
        Polygon of each vertex, 0 to `polygons` - 1, ascending.
    polygons : int
        Number of polygons.
    grid : Grid
        The cells. Parts of polygons outside are left out.

    Returns
    -------
    Coverage
        Exact covered fractions; overlapping polygons do not disturb each other.
    """
    u0 = (x - grid.x0) / grid.dx
    v0 = (y - grid.y0) / grid.dy
    following = _next_in_ring(ring, polygon)
    u0, v0, u1, v1, owner = _split(u0, v0, u0[following], v0[following], polygon)  # at every column
    v0, u0, v1, u1, owner = _split(v0, u0, v1, u1, owner)  # at every row

    middle = (u0 + u1) / 2
    column = np.floor(middle).astype(np.int64)
    row = np.floor((v0 + v1) / 2).astype(np.int64)
    climb = v1 - v0
    inside = middle - column

    first_row, height, first_column, width = _windows(owner, row, column, polygons)
    cells = height * width
    start = np.concatenate([[0], np.cumsum(cells)])
    at = start[owner] + (row - first_row[owner]) * width[owner] + (column - first_column[owner])
    length = int(start[-1])
    area = np.bincount(at, climb * (1 - inside), length)
    area += np.bincount(at + 1, climb * inside, length)
    np.cumsum(area, out=area)  # every row of a closed ring sums to zero, so one running sum serves all rows
    area -= np.repeat(np.concatenate([[0.0], area])[start[:-1]], cells)  # rounding that earlier polygons left
    total = np.abs(np.bincount(np.repeat(np.arange(polygons), cells), area, polygons))
    covered = np.flatnonzero(np.abs(area) > np.repeat(_TINY * np.minimum(total, 1), cells))

    owner = np.repeat(np.arange(polygons), np.diff(np.searchsorted(covered, start)))
    local = covered - start[owner]
    row = local // width[owner]
    column = local - row * width[owner] + first_column[owner]
    row += first_row[owner]
    kept = (row >= 0) & (row < grid.shape[0]) & (column >= 0) & (column < grid.shape[1])
    fraction = np.minimum(np.abs(area[covered]), 1.0)
    return Coverage(polygon=owner[kept], row=row[kept], column=column[kept], fraction=fraction[kept], polygons=polygons)


def _next_in_ring(ring: Ints, polygon: Ints) -> Ints:
    """Index of the vertex that follows each one, the ring's first after its last."""
    last = np.append((np.diff(ring) != 0) | (np.diff(polygon) != 0), True)
    following = np.arange(1, len(ring) + 1)
    ends = np.flatnonzero(last)
    following[ends] = np.concatenate([[0], ends[:-1] + 1])
    return following


def _split(a0: Floats, b0: Floats, a1: Floats, b1: Floats, owner: Ints) -> tuple[Floats, Floats, Floats, Floats, Ints]:
    """Cut segments (a0, b0)-(a1, b1) wherever `a` passes a whole number."""
    low, high = np.minimum(a0, a1), np.maximum(a0, a1)
    first = np.floor(low) + 1  # first whole number inside
    cuts = np.maximum(np.ceil(high) - first, 0).astype(np.int64)
    pieces = cuts + 1
    whole = pieces == 1
    if whole.all():
        return a0, b0, a1, b1, owner
    source = np.repeat(np.arange(len(a0)), pieces)
    nth = np.arange(len(source)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    rising = (a1 >= a0)[source]
    # Where along the axis this piece starts and ends, walking from a0 to a1.
    begin = np.where(rising, first[source] + nth - 1, first[source] + cuts[source] - nth)
    end = np.where(rising, begin + 1, begin - 1)
    starts, ends = nth == 0, nth == cuts[source]
    begin = np.where(starts, a0[source], begin)
    end = np.where(ends, a1[source], end)
    slope = np.divide(b1 - b0, a1 - a0, out=np.zeros_like(a0), where=cuts > 0)[source]
    b_begin = np.where(starts, b0[source], b0[source] + (begin - a0[source]) * slope)
    b_end = np.where(ends, b1[source], b0[source] + (end - a0[source]) * slope)
    return begin, b_begin, end, b_end, owner[source]


def _windows(owner: Ints, row: Ints, column: Ints, polygons: int) -> tuple[Ints, Ints, Ints, Ints]:
    """First row, rows, first column and columns (with one to spare) of each polygon's own buffer."""
    bounds = np.searchsorted(owner, np.arange(polygons + 1))
    present = np.flatnonzero(np.diff(bounds) > 0)
    at = bounds[present]
    first_row, height, first_column, width = (np.zeros(polygons, np.int64) for _ in range(4))
    if len(present):
        first_row[present] = np.minimum.reduceat(row, at)
        height[present] = np.maximum.reduceat(row, at) - first_row[present] + 1
        first_column[present] = np.minimum.reduceat(column, at)
        width[present] = np.maximum.reduceat(column, at) - first_column[present] + 2
    return first_row, height, first_column, width
