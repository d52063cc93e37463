"""Standardisation, fitted on the training rows of each fold alone."""

from __future__ import annotations

import numpy as np
import pytest

from glacierscale.models import scaling


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    predictors = rng.normal([0, 1e6, -3], [1, 300, 1e-2], (40, 3))
    training = rng.uniform(size=(3, 40)) < 0.6
    return predictors, training


def test_training_rows_have_mean_zero_and_deviation_one() -> None:
    predictors, training = data()
    scaler = scaling.fit(predictors, training, np.zeros(3, bool))
    for fold in range(3):
        scaled = scaler.transform(fold, predictors[training[fold]])
        np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-3)
        assert scaled.dtype == np.float32


def test_changing_rows_outside_the_training_changes_nothing() -> None:
    predictors, training = data()
    bounded = np.array([True, False, False])
    before = scaling.fit(predictors, training, bounded)
    for fold in range(3):
        planted = np.where(training[fold][:, None], predictors, predictors[::-1] * 1.5 + 7)
        after = scaling.fit(planted, training, bounded)
        np.testing.assert_allclose(after.mean[fold], before.mean[fold], rtol=1e-9)
        np.testing.assert_allclose(after.std[fold], before.std[fold], rtol=1e-6)
        np.testing.assert_array_equal(after.low[fold], before.low[fold])
        np.testing.assert_array_equal(after.high[fold], before.high[fold])


def test_bounded_predictors_do_not_leave_the_range_of_the_training_rows() -> None:
    predictors, training = data()
    scaler = scaling.fit(predictors, training, np.array([True, False, True]))
    far = np.array([[1e3, 2e6, 1e3], [-1e3, 0, -1e3]])
    scaled = scaler.transform(0, far)
    own = scaler.transform(0, predictors[training[0]])
    np.testing.assert_array_equal(scaled[:, 0], [own[:, 0].max(), own[:, 0].min()])
    np.testing.assert_array_equal(scaled[:, 2], [own[:, 2].max(), own[:, 2].min()])
    assert abs(scaled[0, 1]) > 100  # climate may go where it was not before


@pytest.mark.parametrize("value", [0.0, 5.0, -1e7, 47.123456])
def test_a_predictor_that_does_not_vary_becomes_zero_everywhere(value: float) -> None:
    predictors, training = data()
    predictors[:, 1] = value
    scaler = scaling.fit(predictors, training, np.zeros(3, bool))
    np.testing.assert_array_equal(scaler.transform(1, predictors + np.array([0, 1000, 0]))[:, 1], 0)
