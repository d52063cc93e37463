"""What gaps are filled from: glaciers, their observations, and what the ensemble says of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from glacierscale.folds.places import positions_km

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Places:
    """Glaciers."""

    unit_id: npt.NDArray[np.str_]
    """(glacier,) observed glacier that it is, or belongs to"""
    lon: Floats
    """(glacier,) degrees"""
    lat: Floats
    """(glacier,) degrees"""
    height_m: Floats
    """(glacier,) mean elevation"""

    def __len__(self) -> int:
        return len(self.lon)

    def take(self, which: Any) -> Places:
        """Some of the glaciers."""
        return Places(**{name: getattr(self, name)[which] for name in ("unit_id", "lon", "lat", "height_m")})

    def km(self, other: Places) -> Floats:
        """Straight distance to other glaciers: (glacier, other) km."""
        own, others = positions_km(self.lon, self.lat), positions_km(other.lon, other.lat)
        square = sum(np.subtract.outer(own[:, axis], others[:, axis]) ** 2 for axis in range(3))
        return np.sqrt(np.asarray(square, np.float64))


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What was observed, each observation a weighted mean over the years of one glacier."""

    units: Places
    """The observed glaciers"""
    trend: Floats
    """(unit, year) kg m-2, what the ensemble says of them; NaN where it says nothing"""
    unit: Ints
    """(observation,) position of its glacier"""
    weight: Floats
    """(observation, year) summing to 1 over years"""
    value: Floats
    """(observation,) kg m-2 a year"""
    sigma: Floats
    """(observation,) standard error, kg m-2 a year"""
    blind: Floats
    """(observation,) kg m-2, what an ensemble says that had not seen it, nor its glacier where `unseen` is known; NaN
    where there is none. The covariance is learned from these, for in what it has seen an ensemble leaves too little"""
    unseen: Floats
    """(observation,) kg m-2, what an ensemble says that had not seen its glacier, be it in other years; NaN where there
    is none. These tell how much of what the ensemble says sets glaciers apart carries over to those not observed"""

    def __post_init__(self) -> None:
        if not len(self.value):
            raise ValueError(
                "nothing was observed that gaps could be filled from: expected annual or geodetic balances of glaciers "
                "that have an outline and climate. Add observations, or leave gapfill off."
            )
        wrong = ~(self.sigma > 0) | ~np.isfinite(self.value) | ~np.isfinite(self.trended)
        if wrong.any():
            first = np.flatnonzero(wrong)[0]
            raise ValueError(
                f"{int(wrong.sum())} observations cannot be conditioned on, such as {self.value[first]:g} +/- "
                f"{self.sigma[first]:g} kg m-2 of {self.units.unit_id[self.unit[first]]}; expected finite values, an "
                "ensemble mean for each of their years, and errors above zero. Leave an unknown error empty for the "
                "default."
            )

    def __len__(self) -> int:
        return len(self.value)

    @cached_property
    def trended(self) -> Floats:
        """(observation,) kg m-2, what the ensemble says of each."""
        own = self.trend[self.unit]
        mean: Floats = np.where(self.weight > 0, self.weight * own, 0.0).sum(axis=1)
        return mean

    @property
    def year(self) -> Ints:
        """(observation,) position of the year of an annual balance, -1 for a mean of several."""
        alone = (self.weight > 0).sum(axis=1) == 1
        return np.where(alone, self.weight.argmax(axis=1), -1)

    def take(self, which: Ints) -> Observed:
        """Some of the observations."""
        along = {name: getattr(self, name)[which] for name in ("unit", "weight", "value", "sigma", "blind", "unseen")}
        return replace(self, **along)

    def merged(self) -> Observed:
        """The same with one annual balance for each glacier and year: those given twice weigh by their errors."""
        key = np.where(self.year < 0, -1 - np.arange(len(self)), self.unit * self.weight.shape[1] + self.year)
        _, first, number = np.unique(key, return_index=True, return_inverse=True)
        precision = np.bincount(number, self.sigma**-2.0)
        one = self.take(first)
        return replace(one, value=np.bincount(number, self.value / self.sigma**2) / precision, sigma=precision**-0.5)
