"""Topography of glaciers that dated inventories know, with and without terrain."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from glacierscale.features.dated import beta_bands, dated_topography

BANDS = 20


def test_bands_of_a_known_range_keep_the_area_and_lie_around_the_mean_elevation() -> None:
    low, high, mean = np.array([2500.0, 2000.0]), np.array([3500.0, 3000.0]), np.array([3000.0, 2300.0])
    found = beta_bands(low, high, mean, np.array([1e6, 4e6]), bands=BANDS)
    np.testing.assert_allclose(found["band_area"].sum(axis=1), [1e6, 4e6])
    centre = (found["band_area"] * found["band_elevation"]).sum(axis=1) / [1e6, 4e6]
    np.testing.assert_allclose(centre, mean, atol=10)
    assert (found["band_elevation"][:, 0] == low + 25).all()
    assert (found["band_elevation"][:, -1] == high - 25).all()


def test_bands_of_an_unknown_or_empty_range_are_missing() -> None:
    nan = np.nan
    found = beta_bands(
        np.array([2500.0, nan]), np.array([2500.0, 3000.0]), np.array([2500.0, 2800.0]), np.ones(2), bands=4
    )
    assert np.isnan(found["band_area"]).all()


def inventories(**values: list[float]) -> xr.Dataset:
    """One glacier without terrain in two inventories."""
    years = xr.Dataset({"inventory_year": ("inventory", np.array([1985, 2003], np.int32))})
    return years.assign({f"inventory_{name}": (("glacier", "inventory"), [pair]) for name, pair in values.items()})


@pytest.fixture
def dated() -> xr.Dataset:
    return inventories(
        area_m2=[2e6, 1e6],
        mean_elevation=[2900.0, 2990.0],
        max_elevation=[3400.0, 3400.0],
        min_elevation=[2500.0, 2600.0],
        slope20=[20.0, np.nan],
        aspect=[350.0, 10.0],
    )


def without_terrain() -> dict[str, np.ndarray]:
    names = ("area", "mean_elevation", "max_elevation", "slope20", "cos_aspect", "sin_aspect")
    return {name: np.full(1, np.nan) for name in names} | {
        name: np.full((1, BANDS), np.nan) for name in ("band_elevation", "band_area")
    }


def test_topography_runs_between_the_inventories_and_stays_beyond_them(dated: xr.Dataset) -> None:
    years = np.array([1970, 1985, 1994, 2003, 2015], np.int32)
    over, fixed = dated_topography(without_terrain(), dated, years, np.array([1e6]))
    np.testing.assert_allclose(over["area"][0], [2e6, 2e6, 1.5e6, 1e6, 1e6])
    np.testing.assert_allclose(over["mean_elevation"][0], [2900, 2900, 2945, 2990, 2990])
    np.testing.assert_allclose(over["slope20"][0], 20)
    np.testing.assert_allclose([fixed["cos_aspect"][0], fixed["sin_aspect"][0]], [1, 0], atol=1e-6)  # over north
    np.testing.assert_allclose(fixed["band_area"].sum(), 1e6)


def test_a_glacier_that_nobody_knows_stays_unknown_but_for_its_area() -> None:
    nothing = inventories(
        **{name: [np.nan] * 2 for name in ("area_m2", "mean_elevation", "max_elevation", "min_elevation")},
        slope20=[np.nan] * 2,
        aspect=[np.nan] * 2,
    )
    over, fixed = dated_topography(without_terrain(), nothing, np.array([1990], np.int32), np.array([3e5]))
    assert over["area"][0, 0] == 3e5
    assert all(np.isnan(over[name]).all() for name in ("mean_elevation", "max_elevation", "slope20"))
    assert np.isnan(fixed["band_area"]).all()
