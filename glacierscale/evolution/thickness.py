"""Ice thickness of glaciers that nobody has measured, from their outlines alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

VOLUME_FACTOR, VOLUME_EXPONENT = 0.2055, 1.375
"""Volume in m3 of a glacier of 1 m2, and the power of area that it grows with (Bahr et al. 1997, doi
10.1029/97JB01696; factor of Chen & Ohmura 1990 as used by Radic & Hock 2010, doi 10.1029/2009JF001373)."""


def scaled_thickness(ice_fraction: Floats, margin_distance_m: Floats, resolution_m: npt.ArrayLike) -> Floats:
    """Estimate thickness from area: the volume that glaciers of this area have, spread as on perfectly plastic ice.

    Perfectly plastic ice on a flat bed is as thick as the square root of the distance to its margin (Nye 1951). Volumes
    of single glaciers are known so to a factor of two, of many together to tens of per cents.

    Parameters
    ----------
    ice_fraction : (..., y, x)
        Share of each cell that is ice; NaN counts as none.
    margin_distance_m : (..., y, x) m
        From the centre of each cell with ice to that of the nearest without.
    resolution_m : (...) m
        Side of the cells.

    Returns
    -------
    numpy.ndarray
        (..., y, x) m float64, mean over the part of the cell that is ice; 0 where there is none.
    """
    side = np.asarray(resolution_m, float)[..., None, None]
    area = np.nan_to_num(ice_fraction).astype(float) * side**2
    total = area.sum(axis=(-2, -1), keepdims=True)  # m2
    inward = np.maximum(np.nan_to_num(margin_distance_m) - side / 2, side / 4)  # the margin lies between the centres
    shape = np.where(area > 0, np.sqrt(inward), 0.0)
    spread = (shape * area).sum(axis=(-2, -1), keepdims=True)
    volume = VOLUME_FACTOR * total**VOLUME_EXPONENT  # m3
    thickness: Floats = shape * volume / np.where(spread > 0, spread, 1.0)
    return thickness
