"""Featurize: predictors of every glacier and year."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from glacierscale import provenance
from glacierscale.features import climate
from glacierscale.features.options import FeaturizeOptions
from glacierscale.features.tensors import featurize, predictor_units

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
    assert other.attrs["recipe"]["reference_years"] == [1993, 1996]


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
    assert other.attrs["recipe"]["precip_factor"] == 1.5


def test_blocks_do_not_change_what_is_computed(dataset: xr.Dataset, cube: Any) -> None:
    from glacierscale.features import tensors, zonal

    opened = cube.open()
    whole = tensors.compute_block(opened, zonal.Frame.of(opened), slice(0, 6), FeaturizeOptions())
    for name, values in whole.items():
        if name not in ("glacier_id", "unit_id"):
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
