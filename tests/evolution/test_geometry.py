"""Ice as lists of cells, and its topography."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from glacierscale.evolution import geometry
from glacierscale.evolution.packing import Columns, pack
from glacierscale.evolution.topography import Around, Levels, area_at, topography
from glacierscale.features import terrain

SIZE, DX = 12, 100.0


def rows_of(ice: geometry.Ice, *thickness: torch.Tensor) -> tuple[Columns, Around]:
    """A row for each thickness (1, cell)."""
    each, ground = np.zeros(len(thickness), int), pack([ice])
    return Columns.of(ground, each, torch.cat(thickness, dim=1)[0].numpy()), Around.of([ice], each)


def at_levels(ice: geometry.Ice, lowest_m: float, step_m: float, nodes: int) -> np.ndarray:
    columns, _ = rows_of(ice, ice.thickness)
    levels = Levels(lowest_m=np.array([lowest_m]), first=np.array([0, nodes]), step_m=step_m)
    return area_at(columns, columns.area, levels)


@pytest.fixture
def rasters() -> dict[str, np.ndarray]:
    """A slope that falls to the south, with a bowl of ice whose outermost cells are covered in part."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    away = np.hypot(y - 5.3, x - 6.1)
    fraction = np.clip(4.5 - away, 0, 1)
    elevation = 3000 - 35 * y + 4 * (x - 6) ** 2 + rng.uniform(0, 9, (SIZE, SIZE))
    thickness = np.where(fraction > 0, 90 - 14 * away, 0.0)
    surface = np.where(thickness > 0, elevation + 2.0, elevation)
    return {
        name: values.astype(np.float32)
        for name, values in {
            "ice_fraction": fraction,
            "elevation": elevation,
            "thickness": thickness,
            "ice_surface": surface,
        }.items()
    }


def test_ice_of_a_patch_has_its_volume_area_and_bed(rasters: dict[str, np.ndarray]) -> None:
    ice = geometry.of_patch(rasters, DX)
    iced = rasters["thickness"] > 0
    share = rasters["ice_fraction"].astype(float)
    found = topography(*rows_of(ice, ice.thickness))
    assert ice.bed.shape == (1, iced.sum())
    assert float(found["area"][0]) == pytest.approx(share[iced].sum() * DX**2, rel=1e-12)
    assert float(found["volume"][0]) == pytest.approx((share * rasters["thickness"])[iced].sum() * DX**2, rel=1e-6)
    np.testing.assert_array_equal(ice.row[0], np.nonzero(iced)[0])
    np.testing.assert_allclose(ice.bed[0] + ice.thickness[0], rasters["ice_surface"][iced], rtol=1e-7)


@pytest.mark.parametrize("around", [None, 2])
def test_topography_is_that_of_the_features(rasters: dict[str, np.ndarray], around: int | None) -> None:
    ice = geometry.of_patch(rasters, DX, around=around)
    surface, depth = geometry.surface_and_depth(rasters)
    row, column = np.nonzero(depth > 0)
    side = np.full(SIZE, DX)
    east, north = terrain.surface_gradient(surface, row, column, side, -side)
    expected = terrain.per_glacier(
        np.zeros(len(row), int),
        rasters["ice_fraction"][row, column].astype(float) * DX**2,
        surface[row, column],
        east,
        north,
        glaciers=1,
        bands=10,
    )
    found = topography(*rows_of(ice, ice.thickness))
    for name in ("area", "mean_elevation", "min_elevation", "max_elevation", "slope20"):
        assert float(found[name][0]) == pytest.approx(float(expected[name][0]), rel=1e-9), name


def test_members_keep_shapes_of_their_own(rasters: dict[str, np.ndarray]) -> None:
    ice = geometry.of_patch(rasters, DX)
    low = (ice.bed + ice.thickness) < (ice.bed + ice.thickness).median()
    shrunk = torch.where(low, 0.0, ice.thickness)
    found = topography(*rows_of(ice, ice.thickness, shrunk))
    alone = topography(*rows_of(ice, shrunk))
    for name in ("area", "volume", "mean_elevation", "min_elevation", "max_elevation", "slope20"):
        assert float(found[name][1]) == float(alone[name][0]), name
    assert float(found["area"][1]) == pytest.approx(float(ice.cell_area[~low].sum()))
    assert float(found["mean_elevation"][1]) > float(found["mean_elevation"][0]) + 50


def test_without_ice_there_is_no_area_and_others_do_not_mind(rasters: dict[str, np.ndarray]) -> None:
    ice = geometry.of_patch(rasters, DX)
    found = topography(*rows_of(ice, torch.zeros_like(ice.thickness), ice.thickness))
    alone = topography(*rows_of(ice, ice.thickness))
    assert found["area"][0] == found["volume"][0] == 0
    for name in ("area", "volume", "mean_elevation", "slope20"):
        assert found[name][1] == alone[name][0], name


def test_a_mean_over_nodes_is_the_mean_over_the_ice(rasters: dict[str, np.ndarray]) -> None:
    ice = geometry.of_patch(rasters, DX)
    lowest, step, nodes = float(ice.bed.min()) - 10, 20.0, 60
    area = at_levels(ice, lowest, step, nodes)
    elevation = lowest + step * np.arange(nodes)
    found = topography(*rows_of(ice, ice.thickness))
    assert area.sum() == pytest.approx(float(found["area"][0]), rel=1e-12)
    assert (area * elevation).sum() / area.sum() == pytest.approx(float(found["mean_elevation"][0]), rel=1e-12)


def test_what_lies_outside_of_the_nodes_counts_for_the_last(rasters: dict[str, np.ndarray]) -> None:
    ice = geometry.of_patch(rasters, DX)
    area = at_levels(ice, 9000.0, 20.0, 4)
    np.testing.assert_allclose(area, [float(ice.cell_area.sum()), 0, 0, 0])


def test_room_around_the_ice_is_bare_and_whole(rasters: dict[str, np.ndarray]) -> None:
    ice = geometry.of_patch(rasters, DX, around=1)
    rows, columns = np.nonzero(rasters["thickness"] > 0)
    height, width = np.ptp(rows) + 3, np.ptp(columns) + 3
    assert ice.bed.shape == (1, height * width)
    bare = ice.thickness[0] == 0
    assert bool((ice.cell_area[0][bare] == DX**2).all())
    wide = geometry.of_patch(rasters, DX, around=50)
    assert wide.bed.shape == (1, SIZE * SIZE)


def test_cells_go_back_to_their_places(rasters: dict[str, np.ndarray]) -> None:
    ice = geometry.of_patch(rasters, DX)
    back = geometry.to_grid(ice, torch.stack([ice.thickness, 2 * ice.thickness]), -1.0).numpy()
    iced = rasters["thickness"] > 0
    np.testing.assert_array_equal(back[1][iced], 2 * rasters["thickness"][iced].astype(float))
    assert (back[:, ~iced] == -1).all()


@pytest.mark.parametrize("broken", ["negative", "outside", "not a number"])
def test_thickness_off_the_outline_or_below_zero_is_no_ice(rasters: dict[str, np.ndarray], broken: str) -> None:
    changed: dict[str, Any] = {name: values.copy() for name, values in rasters.items()}
    where = (0, 0) if broken == "outside" else (5, 6)
    changed["thickness"][where] = {"negative": -3.0, "outside": 40.0, "not a number": np.nan}[broken]
    ice = geometry.of_patch(changed, DX)
    whole = geometry.of_patch(rasters, DX)
    assert ice.bed.shape[1] == whole.bed.shape[1] - (broken != "outside")
    assert bool(torch.isfinite(ice.bed).all())


def test_a_patch_without_ice_has_no_cell(rasters: dict[str, np.ndarray]) -> None:
    for around in (None, 3):
        ice = geometry.of_patch({**rasters, "thickness": np.zeros((SIZE, SIZE), np.float32)}, DX, around=around)
        assert ice.bed.shape == (1, 0)


def test_unknown_ground_is_a_wall(rasters: dict[str, np.ndarray]) -> None:
    rasters["elevation"][0, 0] = np.nan
    surface, _ = geometry.surface_and_depth(rasters)
    assert surface[0, 0] == np.nanmax(surface)
