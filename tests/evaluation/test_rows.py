"""Held-out rows: each once, by every net and reference; models that leak and stores of others are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glacierscale import folds
from glacierscale.evaluation import evaluate
from glacierscale.evaluation.rows import checked_rows, coefficients, held_out_predictions
from glacierscale.models import nulls


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


def test_coefficients_name_predictors_and_interactions_of_every_fold(model: Any) -> None:
    table = coefficients(model)
    assert table is not None
    width = len(model.predictors) + len(model.nets["lasso"].pairs)
    assert len(table) == width * len(model.plan.folds)
    assert "slope20 x cpdd_anomaly" in set(table.predictor)
    np.testing.assert_allclose(table.effect[:width], model.nets["lasso"].coefficient[0].mean(axis=0))
    assert coefficients(dataclasses.replace(model, nets={"mlp": model.nets["mlp"]})) is None


def test_features_of_another_model_are_refused(model: Any, features: Any, tmp_path: Path) -> None:
    units, years = np.append(model.unit_id, "another"), np.append(model.hydro_year, 1999)
    other = dataclasses.replace(model, unit_id=units, hydro_year=years)
    with pytest.raises(ValueError, match="hold 60 observed rows, the model was trained on 61 others"):
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


# With networks of ice cells


@pytest.fixture(scope="module")
def of_rasters(raster_model: Any, features: Any, scene: Any) -> pd.DataFrame:
    """Held-out rows of the model that holds a Lasso and a hybrid."""
    return held_out_predictions(raster_model, checked_rows(raster_model, features.open(), scene), scene)


def test_a_network_of_ice_cells_stands_beside_the_others_on_identical_rows(
    of_rasters: pd.DataFrame, raster_model: Any
) -> None:
    assert set(of_rasters.model) == {"lasso", "hybrid", *nulls.NULLS}
    key = ["fold", "glacier_id", "hydro_year", "observed"]
    for _, table in of_rasters.groupby("scheme"):
        one, *others = (own[key].reset_index(drop=True) for _, own in table.groupby("model", sort=False))
        assert len(one) == len(raster_model.unit_id)
        for other in others:
            pd.testing.assert_frame_equal(one, other)


def test_its_rows_are_predicted_by_the_members_that_never_saw_them(
    of_rasters: pd.DataFrame, raster_model: Any, scene: Any
) -> None:
    net, seen = raster_model.rasters["hybrid"], scene.functionals
    table = of_rasters[(of_rasters.model == "hybrid") & (of_rasters.scheme == "year_blocks")]
    for number in raster_model.raster_plan.of("year_blocks"):
        fold = raster_model.raster_plan.folds[number]
        annual = fold.test[seen.kind[fold.test] == "annual"]
        members = net.observe(number, seen, annual, scene.surface, scene.weather)
        own = table[table.fold == fold.name].set_index(["glacier_id", "hydro_year"])
        assert len(own) == len(annual)
        for at, observation in enumerate(annual):
            found = own.loc[(str(seen.unit_id[observation]), int(seen.last_year[observation]))]
            assert found.predicted == pytest.approx(members[:, at].mean(), abs=0.1)
            left = raster_model.raster_residual["hybrid"][number][0]
            assert found["std"] == pytest.approx(np.hypot(members[:, at].std(ddof=1), left), rel=1e-4)


def test_the_plain_temperature_index_model_on_annual_rows_is_the_one_in_closed_form(
    of_rasters: pd.DataFrame, raster_model: Any, features: Any
) -> None:
    assert "temperature_index" in raster_model.rasters
    without = held_out_predictions(raster_model, checked_rows(raster_model, features.open()))
    name = "temperature_index"
    pd.testing.assert_frame_equal(
        of_rasters[of_rasters.model == name].reset_index(drop=True),
        without[without.model == name].reset_index(drop=True),
    )
    assert set(without.model) == {"lasso", *nulls.NULLS}


def test_patches_that_show_other_observations_are_refused(raster_model: Any, features: Any, scene: Any) -> None:
    fewer = dataclasses.replace(scene, functionals=scene.functionals.take(np.arange(1, 61)))
    with pytest.raises(ValueError, match=r"show 60 observations, the raster networks were trained on 61; evaluate"):
        checked_rows(raster_model, features.open(), fewer)


def test_a_plan_of_observations_that_leaks_is_refused(raster_model: Any, features: Any, scene: Any) -> None:
    first, leaky, *rest = raster_model.raster_plan.folds
    leaky = dataclasses.replace(leaky, train=np.append(leaky.train, leaky.test[:1]))
    planted = dataclasses.replace(raster_model, raster_plan=folds.FoldPlan(folds=(first, leaky, *rest)))
    with pytest.raises(folds.LeakError, match="are in training and test"):
        checked_rows(planted, features.open(), scene)


def test_rows_that_the_networks_cannot_see_are_counted_with_what_to_do(
    raster_model: Any, rows: Any, scene: Any
) -> None:
    number = raster_model.raster_plan.of("logo")[0]
    fold = raster_model.raster_plan.folds[number]
    blind = dataclasses.replace(fold, test=fold.test[2:])
    plan = folds.FoldPlan(
        folds=tuple(blind if n == number else f for n, f in enumerate(raster_model.raster_plan.folds))
    )
    with pytest.raises(ValueError, match=r"^2 annual rows cannot be seen by the raster networks; .*set_aside of the"):
        held_out_predictions(dataclasses.replace(raster_model, raster_plan=plan), rows, scene)


def test_boosting_stands_beside_the_nets_where_it_is_asked_for(model: Any, rows: Any) -> None:
    from glacierscale.evaluation.options import EvaluateOptions
    from glacierscale.evaluation.scoring import score

    table = held_out_predictions(model, rows, with_boosting=True)
    assert set(table.model) == {"lasso", "mlp", "boosting", *nulls.NULLS}
    own = table[table.model == "boosting"]
    assert own.groupby("scheme").size().to_dict() == {"logo": len(rows), "lsygo": len(rows)}
    assert np.isfinite(own.predicted).all()
    assert own["std"].isna().all()
    scores = score(table, EvaluateOptions(draws=100))[0].set_index(["scheme", "model", "metric"]).value
    difference = scores["logo", "lasso", "rmse"] - scores["logo", "boosting", "rmse"]
    assert scores["logo", "lasso", "rmse_difference_to_boosting"] == pytest.approx(difference)
    assert ("logo", "boosting", "crps") not in scores.index
