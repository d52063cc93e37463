"""Scores of held-out predictions with intervals, and per fold and glacier without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from glacierscale import folds, metrics
from glacierscale.evaluation.options import EvaluateOptions
from glacierscale.models import boosting, nulls

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.floating]
_FEW_GLACIERS = 8
_STRETCHES = 20


def score(predictions: pd.DataFrame, options: EvaluateOptions) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of every scheme and model with intervals, and scores per fold and per glacier without."""
    records, groups = [], []
    for scheme, table in predictions.groupby("scheme", sort=False):
        models = list(dict.fromkeys(table.model))
        of_model = {m: table[table.model == m].reset_index(drop=True) for m in models}
        sums = np.stack(
            [metrics.row_sums(*(of_model[m][c].to_numpy() for c in ("observed", "predicted", "std"))) for m in models]
        )
        first = of_model[models[0]]
        block = _blocks(str(scheme), first, options.block_years)
        drawn = metrics.from_sums(metrics.resampled(sums, block, options.draws, np.random.default_rng(options.seed)))
        whole = metrics.from_sums(sums.sum(axis=1))
        references = [m for m in models if m in (*nulls.NULLS, boosting.NAME)]
        learned = [m for m in models if m not in references]
        for at, model in enumerate(models):
            names = metrics.PLAIN + (metrics.PROBABILISTIC if model in learned else ())
            triples = [(name, whole[name][at], drawn[name][at]) for name in names]
            for reference in references if model in learned else ():
                other = models.index(reference)
                triples.append(
                    (
                        f"rmse_difference_to_{reference}",
                        whole["rmse"][at] - whole["rmse"][other],
                        drawn["rmse"][at] - drawn["rmse"][other],
                    )
                )
            for name, value, resamples in triples:
                low, high = np.nanpercentile(resamples, metrics.INTERVAL)
                records.append((scheme, model, name, float(value), float(low), float(high), len(first)))
            if model == "same_year_mean":
                value, resamples = _told(first, block, options)
                low, high = np.nanpercentile(resamples, metrics.INTERVAL)
                records.append((scheme, model, "rmse_told_the_year", value, float(low), float(high), len(first)))
            groups += _by_group(str(scheme), model, of_model[model], sums[at])
    import pandas as pd

    columns = ["scheme", "model", "metric", "value", "low", "high", "n"]
    by_group = ["scheme", "model", "by", "group", "metric", "value", "n"]
    return pd.DataFrame(records, columns=columns), pd.DataFrame(groups, columns=by_group)


def _blocks(scheme: str, table: pd.DataFrame, block_years: int) -> npt.NDArray[np.integer]:
    """What is resampled together: glaciers where they are held out and many, else runs of years with all glaciers.

    Where there is one such run only, stretches of consecutive rows.
    """
    if scheme in folds.HOLDS_OUT_GLACIERS and table.glacier_id.nunique() >= _FEW_GLACIERS:
        return np.unique(table.glacier_id.to_numpy(str), return_inverse=True)[1]
    block: npt.NDArray[np.integer] = ((table.hydro_year - table.hydro_year.min()) // block_years).to_numpy()
    if len(np.unique(block)) == 1:  # a map of one period: neighbouring points follow each other
        block = np.arange(len(table)) * _STRETCHES // len(table)
    return block


def _told(table: pd.DataFrame, block: npt.NDArray[np.integer], options: EvaluateOptions) -> tuple[float, Floats]:
    """RMSE of the same-year mean of the other glaciers where the year is *not* hidden, whatever the scheme; resampled.

    No model can be asked to beat it in a scheme that hides the year, but a reader wants to know it. Rows whose year has
    no other glacier count with the mean of all.
    """
    observed, year, glacier = (table[name].to_numpy() for name in ("observed", "hydro_year", "glacier_id"))
    others = (year == year[:, None]) & (glacier != glacier[:, None])
    count = others.sum(axis=1)
    predicted = np.where(count > 0, others @ observed / np.maximum(count, 1), observed.mean())
    sums = metrics.row_sums(observed, predicted, np.full(len(observed), np.nan))
    drawn = metrics.resampled(sums, block, options.draws, np.random.default_rng(options.seed))
    return float(metrics.from_sums(sums.sum(axis=0))["rmse"]), metrics.from_sums(drawn)["rmse"]


def _by_group(scheme: str, model: str, table: pd.DataFrame, sums: Floats) -> list[tuple[object, ...]]:
    records: list[tuple[object, ...]] = []
    for by in ("fold", "glacier_id"):
        for group, index in table.groupby(by, sort=False).indices.items():
            found = metrics.from_sums(sums[index].sum(axis=0))
            records += [
                (scheme, model, by, str(group), name, float(found[name]), len(index))
                for name in ("rmse", "mae", "bias", "R2")
            ]
    return records
