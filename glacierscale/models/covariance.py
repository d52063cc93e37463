"""Covariance of what an ensemble leaves unexplained between glaciers and years, and how it is learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass, fields
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import linalg, optimize

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

LEARNED_FROM = 800
"""Observations that the covariance is learned from, whole glaciers drawn at random where there are more."""

_ROUNDS = 60
_FARTHEST = 5.0  # of a logarithm from the prior: with larger effects errors are lost to rounding


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """How observations relate, two by two."""

    km: Floats
    """(one, other) distance"""
    height: Floats
    """(one, other) product of their heights"""
    same: Floats
    """(one, other) 1 for the same glacier, else 0"""
    years: Floats
    """(one, other) shared weight of years: sum over years of the product of their weights"""


@dataclass(frozen=True)
class Covariance:
    """Standard deviations of the effects in kg m-2 and reaches in km; the defaults are where learning starts from."""

    region: float = 300.0
    """Year effect of the region"""
    vicinity: float = 500.0
    """Year effect of the neighbourhood"""
    reach_km: float = 200.0
    """Distance over which it decays by 1/e"""
    slope: float = 100.0
    """Year effect that grows with height, per `HEIGHT_M`"""
    lasting: float = 150.0
    """Offset of the neighbourhood"""
    lasting_reach_km: float = 50.0
    """Distance over which it decays by 1/e"""
    lasting_slope: float = 100.0
    """Offset that grows with height, per `HEIGHT_M`"""
    glacier: float = 150.0
    """Offset of the glacier"""
    rest: float = 300.0
    """What remains of a glacier in a year"""

    HEIGHT_M: ClassVar[float] = 300.0
    WIDTH: ClassVar[float] = 1.0
    """Standard deviation of the prior of every logarithm around the default"""

    def as_dict(self) -> dict[str, float]:
        """The numbers by name."""
        return asdict(self)

    def parts(self, pairs: Pairs) -> tuple[Floats, Floats]:
        """Covariance of effects of a shared year, and of lasting ones: (one, other) each, (kg m-2)^2."""
        near = self.vicinity**2 * np.exp(-pairs.km / self.reach_km)
        yearly = self.region**2 + near + self.slope**2 * pairs.height + self.rest**2 * pairs.same
        beside = self.lasting**2 * np.exp(-pairs.km / self.lasting_reach_km)
        lasting = beside + self.lasting_slope**2 * pairs.height + self.glacier**2 * pairs.same
        return yearly, lasting

    def between(self, pairs: Pairs) -> Floats:
        """Covariance of observations, their errors left out: (one, other) (kg m-2)^2."""
        yearly, lasting = self.parts(pairs)
        return yearly * pairs.years + lasting

    def variance(self, height: Floats) -> Floats:
        """Variance of the balance of one year at heights: (glacier,) (kg m-2)^2."""
        fixed = self.region**2 + self.vicinity**2 + self.lasting**2 + self.glacier**2 + self.rest**2
        return fixed + (self.slope**2 + self.lasting_slope**2) * height**2


def learn(
    pairs_of: Callable[[Ints], Pairs], residual: Floats, sigma: Floats, group: Ints, common: Floats
) -> Covariance:
    """Covariance of the largest posterior probability: marginal likelihood of residuals, and a wide prior.

    The prior is log-normal around the defaults; it decides where few glaciers tell nothing, of the reaches above all.

    Parameters
    ----------
    pairs_of : callable
        How observations relate, given some of them.
    residual, sigma : (observation,) kg m-2
        What the trend leaves, and its standard error.
    group : (observation,)
        Glacier of each.
    common : (observation,) kg m-2
        What one standard deviation of an unknown number that all share does to each.
    """
    which = learned_from(group)
    pairs, left = pairs_of(which), residual[which]
    noise = np.diag(sigma[which] ** 2) + np.multiply.outer(common[which], common[which])
    start = np.log(astuple(Covariance()))
    found = optimize.minimize(
        _unlikely, start, args=(start, pairs, left, noise), jac=True, method="L-BFGS-B", options={"maxiter": _ROUNDS}
    )
    # Rounded, so that another order of summation does not change what is stored.
    return Covariance(*(float(f"{value:.4g}") for value in np.exp(found.x)))


def learned_from(group: Ints) -> Ints:
    """All observations, or those of as many glaciers as give `LEARNED_FROM`, drawn alike every time."""
    if len(group) <= LEARNED_FROM:
        return np.arange(len(group))
    names, count = np.unique(group, return_counts=True)
    order = np.random.default_rng(0).permutation(len(names))
    taken = np.searchsorted(np.cumsum(count[order]), LEARNED_FROM, "right")
    return np.flatnonzero(np.isin(group, names[order[: max(1, taken)]]))


def _unlikely(logs: Floats, start: Floats, pairs: Pairs, residual: Floats, noise: Floats) -> tuple[float, Floats]:
    """Negative logarithm of the posterior probability up to a constant, and its gradient."""
    within = np.clip(logs, start - _FARTHEST, start + _FARTHEST)
    one = Covariance(*np.exp(within).tolist())
    whole = one.between(pairs) + noise
    factor = linalg.cholesky(whole, lower=True, overwrite_a=True, check_finite=False)
    pull = linalg.cho_solve((factor, True), residual)
    half = linalg.lapack.dpotri(factor, lower=True)[0]  # lower triangle of the inverse
    slope = 0.5 * (half + np.tril(half, -1).T - np.multiply.outer(pull, pull))
    off = (logs - start) / Covariance.WIDTH
    value = 0.5 * residual @ pull + np.log(np.diag(factor)).sum() + 0.5 * off @ off
    return float(value), np.where(within == logs, _gradient(one, pairs, slope), 0.0) + off / Covariance.WIDTH


def _gradient(one: Covariance, pairs: Pairs, slope: Floats) -> Floats:
    """Gradient by the logarithm of each number, `slope` being that by each entry of the covariance."""
    yearly = slope * pairs.years
    near, beside = (np.exp(-pairs.km / reach) for reach in (one.reach_km, one.lasting_reach_km))
    total = {
        "region": 2 * one.region**2 * yearly.sum(),
        "vicinity": 2 * one.vicinity**2 * (yearly * near).sum(),
        "reach_km": one.vicinity**2 * (yearly * near * pairs.km).sum() / one.reach_km,
        "slope": 2 * one.slope**2 * (yearly * pairs.height).sum(),
        "lasting": 2 * one.lasting**2 * (slope * beside).sum(),
        "lasting_reach_km": one.lasting**2 * (slope * beside * pairs.km).sum() / one.lasting_reach_km,
        "lasting_slope": 2 * one.lasting_slope**2 * (slope * pairs.height).sum(),
        "glacier": 2 * one.glacier**2 * (slope * pairs.same).sum(),
        "rest": 2 * one.rest**2 * (yearly * pairs.same).sum(),
    }
    return np.array([total[field.name] for field in fields(one)])
