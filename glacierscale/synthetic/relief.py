"""Terrain and ice thickness of the synthetic range, and where its ice lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from glacierscale.synthetic import noise
from glacierscale.synthetic.glaciers import Forms, forms, surface
from glacierscale.synthetic.options import GROUP, MARGIN_TILES, Floats, SyntheticOptions, block, span
from glacierscale.synthetic.projection import crs

BANDS = 12
"""Elevation bands of one glacier, equal steps from its lowest to its highest ice."""


def axes(options: SyntheticOptions) -> tuple[Floats, Floats]:
    """Cell centres: y from north to south, x from west to east, m."""
    ny, nx = options.shape
    return (
        options.north_m - (np.arange(ny, dtype=np.float64) + 0.5) * options.resolution_m,
        options.west_m + (np.arange(nx, dtype=np.float64) + 0.5) * options.resolution_m,
    )


def _near(options: SyntheticOptions, form: Forms, radius_m: Floats) -> tuple[np.ndarray, Floats, Floats, Floats]:
    """Cells of each glacier's tile within a radius of its centre: glacier, x, y, distance, one entry per cell."""
    t = options.tile_cells
    column = np.floor((form.x_m - options.west_m) / options.tile_m) * t
    row = np.floor((options.north_m - form.y_m) / options.tile_m) * t
    cell = np.arange(t, dtype=np.float64)
    x = options.west_m + (column[:, None] + cell + 0.5) * options.resolution_m
    y = options.north_m - (row[:, None] + cell + 0.5) * options.resolution_m
    distance = np.sqrt((x - form.x_m[:, None])[:, None, :] ** 2 + (y - form.y_m[:, None])[:, :, None] ** 2)
    index, i, j = np.nonzero(distance < radius_m[:, None, None])
    return index, x[index, j], y[index, i], distance[index, i, j]


def _smooth(t: Floats) -> Floats:
    t = np.clip(t, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _tile_row(options: SyntheticOptions, row: int, what: str) -> Floats:
    """One whole row of tiles, (tile_cells, x)."""
    t, inner = options.tile_cells, row - MARGIN_TILES
    start = min(max(inner, 0) * options.columns, options.glaciers)
    stop = min((inner + 1) * options.columns, options.glaciers)
    field = (
        noise.background(options, row * t, (row + 1) * t) if what == "elevation" else np.zeros((t, options.shape[1]))
    )
    if stop <= start:
        return field
    form = forms(options, start, stop)
    index, x, y, distance = _near(options, form, form.reach_m if what == "elevation" else form.radius_m + 1)
    near = surface(form, index, x, y)
    i = np.floor((options.north_m - y) / options.resolution_m).astype(np.int64) - row * t
    j = np.floor((x - options.west_m) / options.resolution_m).astype(np.int64)
    if what == "thickness":
        field[i, j] = near.thickness_m
        return field
    # Cirque and valley are cut into the mountains; where these lie lower, the glacier's own form fades out quickly.
    reach, radius = form.reach_m[index], form.radius_m[index]
    fade = np.where(near.inside, 1.0, _smooth((reach - distance) / (reach - radius)))
    higher = near.elevation_m - field[i, j]
    bank = np.where(higher > 0, np.exp(-((near.away_m / 200) ** 2)), 1.0)
    field[i, j] += fade * bank * higher
    return field


def _field(options: SyntheticOptions, rows: slice | None, what: str, long_name: str) -> xr.DataArray:
    first, last = span(rows, options.shape[0], "rows")
    t = options.tile_cells
    y, x = axes(options)
    values = np.empty((last - first, options.shape[1]), dtype=np.float32)
    for row in range(first // t, -(-last // t)):
        low, high = max(first, row * t), min(last, (row + 1) * t)
        values[low - first : high - first] = _tile_row(options, row, what)[low - row * t : high - row * t]
    return xr.DataArray(
        values,
        coords={"y": ("y", y[first:last], {"units": "m"}), "x": ("x", x, {"units": "m"})},
        dims=("y", "x"),
        name=what,
        attrs={"units": "m", "long_name": long_name, "crs_wkt": crs(options).to_wkt()},
    )


def terrain(options: SyntheticOptions, rows: slice | None = None) -> xr.DataArray:
    """Surface elevation of the range.

    Parameters
    ----------
    options : SyntheticOptions
        The range.
    rows : slice, optional
        Slab of y rows; equals the same slice of the whole.

    Returns
    -------
    xarray.DataArray
        (y, x) float32 m, y from north to south; the projection is in the attribute ``crs_wkt``.
    """
    return _field(options, rows, "elevation", "surface elevation")


def thickness(options: SyntheticOptions, rows: slice | None = None) -> xr.DataArray:
    """Ice thickness on the cells of `terrain`, 0 where there is no ice; `rows` as there, (y, x) float32 m."""
    return _field(options, rows, "thickness", "ice thickness")


@dataclass(frozen=True)
class Hypsometry:
    """Where the ice of a block of glaciers lies, from the terrain cells whose centres are inside the outlines."""

    elevation_m: Floats
    """Centre of each band, (glacier, band)."""
    share: Floats
    """Share of the glacier's cells in the band, (glacier, band)."""
    lowest_m: Floats
    """Lowest cell, (glacier)."""
    highest_m: Floats
    mean_m: Floats
    median_m: Floats
    slope_deg: Floats
    """Mean slope, (glacier)."""
    slope20_deg: Floats
    """Mean slope over the lowest 20 % of the elevation range, (glacier)."""


def _group_hypsometry(options: SyntheticOptions, start: int, stop: int) -> tuple[Floats, ...]:
    form = forms(options, start, stop)
    index, x, y, _ = _near(options, form, form.radius_m + 1)
    near = surface(form, index, x, y)
    index, z = index[near.inside], near.elevation_m[near.inside].astype(np.float32).astype(np.float64)
    slope = np.degrees(np.arctan(near.slope[near.inside]))
    order = np.lexsort((z, index))
    index, z, slope = index[order], z[order], slope[order]
    n = stop - start
    count = np.bincount(index, minlength=n)
    first = np.cumsum(count) - count
    low, high = z[first], z[first + count - 1]
    step = np.maximum(high - low, 1e-3) / BANDS
    band = np.minimum((z - low[index]) / step[index], BANDS - 1).astype(np.int64)
    share = np.bincount(index * BANDS + band, minlength=n * BANDS).reshape(n, BANDS) / count[:, None]
    centre = low[:, None] + (np.arange(BANDS) + 0.5) * step[:, None]
    tongue = z <= (low + 0.2 * (high - low))[index]
    slope20 = np.bincount(index, slope * tongue, minlength=n) / np.bincount(index, tongue, minlength=n)
    means = (np.bincount(index, values, minlength=n) / count for values in (z, slope))
    mean, mean_slope = means
    return centre, share, low, high, mean, z[first + count // 2], mean_slope, slope20


def hypsometry(options: SyntheticOptions, start: int = 0, stop: int | None = None) -> Hypsometry:
    """Elevation bands and slopes of a block of glaciers."""
    start, stop = block(options, start, stop)
    groups = [_group_hypsometry(options, g, min(g + GROUP, stop)) for g in range(start, stop, GROUP)]
    if not groups:
        return Hypsometry(np.empty((0, BANDS)), np.empty((0, BANDS)), *(np.empty(0) for _ in range(6)))
    return Hypsometry(*(np.concatenate(parts) for parts in zip(*groups, strict=True)))
