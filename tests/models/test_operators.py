"""Observation operators against cases computed by hand."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glacierscale.models import operators
from glacierscale.sources.observations.stakes import iceland_stakes
from glacierscale.sources.observations.table import season_dates

OCT, NOV, DEC, JAN, FEB, MAR, APR, MAY, JUN, JUL, AUG, SEP = range(12)


def day(text: str) -> np.datetime64:
    return np.datetime64(text, "D")


def test_a_mask_mean_weights_cells_by_their_ice() -> None:
    weight = operators.mask_mean([[10_000.0, 5_000.0], [0.0, 5_000.0]])
    np.testing.assert_allclose(weight, [[0.5, 0.25], [0.0, 0.25]])
    assert (weight * [[-1000.0, 400.0], [9e9, 0.0]]).sum() == pytest.approx(-400.0)


@pytest.mark.parametrize(
    ("area", "words"),
    [
        (np.zeros(4), "none of the 4 cells carries ice; set this glacier aside"),
        ([1.0, np.nan], "1 ice areas are negative or no numbers"),
        ([1.0, -2.0, np.inf], "2 ice areas are negative or no numbers"),
    ],
)
def test_a_mask_without_ice_or_with_nonsense_is_refused(area: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        operators.mask_mean(area)


def test_a_band_mean_takes_the_ice_from_its_lower_edge_to_below_its_upper_one() -> None:
    elevation = [2390.0, 2400.0, 2449.0, 2450.0, 2420.0]
    area = [100.0, 100.0, 300.0, 100.0, 0.0]  # the last cell lies in the band but carries no ice
    np.testing.assert_allclose(operators.band_mean(elevation, area, 2400, 2450), [0, 0.25, 0.75, 0, 0])


def test_a_band_beyond_the_surface_is_the_nearest_cells_in_reach() -> None:
    elevation, area = [2480.0, 2480.0, 2500.0, 2460.0], [100.0, 300.0, 100.0, 0.0]
    np.testing.assert_allclose(operators.band_mean(elevation, area, 2400, 2450), [0.25, 0.75, 0, 0])
    np.testing.assert_allclose(operators.band_mean(elevation, area, 2550, 2600), [0, 0, 1, 0])
    assert operators.band_mean(elevation, area, 2551, 2600).tolist() == [0, 0, 0, 0]
    assert operators.band_mean(elevation, area, 2551, 2600, reach_m=51).tolist() == [0, 0, 1, 0]
    assert operators.band_mean(elevation, np.zeros(4), 2400, 2450).tolist() == [0, 0, 0, 0]


def test_elevation_is_not_read_off_the_ice_but_missed_on_it() -> None:
    assert operators.band_mean([np.nan, 2420.0], [0.0, 9.0], 2400, 2450).tolist() == [0, 1]
    with pytest.raises(ValueError, match="1 cells with ice have no elevation"):
        operators.band_mean([np.nan, 2420.0], [1.0, 9.0], 2400, 2450)


@pytest.mark.parametrize(("low", "high"), [(2450.0, 2400.0), (2400.0, 2400.0), (np.nan, np.nan)])
def test_a_band_without_extent_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match=r"the band from \S+ to \S+ m has no extent"):
        operators.band_mean([2420.0], [1.0], low, high)


def test_elevations_of_other_cells_are_refused() -> None:
    with pytest.raises(ValueError, match=r"elevations have the shape \(2,\), ice areas \(1,\)"):
        operators.band_mean([2420.0, 2430.0], [1.0], 2400, 2450)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(0, 999))
def test_bands_that_tile_a_glacier_average_to_its_mean(cells: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    elevation, area = rng.uniform(2000, 2400, cells), rng.uniform(0, 1e4, cells)
    edges = np.arange(2000, 2401, 50)
    total = np.zeros(cells)
    for low, high in pairwise(edges):
        inside = (elevation >= low) & (elevation < high)
        total += operators.band_mean(elevation, area, low, high) * area[inside].sum()
    np.testing.assert_allclose(total / area.sum(), operators.mask_mean(area))


def test_a_bilinear_sample_is_exact_on_a_plane() -> None:
    rows, columns = np.mgrid[:4, :5]
    plane = 3.0 * rows - 2.0 * columns + 7.0
    cells, weights = operators.bilinear(2.25, 1.5, np.ones((4, 5)))
    assert cells.tolist() == [[1, 2], [1, 3], [2, 2], [2, 3]]
    np.testing.assert_allclose(weights, [0.375, 0.125, 0.375, 0.125])
    assert (plane[tuple(cells.T)] * weights).sum() == pytest.approx(3.0 * 1.5 - 2.0 * 2.25 + 7.0)


def test_cells_without_ice_leave_their_weight_to_the_others() -> None:
    ice = np.ones((4, 5))
    ice[1, 2], ice[2, 3] = 0.0, np.nan
    cells, weights = operators.bilinear(2.25, 1.5, ice)
    assert cells.tolist() == [[1, 3], [2, 2]]
    np.testing.assert_allclose(weights, [0.25, 0.75])


def test_a_stake_on_a_cell_centre_or_at_the_edge_of_the_patch_sees_cells_of_the_patch() -> None:
    ice = np.full((3, 3), 0.01)
    for column, row, seen in ((1, 2, [[2, 1]]), (-0.4, 0, [[0, 0]]), (2.3, 2.2, [[2, 2]])):
        cells, weights = operators.bilinear(column, row, ice)
        assert (cells.tolist(), weights.tolist()) == (seen, [1.0])


def test_a_stake_beside_the_ice_is_read_at_the_nearest_cell_with_ice() -> None:
    ice = np.zeros((20, 20))
    ice[4, 10], ice[15, 15] = 0.2, 1.0
    cells, weights = operators.bilinear(6.5, 2.0, ice)  # 3.5 columns and 2 rows away
    assert (cells.tolist(), weights.tolist()) == ([[4, 10]], [1.0])
    cells, _ = operators.bilinear(-1.0, 4.0, ice, reach_cells=11.0)
    assert cells.tolist() == [[4, 10]]


@pytest.mark.parametrize(
    ("column", "row", "ice", "words"),
    [
        (
            2.0,
            3.0,
            (3, 8),
            r"a stake outside every glacier: it lies at row 3.0, column 2.0 of 9 x 9 cells, .* 6.0 cells",
        ),
        (2.0, 3.0, None, "a stake outside every glacier: .* the nearest ice is nowhere in this patch"),
        (np.nan, 3.0, (3, 3), "a stake lies at row 3.0, column nan; expected two finite numbers"),
    ],
)
def test_a_stake_outside_every_glacier_is_refused(
    column: float, row: float, ice: tuple[int, int] | None, words: str
) -> None:
    fraction = np.zeros((9, 9))
    if ice is not None:
        fraction[ice] = 1.0
    with pytest.raises(ValueError, match=words):
        operators.bilinear(column, row, fraction)


def test_a_stake_between_two_dates_sees_the_share_of_each_month() -> None:
    weight = operators.month_weights(day("1999-10-17"), day("2000-05-10"), 1999, 2001)
    assert weight.shape == (3, 12)
    assert weight[0].tolist() == weight[2].tolist() == [0.0] * 12
    expected = [15 / 31, 1, 1, 1, 1, 1, 1, 10 / 31, 0, 0, 0, 0]
    np.testing.assert_allclose(weight[1], expected)
    assert operators.month_weights(day("2000-02-29"), day("2000-02-29"), 2000, 2000)[0, FEB] == 1 / 29


def test_a_period_may_run_over_several_hydrological_years() -> None:
    weight = operators.month_weights(day("1999-09-16"), day("2001-10-31"), 1999, 2002)
    assert weight[0, SEP] == 0.5
    assert weight[0].sum() == 0.5
    assert weight[1].tolist() == weight[2].tolist() == [1.0] * 12
    assert weight[3].tolist() == [1.0] + [0.0] * 11


def test_an_end_on_the_first_of_a_month_closes_the_month_before() -> None:
    to_last = operators.month_weights(day("1999-10-01"), day("2000-04-30"), 2000, 2000)
    to_first = operators.month_weights(day("1999-10-01"), day("2000-05-01"), 2000, 2000)
    to_second = operators.month_weights(day("1999-10-01"), day("2000-05-02"), 2000, 2000)
    assert to_last.tolist() == to_first.tolist() == [[1.0] * 7 + [0.0] * 5]
    assert to_second[0, MAY] == 2 / 31
    assert operators.month_weights(day("1999-10-01"), day("2000-10-01"), 2000, 2000).tolist() == [[1.0] * 12]
    assert operators.month_weights(day("2000-05-01"), day("2000-05-01"), 2000, 2000)[0, MAY] == 1 / 31


def test_a_southern_year_begins_in_april() -> None:
    weight = operators.month_weights(day("1999-04-01"), day("1999-04-15"), 2000, 2000, "south")
    assert weight[0].tolist() == [0.5] + [0.0] * 11


def test_many_periods_are_weighted_as_each_alone() -> None:
    start = np.array(["1999-10-17", "2000-03-01T12:00"], "datetime64[ns]")
    end = np.array(["2000-05-10", "2001-01-31"], "datetime64[ns]")
    together = operators.month_weights(start, end, 1998, 2001)
    assert together.shape == (2, 4, 12)
    for n in range(2):
        np.testing.assert_array_equal(together[n], operators.month_weights(start[n], end[n], 1998, 2001))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 600))
def test_month_weights_count_every_day_once(offset: int, length: int) -> None:
    start = day("1990-10-01") + offset
    end = start + length
    days_in_month = np.diff(np.arange("1990-10", "2000-11", dtype="datetime64[M]").astype("datetime64[D]")).astype(int)
    counted = operators.month_weights(start, end, 1991, 2000).ravel() @ days_in_month[:120]
    closes = str(end)[-2:] == "01" and length > 0
    assert counted == pytest.approx(length + 1 - closes)


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("1998-09-30", "1999-04-30", "1998-09-30 to 1999-04-30, are not within 1998-10-01 to 2001-09-30"),
        ("2001-05-01", "2001-10-02", r"2001-05-01 to 2001-10-02, are not .*\(hydrological years 1999 to 2001\)"),
    ],
)
def test_dates_outside_the_climate_series_are_refused(start: str, end: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"dates outside the climate series: 1 periods, such as {words}"):
        operators.month_weights([day(start), day("2000-01-01")], [day(end), day("2000-02-01")], 1999, 2001)


def test_periods_that_run_backwards_or_miss_a_date_are_refused() -> None:
    start = np.array(["2000-05-01", "NaT", "2000-01-01"], "datetime64[D]")
    end = np.array(["2000-04-01", "2000-04-01", "2000-01-31"], "datetime64[D]")
    with pytest.raises(ValueError, match="2 periods do not run from a first to a last day, such as 2000-05-01"):
        operators.month_weights(start, end, 2000, 2000)


def test_an_unknown_hemisphere_is_refused() -> None:
    with pytest.raises(ValueError, match="hemisphere is 'west'"):
        operators.month_weights(day("2000-01-01"), day("2000-02-01"), 2000, 2000, "west")


def test_a_geodetic_balance_is_the_mean_per_year() -> None:
    months = np.broadcast_to(np.arange(12.0), (12, 12))  # the same 66 kg m-2 each year
    ten_years = operators.many_year_weights(day("2000-01-01"), day("2010-01-01"), 2000, 2011)
    assert (ten_years * months).sum() == pytest.approx(66.0)
    assert ten_years[0, :3].tolist() == [0.0] * 3
    assert ten_years[5].tolist() == pytest.approx([0.1] * 12)
    half = operators.many_year_weights(day("2000-10-01"), day("2002-03-31"), 2001, 2002)  # eighteen months
    balance = np.array([[60.0] * 12, [30.0] * 12])
    assert (half * balance).sum() == pytest.approx((12 * 60 + 6 * 30) / 1.5)


def test_a_geodetic_period_longer_than_the_series_is_refused() -> None:
    with pytest.raises(
        ValueError, match="dates outside the climate series: 1 periods, such as 2000-01-01 to 2020-01-01"
    ):
        operators.many_year_weights(day("2000-01-01"), day("2020-01-01"), 2000, 2015)


def test_seasons_are_the_first_seven_and_the_last_five_months() -> None:
    weight = operators.season_weights(["annual", "winter", "summer"], [2001, 2000, 2000], 2000, 2001)
    assert weight.shape == (3, 2, 12)
    assert weight[0].tolist() == [[0.0] * 12, [1.0] * 12]
    assert weight[1].tolist() == [[1.0] * 7 + [0.0] * 5, [0.0] * 12]
    assert weight[2].tolist() == [[0.0] * 7 + [1.0] * 5, [0.0] * 12]
    assert operators.season_weights("winter", 2001, 2000, 2001).tolist() == [[0.0] * 12, [1.0] * 7 + [0.0] * 5]


@pytest.mark.parametrize("hemisphere", ["north", "south"])
@pytest.mark.parametrize("kind", ["annual", "winter", "summer"])
def test_seasons_are_what_their_dates_in_the_table_say(kind: str, hemisphere: str) -> None:
    start, end = season_dates(pd.Series([2000]), pd.Series([kind]), pd.Series([hemisphere]))
    dated = operators.month_weights(start.to_numpy(), end.to_numpy(), 1999, 2001, hemisphere)
    np.testing.assert_array_equal(dated, operators.season_weights([kind], 2000, 1999, 2001))


@pytest.mark.parametrize(
    ("kind", "year", "words"),
    [
        ("spring", 2000, r"unknown seasons \['spring'\]; expected some of \['annual', 'winter', 'summer'\]"),
        (
            "winter",
            1999,
            r"dates outside the climate series: the hydrological years \[1999\] are not within 2000 to 2001",
        ),
    ],
)
def test_unknown_seasons_and_years_are_refused(kind: str, year: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        operators.season_weights(kind, year, 2000, 2001)


@pytest.mark.shared
def test_icelandic_stakes_see_months_as_long_as_their_periods(shared: Path) -> None:
    stakes = iceland_stakes(pd.read_csv(shared / "data" / "iceland" / "iceland_topographical_features.csv"))
    start, end = stakes["obs_start"].to_numpy(), stakes["obs_end"].to_numpy()
    weight = operators.month_weights(start, end, int(stakes["obs_year"].min()) - 1, int(stakes["obs_year"].max()) + 1)
    days = (stakes["obs_end"] - stakes["obs_start"]).dt.days.to_numpy()
    np.testing.assert_allclose(weight.sum(axis=(1, 2)) * 365.25 / 12, days, atol=4.0)
