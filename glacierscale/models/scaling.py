"""Standardisation of predictors, fitted on the training rows of each fold and on nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Scaler:
    """Mean and standard deviation per fold and predictor."""

    mean: Floats
    """(fold, predictor)"""
    std: Floats
    """(fold, predictor); infinite for a predictor that does not vary, so that it becomes zero everywhere."""
    low: Floats
    """(fold, predictor) least value that passes; the training rows' own for predictors that must not extrapolate"""
    high: Floats
    """(fold, predictor)"""

    def transform(self, fold: int, predictors: Floats) -> Floats:
        """Standardise (row, predictor) values with the numbers of a fold."""
        inside = np.clip(predictors, self.low[fold], self.high[fold])
        scaled: Floats = ((inside - self.mean[fold]) / self.std[fold]).astype(np.float32)
        return scaled


def fit(predictors: Floats, training: npt.NDArray[np.bool_], bounded: npt.NDArray[np.bool_]) -> Scaler:
    """Fit every fold.

    Parameters
    ----------
    predictors : (row, predictor)
    training : (fold, row) bool
    bounded : (predictor,) bool
        Predictors to keep inside the range of the training rows: those that tell glaciers apart, of which there are
        often too few to say what lies beyond.

    Returns
    -------
    Scaler
    """
    values = predictors.astype(float)
    share = training / training.sum(axis=1, keepdims=True)
    mean = share @ values
    centre = values.mean(axis=0)  # keeps the variance from cancelling for predictors of large mean
    variance = share @ (values - centre) ** 2 - (mean - centre) ** 2
    tiny = 1e-6 * np.maximum(np.abs(mean), 1e-6)
    std = np.sqrt(np.maximum(variance, 0))
    low = np.stack([np.where(bounded, values[rows].min(axis=0), -np.inf) for rows in training])
    high = np.stack([np.where(bounded, values[rows].max(axis=0), np.inf) for rows in training])
    return Scaler(mean=mean, std=np.where(std > tiny, std, np.inf), low=low, high=high)
