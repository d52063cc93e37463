"""Curves of elevation change: of size classes, and from two elevation models."""

from __future__ import annotations

import numpy as np
import pytest

from glacierscale.evolution.curves import HEIGHTS, POINTS, check_grids, class_curves, from_dems

YEARS = 30.0


def glacier(cells: int = 1500, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Change, elevation and the true curve of a glacier that thins by 60 m at its terminus, with 3 m of noise."""
    rng = np.random.default_rng(seed)
    down = rng.beta(2, 2, cells)
    down[:2] = 0, 1
    true = 0.2 * HEIGHTS + 0.8 * HEIGHTS**3
    change = -60 * np.interp(down, HEIGHTS, true) - 2 + rng.normal(0, 3, cells)
    return change, 3400 - 1000 * down, true


def rmse(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - true) ** 2)))


def test_classes_follow_the_published_equation() -> None:
    curves = class_curves(np.array([1e6, 12e6, 30e6]))
    assert curves.shape == (3, POINTS)
    h = np.array([0.3, 0.5, 0.8])
    large = (h - 0.02) ** 6 + 0.12 * (h - 0.02)
    medium = (h - 0.05) ** 4 + 0.19 * (h - 0.05) + 0.01
    small = (h - 0.30) ** 2 + 0.60 * (h - 0.30) + 0.09
    at = np.round(h * (POINTS - 1)).astype(int)
    np.testing.assert_allclose(curves[0, at], small / 1.0, rtol=1e-12)
    np.testing.assert_allclose(curves[1, at], medium / (0.95**4 + 0.19 * 0.95 + 0.01), rtol=1e-12)
    np.testing.assert_allclose(curves[2, at], large / (0.98**6 + 0.12 * 0.98), rtol=1e-12)


def test_classes_run_from_no_thinning_to_the_most_and_never_thicken() -> None:
    curves = class_curves([1e5, 4.999e6, 5e6, 19.99e6, 20e6, 1e9])
    assert (curves >= 0).all()
    assert (curves[:, -1] == 1).all()
    assert (curves[:, 0] < 0.01).all()
    assert (np.diff(curves, axis=1) >= 0).all()


def test_a_glacier_at_a_limit_belongs_to_the_larger_class() -> None:
    at, below, above = class_curves([5e6, 4.999e6, 5.001e6])
    assert (at == above).all()
    assert not np.allclose(at, below)


def test_areas_below_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="2 of 3 areas are negative or no number; expected m2"):
        class_curves([1e6, -1.0, np.nan])


def test_the_curve_of_a_glacier_is_found_under_noise() -> None:
    change, elevation, true = glacier()
    found = from_dems(change, elevation, years=YEARS)
    assert found.shape == (POINTS,)
    assert found[0] == 0
    assert found[-1] == pytest.approx(1)
    assert (np.diff(found) >= -1e-12).all()
    assert rmse(found, true) < 0.03


def test_outliers_of_every_kind_leave_the_curve_as_it_is() -> None:
    change, elevation, true = glacier()
    rng = np.random.default_rng(9)
    change[rng.choice(np.arange(2, 1500), 60, replace=False)] = rng.uniform(-3000, 3000, 60)  # failed correlation
    change[rng.choice(np.arange(2, 1500), 60, replace=False)] = np.nan
    change[(elevation < 2500) & (rng.random(1500) < 0.3)] = 0.0  # rock inside the outline
    change[(elevation > 3250) & (rng.random(1500) < 0.3)] = -80.0  # snow without contrast
    elevation[5:10] = 0.0
    change[5:10] = -20.0
    assert rmse(from_dems(change, elevation, years=YEARS), true) < 0.05


def test_rasters_count_as_their_cells() -> None:
    change, elevation, _ = glacier()
    shaped = from_dems(change.reshape(30, 50), elevation.reshape(30, 50), years=YEARS)
    np.testing.assert_array_equal(shaped, from_dems(change, elevation, years=YEARS))


def test_a_curve_does_not_depend_on_how_much_the_glacier_thinned() -> None:
    change, elevation, _ = glacier()
    twice = from_dems(2 * change, elevation, years=2 * YEARS)
    np.testing.assert_allclose(twice, from_dems(change, elevation, years=YEARS), atol=0.02)


def test_too_few_good_cells_are_refused() -> None:
    change, elevation, _ = glacier()
    change[40:] = np.nan
    with pytest.raises(ValueError, match="40 of 1500 cells have a plausible elevation change; expected at least 50"):
        from_dems(change, elevation, years=YEARS)


def test_change_faster_than_glaciers_change_is_refused() -> None:
    change, elevation, _ = glacier()
    with pytest.raises(ValueError, match="cells have a plausible elevation change"):
        from_dems(change - 20, elevation, years=1.0)


def test_a_glacier_that_grew_is_refused() -> None:
    change, elevation, _ = glacier()
    with pytest.raises(ValueError, match=r"typical height rose by \d+\.\d m; expected a glacier that thins"):
        from_dems(-0.4 * change, elevation, years=YEARS)


def test_a_glacier_that_thins_alike_everywhere_is_refused() -> None:
    _, elevation, _ = glacier()
    with pytest.raises(ValueError, match=r"thins 0\.0 m more at its terminus than at its top"):
        from_dems(np.full_like(elevation, -10.0), elevation, years=YEARS)


def test_a_glacier_at_one_elevation_is_refused() -> None:
    change, elevation, _ = glacier()
    with pytest.raises(ValueError, match=r"all cells lie at 2900\.0 m"):
        from_dems(change, np.full_like(elevation, 2900.0), years=YEARS)


def test_arrays_of_two_shapes_are_refused() -> None:
    change, elevation, _ = glacier()
    with pytest.raises(ValueError, match=r"shape \(1500,\) and elevation \(1499,\); expected one grid"):
        from_dems(change, elevation[1:], years=YEARS)


@pytest.mark.parametrize("years", [0.0, -3.0, float("nan")])
def test_no_time_between_the_models_is_refused(years: float) -> None:
    change, elevation, _ = glacier()
    with pytest.raises(ValueError, match="expected more than 0"):
        from_dems(change, elevation, years=years)


def test_grids_half_a_cell_apart_are_refused() -> None:
    x, y = np.arange(40) * 25.0, np.arange(30) * -25.0
    check_grids(x, y, x + 1e-6, y)
    with pytest.raises(ValueError, match=r"lie 0\.5 cells apart along x"):
        check_grids(x, y, x + 12.5, y)
    with pytest.raises(ValueError, match=r"lie 0\.5 cells apart along y"):
        check_grids(x, y, x, y - 12.5)
    with pytest.raises(ValueError, match="40 cells along x and elevation 39"):
        check_grids(x, y, x[1:], y)
    with pytest.raises(ValueError, match="cells apart along x"):
        check_grids(x, y, np.linspace(0, 2000, 40), y)
