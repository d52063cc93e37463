"""Gradient boosting on the same rows: a reference of another kind, fitted in each fold when it is evaluated."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glacierscale.folds import FoldPlan
from glacierscale.models.rows import Rows

Floats = npt.NDArray[np.floating]

NAME = "boosting"
"""Model that the reference is called in tables of scores."""


def predict(rows: Rows, plan: FoldPlan, scheme: str, *, seed: int = 0) -> Floats:
    """Held-out predictions of histogram gradient boosting, rows weighted by their standard errors.

    Its settings are those that scikit-learn ships with, so that nothing is chosen by what is held out.

    Parameters
    ----------
    rows : Rows
    plan : FoldPlan
    scheme : str
    seed : int
        Of the draw of bins; thousands of rows are binned by a subsample.

    Returns
    -------
    numpy.ndarray
        (prediction,) kg m-2, in the order of the scheme's folds and their test rows.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    parts = []
    for number in plan.of(scheme):
        train, test = plan.folds[number].train, plan.folds[number].test
        model = HistGradientBoostingRegressor(random_state=seed)
        model.fit(rows.design.predictors[train], rows.observed[train], sample_weight=1 / rows.sigma[train] ** 2)
        parts.append(model.predict(rows.design.predictors[test]))
    return np.concatenate(parts)
