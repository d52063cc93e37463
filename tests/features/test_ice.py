"""Ice on patches: its volume and surface, divides, margins, and what a source does not know."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
import pytest
import shapely

from glacierscale.features import ice, patches
from glacierscale.features.coverage import Grid, cover
from glacierscale.features.sampling import Lookup

WKT = pyproj.CRS(proj="tmerc", lon_0=10.8, lat_0=46.8, k=1, ellps="WGS84").to_wkt()
LOCAL = pyproj.Proj(proj="tmerc", lon_0=10.8, lat_0=46.8, k=1, ellps="WGS84")
CHOICE: dict[str, Any] = {"resolution_m": 100.0, "buckets": (32,), "margin_cells": 2, "coarsest_m": 400.0}

LOBES = shapely.union_all([shapely.Point(-500, 0).buffer(700), shapely.box(-300, -150, 1300, 250)])


def rings_of(polygon: Any) -> patches.Rings:
    x, y = np.array(shapely.orient_polygons(polygon).exterior.coords)[:-1].T
    lon, lat = LOCAL(x, y, inverse=True)
    owner = np.zeros(len(x), int)
    return patches.Rings(lon=lon, lat=lat, ring=owner, polygon=owner, glaciers=1)


def depth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 90 + 0.03 * x - 0.02 * y  # m


def source_of(polygon: Any, cell: float, depth_m: Any = depth, shift: float = 0.0) -> tuple[np.ndarray, Grid]:
    """Thickness of a polygon's ice as a mean over cells, and the grid; its corner is shifted by parts of a cell."""
    edge = 2400.0
    count = int(2 * edge / cell)
    grid = Grid(x0=-edge + shift * cell, y0=edge + shift * cell, dx=cell, dy=-cell, shape=(count, count))
    x, y = np.array(shapely.orient_polygons(polygon).exterior.coords)[:-1].T
    zero = np.zeros(len(x), int)
    found = cover(x, y, zero, zero, 1, grid)
    share = np.zeros(grid.shape)
    share[found.row, found.column] = found.fraction
    east, north = np.meshgrid(grid.x0 + cell * (np.arange(count) + 0.5), grid.y0 - cell * (np.arange(count) + 0.5))
    return share * depth_m(east, north), grid


def on_patch(
    thickness: np.ndarray, grid: Grid, outline: Any, **more: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Channels of a glacier, and its share of each cell."""
    rings = rings_of(outline)
    placement = patches.place(rings, **CHOICE)
    fraction = patches.ice_fractions(rings, placement, 32)[0].astype(float)
    lookup = Lookup.of(placement.centre_lon[0], placement.centre_lat[0], 100.0, 32, 2, grid, WKT)
    elevation = np.full((32, 32), 3000.0)
    source = {"elevation": np.full(grid.shape, 3000.0), "thickness": thickness} | more
    parts = int(np.ceil(lookup.cells_of_source() - 0.1))
    around = ice.outline(rings, placement, 0, 32)
    return ice.channels(source, around, lookup, fraction, elevation, parts), fraction


def volume_of(thickness: np.ndarray, fraction: np.ndarray) -> float:
    return float((thickness * fraction).sum()) * 1e4


@pytest.mark.parametrize(("cell", "near"), [(25.0, 0.06), (60.0, 0.12), (120.0, 0.2)])
@pytest.mark.parametrize("shift", [0.0, 0.37])
def test_the_volume_is_that_of_the_source_and_cells_at_the_margin_are_as_thick_as_their_ice(
    cell: float, near: float, shift: float
) -> None:
    thickness, grid = source_of(LOBES, cell, shift=shift)
    found, fraction = on_patch(thickness, grid, LOBES)
    assert volume_of(found["thickness"], fraction) == pytest.approx(thickness.sum() * cell**2, rel=5e-3)
    rings = rings_of(LOBES)
    placement = patches.place(rings, **CHOICE)
    x0, y0 = LOCAL(placement.centre_lon[0], placement.centre_lat[0])
    away = (np.arange(32) - 15.5) * 100
    truth = depth(*np.meshgrid(x0 + away, y0 - away))
    iced = fraction > 0.05
    np.testing.assert_allclose(found["thickness"][iced], truth[iced], rtol=near)
    assert (found["thickness"][fraction == 0] == 0).all()
    assert (found["thickness"][fraction > 0] > 0).all()


def test_along_a_divide_each_glacier_has_its_own_part_of_the_ice() -> None:
    both = shapely.box(-1000, -500, 1000, 500)
    thickness, grid = source_of(both, 60.0, shift=0.37)
    total = 0.0
    for half in (shapely.box(-1000, -500, 10, 500), shapely.box(10, -500, 1000, 500)):
        found, fraction = on_patch(thickness, grid, half)
        middle = half.centroid.x, half.centroid.y
        volume = volume_of(found["thickness"], fraction)
        assert volume == pytest.approx(half.area * float(depth(*map(np.float64, middle))), rel=0.01)
        assert found["thickness"].max() < 135
        total += volume
    assert total == pytest.approx(thickness.sum() * 60**2, rel=0.005)


def test_a_glacier_that_the_source_does_not_know_has_no_number_though_a_neighbour_reaches_into_it() -> None:
    neighbour = shapely.box(-1400, -500, -300, 500)
    thickness, grid = source_of(neighbour, 60.0)
    thickness[:, grid.shape[1] // 2 :] = np.nan
    found, fraction = on_patch(thickness, grid, shapely.box(-400, -500, 1000, 500))
    assert np.isnan(found["thickness"][fraction > 0]).all()
    assert (found["thickness"][fraction == 0] == 0).all()
    np.testing.assert_array_equal(found["ice_surface"], 3000)


def test_an_outline_larger_than_the_ice_of_the_source_has_ice_everywhere_and_no_more_of_it() -> None:
    thickness, grid = source_of(LOBES, 60.0)
    larger = LOBES.buffer(120)
    found, fraction = on_patch(thickness, grid, larger)
    assert (found["thickness"][fraction > 0] > 0).all()
    assert volume_of(found["thickness"], fraction) == pytest.approx(thickness.sum() * 60**2, rel=0.01)


def test_an_outline_smaller_than_the_ice_of_the_source_cuts_off_what_is_beyond_and_makes_nothing_thicker() -> None:
    thickness, grid = source_of(LOBES, 60.0)
    smaller = LOBES.buffer(-80)
    found, fraction = on_patch(thickness, grid, smaller)
    inside, _ = source_of(smaller, 60.0)
    assert volume_of(found["thickness"], fraction) == pytest.approx(inside.sum() * 60**2, rel=0.01)
    assert found["thickness"].max() < 1.05 * depth(np.float64(1300), np.float64(-150))


def test_the_surface_on_ice_is_that_of_the_thickness_and_the_terrain_elsewhere() -> None:
    thickness, grid = source_of(LOBES, 60.0)
    surface = np.where(thickness > 0, 3012.0, np.nan)
    surface[: grid.shape[0] // 2 - 8] = np.nan  # nobody knows it in the north: as far from the terrain as beside
    found, fraction = on_patch(thickness, grid, LOBES, ice_surface=surface)
    np.testing.assert_allclose(found["ice_surface"][fraction > 0], 3012, atol=1e-3)
    np.testing.assert_array_equal(found["ice_surface"][fraction == 0], 3000)
    without, _ = on_patch(thickness, grid, LOBES)
    np.testing.assert_array_equal(without["ice_surface"], 3000)


def test_slopes_are_those_of_the_terrain_up_to_the_margin() -> None:
    thickness, grid = source_of(LOBES, 60.0)
    north = grid.y0 - 60 * (np.arange(grid.shape[0]) + 0.5)
    terrain = np.broadcast_to(3000 + 0.5 * north[:, None], grid.shape)
    rings = rings_of(LOBES)
    placement = patches.place(rings, **CHOICE)
    lookup = Lookup.of(placement.centre_lon[0], placement.centre_lat[0], 100.0, 32, 2, grid, WKT)
    fraction = patches.ice_fractions(rings, placement, 32)[0].astype(float)
    _, y0 = LOCAL(placement.centre_lon[0], placement.centre_lat[0])
    elevation = np.broadcast_to(3000 + 0.5 * (y0 + (15.5 - np.arange(32)) * 100)[:, None], (32, 32))
    source = {"elevation": terrain, "thickness": thickness, "ice_surface": np.where(thickness > 0, terrain - 5, np.nan)}
    found = ice.channels(source, ice.outline(rings, placement, 0, 32), lookup, fraction, elevation, 2)
    np.testing.assert_allclose((found["ice_surface"] - elevation)[fraction > 0], -5, atol=1e-3)


def test_a_glacier_beyond_the_source_has_no_number() -> None:
    thickness, grid = source_of(LOBES, 60.0)
    found, fraction = on_patch(thickness, grid, shapely.transform(LOBES, lambda xy: xy + 20_000.0))
    assert np.isnan(found["thickness"][fraction > 0]).all()
