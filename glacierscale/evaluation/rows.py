"""Held-out rows of every scheme as every net and every null predicts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale import folds
from glacierscale.models import boosting, nulls, scaling
from glacierscale.models.bundle import SMBModel
from glacierscale.models.held_out import HeldOut
from glacierscale.models.packing import fold_weights
from glacierscale.models.rows import TOPOGRAPHY, Rows, observed_rows

if TYPE_CHECKING:
    import pandas as pd

    from glacierscale.models.scene import Scene

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


def checked_rows(model: SMBModel, features: xr.Dataset, scene: Scene | None = None) -> Rows:
    """The rows that a model was trained on, once it is sure that they are, and that no fold saw what it holds out."""
    model.refuse_other_recipe(features)
    if model.row_kind != "observation":
        rows = observed_rows(features, model.predictors, model.row_kind)
    else:
        assert scene is not None
        from glacierscale.models.scene import rows_of_observations

        rows = rows_of_observations(scene.functionals)
    if not (np.array_equal(rows.unit_id, model.unit_id) and np.array_equal(rows.hydro_year, model.hydro_year)):
        raise ValueError(
            f"the features hold {len(rows)} observed rows, the model was trained on {len(model.unit_id)} others; "
            "evaluate with the features it was trained on."
        )
    for fold in model.plan.folds:
        if model.row_kind != "observation":
            folds.check_no_leak(fold, rows.unit_id, rows.hydro_year)
    refuse_leaking_scaler(model, rows)
    if scene is not None:
        seen = scene.functionals
        if sum(len(fold.train) for fold in model.raster_plan.folds[:1]) != len(seen):
            raise ValueError(
                f"the features and patches show {len(seen)} observations, the raster networks were trained on "
                f"{len(model.raster_plan.folds[0].train)}; evaluate with the stores they were trained on."
            )
        for fold in model.raster_plan.folds:
            folds.check_no_leak(fold, seen.unit_id, seen.first_year, seen.last_year)
    return rows


def refuse_leaking_scaler(model: SMBModel, rows: Rows) -> None:
    """Raise `LeakError` if a fold's scaler is not that of its training rows alone."""
    training = fold_weights(model.plan, np.ones(len(rows))) > 0
    bounded = np.isin(model.predictors, TOPOGRAPHY)
    own = scaling.fit(rows.design.predictors, training, bounded)
    for number, fold in enumerate(model.plan.folds):
        same = [
            np.allclose(a[number], b[number], rtol=1e-5)
            for a, b in zip(_numbers(model.scaler), _numbers(own), strict=True)
        ]
        if not all(same):
            raise folds.LeakError(
                f"{fold.scheme} without {fold.name}: the scaler was not fitted on the fold's training rows alone. "
                "Train the model again."
            )


def _numbers(scaler: scaling.Scaler) -> tuple[Floats, ...]:
    return scaler.mean, scaler.std, scaler.low, scaler.high


def held_out_predictions(
    model: SMBModel, rows: Rows, scene: Scene | None = None, *, with_boosting: bool = False
) -> pd.DataFrame:
    """Every held-out row of every scheme, by every net and every null, and by gradient boosting if wanted."""
    import pandas as pd

    parts = []
    for scheme in dict.fromkeys(fold.scheme for fold in model.plan.folds if fold.scheme != folds.ALL):
        number = model.plan.of(scheme)
        row = np.concatenate([model.plan.folds[n].test for n in number])
        name = np.concatenate([[model.plan.folds[n].name] * len(model.plan.folds[n].test) for n in number])
        common = {
            "fold": name,
            "glacier_id": rows.unit_id[row],
            "hydro_year": rows.hydro_year[row].astype(np.int32),
            "observed": rows.observed[row],
        }
        told = {net: model.held_out(rows.design, net, scheme) for net in model.nets}
        predicted = {net: (held.mean, held.std) for net, held in told.items()}
        blank = np.full(len(row), np.nan)
        predicted |= {null: (values, blank) for null, values in nulls.predict(rows, model.plan, scheme).items()}
        if with_boosting:
            predicted[boosting.NAME] = boosting.predict(rows, model.plan, scheme), blank
        fold = np.concatenate([np.full(len(model.plan.folds[n].test), n) for n in number])
        for net in model.rasters:
            # On annual rows the temperature-index model is the one fitted in closed form.
            if scene is not None and (net not in predicted or model.row_kind == "observation"):
                held = model.rows_of(scene, model.raster_held_out(scene, net, scheme))
                predicted[net] = _in_order(held, fold, row)
        for who, (mean, std) in predicted.items():
            std = blank if who in nulls.NULLS else std
            parts.append(pd.DataFrame({"scheme": scheme, "model": who, **common, "predicted": mean, "std": std}))
    if not parts:
        raise ValueError("the model has no cross-validation folds; train it with some schemes in hold_out.")
    return pd.concat(parts, ignore_index=True)


def _in_order(held: HeldOut, fold: Ints, row: Ints) -> tuple[Floats, Floats]:
    """Mean and standard deviation of held-out rows in the order of folds and rows; all must be there."""
    place = {key: at for at, key in enumerate(zip(held.fold.tolist(), held.row.tolist(), strict=True))}
    missing = [key for key in zip(fold.tolist(), row.tolist(), strict=True) if key not in place]
    if missing:
        raise ValueError(
            f"{len(missing)} annual rows cannot be seen by the raster networks; their glaciers were set aside when "
            "patches were made. Look at set_aside of the patches, and rasterize again."
        )
    order = [place[key] for key in zip(fold.tolist(), row.tolist(), strict=True)]
    return held.mean[order].astype(float), held.std[order]


def coefficients(model: SMBModel) -> pd.DataFrame | None:
    """Standardised effect of every predictor and interaction of the Lasso in every fold, mean over members; or None."""
    import pandas as pd

    from glacierscale.models.lasso import Lasso

    net = model.nets.get("lasso")
    if not isinstance(net, Lasso):
        return None
    names = list(model.predictors) + [f"{model.predictors[a]} x {model.predictors[b]}" for a, b in net.pairs]
    effect = net.coefficient.mean(axis=1)
    return pd.concat(
        [
            pd.DataFrame({"scheme": fold.scheme, "fold": fold.name, "predictor": names, "effect": effect[number]})
            for number, fold in enumerate(model.plan.folds)
        ],
        ignore_index=True,
    )
