"""Naive references by hand."""

from __future__ import annotations

import numpy as np
import pytest

from glacierscale.folds import Fold, FoldPlan
from glacierscale.models import nulls, physics
from glacierscale.models.rows import Design, Rows


def rows() -> Rows:
    unit = np.repeat(["A", "B", "C"], 4)
    year = np.tile([1990, 1991, 1992, 1993], 3)
    rng = np.random.default_rng(0)
    terms = np.column_stack([rng.uniform(100, 600, 12), rng.uniform(500, 2000, 12)])
    observed = 50 - 3.0 * terms[:, 0] + 0.8 * terms[:, 1]
    bias = np.ones(len(physics.BIASES_K))
    design = Design(
        predictors=np.zeros((12, 1)),
        snow=terms[:, 1:] * bias - 30 * physics.BIASES_K,
        degree_days=terms[:, :1] * np.exp(physics.BIASES_K / 4),
    )
    sigma = np.where(unit == "C", 200.0, 100.0)
    zero = np.zeros(12)
    return Rows(
        unit_id=unit,
        hydro_year=year,
        observed=observed,
        sigma=sigma,
        lon=zero,
        lat=zero,
        ols_terms=terms,
        design=design,
    )


def plan(test: list[int], *, hide_year: bool) -> FoldPlan:
    every, held = np.arange(12), np.array(test)
    kept = ~np.isin(every, held)
    if hide_year:
        kept &= ~np.isin(rows().hydro_year, rows().hydro_year[held])
    return FoldPlan(folds=(Fold(scheme="logo", name="x", train=every[kept], test=held),))


def test_the_training_mean_weighs_rows_by_their_error() -> None:
    r = rows()
    found = nulls.predict(r, plan([0, 1, 2, 3], hide_year=False), "logo")["training_mean"]
    expected = (4 * r.observed[4:8].sum() + r.observed[8:].sum()) / 20
    np.testing.assert_allclose(found, expected)


def test_the_same_year_mean_is_that_of_the_other_glaciers() -> None:
    r = rows()
    found = nulls.predict(r, plan([0, 1, 2, 3], hide_year=False), "logo")["same_year_mean"]
    np.testing.assert_allclose(found, (r.observed[4:8] + r.observed[8:]) / 2)


def test_where_the_year_is_hidden_the_same_year_mean_falls_back_to_the_training_mean() -> None:
    found = nulls.predict(rows(), plan([0, 1], hide_year=True), "logo")
    np.testing.assert_array_equal(found["same_year_mean"], found["training_mean"])


def test_least_squares_recovers_a_linear_balance() -> None:
    r = rows()
    found = nulls.predict(r, plan([0, 5, 9], hide_year=False), "logo")["ols"]
    np.testing.assert_allclose(found, r.observed[[0, 5, 9]], rtol=1e-9)


def test_the_temperature_index_is_fitted_in_the_fold() -> None:
    r = rows()
    p = plan([0, 1, 2, 3], hide_year=False)
    found = nulls.predict(r, p, "logo")["temperature_index"]
    weight = np.where(np.isin(np.arange(12), p.folds[0].train), 1 / r.sigma**2, 0)[None]
    fitted = physics.fit(r.design.snow, r.design.degree_days, r.observed, weight)
    np.testing.assert_allclose(found, fitted.predict(0, r.design.snow[:4], r.design.degree_days[:4]))


@pytest.mark.parametrize("null", nulls.NULLS)
def test_no_reference_sees_the_rows_it_predicts(null: str) -> None:
    r, p = rows(), plan([0, 1, 2, 3], hide_year=False)
    before = nulls.predict(r, p, "logo")[null]
    r.observed[:4] = 1e6
    np.testing.assert_array_equal(nulls.predict(r, p, "logo")[null], before)
