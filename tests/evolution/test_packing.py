"""Glaciers of any size side by side."""

from __future__ import annotations

import numpy as np

from glacierscale.evolution.packing import Columns, pack
from tests.evolution.cells import some_glaciers

SIZES = (300, 5, 64, 65)
EACH = np.array([3, 0, 1, 1, 2])


def test_cells_go_to_their_columns_and_back() -> None:
    ground = pack([some_glaciers(SIZES)])
    assert ground.cells.tolist() == list(SIZES)
    columns = Columns.at_start(ground, EACH)
    assert columns.counts.tolist() == [65, 300, 5, 5, 64]
    back = np.split(columns.on_cells(columns.thickness), columns.first[1:-1])
    for one, found in zip(EACH, back, strict=True):
        np.testing.assert_array_equal(found, ground.initial[ground.first[one] : ground.first[one + 1]])


def test_columns_that_lose_their_ice_are_left_out_and_keep_their_place() -> None:
    columns = Columns.at_start(pack([some_glaciers(SIZES)]), EACH)
    gone = (columns.bed < 2900) | (columns.owner(np.arange(len(columns.bed))) == 2)
    left = columns.with_ice(np.where(gone, 0.0, columns.thickness))
    assert left.counts[2] == 0
    assert left.counts.sum() == (~gone).sum()
    np.testing.assert_array_equal(left.on_cells(left.bed), np.where(gone, 0, columns.bed))
    assert left.total(left.area)[2] == 0
    assert (left.lowest[2], left.highest[2]) == (np.inf, -np.inf)
    np.testing.assert_array_equal(left.owner(np.flatnonzero(left.spread(np.arange(5)) == 3)), 3)


def test_sums_do_not_depend_on_the_neighbours() -> None:
    ground = pack([some_glaciers(SIZES)])
    columns = Columns.at_start(ground, EACH)
    totals = columns.total(columns.thickness * columns.area)
    for number, one in enumerate(EACH):
        alone = Columns.at_start(ground, np.array([one]))
        assert alone.total(alone.thickness * alone.area)[0] == totals[number]
        picked, chosen = columns.only(np.array([number]))
        assert picked.total((columns.thickness * columns.area)[chosen])[0] == totals[number]
