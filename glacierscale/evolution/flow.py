"""One step of shallow-ice flow for many glaciers at once.

Windows of glaciers are stacked below each other on a canvas and flattened, so that the neighbour to the east is one
cell further and the one to the south a row further: every operation is one pass over contiguous memory. Each glacier
takes a step of its own length. All is elementwise but largest values, so that a glacier's result does not depend, to
the last bit, on what else is on the canvas. Directions come in pairs: to the next cell (east), to the next row (south).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import threshold

STAGES = 12
"""Stages of the super-time-stepping; a step may be (STAGES ** 2 + STAGES) / 2 times as long as an explicit one."""

STABLE = 0.95
"""Share used of the step length at which the stages stay stable."""

AT_REST_M = 0.01
"""Ice thinner than this at the face of a cell does not flow (1e-14 m2 a year): no film runs down a mountain."""

SHORTEST = 1e-6
"""Steps below this share of the time to go are refused."""

_TINY = 1e-30
"""Keeps quotients of nothing by nothing at zero."""


@dataclass(frozen=True)
class Law:
    """Glen's law integrated over the thickness, and how long steps may be."""

    mobility: float
    """2 A (density x gravity) ** n / (n + 2), m-n a-1"""
    exponent: int
    """n"""
    courant: float
    """Cells that a wave of thickness may pass in a step."""
    longest_years: float


@dataclass(frozen=True)
class Canvas:
    """Windows of glaciers below each other, closed cells between them; flattened row by row."""

    width: int
    """Cells of a row"""
    bed: Tensor
    """(cell,) m"""
    balance: Tensor
    """(cell,) m of ice a year"""
    open: tuple[Tensor, Tensor]
    """(cell,) each; 1 where ice may pass to the next cell and to the next row, 0 elsewhere"""
    glacier: Tensor
    """(row,) which glacier a row belongs to"""
    dx: Tensor
    """(glacier,) side of a cell, m"""

    @property
    def shifts(self) -> tuple[int, int]:
        """How far away the neighbours to the east and to the south are."""
        return 1, self.width

    def largest(self, values: Tensor) -> Tensor:
        """Largest value (glacier,) of non-negative ones (cell,)."""
        rows = values.view(-1, self.width).amax(1)
        return torch.zeros_like(self.dx).scatter_reduce(0, self.glacier, rows, "amax")

    def times(self, values: Tensor, factor: Tensor) -> Tensor:
        """Values (cell,) times a factor of each glacier (glacier,)."""
        return (values.view(-1, self.width) * factor[self.glacier, None]).view(-1)


def step(thickness: Tensor, left: Tensor, canvas: Canvas, law: Law) -> tuple[Tensor, Tensor, Tensor]:
    """Let the ice flow and the balance act for as long as each glacier may go in one step.

    Parameters
    ----------
    thickness : (cell,) m, >= 0; 0 in closed cells
    left : (glacier,) years
        Time still to go; a glacier with 0 stays as it is.
    canvas : Canvas
    law : Law

    Returns
    -------
    thickness : (cell,) m
    applied : (cell,) m
        Balance that acted: less than what was due where there was no ice left to melt.
    taken : (glacier,) years

    Raises
    ------
    ValueError
        If ice would move so fast that steps get too short to be of use.
    """
    rise, carried = _faces(thickness, canvas)
    conductance, speed = _conductance(rise, carried, canvas, law)
    around = _sum(conductance, canvas)  # (cell,)
    taken = _step_years(canvas.largest(around), canvas.largest(torch.maximum(*speed)), left, canvas, law)
    scale = law.exponent * law.mobility * taken / canvas.dx ** (law.exponent + 1)
    conductance, around = [canvas.times(one, scale) for one in conductance], canvas.times(around, scale)
    due = canvas.times(canvas.balance, taken)
    flow = tuple(a.mul_(b).div_(law.exponent) for a, b in zip(rise, conductance, strict=True))  # into the cell before
    gain = _inflow(flow, canvas)
    gain += torch.maximum(due, -(thickness + gain.clamp_min(0)))
    change = _stages(gain, conductance, around, canvas)
    for one, a, shift in zip(flow, conductance, canvas.shifts, strict=True):
        one[:-shift] += (change[shift:] - change[:-shift]).mul_(a[:-shift])

    # Rounding may leave an emptied cell a hair below zero.
    moved = (thickness + _inflow(_within(flow, thickness, canvas), canvas)).clamp_min_(0)
    applied = torch.maximum(due, -moved)
    return moved + applied, applied, taken


def _faces(thickness: Tensor, canvas: Canvas) -> tuple[list[Tensor], list[Tensor]]:
    """Rise of the surface towards each neighbour, m, and thickness carried across, m, from the upstream side.

    The upstream thickness is extrapolated with the limited slope of van Leer (1974), which never exceeds twice the
    thickness and is none next to a cell without ice: an empty cell sends nothing (Jarosch et al. 2013).
    """
    surface = thickness + canvas.bed
    rise, carried = [], []
    for shift, passable in zip(canvas.shifts, canvas.open, strict=True):
        up = torch.zeros_like(surface)
        torch.sub(surface[shift:], surface[:-shift], out=up[:-shift])
        steps = thickness[shift:] - thickness[:-shift]
        before, behind = steps[:-shift], steps[shift:]
        half = torch.zeros_like(thickness)
        torch.div((before * behind).clamp_min_(0), (before + behind).add_(_TINY), out=half[shift:-shift])
        here, there = thickness + half, thickness - half
        across = torch.zeros_like(thickness)
        across[:-shift] = torch.where(up[:-shift] < 0, here[:-shift], there[shift:])
        rise.append(up)
        carried.append(threshold(across.mul_(passable), AT_REST_M, 0.0, inplace=True))
    return rise, carried


def _conductance(
    rise: list[Tensor], carried: list[Tensor], canvas: Canvas, law: Law
) -> tuple[list[Tensor], list[Tensor]]:
    """Flux for a rise of 1 m and speed, both short of factors common to a glacier.

    The slope along a face is the mean over the four crossing faces around it. Faces that carry nothing have none: bare
    walls beside a glacier do not make its ice faster.
    """
    moving = [h.sign().mul_(up) for up, h in zip(rise, carried, strict=True)]
    beside = []
    for slope, shift in zip(moving, canvas.shifts, strict=True):
        both = slope * 0.25
        both[shift:] += both[:-shift].clone()
        beside.append(both)
    conductance, speed = [], []
    for h, along, across, shift in zip(carried, moving, reversed(beside), canvas.shifts, strict=True):
        square = across.clone()
        square[:-shift] += across[shift:]
        square.mul_(square).add_(along * along)
        rate = _power(h, law.exponent + 1).mul_(_power(square, (law.exponent - 1) // 2))
        if law.exponent % 2 == 0:
            rate *= square.sqrt()
        conductance.append(rate * h)
        speed.append(rate.mul_(along.abs()))
    return conductance, speed


def _power(base: Tensor, exponent: int) -> Tensor:
    """A power by multiplication alone: that of the library rounds differently from place to place in an array."""
    result = torch.ones_like(base) if exponent == 0 else base.clone()
    for bit in bin(exponent)[3:]:
        result *= result
        if bit == "1":
            result *= base
    return result


def _sum(faces: list[Tensor], canvas: Canvas) -> Tensor:
    """Sum over the four faces of each cell."""
    total = torch.zeros_like(canvas.bed)
    for face, shift in zip(faces, canvas.shifts, strict=True):
        total += face
        total[shift:] += face[:-shift]
    return total


def _inflow(flow: tuple[Tensor, ...], canvas: Canvas) -> Tensor:
    """What cells gain by the flow from each next one into the one before."""
    total = torch.zeros_like(canvas.bed)
    for face, shift in zip(flow, canvas.shifts, strict=True):
        total += face
        total[shift:] -= face[:-shift]
    return total


def _step_years(around: Tensor, speed: Tensor, left: Tensor, canvas: Canvas, law: Law) -> Tensor:
    """Length of the step of each glacier, equal parts of the time to go."""
    n = law.exponent
    stiffness = 2 * n * law.mobility * around / canvas.dx ** (n + 1)  # bound of the largest eigenvalue, a-1
    waves = (n + 2) * law.mobility * speed / canvas.dx ** (n + 1)  # cells a year
    years = torch.minimum(STABLE * STAGES * (STAGES + 1) / (stiffness + _TINY), law.courant / (waves + _TINY))
    years = years.clamp_max(law.longest_years)
    if bool((years < SHORTEST * left).any()):
        raise ValueError(
            f"ice moves so fast that steps of {years.min():.1e} years are needed; expected at least {SHORTEST:g} of "
            "the time asked for. Check thickness, bed and dx of the thickest and steepest ice."
        )
    parts = (left / years - 1e-9).ceil().clamp_min(1)
    return left / parts


def _stages(gain: Tensor, conductance: list[Tensor], around: Tensor, canvas: Canvas) -> Tensor:
    """Mean rise of the surface during the step, m, under the linearised flow, by stages of Runge, Kutta and Legendre.

    The first-order scheme of Meyer et al. (2014) for d(rise)/dt = gain + div(conductance grad(rise)), written for the
    integral of the rise, from which the flux through each face follows.
    """
    last = STAGES * (STAGES + 1)
    mean, pace = torch.zeros_like(gain), torch.zeros_like(gain)
    pairs = [
        (pace[:-k], pace[k:], mean[:-k], mean[k:], a[:-k]) for a, k in zip(conductance, canvas.shifts, strict=True)
    ]
    weight = 1.0
    for j in range(2, STAGES + 1):
        before, weight = weight, (2 * j - 1) / j
        pace.mul_((j - 1) / j * before / weight).add_(gain, alpha=j * (j - 1) / last)
        if j > 2:
            pace.addcmul_(around, mean, value=-1)
            for pace_here, pace_there, mean_here, mean_there, a in pairs:
                pace_here.addcmul_(a, mean_there)
                pace_there.addcmul_(a, mean_here)
        mean.add_(pace, alpha=2 * weight / last)
    return mean


def _within(flow: tuple[Tensor, ...], thickness: Tensor, canvas: Canvas) -> tuple[Tensor, ...]:
    """Flow with what leaves a cell cut to what it holds."""
    back = tuple(face.clamp_min(0) for face in flow)  # out of the next cell
    forth = tuple(a - b for a, b in zip(flow, back, strict=True))
    out = torch.full_like(thickness, _TINY)
    for one, other, shift in zip(back, forth, canvas.shifts, strict=True):
        out -= other
        out[shift:] += one[:-shift]
    share = (thickness + _TINY) / out
    if bool(share.min() >= 1):
        return flow
    share.clamp_max_(1)
    for one, other, shift in zip(back, forth, canvas.shifts, strict=True):
        one[:-shift] *= share[shift:]
        one += other * share
    return back
