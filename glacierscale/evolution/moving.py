"""What moves the ice of rows in a year: curves of elevation change, or shallow-ice flow."""

from __future__ import annotations

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
    share = per_segment(ground, row, ground.area) / np.repeat(group.around.dx**2, cells)

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
        own_share = share[columns.place]
        moved = sia.advance(
            on_grid(columns.thickness * own_share, columns.place),
            bed,
            on_grid(gain_m * covered * own_share / columns.area, columns.place),
            dx,
            mask=mask,
        ).thickness.numpy()
        ice = moved.reshape(-1)[at]
        return Columns.of(ground, row, np.where(ice < _FILM_M, 0.0, ice / share))

    return move


def _shifted(at_cell: Floats, area_m2: Floats, columns: Columns, balance_kg_m2: Floats) -> Floats:
    """A profile moved up or down until its mean over the ice is the balance: (column,) kg m-2.

    Columns beyond the first outline that would gain take no part and get 0; the others make up for it.
    """
    total = balance_kg_m2 * columns.total(area_m2)

    def moved(weight: Floats) -> Floats:
        shift = (total - columns.total(weight * at_cell)) / np.maximum(columns.total(weight), 1.0)
        return np.where(weight > 0, at_cell + columns.spread(shift), 0.0)

    return moved(np.where((columns.initial == 0) & (moved(area_m2) > 0), 0.0, area_m2))
