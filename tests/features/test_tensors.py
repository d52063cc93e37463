"""Featurize: predictors of every glacier and year."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

import glacierscale as gs
from glacierscale import provenance, schema
from glacierscale.cube import IngestOptions
from glacierscale.features import climate, tensors, zonal
from glacierscale.features.options import FeaturizeOptions
from glacierscale.features.tensors import featurize, predictor_units

CATALOGS = Path(__file__).resolve().parents[2] / "catalogs"
PREDICTORS = predictor_units("north")


@pytest.fixture(scope="module")
def dataset(features: Any) -> xr.Dataset:
    return features.open().load()


def of(dataset: xr.Dataset, name: str) -> np.ndarray:
    return dataset.predictors.values[:, :, list(PREDICTORS).index(name)]


def test_predictors_are_named_with_their_units_and_all_known(dataset: xr.Dataset) -> None:
    assert dataset.predictor.values.tolist() == list(PREDICTORS)
    assert dataset.predictor_units.values.tolist() == list(PREDICTORS.values())
    assert np.isfinite(dataset.predictors.values).all()
    assert len(PREDICTORS) == 2 * 27 + 8


def test_monthly_temperature_is_that_at_the_mean_elevation(dataset: xr.Dataset, region: SimpleNamespace) -> None:
    expected = region.temp_2000[:, 9] + region.lapse * (of(dataset, "mean_elevation") - 2000)
    np.testing.assert_allclose(of(dataset, "temp_jul"), expected, atol=5e-3)


def test_degree_days_and_snow_follow_from_the_months(dataset: xr.Dataset) -> None:
    months = np.stack(
        [of(dataset, n) for n in PREDICTORS if n.startswith("temp_") and not n.endswith("anomaly")], axis=-1
    )
    np.testing.assert_allclose(of(dataset, "cpdd"), climate.degree_days(months, 5.0).sum(axis=-1), rtol=1e-4)
    snow = climate.solid_fraction(months) * dataset.precip.values
    np.testing.assert_allclose(of(dataset, "winter_snow"), snow[..., :7].sum(axis=-1), rtol=1e-4)
    np.testing.assert_allclose(of(dataset, "summer_snow"), snow[..., 7:].sum(axis=-1), rtol=1e-4, atol=0.01)


def test_anomalies_have_no_mean_over_the_reference_years(dataset: xr.Dataset, cube: Any, tmp_path: Path) -> None:
    np.testing.assert_allclose(of(dataset, "cpdd_anomaly").mean(axis=1), 0, atol=1e-2)
    options = FeaturizeOptions(reference_years=(1993, 1996))
    other = featurize(cube, to=tmp_path / "f.zarr", options=options).open().load()
    np.testing.assert_allclose(of(other, "cpdd_anomaly")[:, 2:6].mean(axis=1), 0, atol=1e-2)
    assert np.abs(of(other, "cpdd_anomaly").mean(axis=1)).min() > 1
    np.testing.assert_array_equal(of(other, "cpdd"), of(dataset, "cpdd"))
    assert provenance.nested(other.attrs["recipe"])["reference_years"] == [1993, 1996]


def test_a_dated_inventory_wins_over_the_terrain_where_it_has_the_glacier(dataset: xr.Dataset) -> None:
    np.testing.assert_allclose(of(dataset, "slope20")[0], 33.0)
    assert (np.abs(of(dataset, "slope20")[1:] - 33.0) > 1).all()


def test_band_areas_sum_to_the_outline(dataset: xr.Dataset) -> None:
    np.testing.assert_allclose(dataset.band_area.sum("band"), dataset.area_m2, rtol=1e-5)


def test_precipitation_follows_its_factor_and_gradient(dataset: xr.Dataset, cube: Any, tmp_path: Path) -> None:
    options = FeaturizeOptions(precip_factor=1.5, precip_gradient_per_km=0.2)
    other = featurize(cube, to=tmp_path / "f.zarr", options=options).open().load()
    rise = of(other, "mean_elevation") - other.ref_height.values[:, None]
    np.testing.assert_allclose(other.precip, dataset.precip * (1.5 * (1 + 0.2 * rise / 1000))[..., None], rtol=1e-5)
    assert provenance.nested(other.attrs["recipe"])["precip_factor"] == 1.5


def test_blocks_do_not_change_what_is_computed(dataset: xr.Dataset, cube: Any) -> None:
    from glacierscale.features import zonal

    opened = cube.open()
    loaded = tensors.load_block(opened, slice(0, 6))
    whole = tensors.compute_block(opened, zonal.Frame.of(opened), loaded, FeaturizeOptions())
    for name, values in whole.items():
        if name not in ("glacier_id", "unit_id", "subregion", "set_aside"):
            np.testing.assert_allclose(dataset[name].values, values, rtol=2e-5, atol=1e-3, err_msg=name)


def test_running_again_keeps_the_store_and_other_options_are_refused(cube: Any, features: Any) -> None:
    root = Path(features.url)
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}
    assert featurize(cube, to=root) == features
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()} == before
    with pytest.raises(provenance.StampMismatch, match=r"options.bands: there 20, now 10"):
        featurize(cube, to=root, options=FeaturizeOptions(bands=10))


@pytest.mark.parametrize("years", [(1980, 1995), (1995, 2010), (1996, 1995)])
def test_reference_years_outside_the_cube_are_refused(cube: Any, tmp_path: Path, years: tuple[int, int]) -> None:
    with pytest.raises(
        ValueError, match=r"reference_years .* are not a span inside the cube's hydrological years 1991..2002"
    ):
        featurize(cube, to=tmp_path / "f.zarr", options=FeaturizeOptions(reference_years=years))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"degree_day_sigma_k": 0.0}, "degree_day_sigma_k is 0.0; expected between 0 and 20 K"),
        ({"precip_factor": -1.0}, "precip_factor is -1.0; expected above 0"),
        ({"lapse_rate_k_km": 6.5}, "lapse_rate_k_km is 6.5; expected -15 to 0"),
        ({"climate_radius_km": -1.0}, "climate_radius_km is -1.0; expected 0 km or more"),
        ({"climate_radius_km": float("inf")}, "climate_radius_km is inf; expected a finite number"),
        ({"bands": 0}, "bands is 0; expected at least 1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FeaturizeOptions(**options)


def test_months_are_named_from_where_the_hydrological_year_begins() -> None:
    assert [n for n in predictor_units("north") if n.startswith("temp_")][:2] == ["temp_oct", "temp_nov"]
    assert [n for n in predictor_units("south") if n.startswith("temp_")][:2] == ["temp_apr", "temp_may"]
    assert len(predictor_units("south")) == len(PREDICTORS)


def test_a_climate_of_height_alone_gives_the_same_predictors_however_it_is_pooled(
    dataset: xr.Dataset, cube: Any, tmp_path: Path
) -> None:
    options = FeaturizeOptions(climate_radius_km=8.0)
    pooled = featurize(cube, to=tmp_path / "f.zarr", options=options).open().load()
    assert (np.abs(pooled.ref_height - dataset.ref_height) > 10).any()
    for name in ("temp_jul", "cpdd", "cpdd_anomaly", "winter_snow"):
        np.testing.assert_allclose(of(pooled, name), of(dataset, name), rtol=2e-3, atol=0.2, err_msg=name)
    assert provenance.nested(pooled.attrs["recipe"])["climate_radius_km"] == 8.0


def test_glaciers_on_both_sides_of_the_antimeridian_need_the_memory_of_neighbours(cube: Any) -> None:
    dataset = cube.open().load()
    turned = dataset.assign_coords(lon=("glacier", np.where(dataset.lon > dataset.lon.mean(), 179.99, -179.99)))
    grid = {"clim_lon": ("clim_lon", np.arange(-179.875, 180, 0.25)), "clim_lat": ("clim_lat", np.arange(40, 50, 0.25))}
    around = turned.drop_dims(["clim_lon", "clim_lat"]).assign_coords(grid)
    months = dataset.sizes["time"]
    assert tensors._climate_bytes(around, 6) <= 5 * 5 * months * tensors._BYTES_OF_CLIMATE
    apart = around.assign_coords(
        lon=("glacier", np.linspace(-170.0, 170.0, 6)), lat=("glacier", np.linspace(40, 50, 6))
    )
    assert tensors._climate_bytes(apart, 6) > 40 * 40 * months * tensors._BYTES_OF_CLIMATE
    assert tensors._climate_bytes(apart, 6) <= zonal.MAX_CLIMATE_VALUES * tensors._BYTES_OF_CLIMATE


# Absent months


def climate_of(region: SimpleNamespace, cube: Any) -> dict[str, np.ndarray]:
    """Copies of the cube's temperature and precipitation."""
    opened = cube.open()
    return {name: opened[name].values.copy() for name in ("temp", "precip")}


@pytest.fixture(scope="module")
def gappy(region: SimpleNamespace, cube: Any, write_cube_to: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Features without a July of 1994 and without precipitation from November 1998 to the next January."""
    fields = climate_of(region, cube)
    fields["temp"][12 * 3 + 9] = np.nan
    fields["precip"][12 * 8 + 1 : 12 * 8 + 4] = np.nan
    folder = tmp_path_factory.mktemp("gappy")
    return featurize(write_cube_to(folder / "cube.zarr", **fields), to=folder / "features.zarr").open().load()


def test_the_climate_of_years_that_lack_a_month_is_nan_and_their_topography_known(
    gappy: xr.Dataset, dataset: xr.Dataset
) -> None:
    lacking = np.isin(gappy.hydro_year, [1994, 1999])
    place = len(PREDICTORS) - 8
    assert np.isnan(gappy.predictors.values[:, lacking, :place]).all()
    assert np.isfinite(gappy.predictors.values[:, ~lacking]).all()
    np.testing.assert_array_equal(gappy.predictors.values[..., place:], dataset.predictors.values[..., place:])
    assert (gappy.set_aside == "").all()
    assert np.isnan(gappy.temp.values).sum() == np.isnan(gappy.precip.values).sum() == 6 * 4


def test_anomalies_refer_to_the_years_of_the_reference_that_are_known(gappy: xr.Dataset) -> None:
    for name in ("cpdd", "winter_snow", "temp_jul", "snow_dec"):
        raw, anomaly = of(gappy, name), of(gappy, f"{name}_anomaly")
        known = np.isfinite(raw)
        assert known.sum(axis=1).tolist() == [10] * 6
        expected = raw - np.array([row[k].mean() for row, k in zip(raw, known, strict=True)])[:, None]
        np.testing.assert_allclose(anomaly, expected, rtol=1e-4, atol=0.02)


def test_icelandic_features_are_known_in_the_years_that_have_all_months(shared: Path, tmp_path: Path) -> None:
    region = gs.Region("Iceland", years=gs.HydroYears(1995, 2022))
    reading = IngestOptions(data=str(shared / "data"))
    cube = gs.ingest(CATALOGS / "iceland.yaml", region, to=tmp_path / "cube.zarr", options=reading)
    found = featurize(cube, to=tmp_path / "features.zarr").open().load()
    whole = np.isfinite(found.temp.values).all(axis=2) & np.isfinite(found.precip.values).all(axis=2)
    assert whole.sum(axis=1).tolist() == [6, 6, 7, 7]
    np.testing.assert_array_equal(np.isfinite(found.predictors.values).all(axis=2), whole)
    for row, years in zip(of(found, "cpdd_anomaly"), whole, strict=True):
        assert row[years].mean() == pytest.approx(0, abs=0.01)
    assert (found.set_aside == "").all()


# Glaciers set aside


def cell_of_the_smallest(cube: Any) -> tuple[int, int]:
    """Row and column of the only climate cell of the last glacier, and of the first."""
    opened = cube.open()
    row, column = (np.abs(opened[f"clim_{n}"].values - opened[n].values[5]).argmin() for n in ("lat", "lon"))
    return int(row), int(column)


def test_glaciers_without_climate_are_set_aside_and_the_others_are_unchanged(
    region: SimpleNamespace, cube: Any, write_cube_to: Any, dataset: xr.Dataset, tmp_path: Path
) -> None:
    height = cube.open().clim_height.values.copy()
    height[cell_of_the_smallest(cube)] = np.nan
    options = FeaturizeOptions(lapse_rate_k_km=-6.5)
    store = featurize(write_cube_to(tmp_path / "c.zarr", clim_height=height), to=tmp_path / "f.zarr", options=options)
    found = store.open().load()
    assert found.set_aside.values.tolist() == [tensors.NO_CLIMATE, "", "", "", "", tensors.NO_CLIMATE]
    assert "climate_radius_km" in tensors.NO_CLIMATE
    for name in ("predictors", "temp", "precip", "lapse_rate", "ref_height", "band_elevation", "band_area"):
        assert np.isnan(found[name][[0, 5]]).all(), name
        assert np.isfinite(found[name][1:5]).all(), name
    for name in schema.identity(dataset):
        np.testing.assert_array_equal(found[name], dataset[name])
    np.testing.assert_allclose(of(found, "temp_jul")[1:5], of(dataset, "temp_jul")[1:5], atol=0.01)
    assert featurize(tmp_path / "c.zarr", to=tmp_path / "f.zarr", options=options) == store


def test_a_glacier_without_terrain_is_set_aside(
    region: SimpleNamespace, write_cube_to: Any, dataset: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holed = region.elevation.copy()
    holed[15:25, 5:15] = np.nan
    monkeypatch.setattr(region, "elevation", holed)
    found = featurize(write_cube_to(tmp_path / "cube.zarr"), to=tmp_path / "f.zarr").open().load()
    assert found.set_aside.values.tolist() == ["", "", "", "", "", tensors.NO_TERRAIN]
    assert np.isnan(found.predictors[5]).all()
    whole = [0, 2, 3, 4]  # of the second, some cells are lost
    np.testing.assert_array_equal(found.predictors[whole], dataset.predictors[whole])


def test_a_glacier_whose_climate_lacks_the_reference_is_set_aside(
    region: SimpleNamespace, cube: Any, write_cube_to: Any, tmp_path: Path
) -> None:
    fields = climate_of(region, cube)
    fields["temp"][(slice(24), *cell_of_the_smallest(cube))] = np.nan
    options = FeaturizeOptions(reference_years=(1991, 1992), lapse_rate_k_km=-6.5)
    store = featurize(write_cube_to(tmp_path / "cube.zarr", **fields), to=tmp_path / "f.zarr", options=options)
    reason = store.open().set_aside.values[5]
    assert reason == tensors.NO_REFERENCE.format(1991, 1992)
    assert "every year of 1991..1992 lacks months; name reference_years" in reason


def test_a_cube_whose_every_glacier_is_set_aside_is_refused_also_the_second_time(
    region: SimpleNamespace, cube: Any, write_cube_to: Any, tmp_path: Path
) -> None:
    blank = np.full_like(cube.open().clim_height.values, np.nan)
    store = write_cube_to(tmp_path / "cube.zarr", clim_height=blank)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"all 6 glaciers of .* were set aside: no climate: .* \(6 glaciers\)"):
            featurize(store, to=tmp_path / "f.zarr")
