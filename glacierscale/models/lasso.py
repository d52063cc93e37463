"""Lasso on standardised predictors and topography x climate interactions: the linear model that can be read.

The penalty follows the one-standard-error rule (Hastie, Tibshirani & Friedman 2009, section 7.10): the largest one
whose inner cross-validation error lies within a standard error of the least. The ensemble refits it on bootstrap draws
of years.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glacierscale.models.rows import TOPOGRAPHY

Floats = npt.NDArray[np.floating]

INTERACTING_CLIMATE = ("cpdd_anomaly", "winter_snow_anomaly", "summer_snow_anomaly")
_INNER_FOLDS, _PENALTIES, _WEAKEST = 10, 40, 1e-3


@dataclass(frozen=True, kw_only=True)
class Lasso:
    """Coefficients of every fold and member."""

    coefficient: Floats
    """(fold, member, column) kg m-2 per standard deviation; columns are predictors, then interactions"""
    intercept: Floats
    """(fold, member) kg m-2"""
    pairs: tuple[tuple[int, int], ...]
    """Predictor numbers of each interaction"""

    def members(self, fold: int, scaled: Floats) -> Floats:
        """Prediction of every member: (row, predictor) standardised -> (member, row) kg m-2."""
        predicted: Floats = self.coefficient[fold] @ columns(scaled, self.pairs).T + self.intercept[fold][:, None]
        return predicted


def interactions(predictors: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Pairs of topography and seasonal climate that may act together."""
    return tuple(
        (predictors.index(place), predictors.index(season))
        for place in TOPOGRAPHY
        for season in INTERACTING_CLIMATE
        if place in predictors and season in predictors
    )


def columns(scaled: Floats, pairs: Sequence[tuple[int, int]]) -> Floats:
    """Predictors and their interactions: (row, predictor) -> (row, column)."""
    if not pairs:
        return scaled
    first, second = np.array(pairs).T
    return np.concatenate([scaled, scaled[:, first] * scaled[:, second]], axis=1)


def fit(
    scaled: Floats,
    target_kg_m2: Floats,
    weight: Floats,
    group: npt.NDArray[np.integer],
    pairs: Sequence[tuple[int, int]],
    *,
    members: int,
    rng: np.random.Generator,
) -> tuple[Floats, Floats, Floats]:
    """Fit the members of one fold.

    Parameters
    ----------
    scaled : (row, predictor)
        Training rows only, standardised.
    target_kg_m2 : (row,)
    weight : (row,)
    group : (row,)
        What inner folds and the bootstrap keep together: years, or glaciers.
    pairs : sequence of (int, int)
        Interactions.
    members : int
    rng : numpy.random.Generator

    Returns
    -------
    coefficient : (member, column)
    intercept : (member,)
    out_of_bag : (member, row)
        Prediction of rows that a member did not draw, NaN elsewhere.
    """
    from sklearn import linear_model

    x = np.asfortranarray(columns(scaled, pairs), dtype=float)
    groups, number = np.unique(group, return_inverse=True)
    penalty = chosen_penalty(x, target_kg_m2, weight, group)
    coefficient, intercept = np.zeros((members, x.shape[1])), np.zeros(members)
    out_of_bag = np.full((members, len(x)), np.nan)
    for member in range(members):
        drawn = np.bincount(rng.integers(len(groups), size=len(groups)), minlength=len(groups))[number]
        model = linear_model.Lasso(penalty, max_iter=5000, tol=1e-3).fit(x, target_kg_m2, sample_weight=weight * drawn)
        coefficient[member], intercept[member] = model.coef_, model.intercept_
        left = drawn == 0
        out_of_bag[member, left] = model.predict(x[left]) if left.any() else np.nan
    return coefficient, intercept, out_of_bag


def chosen_penalty(x: Floats, target_kg_m2: Floats, weight: Floats, group: npt.NDArray[np.integer]) -> float:
    """Penalty that inner folds over whole groups choose.

    Parameters
    ----------
    x : (row, column)
        As of `columns`.
    target_kg_m2, weight, group : (row,)
    """
    from sklearn.model_selection import GroupKFold

    count = len(np.unique(group))
    if count < 3:
        raise ValueError(f"a fold trains on {count} years; expected at least 3. Add years, or hold out fewer.")
    path = _penalties(x, target_kg_m2, weight)
    inner = GroupKFold(min(_INNER_FOLDS, count)).split(x, groups=group)
    errors = [_errors(x, target_kg_m2, weight, train, test, path) for train, test in inner]
    return one_standard_error(path, np.stack(errors, axis=1))


def _penalties(x: Floats, target_kg_m2: Floats, weight: Floats) -> Floats:
    """Penalties from the least that leaves no coefficient down to a thousandth of it: (penalty,)."""
    share = weight / weight.sum()
    centred, left = x - share @ x, target_kg_m2 - share @ target_kg_m2
    most = float(np.abs((share * left) @ centred).max())
    return np.geomspace(most, _WEAKEST * most, _PENALTIES)


def _errors(
    x: Floats,
    target_kg_m2: Floats,
    weight: Floats,
    train: npt.NDArray[np.integer],
    test: npt.NDArray[np.integer],
    penalties: Floats,
) -> Floats:
    """Weighted mean square error in held-out rows by penalty: (penalty,).

    Not scikit-learn's LassoCV, which clears the warning filters of the process while it works and so disturbs what
    other threads do at the same time.
    """
    from sklearn import linear_model

    share = weight[train] / weight[train].sum()
    mean, level = share @ x[train], share @ target_kg_m2[train]
    root = np.sqrt(share * len(train))[:, None]
    coefficient = linear_model.lasso_path(
        np.asfortranarray((x[train] - mean) * root),
        (target_kg_m2[train] - level) * root[:, 0],
        alphas=penalties,
        max_iter=5000,
        tol=1e-3,
    )[1]
    left = target_kg_m2[test, None] - level - (x[test] - mean) @ coefficient
    error: Floats = np.average(left**2, axis=0, weights=weight[test])
    return error


def one_standard_error(penalties: Floats, errors: Floats) -> float:
    """Largest penalty whose mean error is within one standard error of the least.

    Parameters
    ----------
    penalties : (penalty,)
        Falling.
    errors : (penalty, inner fold)
    """
    mean = errors.mean(axis=1)
    best = mean.argmin()
    limit = mean[best] + errors[best].std(ddof=1) / np.sqrt(errors.shape[1])
    return float(penalties[np.flatnonzero(mean <= limit)[0]])
