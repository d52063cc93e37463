"""From features to what the models see: a design per glacier-year, and observed rows to train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import sparse

from glacierscale.features.climate import band_balance_terms
from glacierscale.models import periods
from glacierscale.models.outlines import Outlines
from glacierscale.models.physics import BIASES_K
from glacierscale.region import WINTER_MONTHS, seamless
from glacierscale.schema import text

Floats = npt.NDArray[np.floating]
TOPOGRAPHY = (
    "mean_elevation",
    "max_elevation",
    "slope20",
    "area",
    "lat",
    "lon",
    "cos_aspect",
    "sin_aspect",
    "log_area",
)
"""Predictors that tell glaciers apart; the others tell years apart."""

DERIVED = {"log_area": "area"}
"""Predictors that the features do not store, with the one whose logarithm (to base 10) they are: areas span decades."""

SUMMER_TEMP = "summer_temp_anomaly"
"""Mean anomaly of the summer months' temperatures, made on the way too: what one distant series tells best."""

_AT_ONCE = 512  # glaciers


@dataclass(frozen=True, kw_only=True)
class Design:
    """What a model needs to know of each row, a row being one glacier in one year."""

    predictors: Floats
    """(row, predictor), in the units of the features store"""
    snow: Floats
    """(row, bias) kg m-2, averaged over elevation bands"""
    degree_days: Floats
    """(row, bias) K day, averaged over elevation bands"""
    weather: Floats = field(default_factory=lambda: np.zeros((0, 12), np.float32))
    """(row, month) anomaly of temperature, degC; no rows where no model asks for it"""

    def take(self, row: npt.NDArray[np.integer]) -> Design:
        """Some of the rows."""
        weather = self.weather[row] if len(self.weather) else self.weather
        return Design(
            predictors=self.predictors[row], snow=self.snow[row], degree_days=self.degree_days[row], weather=weather
        )


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Observed rows."""

    unit_id: npt.NDArray[np.str_]
    """(row,) observed glacier"""
    hydro_year: npt.NDArray[np.integer]
    """(row,) the last one of a geodetic period"""
    observed: Floats
    """(row,) kg m-2, per year"""
    sigma: Floats
    """(row,) standard error of the observed value, kg m-2"""
    lon: Floats
    """(row,) degrees"""
    lat: Floats
    """(row,) degrees"""
    ols_terms: Floats
    """(row, 2) degree days at the mean elevation, K day, and winter precipitation, kg m-2"""
    design: Design
    """Predictors of the same rows"""
    left_out: str = ""
    """How many rows were left out, and why; empty where none was"""

    def __len__(self) -> int:
        return len(self.observed)


def default_predictors(available: Sequence[str]) -> tuple[str, ...]:
    """Anomalies of climate and the topography: the base model carries the level, learning the departures from it."""
    return tuple(name for name in available if name.endswith("_anomaly") or name in TOPOGRAPHY)


def predictor_values(features: xr.Dataset, predictors: Sequence[str]) -> Floats:
    """Predictors of every glacier and year, those of `DERIVED` made on the way: (glacier, hydro_year, predictor)."""
    known = text(features.predictor.values).tolist()
    if SUMMER_TEMP in predictors:
        of_month = monthly_weather(features)[:, :, WINTER_MONTHS:]
        others = [name for name in predictors if name != SUMMER_TEMP]
        rest = predictor_values(features, others)
        return np.insert(rest, list(predictors).index(SUMMER_TEMP), of_month.mean(axis=2), axis=2)
    absent = sorted({DERIVED.get(name, name) for name in predictors} - set(known))
    if absent:
        raise ValueError(f"the features lack the predictors {absent}; they have {known}. Featurize again.")
    values: Floats = features.predictors.values[:, :, [known.index(DERIVED.get(name, name)) for name in predictors]]
    for at, name in enumerate(predictors):
        if name in DERIVED:
            values[..., at] = np.log10(values[..., at])
    return values


def monthly_weather(features: xr.Dataset) -> Floats:
    """Anomaly of each month's temperature: (glacier, hydro_year, month) degC."""
    known = text(features.predictor.values).tolist()
    months = [at for at, name in enumerate(known) if name.startswith("temp_") and name.endswith("_anomaly")]
    if len(months) != 12:
        raise ValueError(
            f"the features have anomalies of {len(months)} months' temperatures, not of 12; they have {known}."
        )
    values: Floats = features.predictors.values[:, :, months]
    return values


def design_of(features: xr.Dataset, predictors: Sequence[str], biases: Sequence[int] | None = None) -> Design:
    """Design of every glacier and year of a (loaded) block of features.

    Parameters
    ----------
    features : xarray.Dataset
        A checked Features dataset, or a slice of one along glacier.
    predictors : sequence of str
        Names wanted, in order.
    biases : sequence of int
        Indices into `BIASES_K` that are needed; the other columns stay NaN. None computes all.

    Returns
    -------
    Design
        Rows run over years inside glaciers.
    """
    values = predictor_values(features, predictors)
    temp, precip, lapse = features.temp.values, features.precip.values, features.lapse_rate.values
    rise = features.band_elevation.values - features.ref_height.values[:, None]
    weight = features.band_area.values / features.band_area.values.sum(axis=1, keepdims=True)
    shape = (*values.shape[:2], len(BIASES_K))
    degree_days, snow = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    for index in range(len(BIASES_K)) if biases is None else sorted(set(biases)):
        warmed = temp + np.float32(BIASES_K[index])
        sigma_k = float(features.attrs["degree_day_sigma_k"])
        degree_days[..., index], snow[..., index] = band_balance_terms(warmed, precip, lapse, rise, weight, sigma_k)
    rows = shape[0] * shape[1]
    return Design(
        predictors=values.reshape(rows, -1),
        snow=snow.reshape(rows, -1),
        degree_days=degree_days.reshape(rows, -1),
        weather=monthly_weather(features).reshape(rows, -1),
    )


def observed_rows(features: xr.Dataset, predictors: Sequence[str], kind: str = "annual") -> Rows:
    """Rows of every observation of a kind, outlines of one observed glacier averaged by area.

    Outlines that were set aside do not count. Rows are left out where every outline of the observed glacier was set
    aside, and where predictors are not finite, as in years that lack a month of climate.

    Parameters
    ----------
    features : xarray.Dataset
        A checked Features dataset.
    predictors : sequence of str
        Names wanted, in order.
    kind : str
        Kind of observation: of one year, or ``"geodetic"``, whose design is the mean over the years of its period.

    Returns
    -------
    Rows
        In the order of the observations.

    Raises
    ------
    ValueError
        If there is no observation of the kind in the years of the features, or none that can be used.
    """
    years = features.hydro_year.values
    row, left_out = _usable(features, kind)
    if not len(row):
        raise ValueError(_unusable(kind, left_out))
    unit, year = text(features.obs_unit_id.values)[row], features.obs_year.values[row]
    outlines = Outlines.of(features, unit)
    of_row, shape = np.searchsorted(outlines.unit_id, unit), (len(outlines.unit_id), len(years))
    first, last = periods.years_of(features, row)
    over = _over_years(of_row, np.searchsorted(years, first), np.searchsorted(years, last), shape)
    arrays = {}
    for name, values in _of_outlines(features, outlines.position, predictors).items():
        whole = outlines.mean(values.reshape(len(outlines.position), len(years), -1))
        arrays[name] = over @ whole.reshape(shape[0] * shape[1], -1)

    finite = np.logical_and.reduce([np.isfinite(values).all(axis=1) for values in arrays.values()])
    if not finite.all():
        example = f"{unit[~finite][0]} in {year[~finite][0]}"
        left_out.append(f"{(~finite).sum()} rows in years that lack months of climate or other predictors ({example})")
    if not finite.any():
        raise ValueError(_unusable(kind, left_out))
    return Rows(
        unit_id=unit[finite],
        hydro_year=year[finite],
        observed=features.obs_value.values[row][finite].astype(float),
        sigma=features.obs_sigma.values[row][finite].astype(float),
        lon=outlines.mean(seamless(features.lon.values)[outlines.position])[of_row][finite],
        lat=outlines.mean(features.lat.values[outlines.position])[of_row][finite],
        ols_terms=arrays.pop("terms")[finite],
        design=Design(**{name: values[finite] for name, values in arrays.items()}),
        left_out="; ".join(left_out),
    )


def _over_years(
    unit: npt.NDArray[np.integer],
    first: npt.NDArray[np.integer],
    last: npt.NDArray[np.integer],
    shape: tuple[int, int],
) -> sparse.csr_array:
    """Means over the years of each row as a matrix (row, unit x year), from positions of units and years."""
    count = last - first + 1
    row = np.repeat(np.arange(len(unit)), count)
    within = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    column = np.repeat(unit * shape[1] + first, count) + within
    return sparse.csr_array((1 / np.repeat(count, count), (row, column)), shape=(len(unit), shape[0] * shape[1]))


def _usable(features: xr.Dataset, kind: str) -> tuple[npt.NDArray[np.integer], list[str]]:
    """Observations of a kind whose glacier has an outline that was not set aside; and what was left out."""
    years = features.hydro_year.values
    wanted = (text(features.obs_kind.values) == kind) & np.isin(features.obs_year.values, years)
    if not wanted.any():
        raise ValueError(
            f"no observation of kind {kind!r} in the hydrological years {years.min()}..{years.max()}; "
            "check the catalogue's observations and the region's years."
        )
    unit, owner = text(features.obs_unit_id.values), text(features.unit_id.values)
    orphans = np.setdiff1d(unit[wanted], owner).tolist()
    if orphans:
        raise ValueError(f"the observed glaciers {orphans[:5]} have no outline in the features.")
    reason, left_out = text(features.set_aside.values), []
    early = wanted & (periods.years_of(features, np.arange(len(wanted)))[0] < years.min())
    if early.any():
        left_out.append(f"{early.sum()} rows whose period begins before the year {years.min()} ({unit[early][0]})")
    lost = wanted & ~early & ~np.isin(unit, owner[reason == ""])
    if lost.any():
        names = np.unique(unit[lost])
        why = f"{names[0]} has {reason[owner == names[0]][0]}"
        left_out.append(f"{lost.sum()} rows of {len(names)} glaciers that were set aside ({why})")
    return np.flatnonzero(wanted & ~lost & ~early), left_out


def _unusable(kind: str, left_out: Sequence[str]) -> str:
    return f"no observation of kind {kind!r} can be used. Left out: {'; '.join(left_out)}."


def _of_outlines(
    features: xr.Dataset, outlines: npt.NDArray[np.integer], predictors: Sequence[str]
) -> dict[str, Floats]:
    """Arrays of `Design`, and OLS ``terms`` (see `Rows`), of outlines in every year, a few hundred read at a time."""
    cpdd = text(features.predictor.values).tolist().index("cpdd")
    parts = []
    for start in range(0, len(outlines), _AT_ONCE):
        some = features.isel(glacier=outlines[start : start + _AT_ONCE]).load()
        winter = some.precip.values[..., :WINTER_MONTHS].sum(axis=-1)
        terms = np.stack([some.predictors.values[..., cpdd], winter], axis=-1).reshape(-1, 2)
        parts.append(vars(design_of(some, predictors)) | {"terms": terms})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
