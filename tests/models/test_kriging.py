"""The Gaussian process: near-by rows correct the trend, far ones leave it, groups out of the bag stay unknown."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from glacierscale.models import kriging

PLACE, YEARLY = (0, 1), (3,)


def world(rows: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A line along the third predictor and hills over the first two."""
    rng = np.random.default_rng(seed)
    scaled = rng.normal(size=(rows, 4))
    hills = 200 * np.sin(3 * scaled[:, 0]) * np.cos(3 * scaled[:, 1])
    return scaled, 300 * scaled[:, 2] + hills + rng.normal(0, 20, rows) - 400


def fitted(
    scaled: np.ndarray, target: np.ndarray, members: int = 8, support: int = 200
) -> tuple[kriging.Kriging, np.ndarray]:
    parts, out_of_bag = kriging.fit(
        scaled, target, np.ones(len(target)), np.arange(len(target)) // 2, PLACE, YEARLY,
        support=support, members=members, rng=np.random.default_rng(1),
    )  # fmt: skip
    return kriging.Kriging(**{k: v[None] for k, v in parts.items()}, place=PLACE, yearly=YEARLY), out_of_bag


def test_rows_that_were_not_seen_are_predicted_better_than_by_the_line() -> None:
    scaled, target = world(500)
    net, _ = fitted(scaled[:400], target[:400])
    error = net.members(0, scaled[400:]).mean(axis=0) - target[400:]
    line = np.linalg.lstsq(np.column_stack([scaled[:400], np.ones(400)]), target[:400], rcond=None)[0]
    left = np.column_stack([scaled[400:], np.ones(100)]) @ line - target[400:]
    assert np.sqrt((error**2).mean()) < 0.6 * np.sqrt((left**2).mean())


def test_the_mean_over_members_does_not_depend_on_their_number() -> None:
    scaled, target = world()
    one, _ = fitted(scaled, target, members=1)
    many, _ = fitted(scaled, target, members=8)
    np.testing.assert_allclose(many.members(0, scaled).mean(axis=0), one.members(0, scaled)[0], rtol=1e-5, atol=0.01)
    assert many.members(0, scaled).std(axis=0).min() > 0


def test_members_differ_more_where_no_row_was_seen() -> None:
    scaled, target = world()
    net, _ = fitted(scaled, target)
    far = scaled[:50].copy()
    far[:, :2] += 8
    assert net.members(0, far).std(axis=0).mean() > 1.5 * net.members(0, scaled[:50]).std(axis=0).mean()


def test_out_of_bag_predictions_are_those_of_a_fit_without_the_group() -> None:
    _, target = world(60)
    rng = np.random.default_rng(2)
    basis, variance, group = rng.normal(size=(10, 60)), rng.uniform(0.5, 2, 60), np.arange(60) // 3

    def smoothed(rows: np.ndarray) -> np.ndarray:
        matrix = np.eye(10) + (basis[:, rows] / variance[rows]) @ basis[:, rows].T
        return basis.T @ np.linalg.solve(matrix, (basis[:, rows] / variance[rows]) @ target[rows])

    factor = np.linalg.cholesky(np.eye(10) + (basis / variance) @ basis.T)
    half = np.linalg.solve(factor, basis)
    left = kriging._without_group(half, target - smoothed(np.arange(60)), variance, group)
    for number in (0, 7, 19):
        own = group == number
        np.testing.assert_allclose(left[own], (target - smoothed(np.flatnonzero(~own)))[own], rtol=1e-8)


def test_without_places_the_surface_over_the_predictors_is_all() -> None:
    kernel = torch.tensor(kriging.START, dtype=torch.float64)
    rows = torch.from_numpy(world(20)[0])
    bare = kriging.covariance(kernel, rows, rows, (), ())
    whole = kriging.covariance(kernel, rows, rows, PLACE, YEARLY)
    np.testing.assert_allclose(torch.diagonal(whole - bare), kernel[3] + kernel[6] + kernel[7], rtol=1e-4)
    assert torch.linalg.eigvalsh(whole).min() > -1e-9


def test_variance_is_the_covariance_of_a_row_with_itself() -> None:
    kernel = torch.tensor(kriging.START, dtype=torch.float64)
    rows = torch.from_numpy(world(20)[0])
    for place in ((), PLACE):
        own = torch.diagonal(kriging.covariance(kernel, rows, rows, place, YEARLY))
        np.testing.assert_allclose(kriging._variance(kernel, rows, place), own, rtol=1e-4)


def test_no_rows_give_no_predictions() -> None:
    scaled, target = world(60)
    net, out = fitted(scaled, target, members=3, support=30)
    assert net.members(0, np.zeros((0, 4))).shape == (3, 0)
    assert out.shape == (60,)
    assert np.sqrt(((out - target) ** 2).mean()) == pytest.approx(200, abs=150)
