"""Scores of predictions against observations, with block-bootstrap intervals.

Every metric follows from sums over rows, so a thousand resamples of whole blocks are one matrix product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.floating]

PLAIN = ("rmse", "mae", "bias", "r2", "R2")
PROBABILISTIC = ("crps", "coverage50", "coverage90")
INTERVAL = (2.5, 97.5)
"""Percentiles of the bootstrap that make the interval."""


def crps_normal(observed: Floats, mean: Floats, std: Floats) -> Floats:
    """Continuous ranked probability score of normal predictions.

    In closed form, after Gneiting & Raftery (2007, doi 10.1198/016214506000001437).

    Parameters
    ----------
    observed, mean, std : (row,), one unit

    Returns
    -------
    numpy.ndarray
        (row,), in that unit; less is better.
    """
    z = (observed - mean) / std
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    score: Floats = std * (z * (2 * special.ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return score


def row_sums(observed: Floats, predicted: Floats, std: Floats) -> Floats:
    """What each row adds to the sums that the metrics are made of: (row,) each -> (row, term)."""
    error = predicted - observed
    known = np.isfinite(std)
    safe = np.where(known, std, 1.0)
    z = np.abs(error) / safe
    crps = np.where(known, crps_normal(observed, predicted, safe), np.nan)
    inside = [np.where(known, z <= special.ndtri(0.5 + share / 2), np.nan) for share in (0.5, 0.9)]
    ones = np.ones_like(error)
    moments = [observed, observed**2, predicted, predicted**2, observed * predicted]
    return np.stack([ones, error, error**2, np.abs(error), *moments, crps, *inside], axis=1)


def from_sums(sums: Floats) -> dict[str, Floats]:
    """Metrics from summed terms: (..., term) -> each (...,).

    ``r2`` is the squared correlation, ``R2`` the coefficient of determination against the mean of the observations.
    """
    _, e, ee, ae, o, oo, p, pp, op, crps, in50, in90 = np.moveaxis(sums / sums[..., :1], -1, 0)
    var_o, var_p = oo - o**2, pp - p**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "rmse": np.sqrt(ee),
            "mae": ae,
            "bias": e,
            "r2": np.where((var_o > 1e-9) & (var_p > 1e-9), (op - o * p) ** 2 / (var_o * var_p), np.nan),
            "R2": np.where(var_o > 1e-9, 1 - ee / var_o, np.nan),
            "crps": crps,
            "coverage50": in50,
            "coverage90": in90,
        }


def resampled(sums: Floats, block: npt.NDArray[np.integer], draws: int, rng: np.random.Generator) -> Floats:
    """Summed terms of bootstrap resamples of whole blocks (Künsch 1989, doi 10.1214/aos/1176347265).

    Parameters
    ----------
    sums : (..., row, term)
        Terms of each row; leading axes are drawn alike, so that their differences are paired.
    block : (row,)
        Block of each row.
    draws : int
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        (..., draw, term)
    """
    blocks, number = np.unique(block, return_inverse=True)
    total = np.zeros((*sums.shape[:-2], len(blocks), sums.shape[-1]))
    for b in range(len(blocks)):
        total[..., b, :] = sums[..., number == b, :].sum(axis=-2)
    counts = rng.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=draws)
    drawn: Floats = counts.astype(float) @ total
    return drawn


def lasting_share(error: Floats, group: npt.NDArray[Any]) -> float:
    """Share of the variance of errors that stays with a group, 0 to 1: what does not average out over its rows.

    Of a one-way random-effects model, whose two variances follow by the method of moments (Searle, Casella & McCulloch
    1992, chapter 3).

    Parameters
    ----------
    error : (row,)
    group : (row,)
        Such as the glacier that an error is of.

    Returns
    -------
    float
        0 where fewer than three groups, or no group with two rows, cannot tell.
    """
    _, number, count = np.unique(group, return_inverse=True, return_counts=True)
    rows, groups = len(error), len(count)
    if groups < 3 or rows == groups:
        return 0.0
    mean = np.bincount(number, error) / count
    within = float(((error - mean[number]) ** 2).sum()) / (rows - groups)
    size = (rows - float((count**2).sum()) / rows) / (groups - 1)
    between = float((count * (mean - error.mean()) ** 2).sum()) / (groups - 1)
    lasting = max((between - within) / size, 0.0)
    return lasting / (lasting + within) if lasting > 0 else 0.0
