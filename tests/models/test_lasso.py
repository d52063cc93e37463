"""The Lasso with interactions and the one-standard-error rule."""

from __future__ import annotations

import numpy as np
import pytest

from glacierscale.models import lasso
from glacierscale.models.rows import TOPOGRAPHY


def test_the_largest_penalty_within_one_standard_error_is_taken_by_hand() -> None:
    penalties = np.array([8.0, 4.0, 2.0, 1.0])
    errors = np.array([[9.0, 11.0], [5.0, 5.4], [4.0, 6.0], [6.0, 6.0]])  # least mean 5.0, standard error 1.0
    assert lasso.one_standard_error(penalties, errors) == 4.0
    errors[1] = [6.1, 6.1]
    assert lasso.one_standard_error(penalties, errors) == 2.0
    errors[0] = [5.9, 6.0]
    assert lasso.one_standard_error(penalties, errors) == 8.0


def test_topography_interacts_with_seasonal_climate_and_nothing_else() -> None:
    names = ["cpdd_anomaly", "temp_oct_anomaly", "slope20", "area", "winter_snow_anomaly"]
    pairs = {(names[a], names[b]) for a, b in lasso.interactions(names)}
    assert pairs == {
        (place, season) for place in ("slope20", "area") for season in ("cpdd_anomaly", "winter_snow_anomaly")
    }
    assert len(lasso.interactions([*TOPOGRAPHY, *lasso.INTERACTING_CLIMATE])) == 3 * len(TOPOGRAPHY)


def test_columns_are_predictors_then_products() -> None:
    scaled = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    np.testing.assert_array_equal(lasso.columns(scaled, [(0, 2), (1, 2)]), [[1, 2, 3, 3, 6], [4, 5, 6, 24, 30]])
    assert lasso.columns(scaled, ()) is scaled


def fitted(members: int = 4, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    scaled = rng.normal(size=(120, 6))
    target = 300 * scaled[:, 0] - 200 * scaled[:, 1] * scaled[:, 2] + 40 + rng.normal(0, 30, 120)
    year = np.repeat(np.arange(24), 5)
    coefficient, intercept, out_of_bag = lasso.fit(
        scaled, target, np.ones(120), year, [(1, 2), (3, 4)], members=members, rng=np.random.default_rng(seed)
    )
    return scaled, target, year, coefficient, intercept, out_of_bag


def test_a_sparse_truth_with_an_interaction_is_found() -> None:
    _, _, _, coefficient, intercept, _ = fitted()
    mean = coefficient.mean(axis=0)
    np.testing.assert_allclose(mean[[0, 6]], [300, -200], atol=40)
    assert np.abs(np.delete(mean, [0, 6])).max() < 15
    np.testing.assert_allclose(intercept.mean(), 40, atol=25)


def test_members_differ_and_predict_what_they_were_fitted_as() -> None:
    scaled, _, _, coefficient, intercept, out_of_bag = fitted()
    net = lasso.Lasso(coefficient=coefficient[None], intercept=intercept[None], pairs=((1, 2), (3, 4)))
    members = net.members(0, scaled)
    left = np.isfinite(out_of_bag)
    np.testing.assert_allclose(members[left], out_of_bag[left])
    assert members.std(axis=0).min() > 0


def test_out_of_bag_rows_are_whole_groups_that_a_member_did_not_draw() -> None:
    _, target, year, _, _, out_of_bag = fitted(members=8)
    left = np.isfinite(out_of_bag)
    for member in left:
        told = [set(member[year == y]) for y in np.unique(year)]
        assert all(len(values) == 1 for values in told)
        assert 0.1 < member.mean() < 0.65
    error = np.where(left, out_of_bag - target, np.nan)
    assert np.nanstd(error) == pytest.approx(35, abs=20)  # the noise, hardly more


def test_the_same_seed_gives_the_same_members() -> None:
    np.testing.assert_array_equal(fitted()[3], fitted()[3])


def test_rows_of_more_weight_count_more() -> None:
    rng = np.random.default_rng(1)
    scaled, year = rng.normal(size=(60, 2)), np.repeat(np.arange(12), 5)
    odd = np.arange(60) % 2 == 1
    target = np.where(odd, 100, -100) * scaled[:, 0]
    weight = np.where(odd, 1.9, 0.1)
    coefficient, _, _ = lasso.fit(scaled, target, weight, year, (), members=3, rng=rng)
    assert coefficient[:, 0].mean() > 50
