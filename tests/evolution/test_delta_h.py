"""Glaciers that follow a curve of elevation change: closed mass, retreat, loss of all ice and re-advance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glacierscale.evolution import curves, delta_h
from glacierscale.evolution.geometry import Ice
from glacierscale.evolution.packing import Columns, pack
from tests.evolution.cells import ice_of, small_class, some_glaciers


def flat_line(heights: list[float], thickness: float = 30.0) -> Ice:
    """One glacier whose surface lies at these heights, each cell of 100 m2."""
    surface = np.array([heights])
    return ice_of(surface - thickness, np.full_like(surface, 100.0), np.full_like(surface, thickness))


def volume(thickness: torch.Tensor, ice: Ice) -> torch.Tensor:
    return (thickness * ice.cell_area).sum(dim=-1)


def at_start(ice: Ice, members: int = 1) -> Columns:
    ground = pack([ice])
    return Columns.at_start(ground, np.tile(np.arange(len(ground.cells)), members))


def change_of(values: Any) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


def test_a_loss_follows_the_curve() -> None:
    ice = flat_line([3000.0, 2900.0, 2800.0, 2700.0, 2600.0], thickness=1e4)
    curve = small_class(ice)
    lost = ice.thickness - delta_h.advance(ice.thickness[None], ice, curve, change_of([[-1000.0]]))[0]
    shape = np.maximum(curve[0, [0, 25, 50, 75, 100]], 1e-6)
    np.testing.assert_allclose(lost[0], 10 * shape / shape.sum(), rtol=1e-9, atol=1e-11)


def test_the_curve_is_read_between_its_points() -> None:
    ice = flat_line([3000.0, 2900.0, 2897.5, 2000.0], thickness=1e4)
    curve = np.linspace(0, 1, curves.POINTS)[None] ** 2
    lost = (ice.thickness - delta_h.advance(ice.thickness[None], ice, curve, change_of([[-500.0]]))[0])[0]
    between = curve[0, 10] + 0.25 * (curve[0, 11] - curve[0, 10])
    assert float(lost[2] / lost[3]) == pytest.approx(between, rel=1e-8)
    assert float(lost[1] / lost[3]) == pytest.approx(curve[0, 10], rel=1e-8)


def test_cells_that_lose_all_their_ice_hand_their_share_to_the_others() -> None:
    ice = ice_of([[2990.0, 2890.0, 2785.0]], [[100.0, 100.0, 100.0]], [[50.0, 50.0, 15.0]])
    curve = np.linspace(0, 1, curves.POINTS)[None]
    after = delta_h.advance(ice.thickness[None], ice, curve, change_of([[-5000.0]]))[0, 0]
    assert after[2] == 0
    assert float(100 * (ice.thickness[0] - after).sum()) == pytest.approx(5000, rel=1e-14)
    assert 0 < float(after[1]) < float(after[0]) < 50


def test_heights_are_those_of_the_ice_that_is_left() -> None:
    """The terminus is where the lowest ice is: after the tongue is gone the curve spans what remains."""
    ice = ice_of([[2950.0, 2850.0, 2750.0, 2000.0]], [[100.0] * 4], [[50.0, 50.0, 50.0, 5.0]])
    curve = np.linspace(0, 1, curves.POINTS)[None]
    gone = ice.thickness.clone()
    gone[0, 3] = 0
    lost = (gone - delta_h.advance(gone[None], ice, curve, change_of([[-300.0]]))[0])[0]
    np.testing.assert_allclose(lost, [0, 1, 2, 0], atol=1e-5)


def test_a_glacier_splits_when_its_middle_is_thin() -> None:
    ice = ice_of([[2960.0, 2890.0, 2840.0, 2700.0]], [[100.0] * 4], [[40.0, 2.0, 40.0, 90.0]])
    after = delta_h.advance(ice.thickness[None], ice, np.ones((1, curves.POINTS)), change_of([[-3000.0]]))[0, 0]
    assert (after > 0).tolist() == [True, False, True, True]


def test_a_glacier_at_one_elevation_thins_alike() -> None:
    ice = flat_line([3000.1] * 6)
    after = delta_h.advance(ice.thickness[None], ice, small_class(ice), change_of([[-600.0]]))
    np.testing.assert_allclose(after, 29.0, rtol=1e-14)


@pytest.mark.parametrize("excess", [0.0, 1.0, 1e9])
def test_a_loss_of_all_ice_or_more_leaves_none_and_says_what_was_not_met(excess: float) -> None:
    ice = some_glaciers()
    change = -volume(ice.thickness, ice).numpy() - excess
    found = delta_h.step(at_start(ice), delta_h.Lines.of(small_class(ice)), change)
    assert not len(found.columns.thickness)
    np.testing.assert_allclose(found.unmet_m3, -excess, atol=1e-6)


def test_nearly_all_ice_may_go_and_the_rest_is_exact() -> None:
    ice = some_glaciers()
    start = volume(ice.thickness[None], ice)
    for share in (0.5, 0.9, 0.999, 1 - 1e-6, 1 - 1e-9):
        after = delta_h.advance(ice.thickness[None], ice, small_class(ice), -share * start)
        np.testing.assert_allclose(volume(after, ice) - start * (1 - share), 0, atol=float(start.max()) * 4e-15)


def test_no_change_changes_nothing() -> None:
    ice = some_glaciers()
    after = delta_h.advance(ice.thickness[None], ice, small_class(ice), torch.zeros(1, 5, dtype=torch.float64))
    assert torch.equal(after[0], ice.thickness)


def test_members_and_glaciers_do_not_touch_each_other() -> None:
    ice = some_glaciers()
    start = volume(ice.thickness[None], ice)
    rng = np.random.default_rng(2)
    share = change_of(rng.uniform(-0.4, 0.1, (6, 5)))
    together = delta_h.advance(ice.thickness.expand(6, -1, -1).contiguous(), ice, small_class(ice), share * start)
    for member in range(6):
        for glacier in range(5):
            alone = ice_of(*(value[[glacier]] for value in (ice.bed, ice.cell_area, ice.thickness)))
            change = (share * start)[[member]][:, [glacier]]
            after = delta_h.advance(alone.thickness[None], alone, small_class(ice)[[glacier]], change)
            assert torch.equal(after[0, 0], together[member, glacier])


def test_the_same_call_gives_the_same_bytes() -> None:
    ice = some_glaciers()
    change = -0.3 * volume(ice.thickness[None], ice)
    first, second = (delta_h.advance(ice.thickness[None], ice, small_class(ice), change) for _ in range(2))
    assert torch.equal(first, second)


def test_a_gain_thickens_by_the_curve_only_up_to_the_first_thickness() -> None:
    ice = flat_line([3000.0, 2900.0, 2800.0], thickness=50.0)
    thinned = ice.thickness - change_of([[1.0, 1.0, 20.0]])
    curve = np.linspace(0, 1, curves.POINTS)[None]
    little = delta_h.advance(thinned[None], ice, curve, change_of([[500.0]]))[0] - thinned
    assert float(little[0, 1]) == pytest.approx(1.0, rel=1e-12)  # its share was more, it had room for 1 m
    assert float(little[0, 2]) == pytest.approx(4.0, rel=1e-5)
    assert float(100 * little.sum()) == pytest.approx(500, rel=1e-13)


def test_bare_cells_get_their_ice_back_from_the_highest_down() -> None:
    ice = flat_line([3000.0, 2900.0, 2800.0, 2700.0, 2600.0], thickness=30.0)
    left = ice.thickness.clone()
    left[0, 2:] = 0
    after = delta_h.advance(left[None], ice, small_class(ice), change_of([[4000.0]]))[0, 0]
    np.testing.assert_allclose(after, [30, 30, 30, 10, 0], rtol=1e-13)


def test_a_glacier_that_gains_all_it_lost_is_what_it_was() -> None:
    ice = some_glaciers()
    start = volume(ice.thickness[None], ice)
    curve = small_class(ice)
    thickness = ice.thickness[None]
    for share in (0.2, 0.3, 0.1, 0.2):
        thickness = delta_h.advance(thickness, ice, curve, -share * start)
    assert ((thickness == 0) & (ice.cell_area > 0)).any()
    thickness = delta_h.advance(thickness, ice, curve, 0.5 * start)
    thickness = delta_h.advance(thickness, ice, curve, start - volume(thickness, ice))
    np.testing.assert_allclose(thickness[0], ice.thickness, rtol=1e-11, atol=1e-9)


def test_a_whole_glacier_thickens_by_the_curve_within_its_extent() -> None:
    ice = flat_line([3000.0, 2900.0, 2800.0])
    curve = np.linspace(0, 1, curves.POINTS)[None]
    after = delta_h.advance(ice.thickness[None], ice, curve, change_of([[300.0]]))[0, 0]
    np.testing.assert_allclose(after - 30, [0, 1, 2], atol=1e-5)


def test_ground_that_was_bare_at_the_start_stays_bare() -> None:
    ice = ice_of([[2970.0, 2870.0, 2800.0]], [[100.0] * 3], [[30.0, 30.0, 0.0]])
    after = delta_h.advance(ice.thickness[None], ice, small_class(ice), change_of([[5000.0]]))[0, 0]
    assert after[2] == 0
    assert float(after.sum()) == pytest.approx(110, rel=1e-13)


def test_a_glacier_without_cells_takes_no_ice_and_says_so() -> None:
    ice = some_glaciers()
    ice.cell_area[1] = 0
    ice.thickness[1] = 0
    columns, lines = at_start(ice), delta_h.Lines.of(small_class(ice))
    found = delta_h.step(columns, lines, np.array([0.0, 70.0, -1.0, 0.0, 1.0]))
    np.testing.assert_allclose(found.unmet_m3, [0, 70, 0, 0, 0], atol=1e-9)
    again = delta_h.step(columns, lines, np.array([0.0, -70.0, -1.0, 0.0, 0.0]))
    np.testing.assert_allclose(again.unmet_m3, [0, -70, 0, 0, 0], atol=1e-9)


def test_a_glacier_that_is_gone_at_the_start_stays_gone() -> None:
    ice = ice_of([[2900.0, 2800.0]] * 2, [[100.0] * 2] * 2, [[0.0, 0.0], [30.0, 30.0]])
    found = delta_h.step(at_start(ice, 2), delta_h.Lines.of(small_class(ice)), np.array([-5.0, -5.0, 5.0, 5.0]))
    assert found.columns.counts.tolist() == [0, 2, 0, 2]
    np.testing.assert_allclose(found.unmet_m3, [-5, 0, 5, 0], atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    sizes=st.lists(st.integers(1, 150), min_size=1, max_size=4),
    shares=st.lists(st.floats(-1.2, 0.8), min_size=1, max_size=8),
)
def test_mass_closes_under_any_sequence_of_losses_and_gains(seed: int, sizes: list[int], shares: list[float]) -> None:
    ice = some_glaciers(tuple(sizes), seed)
    start, lines = (
        volume(ice.thickness, ice).numpy(),
        delta_h.Lines.of(curves.class_curves(ice.cell_area.sum(dim=1) * 1e3)),
    )
    columns, initial = at_start(ice, 3), at_start(ice, 3).thickness
    for share in shares:
        change = (share * np.linspace(0.5, 1.0, 3)[:, None] * start).ravel()
        before = columns.on_cells(columns.thickness)
        lost = columns.total(columns.thickness * columns.area) + change
        columns, unmet = delta_h.step(columns, lines, change)
        volumes = columns.total(columns.thickness * columns.area)
        assert (np.abs(volumes - lost + unmet) <= 1e-14 * np.tile(start, 3)).all()
        assert (columns.thickness > 0).all()
        assert not volumes[unmet < 0].any()
        after, full = columns.on_cells(columns.thickness), before > 0
        assert (after <= np.maximum(initial, before)).all() or share > 0
        assert (after[full] <= before[full]).all() or share > 0


def test_padding_does_not_matter_to_the_result() -> None:
    ice = some_glaciers((300, 5, 64, 65))
    wide = ice_of(*(torch.nn.functional.pad(v, (0, 2000)) for v in (ice.bed, ice.cell_area, ice.thickness)))
    change = -0.3 * volume(ice.thickness[None], ice)
    narrow = delta_h.advance(ice.thickness[None], ice, small_class(ice), change)
    broad = delta_h.advance(wide.thickness[None], wide, small_class(wide), change)
    assert torch.equal(broad[..., :300], narrow)
    assert not broad[..., 300:].any()


def test_covered_area_shrinks_with_the_cube_root_of_the_volume() -> None:
    initial, area = np.array([80.0, 80.0, 80.0, 80.0, 0.0, 0.0]), np.array([1000.0] * 5 + [0.0])
    found = delta_h.covered_area(np.array([80.0, 10.0, 0.0, 90.0, 0.5, 0.0]), area, initial)
    np.testing.assert_allclose(found, [1000, 500, 0, 1000, 1000, 0])


BAD_ICE = {
    "thickness runs from -3 to": (0, -3.0),
    "thickness runs from nan to nan": (0, float("nan")),
    "thickness runs from 0 to inf": (0, float("inf")),
    "1 cells without area hold ice": (199, 4.0),
}


@pytest.mark.parametrize(("words", "bad"), BAD_ICE.items(), ids=["negative", "nan", "infinite", "outside"])
def test_ice_that_cannot_be_is_refused(words: str, bad: tuple[int, float]) -> None:
    ice = some_glaciers()
    thickness = ice.thickness[None].clone()
    thickness[0, 0, bad[0]] = bad[1]
    with pytest.raises(ValueError, match=words):
        delta_h.advance(thickness, ice, small_class(ice), torch.zeros(1, 5, dtype=torch.float64))
    with pytest.raises(ValueError, match=words):
        pack([ice_of(ice.bed, ice.cell_area, thickness[0])])


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_change_that_is_no_number_is_refused(value: float) -> None:
    ice = some_glaciers()
    with pytest.raises(ValueError, match="1 of 5 volume changes are not finite"):
        delta_h.advance(ice.thickness[None], ice, small_class(ice), change_of([[0.0, 0.0, value, 0.0, 0.0]]))


def test_change_and_thickness_of_other_shapes_are_refused() -> None:
    ice = some_glaciers()
    with pytest.raises(ValueError, match=r"change has shape \(5,\); expected \(1, 5\)"):
        delta_h.advance(ice.thickness[None], ice, small_class(ice), torch.zeros(5, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"thickness has shape \(5, 200\); expected \(member, \*\(5, 200\)\)"):
        delta_h.advance(ice.thickness, ice, small_class(ice), torch.zeros(1, 5, dtype=torch.float64))


def test_curves_of_another_length_or_without_thinning_are_refused() -> None:
    curve = small_class(some_glaciers())
    with pytest.raises(ValueError, match=r"curve has shape \(5, 100\); expected \(glacier, 101\)"):
        delta_h.Lines.of(curve[:, 1:])
    for bad in (np.zeros((5, curves.POINTS)), np.full((5, curves.POINTS), np.nan), -curve):
        with pytest.raises(ValueError, match="a curve is negative, not finite or 0 everywhere"):
            delta_h.Lines.of(bad)
