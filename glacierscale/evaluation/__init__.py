"""Stage 6, evaluate: model + observations -> held-out predictions and scores, nulls beside every one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale import provenance, schema
from glacierscale.evaluation.options import EvaluateOptions
from glacierscale.evaluation.rows import checked_rows, coefficients, held_out_predictions
from glacierscale.evaluation.scoring import score
from glacierscale.evaluation.table import Scores
from glacierscale.models.bundle import SMBModel
from glacierscale.schema import text
from glacierscale.store import Files, Store

if TYPE_CHECKING:
    import pandas as pd

    from glacierscale.models.rows import Rows
    from glacierscale.models.scene import Scene

__all__ = ["EvaluateOptions", "Scores", "evaluate"]

_OF_RASTERS = (
    "predictions_by_kind",
    "scores_by_kind",
    "constraints",
    "sensitivities",
    "importance",
    "climate_range",
)
_OF_CAUSES = ("effects", "partial_effects", "contributions")
_log = logging.getLogger(__name__)


def evaluate(
    model: SMBModel | str | Path,
    features: str | Path | Store,
    *,
    to: str | Path,
    patches: str | Path | None = None,
    options: EvaluateOptions = EvaluateOptions(),
) -> Scores:
    """Score held-out predictions of every scheme and model.

    Parameters
    ----------
    model : SMBModel, str or Path
        A model, or its folder or URL.
    features : str, Path or Store
        The features it was trained on.
    to : str or Path
        Folder or URL for ``predictions.parquet`` (scheme, model, fold, glacier_id, hydro_year, observed, predicted,
        std; kg m-2), ``scores.parquet`` (scheme, model, metric, value, low, high, n), ``scores_by_group.parquet`` (the
        same per fold and per glacier) and, for a Lasso, ``coefficients.parquet``. For nets of rows also
        ``effects.parquet``, ``partial_effects.parquet`` and ``contributions.parquet`` (see `causes.effects`,
        `responses.partial_effects` and `contributions.contributions`), for raster networks
        ``predictions_by_kind.parquet``, ``scores_by_kind.parquet``, ``constraints.parquet``, ``sensitivities.parquet``,
        ``importance.parquet`` and ``climate_range.parquet``.
    patches : str or Path
        Folder or URL that `rasterize` filled, for models with a raster network; None looks beside the features.
    options : EvaluateOptions
        How.

    Returns
    -------
    Scores
        A DataFrame; printed, it is a table of the held-out errors.

    Raises
    ------
    ValueError
        If the features hold other observations than the model was trained on.
    LeakError
        If a fold of the model trains on what it claims to hold out.
    """
    model = model if isinstance(model, SMBModel) else SMBModel.load(Files.at(model))
    store = Store.at(features, schema.FEATURES)
    folder = patches or provenance.join(store.url, "..")
    rasters = Store.all_in(folder, "patches_*.zarr", schema.PATCHES) if model.rasters else ()
    stamp = _stamp(model, store, rasters, options)
    files = Files.at(to)
    names = ["predictions", "scores_by_group", *(["coefficients"] if "lasso" in model.nets else [])]
    names += [*(_OF_CAUSES if model.nets else ()), *(_OF_RASTERS if model.rasters else ()), "scores"]
    read = {name: files.read(f"{name}.parquet") for name in names}
    there = {name: data for name, data in read.items() if data is not None}
    for name, data in reversed(there.items()):
        provenance.refuse_other_table(data, stamp, f"{files.url}/{name}.parquet")
    if len(there) == len(names):
        return Scores(provenance.read_table(there["scores"]))
    scores, tables = _scored(model, store, rasters, options)
    for name, table in {**tables, "scores": scores}.items():  # the scores last: they say that all is there
        if table is not None:
            provenance.write_table(table, files, f"{name}.parquet", stamp)
    return Scores(scores)


def _with_gaps_filled(
    predictions: pd.DataFrame, model: SMBModel, rows: Rows, features: xr.Dataset, scene: Scene | None
) -> pd.DataFrame:
    """Held-out predictions, and those that also see what the other glaciers measured in the year."""
    import pandas as pd

    from glacierscale.evaluation import gapfilled

    found = gapfilled.predictions(model, rows, features, scene)
    return predictions if found is None else pd.concat([predictions, found], ignore_index=True)


def _of_causes(model: SMBModel, rows: Rows, features: Store, options: EvaluateOptions) -> dict[str, pd.DataFrame]:
    """What drives the balance in the nets of rows, the linear one before all."""
    from glacierscale.evaluation import causes, contributions, responses

    if "lasso" not in model.nets:
        _log.warning("no linear effects: the model has no lasso, only %s; add it to nets.", ", ".join(model.nets))
    dataset = features.open()
    names, spelt = (text(dataset[variable].values).tolist() for variable in ("predictor", "predictor_units"))
    units = dict(zip(names, spelt, strict=True))
    blocks = [block.slice for block in features.blocks()]
    return {
        "effects": causes.effects(model, rows, options.seed),
        "partial_effects": responses.partial_effects(model, rows, units),
        "contributions": contributions.contributions(model, dataset, blocks),
    }


def _stamp(model: SMBModel, features: Store, patches: Sequence[Store], options: EvaluateOptions) -> provenance.Stamp:
    """What decides all tables."""
    stores = {"features": features, **{PurePosixPath(found.url).stem: found for found in patches}}
    return provenance.Stamp(
        verb="evaluate",
        options=provenance.options_dict(options),
        inputs={"model": provenance.Input(url="model", fingerprint=model.fingerprint)}
        | {name: provenance.Input(url=name, fingerprint=found.fingerprint()) for name, found in stores.items()},
    )


def _scored(
    model: SMBModel, features: Store, patches: Sequence[Store], options: EvaluateOptions
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The scores, and all other tables by name; None for one that the model has not."""
    dataset = features.open()
    scene = _scene(model, dataset, [found.open() for found in patches]) if model.rasters else None
    rows = checked_rows(model, dataset, scene)
    predictions = _with_gaps_filled(
        held_out_predictions(model, rows, scene, with_boosting=options.boosting), model, rows, dataset, scene
    )
    scores, groups = score(predictions, options)
    tables = {"predictions": predictions, "scores_by_group": groups, "coefficients": coefficients(model)}
    if model.nets:
        tables |= _of_causes(model, rows, features, options)
    if scene is not None:
        tables |= _of_rasters(model, dataset, scene, options)
    return scores, tables


def _scene(model: SMBModel, features: xr.Dataset, patches: list[xr.Dataset]) -> Scene:
    """The observations that the raster networks were trained beside."""
    from glacierscale.models import scene

    form = next(iter(model.rasters.values())).form
    return scene.scene_of(features, patches, form.targets, form.kernel, form.reference_elevation)


def _glacier_years(
    model: SMBModel, features: xr.Dataset, scene: Scene
) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.integer]]:
    """Observed glaciers and years that the models learned from."""
    if model.row_kind != "observation":
        return model.unit_id, model.hydro_year
    seen = scene.functionals
    return seen.unit_id[seen.time_observation], features.hydro_year.values[seen.time_year]


def _of_rasters(
    model: SMBModel, features: xr.Dataset, scene: Scene, options: EvaluateOptions
) -> dict[str, pd.DataFrame]:
    """Tables that only raster networks have."""
    from glacierscale.evaluation import diagnostics, kinds

    by_kind = kinds.predictions_by_kind(model, scene)
    return {
        "predictions_by_kind": by_kind,
        "scores_by_kind": kinds.scores_by_kind(by_kind),
        "constraints": diagnostics.constraint_shares(model, scene),
        "sensitivities": diagnostics.sensitivities(model, scene),
        "importance": diagnostics.importance(model, scene, options.seed),
        "climate_range": diagnostics.climate_range(features, *_glacier_years(model, features, scene)),
    }
