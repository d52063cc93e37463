"""Responses over the observed range: straight for a linear net, bent for one that is not."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glacierscale.evaluation import causes, responses
from tests.evaluation import linear

UNITS = {"cpdd_anomaly": "K day", "slope20": "degree"}


def bent(fold: int, scaled: np.ndarray) -> np.ndarray:
    """A correction that is a parabola of the degree days."""
    return 50.0 * scaled[None, :, 0] ** 2


@pytest.fixture(scope="module")
def rows() -> Any:
    return linear.rows()


@pytest.fixture(scope="module")
def made(rows: Any) -> Any:
    found = linear.model(rows)
    return dataclasses.replace(found, nets={**found.nets, "bent": SimpleNamespace(members=bent)})


@pytest.fixture(scope="module")
def table(made: Any, rows: Any) -> pd.DataFrame:
    return responses.partial_effects(made, rows, UNITS)


def test_the_slope_of_the_linear_model_is_its_effect(table: pd.DataFrame, made: Any, rows: Any) -> None:
    effects = causes.effects(made, rows, 0)
    effects = effects[effects.model == "lasso"].drop_duplicates("predictor").set_index("predictor").effect
    mine = table[table.model == "lasso"]
    assert set(mine.variable) == {"temperature", "winter snow", "summer snow", "slope20", "area"}
    for variable, curve in mine.groupby("variable"):
        column = made.predictors.index(curve.predictor.iloc[0])
        slope = np.diff(curve.effect) / np.diff(curve.value) * made.scaler.std[0, column]
        np.testing.assert_allclose(slope, effects[variable], rtol=1e-3, atol=0.05)
        at_mean = np.interp(made.scaler.mean[0, column], curve.value, curve.effect)
        assert at_mean == pytest.approx(0, abs=0.05 * abs(effects[variable]) + 0.1)


def test_a_net_that_bends_is_seen_to_bend(table: pd.DataFrame) -> None:
    curves = table[table.variable == "temperature"].set_index("model").effect
    assert np.abs(np.diff(curves["lasso"], 2)).max() < 0.1
    assert np.diff(curves["bent"], 2).min() > 0.5


def test_values_run_over_the_observed_range_and_say_how_many_rows_lie_below(table: pd.DataFrame, rows: Any) -> None:
    for name, curve in table[table.model == "lasso"].groupby("predictor"):
        observed = rows.design.predictors[:, linear.PREDICTORS.index(str(name))]
        assert (curve.value.min(), curve.value.max()) == pytest.approx((observed.min(), observed.max()))
        np.testing.assert_allclose(curve.share_below, [(observed <= v + 1e-3).mean() for v in curve.value], atol=0.01)
    assert set(table[table.predictor == "cpdd_anomaly"].unit) == {"K day"}
    assert set(table[table.predictor == "area"].unit) == {""}
    assert (table.low <= table.effect + 1e-9).all()
    assert (table.effect <= table.high + 1e-9).all()


def test_the_order_of_rows_changes_nothing(table: pd.DataFrame, made: Any, rows: Any) -> None:
    order = np.random.default_rng(3).permutation(len(rows))
    names = ("unit_id", "hydro_year", "observed", "sigma")
    mixed = dataclasses.replace(rows, design=rows.design.take(order), **{n: getattr(rows, n)[order] for n in names})
    pd.testing.assert_frame_equal(responses.partial_effects(made, mixed, UNITS), table)


def test_what_does_not_vary_has_no_response(made: Any, rows: Any) -> None:
    predictors = rows.design.predictors.copy()
    predictors[:, 5] = predictors[0, 5]
    flat = dataclasses.replace(rows, design=dataclasses.replace(rows.design, predictors=predictors))
    assert "area" not in set(responses.partial_effects(made, flat, UNITS).variable)


@pytest.mark.parametrize("instead", ["summer_temp_anomaly", "temp_jul_anomaly"])
def test_temperature_has_a_curve_in_models_that_know_it_by_other_predictors(rows: Any, instead: str) -> None:
    """Those of the driver move together and take the base along: the curve has the slope of melt, not of one column."""
    names = ("summer_temp_anomaly", "winter_snow_anomaly", "summer_snow_anomaly", "temp_jul_anomaly", "slope20", "area")
    predictors = rows.design.predictors.copy()
    predictors[:, 0] /= 60.0  # of degree days, K
    if instead == "temp_jul_anomaly":
        names = ("albedo", *names[1:])
        predictors[:, 0] = np.random.default_rng(1).normal(0, 1, len(predictors))
    of_temperature = dataclasses.replace(rows, design=dataclasses.replace(rows.design, predictors=predictors))
    model = linear.model(of_temperature, predictors=names)
    table = responses.partial_effects(model, of_temperature, {"temp_jul_anomaly": "K"})
    curve = table[table.variable == "temperature"]
    assert set(curve.predictor) == {instead}
    assert set(curve.unit) == {"K"}
    per_k = np.diff(curve.effect) / np.diff(curve.value)
    expected = linear.MELT * 60.0 if instead == "summer_temp_anomaly" else linear.MELT * _slope_of_july(rows)
    np.testing.assert_allclose(per_k, expected, rtol=0.05)
    assert "temperature" in set(causes.effects(model, of_temperature, 0).predictor)


def _slope_of_july(rows: Any) -> float:
    """Degree days that come with a kelvin of July within glaciers, by hand."""
    cpdd, july = (
        pd.Series(rows.design.predictors[:, at].astype(float)).groupby(rows.unit_id).transform(lambda v: v - v.mean())
        for at in (0, 3)
    )
    return float((cpdd * july).sum() / (july**2).sum())
