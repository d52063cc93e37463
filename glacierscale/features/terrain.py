"""Topography of glaciers from covered terrain cells: hypsometry, slope, aspect and slope20."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

LOWEST_SHARE = 0.2
"""slope20 is taken over the lowest 20 % of the elevation range (Fischer et al. 2015; Bolibar et al. 2020)."""


def surface_gradient(elevation_m: Floats, row: Ints, column: Ints, dx_m: Floats, dy_m: Floats) -> tuple[Floats, Floats]:
    """Eastward and northward slope at some cells by central differences, one-sided at the raster's edges.

    Parameters
    ----------
    elevation_m : (y, x) m
        Rows run in the direction of `dy_m`.
    row, column : (cell,) int
        Where the slope is wanted.
    dx_m : (y,) m
        Cell width of each row; it shrinks with latitude on geographic grids.
    dy_m : (y,) m
        Row step; negative where rows run southward.

    Returns
    -------
    east, north : (cell,) m m-1
    """
    rows, columns = elevation_m.shape
    west, east = np.maximum(column - 1, 0), np.minimum(column + 1, columns - 1)
    above, below = np.maximum(row - 1, 0), np.minimum(row + 1, rows - 1)
    flat = elevation_m.ravel()
    across = flat[row * columns + east] - flat[row * columns + west]
    along = flat[below * columns + column] - flat[above * columns + column]
    return across / (np.maximum(east - west, 1) * dx_m[row]), along / (np.maximum(below - above, 1) * dy_m[row])


def per_glacier(
    glacier: Ints,
    area_m2: Floats,
    elevation_m: Floats,
    east: Floats,
    north: Floats,
    *,
    glaciers: int,
    bands: int,
) -> dict[str, Floats]:
    """Topography of every glacier from the cells it covers.

    Parameters
    ----------
    glacier : (cell,) int
        Glacier of each covered cell, ascending.
    area_m2 : (cell,) m2
        Covered area.
    elevation_m : (cell,) m
    east, north : (cell,) m m-1
        Surface gradient.
    glaciers, bands : int
        How many glaciers, and elevation bands of equal height between each one's lowest and highest cell.

    Returns
    -------
    dict
        ``area`` m2, ``mean_elevation``, ``min_elevation``, ``max_elevation`` m, ``slope`` and ``slope20`` degree,
        ``cos_aspect``, ``sin_aspect`` (north = 1, 0), each (glacier,); ``band_elevation`` m and ``band_area`` m2,
        each (glacier, band). NaN for a glacier without a cell.
    """

    def total(values: Floats) -> Floats:
        return np.bincount(glacier, values, glaciers).astype(float)

    area = total(area_m2)
    found = area > 0
    safe = np.where(found, area, np.nan)
    at = np.searchsorted(glacier, np.flatnonzero(found))
    low, high = np.full(glaciers, np.nan), np.full(glaciers, np.nan)
    if found.any():
        low[found] = np.minimum.reduceat(elevation_m, at)
        high[found] = np.maximum.reduceat(elevation_m, at)

    slope = np.degrees(np.arctan(np.hypot(east, north)))
    tongue = elevation_m <= (low + LOWEST_SHARE * (high - low))[glacier]
    tongue_area = np.where(tongue, area_m2, 0)
    # Aspect is where the surface falls to: the mean downslope vector, so that flat cells do not vote.
    fall_north, fall_east = -total(area_m2 * north), -total(area_m2 * east)
    length = np.hypot(fall_north, fall_east)
    length = np.where(length > 0, length, np.inf)
    blank = np.where(found, 0.0, np.nan)
    return {
        "area": safe,
        "mean_elevation": total(area_m2 * elevation_m) / safe,
        "min_elevation": low,
        "max_elevation": high,
        "slope": total(area_m2 * slope) / safe,
        "slope20": total(tongue_area * slope) / np.where(found, total(tongue_area), np.nan),
        "cos_aspect": fall_north / length + blank,
        "sin_aspect": fall_east / length + blank,
        **_hypsometry(glacier, area_m2, elevation_m, low, high, bands),
    }


def _hypsometry(
    glacier: Ints, area_m2: Floats, elevation_m: Floats, low_m: Floats, high_m: Floats, bands: int
) -> dict[str, Floats]:
    """Centre and area of each glacier's elevation bands, equal steps from its lowest to its highest cell."""
    glaciers = len(low_m)
    step = np.maximum(high_m - low_m, 1e-3) / bands
    band = np.minimum(((elevation_m - low_m[glacier]) / step[glacier]).astype(np.int64), bands - 1)
    area = np.bincount(glacier * bands + band, area_m2, glaciers * bands).reshape(glaciers, bands)
    known = np.isfinite(low_m)[:, None]
    return {
        "band_elevation": low_m[:, None] + step[:, None] * (np.arange(bands) + 0.5),
        "band_area": np.where(known, area, np.nan),
    }


def interpolate_inventories(years: npt.ArrayLike, inventory_year: npt.ArrayLike, values: Floats) -> Floats:
    """Dated topography in every year: linear between inventories, constant before the first and after the last.

    Parameters
    ----------
    years : (hydro_year,)
    inventory_year : (inventory,)
    values : (glacier, inventory)
        NaN where an inventory lacks the glacier.

    Returns
    -------
    numpy.ndarray
        (glacier, hydro_year); NaN for a glacier in no inventory.
    """
    years, inventory_year = np.asarray(years, float), np.asarray(inventory_year, float)
    order = np.argsort(inventory_year)
    inventory_year, values = inventory_year[order], values[:, order]
    result = np.full((len(values), len(years)), np.nan)
    # Glaciers that appear in the same inventories share their weights, so one product serves each such group.
    patterns, group = np.unique(np.isfinite(values), axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        if pattern.any():
            members = np.flatnonzero(group.ravel() == number)
            weights = np.stack([np.interp(years, inventory_year[pattern], unit) for unit in np.eye(pattern.sum())])
            result[members] = values[np.ix_(members, np.flatnonzero(pattern))] @ weights
    return result
