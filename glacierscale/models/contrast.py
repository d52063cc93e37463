"""What an ensemble says sets glaciers apart, and how much of it is doubted where nothing was observed.

The balance of a glacier without observations is the trend less a share of its contrast with observed neighbours. The
share is an unknown number with a Gaussian prior; where there are predictions of observed glaciers that had not seen
them, the regression of what they leave on the contrast that they say tells it (empirical Bayes: Robinson 1991,
doi 10.1214/ss/1177011926).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import linalg

from glacierscale.models.observed import Observed, Places

Floats = npt.NDArray[np.floating]

NEAR_KM = 100.0
"""Distance over which neighbours lose their weight against the trend, by 1/e."""


@dataclass(frozen=True)
class Doubt:
    """Share of the contrast with observed neighbours that is taken off, and its standard deviation."""

    share: float
    std: float

    GLACIERS: ClassVar[int] = 80
    """Observed glaciers at which half is taken off before the data tell: ten for each of eight numbers of topography,
    by the usual rule of regression"""
    STD: ClassVar[float] = 0.5
    """Of the prior: two of them reach from all to nothing"""

    @classmethod
    def before(cls, glaciers: int) -> Doubt:
        """The prior, given a number of observed glaciers: with fewer, what sets others apart is extrapolated."""
        return cls(share=cls.GLACIERS / (cls.GLACIERS + glaciers), std=cls.STD)

    def after(self, covariance: Floats, left: Floats, apart: Floats) -> Doubt:
        """The posterior, its mean kept from 0 to 1.

        Parameters
        ----------
        covariance : (observation, observation) (kg m-2)^2
            Of what is left.
        left : (observation,) kg m-2
            What an ensemble that had not seen the glacier leaves of each observation.
        apart : (observation,) kg m-2
            The contrast of its glacier in the words of that ensemble.
        """
        pull = linalg.solve(covariance, apart, assume_a="pos", check_finite=False)
        precision = self.std**-2 + apart @ pull
        share = np.clip((self.share * self.std**-2 - left @ pull) / precision, 0.0, 1.0)
        # Rounded, so that another order of summation does not change what is stored.
        return Doubt(share=float(f"{share:.4g}"), std=float(f"{precision**-0.5:.4g}"))


def unseen_of(apart: Floats, observed: Observed) -> Floats | None:
    """Contrast of observed glaciers by an ensemble that had not seen them.

    Parameters
    ----------
    apart : (unit,) kg m-2
        The same by the trend.
    observed : Observed

    Returns
    -------
    numpy.ndarray or None
        (unit,) kg m-2, zero for a glacier that no such ensemble tells of; None where that is so of all.
    """
    known = np.isfinite(observed.unseen)
    if not known.any():
        return None
    unit = observed.unit[known]
    count = np.bincount(unit, minlength=len(apart))
    moved = np.bincount(unit, (observed.unseen - observed.trended)[known], len(apart))
    return np.where(count > 0, apart + moved / np.maximum(count, 1), 0.0)


def of(places: Places, trend: Floats, observed: Observed) -> Floats:
    """What the trend says sets glaciers apart from their observed neighbours.

    Parameters
    ----------
    places : Places
    trend : (glacier, year) kg m-2
        NaN where it is unknown.
    observed : Observed

    Returns
    -------
    numpy.ndarray
        (glacier,) kg m-2: the mean difference between the glacier's trend and that of its neighbours in the years that
        they were observed; 0 far from all of them. A glacier is no neighbour of its own.
    """
    missing = (~np.isfinite(trend)).astype(float) @ (observed.weight.T > 0)  # (glacier, observation)
    away = places.km(observed.units)
    other = (places.unit_id[:, None] != observed.units.unit_id) * np.exp(-away / NEAR_KM)
    weight = other[:, observed.unit] * (missing == 0)
    apart = np.nan_to_num(trend) @ observed.weight.T - observed.trended
    total = weight.sum(axis=1)
    mean: Floats = weight.max(axis=1) * (weight * apart).sum(axis=1) / np.where(total > 0, total, 1.0)
    return mean
