"""Glaciers through the years: balance on the surface of the day, then ice moved, then balance again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from glacierscale.evolution.coupling import Coupling, Local, Rows, Shape
from glacierscale.evolution.geometry import Ice
from glacierscale.evolution.packing import Columns, pack
from glacierscale.evolution.site import NODE_STEP_M, Nodes
from glacierscale.evolution.topography import Around, Levels, area_at, topography
from glacierscale.models.bundle import SMBModel
from glacierscale.units import ICE_DENSITY_KG_M3, OCEAN_AREA_M2, WATER_DENSITY_KG_M3

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

VALUES_AT_ONCE = 2**17
"""Cells of all rows that are worked on together, about: few enough for the cache, many enough to outweigh the calls."""

_ROOM_M = 200.0  # how far above and below its cells a surface may come before balances stop to change


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
    years: int
    """How many; the first is that of the survey, whose balance moves nothing."""
    snapshots: tuple[int, ...]
    """Positions of the years whose thickness is kept."""


@dataclass(frozen=True, kw_only=True)
class Glacier:
    """One glacier that is run."""

    ice: Ice
    local: Local
    members: tuple[int, ...]
    """Of its net, the same in every scenario"""
    own: Floats | None = None
    """(point,) its curve of thinning; None takes that of its size class"""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows of some glaciers that are worked on together."""

    glaciers: tuple[Glacier, ...]
    rows: Rows
    start: Columns
    """A segment a row"""
    around: Around
    levels: Levels
    """Elevations of the nodes of each row"""
    coupling: Coupling

    @classmethod
    def of(cls, model: SMBModel, glaciers: Sequence[Glacier], rows: Rows) -> Group:
        """Rows of a task name their glacier by its position in these."""
        ices, own = [one.ice for one in glaciers], [one.local for one in glaciers]
        ground, each, glacier = pack(ices), np.arange(len(glaciers)), rows.glacier
        nodes = [one.nodes for one in own]
        alone = look(Columns.at_start(ground, each), Around.of(ices, each), levels_of(nodes, each))[0]
        return cls(
            glaciers=tuple(glaciers),
            rows=rows,
            start=Columns.at_start(ground, glacier),
            around=Around.of(ices, glacier),
            levels=levels_of(nodes, glacier),
            coupling=Coupling(model, own, alone, rows),
        )


class Move(Protocol):
    """What moves ice in a year, given columns, balance (row,) kg m-2, shape of the rows and position of the year."""

    def __call__(self, columns: Columns, balance_kg_m2: Floats, shape: Shape, year: int, /) -> Columns:
        """Columns at the end of the year."""
        ...


def nodes_of(ice: Ice) -> Nodes:
    """Elevations over all that a glacier may reach."""
    low, high = float(ice.bed.min()), float((ice.bed + ice.thickness).max())
    return Nodes.over(low - _ROOM_M, high + _ROOM_M)


def levels_of(nodes: Sequence[Nodes], glacier: Ints) -> Levels:
    """Nodes of the glacier of each row."""
    counts = np.array([one.count for one in nodes])[glacier]
    lowest = np.array([one.lowest_m for one in nodes])[glacier]
    return Levels(lowest_m=lowest, first=np.concatenate([[0], np.cumsum(counts)]), step_m=NODE_STEP_M)


def look(columns: Columns, around: Around, levels: Levels) -> tuple[Shape, Floats, Floats]:
    """Shape and volume (row,) m3 of rows, and the area under ice of each column, m2."""
    found = topography(columns, around)
    shape = Shape(
        area_m2=found["area"],
        mean_elevation=found["mean_elevation"],
        max_elevation=found["max_elevation"],
        slope20=found["slope20"],
        at_nodes=area_at(columns, found["covered"], levels),
        first=levels.first,
    )
    return shape, found["volume"], found["covered"]


def shape_at_start(ice: Ice, nodes: Nodes) -> Shape:
    """Of one glacier."""
    alone = np.zeros(1, int)
    return look(Columns.at_start(pack([ice]), alone), Around.of([ice], alone), levels_of([nodes], alone))[0]


def simulate(
    model: SMBModel, glaciers: Sequence[Glacier], move_of: Callable[[Group], Move], course: Course
) -> list[Run]:
    """Run glaciers through all years, in every scenario and by every member.

    Parameters
    ----------
    model : SMBModel
    glaciers : sequence of Glacier
        With patches of one size.
    move_of : callable
        Makes what moves the ice of a group of rows: see `moving`.
    course : Course
        Years and scenarios.
    """
    parts: list[list[Run]] = [[] for _ in glaciers]
    for tasks in _groups(glaciers, course.scenarios):
        numbers = list(dict.fromkeys(number for number, _ in tasks))
        task = tuple((numbers.index(number), members) for number, members in tasks)
        group = Group.of(model, [glaciers[number] for number in numbers], Rows(task=task, scenarios=course.scenarios))
        for (number, _), run in zip(tasks, _run(group, move_of(group), course), strict=True):
            parts[number].append(run)
    return [_joined(own, len(glacier.members), course) for own, glacier in zip(parts, glaciers, strict=True)]


def _groups(glaciers: Sequence[Glacier], scenarios: int) -> Iterator[list[tuple[int, tuple[int, ...]]]]:
    """Glaciers and some of their members each, what is worked on together; how a glacier is cut is its own affair."""
    found: list[tuple[int, tuple[int, ...]]] = []
    values = 0
    for number, glacier in enumerate(glaciers):
        of_member = scenarios * glacier.ice.bed.shape[1]
        together = max(1, VALUES_AT_ONCE // of_member)
        for first in range(0, len(glacier.members), together):
            members = glacier.members[first : first + together]
            if found and values + of_member * len(members) > VALUES_AT_ONCE:
                yield found
                found, values = [], 0
            found.append((number, members))
            values += of_member * len(members)
    if found:
        yield found


def _joined(parts: Sequence[Run], members: int, course: Course) -> Run:
    """One glacier of the runs of some of its members each, whose maps are sums over them."""

    def by_row(name: str) -> Floats:
        values = [getattr(part, name).reshape(course.scenarios, -1, course.years) for part in parts]
        return np.concatenate(values, axis=1).reshape(-1, course.years)

    maps = {name: sum(getattr(part, name) for part in parts) / members for name in ("thickness", "covered")}
    return Run(**{name: by_row(name) for name in ("area", "volume", "smb")}, **maps)


def _run(group: Group, move: Move, course: Course) -> list[Run]:
    """Every task through all years; thickness and cover are sums over its members."""
    columns, coupling = group.start, group.coupling
    shape, there = coupling.start, np.ones(len(columns.glacier), bool)
    series = {name: np.zeros((len(there), course.years)) for name in ("area", "volume", "smb")}
    kept: dict[int, list[Floats]] = {}
    for year in range(course.years):
        balance = np.where(there, coupling.balance(year, shape), 0.0)
        if year:
            columns = move(columns, balance, shape, year)
            if (columns.counts > 0)[~there].any():  # what is gone stays gone
                columns = columns.with_ice(np.where(columns.spread(there), columns.thickness, 0.0))
        shape, volume, covered = look(columns, group.around, group.levels)
        there &= shape.area_m2 > 0
        series["smb"][:, year], series["area"][:, year], series["volume"][:, year] = balance, shape.area_m2, volume
        shape = shape.where(there, coupling.start)  # what is gone has a shape all the same, so that its balance is one
        if year in course.snapshots:
            kept[year] = _mapped(columns, covered, group)
    ends = np.cumsum(group.rows.sizes)[:-1]
    maps = zip(*(kept[year] for year in course.snapshots), strict=True)
    by_task = zip(*(np.split(series[name], ends) for name in ("area", "volume", "smb")), maps, strict=True)
    return [_run_of(*found) for found in by_task]


def _run_of(area: Floats, volume: Floats, smb: Floats, maps: Sequence[Floats]) -> Run:
    both = np.stack(maps, axis=2)  # (2, scenario, snapshot, cell)
    return Run(area=area, volume=volume, smb=smb, thickness=both[0], covered=both[1])


def _mapped(columns: Columns, covered: Floats, group: Group) -> list[Floats]:
    """Of each task ice spread over whole cells (m) and the share of each cell that is ice, summed over members.

    (2, scenario, cell) each.
    """
    whole = columns.spread(group.around.dx) ** 2
    both = np.stack([columns.on_cells(columns.thickness * columns.area / whole), columns.on_cells(covered / whole)])
    out, end = [], 0
    for (glacier, members), rows in zip(group.rows.task, group.rows.sizes.tolist(), strict=True):
        start, end = end, end + rows * group.glaciers[glacier].ice.bed.shape[1]
        own = both[:, start:end].reshape(2, group.rows.scenarios, len(members), -1)
        out.append(own.sum(axis=2))
    return out
