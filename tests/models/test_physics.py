"""The temperature-index model: closed-form fits, checked against a general solver."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from glacierscale.models import physics
from glacierscale.models.physics import BIASES_K


def terms(seed: int, rows: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    snow = rng.uniform(500, 2500, (rows, 1)) - 60 * BIASES_K + rng.normal(0, 10, (rows, len(BIASES_K)))
    degree_days = rng.uniform(200, 700, (rows, 1)) * np.exp(BIASES_K / 3)
    return snow, degree_days


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["plausible", "all snow", "all melt", "noise"]))
def test_the_fit_equals_non_negative_least_squares_at_the_best_bias(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    snow, degree_days = terms(seed)
    p, d = {"plausible": (1.5, 4), "all snow": (1.0, -2), "all melt": (-0.5, 6), "noise": (0, 0)}[kind]
    observed = p * snow[:, 12] - d * degree_days[:, 12] + rng.normal(0, 200, 30)
    weight = rng.uniform(0.2, 2, (3, 30)) * (rng.uniform(size=(3, 30)) < 0.7)
    fitted = physics.fit(snow, degree_days, observed, weight)
    for fold in range(3):
        root = np.sqrt(weight[fold])
        told = [
            optimize.nnls(root[:, None] * np.column_stack([snow[:, b], -degree_days[:, b]]), root * observed)
            for b in range(len(BIASES_K))
        ]
        best = min(error for _, error in told)
        found = np.sqrt((weight[fold] * (fitted.predict(fold, snow, degree_days) - observed) ** 2).sum())
        assert found == pytest.approx(best, rel=1e-6)
        expected = told[fitted.bias[fold]][0]
        assert (fitted.precip_factor[fold], fitted.degree_day_factor[fold]) == pytest.approx(tuple(expected), abs=1e-6)


@pytest.mark.parametrize("bias", [0, 7, 12, 24])
def test_known_parameters_are_recovered(bias: int) -> None:
    snow, degree_days = terms(1)
    observed = 1.4 * snow[:, bias] - 5.5 * degree_days[:, bias]
    fitted = physics.fit(snow, degree_days, observed, np.ones((1, 30)))
    assert fitted.bias[0] == bias
    assert fitted.precip_factor[0] == pytest.approx(1.4, rel=1e-6)
    assert fitted.degree_day_factor[0] == pytest.approx(5.5, rel=1e-6)
    np.testing.assert_allclose(fitted.predict(0, snow, degree_days), observed, atol=1e-3)


def test_rows_of_no_weight_do_not_matter() -> None:
    snow, degree_days = terms(2)
    observed = 1.2 * snow[:, 10] - 6 * degree_days[:, 10]
    weight = np.ones((1, 30))
    weight[0, 20:] = 0
    absurd = np.where(weight[0] > 0, observed, 1e9)
    assert (
        physics.fit(snow, degree_days, absurd, weight).precip_factor
        == physics.fit(snow, degree_days, np.where(weight[0] > 0, observed, 0), weight).precip_factor
    )


def test_without_any_weight_the_base_is_switched_off() -> None:
    snow, degree_days = terms(3)
    fitted = physics.fit(snow, degree_days, np.ones(30), np.zeros((2, 30)))
    np.testing.assert_array_equal(fitted.predict(1, snow, degree_days), 0)


def test_a_warmer_year_melts_more_and_a_snowier_one_gains_more() -> None:
    fitted = physics.TemperatureIndex(
        precip_factor=np.array([1.5]), degree_day_factor=np.array([4.0]), bias=np.array([12])
    )
    snow, degree_days = terms(4)
    now = fitted.predict(0, snow, degree_days)
    assert (fitted.predict(0, snow, degree_days + 10) < now).all()
    np.testing.assert_allclose(fitted.predict(0, snow + 100, degree_days) - now, 150)
