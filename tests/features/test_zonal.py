"""Terrain and climate of glaciers through exact coverage."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
import xarray as xr

from glacierscale.features import climate, windows, zonal
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
    assert (len(first), len(second), len(opened.outlines)) == (3, 3, 6)
    for name in ("x", "centre_lon", "centre_lat"):
        both = np.concatenate([getattr(first, name), getattr(second, name)])
        np.testing.assert_array_equal(both, getattr(opened.outlines, name))
    assert (second.polygon.min(), second.polygon.max()) == (0, 2)


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
    c = cover(o.lon, o.lat, o.ring, o.polygon, len(o), frame.climate)
    shares = np.zeros((len(o), *frame.climate.shape))
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
    found = zonal.climate(changed(opened, temp=temp), opened.outlines, lapse_rate_k_km=None)
    without = np.isnan(found["ref_height"])
    assert without.any()
    for name, values in found.items():
        np.testing.assert_array_equal(np.isnan(values.reshape(6, -1)).all(axis=1), without, err_msg=name)


def test_glaciers_without_climate_or_terrain_are_nan_and_the_others_unchanged(opened: SimpleNamespace) -> None:
    blank = np.full_like(opened.cube.clim_height.values, np.nan)
    found = zonal.climate(changed(opened, clim_height=blank), opened.outlines, lapse_rate_k_km=None)
    assert all(np.isnan(values).all() for values in found.values())
    holed = opened.cube.elevation.values.copy()
    holed[15:25, 5:15] = np.nan
    whole = zonal.topography(opened.frame, opened.outlines, bands=5)
    for name, values in zonal.topography(changed(opened, elevation=holed), opened.outlines, bands=5).items():
        assert np.isnan(values[5]).all()
        np.testing.assert_allclose(values[[0, 2, 3, 4]], whole[name][[0, 2, 3, 4]], err_msg=name)


# Pooling


def pooled(opened: SimpleNamespace, radius_km: float, frame: zonal.Frame | None = None) -> dict[str, Any]:
    return zonal.climate(frame or opened.frame, opened.outlines, lapse_rate_k_km=None, radius_km=radius_km)


def noisy(opened: SimpleNamespace) -> zonal.Frame:
    """Temperature and precipitation that differ from cell to cell by more than height tells."""
    rng = np.random.default_rng(5)
    temp = opened.cube.temp.values + rng.normal(0, 1, opened.cube.temp.shape).astype(np.float32)
    return changed(opened, temp=temp, precip=rng.gamma(6, 18, temp.shape).astype(np.float32))


@pytest.mark.parametrize("radius_km", [2.0, 6.0])
def test_pooled_cells_weigh_by_their_distance_up_to_three_radii(opened: SimpleNamespace, radius_km: float) -> None:
    frame = noisy(opened)
    found = pooled(opened, radius_km, frame)
    cube, o = frame.cube, opened.outlines
    lon, lat = np.meshgrid(cube.clim_lon, cube.clim_lat)
    height = cube.clim_height.values
    lapse = climate.lapse_rates(cube.temp.values.reshape(-1, 12, *height.shape).mean(axis=0), height)
    assert np.ptp(lapse, axis=(1, 2)).min() > 1e-5
    ball = pyproj.Geod(a=6371000, b=6371000)
    for number in range(len(o)):
        start = np.full(lon.shape, o.centre_lon[number]), np.full(lon.shape, o.centre_lat[number])
        d = ball.inv(*start, lon, lat)[2] / 1000
        of = o.polygon == number
        c = cover(o.lon[of], o.lat[of], o.ring[of], 0 * o.polygon[of], 1, frame.climate)
        weight = np.where(d <= 3 * radius_km, np.exp(-(d**2) / (2 * radius_km**2)), 0)
        weight[c.row, c.column] = np.maximum(weight[c.row, c.column], np.exp(-4.5))
        there = np.average(height, weights=weight)
        assert found["ref_height"][number] == pytest.approx(there, abs=0.01)
        brought = cube.temp.values + np.tile(lapse * (there - height), (len(cube.time) // 12, 1, 1))
        expected = np.average(brought.reshape(len(brought), -1), axis=1, weights=weight.ravel())
        np.testing.assert_allclose(found["temp"][number], expected, atol=2e-4)
        mean = np.average(lapse.reshape(12, -1), axis=1, weights=weight.ravel())
        np.testing.assert_allclose(found["lapse_rate"][number], mean, rtol=1e-4)
        rain = np.average(cube.precip.values.reshape(len(brought), -1), axis=1, weights=weight.ravel())
        np.testing.assert_allclose(found["precip"][number], rain, rtol=1e-5)


@pytest.mark.parametrize("radius_km", [0.01, 1.0, 5.0, 30.0, 1e5])
def test_a_climate_of_height_alone_is_the_same_at_a_glacier_however_it_is_pooled(
    opened: SimpleNamespace, region: SimpleNamespace, radius_km: float
) -> None:
    found = pooled(opened, radius_km)
    rise = region.lapse * (found["ref_height"][:, None] - 2000)
    np.testing.assert_allclose(found["temp"], region.temp_2000.ravel() + rise, atol=2e-3)
    np.testing.assert_allclose(found["precip"], np.tile(region.precip.ravel(), (6, 1)), rtol=1e-5)
    np.testing.assert_allclose(found["lapse_rate"], region.lapse, rtol=1e-3)
    assert found["temp"].dtype == np.float32


def test_a_large_radius_gives_every_glacier_one_climate_at_one_height(opened: SimpleNamespace) -> None:
    frame = noisy(opened)
    near, far = pooled(opened, 0.0, frame), pooled(opened, 1e5, frame)
    for name, values in far.items():
        np.testing.assert_allclose(values, np.broadcast_to(values[:1], values.shape), rtol=2e-5, atol=1e-4)
        assert np.ptp(near[name], axis=0).max() > 20 * np.ptp(values, axis=0).max()
    assert far["ref_height"][0] == pytest.approx(float(frame.cube.clim_height.mean()), abs=0.1)


def test_a_pooled_glacier_whose_own_cells_lack_data_takes_its_neighbours(opened: SimpleNamespace) -> None:
    height = opened.cube.clim_height.values.copy()
    o = opened.outlines
    height[np.abs(opened.cube.clim_lat.values - o.centre_lat[5]).argmin()] = np.nan
    frame = changed(opened, clim_height=height)
    assert np.isnan(pooled(opened, 0.0, frame)["temp"][5]).all()
    assert np.isfinite(pooled(opened, 5.0, frame)["temp"]).all()


def test_pooling_keeps_the_months_of_the_glacier_s_own_cells_and_leaves_out_cells_that_lack_them(
    opened: SimpleNamespace,
) -> None:
    o, temp, height = opened.outlines, opened.cube.temp.values.copy(), opened.cube.clim_height.values.copy()
    row, column = (
        np.abs(opened.cube[f"clim_{n}"].values - getattr(o, f"centre_{n}")[5]).argmin() for n in ("lat", "lon")
    )
    far = np.ones(height.shape, bool)
    far[row, column] = False
    temp[:60, row, column] = np.nan
    temp[60:, far] = np.nan
    found = pooled(opened, 30.0, changed(opened, temp=temp))
    assert np.isnan(found["temp"][5, :60]).all()
    assert np.isfinite(found["temp"][5, 60:]).all()
    assert found["ref_height"][5] == pytest.approx(height[row, column], abs=1e-3)


GRID_LAT = np.arange(40.5, 90, 1.0)


def around_the_earth(lon: float, lat: float, turn: int) -> tuple[zonal.Frame, zonal.Outlines]:
    """Squares of 0.4 degrees at a longitude, cut at the antimeridian, on a grid of 2 degrees turned by some columns."""
    rng = np.random.default_rng(9)
    centres_lat = GRID_LAT
    shape = (24, len(centres_lat), 180)
    height = rng.uniform(0, 3000, shape[1:])
    cube = xr.Dataset(
        {
            "temp": (("time", "clim_lat", "clim_lon"), np.roll(rng.normal(0, 5, shape) - height * 6e-3, turn, axis=2)),
            "precip": (("time", "clim_lat", "clim_lon"), np.roll(rng.gamma(5, 10, shape), turn, axis=2)),
            "clim_height": (("clim_lat", "clim_lon"), np.roll(height, turn, axis=1)),
        }
    )
    grid = Grid.from_centres(-179.0 + 2 * np.arange(180), centres_lat)
    frame = zonal.Frame(cube=cube, terrain=grid, climate=grid, geographic=True)
    west, east = np.array([lon - 0.2, lon - 0.2]), np.array([lon + 0.2, lon + 0.2])
    parts = [(west[0], lon), (lon, east[0])]
    x, y, ring = [], [], []
    for number, (left, right) in enumerate(parts):
        middle = (left + right) / 2
        shift = 360 * np.floor((middle + 180) / 360)  # each part lies on its side of the antimeridian
        x += [left - shift, right - shift, right - shift, left - shift]
        y += [lat - 0.2, lat - 0.2, lat + 0.2, lat + 0.2]
        ring += [number] * 4
    outlines = zonal.Outlines(
        centre_lon=np.array([(lon + 0.01 + 180) % 360 - 180]),
        centre_lat=np.array([lat]),
        polygon=np.zeros(8, int),
        ring=np.array(ring),
        x=np.array(x),
        y=np.array(y),
        lon=np.array(x),
        lat=np.array(y),
    )
    return frame, outlines


@pytest.mark.parametrize(("lat", "radius_km"), [(62.0, 150.0), (62.0, 700.0), (62.0, 1500.0), (88.0, 100.0)])
def test_pooling_over_the_antimeridian_and_the_pole_is_that_of_anywhere_else(lat: float, radius_km: float) -> None:
    here = zonal.climate(*around_the_earth(0.0, lat, 0), lapse_rate_k_km=-6.5, radius_km=radius_km)
    there = zonal.climate(*around_the_earth(180.0, lat, 90), lapse_rate_k_km=-6.5, radius_km=radius_km)
    for name, values in here.items():
        np.testing.assert_allclose(there[name], values, rtol=1e-4, atol=1e-4, err_msg=name)


def test_climate_over_the_antimeridian_is_that_of_anywhere_else_and_reads_no_more_cells() -> None:
    here, there = around_the_earth(0.0, 62.0, 0), around_the_earth(180.0, 62.0, 90)
    for name, values in zonal.climate(*here, lapse_rate_k_km=None).items():
        np.testing.assert_allclose(zonal.climate(*there, lapse_rate_k_km=None)[name], values, rtol=1e-4, atol=1e-4)
    shapes = [windows.around(frame.climate, *outlines.places, 0.0)[2].shape for frame, outlines in (here, there)]
    assert shapes[0] == shapes[1]
    assert shapes[1][1] <= 5


@pytest.mark.parametrize("first", [-180.0, 178.0, -182.0, 0.0])
def test_climate_does_not_depend_on_where_a_grid_around_the_earth_begins(first: float) -> None:
    frame, outlines = around_the_earth(180.0, 62.0, 90)
    lon = -179.0 + 2 * np.arange(180)
    turn = round((first - lon[0] - 1) / 2)
    grid = Grid.from_centres(lon + 1 + 2 * turn, GRID_LAT)
    middle = Grid.from_centres(lon + 1, GRID_LAT)  # cells centred on the antimeridian
    turned = zonal.Frame(cube=frame.cube.roll(clim_lon=-turn), terrain=grid, climate=grid, geographic=True)
    whole = zonal.Frame(cube=frame.cube, terrain=middle, climate=middle, geographic=True)
    expected = zonal.climate(whole, outlines, lapse_rate_k_km=None)
    for name, values in zonal.climate(turned, outlines, lapse_rate_k_km=None).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-5, err_msg=name)
        assert np.isfinite(values).all()


def test_a_grid_of_a_region_that_runs_on_over_the_antimeridian_serves_both_sides() -> None:
    frame, outlines = around_the_earth(180.0, 62.0, 90)
    columns = np.arange(175, 185) % 180
    grid = Grid.from_centres(-179.0 + 2 * np.arange(175, 185), GRID_LAT)
    part = zonal.Frame(cube=frame.cube.isel(clim_lon=columns), terrain=grid, climate=grid, geographic=True)
    expected = zonal.climate(frame, outlines, lapse_rate_k_km=None)
    for name, values in zonal.climate(part, outlines, lapse_rate_k_km=None).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-5, err_msg=name)


def test_glaciers_far_apart_read_their_climate_in_halves_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    (frame, first), (_, second) = around_the_earth(180.0, 62.0, 0), around_the_earth(100.0, 48.0, 0)
    arrays = {f.name: [getattr(part, f.name) for part in (first, second)] for f in fields(first)}
    arrays["polygon"][1] = arrays["polygon"][1] + 1
    outlines = zonal.Outlines(**{name: np.concatenate(parts) for name, parts in arrays.items()})
    whole = zonal.climate(frame, outlines, lapse_rate_k_km=None)
    shapes = []
    cover_cells = zonal.cover
    monkeypatch.setattr(zonal, "cover", lambda *given: shapes.append(given[-1].shape) or cover_cells(*given))
    monkeypatch.setattr(zonal, "MAX_CLIMATE_VALUES", 24 * 100)
    halves = zonal.climate(frame, outlines, lapse_rate_k_km=None)
    assert len(shapes) == 2
    assert max(rows * columns for rows, columns in shapes) < 25
    for name, values in whole.items():
        np.testing.assert_allclose(halves[name], values, rtol=1e-5, atol=1e-5, err_msg=name)


def test_glaciers_whose_climate_is_pooled_over_all_of_it_are_not_halved(
    opened: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zonal, "MAX_CLIMATE_VALUES", 1)
    grid = windows.around(opened.frame.climate, *opened.outlines.places, 5.0)[2]
    assert not zonal._worth_halving(opened.frame, opened.outlines, 5.0, grid)


def test_lapse_rates_at_the_antimeridian_see_the_neighbours_beyond() -> None:
    here = zonal.climate(*around_the_earth(0.0, 62.0, 0), lapse_rate_k_km=None, radius_km=150.0)
    there = zonal.climate(*around_the_earth(180.0, 62.0, 90), lapse_rate_k_km=None, radius_km=150.0)
    np.testing.assert_allclose(there["lapse_rate"], here["lapse_rate"], rtol=1e-5)
    assert np.ptp(here["lapse_rate"]) > 0


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
