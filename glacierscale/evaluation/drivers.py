"""What drives the balance: predictors by driver, and what moves along when a driver moves.

A prediction is a temperature-index base plus a learned correction. A driver (degree days, winter snowfall, summer
snowfall) acts on both: on the correction through its predictors, on the base through degree days and snowfall of the
elevation bands. Drivers are the climate that reaches the glacier: warming that turns snow into rain counts as less
snow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glacierscale.models.bundle import SMBModel
from glacierscale.models.physics import TemperatureIndex
from glacierscale.models.rows import SUMMER_TEMP, TOPOGRAPHY, Rows
from glacierscale.region import WINTER_MONTHS, months

Floats = npt.NDArray[np.floating]
Strings = npt.NDArray[np.str_]

DRIVERS = {"temperature": "cpdd", "winter snow": "winter_snow", "summer snow": "summer_snow"}
"""Leading predictor of each driver of climate where the model has it, without the ending of anomalies."""
GROUPS = (*DRIVERS, "topography", "other")
"""Groups of predictors; every predictor is in one."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Observed rows, standardised by the numbers of the fold that holds out nothing, in order of glacier and year."""

    unit: Strings
    """(row,)"""
    year: npt.NDArray[np.integer]
    """(row,)"""
    observed: Floats
    """(row,) kg m-2"""
    weight: Floats
    """(row,) mean 1"""
    values: Floats
    """(row, predictor), in the units of the features store"""
    scaled: Floats
    """(row, predictor)"""
    snow: Floats
    """(row, bias) kg m-2"""
    degree_days: Floats
    """(row, bias) K day"""

    def __len__(self) -> int:
        return len(self.unit)


@dataclass(frozen=True, kw_only=True)
class Links:
    """What moves along when the leading predictor of a driver rises by one standard deviation.

    Slopes of regressions within glaciers: what is regressed is the departure from the mean of each glacier.
    """

    names: tuple[str, ...]
    """Drivers, out of `DRIVERS`"""
    leader: tuple[int, ...]
    """Number of the leading predictor of each"""
    loading: Floats
    """(driver, predictor) standard deviations; zero outside the driver's group"""
    snow: Floats
    """(driver, bias) kg m-2 of the base's snowfall"""
    degree_days: Floats
    """(driver, bias) K day of the base's degree days"""

    def of_base(self, base: TemperatureIndex) -> Floats:
        """Change of the base for a standard deviation of each driver: (fold, driver) kg m-2."""
        snow = base.precip_factor[:, None] * self.snow[:, base.bias].T
        change: Floats = snow - base.degree_day_factor[:, None] * self.degree_days[:, base.bias].T
        return change


def group_of(predictor: str, hemisphere: str) -> str:
    """Group of a predictor, out of `GROUPS`."""
    stem = predictor.removesuffix("_anomaly")
    if stem in TOPOGRAPHY:
        return "topography"
    if predictor == SUMMER_TEMP:
        return "temperature"
    for driver, leader in DRIVERS.items():
        if stem == leader:
            return driver
    kind, _, month = stem.partition("_")
    names = months(hemisphere)
    if month not in names or kind not in ("temp", "snow"):
        return "other"
    if kind == "temp":
        return "temperature"
    return "winter snow" if names.index(month) < WINTER_MONTHS else "summer snow"


def groups_of(model: SMBModel) -> list[str]:
    """Group of every predictor of a model."""
    hemisphere = str(model.recipe.get("hemisphere", "north"))
    return [group_of(name, hemisphere) for name in model.predictors]


def sample_of(model: SMBModel, rows: Rows) -> Sample:
    """The rows a model was trained on, whatever their order.

    Raises
    ------
    ValueError
        If a predictor or an observation is not finite.
    """
    order = np.lexsort((rows.observed, rows.hydro_year, rows.unit_id))
    design = rows.design.take(order)
    unexplained = model.stamp.options.get("geodetic_sigma", 0.0) if model.row_kind == "geodetic" else 0.0
    weight = 1 / (rows.sigma[order] ** 2 + unexplained**2)  # as in training
    broken = ~(np.isfinite(design.predictors).all(axis=1) & np.isfinite(rows.observed[order]) & np.isfinite(weight))
    if broken.any():
        first = order[np.flatnonzero(broken)[0]]
        raise ValueError(
            f"{broken.sum()} of {len(rows)} rows hold numbers that are not finite, the first {rows.unit_id[first]} in "
            f"{rows.hydro_year[first]}; leave them out of the rows."
        )
    return Sample(
        unit=rows.unit_id[order],
        year=rows.hydro_year[order],
        observed=rows.observed[order],
        weight=weight / weight.mean(),
        values=design.predictors.astype(float),
        scaled=model.scaler.transform(0, design.predictors).astype(float),
        snow=design.snow.astype(float),
        degree_days=design.degree_days.astype(float),
    )


def links_of(model: SMBModel, sample: Sample) -> Links:
    """What moves along with each driver that the model has a predictor of.

    The leading one is that of `DRIVERS`, the anomaly before the raw value. A model without it has others of the same
    group, summer temperature or months in place of degree days: then the one leads that follows the degree days or the
    snowfall of the base most closely within glaciers, and the rest of the group moves along as it does in the rows.
    """
    groups, found = np.array(groups_of(model)), {}
    scaled, snow, degree_days = (_within(v, sample.unit) for v in (sample.scaled, sample.snow, sample.degree_days))
    for driver, stem in DRIVERS.items():
        own = [name for name in (f"{stem}_anomaly", stem) if name in model.predictors]
        others = np.flatnonzero(groups == driver)
        if own:
            found[driver] = model.predictors.index(own[0])
        elif len(others):
            of_base = (degree_days if driver == "temperature" else snow)[:, model.base.bias[0]]
            found[driver] = int(others[np.argmax(_likeness(scaled[:, others], of_base))])
    leader = list(found.values())
    inside = np.array([groups == driver for driver in found]).reshape(len(found), len(groups))
    loading = inside * np.stack([_slopes(scaled[:, at], scaled) for at in leader]) if leader else inside * 0.0
    of_snow = np.array([driver != "temperature" for driver in found], bool)
    leading = scaled[:, leader]
    of_both = np.zeros((2, len(found), snow.shape[1]))
    of_both[0, of_snow] = _least_squares(leading[:, of_snow], snow)  # both seasons at once: the snow is that of both
    of_both[1, ~of_snow] = _least_squares(leading[:, ~of_snow], degree_days)
    return Links(names=tuple(found), leader=tuple(leader), loading=loading, snow=of_both[0], degree_days=of_both[1])


def _within(values: Floats, unit: Strings) -> Floats:
    """Departure from the mean of each glacier, or of all where every glacier has a single row: (row, ...)."""
    units, number = np.unique(unit, return_inverse=True)
    if len(units) == len(unit):
        number = np.zeros(len(unit), np.int64)
    total = np.zeros((number.max() + 1, values.shape[1]))
    np.add.at(total, number, values)
    departure: Floats = values - (total / np.bincount(number)[:, None])[number]
    return departure


def _slopes(leader: Floats, others: Floats) -> Floats:
    """Slope of each column on a leader, zero where that does not vary: (row,), (row, column) -> (column,)."""
    slopes: Floats = leader @ others / max(float(leader @ leader), 1e-9)
    return slopes


def _likeness(columns: Floats, other: Floats) -> Floats:
    """Size of the correlation of each column with another, zero where it does not vary: (row, column) -> (column,)."""
    spread = np.sqrt((columns**2).sum(axis=0) * (other @ other))
    like: Floats = np.abs(other @ columns) / np.maximum(spread, 1e-9)
    return like


def _least_squares(x: Floats, y: Floats) -> Floats:
    """(row, a), (row, b) -> (a, b), the least in size where columns of x depend on each other."""
    found: Floats = np.linalg.lstsq(x, y, rcond=1e-6)[0]
    return found
