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
from glacierscale.models.bundle import HeldOut, SMBModel, fold_weights, row_numbers, rows_held
from glacierscale.models.packing import Net
from glacierscale.models.rows import Rows
from glacierscale.store import Store
from glacierscale.training import nets as training_nets
from glacierscale.training.options import RASTER, TABULAR, TrainOptions

if TYPE_CHECKING:
    from glacierscale.models.scene import Scene
    from glacierscale.training.rasters import Fitted

Floats = npt.NDArray[np.floating]
LAST_GOOD = "last_good.safetensors"
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
        Folder of the model.
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
    ValueError
        If there are too few observations for a fold.
    FloatingPointError
        If a loss is not finite; the message names the observations, the last good weights are kept in the folder.
    """
    to = provenance.local_folder(to)
    store = Store.at(features, schema.FEATURES)
    rasters = any(net in RASTER for net in options.nets)
    stores = Store.all_in(patches or Path(store.url).parent, "patches_*.zarr", schema.PATCHES) if rasters else ()
    inputs = {"features": store, **{Path(found.url).stem: found for found in stores}}
    stamp = provenance.Stamp(
        verb="train",
        options=provenance.options_dict(options),
        inputs={
            name: provenance.Input(url=provenance.relative(found.url, to), fingerprint=found.fingerprint())
            for name, found in inputs.items()
        },
    )
    if (to / "model.json").exists():
        found = SMBModel.load(to)
        stamp.refuse_unless_same(found.stamp.as_dict(), str(to))
        return found
    dataset = store.open()
    scene = _scene(dataset, [found.open() for found in stores], options) if rasters else None
    tabular = [net for net in options.nets if net in TABULAR]
    names = options.predictors or rows_module.default_predictors([str(name) for name in dataset.predictor.values])
    if tabular or scene is None or (scene.functionals.kind == "annual").any():
        rows, kind = rows_module.observed_rows(dataset, names), "annual"
    else:
        rows, names, kind = _rows_of_observations(scene), (), "observation"
    _tell_left_out([rows.left_out] if rows.left_out else [], scene)
    model = fit(rows, names, options, stamp, recipe=dataset.attrs["recipe"], row_kind=kind, scene=scene, keep=to)
    model.save(to)
    return model


def _tell_left_out(reasons: list[str], scene: Scene | None) -> None:
    """Say what does not train, and why."""
    reasons += scene.functionals.left_out if scene is not None else ()
    if reasons:
        more = f"; and {len(reasons) - _TOLD} more" if len(reasons) > _TOLD else ""
        _log.warning("left out of training: %s%s", "; ".join(reasons[:_TOLD]), more)


def fit(
    rows: Rows,
    predictors: tuple[str, ...],
    options: TrainOptions,
    stamp: provenance.Stamp,
    *,
    recipe: Mapping[str, Any] | None = None,
    row_kind: str = "annual",
    scene: Scene | None = None,
    keep: Path | None = None,
) -> SMBModel:
    """Train on observed rows, and on a scene of ice cells; `train` without the stores."""
    plan = _plan(rows, row_kind, options, scene)
    weight = 1 / rows.sigma**2
    weight = weight / weight.mean()
    weights = fold_weights(plan, weight)
    bounded = np.isin(predictors, rows_module.TOPOGRAPHY)
    scaler = scaling.fit(rows.design.predictors, weights > 0, bounded)
    base = physics.fit(rows.design.snow, rows.design.degree_days, rows.observed, weights * options.base)
    number = range(len(plan.folds))
    left = np.stack([rows.observed - base.predict(f, rows.design.snow, rows.design.degree_days) for f in number])
    scaled = np.stack([scaler.transform(f, rows.design.predictors) for f in number])

    lesson = training_nets.Lesson(
        scaled=scaled,
        left=left,
        weight=weight,
        group=training_nets.inner_groups(plan, rows.unit_id, rows.hydro_year),
        plan=plan,
        predictors=tuple(predictors),
    )
    nets: dict[str, Net] = {}
    residual: dict[str, Floats] = {}
    for name in options.nets:
        if name in TABULAR:
            fit_net = {"lasso": training_nets.fit_lasso, "mlp": training_nets.fit_mlp}[name]
            nets[name], out_of_bag = fit_net(lesson, options)
            residual[name] = _residual_std(left, out_of_bag)
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
    return _judged(model, rows, held)


def _plan(rows: Rows, row_kind: str, options: TrainOptions, scene: Scene | None) -> FoldPlan:
    """Folds over the rows; those of observations mind that a period may touch several hydrological years."""
    points = row_kind != "annual"
    plan = folds.plan(
        rows.unit_id,
        rows.hydro_year,
        rows.lon,
        rows.lat,
        options.hold_out,
        block_years=options.block_years,
        glacier_groups=options.glacier_groups,
        buffer_km=options.buffer_km,
        point_lon=rows.lon if points else None,
        point_lat=rows.lat if points else None,
    )
    return plan if scene is None or not points or plan.of("halves") else _extended(plan, scene, options)


def _extended(plan: FoldPlan, scene: Scene, options: TrainOptions) -> FoldPlan:
    """The plan over all observations of a scene."""
    seen = scene.functionals
    period = seen.first_year, seen.last_year
    return folds.extend(plan, seen.unit_id, *period, seen.lon, seen.lat, buffer_km=options.buffer_km)


def _scene(features: xr.Dataset, patches: Sequence[xr.Dataset], options: TrainOptions) -> Scene:
    from glacierscale.models import scene

    reference = scene.reference_elevation(features)
    return scene.scene_of(features, patches, options.targets, options.kernel, reference)


def _rows_of_observations(scene: Scene) -> Rows:
    from glacierscale.models.scene import rows_of_observations

    return rows_of_observations(scene.functionals)


def _with_rasters(
    model: SMBModel, scene: Scene, options: TrainOptions, keep: Path | None
) -> tuple[SMBModel, dict[tuple[str, str], HeldOut]]:
    """The model with its raster networks, and what those say of the rows that they hold out."""
    from glacierscale.training import rasters

    seen = scene.functionals
    plan = _extended(model.plan, scene, options) if model.row_kind == "annual" else model.plan
    form = rasters.form_of(scene, model.recipe, options)
    fitted: dict[str, Fitted] = {}
    for name in [net for net in options.nets if net in RASTER]:
        own = replace(form, kind="cnn" if name == "cnn" else "hybrid")
        fitted[name] = rasters.fit(
            scene, plan, own, options, label=name, members=options.raster_members, keep=keep and keep / LAST_GOOD
        )
    # The yardstick on every kind of observation; the one on annual rows is fitted in closed form.
    fitted[rasters.PLAIN] = rasters.fit(scene, plan, rasters.plain(form), options, label=rasters.PLAIN, members=1)
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


def _residual_std(left: Floats, out_of_bag: Floats) -> Floats:
    """Spread of what is left in rows that members did not learn from: (fold, row), (fold, member, row) -> (fold,)."""
    counted = np.isfinite(out_of_bag)
    told = counted.any(axis=1)
    mean = np.where(counted, out_of_bag, 0).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
    square = np.where(told, (left - mean) ** 2, 0).sum(axis=1)
    std: Floats = np.sqrt(square / np.maximum(told.sum(axis=1), 1))
    return std


def _judged(model: SMBModel, rows: Rows, held: Mapping[tuple[str, str], HeldOut]) -> SMBModel:
    """The model with what its held-out rows say: which net is better for whom, and the spread without observations."""
    names = list(dict.fromkeys(net for net, _ in held)) or [*model.nets, *model.rasters]
    schemes = [s for s in folds.SCHEMES if all((net, s) in held and len(held[net, s].row) for net in names)]
    square = {key: (found.mean - rows.observed[found.row]) ** 2 for key, found in held.items()}

    def better(among: tuple[str, ...]) -> str:
        counted = [scheme for scheme in among if scheme in schemes] or schemes
        if not counted:
            return names[0]
        error = {net: np.mean([np.sqrt(square[net, scheme].mean()) for scheme in counted]) for net in names}
        return min(error, key=lambda net: error[net])

    strict = next((scheme for scheme in ("lsygo", "spatial_blocks", "logo") if scheme in schemes), None)
    unseen = {}
    for net in dict.fromkeys([*names, *model.rasters]):  # the yardstick can reconstruct too
        unseen[net] = model.residual_of(net)
        if strict and (net, strict) in held:
            excess = np.mean(square[net, strict] - held[net, strict].spread ** 2)
            unseen[net] = float(np.sqrt(max(excess, unseen[net] ** 2)))
    return replace(
        model,
        unseen_std=unseen,
        best_observed=better(("loyo", "year_blocks")),
        best_unobserved=better(("logo", "lsygo", "spatial_blocks")),
    )
