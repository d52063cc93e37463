"""Terrain and climate of glaciers through exact coverage."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyproj
import pytest
import shapely

from glacierscale.features import zonal
from glacierscale.features.coverage import Grid, cover


@pytest.fixture(scope="module")
def opened(cube: Any) -> SimpleNamespace:
    dataset = cube.open()
    return SimpleNamespace(
        cube=dataset, frame=zonal.Frame.of(dataset), outlines=zonal.Outlines.of(dataset, dataset.load())
    )


def test_glacier_areas_from_covered_cells_are_those_of_the_outlines(
    opened: SimpleNamespace, region: SimpleNamespace
) -> None:
    found = zonal.topography(opened.frame, opened.outlines, bands=10)
    expected = [polygon.area for polygon in region.polygons.values()]
    np.testing.assert_allclose(found["area"], expected, rtol=1e-5)


def test_mean_elevation_is_that_of_the_surface_under_the_outline(
    opened: SimpleNamespace, region: SimpleNamespace
) -> None:
    found = zonal.topography(opened.frame, opened.outlines, bands=10)
    cells = [shapely.box(x - 50, y - 50, x + 50, y + 50) for y in region.y for x in region.x]
    for number, polygon in enumerate(region.polygons.values()):
        weight = shapely.area(shapely.intersection(cells, polygon))
        expected = np.average(region.elevation.ravel(), weights=weight)
        assert found["mean_elevation"][number] == pytest.approx(expected, abs=0.01)


def test_a_block_that_is_too_wide_is_worked_on_in_halves_with_the_same_result(
    opened: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = zonal.topography(opened.frame, opened.outlines, bands=10)
    monkeypatch.setattr(zonal, "MAX_WINDOW_CELLS", 500)
    halves = zonal.topography(opened.frame, opened.outlines, bands=10)
    for name, values in whole.items():
        np.testing.assert_allclose(halves[name], values, rtol=1e-6, atol=1e-7, err_msg=name)


def test_halves_of_a_run_of_glaciers_are_all_of_it(opened: SimpleNamespace) -> None:
    first, second = opened.outlines.half(True), opened.outlines.half(False)
    assert [*first.glacier_id, *second.glacier_id] == [*opened.outlines.glacier_id]
    np.testing.assert_array_equal(np.concatenate([first.x, second.x]), opened.outlines.x)
    assert (second.polygon.min(), second.polygon.max()) == (0, len(second.glacier_id) - 1)


def test_climate_is_weighted_by_the_covered_share_of_cells(opened: SimpleNamespace, region: SimpleNamespace) -> None:
    found = zonal.climate(opened.frame, opened.outlines, lapse_rate_k_km=None)
    cube = opened.cube
    lon, lat = np.meshgrid(cube.clim_lon, cube.clim_lat)
    cells = shapely.box(lon - 0.025, lat - 0.025, lon + 0.025, lat + 0.025).ravel()
    degrees = pyproj.Transformer.from_crs(32632, 4326, always_xy=True)
    for number, polygon in enumerate(region.polygons.values()):
        there = shapely.transform(polygon, lambda xy: np.column_stack(degrees.transform(*xy.T)))
        weight = shapely.area(shapely.intersection(cells, there))
        assert found["ref_height"][number] == pytest.approx(
            np.average(cube.clim_height.values.ravel(), weights=weight), abs=0.01
        )
    rise = region.lapse * (found["ref_height"][:, None] - 2000)
    np.testing.assert_allclose(found["temp"], region.temp_2000.ravel() + rise, atol=2e-3)
    np.testing.assert_allclose(found["precip"], np.tile(region.precip.ravel(), (6, 1)), rtol=1e-5)
    np.testing.assert_allclose(found["lapse_rate"], region.lapse, rtol=1e-3)


def test_a_given_lapse_rate_is_taken(opened: SimpleNamespace) -> None:
    found = zonal.climate(opened.frame, opened.outlines, lapse_rate_k_km=-5.0)
    np.testing.assert_allclose(found["lapse_rate"], -5e-3, rtol=1e-6)


def changed(opened: SimpleNamespace, **fields: Any) -> zonal.Frame:
    return zonal.Frame.of(opened.cube.assign({n: (opened.cube[n].dims, v) for n, v in fields.items()}))


def spare_cell(opened: SimpleNamespace) -> tuple[int, int]:
    """Row and column of a climate cell that some glaciers touch and none needs."""
    o, frame = opened.outlines, opened.frame
    c = cover(o.lon, o.lat, o.ring, o.polygon, len(o.glacier_id), frame.climate)
    shares = np.zeros((len(o.glacier_id), *frame.climate.shape))
    shares[c.polygon, c.row, c.column] = c.fraction
    partly = (shares > 0) & (shares < shares.sum(axis=(1, 2), keepdims=True))
    cells = np.argwhere(partly.any(axis=0) & ~((shares > 0) & ~partly).any(axis=0))
    return int(cells[0, 0]), int(cells[0, 1])


def test_climate_cells_without_data_are_passed_over(opened: SimpleNamespace, region: SimpleNamespace) -> None:
    height = opened.cube.clim_height.values.copy()
    height[spare_cell(opened)] = np.nan
    found = zonal.climate(changed(opened, clim_height=height), opened.outlines, lapse_rate_k_km=-6.5)
    rise = region.lapse * (found["ref_height"][:, None] - 2000)
    np.testing.assert_allclose(found["temp"], region.temp_2000.ravel() + rise, atol=2e-3)


def test_months_that_no_cell_has_are_missing_and_the_others_unchanged(opened: SimpleNamespace) -> None:
    temp, precip = opened.cube.temp.values.copy(), opened.cube.precip.values.copy()
    temp[12:24], precip[40] = np.nan, np.nan
    found = zonal.climate(changed(opened, temp=temp, precip=precip), opened.outlines, lapse_rate_k_km=None)
    whole = zonal.climate(opened.frame, opened.outlines, lapse_rate_k_km=None)
    lost = np.r_[12:24, 40]
    for name in ("temp", "precip"):
        assert np.isnan(found[name][:, lost]).all()
        kept = np.delete(found[name], lost, axis=1)
        np.testing.assert_array_equal(kept, np.delete(whole[name], lost, axis=1))
        assert found[name].dtype == np.float32
    np.testing.assert_allclose(found["lapse_rate"], whole["lapse_rate"], rtol=1e-4)
    np.testing.assert_array_equal(found["ref_height"], whole["ref_height"])


def test_a_cell_that_lacks_a_month_of_its_neighbours_does_not_count(opened: SimpleNamespace) -> None:
    lost = spare_cell(opened)
    temp, height = opened.cube.temp.values.copy(), opened.cube.clim_height.values.copy()
    temp[(7, *lost)] = np.nan
    found = zonal.climate(changed(opened, temp=temp), opened.outlines, lapse_rate_k_km=-6.5)
    height[lost] = np.nan
    without = zonal.climate(changed(opened, clim_height=height), opened.outlines, lapse_rate_k_km=-6.5)
    assert np.isfinite(found["temp"]).all()
    for name, values in without.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_cells_that_only_complement_each_other_are_no_climate(opened: SimpleNamespace) -> None:
    temp = opened.cube.temp.values.copy()
    checkered = np.add.outer(np.arange(temp.shape[1]), np.arange(temp.shape[2])) % 2 == 0
    temp[:60, checkered], temp[60:, ~checkered] = np.nan, np.nan
    with pytest.raises(ValueError, match=r"\d glaciers have no climate"):
        zonal.climate(changed(opened, temp=temp), opened.outlines, lapse_rate_k_km=None)


def test_glaciers_without_climate_or_terrain_are_named(opened: SimpleNamespace) -> None:
    blank = np.full_like(opened.cube.clim_height.values, np.nan)
    with pytest.raises(
        ValueError, match=r"6 glaciers have no climate: .* \(RGI60-11.00001, .*Catalogue data that cover them"
    ):
        zonal.climate(changed(opened, clim_height=blank), opened.outlines, lapse_rate_k_km=None)
    holed = opened.cube.elevation.values.copy()
    holed[:40, 60:] = np.nan
    holed[15:25, 5:15] = np.nan
    with pytest.raises(ValueError, match=r"1 glaciers have no terrain: .*RGI60-11.00004"):
        zonal.topography(changed(opened, elevation=holed), opened.outlines, bands=5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1)])
def test_a_climate_of_one_cell_or_row_serves_even_the_smallest_glacier(
    opened: SimpleNamespace, shape: tuple[int, int]
) -> None:
    few = opened.cube.isel(clim_lat=slice(0, shape[0]), clim_lon=slice(0, shape[1]))
    if shape == (1, 6):
        few = few.assign_coords(clim_lat=("clim_lat", [46.85], few.clim_lat.attrs))
    found = zonal.climate(zonal.Frame.of(few), opened.outlines, lapse_rate_k_km=None)
    assert np.isfinite(found["temp"]).all()
    if shape == (1, 1):
        np.testing.assert_allclose(found["ref_height"], few.clim_height.item(), rtol=1e-6)


def test_cells_of_a_geographic_grid_have_their_size_on_the_ellipsoid() -> None:
    grid = Grid(x0=10.0, y0=80.0, dx=0.01, dy=-0.01, shape=(16000, 3))
    frame = zonal.Frame(cube=None, terrain=grid, climate=grid, geographic=True)  # type: ignore[arg-type]
    width, height = zonal._cell_size(frame, grid)
    geod = pyproj.Geod(ellps="WGS84")
    for row in (0, 3000, 7999, 12000, 15999):
        lat = 80 - 0.01 * (row + 0.5)
        assert width[row] == pytest.approx(geod.inv(10, lat, 10.01, lat)[2], rel=1e-6)
        assert height[row] == pytest.approx(-geod.inv(10, lat - 0.005, 10, lat + 0.005)[2], rel=1e-6)


def test_cells_of_a_projected_grid_have_the_size_of_its_steps() -> None:
    grid = Grid(x0=0.0, y0=0.0, dx=-30.0, dy=-25.0, shape=(4, 5))
    frame = zonal.Frame(cube=None, terrain=grid, climate=grid, geographic=False)  # type: ignore[arg-type]
    width, height = zonal._cell_size(frame, grid)
    assert (set(width), set(height)) == ({-30.0}, {-25.0})


def test_topography_does_not_depend_on_the_direction_of_the_grid(opened: SimpleNamespace) -> None:
    turned = zonal.Frame.of(opened.cube.isel(x=slice(None, None, -1), y=slice(None, None, -1)).load())
    expected = zonal.topography(opened.frame, opened.outlines, bands=5)
    for name, values in zonal.topography(turned, opened.outlines, bands=5).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)
