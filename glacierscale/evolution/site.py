"""One glacier as the features know it, its weather, and what weather means at elevations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale import provenance
from glacierscale.features import climate
from glacierscale.schema import text

Floats = npt.NDArray[np.floating]

NODE_STEP_M = 20.0
"""Step of the elevations at which snowfall and degree days are computed; between them they are linear."""

_ANOMALY = "_anomaly"


@dataclass(frozen=True, kw_only=True)
class Weather:
    """Climate of one glacier in every scenario and year."""

    temp_degc: Floats
    """(scenario, year, month) degC at the reference height"""
    precip_kg_m2: Floats
    """(scenario, year, month) kg m-2 at the reference height"""


@dataclass(frozen=True, kw_only=True)
class Rain:
    """How featurize brings precipitation of the climate to glaciers."""

    precip_factor: float
    """Factor on the climate's precipitation"""
    precip_gradient_per_km: float
    """Its relative increase with height"""

    def factor(self, rise_m: Floats) -> Floats:
        """Factor on the climate's precipitation, so far above its height."""
        return climate.precipitation_factor(
            rise_m, precip_factor=self.precip_factor, gradient_per_km=self.precip_gradient_per_km
        )


@dataclass(frozen=True, kw_only=True)
class Site:
    """One glacier as the features know it."""

    names: tuple[str, ...]
    """Predictors that the features store, in order"""
    reference: Floats
    """(climate predictor,) what anomalies refer to"""
    place: dict[str, float]
    """Predictors of topography in the first year"""
    ref_height: float
    """m"""
    lapse_rate: Floats
    """(month,) K m-1"""
    band_elevation: Floats
    """(band,) m"""
    band_area: Floats
    """(band,) m2"""
    sigma_k: float
    """Standard deviation of daily temperature within a month, K"""
    rain: Rain

    @classmethod
    def of(cls, features: xr.Dataset, glacier: int, first_year: int) -> Site:
        """One glacier of a (loaded) block of features, with the topography of a year.

        Raises
        ------
        ValueError
            If the predictors are not in the order that featurize stores.
        """
        names = tuple(text(features.predictor.values).tolist())
        count = sum(name.endswith(_ANOMALY) for name in names)
        if names[count : 2 * count] != tuple(f"{name}{_ANOMALY}" for name in names[:count]):
            raise ValueError(f"the features store their predictors as {names}; featurize again.")
        values = features.predictors.values[glacier].astype(float)  # (hydro_year, predictor)
        known = np.isfinite(values).all(axis=1)
        reference = (values[:, :count] - values[:, count : 2 * count])[known].mean(axis=0)
        at = int(np.searchsorted(features.hydro_year.values, first_year))
        recipe = provenance.nested(features.attrs["recipe"])
        return cls(
            names=names,
            reference=reference,
            place=dict(zip(names[2 * count :], values[at, 2 * count :].tolist(), strict=True)),
            ref_height=float(features.ref_height.values[glacier]),
            lapse_rate=features.lapse_rate.values[glacier].astype(float),
            band_elevation=features.band_elevation.values[glacier].astype(float),
            band_area=features.band_area.values[glacier].astype(float),
            sigma_k=float(features.attrs["degree_day_sigma_k"]),
            rain=Rain(
                precip_factor=float(recipe["precip_factor"]),
                precip_gradient_per_km=float(recipe["precip_gradient_per_km"]),
            ),
        )

    def wetter(self, mean_elevation_m: Floats) -> Floats:
        """Factor on the climate's precipitation of a glacier of some mean elevation, as in featurize."""
        return self.rain.factor(mean_elevation_m - self.ref_height)


def unraised(features: xr.Dataset, glacier: int) -> tuple[Floats, Floats]:
    """Climate of a glacier as it was before featurize brought its precipitation to the glacier.

    Returns
    -------
    temp, precip : (hydro_year, month)
        degC and kg m-2 at the reference height; NaN where unknown.
    """
    names = text(features.predictor.values).tolist()
    site = Site.of(features, glacier, int(features.hydro_year.values[0]))
    mean = features.predictors.values[glacier, :, names.index("mean_elevation")].astype(float)
    factor = site.wetter(mean)[:, None]
    precip = features.precip.values[glacier].astype(float)
    return features.temp.values[glacier].astype(float), precip / np.where(factor > 0, factor, 1.0)


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """Elevations in equal steps over all that a glacier may reach."""

    lowest_m: float
    """First elevation"""
    count: int
    """How many"""

    @classmethod
    def over(cls, low_m: float, high_m: float) -> Nodes:
        """From one elevation to another."""
        return cls(lowest_m=low_m, count=int(np.ceil((high_m - low_m) / NODE_STEP_M)) + 2)

    @property
    def elevation_m(self) -> Floats:
        """(node,) m."""
        elevation: Floats = self.lowest_m + NODE_STEP_M * np.arange(self.count)
        return elevation


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Both terms of the temperature-index balance, precipitation as at the reference height."""

    degree_days: Floats
    """(scenario, year, elevation) K day"""
    snow: Floats
    """(scenario, year, elevation) kg m-2"""

    @classmethod
    def at(cls, weather: Weather, site: Site, elevation_m: Floats, bias_k: float) -> Terms:
        """At some elevations (elevation,), with a bias on the temperature."""
        rise = elevation_m - site.ref_height
        degree_days = np.empty((*weather.temp_degc.shape[:2], len(rise)))
        snow = np.empty_like(degree_days)
        for number, height in enumerate(rise):
            temp = weather.temp_degc + (bias_k + site.lapse_rate * height)
            degree_days[..., number] = climate.degree_days(temp, site.sigma_k).sum(axis=-1)
            snow[..., number] = (weather.precip_kg_m2 * climate.solid_fraction(temp)).sum(axis=-1)
        return cls(degree_days=degree_days, snow=snow)

    def mean(self, weight: Floats) -> Terms:
        """Mean over elevations by weight (elevation,): (scenario, year, 1)."""
        share = (weight / weight.sum())[:, None]
        return Terms(degree_days=self.degree_days @ share, snow=self.snow @ share)
