"""Raster networks on all folds: who learns from what, unseen glaciers, and the spread of what is left."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from glacierscale import folds
from glacierscale.folds import Fold, FoldPlan
from glacierscale.models.form import EFFECTS
from glacierscale.store import NoStoreError
from glacierscale.training import loop, rasters
from glacierscale.training.checkpoints import Checkpoints
from glacierscale.training.options import TrainOptions

OPTIONS = TrainOptions(nets=("hybrid",), raster_members=4, raster_validation_share=0.25)


def test_members_leave_out_whole_years_in_turn_and_never_learn_from_held_out_observations(
    scene: Any, raster_model: Any
) -> None:
    seen, plan = scene.functionals, raster_model.raster_plan
    weight = rasters.drawn_weights(seen, plan, OPTIONS, 4)
    assert weight.shape == (len(plan.folds), 4, 61)
    for number, fold in enumerate(plan.folds):
        outside = np.setdiff1d(np.arange(61), fold.train)
        assert (weight[number][:, outside] == 0).all()
        aside = (weight[number] == 0)[:, fold.train]
        year = seen.last_year[fold.train]
        if fold.scheme == "year_blocks":
            for member in aside:
                assert not np.intersect1d(year[member], year[~member]).size
        if fold.scheme == folds.ALL:
            assert [len(np.unique(year[member])) for member in aside] == [3, 3, 3, 3]  # a quarter of twelve years
            assert aside.any(axis=0).all()  # together they leave out each year
        kept = weight[number] > 0
        np.testing.assert_array_equal(weight[number][kept], np.broadcast_to(seen.counts, kept.shape)[kept])
    np.testing.assert_array_equal(weight, rasters.drawn_weights(seen, plan, OPTIONS, 4))
    other = rasters.drawn_weights(seen, plan, dataclasses.replace(OPTIONS, seed=1), 4)
    assert (weight != other).any()


def test_a_single_member_learns_from_all_that_its_fold_trains_on(scene: Any, raster_model: Any) -> None:
    plan = raster_model.raster_plan
    weight = rasters.drawn_weights(scene.functionals, plan, OPTIONS, 1)
    for number, fold in enumerate(plan.folds):
        np.testing.assert_array_equal(np.flatnonzero(weight[number, 0]), np.sort(fold.train))


def test_unseen_glaciers_have_effects_as_large_as_the_others_that_balance_over_members(raster_model: Any) -> None:
    form = raster_model.rasters["hybrid"].form
    unit = np.array(form.units)
    weight = np.ones((4, len(unit)), np.float32)
    weight[:, 0] = 0  # the first glacier is held out
    rng = np.random.default_rng(0)
    before = {f"effect.{name}": rng.normal(size=(4, len(unit) + 1, 2)).astype(np.float32) for name in EFFECTS}
    after = rasters.with_unseen_glaciers(before, form, weight, unit, 4)
    signs = []
    for name, value in before.items():
        np.testing.assert_array_equal(after[name][:, 1:-1], value[:, 1:-1])
        np.testing.assert_array_equal(after[name][..., 1], value[..., 1])
        size = np.sqrt((value[:, 1:-1, 0] ** 2).mean(axis=1))
        for unseen in (0, -1):
            np.testing.assert_allclose(np.abs(after[name][:, unseen, 0]), size, rtol=1e-5)
            assert np.sign(after[name][:, unseen, 0]).sum() == 0
        signs.append(np.sign(after[name][:, -1, 0]))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert signs[one] @ signs[other] == 0  # effects do not go together
    same = rasters.with_unseen_glaciers(before, dataclasses.replace(form, kind="cnn"), weight, unit, 4)
    assert same is before


def test_what_is_left_counts_observations_that_members_did_not_learn_from_kind_by_kind() -> None:
    seen: Any = SimpleNamespace(value=np.array([0.0, 0, 0, 0]), kind=np.array(["annual", "annual", "point", "annual"]))
    form: Any = SimpleNamespace(kinds=("annual", "point"))
    plan = FoldPlan(
        folds=(
            Fold(scheme=folds.ALL, name="nothing", train=np.arange(4), test=np.array([], int)),
            Fold(scheme="logo", name="G", train=np.array([0, 1, 3]), test=np.array([2])),
        )
    )
    predicted = np.array([[[10.0, 20, 30, 40], [30.0, 5, 50, 60]]] * 2)
    weight = np.array([[[0.0, 1, 0, 1], [0.0, 0, 1, 1]]] * 2)
    found = rasters.residual_std(seen, plan, form, predicted, weight)
    annual = np.sqrt((20.0**2 + 5**2) / 2)  # the last is known to all members
    np.testing.assert_allclose(found[0], [annual, 30.0])
    # Points tell nothing in the second fold: what all kinds leave stands for them.
    np.testing.assert_allclose(found[1], [annual, annual])


def test_trained_predictions_of_held_out_observations_are_found_again_from_the_networks(
    scene: Any, raster_model: Any
) -> None:
    form = raster_model.rasters["hybrid"].form
    plan = FoldPlan(folds=tuple(raster_model.raster_plan.folds[n] for n in (0, 2)))
    options = dataclasses.replace(OPTIONS, steps=2)
    fitted = rasters.fit(scene, plan, form, options, label="hybrid", members=4)
    model = dataclasses.replace(
        raster_model, rasters={"hybrid": fitted.net}, raster_plan=plan, raster_residual={"hybrid": fitted.residual_std}
    )
    one = rasters.held_out(fitted, plan, scene.functionals, "logo")
    again = model.raster_held_out(scene, "hybrid", "logo")
    for name in ("row", "fold", "residual"):
        np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
    np.testing.assert_allclose(one.mean, again.mean, atol=0.1)
    np.testing.assert_allclose(one.spread, again.spread, atol=0.1)


def test_the_same_options_give_the_same_model_and_every_net_has_its_yardstick(
    features: Any, patches: Path, raster_model_folder: Path, raster_model: Any, tmp_path: Path
) -> None:
    options = TrainOptions(
        nets=("lasso", "hybrid"), hold_out=("logo", "year_blocks"), members=2, block_years=4, kernel=1, steps=8
    )
    loop.train(features, to=tmp_path / "m", patches=patches, options=options)
    weights = [(place / "weights.safetensors").read_bytes() for place in (tmp_path / "m", raster_model_folder)]
    assert weights[0] == weights[1]
    assert set(raster_model.rasters) == set(raster_model.unseen_std) - {"lasso"} == {"hybrid", "temperature_index"}
    assert raster_model.rasters["temperature_index"].form.slack == 0
    assert raster_model.best_observed in ("lasso", "hybrid")


def test_patches_are_looked_for_beside_the_features_and_missing_ones_are_named(features: Any, tmp_path: Path) -> None:
    with pytest.raises(NoStoreError, match=r"holds no patches_\*\.zarr; run `glacierscale rasterize` into it first"):
        loop.train(features, to=tmp_path / "m", options=OPTIONS)
    assert not (tmp_path / "m").exists()


def test_a_loss_that_is_not_finite_keeps_the_last_good_weights_and_says_where(
    scene: Any, raster_model: Any, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file

    temp = scene.weather.temp.clone()
    temp[:, 3] = float("nan")
    spoiled = dataclasses.replace(scene, weather=dataclasses.replace(scene.weather, temp=temp))
    form = raster_model.rasters["hybrid"].form
    plan, keep = FoldPlan(folds=raster_model.raster_plan.folds[:1]), tmp_path / "last_good_hybrid.safetensors"
    kept_at = Checkpoints(place=str(tmp_path), belongs="0" * 64, net="hybrid")
    with pytest.raises(FloatingPointError, match="the loss is not finite") as caught:
        rasters.fit(spoiled, plan, form, OPTIONS, label="hybrid", members=4, checkpoints=kept_at)
    assert caught.value.__notes__ == [f"the last good weights of hybrid lie in {keep}"]
    kept = load_file(keep)
    assert set(kept) == set(form.shapes)
    assert all(np.isfinite(value).all() for value in kept.values())
    rasters.fit(scene, plan, form, OPTIONS, label="hybrid", members=4, checkpoints=kept_at)
    assert not keep.exists()


def test_stakes_alone_are_rows_of_their_own(features: Any, scene: Any) -> None:
    """Without annual balances the plan is over the observations, and so are evaluations."""
    from glacierscale import provenance
    from glacierscale.models.scene import rows_of_observations

    winter = dataclasses.replace(
        scene, functionals=dataclasses.replace(scene.functionals, kind=np.full(61, "winter", dtype="<U8"))
    )
    options = dataclasses.replace(OPTIONS, steps=2, raster_members=1, hold_out=("logo",), kernel=1)
    stamp = provenance.Stamp(verb="train", options={}, inputs={})
    rows = rows_of_observations(winter.functionals)
    model = loop.fit(rows, (), options, stamp, row_kind="observation", scene=winter)
    assert (len(model.unit_id), model.best_observed, dict(model.nets)) == (61, "hybrid", {})
    held = model.rows_of(winter, model.raster_held_out(winter, "hybrid", "logo"))
    np.testing.assert_array_equal(np.sort(held.row), np.arange(61))
    assert model.residual_of("hybrid") > 0
