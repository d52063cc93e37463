"""The synthetic range: blocks, geometry, climate, mass balance and noise."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely
import xarray as xr

from glacierscale import synthetic
from glacierscale.schema import OBSERVATION_KINDS, OBSERVATIONS
from glacierscale.sources.observations.table import season_dates
from glacierscale.synthetic import SyntheticOptions, TrueProcess, atmosphere, relief
from glacierscale.synthetic.options import MARGIN_TILES

DEMO = SyntheticOptions()
MANY = SyntheticOptions(glaciers=700, first_year=2006, last_year=2015, observed=700)


@pytest.fixture(scope="module")
def elevation() -> xr.DataArray:
    return synthetic.terrain(DEMO)


@pytest.fixture(scope="module")
def ice() -> xr.DataArray:
    return synthetic.thickness(DEMO)


@pytest.fixture(scope="module")
def outlines() -> gpd.GeoDataFrame:
    return synthetic.outlines(DEMO)


@pytest.fixture(scope="module")
def observed_many() -> pd.DataFrame:
    return synthetic.observations(MANY)


@pytest.mark.parametrize("rows", [slice(0, 1), slice(47, 49), slice(100, 250), slice(383, 384), slice(5, 5)])
def test_a_slab_of_terrain_and_thickness_equals_the_whole(
    rows: slice, elevation: xr.DataArray, ice: xr.DataArray
) -> None:
    xr.testing.assert_identical(synthetic.terrain(DEMO, rows), elevation.isel(y=rows))
    xr.testing.assert_identical(synthetic.thickness(DEMO, rows), ice.isel(y=rows))


@pytest.mark.parametrize("rows", [slice(0, 1), slice(3, 8), slice(11, 12)])
def test_a_slab_of_climate_equals_the_whole(rows: slice) -> None:
    xr.testing.assert_identical(synthetic.climate(DEMO, rows), synthetic.climate(DEMO).isel(latitude=rows))


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (63, 65), (100, 389), (699, 700), (0, 700)])
def test_a_block_of_glaciers_equals_the_whole(start: int, stop: int, observed_many: pd.DataFrame) -> None:
    part = synthetic.outlines(MANY, start, stop)
    whole = synthetic.outlines(MANY).iloc[start:stop]
    pd.testing.assert_frame_equal(part.drop(columns="geometry"), whole.drop(columns="geometry"), check_exact=True)
    assert (part.geometry.to_wkb() == whole.geometry.to_wkb()).all()
    chosen = synthetic.inventories(MANY).query("glacier_id in @whole.RGIId").reset_index(drop=True)
    pd.testing.assert_frame_equal(synthetic.inventories(MANY, start, stop), chosen, check_exact=True)
    chosen = observed_many[observed_many["obs_unit_id"].isin(whole["RGIId"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(synthetic.observations(MANY, start, stop), chosen, check_exact=True)
    true = synthetic.truth_seasonal(MANY, start, stop)
    xr.testing.assert_identical(true, synthetic.truth_seasonal(MANY).isel(glacier=slice(start, stop)))
    x, y, counts = synthetic.vertices(MANY)
    first = int(counts[:start].sum())
    part_x, part_y, part_counts = synthetic.vertices(MANY, start, stop)
    np.testing.assert_array_equal(part_counts, counts[start:stop])
    np.testing.assert_array_equal(part_x, x[first : first + part_counts.sum()])
    np.testing.assert_array_equal(part_y, y[first : first + part_counts.sum()])


def test_an_empty_block_has_the_columns_of_a_full_one() -> None:
    assert list(synthetic.observations(DEMO, 7, 7).columns) == list(synthetic.observations(DEMO, 7, 8).columns)
    assert len(synthetic.observations(DEMO, 7, 7)) == len(synthetic.outlines(DEMO, 7, 7)) == 0


def test_the_same_seed_gives_the_same_range_and_another_seed_another() -> None:
    small = SyntheticOptions(glaciers=8, observed=4, seed=3)
    other = SyntheticOptions(glaciers=8, observed=4, seed=4)
    xr.testing.assert_identical(synthetic.terrain(small), synthetic.terrain(SyntheticOptions(**vars(small))))
    assert abs(synthetic.terrain(small) - synthetic.terrain(other)).mean() > 50
    assert (synthetic.outlines(small).Area != synthetic.outlines(other).Area).any()
    assert not np.allclose(synthetic.climate(small).t2m, synthetic.climate(other).t2m)
    assert not np.allclose(synthetic.truth(small), synthetic.truth(other))


def test_outlines_are_valid_rings_inside_their_tiles_with_60_to_200_vertices() -> None:
    x, y, counts = synthetic.vertices(MANY)
    assert counts.min() >= 60
    assert counts.max() <= 200
    tile = np.repeat(np.arange(MANY.glaciers), counts)
    column = (x - MANY.west_m) / MANY.tile_m - MARGIN_TILES - tile % MANY.columns
    row = (MANY.north_m - y) / MANY.tile_m - MARGIN_TILES - tile // MANY.columns
    for place in (column, row):
        assert place.min() > 0
        assert place.max() < 1
    polygons = synthetic.outlines(MANY)
    assert polygons.geometry.is_valid.all()
    assert shapely.is_ccw(polygons.exterior.to_numpy()).all()
    assert polygons.geometry.geom_type.eq("Polygon").all()
    assert polygons.RGIId.is_unique


def test_areas_are_those_of_the_polygons_log_normal_between_their_limits() -> None:
    polygons = synthetic.outlines(MANY)
    area_km2 = polygons.to_crs(3035).area / 1e6  # an equal-area projection
    np.testing.assert_allclose(polygons["Area"], area_km2, rtol=1e-6)
    assert area_km2.min() >= 0.2 - 1e-6
    assert 4 < area_km2.max() <= 15
    assert 0.9 < area_km2.median() < 1.3
    assert 0.75 < np.log(area_km2).std() < 1.0


def test_glaciers_face_all_ways_over_a_real_range_of_heights() -> None:
    polygons = synthetic.outlines(MANY)
    counts, _ = np.histogram(polygons["Aspect"], bins=8, range=(0, 360))
    assert counts.min() > 700 / 8 / 2
    assert 2000 < polygons["Zmin"].min() < polygons["Zmax"].max() < 4000
    assert (polygons["Zmax"] - polygons["Zmin"]).median() > 300
    assert polygons["Slope"].between(8, 35).all()


def test_outlines_fit_their_terrain(elevation: xr.DataArray, outlines: gpd.GeoDataFrame) -> None:
    """Heights of terrain cells inside an outline span its Zmin and Zmax, and its tongue points down the aspect."""
    polygons = outlines.to_crs(3035).geometry
    x, y = np.meshgrid(elevation.x, elevation.y)
    for (_, glacier), polygon in zip(outlines.iterrows(), polygons, strict=True):
        inside = shapely.contains_xy(polygon, x, y)
        z = elevation.to_numpy()[inside]
        assert z.min() == pytest.approx(glacier.Zmin, abs=30)
        assert z.max() == pytest.approx(glacier.Zmax, abs=30)
        down = np.array([np.sin(np.radians(glacier.Aspect)), np.cos(np.radians(glacier.Aspect))])
        along = x[inside] * down[0] + y[inside] * down[1]
        assert np.corrcoef(along, z)[0, 1] < -0.8


def test_terrain_is_continuous_across_the_borders_of_tiles(elevation: xr.DataArray) -> None:
    """Steps between neighbouring cells are no larger at the border of a tile than inside."""
    for dim in ("x", "y"):
        step = abs(elevation.diff(dim)).to_numpy()
        step = step if dim == "y" else step.T
        at_border = np.arange(len(step)) % DEMO.tile_cells == DEMO.tile_cells - 1
        border, inner = step[at_border], step[~at_border]
        assert np.quantile(border, 0.99) < 1.3 * np.quantile(inner, 0.99)
        assert border.max() < 1.3 * inner.max()
    assert 800 < elevation.min() < 2000
    assert 3500 < elevation.max() < 5000


def test_thickness_is_zero_outside_outlines_and_plausible_inside(ice: xr.DataArray, outlines: gpd.GeoDataFrame) -> None:
    x, y = np.meshgrid(ice.x, ice.y)
    inside = shapely.contains_xy(shapely.union_all(outlines.to_crs(3035).geometry.to_numpy()), x, y)
    h = ice.to_numpy()
    disagree = (h > 0) != inside  # only cells whose centre lies on the margin
    assert disagree.sum() <= 2
    assert (h >= 0).all()
    assert 15 < h[inside].mean() < 60
    assert h.max() < 200


def test_thickness_is_thin_where_the_ice_is_steep() -> None:
    form = SyntheticOptions(glaciers=300, observed=0)
    polygons, h = synthetic.outlines(form), synthetic.thickness(form)
    t = form.tile_cells
    tiles = h.to_numpy().reshape(form.rows + 2, t, form.columns + 2, t).max(axis=(1, 3))
    thickest = tiles[1:-1, 1:-1].ravel()[: form.glaciers]
    large = polygons["Area"].to_numpy() > 1
    # tau = rho g h sin(slope) of the thickest ice lies near 1e5 Pa
    stress = 900 * 9.81 * thickest * np.sin(np.radians(polygons["Slope"].to_numpy()))
    assert 0.5e5 < np.median(stress[large]) < 1.6e5


def test_climate_has_the_convention_of_era5_and_covers_the_terrain() -> None:
    climate = synthetic.climate(DEMO)
    assert climate.t2m.dims == climate.tp.dims == ("time", "latitude", "longitude")
    assert climate.z.dims == ("latitude", "longitude")
    assert [climate[name].attrs["units"] for name in ("t2m", "tp", "z")] == ["K", "m", "m**2 s**-2"]
    assert (np.diff(climate.latitude) < 0).all()
    assert climate.time.dt.calendar in ("standard", "proleptic_gregorian")
    assert str(climate.time.values[0])[:7] <= "1974-10"
    assert str(climate.time.values[-1])[:7] >= "2015-09"
    bounds = synthetic.outlines(DEMO).total_bounds
    assert climate.longitude.min() < bounds[0] - 0.1
    assert climate.longitude.max() > bounds[2] + 0.1
    assert climate.latitude.min() < bounds[1] - 0.1
    assert climate.latitude.max() > bounds[3] + 0.1


@pytest.mark.parametrize(("name", "k_per_decade"), [("stable", 0.0), ("warming", 0.3)])
def test_a_future_warms_with_the_range_and_then_as_it_says(name: str, k_per_decade: float) -> None:
    future = synthetic.future(DEMO, name)
    assert future.tas.dims == future.pr.dims == ("time", "lat", "lon")
    assert (future.tas.attrs["units"], future.pr.attrs["units"]) == ("K", "kg m-2 s-1")
    assert [str(future.time.values[at])[:7] for at in (0, -1)] == ["1974-01", "2100-12"]
    annual = future.tas.mean(["lat", "lon"]).groupby("time.year").mean()
    annual = annual - synthetic.future(DEMO, "stable").tas.mean(["lat", "lon"]).groupby("time.year").mean()
    assert float(abs(annual.sel(year=slice(1974, 2015))).max()) == pytest.approx(0, abs=1e-3)
    assert np.polyfit(annual.year[42:], annual[42:], 1)[0] * 10 == pytest.approx(k_per_decade, abs=1e-3)


def test_a_future_is_wrong_in_its_mean_and_has_weather_of_its_own() -> None:
    climate, future = synthetic.climate(DEMO).mean(["latitude", "longitude"]), synthetic.future(DEMO, "stable")
    near = future.mean(["lat", "lon"]).sel(time=climate.time)
    assert float((near.pr * 86.4 / climate.tp).mean()) == pytest.approx(0.8, abs=0.15)  # m of water per day
    summers = [
        ds.where(ds.time.dt.month.isin([6, 7, 8]), drop=True).groupby("time.year").mean() for ds in (near, climate)
    ]
    assert abs(np.corrcoef(summers[0].tas, summers[1].t2m)[0, 1]) < 0.6
    rise = [float(values[-10:].mean() - values[:10].mean()) for values in (summers[0].tas, summers[1].t2m)]
    assert rise[0] == pytest.approx(0.9, abs=0.7)
    assert rise[1] == pytest.approx(0.9, abs=0.7)


def test_a_future_covers_a_range_in_the_south_and_one_that_is_not_known_is_refused() -> None:
    south = SyntheticOptions(glaciers=4, observed=2, centre=(179.9, -44.0))
    future = synthetic.future(south, "warming")
    assert str(future.time.values[0])[:7] == "1973-07"
    assert float(future.lat.min()) < -44 < float(future.lat.max())
    with pytest.raises(ValueError, match="there is no future 'dry'; expected one of stable, warming"):
        synthetic.future(DEMO, "dry")


def test_climate_varies_like_an_alpine_one() -> None:
    cell = synthetic.climate(SyntheticOptions(first_year=1901, last_year=2015)).isel(latitude=6, longitude=7)
    summer = cell.t2m[cell.time.dt.month.isin([6, 7, 8])].groupby("time.year").mean()
    trend, level = np.polyfit(summer.year, summer, 1)
    assert trend * 10 == pytest.approx(0.3, abs=0.1)
    assert float((summer - trend * summer.year - level).std()) == pytest.approx(0.9, abs=0.25)
    wet = cell.tp[cell.time.dt.month.isin([10, 11, 12, 1, 2, 3, 4])].groupby("time.year").mean()
    assert float(wet.std() / wet.mean()) == pytest.approx(0.17, abs=0.07)
    assert 0.8 < float(cell.tp.mean()) * 365.25 < 2.2


def test_true_balances_are_plausible_and_seasons_add_up() -> None:
    true = synthetic.truth_seasonal(DEMO)
    np.testing.assert_array_equal(true.winter + true.summer, true.annual)
    assert -1500 < float(true.annual.mean()) < 500
    assert 300 < float(true.annual.std("hydro_year").mean()) < 900
    assert float(true.winter.mean()) > 500
    assert float(true.summer.mean()) < -500
    assert true.annual.attrs["units"] == "kg m-2"
    assert true.sizes == {"glacier": 60, "hydro_year": 41}


def test_truth_at_the_bands_of_a_glacier_adds_up_to_the_truth_of_the_glacier() -> None:
    small = SyntheticOptions(glaciers=70, observed=0, first_year=2000, last_year=2004)
    bands = relief.hypsometry(small)
    number = np.repeat(np.arange(small.glaciers), relief.BANDS)
    found = synthetic.truth_at(small, number, bands.elevation_m.ravel())
    assert found.dims == ("cell", "hydro_year")
    closed = (found.to_numpy().reshape(*bands.share.shape, -1) * bands.share[:, :, None]).sum(axis=1)
    np.testing.assert_allclose(closed, synthetic.truth(small), rtol=1e-9, atol=1e-6)


def test_truth_over_the_cells_of_the_terrain_is_that_of_the_glacier(elevation: xr.DataArray, ice: xr.DataArray) -> None:
    tile = DEMO.tile_cells
    for number in (0, 17, 59):
        row, column = (number // DEMO.columns + MARGIN_TILES) * tile, (number % DEMO.columns + MARGIN_TILES) * tile
        part = {"y": slice(row, row + tile), "x": slice(column, column + tile)}
        height = elevation.isel(part).to_numpy()[ice.isel(part).to_numpy() > 0]
        mean = synthetic.truth_at(DEMO, np.full(height.size, number), height).mean("cell")
        np.testing.assert_allclose(mean, synthetic.truth(DEMO, number, number + 1)[0], atol=15)  # bands are steps


def test_truth_at_cells_does_not_depend_on_their_order_or_company() -> None:
    number, height = np.array([59, 3, 59, 3, 20]), np.array([2500.0, 3000, 3100, 2700, 2900])
    whole = synthetic.truth_at(DEMO, number, height)
    order = np.array([4, 2, 0, 1])
    xr.testing.assert_identical(synthetic.truth_at(DEMO, number[order], height[order]), whole.isel(cell=order))
    assert (whole[2] > whole[0]).all()  # higher on the same glacier
    assert synthetic.truth_at(DEMO, [], []).shape == (0, len(DEMO.years))


@pytest.mark.parametrize(
    ("glacier", "elevation_m", "words"),
    [
        ([0, 1], [2900.0], "expected a whole number and a height for every cell"),
        ([0.5], [2900.0], "glacier is float64 .*expected a whole number"),
        ([60], [2900.0], "glacier runs from 60 to 60; expected numbers from 0 to 59"),
        ([-1, 2], [2900.0, 2900.0], "glacier runs from -1 to 2"),
        ([0, 1], [2900.0, np.nan], "not finite in 1 of 2 cells; .*leave out cells without ice"),
    ],
)
def test_truth_at_what_is_no_cell_is_refused(glacier: list[float], elevation_m: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        synthetic.truth_at(DEMO, glacier, elevation_m)


def test_true_factors_follow_the_way_a_glacier_faces_and_melt_by_them() -> None:
    factors = synthetic.degree_day_factors(DEMO)
    north = np.cos(np.radians(synthetic.outlines(DEMO)["Aspect"].to_numpy()))
    np.testing.assert_allclose(factors.ddf_snow, 4.4 * (1 - 0.12 * north), rtol=2e-3)  # aspects are whole degrees
    np.testing.assert_allclose(factors.ddf_ice / factors.ddf_snow, 7.0 / 4.4)
    xr.testing.assert_identical(synthetic.degree_day_factors(DEMO, 7, 9), factors.isel(glacier=slice(7, 9)))
    # Without precipitation all melt is ice: balances of glaciers at one height in one place are as their factors.
    dry = SyntheticOptions(process=TrueProcess(precip_factor=0))
    bare = SyntheticOptions(process=TrueProcess(precip_factor=0, aspect_effect=0))
    cells = np.arange(60), np.full(60, 2600.0)
    ratio = synthetic.truth_at(dry, *cells) / synthetic.truth_at(bare, *cells)
    np.testing.assert_allclose(ratio, np.broadcast_to(factors.ddf_ice.to_numpy()[:, None] / 7.0, ratio.shape))


def test_stakes_show_a_plausible_gradient_with_elevation() -> None:
    stakes = synthetic.observations(DEMO).query("obs_kind == 'point'")
    gradients = [np.polyfit(g.obs_elevation, g.obs_value, 1)[0] for _, g in stakes.groupby("obs_unit_id")]
    assert len(gradients) == 6
    assert 2 < min(gradients) < max(gradients) < 15
    assert len(set(stakes.groupby("obs_unit_id").obs_elevation.nunique())) == 1


def test_stakes_stand_on_the_terrain(elevation: xr.DataArray) -> None:
    stakes = synthetic.observations(DEMO).query("obs_kind == 'point'").drop_duplicates(["obs_lon", "obs_lat"])
    places = gpd.GeoSeries(gpd.points_from_xy(stakes.obs_lon, stakes.obs_lat), crs=4326).to_crs(3035)
    at = elevation.sel(x=xr.DataArray(places.x, dims="p"), y=xr.DataArray(places.y, dims="p"), method="nearest")
    np.testing.assert_allclose(at, stakes.obs_elevation, atol=60)


def test_warmer_is_less_and_more_snow_is_more() -> None:
    base = synthetic.truth(SyntheticOptions(glaciers=4, observed=0))
    wet = SyntheticOptions(glaciers=4, observed=0, process=TrueProcess(precip_factor=1.8))
    fast = SyntheticOptions(glaciers=4, observed=0, process=TrueProcess(ddf_ice=8, ddf_snow=5))
    warm = SyntheticOptions(glaciers=4, observed=0, process=TrueProcess(temp_bias_k=1.0))
    cold = SyntheticOptions(glaciers=4, observed=0, process=TrueProcess(temp_bias_k=-1.0))
    assert (synthetic.truth(wet) > base).all()
    assert (synthetic.truth(fast) < base).all()
    assert (synthetic.truth(warm) < base).all()
    assert (synthetic.truth(cold) > base).all()
    xr.testing.assert_identical(synthetic.climate(warm), synthetic.climate(SyntheticOptions(glaciers=4, observed=0)))


def test_noise_has_the_stated_size(observed_many: pd.DataFrame) -> None:
    """Standardised residuals have a mean of 0 and a variance of 1, within four standard errors."""
    true = synthetic.truth_seasonal(MANY).assign_coords(glacier=lambda d: d.glacier_id)
    table = observed_many
    for kind in ("annual", "winter", "summer"):
        rows = table[table["obs_kind"] == kind]
        truth = true[kind].sel(
            glacier=xr.DataArray(rows["obs_unit_id"].to_numpy(), dims="row"),
            hydro_year=xr.DataArray(rows["obs_year"].to_numpy(), dims="row"),
        )
        z = (rows["obs_value"].to_numpy() - truth.to_numpy()) / rows["obs_sigma"].to_numpy()
        assert abs(z.mean()) < 4 / np.sqrt(len(z))
        assert abs((z**2).sum() - len(z)) < 4 * np.sqrt(2 * len(z))
    rows = table[table["obs_kind"] == "geodetic"]
    z = (rows["obs_value"].to_numpy() - true.annual.mean("hydro_year").to_numpy()) / rows["obs_sigma"].to_numpy()
    assert len(z) == 700
    assert abs((z**2).sum() - len(z)) < 4 * np.sqrt(2 * len(z))


def test_observations_have_the_columns_of_the_schema_their_units_and_errors() -> None:
    table = synthetic.observations(DEMO)
    assert set(table.columns) == {*OBSERVATIONS, "units"}
    assert (table["units"] == "kg m-2").all()
    assert set(table["obs_kind"]) <= set(OBSERVATION_KINDS)
    sigma = table.groupby("obs_kind")["obs_sigma"].unique().map(list).to_dict()
    assert sigma == {"annual": [60], "winter": [60], "summer": [60], "point": [100], "geodetic": [60]}
    assert (table["obs_start"] < table["obs_end"]).all()
    assert (table["obs_end"].dt.year == table["obs_year"]).all()
    assert set(table["obs_unit_id"]) == set(synthetic.outlines(DEMO)["RGIId"])


def test_series_differ_in_length_and_seasons_and_stakes_are_rarer() -> None:
    table = synthetic.observations(DEMO)
    lengths = table.query("obs_kind == 'annual'").groupby("obs_unit_id").size()
    assert len(lengths) == 24
    assert lengths.min() < 15
    assert lengths.max() >= 40
    assert 400 < lengths.sum() < 800
    units = table.groupby("obs_kind")["obs_unit_id"].nunique()
    assert units.to_dict() == {"annual": 24, "winter": 12, "summer": 12, "point": 6, "geodetic": 60}


def test_inventories_shrink_and_that_of_2000_holds_the_outlines(outlines: gpd.GeoDataFrame) -> None:
    table = synthetic.inventories(DEMO).pivot(index="glacier_id", columns="year", values="area_m2")
    np.testing.assert_allclose(table[2000], outlines.set_index("RGIId")["Area"] * 1e6)
    change = table[2015] / table[1985] - 1
    assert change.between(-0.25, -0.02).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"glaciers": 0, "observed": 0}, "glaciers is 0; expected 1 to 250000"),
        ({"observed": 61}, "observed is 61; expected 0 to 60"),
        ({"first_year": 2000, "last_year": 1990}, "years 2000..1990 are not a span"),
        ({"seed": -1}, "seed is -1; expected an integer of at least 0"),
        ({"tile_cells": 10}, "expected tiles of 3200 to 6500 m"),
        ({"resolution_m": 5.0}, "resolution_m is 5.0; expected 25 to 500 m"),
        ({"climate_degrees": 3.0}, "climate_degrees is 3.0; expected 0.05 to 1 degree"),
    ],
)
def test_options_that_make_no_range_are_refused(changes: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        SyntheticOptions(**changes)


def test_the_range_of_before_is_the_range_of_now() -> None:
    """Numbers of the default place, so that an option that moves the range elsewhere leaves it alone there."""
    small = SyntheticOptions(glaciers=12, observed=6, first_year=2000, last_year=2012)
    assert (small.west_m, small.north_m, small.hemisphere) == (4303200.0, 2662000.0, "north")
    assert synthetic.terrain(small).attrs["crs_wkt"] == pyproj.CRS(3035).to_wkt()
    assert float(synthetic.truth(small).sum()) == pytest.approx(-165842.053654018, rel=1e-9)
    assert synthetic.outlines(small).CenLon.sum() == pytest.approx(119.663091299831, rel=1e-12)


def test_a_range_at_the_antimeridian_is_that_of_elsewhere_with_outlines_cut() -> None:
    over, away = (SyntheticOptions(glaciers=20, observed=10, centre=(lon, -45.0)) for lon in (179.9, 170.0))
    np.testing.assert_array_equal(synthetic.terrain(over), synthetic.terrain(away))
    np.testing.assert_array_equal(synthetic.truth(over), synthetic.truth(away))
    first, second = synthetic.outlines(over), synthetic.outlines(away)
    assert (first.geom_type == "MultiPolygon").sum() == 1
    assert first.geometry.is_valid.all()
    assert np.abs(first.bounds.to_numpy()).max() == 180.0
    turned = shapely.transform(first.geometry.to_numpy(), lambda xy: np.column_stack([xy[:, 0] % 360 - 9.9, xy[:, 1]]))
    whole = second.geometry.to_numpy()
    np.testing.assert_allclose(
        shapely.area(shapely.symmetric_difference(turned, whole)) / shapely.area(whole), 0, atol=1e-7
    )
    assert (shapely.is_ccw(shapely.get_exterior_ring(shapely.get_parts(first.geometry.to_numpy())))).all()
    one, other = synthetic.climate(over), synthetic.climate(away)
    np.testing.assert_allclose(one.longitude, other.longitude + 9.9)
    assert one.longitude.values[-1] > 180
    np.testing.assert_allclose(one.t2m, other.t2m, atol=1e-3)


def test_west_of_the_antimeridian_climate_counts_longitudes_as_east_of_it() -> None:
    lon = synthetic.climate(SyntheticOptions(glaciers=20, observed=10, centre=(-179.9, -45.0))).longitude.values
    assert lon[0] > 179
    assert lon[-1] > 180
    np.testing.assert_allclose(np.diff(lon), 0.1)


def test_southern_seasons_are_northern_ones_half_a_year_earlier() -> None:
    south, north = (SyntheticOptions(glaciers=8, observed=4, centre=(20.0, lat)) for lat in (-45.0, 45.0))
    assert (south.hemisphere, north.hemisphere) == ("south", "north")
    first, second = atmosphere.months(south), atmosphere.months(north)
    np.testing.assert_array_equal(first.astype("datetime64[M]") + 6, second.astype("datetime64[M]"))
    at = np.array([0.0, 9e3]), np.array([0.0, -4e3])
    there = atmosphere.temperature_at(south, *at)
    np.testing.assert_allclose(there, atmosphere.temperature_at(north, *at), atol=1e-3)
    warm = xr.DataArray(there.mean(axis=0), coords={"time": first}, dims="time").groupby("time.month").mean()
    assert int(warm.idxmax()) in (1, 2)
    # The side of the pole melts least on both.
    ratio = synthetic.degree_day_factors(south).ddf_ice / synthetic.degree_day_factors(north).ddf_ice
    facing = np.cos(np.radians(synthetic.outlines(south)["Aspect"]))
    np.testing.assert_allclose(ratio, (1 + 0.12 * facing) / (1 - 0.12 * facing), rtol=1e-9)


def test_southern_observations_have_the_dates_of_their_seasons() -> None:
    options = SyntheticOptions(glaciers=8, observed=8, first_year=2000, last_year=2011, centre=(20.0, -45.0))
    table = synthetic.observations(options)
    dates = season_dates(table.obs_year, table.obs_kind, pd.Series("south", index=table.index))
    geodetic = (table.obs_kind == "geodetic").to_numpy()
    for name, expected in zip(("obs_start", "obs_end"), dates, strict=True):
        assert (table[name][~geodetic] == expected[~geodetic]).all()
    assert {str(date)[:10] for date in table.obs_start[geodetic]} == {"2001-04-01"}
    assert {str(date)[:10] for date in table.obs_end[geodetic]} == {"2011-03-31"}
    assert synthetic.outlines(options).BgnDate.unique().tolist() == ["20000301"]


@pytest.mark.parametrize(
    ("centre", "projection", "name"),
    [
        ((179.95, -45.0), "utm", "WGS 84 / UTM zone 60S"),
        ((-179.95, 45.0), "utm", "WGS 84 / UTM zone 1N"),
        ((180.0, -45.0), "utm", "WGS 84 / UTM zone 1S"),
        ((180.0, -45.0), "EPSG:3994", "WGS 84 / Mercator 41"),
        ((0.0, -75.0), "EPSG:3031", "WGS 84 / Antarctic Polar Stereographic"),
    ],
)
def test_a_range_may_have_the_projection_of_its_place(centre: tuple[float, float], projection: str, name: str) -> None:
    options = SyntheticOptions(glaciers=20, observed=10, centre=centre, projection=projection)
    assert pyproj.CRS(synthetic.terrain(options, slice(0, 2)).attrs["crs_wkt"]).name == name
    outlines = synthetic.outlines(options)
    assert outlines.geometry.is_valid.all()
    assert outlines.bounds.maxy.max() < centre[1] + 0.3
    away = (outlines.CenLon - centre[0] + 180) % 360 - 180
    assert away.abs().max() < 0.8
    assert outlines.to_crs(6933).area.sum() == pytest.approx(outlines.Area.sum() * 1e6, rel=0.2)  # scale is within 10 %


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"projection": "utm"}, "projection is 'utm' but no centre is given"),
        ({"centre": (200.0, 10.0)}, r"centre is \(200.0, 10.0\); expected a longitude from -180 to 180"),
        ({"centre": (10.0, 0.2)}, "over the equator, where hydrological years change, or to the pole"),
        ({"centre": (10.0, -84.9)}, "to the pole. Move the centre, or make fewer glaciers"),
        ({"centre": (179.9, -45.0), "projection": "EPSG:3035"}, "does not fit a range at 179.9, -45: it stretches"),
        ({"centre": (180.0, -5.0), "projection": "EPSG:3857"}, "does not fit a range at 180, -5: it breaks there"),
        ({"centre": (10.0, 45.0), "projection": "EPSG:4326"}, "projection EPSG:4326 is not one in metres"),
        ({"centre": (10.0, 45.0), "projection": "mars"}, "projection is 'mars', which PROJ does not know"),
    ],
)
def test_a_place_that_holds_no_range_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        synthetic.terrain(SyntheticOptions(**changes), slice(0, 1))


def test_a_process_or_a_block_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="ddf_ice is -1; expected a finite number"):
        TrueProcess(ddf_ice=-1)
    with pytest.raises(ValueError, match="temp_bias_k is nan; expected a finite number"):
        TrueProcess(temp_bias_k=np.nan)
    with pytest.raises(ValueError, match="glaciers 50:61 are not a block of the 60"):
        synthetic.truth(DEMO, 50, 61)
    with pytest.raises(ValueError, match="expected a slice in order with step 1"):
        synthetic.terrain(DEMO, slice(0, 10, 2))
