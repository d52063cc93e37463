"""Steps of raster networks: some glaciers and years, what they are like, and what was observed there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import IterableDataset

from glacierscale.models import likelihood
from glacierscale.models.form import Form
from glacierscale.models.functionals import Functionals
from glacierscale.models.likelihood import Targets
from glacierscale.models.networks import Cells, Weather
from glacierscale.models.raster import part_of, pieces
from glacierscale.models.surface import Ground
from glacierscale.training.feed.loading import ahead

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]
CONSTRAINED_STEPS = 5
"""The constraints are looked at in one step out of so many."""
_CONSTRAINED_CELLS, _CONSTRAINED_YEARS = 32, 2
_AHEAD = 2


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What the networks learn from."""

    form: Form
    surface: Ground
    weather: Weather
    """Of the surface's outlines, all years of the features"""
    functionals: Functionals
    weight: Floats
    """(network, observation) how many independent values each stands for; 0 where a network does not train on it"""


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """How long and how fast."""

    steps: int
    learning_rate: float
    """Of the physical parameters; the convolution takes a tenth."""
    weight_decay: float
    cell_years: int
    """Cells x years in one step"""
    constraint_weight: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class Step:
    """Tensors of one step."""

    cells: Cells
    weather: Weather
    wanted: Targets
    share: float
    """One over how many steps an epoch has: all count the same observations once"""
    name: str
    """What it holds, in words"""
    probe: tuple[Cells, Weather] | None = None
    """A few of the cells and years, where the constraints are looked at"""
    part: float = 1.0
    """How much of the undivided step's cells x years this is"""

    def to(self, device: torch.device) -> Step:
        """The same on a device."""
        return self._each(lambda part: part.to(device))

    def pin_memory(self) -> Step:
        """The same in pinned memory."""
        return self._each(lambda part: type(part)(**{n: value.pin_memory() for n, value in vars(part).items()}))

    def _each(self, change: Callable[[Any], Any]) -> Step:
        parts = {name: change(getattr(self, name)) for name in ("cells", "weather", "wanted")}
        probe = None if self.probe is None else (change(self.probe[0]), change(self.probe[1]))
        return replace(self, **parts, probe=probe)


class Feed(IterableDataset[Step]):
    """Steps without end, epoch after epoch: glaciers and years in a new order each time, the same for one seed.

    Observations that any network of the lesson trains on are cut into steps, so that which networks a process trains
    does not change the steps.
    """

    def __init__(
        self, lesson: Lesson, cell_years: int, seed: int, *, first: int = 0, piece: int = 0, pieces: int = 1
    ) -> None:
        self.lesson, self.cell_years, self.seed = lesson, cell_years, seed
        self.first, self.piece, self.pieces = first, piece, pieces
        self.trained = np.flatnonzero(lesson.weight.any(axis=0))
        if not len(self.trained):
            raise ValueError(
                f"none of the {lesson.weight.shape[1]} observations trains any of the {len(lesson.weight)} networks; "
                "check the targets and what is held out."
            )

    def __iter__(self) -> Iterator[Step]:
        return ahead(self._steps(), _AHEAD)

    def _steps(self) -> Iterator[Step]:
        rng = np.random.default_rng(self.seed)
        seen, number = self.lesson.functionals, 0
        while True:
            cut = pieces(seen, self.trained, self.lesson.surface, cell_years=self.cell_years, rng=rng)
            for outlines, years, some in cut:
                if number >= self.first:
                    yield self._step(number, outlines, years, some, 1 / len(cut))
                number += 1

    def _step(self, number: int, outlines: Ints, years: Ints, some: Ints, share: float) -> Step:
        own = outlines, years, some
        if self.pieces > 1:
            own = _divided(self.lesson.functionals, self.lesson.surface, *own, self.pieces)[self.piece]
        cells, of_piece = part_of(self.lesson.surface, self.lesson.form, own[0])
        weather, seen, form = self.lesson.weather, self.lesson.functionals, self.lesson.form
        undivided = int(self.lesson.surface.cells[outlines].sum()) * len(years)
        return Step(
            cells=of_piece,
            weather=weather.take(own[0], own[1]),
            wanted=likelihood.targets(seen, own[2], cells, own[1], form.kinds),
            share=share,
            name=_named(seen, some),
            probe=self._probe(number, outlines, years) if number % CONSTRAINED_STEPS == 0 else None,
            part=len(cells) * len(own[1]) / undivided,
        )

    def _probe(self, number: int, outlines: Ints, years: Ints) -> tuple[Cells, Weather]:
        """A few cells and years of the undivided step."""
        _, cells = part_of(self.lesson.surface, self.lesson.form, outlines)
        generator = torch.Generator().manual_seed(self.seed + number)
        some = torch.randperm(len(cells.elevation), generator=generator)[:_CONSTRAINED_CELLS]
        of_years = torch.randperm(len(years), generator=generator)[:_CONSTRAINED_YEARS]
        return cells.take(some), self.lesson.weather.take(outlines, years).take(slice(None), of_years)


def _divided(
    seen: Functionals, surface: Ground, outlines: Ints, years: Ints, some: Ints, pieces: int
) -> list[tuple[Ints, Ints, Ints]]:
    """A step in so many pieces, by glaciers where there are enough of them, else by years; some may be empty.

    Each is all of its glaciers in all of its years, so that means over the step are means over the pieces.
    """
    units, cells_of = np.unique(surface.unit_id[outlines]), surface.cells
    if len(units) >= pieces or (seen.first_year[some] != seen.last_year[some]).any():
        cells = np.array([cells_of[surface.unit_id == unit].sum() for unit in units])
        middle = (np.cumsum(cells) - cells / 2) / cells.sum()
        of_unit = dict(zip(units.tolist(), (middle * pieces).astype(int).tolist(), strict=True))
        at = np.array([of_unit[unit] for unit in surface.unit_id[outlines].tolist()])
        of_seen = np.array([of_unit[unit] for unit in seen.unit_id[some].tolist()])
        return [(outlines[at == piece], years, some[of_seen == piece]) for piece in range(pieces)]
    year = dict(zip(seen.time_observation.tolist(), seen.time_year.tolist(), strict=True))
    of_seen = np.array([year[number] for number in some.tolist()])
    return [(outlines, part, some[np.isin(of_seen, part)]) for part in np.array_split(years, pieces)]


def _named(functionals: Functionals, some: npt.NDArray[np.integer]) -> str:
    units = np.unique(functionals.unit_id[some])
    years = functionals.first_year[some].min(), functionals.last_year[some].max()
    more = f" and {len(units) - 3} more" if len(units) > 3 else ""
    return f"{len(some)} observations of {', '.join(units[:3])}{more}, {years[0]} to {years[1]}"
