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
from typing import NamedTuple

import numpy.typing as npt
import torch

from glacierscale.evolution.curves import POINTS
from glacierscale.evolution.geometry import Ice
from glacierscale.evolution.packing import Packed, block, check, pack, put_back

_HIGH_M = 1e5  # lifts or sinks cells without ice out of the range of elevations
_FLAT_M = 1e-6  # smaller ranges of elevation are rounding
_AHEAD = 2.0  # cells are looked at that lose all their ice below so many times the first factor
_SPENT = 1e-6  # share of the slope that others must have for the difference of sums to keep its digits
_ALL = 1 - 1e-14  # share of the volume that counts as all of it: sums round
_ALL_FACTOR = 1e300
_WIDTH_OF_VOLUME = 1 / 3  # volume goes with the width times the depth, and the depth with the width squared


class Step(NamedTuple):
    """Ice after a year."""

    thickness: torch.Tensor
    """(member, row, width) m"""
    unmet_m3: torch.Tensor
    """(member, glacier) m3 of ice: change that found no ice to take, negative, or no cell to lie on, positive"""


def advance(
    thickness: torch.Tensor, ice: Ice, curve: npt.ArrayLike | torch.Tensor, change_m3: torch.Tensor
) -> torch.Tensor:
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
        If thickness is negative or not finite, lies where there is no area, or the change is not finite; see `pack`.
    """
    check(thickness, ice)
    packed = pack(ice, curve)
    return packed.give(step(packed.take(thickness), packed, change_m3).thickness)


def step(thickness: torch.Tensor, packed: Packed, change_m3: torch.Tensor) -> Step:
    """Ice after a year as `advance` moves it, in the packed form.

    Parameters
    ----------
    thickness : (member, row, width) m
        Not checked; see `Packed.take` and `advance`.
    packed : Packed
    change_m3 : (member, glacier) m3 of ice

    Raises
    ------
    ValueError
        If the change has another shape or is not finite.
    """
    expected = (len(thickness), packed.shape[0])
    if tuple(change_m3.shape) != expected:
        raise ValueError(f"change has shape {tuple(change_m3.shape)}; expected {expected}, (member, glacier) m3.")
    if not bool(change_m3.isfinite().all()):
        count = int((~change_m3.isfinite()).sum())
        raise ValueError(f"{count} of {change_m3.numel()} volume changes are not finite; expected m3 of ice.")
    gains = change_m3 > 0
    room, weight = thickness, _weights(thickness, packed)
    if bool(gains.any()):
        back = (packed.initial - thickness).clamp_(min=0).mul_(torch.sign(thickness))
        room = torch.where(packed.spread(gains), back, thickness)
        weight.mul_(torch.sign(room))
    factor, beyond = _factor(room, weight, packed, change_m3.abs())
    moved = torch.minimum(room, weight.mul_(packed.spread(factor)), out=weight)
    if room is thickness:
        return Step(thickness - moved, -beyond)
    after = torch.addcmul(thickness, moved, packed.spread(torch.sign(change_m3)))
    return Step(after, torch.where(gains, _cross_front(after, packed, torch.where(gains, beyond, 0.0)), -beyond))


def covered_area(thickness: torch.Tensor, cell_area: torch.Tensor, initial: torch.Tensor) -> torch.Tensor:
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
    torch.Tensor
        (..., cell) m2: `cell_area` where ice is as thick as at the start or more, 0 where there is none.
    """
    share = torch.where(initial > 0, thickness / initial, torch.sign(thickness))
    return cell_area * share.clamp_(max=1).pow_(_WIDTH_OF_VOLUME)


def _weights(thickness: torch.Tensor, packed: Packed) -> torch.Tensor:
    """Curve at the height of each cell of ice now, 0 without ice: (member, row, width).

    The passes over all cells are what evolution costs: few of them, and in place.
    """
    iced = torch.sign(thickness)
    surface = packed.bed + thickness
    moved = torch.add(surface, iced, alpha=_HIGH_M)
    top = _extreme(moved.amax(dim=-1), packed, "amax") - _HIGH_M
    low = _extreme(torch.add(surface, iced, alpha=-_HIGH_M, out=moved).amin(dim=-1), packed, "amin") + _HIGH_M
    # A glacier at one elevation has no curve: all its cells are at the first point and change alike.
    scale = torch.where(top - low > _FLAT_M, (POINTS - 1) / (top - low), 0.0)
    height = torch.addcmul(packed.spread(top * scale), surface, packed.spread(scale), value=-1, out=surface)
    height.clamp_(0, POINTS - 1)
    point = height.to(torch.int32).add_((packed.glacier * POINTS).to(torch.int32)[:, None]).reshape(-1)
    rise = torch.index_select(packed.rise, 0, point, out=moved.view(-1)).view_as(height)
    return packed.level.index_select(0, point).view_as(height).addcmul_(rise, height).mul_(iced)


def _extreme(values: torch.Tensor, packed: Packed, reduce: str) -> torch.Tensor:
    """Greatest or least value of each glacier: (member, row) -> (member, glacier)."""
    if packed.whole:
        return values
    found = values.new_full((len(values), packed.shape[0]), -torch.inf if reduce == "amax" else torch.inf)
    return found.scatter_reduce_(1, packed.glacier.expand_as(values), values, reduce)


def _factor(
    room: torch.Tensor, weight: torch.Tensor, packed: Packed, amount_m3: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Factor with which ``area x min(room, factor x weight)`` sums to the amount, and what is too much for any.

    Parameters
    ----------
    room, weight : (member, row, width)
        Both 0 where nothing can change.
    amount_m3 : (member, glacier), not negative

    Returns
    -------
    factor, beyond : (member, glacier) m and m3
    """
    share = packed.area * weight
    slope = packed.total(share)
    first = torch.where(slope > 0, amount_m3 / slope, 0.0)
    full_at = room / weight  # NaN where nothing can change, so never reached
    ahead = (full_at <= packed.spread(_AHEAD * first)).view(-1).nonzero()[:, 0]
    rows, width = packed.bed.shape
    row = ahead // width
    pair = row // rows * packed.shape[0] + packed.glacier[row % rows]
    at, part = full_at.view(-1)[ahead], share.view(-1)[ahead]

    def used(factor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = (at <= factor.view(-1)[pair]).nonzero()[:, 0]
        number, lost = pair[found], part[found]
        spent = slope.new_zeros(slope.numel()).index_add_(0, number, lost).view_as(slope)
        taken = slope.new_zeros(slope.numel()).index_add_(0, number, lost * at[found]).view_as(slope)
        return slope - spent, taken

    factor = _newton(first, amount_m3, used)
    # Beyond what was looked at, or where that was all there is, down to the last cell, sum what is left itself.
    unseen = slope - slope.new_zeros(slope.numel()).index_add_(0, pair, part).view_as(slope)
    hard = (factor > _AHEAD * first) | (unseen <= _SPENT * slope) & (amount_m3 > 0)
    beyond = torch.zeros_like(factor)
    if bool(hard.any()):
        member, glacier = hard.nonzero().unbind(dim=1)
        found, excess = _factor_in_full(*block((room, weight), packed, member, glacier), amount_m3[hard])
        factor[hard], beyond[hard] = found, excess
    return factor, beyond


def _factor_in_full(
    blocks: list[torch.Tensor], alone: Packed, amount_m3: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same for single glaciers: blocks (1, pair, cell) and amount (pair,) -> factor, beyond (pair,)."""
    room, weight = blocks
    share, volume = alone.area * weight, alone.area * room
    full_at = torch.where(weight > 0, room / weight, 0.0)
    capacity = volume.sum(dim=-1)
    full = amount_m3 >= capacity * _ALL

    def used(factor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        reached = full_at <= factor[..., None]
        return torch.where(reached, 0.0, share).sum(dim=-1), torch.where(reached, volume, 0.0).sum(dim=-1)

    factor = _newton(torch.zeros_like(capacity), torch.where(full, 0.0, amount_m3), used)
    factor = torch.where(full, _ALL_FACTOR, factor)
    return factor[0], torch.where(full, (amount_m3 - capacity).clamp(min=0), 0.0)[0]


def _newton(
    factor: torch.Tensor, amount: torch.Tensor, used: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
) -> torch.Tensor:
    """Root of a concave function that is linear between points, from below: each step passes points for good.

    `used` gives the slope there and the amount of all that is used up.
    """
    while True:
        slope, taken = used(factor)
        further = torch.maximum(factor, torch.where(slope > 0, (amount - taken) / slope, factor))
        if not bool((further > factor).any()):
            return factor
        factor = further


def _cross_front(thickness: torch.Tensor, packed: Packed, gain_m3: torch.Tensor) -> torch.Tensor:
    """Put what found no room on the bare cells of the first extent, the highest first, then everywhere by the curve.

    `thickness` (member, row, width) changes in place; returns what found no cell, (member, glacier) m3.
    """
    left = gain_m3.clone()
    member, glacier = (gain_m3 > 0).nonzero().unbind(dim=1)
    if not len(member):
        return left
    (ice,), alone = block((thickness,), packed, member, glacier)
    amount = gain_m3[member, glacier]
    bare = torch.where(ice[0] > 0, 0.0, alone.area * alone.initial)
    order = torch.argsort(alone.bed + alone.initial, dim=1, descending=True, stable=True)
    in_order = bare.gather(1, order)
    before = in_order.cumsum(dim=1) - in_order
    filled = torch.zeros_like(bare).scatter_(1, order, torch.minimum((amount[:, None] - before).clamp(min=0), in_order))
    ice = ice + torch.where(bare > 0, filled / alone.area, 0.0)
    over = (amount - bare.sum(dim=1)).clamp(min=0)
    weight = _weights(ice, alone)
    slope = alone.total(alone.area * weight)[0]
    ice = ice + weight * torch.where(slope > 0, over / slope, 0.0)[:, None]
    left[member, glacier] = torch.where(slope > 0, 0.0, over)
    put_back(ice, thickness, packed, member, glacier)
    return left
