"""Topography over the years: from dated inventories where a glacier is in one, from the terrain otherwise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import special

from glacierscale.features import terrain

Floats = npt.NDArray[np.floating]

ENOUGH = 0.8
"""Share of an outline that has to have an elevation for its terrain to be believed where an inventory knows the
glacier; without an inventory, whatever there is counts."""

CONCENTRATION = 5.0
"""Sum of the parameters of the beta distribution of a glacier's area over its elevation range: the larger, the more of
it lies near the mean elevation. A smooth hump whose tails reach both ends."""

_DATED = ("area", "mean_elevation", "max_elevation", "slope20")
_RANGE = ("min_elevation", "max_elevation", "mean_elevation")


def dated_topography(
    topography: dict[str, Floats], dated: xr.Dataset, years: npt.NDArray[np.int32], area_m2: Floats
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Topography in every year, and the fixed topography that goes with it.

    Parameters
    ----------
    topography : dict
        From the terrain, as `zonal.topography` returns it.
    dated : xarray.Dataset
        The cube's inventories (glacier, inventory).
    years : (hydro_year,)
    area_m2 : (glacier,)
        Of the outlines.

    Returns
    -------
    over_years : dict
        ``area``, ``mean_elevation``, ``max_elevation``, ``slope20``, each (glacier, hydro_year); NaN where neither
        knows the glacier.
    fixed : dict
        ``cos_aspect``, ``sin_aspect`` (glacier,), ``band_elevation`` and ``band_area`` (glacier, band). Bands of a
        glacier without terrain follow a beta distribution over its elevation range with its mean elevation, all means
        over the inventories.
    """
    inventory_year = dated.inventory_year.values
    stored = {name: dated[f"inventory_{name}"].values for name in (*_DATED[1:], "min_elevation", "aspect")}
    stored["area"] = dated.inventory_area_m2.values
    known = np.isfinite(stored["mean_elevation"]).any(axis=1) if len(inventory_year) else np.zeros(len(area_m2), bool)
    trusted = ~known | (np.nan_to_num(topography["area"]) >= ENOUGH * area_m2)
    over_years = {}
    for name in _DATED:
        over = terrain.interpolate_inventories(years, inventory_year, stored[name])
        ground = np.where(trusted, topography[name], np.nan)
        over_years[name] = np.where(np.isfinite(over), over, ground[:, None])
    over_years["area"] = np.where(np.isfinite(over_years["area"]), over_years["area"], area_m2[:, None])
    angle = np.radians(stored["aspect"])
    cos, sin = _mean(np.cos(angle)), _mean(np.sin(angle))
    told = np.hypot(cos, sin) > 0
    length = np.where(told, np.hypot(cos, sin), 1)
    fixed = {
        "cos_aspect": np.where(told, cos / length, topography["cos_aspect"]),
        "sin_aspect": np.where(told, sin / length, topography["sin_aspect"]),
    }
    bands = topography["band_area"].shape[1]
    low, high, mean = (_mean(stored[name]) for name in _RANGE)
    guessed = beta_bands(low, high, mean, area_m2, bands=bands)
    own = trusted & np.isfinite(topography["band_area"]).all(axis=1)
    fixed |= {name: np.where(own[:, None], topography[name], guessed[name]) for name in guessed}
    return over_years, fixed


def beta_bands(low_m: Floats, high_m: Floats, mean_m: Floats, area_m2: Floats, *, bands: int) -> dict[str, Floats]:
    """Elevation bands of glaciers of which only the range and the mean elevation are known.

    Parameters
    ----------
    low_m, high_m, mean_m : (glacier,) m
    area_m2 : (glacier,) m2
    bands : int

    Returns
    -------
    dict
        ``band_elevation`` m and ``band_area`` m2, (glacier, band); NaN where a number is missing or the range empty.
    """
    height = np.where(high_m > low_m, high_m - low_m, np.nan)
    share = np.clip((mean_m - low_m) / height, 0.02, 0.98)[:, None]
    edges = np.linspace(0, 1, bands + 1)
    below = special.betainc(CONCENTRATION * share, CONCENTRATION * (1 - share), edges)
    return {
        "band_elevation": low_m[:, None] + height[:, None] * (edges[:-1] + 0.5 / bands),
        "band_area": np.diff(below, axis=1) * area_m2[:, None],
    }


def _mean(values: Floats) -> Floats:
    """Mean over inventories that have a number: (glacier,), NaN where none has."""
    count = np.isfinite(values).sum(axis=1)
    return np.where(count > 0, np.nansum(values, axis=1) / np.maximum(count, 1), np.nan)
