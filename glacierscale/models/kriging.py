"""Gaussian process over the predictors: a trend that near-by glaciers correct.

The covariance of two rows is the sum of a line and a smooth surface over all predictors, and of what depends on where
the glaciers lie: one part over short distances that all years share, one that only like years share, and one over
distances twenty times as long. Far from any training glacier the surfaces over the predictors remain. Its few
parameters maximise the marginal likelihood of the training rows (Rasmussen & Williams 2006, chapter 5); the process is
carried by some training rows, the others conditionally independent given them (Snelson & Ghahramani 2006), so that
thousands of rows are no burden. Members are draws from the posterior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Floats = npt.NDArray[np.floating]

PARAMETERS = ("line", "surface", "smoothness", "near", "near_lat", "near_lon", "near_like_years", "far", "noise")
START = (0.1, 0.1, 3.0, 0.1, 0.1, 0.1, 0.05, 0.1, 0.5)
"""Variances in units of the target's, and lengths in standard deviations of the predictors, where the search begins."""

SUPPORT = 1000
"""At most this many training rows carry the process."""

_FAR = 20.0  # lengths of the far part per length of the near one
_STEPS, _RATE, _TRIED = 40, 0.1, 600
_JITTER, _AT_ONCE = 1e-6, 2000


@dataclass(frozen=True, kw_only=True)
class Kriging:
    """Weights of the rows that carry the process, of every fold and member."""

    support: Floats
    """(fold, support, predictor) standardised"""
    weight: Floats
    """(fold, member, support) kg m-2"""
    kernel: Floats
    """(fold, parameter) see `PARAMETERS`"""
    centre: Floats
    """(fold,) kg m-2"""
    place: tuple[int, ...]
    """Numbers of the predictors that say where a glacier lies: latitude, longitude; none where they lack"""
    yearly: tuple[int, ...]
    """Numbers of the predictors that tell years apart"""

    def members(self, fold: int, scaled: Floats) -> Floats:
        """Prediction of every member: (row, predictor) standardised -> (member, row) kg m-2."""
        kernel, support = torch.from_numpy(self.kernel[fold]).double(), torch.from_numpy(self.support[fold]).double()
        weight = torch.from_numpy(self.weight[fold]).double()
        rows = torch.from_numpy(np.asarray(scaled, np.float64))
        parts = [
            weight @ covariance(kernel, support, rows[start : start + _AT_ONCE], self.place, self.yearly)
            for start in range(0, len(rows), _AT_ONCE)
        ]
        told: Floats = np.concatenate([np.zeros((len(weight), 0)), *(part.numpy() for part in parts)], axis=1)
        return told + self.centre[fold]  # type: ignore[no-any-return]


def covariance(
    kernel: torch.Tensor, one: torch.Tensor, other: torch.Tensor, place: Sequence[int], yearly: Sequence[int]
) -> torch.Tensor:
    """Covariance of rows with rows, in units of the target's variance: (row, other).

    Parameters
    ----------
    kernel : (parameter,)
    one, other : (row, predictor)
        Standardised predictors.
    place, yearly : sequence of int
        As of `Kriging`.
    """
    line, surface, smoothness, near, near_lat, near_lon, like, far, _ = kernel
    total: torch.Tensor = line * (one @ other.T) / one.shape[1] + surface * torch.exp(
        -_square(one, other) / (2 * smoothness**2)
    )
    if not place:
        return total
    length = torch.stack([near_lat, near_lon])
    away = torch.sqrt(_square(one[:, list(place)] / length, other[:, list(place)] / length) + 1e-12)
    years = torch.ones(())
    if yearly:
        years = torch.exp(-_square(one[:, list(yearly)], other[:, list(yearly)]) / (2 * len(yearly)))
    smooth = 3**0.5 * away / _FAR
    whole: torch.Tensor = total + (near + like * years) * torch.exp(-away) + far * (1 + smooth) * torch.exp(-smooth)
    return whole


def fit(
    scaled: Floats,
    target_kg_m2: Floats,
    weight: Floats,
    group: npt.NDArray[np.integer],
    place: Sequence[int],
    yearly: Sequence[int],
    *,
    support: int,
    members: int,
    rng: np.random.Generator,
) -> tuple[dict[str, Floats], Floats]:
    """Fit one fold.

    Parameters
    ----------
    scaled : (row, predictor)
        Training rows only, standardised.
    target_kg_m2 : (row,)
    weight : (row,)
        Inverse of the rows' variances, up to a factor that is fitted.
    group : (row,)
        What stays together: the parameters are fitted to whole groups, and out-of-bag predictions know nothing of the
        group of a row.
    place, yearly : sequence of int
        As of `Kriging`.
    support : int
        How many of the rows carry the process.
    members : int
    rng : numpy.random.Generator

    Returns
    -------
    parts : dict
        ``support`` (support, predictor), ``weight`` (member, support), ``kernel`` (parameter,), ``centre`` ().
    out_of_bag : (row,)
        What the process says of each row without its group, kg m-2.
    """
    centre = np.average(target_kg_m2, weights=weight)
    scale = np.sqrt(np.average((target_kg_m2 - centre) ** 2, weights=weight)) or 1.0
    x, y = torch.from_numpy(np.asarray(scaled, np.float64)), torch.from_numpy((target_kg_m2 - centre) / scale)
    spread = torch.from_numpy(1 / weight)
    kernel = _likeliest(x, y, spread, group, place, yearly, rng)

    carrying = x[np.sort(rng.permutation(len(x))[:support])]
    own = covariance(kernel, carrying, carrying, place, yearly)
    root = torch.linalg.cholesky(own + _JITTER * own.diagonal().mean() * torch.eye(len(own), dtype=own.dtype))
    basis = torch.linalg.solve_triangular(root, covariance(kernel, carrying, x, place, yearly), upper=False)
    # What the carrying rows cannot express counts as noise of the row (fully independent training conditionals).
    lost = (_variance(kernel, x, place) - (basis**2).sum(dim=0)).clamp_min(0.0)
    noise = kernel[-1] * spread + lost
    told = basis / noise
    factor = torch.linalg.cholesky(told @ basis.T + torch.eye(len(own), dtype=own.dtype))
    mean = torch.cholesky_solve((told @ y)[:, None], factor)
    drawn = rng.normal(size=(len(own), members))
    if members > 1:  # the mean over members is that of the process, whatever was drawn
        drawn = (drawn - drawn.mean(axis=1, keepdims=True)) * np.sqrt(members / (members - 1))
    moved = torch.linalg.solve_triangular(factor.T, torch.from_numpy(drawn if members > 1 else 0 * drawn), upper=True)
    carried = torch.linalg.solve_triangular(root.T, mean + moved, upper=True)
    parts = {
        "support": carrying.numpy().astype(np.float32),
        "weight": carried.T.numpy() * scale,
        "kernel": kernel.numpy(),
        "centre": np.asarray(centre),
    }
    half = torch.linalg.solve_triangular(factor, basis, upper=False).numpy()
    left = (y - basis.T @ mean[:, 0]).numpy()
    out = y.numpy() - _without_group(half, left, noise.numpy(), group)
    return parts, out * scale + centre


def _likeliest(
    x: torch.Tensor,
    y: torch.Tensor,
    spread: torch.Tensor,
    group: npt.NDArray[np.integer],
    place: Sequence[int],
    yearly: Sequence[int],
    rng: np.random.Generator,
) -> torch.Tensor:
    """Parameters of the greatest marginal likelihood, by ascent on draws of groups; the mean over the latter half."""
    logs = torch.log(torch.tensor(START, dtype=torch.float64)).requires_grad_()
    optimizer = torch.optim.Adam([logs], lr=_RATE)
    _, number = np.unique(group, return_inverse=True)
    if np.bincount(number).max() > _TRIED / 10:
        number = np.arange(len(number))  # few large groups: rows of all of them
    seen = []
    for step in range(_STEPS):
        order = rng.permutation(number.max() + 1)
        ahead = np.cumsum(np.bincount(number)[order])
        some = torch.from_numpy(np.flatnonzero(np.isin(number, order[: np.searchsorted(ahead, _TRIED) + 1])))
        kernel = torch.exp(logs)
        whole = covariance(kernel, x[some], x[some], place, yearly)
        root = torch.linalg.cholesky(whole + torch.diag(kernel[-1] * spread[some] + _JITTER))
        white = torch.linalg.solve_triangular(root, y[some, None], upper=False)
        loss = (0.5 * (white**2).sum() + torch.log(root.diagonal()).sum()) / len(some)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step >= _STEPS // 2:
            seen.append(logs.detach().clone())
    return torch.exp(torch.stack(seen).mean(dim=0))


def _without_group(half: Floats, left: Floats, variance: Floats, group: npt.NDArray[np.integer]) -> Floats:
    """What is left of each row by a process that never saw its group: (basis, row), (row,) -> (row,).

    In closed form: the residuals of a group, divided by one minus its part of the matrix that smooths.
    """
    out = np.empty(len(left))
    order = np.argsort(group, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        smooth = half[:, rows].T @ half[:, rows] / variance[rows]
        out[rows] = np.linalg.solve(np.eye(len(rows)) - smooth, left[rows])
    return out


def _variance(kernel: torch.Tensor, rows: torch.Tensor, place: Sequence[int]) -> torch.Tensor:
    """Variance of rows: (row,)."""
    line, surface, _, near, _, _, like, far, _ = kernel
    own: torch.Tensor = line * (rows**2).mean(dim=1) + surface + (near + like + far if place else 0.0)
    return own


def _square(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Squared distance of rows from rows: (row, other)."""
    product = one @ other.T
    square = (one**2).sum(dim=1)[:, None] + (other**2).sum(dim=1)[None] - 2 * product
    return square.clamp_min(0.0)
