"""Filling gaps: the ensemble's mean conditioned on what was observed, as a best linear unbiased prediction.

The balance of a glacier in a year is what the ensemble says of it plus a Gaussian error of known covariance,

    y(g, t) = trend(g, t) + year effect of the region + year effect of the neighbourhood + year effect of the height
            + offset of the neighbourhood + offset of the height + offset of the glacier + what remains,

year effects being independent from year to year, offsets the same in all years. An observation is a weighted mean over
the years of one glacier, with an error of its own: an annual balance sees one year, a geodetic one all of its period.
Then every value that was not observed follows from those that were (Cressie 1993, doi 10.1002/9781119115151), as in
regression kriging (Hengl et al. 2007, doi 10.1016/j.cageo.2007.05.001).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg

from glacierscale.models import contrast
from glacierscale.models.contrast import Doubt
from glacierscale.models.covariance import Covariance, Pairs, learn, learned_from
from glacierscale.models.observed import Observed, Places

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

MOST = 6000
"""Observations that are conditioned on at once, the nearest of those there are: dense algebra grows with the cube."""

_AT_ONCE = 512  # glaciers


@dataclass(frozen=True, kw_only=True)
class Gapfill:
    """What was observed, and how it bears on what was not."""

    observed: Observed
    residual: Floats
    """(observation, 2) kg m-2, what the trend leaves; and its glacier's contrast with neighbours, of which a share is
    taken off where glaciers that were not observed are predicted: for all of them alike"""
    covariance: Covariance
    doubt: Doubt
    """How large that share is"""
    height_m: float
    """Height from which those of glaciers are counted"""

    @classmethod
    def of(cls, observed: Observed, covariance: Covariance | None = None, doubt: Doubt | None = None) -> Gapfill:
        """Learn the covariance and the doubt, unless they are given, from what the trend leaves of the observations."""
        observed = observed.merged()
        units, pieces = observed.units, _pieces(len(observed.units))
        apart = np.concatenate([contrast.of(units.take(some), observed.trend[some], observed) for some in pieces])
        left = observed.value - observed.trended
        filled = cls(
            observed=observed,
            residual=np.stack([left, apart[observed.unit]], axis=1),
            covariance=covariance or Covariance(),
            doubt=doubt or Doubt.before(len(np.unique(observed.unit))),
            height_m=float(observed.units.height_m.mean()),
        )
        return filled if covariance is not None else filled._learned(apart)

    def _learned(self, apart: Floats) -> Gapfill:
        """The same with what the observations tell of the covariance and of the doubt.

        Parameters
        ----------
        apart : (unit,) kg m-2
            Contrast of the observed glaciers.
        """
        observed, before = self.observed, self.doubt
        left = np.where(np.isfinite(observed.blind), observed.value - observed.blind, self.residual[:, 0])
        told = contrast.unseen_of(apart, observed)
        own = (apart if told is None else told)[observed.unit]
        # Where all was seen the contrast fits the observations as it need not fit others: it tells nothing.
        common = np.zeros(len(own)) if told is None else before.std * own
        covariance = learn(self.pairs, left + before.share * own, observed.sigma, observed.unit, common)
        if told is None:
            return replace(self, covariance=covariance)
        some = learned_from(observed.unit)
        whole = covariance.between(self.pairs(some)) + np.diag(observed.sigma[some] ** 2)
        return replace(self, covariance=covariance, doubt=before.after(whole, left[some], own[some]))

    def as_dict(self) -> dict[str, float]:
        """What was learned, by name."""
        doubt = {"contrast_taken_off": self.doubt.share, "contrast_taken_off_std": self.doubt.std}
        return {**self.covariance.as_dict(), **doubt}

    def pairs(self, which: Ints, other: Ints | None = None) -> Pairs:
        """How some of the observations relate to others, or to each other."""
        one = self.observed.take(which)
        two = one if other is None else self.observed.take(other)
        here, there = (some.units.take(some.unit) for some in (one, two))
        return Pairs(
            km=here.km(there),
            height=np.multiply.outer(self.risen(here), self.risen(there)),
            same=(one.unit[:, None] == two.unit).astype(float),
            years=one.weight @ two.weight.T,
        )

    def risen(self, places: Places) -> Floats:
        """(glacier,) height in units of the covariance."""
        return (places.height_m - self.height_m) / Covariance.HEIGHT_M

    @property
    def error(self) -> float:
        """Root mean square error of the annual balances, kg m-2; 0 where there is none."""
        annual = self.observed.sigma[self.observed.year >= 0]
        return float(np.sqrt(np.mean(annual**2))) if len(annual) else 0.0

    def prior(self, places: Places) -> Floats:
        """(glacier,) variance where nothing was observed, (kg m-2)^2."""
        return self.covariance.variance(self.risen(places))

    def near(self, places: Places) -> Gapfill:
        """The same with no more than the `MOST` observations that are nearest to any of some glaciers."""
        if len(self.observed) <= MOST:
            return self
        away = np.minimum.reduce(
            [places.take(some).km(self.observed.units).min(axis=0) for some in _pieces(len(places))]
        )
        which = np.sort(np.argsort(away[self.observed.unit], kind="stable")[:MOST])
        return replace(self, observed=self.observed.take(which), residual=self.residual[which])

    @cached_property
    def solved(self) -> Solved:
        """The factored covariance of all observations; kept in this process only."""
        return Solved.of(self)

    def __getstate__(self) -> dict[str, Any]:
        """What other processes need: they factor the covariance themselves, which is faster than sending it."""
        return {name: value for name, value in self.__dict__.items() if name != "solved"}

    def predict(self, places: Places, trend: Floats) -> tuple[Floats, Floats]:
        """Balance of glaciers given all observations but, in an observed year of a glacier, that annual balance itself.

        Parameters
        ----------
        places : Places
        trend : (glacier, year) kg m-2
            What the ensemble says; NaN stays.

        Returns
        -------
        mean : (glacier, year) kg m-2
        variance : (glacier, year) (kg m-2)^2
            Of the balance itself; an observation of it adds its error.
        """
        parts = [self._some(places.take(some), trend[some]) for some in _pieces(len(places))]
        mean, variance = (np.concatenate(part) for part in zip(*parts, strict=True))
        return mean, np.where(np.isfinite(mean), variance, np.nan)

    def _some(self, places: Places, trend: Floats) -> tuple[Floats, Floats]:
        observed, solved = self.observed, self.solved
        units = observed.units
        same = places.unit_id[:, None] == units.unit_id
        pairs = Pairs(
            km=places.km(units)[:, observed.unit],
            height=np.multiply.outer(self.risen(places), self.risen(units)[observed.unit]),
            same=same[:, observed.unit].astype(float),
            years=np.ones((len(places), len(observed))),
        )
        yearly, lasting = self.covariance.parts(pairs)  # (glacier, observation)
        seen = same.any(axis=1)[:, None]
        own, bent = (yearly @ (observed.weight * pull[:, None]) + (lasting @ pull)[:, None] for pull in solved.pull.T)
        doubted = np.where(seen, 0.0, bent - contrast.of(places, trend, observed)[:, None])
        moved = own + self.doubt.share * doubted
        variance = np.empty_like(trend)
        columns, which = np.unique(observed.weight, axis=1, return_inverse=True)
        for number, weight in enumerate(columns.T):  # years that are observed alike share a solution
            across = linalg.solve_triangular(
                solved.factor, (yearly * weight + lasting).T, lower=True, check_finite=False
            )
            left = self.prior(places) - (across**2).sum(axis=0)
            variance[:, which.ravel() == number] = left[:, None]
        variance += (self.doubt.std * doubted) ** 2
        self._left_out(same, moved, variance)
        return trend + moved, np.maximum(variance, 0.0)

    def _left_out(self, same: npt.NDArray[np.bool_], moved: Floats, variance: Floats) -> None:
        """Put what all others say in place of what an annual balance says of its own year."""
        observed, solved = self.observed, self.solved
        annual = np.flatnonzero(observed.year >= 0)
        glacier, which = np.nonzero(same[:, observed.unit[annual]])
        own = annual[which]
        moved[glacier, observed.year[own]] = solved.others[own]
        variance[glacier, observed.year[own]] = 1 / solved.precision[own] - observed.sigma[own] ** 2


@dataclass(frozen=True, kw_only=True)
class Solved:
    """The covariance of all observations, factored."""

    factor: Floats
    """(observation, observation) lower Cholesky factor"""
    pull: Floats
    """(observation, 2) inverse covariance times residuals"""
    precision: Floats
    """(observation,) diagonal of the inverse covariance; NaN for means of several years"""
    others: Floats
    """(observation,) kg m-2, what all others say of the residual of each; NaN for means of several years"""

    @classmethod
    def of(cls, filled: Gapfill) -> Solved:
        """Factor the covariance; errors above zero keep it positive definite."""
        count = len(filled.observed)
        whole, every = np.empty((count, count)), np.arange(count)
        for piece in _pieces(count):
            whole[piece] = filled.covariance.between(filled.pairs(every[piece], every))
        whole[np.diag_indices(count)] += filled.observed.sigma**2
        factor = linalg.cholesky(whole, lower=True, overwrite_a=True, check_finite=False)
        pull = linalg.cho_solve((factor, True), filled.residual)
        precision, others = np.full(count, np.nan), np.full(count, np.nan)
        annual = np.flatnonzero(filled.observed.year >= 0)
        for some in np.array_split(annual, max(1, len(annual) // _AT_ONCE)):
            at = some, np.arange(len(some))
            inverse = np.zeros((count, len(some)))
            inverse[at] = 1.0
            inverse = linalg.cho_solve((factor, True), inverse, overwrite_b=True, check_finite=False)
            precision[some] = inverse[at]
            inverse[at] = 0.0  # its own residual is not read at all, rather than taken off afterwards
            others[some] = -(filled.residual[:, 0] @ inverse) / precision[some]
        return cls(factor=factor, pull=pull, precision=precision, others=others)


def predictive_std(std: Floats, variance: Floats, prior: Floats, error: float) -> Floats:
    """Predictive standard deviation of an observed value, given how much the observations tell.

    Parameters
    ----------
    std : (...) kg m-2
        The ensemble's own.
    variance : (...) (kg m-2)^2
        What `Gapfill.predict` leaves.
    prior : (...) (kg m-2)^2
        The same where nothing was observed.
    error : float
        Standard error of an observation, kg m-2.

    Returns
    -------
    numpy.ndarray
        (...) kg m-2. What the ensemble's variance has beyond the prior stays, and no less than the error of an
        observation, so that far from all observations it is the ensemble's own, unless the prior is wider.
    """
    spread: Floats = np.sqrt(variance + np.maximum(std**2 - prior, error**2))
    return spread


def _pieces(count: int) -> Iterator[slice]:
    for start in range(0, count, _AT_ONCE):
        yield slice(start, min(start + _AT_ONCE, count))
