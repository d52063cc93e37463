"""A climate model's months with the mean and the variability of the observed climate, and its own changes.

A climate model knows no mountain, so only its changes are used. The reference is the hydrological years that the
observed climate and the model both know.

* Temperature is split into its running mean over `WINDOW_YEARS` and what is left. The residuals are scaled by the ratio
  of the observed to the modelled standard deviation of such residuals; the running mean, which holds the warming, is
  not. The whole is then moved so that its mean over the reference is the observed one.
* Precipitation is split into its running mean and relative residuals, and those are raised to the power that gives them
  the observed coefficient of variation (Leander & Buishand 2007, doi 10.1016/j.jhydrol.2006.10.006). Unlike residuals
  that are stretched along a line, powers of them stay positive, so nothing has to be cut off at 0 and the mean holds;
  unlike logarithms, they allow months without any precipitation. Residuals are divided by their own running mean, so
  that the power adds no trend. The whole is a factor on the observed climatology.

Months follow each other in another way in a model than outdoors, so that months of the right variability may add up to
seasons and years of a wrong one: 25 % too variable in the Oetztal Alps. So each calendar month is treated by itself,
then the sums over winter and summer, then those over the year, all months of a span sharing its change (Johnson &
Sharma 2012, doi 10.1029/2011WR010464); and all three times, for each disturbs the others a little (Mehrotra & Sharma
2012, doi 10.1029/2012WR012446).

Arrays end in (..., hydro_year, month), month 0 being the first of the hydrological year.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from glacierscale.region import WINTER_MONTHS

WINDOW_YEARS = 31
"""Years of the running mean, fewer at the ends of a series; what is shorter counts as variability."""

RATIO_LIMITS = (0.5, 2.0)
"""Bounds of the factor on temperature residuals and of the power of precipitation residuals, of months, seasons and
years alike. Beyond them model and observation do not describe one climate, and matching them would invent one."""

LEAST_PRECIP_KG_M2 = 1.0
"""Mean precipitation of a calendar month in the model below which its ratios mean nothing and none is applied."""

_SPANS = (np.arange(12), np.array([0, WINTER_MONTHS]), np.array([0]))  # where months, seasons and the year start
_ROUNDS = 3

Floats = npt.NDArray[np.floating]
Years = npt.NDArray[np.integer]
Flags = npt.NDArray[np.bool_]


class Climate(NamedTuple):
    """A climate on an axis of hydrological years."""

    temp: Floats
    """(glacier, year, month) degC"""
    precip: Floats
    """(glacier, year, month) kg m-2"""
    known: Flags
    """(glacier, year), whether every month of both is there"""


def on_years(temp: Floats, precip: Floats, own_years: Years, years: Years) -> Climate:
    """A climate on another axis of years.

    Parameters
    ----------
    temp, precip : (glacier, own_year, month)
        degC and kg m-2.
    own_years : (own_year,) int
    years : (year,) int
        Every year from before the first to after the last of them.

    Returns
    -------
    Climate
        NaN and not known in other years; a year with a NaN month is not known either.
    """
    at = np.asarray(own_years) - years[0]
    whole = np.isfinite(temp).all(axis=-1) & np.isfinite(precip).all(axis=-1)
    placed = [np.full((len(temp), len(years), 12), np.nan) for _ in range(2)]
    known = np.zeros((len(temp), len(years)), bool)
    placed[0][:, at], placed[1][:, at], known[:, at] = temp, precip, whole
    return Climate(placed[0], placed[1], known)


def adjusted_temperature(observed: Climate, modelled: Climate, reference: Flags) -> Floats:
    """Modelled temperature with the observed mean and variability over the reference.

    Parameters
    ----------
    observed, modelled : Climate
        On the same years.
    reference : (glacier, year) bool
        Years that both know.

    Returns
    -------
    numpy.ndarray
        (glacier, year, month) degC; NaN in years that the model does not know.
    """
    trend = _running(modelled.temp, modelled.known, slope=True)
    residual = modelled.temp - trend
    ours = observed.temp - _running(observed.temp, observed.known, slope=True)
    goals = []
    for starts in _SPANS:
        aim, own = (_deviation(_summed(values, starts), reference) for values in (ours, residual))
        goals.append(np.clip(aim, *(limit * own for limit in RATIO_LIMITS)))
    for starts, goal in [*zip(_SPANS, goals, strict=True)] * _ROUNDS:
        total = _summed(residual, starts)
        own = _deviation(total, reference)
        ratio = np.divide(goal, own, out=np.ones_like(own), where=own > 0)
        residual = residual + _each_month(total * (ratio - 1) / _lengths(starts), starts)
    scaled = trend + residual
    moved: Floats = scaled - _mean(scaled, reference) + _mean(observed.temp, reference)
    return moved


def adjusted_precipitation(observed: Climate, modelled: Climate, reference: Flags) -> Floats:
    """Modelled precipitation with the observed mean and variability over the reference.

    Parameters
    ----------
    observed, modelled : Climate
        On the same years.
    reference : (glacier, year) bool
        Years that both know.

    Returns
    -------
    numpy.ndarray
        (glacier, year, month) kg m-2; the observed climatology in every year, where the model's is below
        `LEAST_PRECIP_KG_M2`.
    """
    usual, theirs = _mean(observed.precip, reference), _mean(modelled.precip, reference)
    tells = theirs >= LEAST_PRECIP_KG_M2
    # On the observed level from the start: so months weigh in sums over seasons what they weigh where glaciers are.
    amount = np.where(tells, modelled.precip * np.divide(usual, theirs, out=np.zeros_like(usual), where=tells), usual)
    goals = []
    for starts in _SPANS:
        aim, own = (
            _relative(_summed(values, starts), known)
            for values, known in ((observed.precip, observed.known), (amount, modelled.known))
        )
        goals.append(np.clip(_spread(aim, reference), *(_spread(own**limit, reference) for limit in RATIO_LIMITS)))
    for starts, goal in [*zip(_SPANS, goals, strict=True)] * _ROUNDS:
        share = _relative(_summed(amount, starts), modelled.known)
        factor = np.power(share, _power(share, goal, reference) - 1, out=np.ones_like(share), where=share > 0)
        moved = amount * _each_month(factor, starts)
        before, after = (_running(values, modelled.known, slope=False) for values in (amount, moved))
        amount = moved * np.divide(before, after, out=np.ones_like(after), where=after > 0)
    climatology = _mean(amount, reference)
    result: Floats = usual * np.divide(amount, climatology, out=np.ones_like(amount), where=tells & (climatology > 0))
    return result


def _summed(values: Floats, starts: Years) -> Floats:
    """Sums over spans of months: (glacier, year, month) -> (glacier, year, span)."""
    total: Floats = np.add.reduceat(values, starts, axis=-1)
    return total


def _each_month(values: Floats, starts: Years) -> Floats:
    """Each span's value for its months: (glacier, year, span) -> (glacier, year, month)."""
    return np.repeat(values, _lengths(starts), axis=-1)


def _lengths(starts: Years) -> Years:
    """Months of each span: (span,)."""
    return np.diff(starts, append=12)


def _relative(values: Floats, known: Flags) -> Floats:
    """Values relative to their running mean; 1 where 31 years have none."""
    trend = _running(values, known, slope=False)
    return np.divide(values, trend, out=np.ones_like(trend), where=trend > 0)


def _running(values: Floats, known: Flags, *, slope: bool) -> Floats:
    """Running mean over `WINDOW_YEARS`, of the years that are known: (glacier, year, month).

    With `slope`, a line is fitted instead: the same inside a whole series, but at its ends, where the years lie on one
    side, a mean would lag behind a trend by half the window, and the lag would be scaled as if it were variability.
    """
    year = np.arange(values.shape[1])
    away = year[None, :] - year[:, None]
    inside = (np.abs(away) <= WINDOW_YEARS // 2).astype(float)
    weight = known[..., None].astype(float)
    filled = np.where(known[..., None], values, 0.0)
    n, total = inside @ weight, inside @ filled
    mean: Floats = np.divide(total, n, out=np.full_like(total, np.nan), where=n > 0)
    if not slope:
        return mean
    first, second = (inside * away) @ weight, (inside * away**2) @ weight
    moment = (inside * away) @ filled
    scale = n * second - first**2
    fitted: Floats = np.divide(total * second - moment * first, scale, out=mean, where=scale > 0)
    return fitted


def _power(residual: Floats, spread: Floats, reference: Flags) -> Floats:
    """Power of relative residuals that gives them a coefficient of variation: (glacier, 1, month), by bisection.

    The coefficient grows with the power, whatever the values.
    """
    used = np.flatnonzero(reference.any(axis=0))
    residual, reference = residual[:, used], reference[:, used]
    low, high = (np.full_like(spread, limit) for limit in RATIO_LIMITS)
    for _ in range(20):
        middle = (low + high) / 2
        above = _spread(residual**middle, reference) > spread
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    power: Floats = (low + high) / 2
    return power


def _spread(values: Floats, chosen: Flags) -> Floats:
    """Coefficient of variation over the chosen years: (glacier, 1, month)."""
    mean = _mean(values, chosen)
    return np.divide(_deviation(values, chosen), mean, out=np.zeros_like(mean), where=mean > 0)


def _mean(values: Floats, chosen: Flags) -> Floats:
    """Mean over the chosen years: (glacier, 1, month)."""
    total = np.where(chosen[..., None], values, 0.0).sum(axis=1, keepdims=True)
    mean: Floats = total / chosen.sum(axis=1)[:, None, None]
    return mean


def _deviation(values: Floats, chosen: Flags) -> Floats:
    """Standard deviation over the chosen years: (glacier, 1, month)."""
    deviation: Floats = np.sqrt(_mean((values - _mean(values, chosen)) ** 2, chosen))
    return deviation
