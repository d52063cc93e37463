"""Stage 3, train: features -> model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glacierscale import folds, provenance, schema
from glacierscale.models import physics, scaling
from glacierscale.models import rows as rows_module
from glacierscale.models.bundle import SMBModel, fold_weights
from glacierscale.models.packing import Net
from glacierscale.models.rows import Rows
from glacierscale.store import Store
from glacierscale.training import nets as training_nets
from glacierscale.training.options import TrainOptions

Floats = npt.NDArray[np.floating]


def train(features: str | Path | Store, *, to: str | Path, options: TrainOptions = TrainOptions()) -> SMBModel:
    """Train the models on every fold.

    Parameters
    ----------
    features : str, Path or Store
        A features store.
    to : str or Path
        Folder of the model.
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
    """
    to = provenance.local_folder(to)
    store = Store.at(features, schema.FEATURES)
    stamp = provenance.Stamp(
        verb="train",
        options=provenance.options_dict(options),
        inputs={"features": provenance.Input(url=provenance.relative(store.url, to), fingerprint=store.fingerprint())},
    )
    if (to / "model.json").exists():
        found = SMBModel.load(to)
        stamp.refuse_unless_same(found.stamp.as_dict(), str(to))
        return found
    dataset = store.open()
    names = options.predictors or rows_module.default_predictors([str(name) for name in dataset.predictor.values])
    rows = rows_module.observed_rows(dataset, names)
    model = fit(rows, names, options, stamp, recipe=dataset.attrs["recipe"])
    model.save(to)
    return model


def fit(
    rows: Rows,
    predictors: tuple[str, ...],
    options: TrainOptions,
    stamp: provenance.Stamp,
    *,
    recipe: Mapping[str, Any] | None = None,
) -> SMBModel:
    """Train on observed rows; `train` without the stores."""
    plan = folds.plan(
        rows.unit_id,
        rows.hydro_year,
        rows.lon,
        rows.lat,
        options.hold_out,
        block_years=options.block_years,
        glacier_groups=options.glacier_groups,
        buffer_km=options.buffer_km,
    )
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
        fit_net = {"lasso": training_nets.fit_lasso, "mlp": training_nets.fit_mlp}[name]
        nets[name], out_of_bag = fit_net(lesson, options)
        residual[name] = _residual_std(left, out_of_bag)
    model = SMBModel(
        predictors=tuple(predictors),
        plan=plan,
        recipe=recipe or {},
        unit_id=rows.unit_id,
        hydro_year=rows.hydro_year,
        scaler=scaler,
        base=base,
        nets=nets,
        residual_std=residual,
        unseen_std=dict.fromkeys(nets, 0.0),
        best_observed=options.nets[0],
        best_unobserved=options.nets[0],
        stamp=stamp,
    )
    return _judged(model, rows)


def _residual_std(left: Floats, out_of_bag: Floats) -> Floats:
    """Spread of what is left in rows that members did not learn from: (fold, row), (fold, member, row) -> (fold,)."""
    counted = np.isfinite(out_of_bag)
    told = counted.any(axis=1)
    mean = np.where(counted, out_of_bag, 0).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
    square = np.where(told, (left - mean) ** 2, 0).sum(axis=1)
    std: Floats = np.sqrt(square / np.maximum(told.sum(axis=1), 1))
    return std


def _judged(model: SMBModel, rows: Rows) -> SMBModel:
    """The model with what its held-out rows say: which net is better for whom, and the spread without observations."""
    schemes = [s for s in folds.SCHEMES if model.plan.of(s)]
    held = {(net, scheme): model.held_out(rows.design, net, scheme) for net in model.nets for scheme in schemes}
    square = {key: (found.mean - rows.observed[found.row]) ** 2 for key, found in held.items()}

    def better(among: tuple[str, ...]) -> str:
        counted = [scheme for scheme in among if scheme in schemes] or schemes
        if not counted:
            return next(iter(model.nets))
        error = {net: np.mean([np.sqrt(square[net, scheme].mean()) for scheme in counted]) for net in model.nets}
        return min(error, key=lambda net: error[net])

    strict = next((scheme for scheme in ("lsygo", "spatial_blocks", "logo") if scheme in schemes), None)
    unseen = {}
    for net in model.nets:
        unseen[net] = float(model.residual_std[net][0])
        if strict:
            excess = np.mean(square[net, strict] - held[net, strict].spread ** 2)
            unseen[net] = float(np.sqrt(max(excess, unseen[net] ** 2)))
    return replace(
        model,
        unseen_std=unseen,
        best_observed=better(("loyo", "year_blocks")),
        best_unobserved=better(("logo", "lsygo", "spatial_blocks")),
    )
