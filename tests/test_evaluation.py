"""Evaluate: held-out scores with intervals, references beside them, and no leak."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glacierscale import folds, metrics, provenance
from glacierscale.evaluation import EvaluateOptions, _blocks, coefficients, evaluate, held_out_predictions, score
from glacierscale.models import nulls

OPTIONS = EvaluateOptions(draws=300)

FEW = EvaluateOptions(draws=100)


@pytest.fixture(scope="module")
def predictions(model: Any, rows: Any) -> pd.DataFrame:
    return held_out_predictions(model, rows)


@pytest.fixture(scope="module")
def scores(predictions: pd.DataFrame) -> pd.DataFrame:
    return score(predictions, OPTIONS)[0].set_index(["scheme", "model", "metric"])


def test_every_row_is_predicted_once_per_scheme_by_every_net_and_reference(
    predictions: pd.DataFrame, rows: Any
) -> None:
    counts = predictions.groupby(["scheme", "model"]).size()
    assert set(counts.index.get_level_values("model")) == {"lasso", "mlp", *nulls.NULLS}
    assert set(counts.index.get_level_values("scheme")) == {"logo", "lsygo"}
    assert set(counts) == {len(rows)}
    assert not predictions.duplicated(["scheme", "model", "glacier_id", "hydro_year"]).any()
    logo = predictions[predictions.scheme == "logo"]
    assert (logo.fold == logo.glacier_id).all()


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


def test_coefficients_name_predictors_and_interactions_of_every_fold(model: Any) -> None:
    table = coefficients(model)
    assert table is not None
    width = len(model.predictors) + len(model.nets["lasso"].pairs)
    assert len(table) == width * len(model.plan.folds)
    assert "slope20 x cpdd_anomaly" in set(table.predictor)
    np.testing.assert_allclose(table.effect[:width], model.nets["lasso"].coefficient[0].mean(axis=0))
    assert coefficients(dataclasses.replace(model, nets={"mlp": model.nets["mlp"]})) is None


def test_tables_are_written_once_with_their_stamp(model: Any, features: Any, tmp_path: Path) -> None:
    first = evaluate(model, features, to=tmp_path, options=OPTIONS)
    names = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert set(names) == {"predictions.parquet", "scores.parquet", "scores_by_group.parquet", "coefficients.parquet"}
    pd.testing.assert_frame_equal(evaluate(model, features, to=tmp_path, options=OPTIONS), first)
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == names
    with pytest.raises(provenance.StampMismatch, match=r"options.draws: there 300, now 400"):
        evaluate(model, features, to=tmp_path, options=EvaluateOptions(draws=400))


def test_features_of_another_model_are_refused(model: Any, features: Any, tmp_path: Path) -> None:
    other = dataclasses.replace(model, unit_id=model.unit_id[1:], hydro_year=model.hydro_year[1:])
    with pytest.raises(ValueError, match="hold 60 observed rows, the model was trained on 59 others"):
        evaluate(other, features, to=tmp_path / "scores")
    assert not (tmp_path / "scores").exists()


def test_a_model_that_trained_on_what_it_claims_to_hold_out_is_refused(
    model: Any, features: Any, tmp_path: Path
) -> None:
    first, leaky, *rest = model.plan.folds
    leaky = dataclasses.replace(leaky, train=np.append(leaky.train, leaky.test[:1]))
    planted = dataclasses.replace(model, plan=folds.FoldPlan(folds=(first, leaky, *rest)))
    with pytest.raises(folds.LeakError, match="are in training and test"):
        evaluate(planted, features, to=tmp_path)


def test_a_scaler_that_saw_test_rows_is_refused(model: Any, features: Any, tmp_path: Path) -> None:
    leaking = dataclasses.replace(model.scaler, mean=np.repeat(model.scaler.mean[:1], len(model.scaler.mean), axis=0))
    with pytest.raises(folds.LeakError, match="the scaler was not fitted on the fold's training rows alone"):
        evaluate(dataclasses.replace(model, scaler=leaking), features, to=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_model_without_folds_has_nothing_to_score(model: Any, features: Any, tmp_path: Path) -> None:
    bare = dataclasses.replace(model, plan=folds.FoldPlan(folds=model.plan.folds[:1]))
    with pytest.raises(
        ValueError, match="the model has no cross-validation folds; train it with some schemes in hold_out"
    ):
        evaluate(bare, features, to=tmp_path)


@pytest.mark.parametrize("options", [{"draws": 10}, {"block_years": 0}])
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected at least 100 and 1"):
        EvaluateOptions(**options)


def test_a_lost_table_is_written_again_and_a_broken_one_is_named(model: Any, features: Any, tmp_path: Path) -> None:
    evaluate(model, features, to=tmp_path, options=FEW)
    before = (tmp_path / "predictions.parquet").read_bytes()
    (tmp_path / "predictions.parquet").unlink()
    evaluate(model, features, to=tmp_path, options=FEW)
    assert (tmp_path / "predictions.parquet").read_bytes() == before
    (tmp_path / "scores.parquet").write_bytes(b"junk")
    with pytest.raises(provenance.StampMismatch, match=r"scores\.parquet is no Parquet table"):
        evaluate(model, features, to=tmp_path, options=FEW)


def test_a_url_for_tables_is_refused(model: Any, features: Any) -> None:
    with pytest.raises(ValueError, match="s3://ice/scores is a URL; models, tables and pages are written to local"):
        evaluate(model, features, to="s3://ice/scores")
