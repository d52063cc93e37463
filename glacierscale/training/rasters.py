"""Train one kind of raster network on all folds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from glacierscale import compute
from glacierscale.folds import FoldPlan
from glacierscale.models.form import EFFECTS, Form
from glacierscale.models.functionals import Functionals
from glacierscale.models.held_out import HeldOut, held_out_of
from glacierscale.models.raster import RasterNet, predict
from glacierscale.models.scene import Scene
from glacierscale.models.surface import INPUTS
from glacierscale.region import seamless
from glacierscale.schema import OBSERVATION_KINDS
from glacierscale.store.files import Files
from glacierscale.training import raster_task, telling
from glacierscale.training.checkpoints import Checkpoints, pack
from glacierscale.training.nets import inner_groups
from glacierscale.training.options import TrainOptions

Floats = npt.NDArray[np.floating]
_STRETCHES = 10
PLAIN = "temperature_index"
"""Name of the net with slack 0: the plain temperature-index model, fitted to the same observations."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A raster network and what it says of the observations it was trained beside."""

    net: RasterNet
    predicted: Floats
    """(fold, member, observation) kg m-2"""
    residual_std: Floats
    """(fold, kind) kg m-2: spread of what members leave in observations that they did not learn from"""


def form_of(scene: Scene, recipe: Mapping[str, Any], options: TrainOptions) -> Form:
    """What the networks of a scene are made of."""
    seen = scene.functionals
    return Form(
        kind="hybrid",
        slack=options.slack,
        sigma_k=float(recipe.get("degree_day_sigma_k", 5.0)),
        units=tuple(np.unique(seen.unit_id).tolist()),
        kinds=tuple(kind for kind in OBSERVATION_KINDS if (seen.kind == kind).any()),
        targets=options.targets,
        channels=INPUTS,
        reference_elevation=scene.reference_elevation,
        kernel=options.kernel,
    )


def held_out(fitted: Fitted, plan: FoldPlan, seen: Functionals, scheme: str) -> HeldOut:
    """Held-out observations of a scheme; what `SMBModel.raster_held_out` finds again from the networks."""
    kind = np.array([fitted.net.form.kinds.index(kind) for kind in seen.kind])
    numbers = plan.of(scheme)
    tests = [plan.folds[number].test for number in numbers]
    members = [fitted.predicted[number][:, test] for number, test in zip(numbers, tests, strict=True)]
    return held_out_of(numbers, tests, members, fitted.residual_std, kind)


def fit(
    scene: Scene,
    plan: FoldPlan,
    form: Form,
    options: TrainOptions,
    *,
    label: str,
    members: int,
    checkpoints: Checkpoints | None = None,
) -> Fitted:
    """Train every member of every fold.

    Parameters
    ----------
    scene : Scene
        Observed glaciers.
    plan : FoldPlan
        Over the scene's observations.
    form : Form
        Of the networks.
    options : TrainOptions
    label : str
        What the progress bar says.
    members : int
        Members of each fold. A single one trains on all of the fold's observations.
    checkpoints : Checkpoints
        Where to keep the state of an unfinished training; the last good weights are kept beside them, should the loss
        become NaN.
    """
    seen = scene.functionals
    weight = drawn_weights(seen, plan, options, members)  # (fold, member, observation)
    lesson = raster_task.Lesson(
        form=form,
        surface=scene.surface,
        weather=scene.weather,
        functionals=seen,
        weight=weight.reshape(-1, len(seen)),
    )
    fitting = raster_task.Fitting(
        steps=options.steps,
        learning_rate=options.raster_learning_rate,
        weight_decay=options.raster_weight_decay,
        cell_years=options.cell_years,
        constraint_weight=options.constraint_weight,
        seed=options.seed,
    )
    last_good = f"last_good_{label}.safetensors"
    networks = telling.at_once(plan, members)
    with compute.progress(f"train {label}, steps", options.steps) as at:
        try:
            parameters = raster_task.fit(
                lesson, fitting, checkpoints=checkpoints, on_step=lambda step, _: at(step, networks)
            )
        except raster_task.NonFiniteLossError as error:
            if checkpoints is not None:
                good = {name: value.numpy() for name, value in error.state.items()}
                Files.at(checkpoints.place).write(last_good, pack(good))
                error.add_note(f"the last good weights of {label} lie in {checkpoints.place}/{last_good}")
            raise
    if checkpoints is not None:
        Files.at(checkpoints.place).delete(last_good)  # of an earlier run
    parameters = with_unseen_glaciers(parameters, form, lesson.weight, seen.unit_id, members)
    own = {name: torch.from_numpy(value) for name, value in parameters.items()}
    predicted = predict(own, form, seen, np.arange(len(seen)), scene.surface, scene.weather)
    shape = (len(plan.folds), members)
    net = RasterNet(form=form, parameters={name: v.reshape(*shape, *v.shape[1:]) for name, v in parameters.items()})
    predicted = predicted.reshape(*shape, -1)
    return Fitted(net=net, predicted=predicted, residual_std=residual_std(seen, plan, form, predicted, weight))


def plain(form: Form) -> Form:
    """The temperature-index model of the same glaciers and observations."""
    return replace(form, kind="hybrid", slack=0.0)


def drawn_weights(seen: Functionals, plan: FoldPlan, options: TrainOptions, members: int) -> Floats:
    """How much each observation counts for each member: (fold, member, observation).

    Every member leaves out a share of the years (of the glaciers where the fold holds out glaciers and trains on
    enough; of the ground where there is one period only), all kinds of observation at once.
    """
    one_period = len(np.unique(seen.last_year)) == 1
    group = inner_groups(plan, seen.unit_id, neighbours(seen) if one_period else seen.last_year)
    weight = np.zeros((len(plan.folds), members, len(seen)), np.float32)
    for number, fold in enumerate(plan.folds):
        rng = np.random.default_rng([options.seed, number])
        own = group[number, fold.train]
        groups = np.unique(own)
        aside = round(options.raster_validation_share * len(groups)) if members > 1 else 0
        # Members take turns through one shuffled list, so that together they leave out as many groups as they can.
        order = np.concatenate([rng.permutation(groups) for _ in range(max(1, -(-aside * members // len(groups))))])
        for member in range(members):
            out = order[member * aside : (member + 1) * aside]
            kept = fold.train[~np.isin(own, out)]
            weight[number, member, kept] = seen.counts[kept]
    return weight


def neighbours(seen: Functionals) -> npt.NDArray[np.integer]:
    """Stretch of ground of each observation, along the axis on which they spread most: (observation,) 0 to 9."""
    metres = np.stack([seamless(seen.lon) * np.cos(np.radians(seen.lat.mean())), seen.lat], axis=-1)
    metres -= metres.mean(axis=0)
    along = metres @ np.linalg.svd(metres, full_matrices=False)[2][0]
    rank: npt.NDArray[np.integer] = np.argsort(np.argsort(along, kind="stable"))
    return rank * _STRETCHES // len(rank)


def with_unseen_glaciers(
    parameters: dict[str, Floats], form: Form, weight: Floats, unit: npt.NDArray[np.str_], members: int
) -> dict[str, Floats]:
    """Give each network effects for glaciers that it has not seen: as large as those of the others, of balanced signs.

    Members differ in sign so that their mean is that of no effect and their spread that of glaciers.
    """
    if form.kind == "cnn" or members < 2:
        return parameters
    networks = len(weight)
    known = np.array([[weight[n, unit == u].any() for u in form.units] for n in range(networks)]).reshape(networks, -1)
    known = np.concatenate([known, np.zeros((networks, 1), bool)], axis=1)
    result = dict(parameters)
    for turn, name in enumerate(EFFECTS):
        value = parameters[f"effect.{name}"].copy()
        size = np.sqrt((value[..., 0] ** 2 * known).sum(axis=1) / np.maximum(known.sum(axis=1), 1))  # (network,)
        sign = np.where((np.arange(networks) % members >> (turn % 2)) % 2 == 0, 1.0, -1.0)
        sign = sign * np.where((turn == 2) & (np.arange(networks) % members % 4 >= 2), -1.0, 1.0)
        value[..., 0] = np.where(known, value[..., 0], (sign * size)[:, None])
        result[f"effect.{name}"] = value
    return result


def residual_std(seen: Functionals, plan: FoldPlan, form: Form, predicted: Floats, weight: Floats) -> Floats:
    """Spread of what members leave in observations that they did not learn from: (fold, kind) kg m-2.

    A kind that tells nothing in a fold, as where its one glacier is held out, has the spread over all kinds.
    """
    result = np.zeros((len(plan.folds), len(form.kinds)))
    for number, fold in enumerate(plan.folds):
        aside = (weight[number] == 0)[:, fold.train]
        if not aside.any():
            aside = np.ones_like(aside)  # a single member has learnt from everything
        told = aside.any(axis=0)
        mean = (predicted[number][:, fold.train] * aside).sum(axis=0) / np.maximum(aside.sum(axis=0), 1)
        left = mean - seen.value[fold.train]
        for k, kind in enumerate(form.kinds):
            chosen = told & (seen.kind[fold.train] == kind)
            result[number, k] = np.sqrt(np.mean(left[chosen if chosen.any() else told] ** 2))
    return result
