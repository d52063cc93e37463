"""Train one kind of net on all folds."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from glacierscale import compute
from glacierscale.folds import HOLDS_OUT_GLACIERS, HOLDS_OUT_YEARS, Fold, FoldPlan
from glacierscale.models import like_years
from glacierscale.models.like_years import LikeYears
from glacierscale.models.packing import Net
from glacierscale.models.rows import Rows
from glacierscale.training import judging, telling
from glacierscale.training.checkpoints import Arrays, Checkpoints, State
from glacierscale.training.options import TrainOptions
from glacierscale.training.shares import whole

Floats = npt.NDArray[np.floating]
_ENOUGH_GLACIERS = 8  # for some of them to be kept aside
_ENOUGH_YEARS = 3


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What the nets of all folds learn from."""

    scaled: Floats
    """(fold, row, predictor) standardised with the fold's own numbers"""
    left: Floats
    """(fold, row) what the fold's base model leaves, kg m-2"""
    weight: Floats
    """(row,) mean 1"""
    stated: Floats
    """(row,) weights by the stated errors alone, mean 1, for a net that itself says what it leaves unexplained"""
    group: npt.NDArray[np.integer]
    """(fold, row) what inner validation keeps together: years, or glaciers where the fold holds out glaciers"""
    plan: FoldPlan
    """Training rows of each fold"""
    predictors: tuple[str, ...]
    """Names"""


def inner_groups(plan: FoldPlan, unit: npt.NDArray[np.str_], year: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """What the inner validation of each fold keeps together: (fold, row).

    It mirrors the outer split: glaciers where the fold holds out glaciers alone and trains on enough of them, else
    years, if there are some; bands of latitude where the fold holds out one of them. Where glaciers and years are held
    out it is years, which differ more than glaciers do.
    """
    _, number = np.unique(unit, return_inverse=True)
    band = {own: at for at in plan.of("latitude_bands") for own in plan.folds[at].glaciers}

    def of(fold: Fold) -> npt.NDArray[np.integer]:
        if fold.scheme == "latitude_bands" and len(plan.of(fold.scheme)) > _ENOUGH_YEARS:
            return np.array([band[own] for own in unit.tolist()])
        alone = fold.scheme in HOLDS_OUT_GLACIERS and fold.scheme not in HOLDS_OUT_YEARS
        alike = alone or len(np.unique(year[fold.train])) < _ENOUGH_YEARS
        return number if alike and len(np.unique(unit[fold.train])) >= _ENOUGH_GLACIERS else year

    return np.stack([of(fold) for fold in plan.folds])


def fit_lasso(lesson: Lesson, options: TrainOptions, checkpoints: Checkpoints | None = None) -> tuple[Net, Floats]:
    """Lasso of every fold and member, and its out-of-bag predictions (fold, member, row) in kg m-2."""
    from glacierscale.models import lasso

    pairs = lasso.interactions(lesson.predictors) if options.interactions else ()
    with warnings.catch_warnings():
        # Weak penalties at the far end of a path may stop short of the tolerance; the one-standard-error rule passes
        # them over. Filters are the process's, so they are set here and not in the threads.
        warnings.filterwarnings("ignore", message="Objective did not converge")
        arrays = _of_every_fold(partial(_lasso_of, lesson, options, pairs), "lasso", lesson.plan, options, checkpoints)
    out_of_bag = arrays.pop("out_of_bag")
    return lasso.Lasso(**arrays, pairs=pairs), out_of_bag


def _of_every_fold(
    work: Callable[[int], Arrays], name: str, plan: FoldPlan, options: TrainOptions, checkpoints: Checkpoints | None
) -> Arrays:
    """What a net that trains fold by fold finds in each: (fold, ...)."""
    everything = whole(len(plan.folds))
    state = checkpoints.load(everything) if checkpoints is not None else None
    if state is None:
        told = telling.in_turn(plan, options.members)
        found = compute.map_items(work, list(range(everything.of)), label=f"train {name}, folds", told=told)
        arrays = {key: np.stack([one[key] for one in found]) for key in found[0]}
        state = State(step=0, arrays=arrays, done=True)
        if checkpoints is not None:
            checkpoints.save(everything, state)
    return dict(state.arrays)


def _lasso_of(lesson: Lesson, options: TrainOptions, pairs: tuple[tuple[int, int], ...], fold: int) -> Arrays:
    """Lasso of every member of one fold."""
    from glacierscale.models import lasso

    own = lesson.plan.folds[fold].train
    out_of_bag = np.full((options.members, len(lesson.weight)), np.nan)
    coefficient, intercept, out_of_bag[:, own] = lasso.fit(
        lesson.scaled[fold, own],
        lesson.left[fold, own],
        lesson.weight[own],
        lesson.group[fold, own],
        pairs,
        members=options.members,
        rng=np.random.default_rng([options.seed, fold]),
    )
    return {"coefficient": coefficient, "intercept": intercept, "out_of_bag": out_of_bag}


def fit_mlp(lesson: Lesson, options: TrainOptions, checkpoints: Checkpoints | None = None) -> tuple[Net, Floats]:
    """Perceptron of every fold and member, and its out-of-bag predictions (fold, member, row) in kg m-2."""
    from glacierscale.models import mlp
    from glacierscale.training import ensemble

    training, validation = draw(lesson, options)
    scale = np.array([lesson.left[f, fold.train].std() for f, fold in enumerate(lesson.plan.folds)])
    tables = ensemble.Tables(
        scaled=lesson.scaled,
        target=lesson.left / scale[:, None],
        weight=lesson.weight,
        training=training,
        validation=validation,
    )
    names = [field.name for field in dataclasses.fields(ensemble.Fitting)]
    fitting = ensemble.Fitting(**{name: getattr(options, name) for name in names})
    epoch, networks = ensemble.steps_of(tables, fitting), telling.at_once(lesson.plan, options.members)
    with compute.progress("train mlp, steps", options.epochs * epoch) as at:

        def tell(step: int, loss: float) -> None:
            at(step, f"loss on rows left out {loss:.3f}, epoch {step // epoch} of at most {options.epochs}, {networks}")

        parameters = ensemble.fit(tables, fitting, checkpoints=checkpoints, on_step=tell)
    net = mlp.MLP(parameters=parameters, hidden=options.hidden, scale=scale)
    predicted = np.stack([net.members(fold, lesson.scaled[fold]) for fold in range(len(scale))])
    return net, np.where(validation, predicted, np.nan)


def fit_kriging(lesson: Lesson, options: TrainOptions, checkpoints: Checkpoints | None = None) -> tuple[Net, Floats]:
    """Gaussian process of every fold, and its predictions without a row's group (fold, member, row) in kg m-2."""
    from glacierscale.models import kriging

    arrays = _of_every_fold(partial(_kriging_of, lesson, options), "kriging", lesson.plan, options, checkpoints)
    out_of_bag = arrays.pop("out_of_bag")
    place, yearly = _of_kriging(lesson.predictors)
    return kriging.Kriging(**arrays, place=place, yearly=yearly), out_of_bag


def _kriging_of(lesson: Lesson, options: TrainOptions, fold: int) -> Arrays:
    """Gaussian process of one fold."""
    from glacierscale.models import kriging

    own = lesson.plan.folds[fold].train
    place, yearly = _of_kriging(lesson.predictors)
    parts, left_out = kriging.fit(
        lesson.scaled[fold, own],
        lesson.left[fold, own],
        lesson.stated[own],
        lesson.group[fold, own],
        place,
        yearly,
        support=min(kriging.SUPPORT, *(len(f.train) for f in lesson.plan.folds)),
        members=options.members,
        rng=np.random.default_rng([options.seed, fold]),
    )
    out_of_bag = np.full((1, len(lesson.weight)), np.nan)
    out_of_bag[0, own] = left_out
    return {**parts, "out_of_bag": out_of_bag}


def _of_kriging(predictors: tuple[str, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Numbers of latitude and longitude, if both are there, and of the predictors that tell years apart."""
    both = {"lat", "lon"} <= set(predictors)
    place = (predictors.index("lat"), predictors.index("lon")) if both else ()
    return place, tuple(at for at, name in enumerate(predictors) if name.endswith("_anomaly"))


def fit_like_years(lesson: Lesson, rows: Rows, out_of_bag: Floats, options: TrainOptions) -> tuple[LikeYears, Floats]:
    """What a net leaves in years of the same weather, and what that says of each row without its group, kg m-2.

    Parameters
    ----------
    lesson : Lesson
    rows : Rows
        The same rows.
    out_of_bag : (fold, member, row) kg m-2
        Predictions of the net for rows that a member did not learn from, NaN elsewhere.
    options : TrainOptions

    Returns
    -------
    like_years : LikeYears
    blind : (fold, row) kg m-2
    """
    known = np.isfinite(out_of_bag)
    told = np.where(known, out_of_bag, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    left = np.where(known.any(axis=1), lesson.left - told, np.nan)
    years = like_years.Years.of(rows.hydro_year, rows.design.weather)
    found = [
        like_years.fit(
            left[fold], lesson.weight, years, lesson.group[fold], members=options.members, seed=[options.seed, fold, 1]
        )
        for fold in range(len(left))
    ]
    weight, blind = (np.stack(part) for part in zip(*found, strict=True))
    alone = judging.residual_std(lesson.left, out_of_bag)
    effects = LikeYears(weather=years.weather, spread=years.spread, weight=weight, residual_std=alone)
    return effects, blind


def draw(lesson: Lesson, options: TrainOptions) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Rows each member learns from and stops by, whole groups at a time: two masks (fold, member, row)."""
    shape = (len(lesson.plan.folds), options.members, len(lesson.weight))
    training, validation = np.zeros(shape, bool), np.zeros(shape, bool)
    for number, fold in enumerate(lesson.plan.folds):
        rng = np.random.default_rng([options.seed, number])
        own = lesson.group[number, fold.train]
        groups = np.unique(own)
        aside = max(1, round(options.validation_share * len(groups)))
        for member in range(options.members):
            stop = np.isin(own, rng.choice(groups, aside, replace=False))
            validation[number, member, fold.train[stop]] = True
            training[number, member, fold.train[~stop]] = True
    return training, validation


_FIT = {"lasso": fit_lasso, "mlp": fit_mlp, "kriging": fit_kriging}


def fit_all(
    lesson: Lesson, rows: Rows, options: TrainOptions, kept: Callable[[str], Checkpoints | None]
) -> tuple[dict[str, Net], dict[str, Floats], dict[str, Floats], dict[str, LikeYears]]:
    """Every net of rows.

    Parameters
    ----------
    lesson : Lesson
    rows : Rows
        The same rows.
    options : TrainOptions
    kept : callable
        Checkpoints of a net by its name.

    Returns
    -------
    nets : dict
    residual_std : dict
        (fold,) kg m-2: what each net leaves unexplained.
    unseen_left : dict
        (fold, glacier) kg m-2, as of `judging.unseen_left`.
    like_years : dict
        What each net leaves in years of the same weather; empty where not asked for.
    """
    nets: dict[str, Net] = {}
    residual: dict[str, Floats] = {}
    unseen: dict[str, Floats] = {}
    alike: dict[str, LikeYears] = {}
    _, glacier = np.unique(rows.unit_id, return_inverse=True)
    for name in (net for net in options.nets if net in _FIT):
        nets[name], out_of_bag = _FIT[name](lesson, options, kept(name))
        unseen[name] = judging.unseen_left(lesson.left, out_of_bag, lesson.group, glacier)
        if options.like_years:
            alike[name], blind = fit_like_years(lesson, rows, out_of_bag, options)
            out_of_bag = out_of_bag + blind[:, None]
        residual[name] = judging.residual_std(lesson.left, out_of_bag)
    return nets, residual, unseen, alike
