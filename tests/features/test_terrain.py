"""Topography of glaciers from covered cells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glacierscale.features import terrain


@pytest.mark.parametrize("dx", [100.0, -100.0])
@pytest.mark.parametrize("dy", [50.0, -50.0])
def test_the_gradient_of_a_plane_is_exact_whichever_way_the_grid_runs(dx: float, dy: float) -> None:
    x, y = dx * np.arange(7), dy * np.arange(5)
    plane = 0.3 * x[None, :] - 0.1 * y[:, None]
    row, column = (a.ravel() for a in np.indices(plane.shape))  # edges and corners too
    east, north = terrain.surface_gradient(plane, row, column, np.full(5, dx), np.full(5, dy))
    np.testing.assert_allclose(east, 0.3)
    np.testing.assert_allclose(north, -0.1)


def test_the_gradient_takes_the_cell_width_of_its_own_row() -> None:
    plane = np.tile(np.arange(4.0), (3, 1))
    east, _ = terrain.surface_gradient(plane, np.arange(3), np.ones(3, int), np.array([1.0, 2.0, 4.0]), np.ones(3))
    np.testing.assert_allclose(east, [1, 0.5, 0.25])


def test_a_raster_of_one_cell_is_flat() -> None:
    zero = np.zeros(1, int)
    assert terrain.surface_gradient(np.ones((1, 1)), zero, zero, np.ones(1), np.ones(1)) == (0, 0)


def facing(east: float, north: float) -> dict[str, np.ndarray]:
    n = 40
    height = np.linspace(2000, 3000, n)
    return terrain.per_glacier(
        np.zeros(n, int), np.full(n, 900.0), height, np.full(n, east), np.full(n, north), glaciers=1, bands=4
    )


@pytest.mark.parametrize(
    ("east", "north", "cos", "sin"),
    [(0, -0.5, 1, 0), (0, 0.5, -1, 0), (-0.5, 0, 0, 1), (0.5, 0, 0, -1), (-0.3, -0.3, 2**-0.5, 2**-0.5)],
    ids=["north", "south", "east", "west", "northeast"],
)
def test_aspect_is_where_the_surface_falls_to(east: float, north: float, cos: float, sin: float) -> None:
    found = facing(east, north)
    assert found["cos_aspect"][0] == pytest.approx(cos)
    assert found["sin_aspect"][0] == pytest.approx(sin)


def test_slope_is_an_angle_and_a_flat_glacier_has_no_aspect() -> None:
    assert facing(1.0, 0.0)["slope"][0] == pytest.approx(45)
    flat = facing(0.0, 0.0)
    assert (flat["slope"][0], flat["cos_aspect"][0], flat["sin_aspect"][0]) == (0, 0, 0)


def test_slope20_looks_at_the_lowest_fifth_of_the_elevation_range() -> None:
    height = np.array([1000.0, 1100, 1200, 1210, 2000])
    steep = np.tan(np.radians([10.0, 20, 30, 60, 60]))
    area = np.array([1.0, 1, 2, 5, 5])
    found = terrain.per_glacier(np.zeros(5, int), area, height, steep, np.zeros(5), glaciers=1, bands=5)
    assert found["slope20"][0] == pytest.approx((10 + 20 + 2 * 30) / 4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30))
def test_hypsometry_sums_to_the_area_and_its_mean_lies_near_the_mean_elevation(seed: int, bands: int) -> None:
    rng = np.random.default_rng(seed)
    glacier = np.sort(rng.integers(0, 5, 200))
    area, height = rng.uniform(1, 900, 200), rng.uniform(1800, 3500, 200)
    zero = np.zeros(200)
    found = terrain.per_glacier(glacier, area, height, zero, zero, glaciers=5, bands=bands)
    np.testing.assert_allclose(found["band_area"].sum(axis=1), found["area"])
    mean = (found["band_area"] * found["band_elevation"]).sum(axis=1) / found["area"]
    step = (found["max_elevation"] - found["min_elevation"]) / bands
    assert (np.abs(mean - found["mean_elevation"]) <= step / 2 + 1e-6).all()
    for number in range(5):
        of = glacier == number
        assert found["mean_elevation"][number] == pytest.approx(np.average(height[of], weights=area[of]))
        assert (found["min_elevation"][number], found["max_elevation"][number]) == (height[of].min(), height[of].max())


def test_the_highest_cell_counts_in_the_highest_band_and_bands_are_centred() -> None:
    height, one = np.array([1000.0, 1999.0, 2000.0]), np.ones(3)
    found = terrain.per_glacier(np.zeros(3, int), one, height, 0 * one, 0 * one, glaciers=1, bands=2)
    assert found["band_area"].tolist() == [[1, 2]]
    assert found["band_elevation"].tolist() == [[1250, 1750]]


def test_a_glacier_without_a_cell_has_no_topography_and_does_not_shift_the_others() -> None:
    one = np.ones(2)
    found = terrain.per_glacier(np.array([0, 2]), one, np.array([10.0, 30.0]), 0 * one, -one, glaciers=4, bands=3)
    assert found["mean_elevation"][[0, 2]].tolist() == [10, 30]
    for name, values in found.items():
        assert np.isnan(values[[1, 3]]).all(), name


def test_a_glacier_of_one_cell_has_all_its_area_in_one_band() -> None:
    one = np.ones(1)
    found = terrain.per_glacier(np.zeros(1, int), 7 * one, 2500 * one, one, one, glaciers=1, bands=20)
    assert np.sort(found["band_area"][0])[-2:].tolist() == [0, 7]
    np.testing.assert_allclose(found["band_elevation"], 2500, atol=1e-2)


def test_inventories_are_linear_between_and_constant_beyond() -> None:
    values = np.array([[4.0, 8.0, 2.0]])
    found = terrain.interpolate_inventories([1960, 1970, 1975, 1980, 1990, 2010], [1970, 1980, 1990], values)
    np.testing.assert_allclose(found, [[4, 4, 6, 8, 2, 2]])


def test_each_glacier_uses_the_inventories_it_is_in_whatever_their_order() -> None:
    nan = np.nan
    values = np.array([[8.0, 4, nan], [nan, 4, 2], [nan, nan, nan], [8, nan, 2], [nan, 7, nan], [1, 2, 3]])
    found = terrain.interpolate_inventories([1970, 1980, 1990], [1980, 1970, 1990], values)
    np.testing.assert_allclose(found, [[4, 8, 8], [4, 3, 2], [nan] * 3, [8, 8, 2], [7, 7, 7], [2, 1, 3]])


def test_no_inventory_at_all_tells_nothing() -> None:
    assert np.isnan(terrain.interpolate_inventories([1990, 1991], np.zeros(0), np.zeros((2, 0)))).all()
