"""Naive references that stand beside every score, fitted in the fold where there is something to fit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glacierscale.folds import FoldPlan
from glacierscale.models import physics
from glacierscale.models.packing import fold_weights
from glacierscale.models.rows import Rows

Floats = npt.NDArray[np.floating]

NULLS = ("training_mean", "same_year_mean", "ols", "temperature_index")


def predict(rows: Rows, plan: FoldPlan, scheme: str) -> dict[str, Floats]:
    """Held-out predictions of every null, in the order of the scheme's folds and their test rows.

    Parameters
    ----------
    rows : Rows
    plan : FoldPlan
    scheme : str

    Returns
    -------
    dict
        ``training_mean``; ``same_year_mean``, the mean of the training rows of the same year, or of all where the
        scheme hides the year; ``ols``, least squares on degree days and winter precipitation; ``temperature_index``,
        three parameters. Each (prediction,) kg m-2.
    """
    folds = plan.of(scheme)
    weight = 1 / rows.sigma**2
    weights = fold_weights(plan, weight / weight.mean())
    index = physics.fit(rows.design.snow, rows.design.degree_days, rows.observed, weights[folds])
    parts: dict[str, list[Floats]] = {name: [] for name in NULLS}
    for number, fold in enumerate(folds):
        train, test = plan.folds[fold].train, plan.folds[fold].test
        own, terms = weights[fold, train], rows.ols_terms
        mean = float(np.average(rows.observed[train], weights=own))
        root = np.sqrt(own)[:, None]
        with_one = np.column_stack([np.ones(len(rows)), terms])
        factors = np.linalg.lstsq(root * with_one[train], root[:, 0] * rows.observed[train], rcond=None)[0]
        parts["training_mean"].append(np.full(len(test), mean))
        parts["same_year_mean"].append(_same_year(rows, train, test, mean))
        parts["ols"].append(with_one[test] @ factors)
        design = rows.design.take(test)
        parts["temperature_index"].append(index.predict(number, design.snow, design.degree_days))
    return {name: np.concatenate(values) for name, values in parts.items()}


def _same_year(rows: Rows, train: npt.NDArray[np.integer], test: npt.NDArray[np.integer], otherwise: float) -> Floats:
    years = rows.hydro_year[test]
    same = rows.hydro_year[train] == years[:, None]  # (test, train)
    count = same.sum(axis=1)
    return np.where(count > 0, same @ rows.observed[train] / np.maximum(count, 1), otherwise)
