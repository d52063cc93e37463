"""Glaciers of any size side by side."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from glacierscale.evolution import curves
from glacierscale.evolution.packing import pack
from tests.evolution.cells import small_class, some_glaciers


def test_packed_glaciers_come_back_as_they_were() -> None:
    ice = some_glaciers((300, 5, 64, 65))
    packed = pack(ice, small_class(ice))
    assert packed.bed.shape[0] * packed.bed.shape[1] < 0.6 * ice.bed.numel()
    thickness = ice.thickness.expand(2, -1, -1).contiguous()
    assert torch.equal(packed.give(packed.take(thickness)), thickness)


def test_sums_of_packed_glaciers_are_theirs() -> None:
    ice = some_glaciers((300, 5, 64, 65))
    packed = pack(ice, small_class(ice))
    expected = (ice.thickness * ice.cell_area).sum(dim=-1)[None]
    np.testing.assert_allclose(packed.total(packed.take(ice.thickness[None]) * packed.area), expected, rtol=1e-13)
    assert packed.spread(expected).shape == (1, len(packed.bed), 1)


def test_curves_of_another_length_or_without_thinning_are_refused() -> None:
    ice = some_glaciers()
    with pytest.raises(ValueError, match=r"curve has shape \(5, 100\); expected \(5, 101\)"):
        pack(ice, small_class(ice)[:, 1:])
    for bad in (np.zeros((5, curves.POINTS)), np.full((5, curves.POINTS), np.nan), -small_class(ice)):
        with pytest.raises(ValueError, match="a curve is negative, not finite or 0 everywhere"):
            pack(ice, bad)
