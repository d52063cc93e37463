"""Regions, hydrological years and glacier identifiers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glacierscale.region import HydroYears, Region, beside, seamless, unit_of


@given(st.integers(1000, 3000), st.integers(0, 200))
def test_years_run_from_the_first_to_the_last_both_included(first: int, more: int) -> None:
    last = min(first + more, 3000)
    span = HydroYears(first, last)
    assert len(span) == len(span.years) == last - first + 1
    assert (span.years[0], span.years[-1]) == (first, last)


@pytest.mark.parametrize(
    ("hemisphere", "first", "last"), [("north", "1952-10", "2014-09"), ("south", "1952-04", "2014-03")]
)
def test_a_hydrological_year_starts_in_autumn_of_its_hemisphere(hemisphere: str, first: str, last: str) -> None:
    span = HydroYears(1953, 2014, hemisphere)  # type: ignore[arg-type]
    assert (span.first_month, span.last_month) == (first, last)


@pytest.mark.parametrize(("first", "last"), [(2000, 1999), (999, 1000), (2000, 3001)])
def test_years_out_of_order_or_out_of_range_are_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="are not a span between 1000 and 3000 in order"):
        HydroYears(first, last)


def test_another_hemisphere_is_refused() -> None:
    with pytest.raises(ValueError, match="hemisphere is 'east'; expected 'north' or 'south'"):
        HydroYears(2000, 2001, "east")  # type: ignore[arg-type]


@pytest.mark.parametrize("bounds", [(0, 50, 10, 40), (0, 40, 190, 50), (0, -95, 10, 50), (-181, 0, 0, 1)])
def test_bounds_in_another_order_are_refused(bounds: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match=r"not \(west, south, east, north\) in degrees"):
        Region("alps", years=HydroYears(2000, 2001), bounds=bounds)


def test_bounds_may_cross_the_date_line() -> None:
    assert Region("fiji", years=HydroYears(2000, 2001), bounds=(170, -20, -170, 0)).bounds == (170, -20, -170, 0)


def test_a_region_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="a region needs a name"):
        Region("  ", years=HydroYears(2000, 2001))


@pytest.mark.parametrize(
    ("outline", "unit"),
    [
        ("RGI50-11.00719_d01", "RGI50-11.00719"),
        ("RGI50-11.00719_d12", "RGI50-11.00719"),
        ("RGI60-11.00897", "RGI60-11.00897"),
        ("glacier_data", "glacier_data"),
        ("a_d01_b", "a_d01_b"),
    ],
)
def test_parts_of_a_split_outline_share_their_observed_unit(outline: str, unit: str) -> None:
    assert unit_of(outline) == unit


@pytest.mark.parametrize("years", [(1980.5, 1990), ("1980", "1990")])
def test_years_that_are_no_whole_numbers_are_refused(years: Any) -> None:
    with pytest.raises(ValueError, match="expected two whole numbers"):
        HydroYears(*years)


def test_bounds_of_three_numbers_and_years_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="are not four numbers"):
        Region("x", years=HydroYears(1980, 1990), bounds=(1.0, 2.0, 3.0))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"expected HydroYears\(first, last\)"):
        Region("x", years=(1980, 1990))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lon", "expected"),
    [
        ([179.9, -179.9, 178.0], [179.9, 180.1, 178.0]),
        ([10.5, -3.0], [10.5, -3.0]),
        ([-150.2, -140.0], [-150.2, -140.0]),
        ([180.0, 179.0], [180.0, 179.0]),
        ([-170.0, 172.0, -130.0], [190.0, 172.0, 230.0]),  # Alaska with the Aleutians
        ([-179.0, -60.0, 90.0, 179.0], [-179.0, -60.0, 90.0, 179.0]),  # all around
        ([], []),
    ],
)
def test_longitudes_of_a_region_run_on_over_the_antimeridian(lon: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(seamless(np.array(lon)), expected)


@given(st.floats(-180, 180), st.floats(-720, 720))
def test_a_longitude_moved_beside_a_centre_is_the_same_place_within_half_a_turn(lon: float, centre: float) -> None:
    moved = float(beside(np.array([lon]), centre)[0])
    assert abs(moved - centre) <= 180 + 1e-9
    assert ((moved - lon) / 360) == pytest.approx(round((moved - lon) / 360), abs=1e-9)
    assert abs(lon - centre) >= 180 or moved == lon
