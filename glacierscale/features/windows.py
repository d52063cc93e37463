"""Windows of regular grids around glaciers, also over the seam of a grid around the Earth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from glacierscale.features.coverage import Grid
from glacierscale.region import beside

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


def window(grid: Grid, x: Floats, y: Floats, *, margin: int) -> tuple[slice, slice, Grid]:
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


def around(
    grid: Grid, lon: Floats, lat: Floats, centre_lon: float, reach_deg: float
) -> tuple[slice, slice | Ints, Grid, Floats]:
    """Window of a geographic grid that holds all within reach of some points, and their longitudes in it.

    On a grid around the Earth, columns run on over its seam, so that neighbours stay neighbours wherever that lies.

    Parameters
    ----------
    grid : Grid
        In degrees.
    lon, lat : (point,)
        Degrees, counted in any way.
    centre_lon : float
        Points lie within half a turn of it.
    reach_deg : float
        Angle on the sphere.
    """
    rows_deg = np.array([lat.min() - reach_deg, lat.max() + reach_deg])
    farthest, reach = np.radians(np.abs(lat).max()), np.radians(reach_deg)
    pole = farthest + reach >= np.pi / 2  # a circle around it meets every meridian
    beyond = 360.0 if pole else np.degrees(np.arcsin(np.sin(reach) / np.cos(farthest)))
    columns = grid.shape[1]
    edges = grid.x0 + grid.dx * np.array([0, columns])
    near = beside(lon, beside(np.array([centre_lon]), edges.mean()))
    span = np.array([near.min() - beyond, near.max() + beyond])
    closed = abs(abs(grid.dx) * columns - 360) < abs(grid.dx) / 2
    margin = abs(grid.dx)
    if not closed or (span[0] - margin >= edges.min() and span[1] + margin <= edges.max()):
        return *window(grid, span, rows_deg, margin=1), near
    rows, _, inner = window(grid, edges, rows_deg, margin=1)
    at = (span - grid.x0) / grid.dx
    low, high = int(np.floor(at.min())) - 1, int(np.floor(at.max())) + 2
    if beyond and high - low >= columns:  # every column once: what is pooled must not count twice
        return rows, slice(0, columns), inner, beside(lon, edges.mean())
    inner = replace(inner, x0=grid.x0 + low * grid.dx, shape=(inner.shape[0], high - low))
    return rows, np.arange(low, high) % columns, inner, near
