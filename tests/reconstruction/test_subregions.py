"""Balances of massifs: weights, members, and how much of their errors glaciers share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from glacierscale.reconstruction.subregions import _Sums, common_share


def held_out(error: np.ndarray) -> pd.DataFrame:
    """Errors (glacier, year) of one model with glaciers held out."""
    glacier, year = np.indices(error.shape)
    table = pd.DataFrame({"scheme": "logo", "model": "lasso", "hydro_year": 1990 + year.ravel(), "observed": 0.0})
    return table.assign(glacier_id=[f"g{n}" for n in glacier.ravel()], predicted=error.ravel())


def test_errors_that_all_glaciers_share_are_told_from_those_of_single_ones() -> None:
    rng = np.random.default_rng(0)
    of_year, of_glacier = rng.normal(size=(1, 400)), rng.normal(size=(12, 400))
    assert common_share(held_out(np.repeat(of_year, 12, axis=0))) == pytest.approx(1.0)
    assert common_share(held_out(of_glacier)) < 0.05
    assert common_share(held_out(np.sqrt(0.3) * of_year + np.sqrt(0.7) * of_glacier)) == pytest.approx(0.3, abs=0.06)


def test_years_with_one_glacier_tell_nothing_so_all_of_an_error_counts_as_shared() -> None:
    assert common_share(held_out(np.ones((1, 5)))) == 1.0


@pytest.mark.parametrize(("shared", "noise"), [(1.0, 40.0), (0.0, 40.0 / np.sqrt(2))])
def test_a_mean_is_weighted_by_area_and_keeps_what_errors_have_in_common(shared: float, noise: float) -> None:
    # Two glaciers of 1 and 1 km2 and noise of 40 kg m-2 each in one year; members agree but for +-10 kg m-2.
    area, each = 1e6, 40.0
    sums = _Sums(
        area=np.array([[2 * area]]),
        balance=np.array([[area * -500.0 + area * -300.0]]),
        member=np.array([[[2 * area * 10.0]], [[2 * area * -10.0]]]),
        noise=np.array([[2 * area * each]]),
        noise2=np.array([[2 * (area * each) ** 2]]),
    )
    table = sums.table(np.array(["Vanoise"]), np.array([2000]), shared)
    assert table.massif.tolist() == ["Vanoise"]
    assert table.smb.tolist() == [-400.0]
    assert table.area.tolist() == [2 * area]
    assert table["std"][0] == pytest.approx(np.hypot(np.sqrt(200.0), noise))


def test_a_cumulative_balance_adds_up_and_members_drift_apart() -> None:
    years = np.array([2000, 2001, 2002])
    ones = np.ones((1, 3))
    sums = _Sums(
        area=ones,
        balance=-100 * ones,
        member=np.stack([10 * ones, -10 * ones]),
        noise=np.zeros((1, 3)),
        noise2=np.zeros((1, 3)),
    )
    table = sums.together().table(np.array([""]), years, 1.0)
    assert table.cumulative.tolist() == [-100, -200, -300]
    np.testing.assert_allclose(table.cumulative_std, np.sqrt(200) * np.array([1, 2, 3]))
    np.testing.assert_allclose(table["std"], np.sqrt(200))
