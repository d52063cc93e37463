"""Shallow-ice flow in two dimensions, many glaciers at once.

The ice moves by deformation alone (isothermal shallow-ice approximation, Glen's law) over a fixed bed, each glacier on
its own patch of square cells. What leaves one cell enters its neighbour, so that volume is conserved to rounding. The
thickness that enters a face comes from the upstream side with a limited slope, as Jarosch, Schoof and Anslow (2013, doi
10.5194/tc-7-229-2013) showed to be needed on steep beds, where the usual scheme creates ice; and no cell sends away
more than it holds.

Accuracy against speed. Explicit steps have to stay below dx2 / (4 n D), D being the diffusivity: days in the trunk of a
thick glacier. Here a step takes the true flux once, at its beginning, and what changes during the step follows a
linearised flow (diffusion with n D, which bounds that of the true one) in `flow.STAGES` cheap stages of
super-time-stepping, stable up to 78 explicit steps. Where nothing changes any more it is the true flux that is in
balance, so that a steady state does not depend on the length of steps. The error is of first order in that length,
which the waves of thickness bound: they pass at most `courant` cells. With the default, two, valley glaciers on 100 m
cells take one to three steps a year, and a century later their thickness is within 0.2 m (rms) of that of steps of
days.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from glacierscale.evolution.flow import Canvas, Law, step
from glacierscale.units import GRAVITY_M_S2, ICE_DENSITY_KG_M3

RATE_FACTOR = 2.4e-24
"""Rate factor of temperate ice, s-1 Pa-3 (Cuffey & Paterson 2010, table 3.4)."""

CANVAS_CELLS = 2**15
"""Cells worked on together: few enough for the cache, many enough to outweigh the calls."""

_SECONDS = 365.2425 * 86400
_STEPS = 4  # between two cuts of windows, which ice leaves by one cell a step at most
_NARROWEST = 0.6  # of the widest window of a canvas; narrower ones would waste their rows


class Advanced(NamedTuple):
    """Glaciers after some time."""

    thickness: Tensor
    """(batch, y, x) m"""
    applied: Tensor
    """(batch, y, x) m of ice that the balance added; the volume has changed by just this."""
    unmet: Tensor
    """(batch, y, x) m of ice, >= 0: melt that was due where there was ice at the start, but came when it was gone."""


@torch.no_grad()
def advance(
    thickness_m: Tensor,
    bed_m: Tensor,
    balance_m: Tensor,
    dx_m: Tensor,
    years: float = 1.0,
    *,
    mask: Tensor | None = None,
    rate_factor: float = RATE_FACTOR,
    exponent: int = 3,
    courant: float = 2.0,
    longest_years: float = 1.0,
) -> Advanced:
    """Let ice flow and its balance act for some time.

    Parameters
    ----------
    thickness_m : (batch, y, x) m, float64
        Ice at the start, as if spread over whole cells.
    bed_m : (batch, y, x) m
        Bed, also where there is no ice.
    balance_m : (batch, y, x) m of ice a year
        Acts where there is ice, and where it is positive.
    dx_m : (batch,) m
        Side of a cell.
    years : float
    mask : (batch, y, x) bool, optional
        Cells where ice may be; others are walls, as is the edge of the patch. Everywhere by default.
    rate_factor : float
        s-1 Pa-n.
    exponent : int
        n of Glen's law.
    courant : float
        Cells that waves of thickness may pass in a step; smaller is more accurate and slower.
    longest_years : float
        Longest step.

    Returns
    -------
    Advanced
        A glacier's result does not depend on the others of its batch, to the last bit.

    Raises
    ------
    ValueError
        If shapes or types do not fit, values are not finite, thickness is negative or outside the mask, a number is out
        of its range, or ice moves so fast that steps get too short to be of use.
    """
    mask = torch.ones_like(thickness_m, dtype=torch.bool) if mask is None else mask
    _check(thickness_m, bed_m, balance_m, dx_m, mask)
    for name, number in (("years", years), ("rate_factor", rate_factor), ("courant", courant)):
        if not 0 < number < float("inf"):
            raise ValueError(f"{name} is {number}; expected a positive number.")
    if exponent not in range(1, 8) or not longest_years > 0:
        raise ValueError(f"exponent is {exponent} and longest_years {longest_years}; expected 1 to 7 and above 0.")
    drive = (ICE_DENSITY_KG_M3 * GRAVITY_M_S2) ** exponent
    law = Law(2 * rate_factor * _SECONDS * drive / (exponent + 2), exponent, courant, longest_years)

    thickness, applied = (
        thickness_m.clone(memory_format=torch.contiguous_format),
        torch.zeros(thickness_m.shape).to(dx_m),
    )
    left, steps = torch.full_like(dx_m, years, memory_format=torch.contiguous_format), 1
    ground = tuple(values.flatten() for values in (bed_m, balance_m, mask))
    while len(waiting := left.nonzero().flatten()):
        live = (mask & ((thickness > 0) | (balance_m > 0)))[waiting]
        there = live.flatten(1).any(1)
        left[waiting[~there]] = 0
        for windows in _groups(_windows(live[there], waiting[there], margin=steps)):
            _run(windows, (thickness, applied, left), ground, dx_m, law, steps)
        steps = _STEPS  # most glaciers need no second one; those that do are brought together
    unmet = torch.where(thickness_m > 0, applied.sub(balance_m, alpha=years), 0.0).clamp_min_(0)
    return Advanced(thickness, applied, unmet)


def _check(thickness: Tensor, bed: Tensor, balance: Tensor, dx: Tensor, mask: Tensor) -> None:
    """Refuse what cannot be ice on a bed."""
    shape = tuple(thickness.shape)
    if len(shape) != 3:
        raise ValueError(f"thickness_m has the shape {shape}; expected (batch, y, x).")
    fields = {"thickness_m": thickness, "bed_m": bed, "balance_m": balance, "mask": mask, "dx_m": dx}
    for name, values in fields.items():
        expected = shape[:1] if name == "dx_m" else shape
        if tuple(values.shape) != expected:
            raise ValueError(f"{name} has the shape {tuple(values.shape)}; expected {expected}, as thickness_m has.")
        kind = torch.bool if name == "mask" else torch.float64
        if values.dtype != kind:
            raise ValueError(f"{name} is of {values.dtype}; expected {kind}.")
        if not bool(values.sum().isfinite()):  # one pass; nothing here is large enough to overflow
            raise ValueError(f"{name} is not finite everywhere; expected numbers in all cells. Fill the gaps before.")
    if bool((dx <= 0).any()):
        raise ValueError(f"dx_m comes down to {dx.min():g} m; expected sides of cells above 0.")
    if bool((thickness < 0).any()):
        raise ValueError(f"thickness_m comes down to {thickness.min():g} m; expected none below 0.")
    if bool((thickness > 0).logical_and_(~mask).any()):
        raise ValueError("thickness_m has ice where mask is False; let there be ice, or take it away before.")


def _windows(live: Tensor, glacier: Tensor, margin: int) -> Tensor:
    """Glacier, first row, rows, first column and columns of what lives and a margin: (window, 5), widest first."""
    found = [glacier]
    for across, size in ((2, live.shape[1]), (1, live.shape[2])):
        there = live.any(across).to(torch.uint8)
        first = (there.argmax(1) - margin).clamp_min(0)
        beyond = (size - there.flip(1).argmax(1) + margin).clamp_max(size)
        found += [first, beyond - first]
    windows = torch.stack(found, 1)
    return windows[windows[:, 4].argsort(descending=True, stable=True)]


def _groups(windows: Tensor) -> Iterator[Tensor]:
    """Windows that share a canvas."""
    start, cells, widest = 0, 0, 0
    for number, (_, _, rows, _, columns) in enumerate(windows.tolist()):
        if number > start and (cells + rows * widest > CANVAS_CELLS or columns < _NARROWEST * widest):
            yield windows[start:number]
            start, cells = number, 0
        widest = columns if number == start else widest
        cells += (rows + 2) * (widest + 1)
    if len(windows):
        yield windows[start:]


def _run(
    windows: Tensor,
    state: tuple[Tensor, Tensor, Tensor],
    ground: tuple[Tensor, ...],
    dx: Tensor,
    law: Law,
    steps: int,
) -> None:
    """Take some steps with the glaciers of a canvas, and write them to the state: thickness, applied, years to go."""
    thickness, applied, left = state
    glacier, top, rows, west, columns = windows.unbind(1)
    # Closed rows above and below each window, and a closed column, part it from its neighbours and the canvas's ends.
    owner = torch.arange(len(windows), device=dx.device).repeat_interleave(rows + 2)
    row = torch.arange(len(owner), device=dx.device) - ((rows + 2).cumsum(0) - rows - 1)[owner]
    column = torch.arange(int(columns[0]) + 1, device=dx.device)
    inside = (((row >= 0) & (row < rows[owner]))[:, None] & (column < columns[owner][:, None])).flatten()
    first = ((glacier * thickness.shape[1] + top)[owner] + row) * thickness.shape[2] + west[owner]
    source = (first[:, None] + column).flatten().clamp_(0, thickness.numel() - 1)
    own = inside.to(dx.dtype)

    def cut(field: Tensor) -> Tensor:
        return field.index_select(0, source).to(dx.dtype).mul_(own)

    bed, balance, may = (cut(field) for field in ground)
    passable = [torch.cat([may[:-k] * may[k:], may.new_zeros(k)]) for k in (1, len(column))]
    canvas = Canvas(len(column), bed, balance * may, (passable[0], passable[1]), owner, dx[glacier])
    ice, gained, to_go = cut(thickness.view(-1)), torch.zeros_like(bed), left[glacier]
    for _ in range(steps):
        ice, more, taken = step(ice, to_go, canvas, law)
        gained += more
        to_go = to_go - taken
        if not bool(to_go.any()):
            break
    cells = inside.nonzero().flatten()
    place = source.index_select(0, cells)
    thickness.view(-1).index_copy_(0, place, ice.index_select(0, cells))
    applied.view(-1).index_add_(0, place, gained.index_select(0, cells))
    left[glacier] = to_go
