"""Outlines of observed glaciers, and means over them: an observation is about all parts of its glacier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale.schema import text

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Outlines:
    """Outlines of some observed glaciers, those left out that were set aside."""

    unit_id: npt.NDArray[np.str_]
    """(unit,) observed glaciers that have any, sorted"""
    position: Ints
    """(outline,) in the features, ascending"""
    unit: Ints
    """(outline,) which of the glaciers"""
    share: Floats
    """(outline,) of the area of its glacier"""

    @classmethod
    def of(cls, features: xr.Dataset, wanted: npt.NDArray[np.str_]) -> Outlines:
        """Those of some observed glaciers (glacier,), by their unit ids."""
        owner, usable = text(features.unit_id.values), text(features.set_aside.values) == ""
        position = np.flatnonzero(np.isin(owner, wanted) & usable)
        units, unit = np.unique(owner[position], return_inverse=True)
        area = features.area_m2.values[position].astype(float)
        return cls(unit_id=units, position=position, unit=unit, share=area / np.bincount(unit, area)[unit])

    def mean(self, values: Floats) -> Floats:
        """Area-weighted mean over the outlines of each glacier: (outline, ...) -> (unit, ...)."""
        total = np.zeros((len(self.unit_id), *values.shape[1:]))
        np.add.at(total, self.unit, self.share.reshape(-1, *[1] * (values.ndim - 1)) * values)
        return total
