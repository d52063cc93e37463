"""Every kind of observation as the raster networks predict it where they have not seen it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from glacierscale import folds, metrics
from glacierscale.models.bundle import SMBModel
from glacierscale.models.scene import Scene

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.floating]

_METRICS = ("rmse", "mae", "bias", "r2", "R2", "coverage50", "coverage90")
_FEW_BANDS = 4


def predictions_by_kind(model: SMBModel, scene: Scene) -> pd.DataFrame:
    """Held-out observations of every kind, scheme and raster network, kg m-2."""
    import pandas as pd

    seen, parts = scene.functionals, []
    for scheme in dict.fromkeys(fold.scheme for fold in model.raster_plan.folds if fold.scheme != folds.ALL):
        for net in model.rasters:
            held = model.raster_held_out(scene, net, scheme)
            names = np.array([fold.name for fold in model.raster_plan.folds])
            parts.append(
                pd.DataFrame(
                    {
                        "scheme": scheme,
                        "model": net,
                        "fold": names[held.fold],
                        "glacier_id": seen.unit_id[held.row],
                        "kind": seen.kind[held.row],
                        "hydro_year": seen.last_year[held.row].astype(np.int32),
                        "elevation": seen.elevation[held.row],
                        "observed": seen.value[held.row],
                        "predicted": held.mean.astype(float),
                        "std": held.std,
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def scores_by_kind(predictions: pd.DataFrame) -> pd.DataFrame:
    """Metrics of every scheme, model and kind; for bands also how steep predicted profiles are over observed ones."""
    import pandas as pd

    records = []
    for (scheme, model, kind), table in predictions.groupby(["scheme", "model", "kind"], sort=False):
        columns = (table[name].to_numpy(float) for name in ("observed", "predicted", "std"))
        found = metrics.from_sums(metrics.row_sums(*columns).sum(axis=0))
        records += [(scheme, model, kind, name, float(found[name]), len(table)) for name in _METRICS]
        if kind == "band":
            ratio, count = gradient_ratio(table)
            records.append((scheme, model, kind, "gradient_ratio", ratio, count))
    return pd.DataFrame(records, columns=["scheme", "model", "kind", "metric", "value", "n"])


def gradient_ratio(bands: pd.DataFrame) -> tuple[float, int]:
    """Median over profiles of predicted over observed slope with elevation, and how many profiles tell."""
    ratios = []
    for _, profile in bands.groupby(["glacier_id", "hydro_year"]):
        if len(profile) >= _FEW_BANDS and np.ptp(profile.elevation) > 0:
            observed, predicted = (
                np.polyfit(profile.elevation, profile[name], 1)[0] for name in ("observed", "predicted")
            )
            ratios.append(predicted / observed if observed else np.nan)
    return (float(np.nanmedian(ratios)), len(ratios)) if ratios else (np.nan, 0)
