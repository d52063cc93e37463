"""Observations of every kind as linear functionals of the monthly balances of ice cells.

One sum over cells for each place that is observed (a mask, a band, a stake), then one over months for each observation:
places are few, and observations of one place share their sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy import sparse

from glacierscale.features.sampling import to_metres
from glacierscale.models import operators
from glacierscale.models.bands import band_edges
from glacierscale.models.surface import Surface
from glacierscale.schema import OBSERVATIONS, text

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

BANDS_COUNT_AS = 3
"""Independent values in one profile: its bands share stakes and a surveyor, so that they do not count one by one."""

SEASONS_COUNT_AS = 0.5
"""Weight of a winter or summer balance where the annual one of that year counts too: the three hold two numbers."""

STAKE_REACH_M = 500.0
"""A stake off the outline by more than this belongs to no glacier."""


@dataclass(frozen=True, kw_only=True)
class Functionals:
    """Observations over a surface."""

    unit_id: npt.NDArray[np.str_]
    """(observation,)"""
    kind: npt.NDArray[np.str_]
    """(observation,)"""
    first_year: Ints
    """(observation,) first hydrological year that its period touches"""
    last_year: Ints
    """(observation,)"""
    value: Floats
    """(observation,) kg m-2 over the period, per year for geodetic ones"""
    sigma: Floats
    """(observation,) kg m-2"""
    elevation: Floats
    """(observation,) m, of a point or band"""
    lon: Floats
    """(observation,) degrees, of a point, or of its glacier"""
    lat: Floats
    """(observation,)"""
    counts: Floats
    """(observation,) how many independent values it stands for, at most 1"""
    place: Ints
    """(observation,) row of `space`"""
    space: sparse.csr_array
    """(place, cell) weights"""
    time_observation: Ints
    """(part,) observation of each part of a period, one part per hydrological year; ascending"""
    time_year: Ints
    """(part,) position of the year in the features"""
    time_weight: Floats
    """(part, month)"""
    left_out: tuple[str, ...]
    """Why observations were left out, one sentence for each"""

    def __len__(self) -> int:
        return len(self.value)

    def take(self, which: Ints, also_left_out: tuple[str, ...] = ()) -> Functionals:
        """Some of the observations, ascending; reasons why others are missing are added to those there."""
        part = np.isin(self.time_observation, which)
        along = {name: getattr(self, name)[which] for name in (*_COLUMNS, "counts", "place")}
        return Functionals(
            **along,
            space=self.space,
            time_observation=np.searchsorted(which, self.time_observation[part]),
            time_year=self.time_year[part],
            time_weight=self.time_weight[part],
            left_out=self.left_out + also_left_out,
        )


_COLUMNS = ("unit_id", "kind", "first_year", "last_year", "value", "sigma", "elevation", "lon", "lat")


def table_of(features: xr.Dataset, kinds: tuple[str, ...]) -> pd.DataFrame:
    """Observations of some kinds in the years of the features, as a table with edges of bands."""
    table = pd.DataFrame({name: features[name].values for name in OBSERVATIONS})
    table["obs_unit_id"], table["obs_kind"] = text(features.obs_unit_id.values), text(features.obs_kind.values)
    table["obs_lower"], table["obs_upper"] = band_edges(table)
    years = features.hydro_year.values
    chosen = table.obs_kind.isin(kinds) & table.obs_year.between(years[0], years[-1])
    return table[chosen].reset_index(drop=True)


def functionals_of(table: pd.DataFrame, surface: Surface, years: Ints, hemisphere: str) -> Functionals:
    """Weights of every observation that the surface and the years let one see.

    Parameters
    ----------
    table : pandas.DataFrame
        From `table_of`.
    surface : Surface
        Ice of the observed glaciers.
    years : (hydro_year,)
        Years of the climate series.
    hemisphere : str
        ``"north"`` or ``"south"``.

    Returns
    -------
    Functionals
        Observations that cannot be seen (no ice in a band, a stake off the glacier, dates outside the climate) are left
        out, each with its reason in `left_out`.
    """
    places: dict[tuple[object, ...], int] = {}
    rows: list[tuple[Ints, Floats]] = []
    kept, place, parts, reasons = [], [], [], []
    cells_of: dict[str, Ints] = {
        str(unit): np.flatnonzero(surface.unit_id[surface.outline] == unit) for unit in np.unique(surface.unit_id)
    }
    for number, row in enumerate(table.itertuples(index=False)):
        try:
            key = _place_key(row)
            if key not in places:
                rows.append(_weights_in_space(row, surface, cells_of))
                places[key] = len(rows) - 1
            when, weight = _weights_in_time(row, years, hemisphere)
        except ValueError as error:
            reasons.append(f"{row.obs_unit_id} {row.obs_kind} {row.obs_year}: {error}")
            continue
        kept.append(number)
        place.append(places[key])
        parts.append((np.full(len(when), len(kept) - 1), when, weight))
    table = table.iloc[kept].reset_index(drop=True)
    one, when, weight = _joined(parts)
    touched = years[when] if len(when) else when
    lon, lat = _positions(table, surface)
    return Functionals(
        unit_id=table.obs_unit_id.to_numpy(str),
        kind=table.obs_kind.to_numpy(str),
        first_year=_reduced(np.minimum, touched, one, len(table)),
        last_year=_reduced(np.maximum, touched, one, len(table)),
        value=table.obs_value.to_numpy(float),
        sigma=table.obs_sigma.to_numpy(float),
        elevation=table.obs_elevation.to_numpy(float),
        lon=lon,
        lat=lat,
        counts=counts_of(table),
        place=np.array(place, np.int64),
        space=_stacked(rows, len(surface.outline)),
        time_observation=one,
        time_year=when,
        time_weight=weight,
        left_out=tuple(reasons),
    )


def counts_of(table: pd.DataFrame) -> Floats:
    """How many independent values each observation stands for: (observation,)."""
    same = table.groupby(["obs_unit_id", "obs_kind", "obs_year"]).obs_value.transform("size").to_numpy(float)
    counts = np.where(table.obs_kind == "band", np.minimum(same, BANDS_COUNT_AS) / np.maximum(same, 1), 1.0)
    annual = set(map(tuple, table.loc[table.obs_kind == "annual", ["obs_unit_id", "obs_year"]].to_numpy().tolist()))
    season = table.obs_kind.isin(["winter", "summer"]).to_numpy()
    both = np.array([(u, y) in annual for u, y in zip(table.obs_unit_id, table.obs_year, strict=True)], bool)
    return np.where(season & both, SEASONS_COUNT_AS, counts)


def _place_key(row: Any) -> tuple[object, ...]:
    kind, unit = row.obs_kind, row.obs_unit_id
    if kind == "band":
        return kind, unit, row.obs_lower, row.obs_upper
    if kind == "point":
        return kind, unit, row.obs_lon, row.obs_lat
    return "mask", unit


def _weights_in_space(row: Any, surface: Surface, cells_of: dict[str, Ints]) -> tuple[Ints, Floats]:
    """Cells and weights of one place."""
    unit = row.obs_unit_id
    if unit not in cells_of or not len(cells_of[unit]):
        raise ValueError("the glacier has no ice in the patches; it was set aside or has no outline.")
    cells = cells_of[unit]
    area = surface.area[cells]
    if row.obs_kind == "band":
        low, high = float(row.obs_lower), float(row.obs_upper)
        if not low < high:
            raise ValueError("the band has no neighbour that tells its height range.")
        weight = operators.band_mean(surface.elevation[cells], area, low, high)
        if not weight.any():
            raise ValueError(f"no ice between {low:g} and {high:g} m on this surface.")
    elif row.obs_kind == "point":
        return _stake(float(row.obs_lon), float(row.obs_lat), surface, cells)
    else:
        weight = operators.mask_mean(area)
    some = np.flatnonzero(weight)
    return cells[some], weight[some]


def _stake(lon: float, lat: float, surface: Surface, cells: Ints) -> tuple[Ints, Floats]:
    """Cells and weights of a point, on the outline of its glacier that lies nearest."""
    if not (np.isfinite(lon) and np.isfinite(lat)):
        raise ValueError("the point has no position; give its longitude and latitude.")
    best: tuple[float, Ints, Floats] | None = None
    fault: ValueError | None = None
    for number in np.unique(surface.outline[cells]):
        own = cells[surface.outline[cells] == number]
        size, step = int(surface.size[number]), float(surface.resolution[number])
        centre = np.array([surface.centre_lon[number]]), np.array([surface.centre_lat[number]])
        x, y = to_metres(np.array([lon]), np.array([lat]), *centre)
        column, row = x[0] / step + (size - 1) / 2, (size - 1) / 2 - y[0] / step
        ice = np.zeros((size, size))
        ice[surface.row[own], surface.column[own]] = 1
        away = float(np.hypot(surface.row[own] - row, surface.column[own] - column).min())
        if best is not None and away >= best[0]:
            continue
        try:
            found, weight = operators.bilinear(column, row, ice, reach_cells=max(STAKE_REACH_M / step, 1.5))
        except ValueError as error:
            fault = fault or error
            continue
        index = np.full((size, size), -1)
        index[surface.row[own], surface.column[own]] = own
        best = away, index[found[:, 0], found[:, 1]], weight
    if best is None:
        raise fault or ValueError("a stake outside every glacier.")
    return best[1], best[2]


def _weights_in_time(row: Any, years: Ints, hemisphere: str) -> tuple[Ints, Floats]:
    """Years that a period touches, and weights of their months: (part,), (part, month)."""
    kind = row.obs_kind
    first, last = int(years[0]), int(years[-1])
    if kind in ("annual", "winter", "summer", "band"):
        season = "annual" if kind == "band" else kind
        weight = operators.season_weights(season, int(row.obs_year), first, last)
    else:
        start, end = row.obs_start.to_datetime64(), row.obs_end.to_datetime64()
        function = operators.many_year_weights if kind == "geodetic" else operators.month_weights
        weight = function(start, end, first, last, hemisphere)
    when = np.flatnonzero(weight.any(axis=-1))
    return when, weight[when]


def _joined(parts: list[tuple[Ints, Ints, Floats]]) -> tuple[Ints, Ints, Floats]:
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 12))
    one, when, weight = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return one, when, weight


def _reduced(function: np.ufunc, values: Ints, group: Ints, groups: int) -> Ints:
    start = np.searchsorted(group, np.arange(groups))
    return function.reduceat(values, start) if groups else np.zeros(0, np.int64)


def _stacked(rows: list[tuple[Ints, Floats]], cells: int) -> sparse.csr_array:
    count = [len(cell) for cell, _ in rows]
    cell = np.concatenate([cell for cell, _ in rows]) if rows else np.zeros(0, np.int64)
    weight = np.concatenate([weight for _, weight in rows]) if rows else np.zeros(0)
    return sparse.csr_array((weight, (np.repeat(np.arange(len(rows)), count), cell)), shape=(len(rows), cells))


def _positions(table: pd.DataFrame, surface: Surface) -> tuple[Floats, Floats]:
    """Where each observation was made; the centre of its glacier's patch where it has no position."""
    first = {unit: number for number, unit in reversed(list(enumerate(surface.unit_id)))}
    number = np.array([first[unit] for unit in table.obs_unit_id], np.int64)
    lon, lat = table.obs_lon.to_numpy(float), table.obs_lat.to_numpy(float)
    known = np.isfinite(lon) & np.isfinite(lat)
    return np.where(known, lon, surface.centre_lon[number]), np.where(known, lat, surface.centre_lat[number])
