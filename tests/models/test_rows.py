"""Observed rows and their design."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from glacierscale import schema
from glacierscale.features import climate
from glacierscale.models import rows as rows_module
from glacierscale.models.physics import BIASES_K
from glacierscale.models.rows import TOPOGRAPHY, default_predictors, design_of, observed_rows


@pytest.fixture(scope="module")
def dataset(features: Any) -> xr.Dataset:
    return features.open().load()


def test_every_annual_observation_is_a_row_and_winter_ones_are_not(rows: Any, region: SimpleNamespace) -> None:
    assert len(rows) == len(region.observed) * len(region.years)
    assert 1500.0 not in rows.observed
    for unit, observed in region.observed.items():
        of = rows.unit_id == unit
        np.testing.assert_array_equal(rows.hydro_year[of], region.years)
        np.testing.assert_allclose(rows.observed[of], observed, rtol=1e-6)
    assert set(rows.sigma) == {region.sigma}


def test_a_row_holds_the_predictors_of_its_glacier_and_year(rows: Any, dataset: xr.Dataset, model: Any) -> None:
    names = list(dataset.predictor.values)
    columns = [names.index(n) for n in model.predictors]
    of = np.flatnonzero(rows.unit_id == "RGI60-11.00002")
    np.testing.assert_allclose(rows.design.predictors[of], dataset.predictors.values[1][:, columns], rtol=1e-6)
    np.testing.assert_allclose(rows.ols_terms[of, 0], dataset.predictors.values[1][:, names.index("cpdd")], rtol=1e-6)
    np.testing.assert_allclose(rows.ols_terms[of, 1], dataset.precip.values[1, :, :7].sum(axis=-1), rtol=1e-6)


def test_parts_of_a_split_glacier_are_averaged_by_area(rows: Any, dataset: xr.Dataset, region: SimpleNamespace) -> None:
    parts = design_of(dataset.isel(glacier=[2, 3]), ["mean_elevation"])
    areas = [region.polygons[f"RGI50-11.00719_d0{n}"].area for n in (1, 2)]
    of = rows.unit_id == "RGI50-11.00719"
    for name in ("snow", "degree_days"):
        by_part = getattr(parts, name).reshape(2, len(region.years), -1)
        np.testing.assert_allclose(
            getattr(rows.design, name)[of], np.average(by_part, axis=0, weights=areas), rtol=1e-5
        )
    assert rows.lon[of][0] == pytest.approx(np.average(dataset.lon.values[2:4], weights=areas))


def test_balance_terms_are_those_of_the_bands_with_each_bias(dataset: xr.Dataset) -> None:
    design = design_of(dataset, [])
    assert design.snow.shape == (dataset.sizes["glacier"] * dataset.sizes["hydro_year"], len(BIASES_K))
    one = dataset.isel(glacier=[1])
    rise = one.band_elevation.values - one.ref_height.values[:, None]
    weight = one.band_area.values / one.band_area.values.sum()
    degree, snow = climate.band_balance_terms(
        one.temp.values - 3, one.precip.values, one.lapse_rate.values, rise, weight, 5.0
    )
    np.testing.assert_allclose(design.degree_days[12:24, 0], degree[0], rtol=1e-5)
    np.testing.assert_allclose(design.snow[12:24, 0], snow[0], rtol=1e-5)
    assert (np.diff(design.degree_days, axis=1) > 0).all()
    assert (np.diff(design.snow, axis=1) <= 1e-3).all()


def test_only_the_biases_that_are_asked_for_are_computed(dataset: xr.Dataset) -> None:
    whole, some = design_of(dataset, []), design_of(dataset, [], biases=[3, 3])
    np.testing.assert_array_equal(some.snow[:, 3], whole.snow[:, 3])
    assert np.isnan(np.delete(some.snow, 3, axis=1)).all()


def test_the_temperature_index_model_with_true_factors_gives_the_true_balance(
    rows: Any, region: SimpleNamespace
) -> None:
    zero = int(np.flatnonzero(BIASES_K == 0)[0])
    snow, melt = rows.design.snow[:, zero], rows.design.degree_days[:, zero]
    modelled = region.precip_factor * snow - region.degree_day_factor * melt
    truth = np.concatenate(list(region.truth.values()))
    assert np.abs(modelled - truth).max() < 40  # bands and cell centres against exact coverage


def test_reading_in_several_parts_gives_the_same_rows(
    features: Any, rows: Any, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "_AT_ONCE", 2)
    again = observed_rows(features.open(), model.predictors)
    np.testing.assert_array_equal(again.design.snow, rows.design.snow)
    np.testing.assert_array_equal(again.design.predictors, rows.design.predictors)


def test_by_default_models_see_anomalies_and_topography() -> None:
    names = ["cpdd", "cpdd_anomaly", "temp_oct", "temp_oct_anomaly", *TOPOGRAPHY]
    assert default_predictors(names) == ("cpdd_anomaly", "temp_oct_anomaly", *TOPOGRAPHY)


def test_taking_rows_takes_them_of_everything(rows: Any) -> None:
    some = rows.design.take(np.array([5, 2]))
    for name in ("predictors", "snow", "degree_days"):
        np.testing.assert_array_equal(getattr(some, name), getattr(rows.design, name)[[5, 2]])


def test_an_unknown_predictor_and_a_kind_without_observations_are_refused(dataset: xr.Dataset) -> None:
    with pytest.raises(ValueError, match=r"the features lack the predictors \['albedo'\]"):
        design_of(dataset, ["albedo"])
    with pytest.raises(ValueError, match=r"no observation of kind 'geodetic' in the hydrological years 1991..2002"):
        observed_rows(dataset, [], kind="geodetic")


def test_an_observed_glacier_without_an_outline_is_refused(dataset: xr.Dataset) -> None:
    orphan = dataset.isel(glacier=slice(1, None))
    with pytest.raises(ValueError, match=r"the observed glaciers \['RGI60-11.00001'\] have no outline"):
        observed_rows(orphan, [])


# Rows that are left out


def changed(dataset: xr.Dataset, aside: dict[int, str], absent: dict[int, int]) -> xr.Dataset:
    """Features with glaciers set aside, by the reason, and others without climate in a year."""
    reasons = schema.text(dataset.set_aside.values).astype(object)
    arrays = {n: dataset[n].values.copy() for n in ("predictors", "temp", "precip", "band_area", "ref_height")}
    for glacier, reason in aside.items():
        reasons[glacier] = reason
        for values in arrays.values():
            values[glacier] = np.nan
    for glacier, year in absent.items():
        arrays["temp"][glacier, year - 1991, 3] = np.nan
        arrays["predictors"][glacier, year - 1991] = np.nan
    return dataset.assign({n: (dataset[n].dims, values) for n, values in arrays.items()}).assign(
        set_aside=("glacier", reasons.astype(str))
    )


def test_nothing_is_left_out_of_features_that_are_whole(rows: Any) -> None:
    assert rows.left_out == ""


def test_a_glacier_that_was_set_aside_loses_its_rows_and_the_reason_is_told(dataset: xr.Dataset, model: Any) -> None:
    whole = observed_rows(dataset, model.predictors)
    found = observed_rows(changed(dataset, {0: "no terrain: it lies in the sea"}, {}), model.predictors)
    kept = whole.unit_id != "RGI60-11.00001"
    assert (~kept).sum() == 12
    for name in ("unit_id", "hydro_year", "observed", "sigma", "lon", "lat", "ols_terms"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name)[kept], err_msg=name)
    np.testing.assert_array_equal(found.design.predictors, whole.design.predictors[kept])
    assert found.left_out == (
        "12 rows of 1 glaciers that were set aside (RGI60-11.00001 has no terrain: it lies in the sea)"
    )


def test_a_unit_with_a_part_set_aside_keeps_its_rows_by_the_other_part(dataset: xr.Dataset, model: Any) -> None:
    found = observed_rows(changed(dataset, {2: "no climate"}, {}), model.predictors)
    other = design_of(dataset.isel(glacier=[3]), model.predictors)
    of = found.unit_id == "RGI50-11.00719"
    np.testing.assert_allclose(found.design.predictors[of], other.predictors, rtol=1e-6)
    np.testing.assert_allclose(found.design.snow[of], other.snow, rtol=1e-6)
    assert found.lon[of][0] == dataset.lon.values[3]
    assert found.left_out == ""


def test_a_year_that_lacks_months_loses_its_rows(dataset: xr.Dataset, model: Any) -> None:
    found = observed_rows(changed(dataset, {}, {1: 1995, 3: 1999}), model.predictors)
    whole = observed_rows(dataset, model.predictors)
    lost = {("RGI60-11.00002", 1995), ("RGI50-11.00719", 1999)}
    expected = [pair for pair in zip(whole.unit_id, whole.hydro_year, strict=True) if pair not in lost]
    assert list(zip(found.unit_id, found.hydro_year, strict=True)) == expected
    assert len(found) == len(whole) - 2
    for values in (found.ols_terms, found.design.predictors, found.design.snow, found.design.degree_days):
        assert np.isfinite(values).all()
    assert re.fullmatch(
        r"2 rows in years that lack months of climate or other predictors \(RGI\S+ in 199\d\)", found.left_out
    )


def test_topography_alone_does_not_save_a_year_that_lacks_months(dataset: xr.Dataset) -> None:
    temp = dataset.temp.values.copy()
    temp[1, 4, 0] = np.nan
    found = observed_rows(dataset.assign(temp=(dataset.temp.dims, temp)), ["mean_elevation"])
    assert ("RGI60-11.00002", 1995) not in set(zip(found.unit_id, found.hydro_year, strict=True))


def test_features_that_leave_no_row_are_refused_with_the_reasons(dataset: xr.Dataset, model: Any) -> None:
    everything = changed(dataset, dict.fromkeys(range(6), "no climate: the sea"), {})
    with pytest.raises(
        ValueError, match=r"'annual' can be used. Left out: 60 rows of 5 glaciers .* has no climate: the sea"
    ):
        observed_rows(everything, model.predictors)
    dry = dataset.assign(precip=dataset.precip * np.nan)
    with pytest.raises(ValueError, match=r"can be used. Left out: 60 rows in years that lack months of climate"):
        observed_rows(dry, model.predictors)
