"""Scores: hand-computed values, integrals, and the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from glacierscale import metrics

NAN = np.full(4, np.nan)


def test_metrics_of_four_rows_by_hand() -> None:
    observed, predicted = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 2.0, 2.0, 6.0])
    found = metrics.from_sums(metrics.row_sums(observed, predicted, NAN).sum(axis=0))
    assert found["rmse"] == pytest.approx(np.sqrt(6 / 4))
    assert found["mae"] == pytest.approx(1.0)
    assert found["bias"] == pytest.approx(0.5)
    assert found["R2"] == pytest.approx(1 - 6 / 5)
    assert found["r2"] == pytest.approx(np.corrcoef(observed, predicted)[0, 1] ** 2)
    assert np.isnan(found["crps"])


def test_a_perfect_prediction_scores_perfectly_and_a_constant_one_has_no_correlation() -> None:
    observed = np.array([1.0, 2.0, 3.0, 4.0])
    perfect = metrics.from_sums(metrics.row_sums(observed, observed, NAN).sum(axis=0))
    assert (perfect["rmse"], perfect["R2"], perfect["r2"]) == (0, 1, 1)
    constant = metrics.from_sums(metrics.row_sums(observed, np.full(4, 2.5), NAN).sum(axis=0))
    assert constant["R2"] == pytest.approx(0)
    assert np.isnan(constant["r2"])


def test_scores_do_not_suffer_from_a_large_mean_balance() -> None:
    rng = np.random.default_rng(0)
    observed = rng.normal(-2000, 300, 50)
    predicted = observed + rng.normal(0, 100, 50)
    found = metrics.from_sums(metrics.row_sums(observed, predicted, np.full(50, np.nan)).sum(axis=0))
    assert found["R2"] == pytest.approx(
        1 - ((predicted - observed) ** 2).sum() / ((observed - observed.mean()) ** 2).sum()
    )


@settings(max_examples=30, deadline=None)
@given(st.floats(-3, 3), st.floats(-2, 2), st.floats(0.2, 3))
def test_crps_is_the_integral_of_the_squared_distance_of_distributions(
    observed: float, mean: float, std: float
) -> None:
    left = integrate.quad(lambda t: stats.norm.cdf(t, mean, std) ** 2, mean - 12 * std - 6, observed)[0]
    right = integrate.quad(lambda t: stats.norm.sf(t, mean, std) ** 2, observed, mean + 12 * std + 6)[0]
    found = metrics.crps_normal(np.array([observed]), np.array([mean]), np.array([std]))[0]
    assert found == pytest.approx(left + right, rel=1e-4, abs=1e-6)


def test_half_and_nine_tenths_of_calibrated_predictions_fall_into_their_intervals() -> None:
    rng = np.random.default_rng(1)
    observed = rng.normal(0, 2, 20000)
    found = metrics.from_sums(metrics.row_sums(observed, np.zeros(20000), np.full(20000, 2.0)).sum(axis=0))
    assert found["coverage50"] == pytest.approx(0.5, abs=0.015)
    assert found["coverage90"] == pytest.approx(0.9, abs=0.01)
    overconfident = metrics.from_sums(metrics.row_sums(observed, np.zeros(20000), np.full(20000, 1.0)).sum(axis=0))
    assert overconfident["coverage90"] == pytest.approx(2 * stats.norm.cdf(1.6448536 / 2) - 1, abs=0.015)


def test_the_interval_of_the_bootstrap_covers_the_true_error_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        shared = rng.normal(0, 1, 40).repeat(5)  # rows of a block err together
        error = shared + rng.normal(0, 0.3, 200)
        sums = metrics.row_sums(np.zeros(200), error, np.full(200, np.nan))
        drawn = metrics.from_sums(metrics.resampled(sums, np.arange(40).repeat(5), 400, rng))["rmse"]
        low, high = np.percentile(drawn, metrics.INTERVAL)
        covered += low <= np.hypot(1, 0.3) <= high
    assert 0.85 < covered / 200 <= 0.99


def test_rows_of_a_block_are_drawn_together() -> None:
    sums = metrics.row_sums(np.zeros(6), np.array([1.0, 1, 1, 5, 5, 5]), np.full(6, np.nan))
    drawn = metrics.from_sums(metrics.resampled(sums, np.array([7, 7, 7, 3, 3, 3]), 300, np.random.default_rng(0)))
    assert set(np.round(drawn["bias"], 9)) == {1.0, 3.0, 5.0}


def test_models_are_drawn_alike_so_that_their_difference_is_paired() -> None:
    rng = np.random.default_rng(3)
    observed = rng.normal(0, 5, 60)
    error = rng.normal(0, 3, 60)
    sums = np.stack([metrics.row_sums(observed, observed + k * error, np.full(60, np.nan)) for k in (1.0, 1.1)])
    rmse = metrics.from_sums(metrics.resampled(sums, np.arange(60), 500, rng))["rmse"]
    np.testing.assert_allclose(rmse[1] / rmse[0], 1.1)  # far tighter than either interval
    assert np.std(rmse[0]) > 0.05


def test_with_one_block_every_resample_is_the_whole() -> None:
    sums = metrics.row_sums(np.zeros(4), np.array([1.0, 2, 3, 4]), NAN)
    drawn = metrics.from_sums(metrics.resampled(sums, np.zeros(4, int), 10, np.random.default_rng(0)))
    np.testing.assert_allclose(drawn["bias"], 2.5)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_the_lasting_share_of_errors_is_found(share: float) -> None:
    rng = np.random.default_rng(2)
    group = np.repeat(np.arange(300), rng.integers(2, 30, 300))
    error = np.sqrt(share) * rng.normal(size=300)[group] + np.sqrt(1 - share) * rng.normal(size=len(group)) + 5
    assert metrics.lasting_share(error, group.astype(str)) == pytest.approx(share, abs=0.06)


def test_errors_of_few_groups_or_single_rows_tell_nothing_of_what_lasts() -> None:
    error = np.arange(6.0)
    assert metrics.lasting_share(error, np.arange(6)) == 0
    assert metrics.lasting_share(error, np.arange(6) % 2) == 0
    assert metrics.lasting_share(np.zeros(6), np.arange(6) % 3) == 0
    assert metrics.lasting_share(np.zeros(0), np.zeros(0)) == 0
