from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from glacierscale.evolution import geometry
from glacierscale.evolution.coupling import Shape
from glacierscale.evolution.moving import by_flow
from glacierscale.evolution.packing import Columns, pack
from glacierscale.evolution.simulation import levels_of, look, nodes_of
from glacierscale.evolution.topography import Around

SIDE_M, CELLS, CUT = 100.0, 24, 0.02


def slab() -> geometry.Ice:
    """Ice of 60 m on a slope of 11 degrees; the outline leaves little of its lowest row of cells."""
    y = np.arange(CELLS)[:, None] * np.ones(CELLS)
    iced = (y >= 5) & (y <= 15) & (np.arange(CELLS) >= 8) & (np.arange(CELLS) < 16)
    fraction = np.where(iced, np.where(y == 15, CUT, 1.0), 0.0)
    ground = 3000 - 20 * y
    rasters = {
        "thickness": np.where(iced, 60.0, 0.0),
        "ice_surface": np.where(iced, ground + 60, np.nan),
        "elevation": ground + np.where(iced, 60.0, 0.0),
        "ice_fraction": fraction,
    }
    return geometry.of_patch(rasters, SIDE_M, around=4)


def flowing(ice: geometry.Ice) -> tuple[Any, Columns, Any]:
    """What moves the ice under a balance that is zero everywhere, its start, and how it is looked at."""
    ground, glacier = pack([ice]), np.array([0])
    levels, around = levels_of([nodes_of(ice)], glacier), Around.of([ice], glacier)
    start = Columns.at_start(ground, glacier)
    none = np.zeros(int(levels.first[-1]))
    group: Any = SimpleNamespace(
        start=start,
        glaciers=[SimpleNamespace(ice=ice)],
        around=around,
        levels=levels,
        coupling=SimpleNamespace(profile=lambda year: none),
    )
    return by_flow(group), start, lambda columns: look(columns, around, levels)


def test_ice_that_flows_into_a_cut_cell_widens_there_and_makes_no_tower() -> None:
    move, columns, look_at = flowing(slab())
    shape, volume, _ = look_at(columns)
    areas: list[float] = [float(shape.area_m2[0])]
    for year in range(1, 31):
        columns = move(columns, np.zeros(1), shape, year)
        shape, now, covered = look_at(columns)
        areas.append(float(shape.area_m2[0]))
        np.testing.assert_allclose(now, volume, rtol=2e-3)  # films are let go
        assert (covered <= columns.area * (1 + 1e-12)).all()
        assert (columns.area <= SIDE_M**2 * (1 + 1e-12)).all()
    assert columns.thickness.max() < 80
    assert float(shape.max_elevation[0]) < 3000
    assert areas[-1] > areas[0] + 0.5 * 8 * SIDE_M**2  # most of the lowest row is covered now


def test_where_nothing_flows_in_a_cut_cell_keeps_its_area() -> None:
    ice = slab()
    move, columns, look_at = flowing(ice)
    shape: Shape = look_at(columns)[0]
    cut = columns.area < SIDE_M**2
    assert cut.sum() == 8
    np.testing.assert_allclose(columns.area[cut], CUT * SIDE_M**2)
    thinner = columns.with_ice(columns.thickness * 0.01)  # too thin to flow
    after = move(thinner, np.zeros(1), shape, 1)
    np.testing.assert_allclose(after.area, columns.area, rtol=1e-12)
    np.testing.assert_allclose(after.thickness, thinner.thickness, rtol=1e-3)
