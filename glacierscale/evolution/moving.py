"""What moves the ice of rows in a year: curves of elevation change, or shallow-ice flow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from glacierscale.evolution import curves, delta_h, sia
from glacierscale.evolution.coupling import Shape
from glacierscale.evolution.packing import Columns, per_segment
from glacierscale.evolution.simulation import Group, Move
from glacierscale.evolution.topography import between
from glacierscale.units import ICE_DENSITY_KG_M3

Floats = npt.NDArray[np.floating]

_FILM_M = 0.01  # thinner ice that flow left is none


def by_curve(group: Group) -> Move:
    """Elevation changes along each glacier's curve, or that of its size class (Huss et al. 2010).

    The whole balance is ice.
    """
    ground = group.start.ground
    area = np.add.reduceat(np.where(ground.initial > 0, ground.area, 0.0), ground.first[:-1])
    # One by one: powers of many numbers round differently from place to place.
    classes = (curves.class_curves(area[[number]])[0] for number in range(len(area)))
    own = [glacier.own for glacier in group.glaciers]
    lines = delta_h.Lines.of(np.stack([one if mine is None else mine for one, mine in zip(classes, own, strict=True)]))

    def move(columns: Columns, balance_kg_m2: Floats, shape: Shape, year: int, /) -> Columns:
        del year
        return delta_h.step(columns, lines, balance_kg_m2 * shape.area_m2 / ICE_DENSITY_KG_M3).columns

    return move


def by_flow(group: Group) -> Move:
    """Shallow-ice flow under a balance that changes with elevation as that of the model's base does.

    The profile is shifted so that its mean over the ice is the glacier's balance. Beyond the first outline ice may
    flow and melt, but snow that falls there is not the glacier's.
    """
    ground, row, ices = group.start.ground, group.start.glacier, [glacier.ice for glacier in group.glaciers]
    size = ices[0].patch_cells
    own = np.concatenate([(ice.row[0] * size + ice.column[0]).numpy() for ice in ices])
    cells = group.start.cells
    at = per_segment(ground, row, own) + np.repeat(np.arange(len(row)) * size * size, cells)
    whole = np.repeat(group.around.dx**2, cells)
    share, initial = per_segment(ground, row, ground.area) / whole, per_segment(ground, row, ground.initial)

    def on_grid(values: Floats, place: npt.NDArray[np.integer]) -> torch.Tensor:
        grid = np.zeros(len(row) * size * size)
        grid[at[place]] = values
        return torch.from_numpy(grid.reshape(-1, size, size))

    everywhere = np.arange(len(at))
    bed, mask = on_grid(per_segment(ground, row, ground.bed), everywhere), on_grid(share, everywhere) > 0
    dx = torch.from_numpy(group.around.dx)

    def move(columns: Columns, balance_kg_m2: Floats, shape: Shape, year: int, /) -> Columns:
        del shape
        profile = group.coupling.profile(year)
        below, way = between(columns, group.levels)
        at_cell = profile[below] * (1 - way) + profile[below + 1] * way
        covered = delta_h.covered_area(columns.thickness, columns.area, columns.initial)
        gain_m = _shifted(at_cell, covered, columns, balance_kg_m2) / ICE_DENSITY_KG_M3
        cell = whole[columns.place]
        moved = sia.advance(
            on_grid(columns.thickness * columns.area / cell, columns.place),
            bed,
            on_grid(gain_m * covered / cell, columns.place),
            dx,
            mask=mask,
        ).thickness.numpy()
        ice = moved.reshape(-1)[at]
        under = _share_under(ice, initial, share)
        after = Columns.of(ground, row, np.where(ice < _FILM_M, 0.0, ice / under))
        return replace(after, area=(under * whole)[after.place])

    return move


def _share_under(ice_m: Floats, initial_m: Floats, share: Floats) -> Floats:
    """Share of each cell under ice: (cell of segment,).

    Ice that comes into a cell at the margin widens its patch there before it gets thicker than it was at the start.

    Parameters
    ----------
    ice_m : (cell of segment,) m
        Spread over the whole cell.
    initial_m : (cell of segment,) m
        Where there was ice at the start.
    share : (cell of segment,)
        Of the cell, at the start; 1 where there was none.
    """
    widened = np.divide(ice_m, initial_m, out=np.zeros_like(ice_m), where=initial_m > 0)
    return np.clip(widened, share, 1.0)


def _shifted(at_cell: Floats, area_m2: Floats, columns: Columns, balance_kg_m2: Floats) -> Floats:
    """A profile moved up or down until its mean over the ice is the balance: (column,) kg m-2.

    Columns beyond the first outline that would gain take no part and get 0; the others make up for it.
    """
    total = balance_kg_m2 * columns.total(area_m2)

    def moved(weight: Floats) -> Floats:
        shift = (total - columns.total(weight * at_cell)) / np.maximum(columns.total(weight), 1.0)
        return np.where(weight > 0, at_cell + columns.spread(shift), 0.0)

    return moved(np.where((columns.initial == 0) & (moved(area_m2) > 0), 0.0, area_m2))
