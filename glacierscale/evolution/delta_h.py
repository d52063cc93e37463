"""Glaciers that follow a curve of elevation change against height: delta-h (Huss et al. 2010).

Loss thins every cell by ``min(thickness, factor x curve)``. The thinning of a glacier rises piecewise linearly with its
factor, so a few Newton steps from below find the factor that meets the loss exactly. A cell whose ice is used up is
bare; a glacier may split, and it is gone when all its cells are.

Gain undoes loss. Ice thickens by the curve, but no cell beyond what it had at the start, by the same equation with the
room up to that instead of the thickness. What finds no room crosses the front: bare cells of the first extent get
their first thickness back, the highest first. So a glacier that gains all it lost is what it was, and ice never lies
beyond the first extent; only on a glacier that is whole again does all ice thicken by the curve. Huss and Hock (2015)
let a glacier advance by what would thicken it by more than 5 m in a year, which annual gains hardly ever do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from glacierscale.evolution.curves import POINTS
from glacierscale.evolution.geometry import Ice
from glacierscale.evolution.packing import Columns, check, pack

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

FLOOR = 1e-6
"""Least share of the greatest thinning: any cell can lose its ice once nothing else is left (curves start at 0)."""

_FLAT_M = 1e-6  # smaller ranges of elevation are rounding
_AHEAD = 2.0  # cells are looked at that lose all their ice below so many times the first factor
_SPENT = 1e-6  # share of the slope that others must have for the difference of sums to keep its digits
_ALL = 1 - 1e-14  # share of the volume that counts as all of it: sums round
_ALL_FACTOR = 1e300


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Curves of glaciers as straight lines between their points."""

    level: Floats
    """(glacier x point,) where the line from one point to the next would start at height 0"""
    rise: Floats
    """(glacier x point,) rise of the curve to the next point"""

    @classmethod
    def of(cls, curve: npt.ArrayLike) -> Lines:
        """Of normalised thinning at heights from the top (0) to the terminus (1): (glacier, POINTS), see `curves`.

        Raises
        ------
        ValueError
            If it has another shape, is negative, not finite or 0 everywhere.
        """
        levels = np.asarray(curve, float)
        if levels.ndim != 2 or levels.shape[1] != POINTS:
            raise ValueError(f"curve has shape {levels.shape}; expected (glacier, {POINTS}), a row a glacier.")
        if not ((levels >= 0) & np.isfinite(levels)).all() or not (levels.max(axis=1) > 0).all():
            raise ValueError("a curve is negative, not finite or 0 everywhere; expected thinning from 0 to 1.")
        levels = np.maximum(levels / levels.max(axis=1, keepdims=True), FLOOR)
        rise = np.diff(levels, axis=1, append=levels[:, -1:])
        return cls(level=(levels - rise * np.arange(POINTS)).ravel(), rise=rise.ravel())


class Step(NamedTuple):
    """Ice after a year."""

    columns: Columns
    unmet_m3: Floats
    """(segment,) m3 of ice: change that found no ice to take, negative, or no cell to lie on, positive"""


def advance(thickness: torch.Tensor, ice: Ice, curve: npt.ArrayLike, change_m3: torch.Tensor) -> torch.Tensor:
    """Ice after a year in which each glacier gained or lost a volume.

    For many years `pack` once, then `step`: it also tells what change could not be met.

    Parameters
    ----------
    thickness : (member, glacier, cell) m
        0 in padding.
    ice : Ice
        Ground, area of cells and the ice at the start.
    curve : (glacier, POINTS)
        Normalised thinning from the top to the terminus.
    change_m3 : (member, glacier) m3 of ice
        Negative for a loss; more than there is leaves none.

    Returns
    -------
    torch.Tensor
        (member, glacier, cell) m: its volume differs from before by the change, to rounding, unless that was more loss
        than there was ice.

    Raises
    ------
    ValueError
        If thickness is negative or not finite, lies where there is no area, or the change is not finite; see
        `packing.pack` and `Lines`.
    """
    before = thickness.numpy()
    check(before, ice)
    members, glaciers = before.shape[:2]
    if tuple(change_m3.shape) != (members, glaciers):
        raise ValueError(
            f"change has shape {tuple(change_m3.shape)}; expected {(members, glaciers)}, (member, glacier) m3."
        )
    used = np.broadcast_to(ice.cell_area.numpy() > 0, before.shape)
    columns = Columns.of(pack([ice]), np.tile(np.arange(glaciers), members), before[used])
    moved = step(columns, Lines.of(curve), change_m3.numpy().ravel()).columns
    after = np.zeros_like(before)
    after[used] = moved.on_cells(moved.thickness)
    return torch.from_numpy(after)


def step(columns: Columns, lines: Lines, change_m3: Floats) -> Step:
    """Ice after a year as `advance` moves it, packed.

    Parameters
    ----------
    columns : Columns
    lines : Lines
        Of the glaciers of their ground.
    change_m3 : (segment,) m3 of ice

    Raises
    ------
    ValueError
        If the change has another shape or is not finite.
    """
    if change_m3.shape != columns.glacier.shape:
        raise ValueError(f"change has shape {change_m3.shape}; expected {columns.glacier.shape}, (segment,) m3.")
    if not np.isfinite(change_m3).all():
        count = int((~np.isfinite(change_m3)).sum())
        raise ValueError(f"{count} of {change_m3.size} volume changes are not finite; expected m3 of ice.")
    gains = change_m3 > 0
    thickness, room, weight = columns.thickness, columns.thickness, _weights(columns, lines)
    if gains.any():
        back = np.maximum(columns.initial - thickness, 0)
        room = np.where(columns.spread(gains), back, thickness)
        weight = np.where(room > 0, weight, 0.0)
    factor, beyond = _factor(room, weight, columns, np.abs(change_m3))
    moved = np.multiply(weight, columns.spread(factor), out=weight)
    np.minimum(room, moved, out=moved)
    if room is thickness:
        return Step(columns.with_ice(thickness - moved), -beyond)
    after = columns.with_ice(thickness + moved * columns.spread(np.sign(change_m3)))
    crossing = np.flatnonzero(gains & (beyond > 0))
    unmet = np.where(gains, 0.0, -beyond)
    if len(crossing):
        after, unmet[crossing] = _cross_front(after, lines, crossing, beyond[crossing])
    return Step(after, unmet)


def covered_area(thickness: Floats, cell_area: Floats, initial: Floats) -> Floats:
    """Area under ice in cells that have thinned.

    Below what a cell resolves ice lies in hollows that narrow as it thins. In a parabolic one the width goes with the
    root of the depth (Huss and Hock 2015), and so with the cube root of the volume.

    Parameters
    ----------
    thickness : (..., cell) m
        Volume over `cell_area`.
    cell_area : (..., cell) m2
        Under ice at the start.
    initial : (..., cell) m
        Thickness at the start; a cell that had none is covered whole by any ice.

    Returns
    -------
    numpy.ndarray
        (..., cell) m2: `cell_area` where ice is as thick as at the start or more, 0 where there is none.
    """
    known = initial > 0
    whole = known.all()  # as with curves, and much faster
    share = thickness / initial if whole else np.divide(thickness, initial, out=np.sign(thickness), where=known)
    np.minimum(share, 1, out=share)
    covered: Floats = np.cbrt(share, out=share)
    covered *= cell_area
    return covered


def _weights(columns: Columns, lines: Lines) -> Floats:
    """Curve at the height of each column: (column,)."""
    top, low = columns.highest, columns.lowest
    steep = top - low > _FLAT_M
    # A glacier at one elevation has no curve: all its cells are at the first point and change alike.
    scale = np.divide(POINTS - 1, top - low, out=np.zeros_like(top), where=steep)
    height = columns.spread(top) - columns.surface
    height *= columns.spread(scale)
    np.minimum(height, POINTS - 1, out=height)
    point = height.astype(np.intp)
    point += columns.spread(columns.glacier * POINTS)
    height *= lines.rise.take(point)
    height += lines.level.take(point)
    return height


def _factor(room: Floats, weight: Floats, columns: Columns, amount_m3: Floats) -> tuple[Floats, Floats]:
    """Factor with which ``area x min(room, factor x weight)`` sums to the amount, and what is too much for any.

    Parameters
    ----------
    room, weight : (column,)
        Both 0 where nothing can change.
    amount_m3 : (segment,), not negative

    Returns
    -------
    factor, beyond : (segment,) m and m3
    """
    share = columns.area * weight
    slope = columns.total(share)
    first = np.divide(amount_m3, slope, out=np.zeros_like(slope), where=slope > 0)
    with np.errstate(invalid="ignore"):
        full_at = room / weight  # NaN where nothing can change, so never reached
    ahead = np.flatnonzero(full_at <= columns.spread(_AHEAD * first))
    owner = columns.owner(ahead)
    at, part = full_at.take(ahead), share.take(ahead)

    def summed(values: Floats, number: Ints) -> Floats:
        return np.bincount(number, values, minlength=len(slope)).astype(float, copy=False)

    def used(factor: Floats) -> tuple[Floats, Floats]:
        found = np.flatnonzero(at <= factor[owner])
        number, lost = owner[found], part[found]
        return slope - summed(lost, number), summed(lost * at[found], number)

    factor = _newton(first, amount_m3, used)
    # Beyond what was looked at, or where that was all there is, down to the last cell, sum what is left itself.
    hard = (factor > _AHEAD * first) | (slope - summed(part, owner) <= _SPENT * slope) & (amount_m3 > 0)
    beyond = np.zeros_like(factor)
    if hard.any():
        alone, chosen = columns.only(np.flatnonzero(hard))
        factor[hard], beyond[hard] = _factor_in_full(room[chosen], weight[chosen], alone, amount_m3[hard])
    return factor, beyond


def _factor_in_full(room: Floats, weight: Floats, columns: Columns, amount_m3: Floats) -> tuple[Floats, Floats]:
    """The same from sums over all columns."""
    share, volume = columns.area * weight, columns.area * room
    full_at = np.divide(room, weight, out=np.zeros_like(room), where=weight > 0)
    capacity = columns.total(volume)
    full = amount_m3 >= capacity * _ALL

    def used(factor: Floats) -> tuple[Floats, Floats]:
        reached = full_at <= columns.spread(factor)
        return columns.total(np.where(reached, 0.0, share)), columns.total(np.where(reached, volume, 0.0))

    factor = _newton(np.zeros_like(capacity), np.where(full, 0.0, amount_m3), used)
    return np.where(full, _ALL_FACTOR, factor), np.where(full, np.maximum(amount_m3 - capacity, 0), 0.0)


def _newton(factor: Floats, amount: Floats, used: Callable[[Floats], tuple[Floats, Floats]]) -> Floats:
    """Root of a concave function that is linear between points, from below: each step passes points for good.

    `used` gives the slope there and the amount of all that is used up.
    """
    while True:
        slope, taken = used(factor)
        further = np.maximum(factor, np.divide(amount - taken, slope, out=factor.copy(), where=slope > 0))
        if not (further > factor).any():
            return factor
        factor = further


def _cross_front(columns: Columns, lines: Lines, segment: Ints, gain_m3: Floats) -> tuple[Columns, Floats]:
    """Put what found no room on the bare cells of the first extent, the highest first, then everywhere by the curve.

    Returns the columns, and what found no cell, (some segment,) m3.
    """
    ground, thickness = columns.ground, columns.on_cells(columns.thickness)
    ends, over = np.cumsum(columns.cells), gain_m3.copy()
    for number, one in enumerate(segment.tolist()):
        if columns.counts[one] == columns.cells[one]:
            continue
        cells = slice(ground.first[columns.glacier[one]], ground.first[columns.glacier[one] + 1])
        own = thickness[ends[one] - columns.cells[one] : ends[one]]
        bare = np.where(own > 0, 0.0, ground.area[cells] * ground.initial[cells])  # m3
        order = np.argsort(-(ground.bed[cells] + ground.initial[cells]), kind="stable")
        before = np.cumsum(bare[order]) - bare[order]
        filled = np.minimum(np.maximum(gain_m3[number] - before, 0), bare[order])
        own[order] += filled / ground.area[cells][order]
        over[number] = max(gain_m3[number] - bare.sum(), 0.0)
    whole = Columns.of(ground, columns.glacier, thickness)
    more = np.zeros(len(columns.glacier))
    more[segment] = over
    weight = _weights(whole, lines)
    slope = whole.total(whole.area * weight)
    factor = np.divide(more, slope, out=np.zeros_like(slope), where=slope > 0)
    return whole.with_ice(whole.thickness + weight * whole.spread(factor)), np.where(slope > 0, 0.0, more)[segment]
