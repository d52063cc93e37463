"""Glaciers under future climates in few numbers: sums over the region by member, and what is left of each glacier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glacierscale import provenance, schema
from glacierscale.store import Files, Store

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.floating] | npt.NDArray[np.integer]

SPREAD = (5, 50, 95)
"""Percentiles of the members of a scenario: low end, middle and high end."""
LEVEL = f"{SPREAD[2] - SPREAD[0]} %"
"""Share of the members that the spread holds, in words."""
MIDWAY = 2050
"""Year that is told of beside the last one."""
WINDOW = 11
"""Years of the running mean of runoff."""
_BLOCK = 256
_SUMS = ("area", "volume", "runoff", "sea_level")


@dataclass(frozen=True, kw_only=True)
class Future:
    """A region under future climates: sums over the glaciers that have ice at the start."""

    options: Mapping[str, Any]
    """Options of evolve, as its stamp has them."""
    scenarios: tuple[str, ...]
    """Names, in stored order."""
    of: npt.NDArray[np.integer]
    """(member,) number of the scenario"""
    years: npt.NDArray[np.integer]
    """(hydro_year,) the first is that of the survey"""
    told: tuple[int, ...]
    """Years that tables and maps tell of; the last is the last."""
    area: Floats
    """(member, hydro_year) m2"""
    volume: Floats
    """(member, hydro_year) m3 of ice"""
    runoff: Floats
    """(member, hydro_year) kg of water from net loss of ice"""
    sea_level: Floats
    """(member, hydro_year) m, risen since the first year"""
    cumulative: Floats
    """(member, hydro_year) kg m-2, sum of the area-weighted balance since the first year"""
    glaciers: xr.Dataset
    """Identity of the glaciers, and whether their thickness was estimated (glacier)."""
    left: Floats
    """(scenario, told, glacier) share of the first year's volume, median of the members"""
    gone: npt.NDArray[np.integer]
    """(member, told) number of glaciers without ice"""
    subregions: dict[str, Floats]
    """(member, first year and told) m3, where there are several"""

    def spread(self, values: Numbers, scenario: int) -> Floats:
        """Low end, middle and high end over the members of a scenario: (member, ...) -> (3, ...)."""
        found: Floats = np.percentile(values[self.of == scenario], SPREAD, axis=0)
        return found

    def share(self, values: Floats, year: int) -> Floats:
        """What is left in a year of the first year's value: (member, hydro_year) -> (member,)."""
        found: Floats = values[:, self.column(year)] / values[:, 0]
        return found

    def column(self, year: int) -> int:
        """Place of a year among the years."""
        return int(np.searchsorted(self.years, year))

    def melt(self) -> tuple[npt.NDArray[np.integer], Floats]:
        """Runoff averaged over as many years as `WINDOW`: middle years (year,), kg a year (member, year)."""
        width = min(WINDOW, self.years.size - 1)
        total = np.cumsum(self.runoff[:, 1:], axis=1)  # geometry is that of the survey in the first year
        total = np.concatenate([np.zeros((len(total), 1)), total], axis=1)
        start = 1 + width // 2
        mean = (total[:, width:] - total[:, :-width]) / width
        return self.years[start : start + mean.shape[1]], mean


def beside(smb: Store, given: str | Path | Store | None) -> Store | None:
    """The store of evolving glaciers that is given, or ``ice.zarr`` beside the reconstruction if there is one.

    Raises
    ------
    StoreError
        If the one that is given, or ``ice.zarr``, is no such store.
    """
    if given is not None:
        return Store.at(given, schema.EVOLUTION)
    folder = provenance.join(smb.url, "..")
    if not Files.at(folder).stores("ice.zarr"):
        return None
    return Store.at(provenance.join(folder, "ice.zarr"), schema.EVOLUTION)


def future(ice: xr.Dataset, options: Mapping[str, Any]) -> Future:
    """Sum a dataset of `schema.EVOLUTION`, made with some options of evolve, over its glaciers, some at a time.

    Raises
    ------
    ValueError
        If no glacier has ice in the first year.
    """
    years = ice.hydro_year.values.astype(int)
    names = schema.text(ice.scenario.values)
    scenarios = tuple(dict.fromkeys(names.tolist()))
    of = np.array([scenarios.index(name) for name in names])
    told = tuple(year for year in (MIDWAY, int(years[-1])) if years[0] < year <= years[-1])
    told = tuple(dict.fromkeys(told))
    columns = np.searchsorted(years, (years[0], *told))
    shape = (len(of), years.size)
    sums = {name: np.zeros(shape) for name in (*_SUMS, "before", "balance")}
    volumes, kept = [], []
    for start in range(0, ice.sizes["glacier"], _BLOCK):
        some = ice.isel(glacier=slice(start, start + _BLOCK))
        kept.append(_with_ice(some))
        some = some.isel(glacier=np.flatnonzero(kept[-1]))
        for name, values in _summed(some).items():
            sums[name] += values
        volumes.append(some.volume.values[..., columns].astype(float))  # (member, glacier, year)
    volume = np.concatenate(volumes, axis=1)
    if not volume.shape[1]:
        raise ValueError(
            f"none of {ice.sizes['glacier']} glaciers has ice in {years[0]}; check thickness and outlines of the cube."
        )
    who = ice[[*schema.identity(ice), "thickness_estimated"]]
    glaciers = who.isel(glacier=np.flatnonzero(np.concatenate(kept))).load()
    balance = np.divide(sums["balance"], sums["before"], out=np.zeros(shape), where=sums["before"] > 0)
    balance[:, 0] = 0.0  # the year of the survey
    share = volume[..., 1:] / volume[..., :1]
    return Future(
        options=options,
        scenarios=scenarios,
        of=of,
        years=years,
        told=told,
        **{name: sums[name] for name in _SUMS},
        cumulative=balance.cumsum(axis=1),
        glaciers=glaciers,
        left=np.stack([np.median(share[of == n], axis=0).T for n in range(len(scenarios))]),
        gone=(volume[..., 1:] == 0).sum(axis=1),
        subregions=_by_subregion(schema.text(glaciers.subregion.values), volume),
    )


def _with_ice(some: xr.Dataset) -> Bools:
    """Glaciers that were not set aside and have ice in the first year: (glacier,)."""
    first = some.volume.isel(hydro_year=0).values
    inside: Bools = (schema.text(some.set_aside.values) == "") & (np.nan_to_num(first) > 0).all(axis=0)
    return inside


def _summed(some: xr.Dataset) -> dict[str, Floats]:
    """Sums over some glaciers, (member, hydro_year); of the balance, area-weighted, and of the area that it fell on."""
    found = {name: some[name].values.sum(axis=1, dtype=float) for name in _SUMS}
    area = some.area.values.astype(float)
    before = np.concatenate([area[..., :1], area[..., :-1]], axis=-1)  # the balance fell on the end of the year before
    found |= {"before": before.sum(axis=1), "balance": (before * some.smb.values).sum(axis=1)}
    return found


def _by_subregion(subregion: npt.NDArray[np.str_], volume: Floats) -> dict[str, Floats]:
    """Volumes of each subregion if there are several: (member, glacier, year) -> (member, year)."""
    names = sorted(set(subregion.tolist()))
    if len(names) < 2:
        return {}
    return {name: volume[:, subregion == name].sum(axis=1) for name in names}
