"""Stage 3, train: features -> model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale import folds, provenance, schema
from glacierscale.folds import FoldPlan
from glacierscale.models import physics, scaling
from glacierscale.models import rows as rows_module
from glacierscale.models.bundle import SMBModel
from glacierscale.models.held_out import HeldOut, row_numbers, rows_held
from glacierscale.models.packing import fold_weights
from glacierscale.models.physics import TemperatureIndex
from glacierscale.models.rows import Rows
from glacierscale.models.scaling import Scaler
from glacierscale.store import Files, Store, hold, sweep
from glacierscale.training import checkpoints, judging, logs
from glacierscale.training import nets as training_nets
from glacierscale.training.checkpoints import Checkpoints
from glacierscale.training.options import RASTER, TABULAR, TrainOptions

if TYPE_CHECKING:
    from glacierscale.models.scene import Scene
    from glacierscale.training.rasters import Fitted

Floats = npt.NDArray[np.floating]
_MODEL = "model.json"
_TOLD = 5
_log = logging.getLogger(__name__)


def train(
    features: str | Path | Store,
    *,
    to: str | Path,
    patches: str | Path | None = None,
    options: TrainOptions = TrainOptions(),
) -> SMBModel:
    """Train the models on every fold.

    Parameters
    ----------
    features : str, Path or Store
        A features store.
    to : str or Path
        Folder or URL of the model. An interrupted training leaves its checkpoints there; the same command continues.
    patches : str or Path
        Folder that `rasterize` filled, for ``hybrid`` and ``cnn``; None looks beside the features.
    options : TrainOptions
        How.

    Returns
    -------
    SMBModel
        Also saved to `to`. A model made with the same options from the same features is loaded instead.

    Raises
    ------
    StampMismatch
        If the folder holds a model made otherwise.
    HeldError
        If another run trains into the same folder.
    Terminated
        If SIGTERM arrived; the state is saved before, but on Ray, where up to 30 s of training are lost.
    ValueError
        If there are too few observations for a fold.
    FloatingPointError
        If a loss is not finite; the message names the observations, the last good weights are kept in the folder.
    """
    files = Files.at(to)
    logs.refuse(options.log, files.url)
    store = Store.at(features, schema.FEATURES)
    rasters = any(net in RASTER for net in options.nets)
    beside = patches or provenance.join(store.url, "..")
    stores = Store.all_in(beside, "patches_*.zarr", schema.PATCHES) if rasters else ()
    inputs = {"features": store, **{Path(found.url).stem: found for found in stores}}
    stamp = provenance.Stamp(
        verb="train",
        options={name: value for name, value in provenance.options_dict(options).items() if name != "log"},
        inputs={
            name: provenance.Input(url=provenance.relative(found.url, to), fingerprint=found.fingerprint())
            for name, found in inputs.items()
        },
    )
    if files.version(_MODEL) and not files.names(f"{checkpoints.FOLDER}/"):
        model = _known(files, stamp)  # a place that is only read needs no lease
        sweep(files.url)
        return model
    with hold(to, "train"):
        if files.version(_MODEL):
            model = _known(files, stamp)
        else:
            checkpoints.tell_of_others(files.url, stamp)
            model = _trained(store, stores, options, stamp, files.url)
            model.save(files)
        checkpoints.clear(files.url)
    return model


def _known(files: Files, stamp: provenance.Stamp) -> SMBModel:
    """The model that is there, if it was made as the stamp says."""
    model = SMBModel.load(files)
    stamp.refuse_unless_same(model.stamp.as_dict(), files.url)
    return model


def _trained(
    store: Store, patches: Sequence[Store], options: TrainOptions, stamp: provenance.Stamp, to: str
) -> SMBModel:
    """The model of a features store, its checkpoints below `to` meanwhile."""
    dataset = store.open()
    scene = None
    if patches:
        from glacierscale.models.scene import rows_of_observations
        from glacierscale.training.feed import scene_in

        scene = scene_in(dataset, patches, options.targets, options.kernel)
    tabular = [net for net in options.nets if net in TABULAR]
    names = options.predictors or rows_module.default_predictors([str(name) for name in dataset.predictor.values])
    if tabular or scene is None or (scene.functionals.kind == "annual").any():
        kind = _kind_of_rows(dataset, options)
        rows = rows_module.observed_rows(dataset, names, kind)
    else:
        rows, names, kind = rows_of_observations(scene.functionals), (), "observation"
    _tell_left_out([rows.left_out] if rows.left_out else [], scene)
    recipe = provenance.nested(dataset.attrs["recipe"])
    return fit(rows, names, options, stamp, recipe=recipe, row_kind=kind, scene=scene, keep=to)


def _kind_of_rows(features: xr.Dataset, options: TrainOptions) -> str:
    """Kind of observation that rows are: annual where there is any in the years, or else geodetic."""
    if options.rows != "auto":
        return options.rows
    kinds = schema.text(features.obs_kind.values)[np.isin(features.obs_year.values, features.hydro_year.values)]
    rasters = set(options.nets) & set(RASTER)
    return "geodetic" if "geodetic" in kinds and "annual" not in kinds and not rasters else "annual"


def _tell_left_out(reasons: list[str], scene: Scene | None) -> None:
    """Say what does not train, and why."""
    reasons += scene.functionals.left_out if scene is not None else ()
    if reasons:
        more = f"; and {len(reasons) - _TOLD} more" if len(reasons) > _TOLD else ""
        _log.warning("left out of training: %s%s", "; ".join(reason.rstrip(".") for reason in reasons[:_TOLD]), more)


def fit(
    rows: Rows,
    predictors: tuple[str, ...],
    options: TrainOptions,
    stamp: provenance.Stamp,
    *,
    recipe: Mapping[str, Any] | None = None,
    row_kind: str = "annual",
    scene: Scene | None = None,
    keep: str = "",
) -> SMBModel:
    """Train on observed rows, and on a scene of ice cells; `train` without the stores, `keep` where checkpoints go."""
    if options.like_years and row_kind != "annual":
        raise ValueError(f"like_years asks for annual rows, but these are of kind {row_kind}; leave it out.")
    plan = _plan(rows, row_kind, options, scene)
    lesson, scaler, base = _lesson(rows, predictors, plan, row_kind, options)
    nets, residual, unseen, alike = training_nets.fit_all(
        lesson, rows, options, lambda name: _kept(keep, stamp, name, options)
    )
    model = SMBModel(
        predictors=tuple(predictors),
        plan=plan,
        recipe=recipe or {},
        unit_id=rows.unit_id,
        hydro_year=rows.hydro_year,
        row_kind=row_kind,
        scaler=scaler,
        base=base,
        nets=nets,
        residual_std=residual,
        unseen_left=unseen,
        like_years=alike,
        unseen_std={},
        best_observed="",
        best_unobserved="",
        stamp=stamp,
    )
    schemes = [s for s in folds.SCHEMES if plan.of(s)]
    held = {(net, scheme): model.held_out(rows.design, net, scheme) for net in nets for scheme in schemes}
    if scene is not None:
        model, of_rasters = _with_rasters(model, scene, options, keep)
        held |= of_rasters
    return judging.judged(model, rows, held)


def _lesson(
    rows: Rows, predictors: tuple[str, ...], plan: FoldPlan, row_kind: str, options: TrainOptions
) -> tuple[training_nets.Lesson, Scaler, TemperatureIndex]:
    """What the nets of rows learn from, and what was fitted in each fold to make it."""
    weight = 1 / (rows.sigma**2 + (options.geodetic_sigma**2 if row_kind == "geodetic" else 0))
    weight = weight / weight.mean()
    weights = fold_weights(plan, weight)
    scaler = scaling.fit(rows.design.predictors, weights > 0, np.isin(predictors, rows_module.TOPOGRAPHY))
    base = physics.fit(rows.design.snow, rows.design.degree_days, rows.observed, weights * options.base)
    number = range(len(plan.folds))
    lesson = training_nets.Lesson(
        scaled=np.stack([scaler.transform(f, rows.design.predictors) for f in number]),
        left=np.stack([rows.observed - base.predict(f, rows.design.snow, rows.design.degree_days) for f in number]),
        weight=weight,
        stated=rows.sigma**-2 / (rows.sigma**-2).mean(),
        group=training_nets.inner_groups(plan, rows.unit_id, rows.hydro_year),
        plan=plan,
        predictors=tuple(predictors),
    )
    return lesson, scaler, base


def _plan(rows: Rows, row_kind: str, options: TrainOptions, scene: Scene | None) -> FoldPlan:
    """Folds over the rows; those of observations mind that a period may touch several hydrological years."""
    points = row_kind == "observation"
    years = sorted(set(options.hold_out) & set(folds.HOLDS_OUT_YEARS))
    if row_kind == "geodetic" and years:
        raise ValueError(
            f"hold_out asks for {years}, but geodetic rows span many years, none of which can be held out; hold out "
            "glaciers: glacier_groups, latitude_bands or spatial_blocks."
        )
    plan = folds.plan(
        rows.unit_id,
        rows.hydro_year,
        rows.lon,
        rows.lat,
        options.hold_out,
        block_years=options.block_years,
        glacier_groups=options.glacier_groups,
        band_degrees=options.band_degrees,
        buffer_km=options.buffer_km,
        seed=options.seed,
        point_lon=rows.lon if points else None,
        point_lat=rows.lat if points else None,
    )
    return plan if scene is None or not points or plan.of("halves") else _extended(plan, scene, options)


def _extended(plan: FoldPlan, scene: Scene, options: TrainOptions) -> FoldPlan:
    """The plan over all observations of a scene."""
    seen = scene.functionals
    period = seen.first_year, seen.last_year
    return folds.extend(plan, seen.unit_id, *period, seen.lon, seen.lat, buffer_km=options.buffer_km)


def _with_rasters(
    model: SMBModel, scene: Scene, options: TrainOptions, keep: str
) -> tuple[SMBModel, dict[tuple[str, str], HeldOut]]:
    """The model with its raster networks, and what those say of the rows that they hold out."""
    from glacierscale.training import rasters

    seen = scene.functionals
    plan = _extended(model.plan, scene, options) if model.row_kind != "observation" else model.plan
    form = rasters.form_of(scene, model.recipe, options)
    fitted: dict[str, Fitted] = {}
    for name in [net for net in options.nets if net in RASTER]:
        own = replace(form, kind="cnn" if name == "cnn" else "hybrid")
        kept = _kept(keep, model.stamp, name, options)
        fitted[name] = rasters.fit(
            scene, plan, own, options, label=name, members=options.raster_members, checkpoints=kept
        )
    # The yardstick on every kind of observation; the one on annual rows is fitted in closed form.
    plain, kept = rasters.plain(form), _kept(keep, model.stamp, rasters.PLAIN, options)
    fitted[rasters.PLAIN] = rasters.fit(scene, plan, plain, options, label=rasters.PLAIN, members=1, checkpoints=kept)
    model = replace(
        model,
        rasters={name: one.net for name, one in fitted.items()},
        raster_plan=plan,
        raster_residual={name: one.residual_std for name, one in fitted.items()},
    )
    number = row_numbers(model.unit_id, model.hydro_year, model.row_kind, scene)
    held = {}
    for name in fitted:
        for scheme in {fold.scheme for fold in plan.folds} - {folds.ALL}:
            if name != rasters.PLAIN:
                held[name, scheme] = rows_held(rasters.held_out(fitted[name], plan, seen, scheme), number)
    return model, held


def _kept(keep: str, stamp: provenance.Stamp, name: str, options: TrainOptions) -> Checkpoints | None:
    """Checkpoints of a net, where any are kept."""
    return Checkpoints.below(keep, stamp, name, options.log) if keep else None
