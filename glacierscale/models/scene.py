"""Everything a raster network works on: ice cells, climate and observations of some glaciers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from glacierscale.models.functionals import Functionals, functionals_of, table_of
from glacierscale.models.networks import Weather
from glacierscale.models.physics import BIASES_K
from glacierscale.models.raster import known_years, weather_of, with_climate
from glacierscale.models.rows import Design, Rows
from glacierscale.models.surface import Ground, Surface, surface_of
from glacierscale.schema import text

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Observed glaciers as raster networks see them."""

    surface: Ground
    weather: Weather
    """Of the surface's outlines, all years of the features; years that lack a month are zero"""
    known: npt.NDArray[np.bool_]
    """(outline, year) whether every month of the year is known"""
    functionals: Functionals
    """All observations that can be seen"""
    reference_elevation: float
    """Mean elevation of the region's ice, m"""

    @property
    def whole(self) -> Surface:
        """All of its cells in memory."""
        ground = self.surface
        return ground if isinstance(ground, Surface) else ground.take(np.arange(len(ground.unit_id)))


def reference_elevation(features: xr.Dataset) -> float:
    """Mean elevation of the ice of the features, m."""
    area, height = features.band_area.values, features.band_elevation.values
    known = np.isfinite(area) & np.isfinite(height)
    return float((area[known] * height[known]).sum() / area[known].sum())


def scene_of(
    features: xr.Dataset, patches: Sequence[xr.Dataset], kinds: tuple[str, ...], kernel: int, reference_m: float
) -> Scene:
    """Put observed glaciers together from the features and the patches of every size.

    Parameters
    ----------
    features : xarray.Dataset
        A checked Features dataset.
    patches : sequence of xarray.Dataset
        Checked Patches datasets, lazy.
    kinds : tuple of str
        Kinds of observation wanted.
    kernel : int
        Side of the neighbourhood that the networks see, cells.
    reference_m : float
        From `reference_elevation`.

    Raises
    ------
    ValueError
        If none of the observations can be seen, with the reasons.
    """
    table = observed(features, kinds)
    units = np.unique(table.obs_unit_id)
    chosen = rows_of(features, patches, units)
    parts = [
        surface_of(dataset.isel(glacier=rows).load(), reference_m, kernel)
        for dataset, rows in zip(patches, chosen, strict=True)
        if len(rows)
    ]
    surface = Surface.concatenate(parts)
    return scene_over(features, table, surface, surface, reference_m)


def observed(features: xr.Dataset, kinds: tuple[str, ...]) -> pd.DataFrame:
    """Observations of some kinds, as `table_of` gives them; refuses to go on without any."""
    table = table_of(features, kinds)
    if table.empty:
        raise ValueError(
            f"no observation of kind {', '.join(kinds)} in the hydrological years of the features; check the targets, "
            "the catalogue's observations and the region's years."
        )
    return table


def rows_of(features: xr.Dataset, patches: Sequence[xr.Dataset], units: npt.NDArray[np.str_]) -> list[Ints]:
    """Rows of the patches of every size that belong to some units and are not set aside.

    Raises
    ------
    ValueError
        If there is none.
    """
    chosen: list[Ints] = []
    for dataset in patches:
        mine = np.isin(text(dataset.unit_id.values), units) & (text(dataset.set_aside.values) == "")
        aside = text(features.set_aside.values)[dataset.feature_row.values] != ""
        chosen.append(np.flatnonzero(mine & ~aside))
    if not any(map(len, chosen)):
        raise ValueError(
            f"none of the {len(units)} observed glaciers ({', '.join(units[:3])}) has a patch with ice; they have no "
            "outline, or were set aside. Look at set_aside of the patches."
        )
    return chosen


def scene_over(
    features: xr.Dataset, table: pd.DataFrame, ground: Ground, surface: Surface, reference_m: float
) -> Scene:
    """A scene on ground that lies in memory or in stores.

    Parameters
    ----------
    features : xarray.Dataset
    table : pandas.DataFrame
        From `table_of`.
    ground : Ground
    surface : Surface
        The same cells; what is heavy in them, neighbourhood and radiation, may be left out.
    reference_m : float
        From `reference_elevation`.

    Raises
    ------
    ValueError
        If none of the observations can be seen, with the reasons.
    """
    weather = weather_of(features, surface.feature_row)
    complete = known_years(weather).numpy()
    weather = weather.filled()
    found = functionals_of(table, surface, features.hydro_year.values, features.attrs["hemisphere"])
    found = _with_climate(found, surface, complete)
    if not len(found):
        raise ValueError("none of the observations can be seen:\n  " + "\n  ".join(found.left_out[:10]))
    return Scene(surface=ground, weather=weather, known=complete, functionals=found, reference_elevation=reference_m)


def rows_of_observations(seen: Functionals) -> Rows:
    """Observations as rows of their own, for plans and references where there is no annual balance.

    The terms of the OLS reference are elevation and its square; there are no predictors.
    """
    height = seen.elevation / 1000
    none = np.zeros((len(seen), 0), np.float32)
    flat = np.zeros((len(seen), len(BIASES_K)), np.float32)
    return Rows(
        unit_id=seen.unit_id,
        hydro_year=seen.last_year,
        observed=seen.value,
        sigma=seen.sigma,
        lon=seen.lon,
        lat=seen.lat,
        ols_terms=np.stack([height, height**2], axis=-1),
        design=Design(predictors=none, snow=flat, degree_days=flat),
    )


def _with_climate(found: Functionals, surface: Surface, complete: npt.NDArray[np.bool_]) -> Functionals:
    """The observations whose glaciers have climate in all years that they touch."""
    seen = with_climate(found, surface, complete)
    if seen.all():
        return found
    blind = np.flatnonzero(~seen)
    reasons = tuple(
        f"{found.unit_id[n]} {found.kind[n]} {found.last_year[n]}: its years lack months of climate." for n in blind
    )
    return found.take(np.flatnonzero(seen), also_left_out=reasons)
