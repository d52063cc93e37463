"""Temperature-index model: three parameters between climate and glacier-wide balance.

SMB = precipitation factor x snowfall(T + bias) - degree-day factor x degree days(T + bias), each averaged over the
glacier's elevation bands (Hock 2003, doi 10.1016/S0022-1694(03)00257-9). With the bias on a grid the other two follow
from least squares in closed form, so that the fits of all folds are one matrix product. It is the yardstick of every
score, and the base that the learned models correct.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

BIASES_K = np.round(np.arange(-3.0, 3.01, 0.25), 2)
"""Temperature biases tried, K."""


@dataclass(frozen=True, kw_only=True)
class TemperatureIndex:
    """Fitted parameters, one set per fold."""

    precip_factor: Floats
    """(fold,) 1"""
    degree_day_factor: Floats
    """(fold,) kg m-2 K-1 day-1"""
    bias: npt.NDArray[np.integer]
    """(fold,) index into `BIASES_K`"""

    def predict(self, fold: int, snow_kg_m2: Floats, degree_days: Floats) -> Floats:
        """Balance of rows.

        Parameters
        ----------
        fold : int
        snow_kg_m2, degree_days : (row, bias)

        Returns
        -------
        numpy.ndarray
            (row,) kg m-2 per hydrological year.
        """
        at = self.bias[fold]
        melt = self.degree_day_factor[fold] * degree_days[:, at]
        balance: Floats = self.precip_factor[fold] * snow_kg_m2[:, at] - melt
        return balance


def fit(snow_kg_m2: Floats, degree_days: Floats, observed_kg_m2: Floats, weight: Floats) -> TemperatureIndex:
    """Fit every fold by weighted least squares, both factors kept from going below zero.

    Parameters
    ----------
    snow_kg_m2, degree_days : (row, bias)
        Band-averaged snowfall and degree days with each of `BIASES_K` added to the temperature.
    observed_kg_m2 : (row,)
    weight : (fold, row)
        Zero for rows that are no training rows of the fold.

    Returns
    -------
    TemperatureIndex
    """
    target = observed_kg_m2[:, None]
    snow, melt = snow_kg_m2.astype(float), -degree_days.astype(float)
    ss, mm, sm = (weight @ (a * b) for a, b in ((snow, snow), (melt, melt), (snow, melt)))  # (fold, bias)
    sy, my, yy = weight @ (snow * target), weight @ (melt * target), weight @ target**2

    determinant = np.maximum(ss * mm - sm**2, 1e-12)
    both = (sy * mm - my * sm) / determinant, (my * ss - sy * sm) / determinant
    only_snow = np.maximum(sy / np.maximum(ss, 1e-12), 0), np.zeros_like(ss)
    only_melt = np.zeros_like(ss), np.maximum(my / np.maximum(mm, 1e-12), 0)
    candidates = np.stack([both, only_snow, only_melt])  # (candidate, factor, fold, bias)
    p, d = candidates[:, 0], candidates[:, 1]
    error = p**2 * ss + d**2 * mm + 2 * p * d * sm - 2 * p * sy - 2 * d * my + yy
    error = np.where((p < 0) | (d < 0), np.inf, error)

    choice = error.argmin(axis=0)
    best = np.take_along_axis(error, choice[None], 0)[0].argmin(axis=1)  # (fold,)
    fold = np.arange(len(best))
    chosen = candidates[choice[fold, best], :, fold, best]
    return TemperatureIndex(precip_factor=chosen[:, 0], degree_day_factor=chosen[:, 1], bias=best)
