"""Glaciers of any size side by side: the cells that still have ice, of every glacier and member, one after another.

Whatever is done with them is elementwise or a sum, least or greatest value over the columns of one segment, taken from
the first to the last of them. So nothing depends, to the last bit, on what else is packed; there is no padding, and
ice that is gone costs nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from glacierscale.evolution.geometry import Ice

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Cells of some glaciers, one glacier after the other."""

    bed: Floats
    """(cell,) m"""
    area: Floats
    """(cell,) m2 under ice where there is ice"""
    initial: Floats
    """(cell,) m of ice at the start"""
    first: Ints
    """(glacier + 1,) where the cells of each glacier start"""

    @property
    def cells(self) -> Ints:
        """How many each glacier has: (glacier,)."""
        return np.diff(self.first)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Cells with ice; segments are glaciers, each as often as it has members."""

    ground: Ground
    glacier: Ints
    """(segment,) which of the ground"""
    first: Ints
    """(segment + 1,) where the columns of each segment start"""
    place: Ints
    """(column,) where it is among all cells of all segments"""
    thickness: Floats
    """(column,) m"""
    bed: Floats
    """(column,) m"""
    area: Floats
    """(column,) m2"""
    initial: Floats
    """(column,) m"""

    @classmethod
    def of(cls, ground: Ground, glacier: Ints, thickness: Floats) -> Columns:
        """Those of some segments that have ice.

        Parameters
        ----------
        ground : Ground
        glacier : (segment,) int
        thickness : (cell of segment,) m
            Of all cells of the first segment, then of the second.
        """
        counts = ground.cells[glacier]
        start = np.concatenate([[0], np.cumsum(counts)])
        cell = np.arange(start[-1]) + np.repeat(ground.first[glacier] - start[:-1], counts)
        place = np.flatnonzero(thickness > 0)
        here = cell[place]
        return cls(
            ground=ground,
            glacier=glacier,
            first=np.searchsorted(place, start),
            place=place,
            thickness=thickness[place],
            bed=ground.bed[here],
            area=ground.area[here],
            initial=ground.initial[here],
        )

    @classmethod
    def at_start(cls, ground: Ground, glacier: Ints) -> Columns:
        """Those of the ice at the start."""
        return cls.of(ground, glacier, per_segment(ground, glacier, ground.initial))

    def with_ice(self, thickness: Floats) -> Columns:
        """The same with other ice (column,) m; those without are left out."""
        kept = np.flatnonzero(thickness > 0)
        if len(kept) == len(thickness):
            return replace(self, thickness=thickness)
        return replace(
            self,
            first=np.searchsorted(kept, self.first),
            place=self.place.take(kept),
            thickness=thickness.take(kept),
            bed=self.bed.take(kept),
            area=self.area.take(kept),
            initial=self.initial.take(kept),
        )

    def only(self, segment: Ints) -> tuple[Columns, Ints]:
        """Some segments alone, and which of the columns are theirs; places stay those among all."""
        wanted = np.zeros(len(self.glacier), bool)
        wanted[segment] = True
        chosen = np.flatnonzero(self.spread(wanted))
        ends = np.concatenate([[0], np.cumsum(self.counts[segment])])
        return replace(
            self,
            glacier=self.glacier[segment],
            first=ends,
            place=self.place[chosen],
            thickness=self.thickness[chosen],
            bed=self.bed[chosen],
            area=self.area[chosen],
            initial=self.initial[chosen],
        ), chosen

    @cached_property
    def counts(self) -> Ints:
        """Columns of each segment: (segment,)."""
        return np.diff(self.first)

    def owner(self, column: Ints) -> Ints:
        """Segment of some columns: (some column,)."""
        return np.searchsorted(self.first, column, side="right") - 1

    @cached_property
    def cells(self) -> Ints:
        """Cells of each segment, with ice or without: (segment,)."""
        return self.ground.cells[self.glacier]

    @cached_property
    def surface(self) -> Floats:
        """(column,) m."""
        return self.bed + self.thickness

    @cached_property
    def lowest(self) -> Floats:
        """Elevation of the lowest surface: (segment,) m; infinite without ice."""
        return self._reduced(np.minimum, self.surface, np.inf)

    @cached_property
    def highest(self) -> Floats:
        """Elevation of the highest: (segment,) m."""
        return self._reduced(np.maximum, self.surface, -np.inf)

    def total(self, values: Floats) -> Floats:
        """Sum over the columns of each segment: (column,) -> (segment,)."""
        return self._reduced(np.add, values, 0.0)

    def spread(self, values: npt.NDArray[T]) -> npt.NDArray[T]:
        """Each segment's value for its columns: (segment,) -> (column,)."""
        return np.repeat(values, self.counts)

    def on_cells(self, values: Floats) -> Floats:
        """Values of all cells of all segments, 0 where there is no ice: (column,) -> (cell of segment,)."""
        out = np.zeros(int(self.cells.sum()))
        out[self.place] = values
        return out

    def _reduced(self, how: np.ufunc, values: Floats, empty: float) -> Floats:
        out = np.full(len(self.glacier), empty)
        some = self.counts > 0
        if some.any():
            out[some] = how.reduceat(values, self.first[:-1][some])
        return out


def per_segment(ground: Ground, glacier: Ints, values: npt.NDArray[T]) -> npt.NDArray[T]:
    """Values of the cells of each segment's glacier: (cell,) -> (cell of segment,)."""
    return np.concatenate([values[ground.first[one] : ground.first[one + 1]] for one in glacier.tolist()])


def pack(ices: Sequence[Ice]) -> Ground:
    """Glaciers side by side.

    Parameters
    ----------
    ices : sequence of Ice
        `bed`, `cell_area` and `thickness` (at the start) are read; padding is left out.

    Raises
    ------
    ValueError
        If thickness is negative or not finite, or lies where there is no area.
    """
    parts: list[list[Floats]] = []
    for ice in ices:
        check(ice.thickness.numpy()[None], ice)
        for fields in zip(*(values.numpy() for values in (ice.bed, ice.cell_area, ice.thickness)), strict=True):
            used = fields[1] > 0
            parts.append([values[used] for values in fields])
    bed, area, initial = (np.concatenate(values) for values in zip(*parts, strict=True))
    first = np.concatenate([[0], np.cumsum([len(part[0]) for part in parts])])
    return Ground(bed=bed, area=area, initial=initial, first=first)


def check(thickness: Floats, ice: Ice) -> None:
    """Refuse ice that cannot be.

    Parameters
    ----------
    thickness : (member, glacier, cell) m
    ice : Ice

    Raises
    ------
    ValueError
        If thickness has another shape, is negative or not finite, or lies where there is no area.
    """
    if thickness.shape[1:] != tuple(ice.bed.shape):
        raise ValueError(f"thickness has shape {thickness.shape}; expected (member, *{tuple(ice.bed.shape)}).")
    low, high = (thickness.min(), thickness.max()) if thickness.size else (0.0, 0.0)
    if not (low >= 0 and high < np.inf):  # also false for NaN
        raise ValueError(
            f"thickness runs from {low:g} to {high:g} m; expected finite numbers from 0 on. Set missing ones to 0."
        )
    outside = (thickness > 0) & (ice.cell_area.numpy() <= 0)
    if outside.any():
        raise ValueError(
            f"{outside.any(axis=0).sum()} cells without area hold ice; expected 0 m in padding and outside the outline."
        )
