"""Contributions to decades: additive, equal to what is known, and the same however glaciers are dealt out."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from glacierscale import provenance
from glacierscale.evaluation import contributions as module
from glacierscale.evaluation.contributions import contributions, shapley
from glacierscale.models.lasso import Lasso

ALL = [slice(None)]
DECADES = [(1991, 1999), (2000, 2002)]


@pytest.fixture(scope="module")
def data(features: Any) -> xr.Dataset:
    return features.open().load()


@pytest.fixture(scope="module")
def table(model: Any, data: xr.Dataset) -> pd.DataFrame:
    return contributions(model, data, ALL)


def wide(table: pd.DataFrame, subregion: str = "") -> pd.DataFrame:
    own = table[table.subregion == subregion]
    return own.pivot_table(index=["model", "first_year", "last_year"], columns="term", values="anomaly")


def known(model: Any, **coefficients: float) -> Any:
    """The model with one net, linear with known coefficients, and no base."""
    values = np.zeros((len(model.plan.folds), 1, len(model.predictors)))
    for name, value in coefficients.items():
        values[:, :, model.predictors.index(name)] = value
    net = Lasso(coefficient=values, intercept=np.zeros(values.shape[:2]), pairs=())
    none = np.zeros(len(model.plan.folds))
    base = dataclasses.replace(model.base, precip_factor=none, degree_day_factor=none)
    return dataclasses.replace(model, nets={"lasso": net}, base=base)


def test_terms_add_up_to_the_anomaly_of_the_reconstructed_regional_mean(
    table: pd.DataFrame, model: Any, data: xr.Dataset
) -> None:
    found = wide(table)
    terms = found.drop(columns="total")
    assert set(terms) == {"temperature", "winter snow", "summer snow", "topography"}
    np.testing.assert_allclose(terms.sum(axis=1), found.total, atol=1e-6)
    area, years = data.area_m2.values[:, None], data.hydro_year.values
    for net in model.nets:
        mean = (area * model.reconstruct(data, net).mean(axis=0)).sum(axis=0) / area.sum()
        for first, last in DECADES:
            anomaly = mean[(years >= first) & (years <= last)].mean() - mean.mean()
            assert found.total[net, first, last] == pytest.approx(anomaly, abs=0.01)
    assert (table["std"] >= 0).all()
    assert (found.topography.abs() < 1e-6).all()  # it does not change here


def test_a_known_linear_model_gives_its_own_terms(model: Any, data: xr.Dataset) -> None:
    linear = known(model, cpdd_anomaly=-300.0, temp_jul_anomaly=-50.0, snow_jan_anomaly=40.0, summer_snow_anomaly=90.0)
    found = wide(contributions(linear, data, ALL)).loc["lasso"]
    names, years = data.predictor.values.tolist(), data.hydro_year.values
    share = data.area_m2.values / data.area_m2.values.sum()

    def term(**coefficients: float) -> np.ndarray:
        per_unit = {n: c / linear.scaler.std[0, linear.predictors.index(n)] for n, c in coefficients.items()}
        values = sum(c * share @ data.predictors.values[:, :, names.index(n)] for n, c in per_unit.items())
        return np.array([values[(years >= a) & (years <= b)].mean() for a, b in DECADES])  # type: ignore[index]

    np.testing.assert_allclose(found.temperature, term(cpdd_anomaly=-300.0, temp_jul_anomaly=-50.0), atol=0.01)
    np.testing.assert_allclose(found["winter snow"], term(snow_jan_anomaly=40.0), atol=0.01)
    np.testing.assert_allclose(found["summer snow"], term(summer_snow_anomaly=90.0), atol=0.01)
    assert (table_of_std(linear, data) == 0).all()  # one member


def table_of_std(model: Any, data: xr.Dataset) -> np.ndarray:
    return contributions(model, data, ALL)["std"].to_numpy()


def test_the_base_is_shared_out_too(model: Any, data: xr.Dataset) -> None:
    zero = known(model)
    found = wide(contributions(dataclasses.replace(zero, base=model.base), data, ALL)).loc["lasso"]
    terms = module.inputs_of(model, data).terms
    share, years = data.area_m2.values / data.area_m2.values.sum(), data.hydro_year.values
    regional = np.einsum("g,gyt->yt", share, terms - terms.mean(axis=1, keepdims=True))
    late = regional[years >= 2000].mean(axis=0)
    factors = -model.base.degree_day_factor[0], model.base.precip_factor[0], model.base.precip_factor[0]
    np.testing.assert_allclose(
        found.loc[(2000, 2002), ["temperature", "winter snow", "summer snow"]], late * factors, rtol=1e-3
    )


def test_topography_that_changes_has_its_share_and_all_stays_additive(model: Any, data: xr.Dataset) -> None:
    names = data.predictor.values.tolist()
    shrinking = data.copy(deep=True)
    low, high = (bound[0, model.predictors.index("area")] for bound in (model.scaler.low, model.scaler.high))
    shrinking.predictors.values[:, :, names.index("area")] = np.linspace(high, low, data.sizes["hydro_year"])

    def bent(fold: int, scaled: np.ndarray) -> np.ndarray:
        area, melt = (scaled[:, model.predictors.index(name)] for name in ("area", "cpdd_anomaly"))
        return np.stack([200 * area + 30 * area * melt - 20 * melt**2, 210 * area])

    made = dataclasses.replace(known(model), nets={"bent": SimpleNamespace(members=bent)})
    found = wide(contributions(made, shrinking, ALL)).loc["bent"]
    assert found.topography[1991, 1999] > 20
    assert found.topography[2000, 2002] < -20
    np.testing.assert_allclose(found.drop(columns="total").sum(axis=1), found.total, atol=1e-6)


def test_a_predictor_of_no_group_is_a_remainder(model: Any, data: xr.Dataset) -> None:
    renamed = data.assign(
        predictor=("predictor", np.where(data.predictor == "temp_jul_anomaly", "fog", data.predictor))
    )
    predictors = tuple("fog" if name == "temp_jul_anomaly" else name for name in model.predictors)
    made = known(dataclasses.replace(model, predictors=predictors), fog=-50.0)
    found = wide(contributions(made, renamed, ALL)).loc["lasso"]
    np.testing.assert_allclose(found.other, found.total, atol=1e-6)
    assert found.other.abs().min() > 0.1


def test_blocks_of_glaciers_change_nothing(table: pd.DataFrame, model: Any, data: xr.Dataset) -> None:
    parts = contributions(model, data, [slice(0, 2), slice(2, 3), slice(3, 6)])
    pd.testing.assert_frame_equal(parts, table, rtol=1e-5, atol=1e-3)


def test_glaciers_that_were_set_aside_do_not_count(model: Any, data: xr.Dataset) -> None:
    without = contributions(model, data.isel(glacier=slice(2, None)), ALL)
    aside = data.copy(deep=True)
    aside["set_aside"] = ("glacier", np.array(["no terrain"] * 2 + [""] * (data.sizes["glacier"] - 2)))
    for name in ("predictors", "temp", "band_area"):
        aside[name].values[:2] = np.nan
    found = contributions(model, aside, [slice(0, 2), slice(2, None)])  # the first block holds no glacier at all
    pd.testing.assert_frame_equal(found, without, rtol=1e-5, atol=1e-3)


def test_years_without_climate_are_left_out_of_their_decade(model: Any, data: xr.Dataset) -> None:
    lacking = data.copy(deep=True)
    lacking.predictors.values[:, -1] = np.nan
    lacking.temp.values[:, -1] = np.nan
    found = contributions(model, lacking, ALL)
    assert set(zip(found.first_year, found.last_year, strict=True)) == {(1991, 1999), (2000, 2001)}
    assert np.isfinite(found.anomaly).all()


def test_years_that_repeat_are_predicted_once(model: Any, data: xr.Dataset) -> None:
    asked = []

    def counted(fold: int, scaled: np.ndarray) -> np.ndarray:
        asked.append(len(scaled))
        return scaled[None, :, 0]

    made = dataclasses.replace(model, nets={"counted": SimpleNamespace(members=counted)})
    repeated = data.isel(hydro_year=[0] * 9 + [9, 9, 9]).assign(hydro_year=("hydro_year", data.hydro_year.values))
    found = contributions(made, repeated, ALL)
    assert max(asked) == 2 * data.sizes["glacier"]
    terms = found[found.term != "total"].groupby("first_year").anomaly.sum()
    np.testing.assert_allclose(terms, found[found.term == "total"].anomaly, atol=1e-6)


def test_subregions_have_their_own_decades(model: Any, data: xr.Dataset) -> None:
    names = np.array(["west", "west", "east", "east", "", "west"])
    massifs = data.assign(subregion=("glacier", names))
    found = contributions(model, massifs, ALL)
    assert set(found.subregion) == {"", "east", "west"}
    east = contributions(model, data.isel(glacier=names == "east"), ALL)
    np.testing.assert_allclose(wide(found, "east"), wide(east), atol=1e-3)
    assert set(contributions(model, data.assign(subregion=("glacier", ["one"] * 6)), ALL).subregion) == {""}


def test_a_subregion_without_climate_in_the_reference_years_has_no_rows(model: Any, data: xr.Dataset) -> None:
    lacking = data.assign(subregion=("glacier", np.array(["west", "west", "east", "east", "west", "west"])))
    lacking = lacking.copy(deep=True)
    lacking.predictors.values[2:4, :3] = np.nan
    recipe = {**provenance.nested(data.attrs["recipe"]), "reference_years": [1991, 1993]}
    found = contributions(model, lacking.assign_attrs(recipe=recipe), ALL)
    assert set(found.subregion) == {"", "west"}
    assert np.isfinite(found.anomaly).all()


def test_anomalies_refer_to_the_reference_years_of_the_features(model: Any, data: xr.Dataset) -> None:
    recipe = {**provenance.nested(data.attrs["recipe"]), "reference_years": [1991, 1999]}
    found = wide(contributions(model, data.assign_attrs(recipe=recipe), ALL))
    assert (found.loc[(slice(None), 1991), "total"].abs() < 1e-6).all()


def test_a_region_without_climate_in_the_reference_years_is_refused(model: Any, data: xr.Dataset) -> None:
    lacking = data.copy(deep=True)
    lacking.predictors.values[:, :3] = np.nan
    recipe = {**provenance.nested(data.attrs["recipe"]), "reference_years": [1991, 1993]}
    with pytest.raises(ValueError, match=r"no glacier has climate in the reference years 1991\.\.1993; featurize with"):
        contributions(model, lacking.assign_attrs(recipe=recipe), ALL)


def test_what_two_do_together_is_halved_and_what_does_nothing_gets_nothing() -> None:
    on = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)], float)
    together = 6 * on[:, 0] * on[:, 1] + 2 * on[:, 0]
    np.testing.assert_allclose(shapley(together, 3), [5, 3, 0])
    np.testing.assert_allclose(shapley(on[:, 0] * on[:, 1] * on[:, 2], 3), [1 / 3] * 3)
