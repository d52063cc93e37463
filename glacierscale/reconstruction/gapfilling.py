"""Gaps of a reconstruction, filled from all that was observed: prepared once, then applied block by block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale.models.bundle import SMBModel
from glacierscale.models.gapfill import MOST, Gapfill, predictive_std
from glacierscale.models.glacier_years import blind_of, observed_of, places_of
from glacierscale.models.observed import Places

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

NAMES = ("smb_gapfilled", "smb_gapfilled_std")
"""Variables that gap filling writes."""


@dataclass(frozen=True)
class Filling:
    """What fills gaps: one `Gapfill` for each net that predicts, as each leaves residuals of its own."""

    of_net: Mapping[str, Gapfill]

    @classmethod
    def of(cls, model: SMBModel, features: xr.Dataset, trends: Mapping[str, Callable[[Ints], Floats]]) -> Filling:
        """Learn from all observations of a features store.

        Parameters
        ----------
        model : SMBModel
        features : xarray.Dataset
        trends : mapping
            For each net its ensemble mean of glaciers by their positions, (glacier, year) kg m-2.

        Raises
        ------
        ValueError
            If nothing was observed, or an error is not above zero.
        """
        filling = cls(
            {
                net: Gapfill.of(observed_of(features, trend, blind_of(model, features, net)))
                for net, trend in trends.items()
            }
        )
        for fill in filling.of_net.values():
            if len(fill.observed) <= MOST:
                _ = fill.solved  # here, before threads ask for it at once
        return filling

    def arrays(self, features: xr.Dataset, net: npt.NDArray[np.str_], smb: Floats, std: Floats) -> dict[str, Any]:
        """The stored variables of a block.

        Parameters
        ----------
        features : xarray.Dataset
            The block.
        net : (glacier,) str
            Net that predicts each glacier.
        smb, std : (glacier, year) kg m-2
            Ensemble mean and its predictive standard deviation.
        """
        mean, spread = np.full(smb.shape, np.nan), np.full(smb.shape, np.nan)
        for name in np.unique(net):
            mine = np.flatnonzero(net == name)
            places = places_of(features.isel(glacier=mine))
            fill = self.of_net[str(name)].near(places)
            places = _as_observed(places, fill.observed.units)
            mean[mine], variance = fill.predict(places, smb[mine].astype(float))
            spread[mine] = predictive_std(std[mine], variance, fill.prior(places)[:, None], fill.error)
        return dict(zip(NAMES, (mean, spread), strict=True))

    def attributes(self) -> dict[str, Any]:
        """What the covariances and the doubts came out as, by net, for the store."""
        return {"gapfill": {net: fill.as_dict() for net, fill in self.of_net.items()}}

    def bytes(self, glaciers: int) -> int:
        """Peak memory of one block of a number of glaciers, the factored covariances counted in."""
        count = max(min(len(fill.observed), MOST) for fill in self.of_net.values())
        return 8 * (2 * count**2 * len(self.of_net) + 8 * count * min(glaciers, 512))


def _as_observed(places: Places, units: Places) -> Places:
    """Glaciers where they were observed: parts of one glacier lie in one place, so that all of it moves alike."""
    at = np.searchsorted(units.unit_id, places.unit_id)
    at = np.minimum(at, len(units) - 1)
    same = units.unit_id[at] == places.unit_id

    def moved(name: str) -> Any:
        return np.where(same, getattr(units, name)[at], getattr(places, name))

    return Places(unit_id=places.unit_id, lon=moved("lon"), lat=moved("lat"), height_m=moved("height_m"))
