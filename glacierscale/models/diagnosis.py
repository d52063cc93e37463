"""What raster networks have learned: how they answer to climate, what they need, and whether they obey physics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from glacierscale.models import constraints, networks
from glacierscale.models.constraints import Sensitivity
from glacierscale.models.networks import Weather
from glacierscale.models.raster import ELEMENTS_AT_ONCE, RasterNet, cells_of
from glacierscale.models.scene import Scene
from glacierscale.models.surface import INPUTS, Surface
from glacierscale.region import WINTER_MONTHS

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

TEN_PERCENT = float(np.log(1.1))

CLIMATE_INPUTS = ("winter temperature", "summer temperature", "winter precipitation", "summer precipitation")
"""Inputs of the weather that are shuffled over years; the others, of the surface, are shuffled over cells."""


def answers(net: RasterNet, fold: int, surface: Surface, weather: Weather) -> Iterator[tuple[slice, Sensitivity]]:
    """How annual balances answer to climate, a few years at a time: (years, (member, cell, year) each)."""
    own, cells = net.own(fold), cells_of(surface, net.form)
    years = weather.temp.shape[1]
    step = max(1, ELEMENTS_AT_ONCE // (8 * net.members * len(cells.elevation) * 12))
    for start in range(0, years, step):
        which = slice(start, min(start + step, years))
        with torch.no_grad():
            yield which, networks.answer(own, net.form, cells, weather.take(slice(None), which))


def sensitivities(net: RasterNet, scene: Scene) -> tuple[Floats, Floats]:
    """Mean answer of every outline's balance over all years with climate, by the members trained on everything.

    Returns
    -------
    per_kelvin, per_ten_percent : (outline,)
        kg m-2 K-1, and kg m-2 for 10 % more precipitation.
    """
    surface, known = scene.whole, scene.known
    total = np.zeros((2, len(surface.elevation)))
    for years, found in answers(net, 0, surface, scene.weather):
        told = known[surface.outline][:, years]
        for i, slope in enumerate((found.per_kelvin, TEN_PERCENT * found.per_log_precip)):
            total[i] += np.where(told, slope.mean(0).numpy(), 0).sum(axis=1)
    of_cell = total / np.maximum(known.sum(axis=1), 1)[surface.outline]
    area = np.bincount(surface.outline, surface.area)
    kelvin, percent = (np.bincount(surface.outline, surface.area * values) / area for values in of_cell)
    return kelvin, percent


def obeyed(net: RasterNet, fold: int, scene: Scene, outlines: Ints, years: Ints) -> tuple[dict[str, float], int]:
    """Share of some cells and years that obey each constraint, mean over members of a fold, and how many there are."""
    surface = scene.surface.take(outlines)
    weather = scene.weather.take(outlines, years)
    weight = torch.from_numpy(surface.area.astype(np.float32))[None, :, None]
    parts, counts = [], []
    for which, found in answers(net, fold, surface, weather):
        shares = constraints.satisfied(found, weight)
        parts.append({name: _finite_mean(share) for name, share in shares.items()})
        counts.append((which.stop - which.start) * len(surface.elevation))
    result = {}
    for name in parts[0]:
        values = np.array([part[name] for part in parts])
        told = np.isfinite(values)
        result[name] = float(np.average(values[told], weights=np.array(counts)[told])) if told.any() else np.nan
    return result, sum(counts)


def _finite_mean(values: Floats) -> float:
    told = np.isfinite(values)
    return float(values[told].mean()) if told.any() else np.nan


def shuffled(scene: Scene, name: str, rng: np.random.Generator) -> Scene:
    """The scene with one input shuffled: climate over years, a static input over all ice cells.

    Parameters
    ----------
    scene : Scene
    name : str
        One of `CLIMATE_INPUTS` or of `surface.INPUTS`.
    rng : numpy.random.Generator
    """
    if name in CLIMATE_INPUTS:
        season, what = name.split()
        months = slice(None, WINTER_MONTHS) if season == "winter" else slice(WINTER_MONTHS, None)
        field = "temp" if what == "temperature" else "precip"
        values = getattr(scene.weather, field).clone()
        known = np.flatnonzero(scene.known.all(axis=0))
        mixed = torch.from_numpy(rng.permutation(known))
        values[:, torch.from_numpy(known), months] = getattr(scene.weather, field)[:, mixed, months]
        return replace(scene, weather=replace(scene.weather, **{field: values}))
    surface = scene.whole
    size = surface.context.shape[1] // len(INPUTS)
    order = rng.permutation(len(surface.elevation))
    context = surface.context.copy()
    columns = slice(INPUTS.index(name) * size, (INPUTS.index(name) + 1) * size)
    context[:, columns] = context[order, columns]
    return replace(scene, surface=replace(surface, context=context))
