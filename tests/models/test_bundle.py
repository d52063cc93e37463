"""The model in memory: what it predicts, for whom, and who held what out."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from glacierscale.models import packing
from glacierscale.models.physics import BIASES_K
from glacierscale.models.rows import design_of


def test_an_unknown_net_is_refused(model: Any, rows: Any, features: Any) -> None:
    with pytest.raises(ValueError, match=r"the model has no net 'cnn'; it has \['lasso', 'mlp'\]"):
        model.predict(rows.design, "cnn")
    with pytest.raises(ValueError, match="no net 'cnn'"):
        model.reconstruct(features.open().load(), "cnn")


def test_a_model_says_in_one_line_what_it_learned_and_what_was_held_out(model: Any, region: SimpleNamespace) -> None:
    glaciers, rows = len(region.observed), len(region.observed) * len(region.years)
    told = f"learned from {rows} annual balances of {glaciers} glaciers, 1991-2002; held out: logo, lsygo"
    assert repr(model) == f"<SMBModel of lasso, mlp: {told}>"


def test_the_prediction_is_the_base_and_the_correction(model: Any, rows: Any) -> None:
    base = model.base.predict(2, rows.design.snow, rows.design.degree_days)
    learned = model.nets["lasso"].members(2, model.scaler.transform(2, rows.design.predictors))
    np.testing.assert_allclose(model.predict(rows.design, "lasso", 2), base + learned)


def test_held_out_rows_are_predicted_by_the_fold_that_never_saw_them(model: Any, rows: Any) -> None:
    for scheme in ("logo", "lsygo"):
        held = model.held_out(rows.design, "mlp", scheme)
        np.testing.assert_array_equal(np.sort(held.row), np.arange(len(rows)))
        for row, fold in zip(held.row, held.fold, strict=True):
            assert row not in model.plan.folds[fold].train
        n = 7
        own = model.predict(rows.design.take(held.row[[n]]), "mlp", held.fold[n])[:, 0]
        assert held.mean[n] == pytest.approx(own.mean(), rel=1e-5)
        assert held.spread[n] == pytest.approx(own.std(ddof=1), rel=1e-3)
        np.testing.assert_allclose(held.std, np.hypot(held.spread, held.residual))


def test_a_single_member_has_no_spread_and_its_uncertainty_is_the_residual(model: Any, rows: Any) -> None:
    net = model.nets["lasso"]
    alone = dataclasses.replace(net, coefficient=net.coefficient[:, :1], intercept=net.intercept[:, :1])
    held = dataclasses.replace(model, nets={"lasso": alone}).held_out(rows.design, "lasso", "logo")
    np.testing.assert_array_equal(held.spread, 0)
    np.testing.assert_array_equal(held.std, held.residual)
    assert (held.std > 0).all()


def test_the_true_process_is_recovered_within_the_noise(model: Any, rows: Any, region: SimpleNamespace) -> None:
    assert model.base.degree_day_factor[0] == pytest.approx(region.degree_day_factor, rel=0.15)
    assert model.base.precip_factor[0] == pytest.approx(region.precip_factor, rel=0.15)
    assert abs(BIASES_K[model.base.bias[0]]) <= 0.5
    for net in model.nets:
        held = model.held_out(rows.design, net, "logo")
        rmse = np.sqrt(np.mean((held.mean - rows.observed[held.row]) ** 2))
        assert rmse < 1.6 * region.noise
        assert rmse < 0.25 * rows.observed.std()


def test_balances_of_glaciers_and_years_are_those_of_their_rows_one_by_one(model: Any, features: Any) -> None:
    dataset = features.open().load()
    for net in model.nets:
        found = model.reconstruct(dataset, net)
        assert found.shape == (model.members_of(net), 6, 12) == (3, 6, 12)
        alone = model.reconstruct(dataset.isel(glacier=[3]), net)
        np.testing.assert_allclose(alone[:, 0], found[:, 3], rtol=1e-5, atol=0.01)
        rows = np.array([3 * 12 + 7])  # rows run over years inside glaciers
        own = model.predict(design_of(dataset, model.predictors).take(rows), net)
        np.testing.assert_allclose(found[:, 3, 7], own[:, 0], rtol=1e-5, atol=0.01)


def test_fold_weights_are_zero_outside_the_training_rows(model: Any) -> None:
    weight = np.linspace(1, 2, len(model.unit_id))
    found = packing.fold_weights(model.plan, weight)
    for number, fold in enumerate(model.plan.folds):
        np.testing.assert_array_equal(np.flatnonzero(found[number]), np.sort(fold.train))
        np.testing.assert_array_equal(found[number, fold.train], weight[fold.train])
