"""What nets leave in years of the same weather: a random effect of years, smoothed over years that are alike.

A climate of few stations tells a part of what sets a year apart; the other glaciers of that year tell the rest. What a
net leaves out of bag is taken as an effect of the year plus noise (a one-way random-effects model, its two variances by
the method of moments: Searle, Casella & McCulloch 1992, chapter 3), and the best linear prediction of the effect is
added where the weather is that of the year. Years are known by their weather alone, so that a model of climate remains
one: in a year unlike any other the effect is zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

SAME_WEATHER = 0.3
"""Root mean square difference of monthly temperatures, in their standard deviations between years, over which the
effects of two years lose their likeness. Unrelated years differ by 1.4, so that hardly any two count as the same."""


@dataclass(frozen=True, kw_only=True)
class LikeYears:
    """Effects of the years that a net learned from, of every fold and member."""

    weather: Floats
    """(year, month) anomaly of temperature, degC"""
    spread: Floats
    """(month,) its standard deviation between years, K"""
    weight: Floats
    """(fold, member, year) kg m-2"""
    residual_std: Floats
    """(fold,) kg m-2: what the net alone leaves unexplained in rows that its members did not learn from"""

    def effect(self, fold: int, weather: Floats) -> Floats:
        """Effect on rows by every member: (row, month) degC -> (member, row) kg m-2."""
        told: Floats = self.weight[fold] @ likeness(self.weather, weather, self.spread)
        return told


def likeness(one_degc: Floats, other_degc: Floats, spread_k: Floats) -> Floats:
    """How alike the weather of years is, from 0 to 1: (year, month), (row, month), (month,) -> (year, row)."""
    one, other = (values / (spread_k * SAME_WEATHER) for values in (one_degc, other_degc))
    square = (one**2).mean(axis=1)[:, None] + (other**2).mean(axis=1) - 2 * one @ other.T / one.shape[1]
    alike: Floats = np.exp(-np.maximum(square, 0) / 2)
    return alike


@dataclass(frozen=True)
class Years:
    """The years of some rows, and what sets their weather apart."""

    of_row: npt.NDArray[np.integer]
    """(row,) position of the year"""
    weather: Floats
    """(year, month) degC, mean over its rows"""
    spread: Floats
    """(month,) K"""
    alike: Floats
    """(year, year)"""

    @classmethod
    def of(cls, hydro_year: npt.NDArray[np.integer], weather_degc: Floats) -> Years:
        """Years of rows: (row,), (row, month) degC."""
        years, of_row = np.unique(hydro_year, return_inverse=True)
        if len(years) < 2:
            raise ValueError(
                f"like_years asks for rows of 2 years or more; came those of {years.tolist()}. Leave it out."
            )
        mean = np.stack([weather_degc[of_row == year].mean(axis=0, dtype=float) for year in range(len(years))])
        spread = np.maximum(mean.std(axis=0), 1e-6)
        return cls(of_row, mean, spread, likeness(mean, mean, spread))


def fit(
    left_kg_m2: Floats, weight: Floats, years: Years, group: npt.NDArray[np.integer], *, members: int, seed: list[int]
) -> tuple[Floats, Floats]:
    """Effects of years for one fold.

    Parameters
    ----------
    left_kg_m2 : (row,)
        What a net leaves of each training row out of bag; NaN for other rows.
    weight : (row,)
    years : Years
        Of all rows.
    group : (row,)
        What inner validation keeps together.
    members : int
    seed : list of int
        Of the members' draws.

    Returns
    -------
    carried : (member, year) kg m-2
        As of `LikeYears.weight`; their mean is the best linear prediction.
    blind : (row,) kg m-2
        Effect on each training row, told by the rows of the other groups; zero for other rows.
    """
    known = np.isfinite(left_kg_m2)
    some, count = years.of_row[known], len(years.weather)
    own = weight[known] / weight[known].mean()

    def by_year(year: npt.NDArray[np.integer], values: Floats) -> Floats:
        return np.bincount(year, values, count).astype(float)

    total, amount = by_year(some, own * left_kg_m2[known]), by_year(some, own)
    between, within = _variances(left_kg_m2[known], own, some, total, amount)
    carried = np.zeros((members, count))
    blind = np.zeros(len(left_kg_m2))
    if between == 0:
        return carried, blind
    carried[:] = _carried(total, amount, years.alike, between, within)
    if members > 1:
        carried += _drawn(amount, years.alike, between, within, members, np.random.default_rng(seed))
    rows = np.flatnonzero(known)
    for one in np.unique(group[known]):
        mine = group[rows] == one
        rest_total = total - by_year(some[mine], (own * left_kg_m2[known])[mine])
        rest_amount = np.maximum(amount - by_year(some[mine], own[mine]), 0)
        rest = _carried(rest_total, rest_amount, years.alike, between, within)
        blind[rows[mine]] = (rest @ years.alike)[some[mine]]
    return carried, blind


def _variances(
    left: Floats, weight: Floats, year: npt.NDArray[np.integer], total: Floats, amount: Floats
) -> tuple[float, float]:
    """Variance between years and within them, (kg m-2)2."""
    seen = amount > 0
    mean = total[seen] / amount[seen]
    inside = total / np.where(seen, amount, 1)
    free = max(len(left) - seen.sum(), 1)
    within = max(float(np.sum(weight * (left - inside[year]) ** 2) / free), 1e-9)
    excess = np.sum(amount[seen] * mean**2) - seen.sum() * within
    return max(float(excess / amount.sum()), 0.0), within


def _carried(total: Floats, amount: Floats, alike: Floats, between: float, within: float) -> Floats:
    """Weights of the years whose likeness to a row tells its effect: (year,) kg m-2."""
    seen = amount > 1e-9
    out = np.zeros(len(amount))
    own = between * alike[np.ix_(seen, seen)] + np.diag(within / amount[seen])
    out[seen] = between * np.linalg.solve(own, total[seen] / amount[seen])
    return out


def _drawn(
    amount: Floats, alike: Floats, between: float, within: float, members: int, rng: np.random.Generator
) -> Floats:
    """Departures of members from the prediction, of mean zero: (member, year) kg m-2."""
    seen = amount > 1e-9
    near = alike[np.ix_(seen, seen)] + 1e-6 * np.eye(seen.sum())
    noise = within / amount[seen]
    effect = rng.normal(size=(members, seen.sum())) @ np.linalg.cholesky(between * near).T
    told = effect + rng.normal(size=effect.shape) * np.sqrt(noise)
    left = np.linalg.solve(near, effect.T) - between * np.linalg.solve(between * near + np.diag(noise), told.T)
    out = np.zeros((members, len(amount)))
    out[:, seen] = left.T
    departures: Floats = out - out.mean(axis=0)
    return departures
