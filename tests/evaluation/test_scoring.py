"""Scores of held-out predictions: what they are, their intervals, and the references beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from glacierscale import metrics
from glacierscale.evaluation.options import EvaluateOptions
from glacierscale.evaluation.scoring import _blocks, score
from glacierscale.models import nulls

OPTIONS = EvaluateOptions(draws=300)


@pytest.fixture(scope="module")
def scores(predictions: pd.DataFrame) -> pd.DataFrame:
    return score(predictions, OPTIONS)[0].set_index(["scheme", "model", "metric"])


def test_scores_are_those_of_the_predictions(predictions: pd.DataFrame, scores: pd.DataFrame) -> None:
    for (scheme, name), table in predictions.groupby(["scheme", "model"]):
        error = table.predicted - table.observed
        assert scores.loc[(scheme, name, "rmse"), "value"] == pytest.approx(np.sqrt((error**2).mean()))
        assert scores.loc[(scheme, name, "bias"), "value"] == pytest.approx(error.mean())
        r2 = 1 - (error**2).sum() / ((table.observed - table.observed.mean()) ** 2).sum()
        assert scores.loc[(scheme, name, "R2"), "value"] == pytest.approx(r2)
        if name in ("lasso", "mlp"):
            crps = metrics.crps_normal(*(table[c].to_numpy() for c in ("observed", "predicted", "std"))).mean()
            assert scores.loc[(scheme, name, "crps"), "value"] == pytest.approx(crps)
    assert (scores.n == 60).all()


def test_intervals_lie_around_their_values(scores: pd.DataFrame) -> None:
    plain = scores[scores.index.isin(["rmse", "mae", "bias"], level="metric")]
    assert (plain.low <= plain.value + 1e-9).all()
    assert (plain.value <= plain.high + 1e-9).all()
    assert (plain.low < plain.high).any()


def test_the_difference_to_a_reference_is_paired(scores: pd.DataFrame) -> None:
    for null in nulls.NULLS:
        told = scores.loc[("logo", "lasso", f"rmse_difference_to_{null}")]
        expected = scores.loc[("logo", "lasso", "rmse"), "value"] - scores.loc[("logo", null, "rmse"), "value"]
        assert told.value == pytest.approx(expected)
    worse = scores.loc[("logo", "lasso", "rmse_difference_to_training_mean")]
    assert worse.high < 0  # learning beats the mean beyond doubt


def test_who_is_told_the_year_is_scored_so_in_every_scheme(predictions: pd.DataFrame, scores: pd.DataFrame) -> None:
    table = predictions[(predictions.scheme == "logo") & (predictions.model == "lasso")]
    wide = table.pivot(index="hydro_year", columns="glacier_id", values="observed")
    others = (wide.sum(axis=1).to_numpy()[:, None] - wide) / (wide.shape[1] - 1)
    expected = np.sqrt(((others - wide) ** 2).to_numpy().mean())
    for scheme in ("logo", "lsygo"):
        assert scores.loc[(scheme, "same_year_mean", "rmse_told_the_year"), "value"] == pytest.approx(expected)


def test_groups_are_scored_by_fold_and_by_glacier(predictions: pd.DataFrame) -> None:
    groups = score(predictions, OPTIONS)[1].set_index(["scheme", "model", "by", "group", "metric"])
    table = predictions[(predictions.scheme == "lsygo") & (predictions.model == "mlp")]
    for glacier, own in table.groupby("glacier_id"):
        found = groups.loc[("lsygo", "mlp", "glacier_id", glacier, "mae")]
        assert found.value == pytest.approx((own.predicted - own.observed).abs().mean())
        assert found.n == len(own)


def test_many_held_out_glaciers_are_resampled_and_few_are_not() -> None:
    table = pd.DataFrame(
        {"glacier_id": np.repeat([f"G{n}" for n in range(9)], 4), "hydro_year": np.tile([1990, 1991, 1995, 1999], 9)}
    )
    assert len(np.unique(_blocks("logo", table, 5))) == 9
    np.testing.assert_array_equal(_blocks("loyo", table, 5)[:4], [0, 0, 1, 1])
    np.testing.assert_array_equal(_blocks("logo", table[:16], 5)[:4], [0, 0, 1, 1])
