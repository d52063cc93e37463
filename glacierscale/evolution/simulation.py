"""One glacier through the years: balance on the surface of the day, then ice moved, then balance again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from glacierscale.evolution import curves, delta_h, geometry, packing, sia
from glacierscale.evolution.coupling import Coupling, Shape
from glacierscale.evolution.geometry import Ice
from glacierscale.evolution.site import NODE_STEP_M, Nodes
from glacierscale.units import ICE_DENSITY_KG_M3, OCEAN_AREA_M2, WATER_DENSITY_KG_M3

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]
Move = Callable[[torch.Tensor, torch.Tensor, Shape, int], torch.Tensor]
"""(row, 1, cell) m of ice, (row,) kg m-2, shape and position of the year -> (row, 1, cell) m of ice at its end."""

VALUES_AT_ONCE = 2**20
"""Cells of all rows that are worked on together, about; members that would be more follow one after the other."""

_ROOM_M = 200.0  # how far above and below its cells a surface may come before balances stop to change
_FILM_M = 0.01  # thinner ice that flow left is none


@dataclass(frozen=True, kw_only=True)
class Run:
    """What became of a glacier; rows run over members inside scenarios."""

    area: Floats
    """(row, year) m2 at the end of the year"""
    volume: Floats
    """(row, year) m3"""
    smb: Floats
    """(row, year) kg m-2 on the geometry at its beginning; 0 without ice"""
    thickness: Floats
    """(scenario, snapshot, cell) m as if spread over the whole cell, mean over members"""
    covered: Floats
    """(scenario, snapshot, cell) share of the cell that is ice, mean over members"""

    @property
    def runoff(self) -> Floats:
        """Water from net loss of ice: (row, year) kg."""
        gain = np.diff(self.volume, axis=1, prepend=self.volume[:, :1])
        loss: Floats = np.maximum(-gain, 0) * ICE_DENSITY_KG_M3
        return loss

    @property
    def sea_level(self) -> Floats:
        """Rise of the sea since the first year: (row, year) m."""
        lost = self.volume[:, :1] - self.volume
        rise: Floats = lost * (ICE_DENSITY_KG_M3 / WATER_DENSITY_KG_M3 / OCEAN_AREA_M2)
        return rise

    def year_gone(self, years: Ints) -> Ints:
        """First year at whose end there is no ice, 0 where there still is: (row,)."""
        gone = self.area == 0
        return np.where(gone.any(axis=1), years[gone.argmax(axis=1)], 0)


@dataclass(frozen=True, kw_only=True)
class Course:
    """What is run."""

    scenarios: int
    """How many."""
    members: tuple[int, ...]
    """Members of the net, the same in every scenario."""
    years: int
    """How many; the first is that of the survey, whose balance moves nothing."""
    snapshots: tuple[int, ...]
    """Positions of the years whose thickness is kept."""


def nodes_of(ice: Ice) -> Nodes:
    """Elevations over all that a glacier may reach."""
    low, high = float(ice.bed.min()), float((ice.bed + ice.thickness).max())
    return Nodes.over(low - _ROOM_M, high + _ROOM_M)


def look(ice: Ice, thickness: torch.Tensor, nodes: Nodes) -> tuple[Shape, Floats]:
    """Shape and volume (row,) m3 of one glacier with ice (row, 1, cell) m."""
    covered = _covered(ice, thickness)
    found = {name: value[:, 0].numpy() for name, value in geometry.topography(ice, thickness, covered).items()}
    at_nodes = geometry.area_at(ice, thickness, covered, nodes.lowest_m, NODE_STEP_M, nodes.count)[:, 0].numpy()
    shape = Shape(
        area_m2=found["area"],
        mean_elevation=found["mean_elevation"],
        max_elevation=found["max_elevation"],
        slope20=found["slope20"],
        at_nodes=at_nodes,
    )
    return shape, found["volume"]


def simulate(
    ice: Ice,
    nodes: Nodes,
    coupling: Coupling,
    move_of: Callable[[Ice, Nodes, Coupling, Ints], Move],
    course: Course,
) -> Run:
    """Run one glacier through all years, in every scenario and by every member.

    Parameters
    ----------
    ice : Ice
        Of one glacier.
    nodes : Nodes
        Its elevations.
    coupling : Coupling
        Its balance.
    move_of : callable
        `by_curve` or `by_flow`: makes what moves the ice of rows, given the scenario of each.
    course : Course
        Years, scenarios and members.
    """
    together = max(1, VALUES_AT_ONCE // (course.scenarios * ice.bed.shape[1]))
    parts = []
    for first in range(0, len(course.members), together):
        some = course.members[first : first + together]
        scenario = np.repeat(np.arange(course.scenarios), len(some))
        move = move_of(ice, nodes, coupling, scenario)
        parts.append(_some_members(ice, nodes, coupling, move, course, scenario, some))

    def by_row(name: str) -> Floats:
        values = [getattr(part, name).reshape(course.scenarios, -1, course.years) for part in parts]
        return np.concatenate(values, axis=1).reshape(-1, course.years)

    maps = {name: sum(getattr(part, name) for part in parts) / len(course.members) for name in ("thickness", "covered")}
    return Run(**{name: by_row(name) for name in ("area", "volume", "smb")}, **maps)


def _some_members(
    ice: Ice, nodes: Nodes, coupling: Coupling, move: Move, course: Course, scenario: Ints, members: Sequence[int]
) -> Run:
    """Some members through all years; thickness and cover are sums over them."""
    thickness = ice.thickness.expand(len(scenario), *ice.thickness.shape)
    start, there = look(ice, thickness, nodes)[0], np.ones(len(scenario), bool)
    shape = start
    series = {name: np.zeros((len(scenario), course.years)) for name in ("area", "volume", "smb")}
    kept = np.zeros((2, course.scenarios, len(course.snapshots), ice.bed.shape[1]))
    for year in range(course.years):
        balance = np.where(there, coupling.balance(year, shape, scenario, members), 0.0)
        if year:
            moved = move(thickness, torch.from_numpy(balance), shape, year)
            thickness = torch.where(torch.from_numpy(there)[:, None, None], moved, 0.0)
        shape, volume = look(ice, thickness, nodes)
        there &= shape.area_m2 > 0
        series["smb"][:, year], series["area"][:, year], series["volume"][:, year] = balance, shape.area_m2, volume
        shape = shape.where(there, start)  # what is gone has a shape all the same, so that its balance is a number
        for number in np.flatnonzero(np.array(course.snapshots) == year):
            kept[:, :, number] += _mapped(ice, thickness, course.scenarios)
    return Run(**series, thickness=kept[0], covered=kept[1])


def _mapped(ice: Ice, thickness: torch.Tensor, scenarios: int) -> Floats:
    """Ice spread over whole cells (m) and the share of each cell that is ice, summed over members."""
    share = ice.cell_area / ice.dx[:, None] ** 2
    both = torch.stack([thickness * share, _covered(ice, thickness) / ice.dx[:, None] ** 2])[:, :, 0]
    return both.reshape(2, scenarios, -1, both.shape[-1]).sum(dim=2).numpy()


def _covered(ice: Ice, thickness: torch.Tensor) -> torch.Tensor:
    """Area under ice: (row, 1, cell) m2."""
    return delta_h.covered_area(thickness, ice.cell_area, ice.thickness)


def by_curve(ice: Ice, nodes: Nodes, coupling: Coupling, scenario: Ints, *, own: Floats | None = None) -> Move:
    """Elevation changes along the glacier's curve, (point,) in `own`, or that of its size class (Huss et al. 2010).

    The whole balance is ice.
    """
    del nodes, coupling, scenario
    area = torch.where(ice.thickness > 0, ice.cell_area, 0.0).sum(dim=-1)
    packed = packing.pack(ice, curves.class_curves(area.numpy()) if own is None else own[None])

    def move(thickness: torch.Tensor, balance_kg_m2: torch.Tensor, shape: Shape, year: int) -> torch.Tensor:
        del year
        change_m3 = balance_kg_m2 * torch.from_numpy(shape.area_m2) / ICE_DENSITY_KG_M3
        return packed.give(delta_h.step(packed.take(thickness), packed, change_m3[:, None]).thickness)

    return move


def by_flow(ice: Ice, nodes: Nodes, coupling: Coupling, scenario: Ints) -> Move:
    """Shallow-ice flow under a balance that changes with elevation as that of the model's base does.

    The profile is shifted so that its mean over the ice is the glacier's balance. Beyond the first outline ice may
    flow and melt, but snow that falls there is not the glacier's.
    """
    grid = (int(ice.row.max() - ice.row.min()) + 1, int(ice.column.max() - ice.column.min()) + 1)
    cell = ice.dx[:, None] ** 2
    share = ice.cell_area / cell
    outside = ice.thickness == 0

    def on_grid(values: torch.Tensor) -> torch.Tensor:
        return values.reshape(*values.shape[:-2], *grid)

    def move(thickness: torch.Tensor, balance_kg_m2: torch.Tensor, shape: Shape, year: int) -> torch.Tensor:
        del shape
        profile = torch.from_numpy(coupling.profile(year)[scenario])[:, None]  # (row, 1, node)
        below, way = geometry.between(ice.bed + thickness, nodes.lowest_m, NODE_STEP_M, nodes.count)
        at_cell = profile.gather(-1, below) * (1 - way) + profile.gather(-1, below + 1) * way
        covered = _covered(ice, thickness)
        gain_kg_m2 = _shifted(at_cell, covered, outside, balance_kg_m2)
        moved = sia.advance(
            on_grid(thickness * share),
            on_grid(ice.bed.expand_as(thickness)),
            on_grid(gain_kg_m2 * covered / cell / ICE_DENSITY_KG_M3),
            ice.dx.expand(len(thickness)),
        ).thickness.reshape(thickness.shape)
        return torch.where(moved < _FILM_M, 0.0, moved / share)

    return move


def _shifted(
    at_cell: torch.Tensor, area_m2: torch.Tensor, outside: torch.Tensor, balance_kg_m2: torch.Tensor
) -> torch.Tensor:
    """A profile moved up or down until its mean over the ice is the balance: (row, 1, cell) kg m-2, 0 off the ice.

    Cells beyond the first outline that would gain take no part; the others make up for it.
    """
    total = balance_kg_m2[:, None] * area_m2.sum(dim=-1)

    def moved(weight: torch.Tensor) -> torch.Tensor:
        shift = (total - (weight * at_cell).sum(dim=-1)) / weight.sum(dim=-1).clamp(min=1.0)
        return torch.where(weight > 0, at_cell + shift[..., None], 0.0)

    return moved(torch.where(outside & (moved(area_m2) > 0), 0.0, area_m2))
