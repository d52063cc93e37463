"""A trained raster network: all members of all folds, what they predict of observations, and their maps."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from glacierscale.models import likelihood, networks
from glacierscale.models.form import Form, Tensors
from glacierscale.models.functionals import Functionals
from glacierscale.models.networks import Balances, Cells, Weather
from glacierscale.models.surface import Ground, Surface

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

ELEMENTS_AT_ONCE = 1_000_000
"""Network x cell x year x month values worked on together: what the caches of a core hold."""

ELEMENTS_ON_GPU = 100_000_000
"""The same on a GPU: enough to keep it busy."""

_on_gpu = threading.Lock()
"""Held by who works on the GPU, whose memory all threads of a process share."""


def cells_of(surface: Surface, form: Form) -> Cells:
    """Ice cells as tensors."""
    known = {unit: number for number, unit in enumerate(form.units)}
    unit = np.array([known.get(str(unit), len(form.units)) for unit in surface.unit_id], np.int64)
    return Cells(
        context=torch.from_numpy(surface.context),
        elevation=torch.from_numpy(surface.elevation),
        mean_elevation=torch.from_numpy(surface.mean_elevation),
        radiation=torch.from_numpy(surface.radiation),
        outline=torch.from_numpy(surface.outline.astype(np.int64)),
        unit=torch.from_numpy(unit[surface.outline]),
    )


def weather_of(features: xr.Dataset, rows: Ints) -> Weather:
    """Monthly climate of some glaciers of the features as tensors."""
    order, back = np.unique(rows, return_inverse=True)
    some = features[["temp", "precip", "lapse_rate", "ref_height"]].isel(glacier=order).load()
    temp, precip, lapse, height = (
        torch.from_numpy(some[name].values[back].astype(np.float32))
        for name in ("temp", "precip", "lapse_rate", "ref_height")
    )
    return Weather(temp=temp, precip=precip, lapse=lapse, height=height)


def known_years(weather: Weather) -> torch.Tensor:
    """Years of which every month is known: (outline, year) bool."""
    return torch.isfinite(weather.temp).all(-1) & torch.isfinite(weather.precip).all(-1)


def with_climate(seen: Functionals, surface: Ground, known: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Observations whose glaciers have climate in all years that they touch: (observation,).

    Parameters
    ----------
    seen : Functionals
    surface : Ground
    known : (outline, year)
        From `known_years`.
    """
    of_unit = {unit: known[surface.unit_id == unit].all(axis=0) for unit in np.unique(surface.unit_id)}
    whole = np.ones(len(seen), bool)
    told = [of_unit[seen.unit_id[n]][year] for n, year in zip(seen.time_observation, seen.time_year, strict=True)]
    np.logical_and.at(whole, seen.time_observation, np.array(told, bool))
    return whole


@dataclass(frozen=True, kw_only=True)
class RasterNet:
    """Trained networks of every fold and member."""

    form: Form
    """Everything but the weights"""
    parameters: Mapping[str, Floats]
    """By name, each (fold, member, ...)"""

    @property
    def members(self) -> int:
        """Members of each fold."""
        return int(next(iter(self.parameters.values())).shape[1])

    def own(self, fold: int) -> Tensors:
        """Parameters of the members of a fold: (member, ...) each."""
        return {name: torch.from_numpy(np.ascontiguousarray(v[fold])) for name, v in self.parameters.items()}

    def balances(self, fold: int, surface: Surface, weather: Weather) -> Iterator[tuple[slice, Balances]]:
        """Monthly balances of a surface, a few years at a time, on a GPU if there is one.

        Yields
        ------
        (slice, Balances)
            Years, and what all members say of them.
        """
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        years, most = weather.temp.shape[1], ELEMENTS_AT_ONCE if device.type == "cpu" else ELEMENTS_ON_GPU
        step = max(1, most // max(self.members * len(surface.elevation) * 12, 1))
        with torch.no_grad(), nullcontext() if device.type == "cpu" else _on_gpu:
            own = {name: value.to(device) for name, value in self.own(fold).items()}
            cells, weather = cells_of(surface, self.form).to(device), weather.to(device)
            for start in range(0, years, step):
                which = slice(start, min(start + step, years))
                some = weather.take(slice(None), which)
                yield which, networks.balances(own, self.form, cells, some)

    def observe(self, fold: int, functionals: Functionals, which: Ints, surface: Ground, weather: Weather) -> Floats:
        """Some observations as every member of a fold predicts them: (member, observation) kg m-2."""
        return predict(self.own(fold), self.form, functionals, which, surface, weather)

    def noise(self, fold: int) -> Floats:
        """Learned noise of each kind of observation, root mean square over members: (kind,) kg m-2."""
        std: Floats = likelihood.noise_std(self.own(fold), self.form).square().mean(0).sqrt().numpy()
        return std


def predict(
    own: Tensors, form: Form, functionals: Functionals, which: Ints, surface: Ground, weather: Weather
) -> Floats:
    """Some observations as many networks predict them: (network, observation) kg m-2.

    Parameters
    ----------
    own : dict of tensors
        Parameters, each (network, ...).
    form : Form
    functionals : Functionals
        Over `surface`.
    which : (observation,)
        Ascending numbers.
    surface : Ground
    weather : Weather
        Of the surface's outlines, all years of the features. Observations that need unknown months are NaN.
    """
    count = len(own["noise"])
    out = np.zeros((count, len(which)), np.float32)
    whole, weather = with_climate(functionals, surface, known_years(weather).numpy()), weather.filled()
    column = np.zeros(len(functionals), np.int64)
    column[which] = np.arange(len(which))
    for outlines, years, some in pieces(functionals, which, surface, cell_years=20_000):
        cells, own_cells = part_of(surface, form, outlines)
        wanted = likelihood.targets(functionals, some, cells, years, form.kinds)
        local = weather.take(outlines, years)
        step = max(1, ELEMENTS_AT_ONCE // max(len(cells) * len(years) * 12, 1))
        with torch.no_grad():
            for start in range(0, count, step):
                some_own = {name: value[start : start + step] for name, value in own.items()}
                monthly = networks.balances(some_own, form, own_cells, local).monthly
                out[start : start + step, column[some]] = likelihood.observe(monthly, wanted).numpy()
    out[:, ~whole[which]] = np.nan
    return out


def part_of(ground: Ground, form: Form, outlines: Ints) -> tuple[Ints, Cells]:
    """Numbers of the cells of some outlines (ascending), and those cells by themselves."""
    cells = ground.cells
    end = np.cumsum(cells)
    numbers = [np.arange(end[outline] - cells[outline], end[outline]) for outline in outlines]
    return np.concatenate([np.zeros(0, np.int64), *numbers]), cells_of(ground.take(outlines), form)


def pieces(
    functionals: Functionals,
    which: Ints,
    surface: Ground,
    *,
    cell_years: int,
    rng: np.random.Generator | None = None,
) -> list[tuple[Ints, Ints, Ints]]:
    """Cut observations into pieces of work that share glaciers and years.

    Parameters
    ----------
    functionals : Functionals
    which : (observation,)
        Ascending numbers.
    surface : Ground
    cell_years : int
        About how many cells x years a piece should hold.
    rng : numpy.random.Generator
        Shuffles glaciers and years; None keeps their order.

    Returns
    -------
    list of (outlines, years, observations)
        Ascending numbers each. Observations of many years keep their years together.
    """
    units, of_observation = np.unique(functionals.unit_id[which], return_inverse=True)
    cells = surface.cells
    outlines_of = [np.flatnonzero(surface.unit_id == unit) for unit in units]
    first, last = (getattr(functionals, name)[which] for name in ("first_year", "last_year"))
    together = bool((first != last).any())
    order = np.arange(len(units)) if rng is None else rng.permutation(len(units))
    span = len(np.unique(functionals.time_year)) if together else 8
    found = []
    for group in _grouped(order, [int(cells[o].sum()) * span for o in outlines_of], cell_years):
        outlines = np.sort(np.concatenate([outlines_of[u] for u in group]))
        mine = np.flatnonzero(np.isin(of_observation, group))
        if together:
            found.append((outlines, _years_of(functionals, which[mine]), which[mine]))
            continue
        year = last[mine]
        years = np.unique(year) if rng is None else rng.permutation(np.unique(year))
        for some in _grouped(np.arange(len(years)), [int(cells[outlines].sum())] * len(years), cell_years):
            chosen = which[mine[np.isin(year, years[some])]]
            found.append((outlines, _years_of(functionals, chosen), chosen))
    return found


def _years_of(functionals: Functionals, which: Ints) -> Ints:
    return np.unique(functionals.time_year[np.isin(functionals.time_observation, which)])


def _grouped(items: Ints, sizes: list[int], limit: int) -> list[Ints]:
    """Runs of items whose sizes add up to the limit or little more; at least one item each."""
    groups: list[list[int]] = [[]]
    total = 0
    for item in items:
        if groups[-1] and total + sizes[item] > limit:
            groups.append([])
            total = 0
        groups[-1].append(int(item))
        total += sizes[item]
    return [np.array(group, np.int64) for group in groups if group]
