"""Observations outside a region's years or far from its outlines are left out, counted by reason."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from glacierscale.region import HydroYears
from glacierscale.sources import observations as obs

YEARS = HydroYears(2000, 2009)


def outlined(lon: float = 10.0, lat: float = 60.0) -> gpd.GeoDataFrame:
    """Two parts of one glacier and a part of another, each 0.02 degrees wide."""
    boxes = [shapely.box(lon + d, lat, lon + d + 0.02, lat + 0.01) for d in (0.0, 0.1, 0.5)]
    return gpd.GeoDataFrame({"unit_id": ["a", "a", "b"]}, geometry=boxes, crs=4326)


def observed(**columns: Any) -> pd.DataFrame:
    row = {"obs_unit_id": "a", "obs_kind": "point", "obs_year": 2005, "obs_value": -500.0, "units": "mm w.e."}
    row |= {"obs_lon": 10.01, "obs_lat": 60.005} | columns
    return obs.glacierscale(pd.DataFrame([row]))


def reasons(table: pd.DataFrame, outlines: gpd.GeoDataFrame | None = None) -> list[str]:
    kept, why = obs.inside(table, YEARS, outlined() if outlines is None else outlines)
    assert (len(kept) == len(table)) == (why == [])
    return why


def test_a_stake_inside_the_years_and_its_glacier_is_kept() -> None:
    table = observed()
    kept, why = obs.inside(table, YEARS, outlined())
    pd.testing.assert_frame_equal(kept, table)
    assert why == []


@pytest.mark.parametrize(
    ("start", "end", "kept"),
    [
        ("1999-10-01", "2009-09-30", True),
        ("1999-10-01", "2009-10-01", True),
        ("1999-09-30", "2000-09-30", False),
        ("2008-10-01", "2009-10-02", False),
    ],
)
@pytest.mark.parametrize("kind", ["point", "geodetic"])
def test_dated_periods_have_to_lie_inside_the_months(start: str, end: str, kept: bool, kind: str) -> None:
    table = observed(obs_kind=kind, obs_start=start, obs_end=end, obs_year=2009 if "09-" in end[2:] else 2000)
    assert reasons(table) == ([] if kept else [f"1 {kind} observations outside 1999-10..2009-09"])


def test_a_geodetic_period_longer_than_the_series_is_left_out() -> None:
    table = observed(obs_kind="geodetic", obs_start="1980-08-01", obs_end="2005-08-01")
    assert reasons(table) == ["1 geodetic observations outside 1999-10..2009-09"]


def test_glacier_wide_balances_are_chosen_by_their_year_alone() -> None:
    assert reasons(observed(obs_kind="annual", obs_year=2000, obs_start="1999-09-10", obs_end="2000-09-20")) == []
    assert reasons(observed(obs_kind="annual", obs_year=1999)) == ["1 annual observations outside 1999-10..2009-09"]


@pytest.mark.parametrize(("east_m", "kept"), [(400, True), (600, False)])
@pytest.mark.parametrize(("lon", "lat"), [(10.0, 60.0), (179.985, -60.0), (-20.0, 80.0)])
def test_a_stake_far_from_its_glacier_is_left_out(lon: float, lat: float, east_m: float, kept: bool) -> None:
    from pyproj import Geod

    edge = lon + 0.12
    there, up, _ = Geod(ellps="WGS84").fwd(edge, lat + 0.005, 90, east_m)
    shapes = outlined(lon, lat)
    if lon > 170:  # outlines are cut at the antimeridian
        shapes.geometry = [
            shapely.box(179.985, lat, 180, lat + 0.01),
            shapely.box(-179.915, lat, -179.895, lat + 0.01),
            shapely.box(-179.5, lat, -179.48, lat + 0.01),
        ]
    why = reasons(observed(obs_lon=there, obs_lat=up), shapes)
    assert why == ([] if kept else ["1 point observations more than 500 m from every outline of their glacier"])


def test_a_stake_on_another_glacier_is_far_from_its_own() -> None:
    assert len(reasons(observed(obs_lon=10.51))) == 1
    assert reasons(observed(obs_unit_id="b", obs_lon=10.51)) == []


def test_positions_that_nobody_states_are_not_judged() -> None:
    assert reasons(observed(obs_lon=None, obs_lat=None)) == []


def test_glaciers_of_other_regions_are_not_counted() -> None:
    kept, why = obs.inside(observed(obs_unit_id="c"), YEARS, outlined())
    assert (len(kept), why) == (0, [])


def test_reasons_count_by_kind() -> None:
    early = {"obs_start": "1998-10-01", "obs_end": "1999-09-30", "obs_year": 1999}
    table = pd.concat([observed(**early), observed(**early, obs_lon=10.015), observed(obs_lat=61.0)], ignore_index=True)
    assert reasons(table) == [
        "2 point observations outside 1999-10..2009-09",
        "1 point observations more than 500 m from every outline of their glacier",
    ]
