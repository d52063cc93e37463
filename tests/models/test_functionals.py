"""Observations of every kind against cases computed by hand, from the table of the features to the prediction."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from glacierscale.features.sampling import to_degrees
from glacierscale.models import likelihood
from glacierscale.models.functionals import Functionals, counts_of, functionals_of, table_of
from glacierscale.models.surface import Surface

YEARS = np.arange(2001, 2005)
KINDS = ("annual", "winter", "summer", "band", "point", "geodetic")
SIZE, STEP = 8, 100.0
LON, LAT = {"a": 10.0, "b": 11.0}, {"a": 46.0, "b": 47.0}

# Glacier "a": two rows of three cells, elevation rising to the north; "b": one cell.
CELLS = pd.DataFrame(
    [
        ("a", 3, 2, 2480.0, 1e4),
        ("a", 3, 3, 2470.0, 1e4),
        ("a", 3, 4, 2460.0, 5e3),
        ("a", 4, 2, 2430.0, 1e4),
        ("a", 4, 3, 2420.0, 2e4),
        ("a", 4, 4, 2410.0, 5e3),
        ("b", 4, 4, 3000.0, 1e4),
    ],
    columns=["unit", "row", "column", "elevation", "area"],
)


def surface_of(cells: pd.DataFrame = CELLS) -> Surface:
    units = sorted(cells.unit.unique())
    outline = np.searchsorted(units, cells.unit)
    count = len(cells)
    return Surface(
        context=np.zeros((count, 1), np.float32),
        elevation=cells.elevation.to_numpy(np.float32),
        mean_elevation=np.zeros(count, np.float32),
        radiation=np.zeros((count, 12), np.float32),
        area=cells.area.to_numpy(float),
        row=cells.row.to_numpy(),
        column=cells.column.to_numpy(),
        outline=outline,
        unit_id=np.array(units),
        feature_row=np.arange(len(units)),
        centre_lon=np.array([LON[unit] for unit in units]),
        centre_lat=np.array([LAT[unit] for unit in units]),
        resolution=np.full(len(units), STEP),
        size=np.full(len(units), SIZE),
    )


def observed(kind: str, year: int, unit: str = "a", **given: Any) -> dict[str, Any]:
    """A row of observations; its period is the hydrological year unless told otherwise."""
    return {
        "obs_unit_id": unit,
        "obs_kind": kind,
        "obs_year": year,
        "obs_value": -100.0,
        "obs_sigma": 50.0,
        "obs_start": np.datetime64(f"{year - 1}-10-01", "ns"),
        "obs_end": np.datetime64(f"{year}-09-30", "ns"),
        "obs_elevation": np.nan,
        "obs_lon": np.nan,
        "obs_lat": np.nan,
    } | given


def dates(start: str, end: str) -> dict[str, Any]:
    return {"obs_start": np.datetime64(start, "ns"), "obs_end": np.datetime64(end, "ns")}


def at_cell(row: float, column: float, unit: str = "a") -> dict[str, Any]:
    """Position of a place in the patch, in cells."""
    x, y = (column - (SIZE - 1) / 2) * STEP, ((SIZE - 1) / 2 - row) * STEP
    lon, lat = to_degrees(np.array([x]), np.array([y]), np.array([LON[unit]]), np.array([LAT[unit]]))
    return {"obs_lon": float(lon[0]), "obs_lat": float(lat[0])}


def features_of(rows: list[dict[str, Any]]) -> xr.Dataset:
    table = pd.DataFrame(rows)
    data = {name: ("observation", table[name].to_numpy()) for name in table}
    return xr.Dataset(data, coords={"hydro_year": YEARS})


def seen(rows: list[dict[str, Any]], surface: Surface | None = None) -> Functionals:
    return functionals_of(table_of(features_of(rows), KINDS), surface or surface_of(), YEARS, "north")


def predicted(functionals: Functionals, monthly: np.ndarray) -> np.ndarray:
    """Of (cell, year, month) balances: (observation,)."""
    everything = [np.arange(size) for size in (len(functionals), *monthly.shape[:2])]
    wanted = likelihood.targets(functionals, *everything, KINDS)
    found: np.ndarray = likelihood.observe(torch.from_numpy(monthly[None].astype(np.float32)), wanted)[0].numpy()
    return found


def some_balances(seed: int = 0, cells: int = len(CELLS)) -> np.ndarray:
    return np.random.default_rng(seed).normal(-100, 80, (cells, len(YEARS), 12))


def approx(value: Any) -> Any:
    return pytest.approx(value, rel=1e-5)


def test_glacier_wide_balances_are_means_over_the_mask_and_sums_over_months() -> None:
    monthly = some_balances()
    found = predicted(seen([observed(kind, 2002) for kind in ("annual", "winter", "summer")]), monthly)
    mean = (np.array([1, 1, 0.5, 1, 2, 0.5])[:, None] * monthly[:6, 1]).sum(0) / 6  # (month,)
    assert found == approx([mean.sum(), mean[:7].sum(), mean[7:].sum()])


def test_a_band_is_the_mean_over_its_height_range_and_year() -> None:
    monthly = some_balances()
    bands = [observed("band", 2003, obs_elevation=height) for height in (2425.0, 2475.0)]
    found = predicted(seen(bands), monthly)
    year = monthly[:, 2].sum(-1)
    assert found[0] == approx((year[3] + 2 * year[4] + 0.5 * year[5]) / 3.5)
    assert found[1] == approx((year[0] + year[1] + 0.5 * year[2]) / 2.5)


def test_a_stake_is_a_bilinear_sample_between_two_dates_over_two_hydrological_years() -> None:
    monthly = some_balances()
    # A quarter of a cell east and half a cell south of the centre of row 3, column 2.
    stake = observed("point", 2003, **dates("2002-09-11", "2003-02-14")) | at_cell(3.5, 2.25)
    functionals = seen([stake])
    place = 0.5 * (0.75 * monthly[0] + 0.25 * monthly[1]) + 0.5 * (0.75 * monthly[3] + 0.25 * monthly[4])
    september, winter = place[1, 11] * 20 / 30, place[2, :4].sum() + place[2, 4] * 14 / 28
    assert predicted(functionals, monthly) == approx([september + winter])
    assert (functionals.first_year.tolist(), functionals.last_year.tolist()) == ([2002], [2003])
    assert functionals.lon[0] == pytest.approx(stake["obs_lon"])


def test_a_stake_just_off_the_ice_is_the_nearest_cell() -> None:
    monthly = some_balances()
    beside = observed("point", 2003) | at_cell(5.2, 3.1)
    assert predicted(seen([beside]), monthly) == approx([monthly[4, 2].sum()])


def test_a_geodetic_balance_is_the_mean_per_year_of_its_period() -> None:
    monthly = some_balances()
    functionals = seen([observed("geodetic", 2003, **dates("2001-04-01", "2003-10-01"))])
    area = CELLS.area[:6].to_numpy()
    mean = (area[:, None, None] * monthly[:6]).sum(0) / area.sum()
    assert predicted(functionals, monthly) == approx([(mean[0, 6:].sum() + mean[1].sum() + mean[2].sum()) / 2.5])
    assert (functionals.first_year.tolist(), functionals.last_year.tolist()) == ([2001], [2003])


def test_the_months_of_the_south_begin_in_april() -> None:
    monthly = some_balances()
    stake = observed("point", 2002, **dates("2001-04-01", "2001-05-31")) | at_cell(3, 2)
    table = table_of(features_of([stake]), KINDS)
    functionals = functionals_of(table, surface_of(), YEARS, "south")
    assert predicted(functionals, monthly) == approx([monthly[0, 1, :2].sum()])


def test_a_stake_belongs_to_the_nearest_outline_of_its_glacier() -> None:
    parts = CELLS.copy()
    surface = surface_of(parts)
    two = Surface(
        **{f.name: getattr(surface, f.name) for f in fields(Surface) if f.name not in ("unit_id", "centre_lon")},
        unit_id=np.array(["a", "a"]),
        centre_lon=np.array([10.0, 10.01]),  # 770 m to the east, at another latitude
    )
    two.centre_lat[1] = 46.0
    x, y = (4 - 3.5) * STEP, (3.5 - 4) * STEP
    lon, lat = to_degrees(np.array([x]), np.array([y]), np.array([10.01]), np.array([46.0]))
    functionals = seen([observed("point", 2002, obs_lon=float(lon[0]), obs_lat=float(lat[0]))], two)
    monthly = some_balances()
    assert predicted(functionals, monthly) == approx([monthly[6, 1].sum()])
    whole = seen([observed("annual", 2002)], two)
    assert predicted(whole, monthly) == approx([np.average(monthly[:, 1].sum(-1), weights=CELLS.area)])


def test_observations_of_one_place_share_its_sum_over_cells() -> None:
    rows = [observed(kind, year) for kind in ("annual", "winter") for year in YEARS]
    rows += [observed("point", year) | at_cell(3, 3) for year in YEARS]
    functionals = seen(rows)
    assert functionals.space.shape == (2, len(CELLS))
    np.testing.assert_allclose(functionals.space.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (observed("annual", 2002, "lost"), "lost annual 2002: the glacier has no ice in the patches; it was set aside"),
        (observed("point", 2002) | at_cell(3, 12), "a point 2002: a stake outside every glacier"),
        (observed("point", 2002), "a point 2002: the point has no position"),
        (observed("band", 2002, obs_elevation=2425.0), "a band 2002: the band has no neighbour"),
        (
            observed("point", 2002, **dates("1999-10-01", "2002-09-30")) | at_cell(3, 3),
            "a point 2002: dates outside the climate series",
        ),
        (observed("geodetic", 2004, **dates("1980-10-01", "2004-10-01")), "a geodetic 2004: dates outside the climate"),
        (
            observed("point", 2002, **dates("2002-05-01", "2001-10-01")) | at_cell(3, 3),
            "do not run from a first to a last",
        ),
        (observed("geodetic", 2002, obs_start=np.datetime64("NaT", "ns")), "do not run from a first to a last day"),
    ],
)
def test_what_cannot_be_seen_is_left_out_with_its_reason(row: dict[str, Any], words: str) -> None:
    monthly = some_balances()
    good = [observed("annual", 2001), observed("winter", 2003)]
    functionals = seen([good[0], row, good[1]])
    assert len(functionals) == 2
    assert len(functionals.left_out) == 1
    assert words in functionals.left_out[0]
    assert predicted(functionals, monthly) == approx(predicted(seen(good), monthly))


def test_a_band_without_ice_is_left_out_and_those_beside_it_stay() -> None:
    bands = [observed("band", 2002, obs_elevation=height) for height in (2425.0, 2475.0, 2525.0, 2575.0)]
    functionals = seen(bands)
    # The third is within reach of the topmost ice, the fourth is not.
    assert functionals.elevation.tolist() == [2425.0, 2475.0, 2525.0]
    assert functionals.left_out == ("a band 2002: no ice between 2550 and 2600 m on this surface.",)


@pytest.mark.parametrize("rows", [[observed("annual", 2002, "lost")], [observed("point", 2002)]])
def test_when_nothing_can_be_seen_the_functionals_are_empty_with_reasons(rows: list[dict[str, Any]]) -> None:
    functionals = seen(rows)
    assert len(functionals) == 0
    assert functionals.space.shape == (0, len(CELLS))
    assert len(functionals.left_out) == 1


def test_a_table_without_observations_of_these_kinds_has_no_functionals() -> None:
    table = table_of(features_of([observed("annual", 2002)]), ("geodetic",))
    functionals = functionals_of(table, surface_of(), YEARS, "north")
    assert len(functionals) == 0
    assert functionals.left_out == ()


def test_the_table_holds_the_kinds_asked_for_in_the_years_of_the_climate() -> None:
    rows = [observed("annual", year) for year in (1999, 2001, 2004, 2005)] + [observed("winter", 2002)]
    table = table_of(features_of(rows), ("annual",))
    assert table.obs_year.tolist() == [2001, 2004]
    assert table.index.tolist() == [0, 1]


def test_band_edges_come_from_all_years_also_those_without_climate() -> None:
    rows = [observed("band", 1999, obs_elevation=height) for height in (2425.0, 2475.0)]
    table = table_of(features_of([*rows, observed("band", 2002, obs_elevation=2425.0)]), KINDS)
    assert (table.obs_lower.tolist(), table.obs_upper.tolist()) == ([2400.0], [2450.0])


def test_a_profile_counts_as_three_and_seasons_as_halves_beside_the_annual_balance() -> None:
    rows = [observed("band", 2001, obs_elevation=2000.0 + 50 * n) for n in range(12)]
    rows += [observed("band", 2002, obs_elevation=2000.0 + 50 * n) for n in range(2)]
    rows += [observed(kind, 2001) for kind in ("annual", "winter", "summer")]
    rows += [observed("winter", 2002), observed("annual", 2002, "b"), observed("geodetic", 2004)]
    rows += [observed("point", 2001) | at_cell(3, 3), observed("point", 2001) | at_cell(4, 3)]
    counts = counts_of(pd.DataFrame(rows))
    assert counts.tolist() == pytest.approx([0.25] * 12 + [1, 1] + [1, 0.5, 0.5] + [1, 1, 1] + [1, 1])


def test_a_profile_counts_as_three_by_the_bands_that_are_seen() -> None:
    bands = [observed("band", 2002, obs_elevation=2425.0 + 50 * n) for n in range(6)]
    functionals = seen(bands)
    assert len(functionals) == 3
    assert functionals.counts.tolist() == [1, 1, 1]


def test_taking_some_observations_keeps_what_each_sees() -> None:
    rows = [observed("annual", 2001), observed("band", 2002, obs_elevation=2425.0)]
    rows += [
        observed("band", 2002, obs_elevation=2475.0),
        observed("geodetic", 2004, **dates("2001-10-01", "2004-10-01")),
    ]
    rows += [
        observed("point", 2003, **dates("2002-09-11", "2003-02-14")) | at_cell(3.5, 2.25),
        observed("winter", 2003, "b"),
    ]
    functionals, monthly = seen(rows), some_balances()
    whole = predicted(functionals, monthly)
    for which in ([0], [3], [1, 4], [0, 2, 3, 5], [], list(range(6))):
        some = functionals.take(np.array(which, np.int64))
        assert predicted(some, monthly) == approx(whole[which])
        for name in ("unit_id", "kind", "first_year", "last_year", "value", "sigma", "counts", "elevation", "lat"):
            np.testing.assert_array_equal(getattr(some, name), getattr(functionals, name)[which])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_bands_that_tile_a_glacier_close_to_its_mean(seed: int, bands: int) -> None:
    rng = np.random.default_rng(seed)
    cells = pd.DataFrame(
        {
            "unit": "a",
            "row": np.arange(40) // SIZE,
            "column": np.arange(40) % SIZE,
            "elevation": rng.uniform(2400, 2400 + 50 * bands - 0.1, 40).astype(np.float32),
            "area": rng.uniform(10, 1e4, 40),
        }
    )
    centres = 2425.0 + 50 * np.arange(bands)
    rows = [observed("band", 2002, obs_elevation=height) for height in centres]
    surface = surface_of(cells)
    functionals = seen([*rows, observed("annual", 2002)], surface)
    monthly = some_balances(seed, 40)
    found = predicted(functionals, monthly).astype(float)
    share = np.histogram(cells.elevation, 2400 + 50 * np.arange(bands + 1), weights=cells.area)[0] / cells.area.sum()
    assert found[:-1] @ share[share > 0] == pytest.approx(found[-1], rel=1e-5)
    expected = np.average(monthly[:, 1].sum(-1), weights=cells.area)
    assert found[-1] == pytest.approx(expected, rel=1e-5)
