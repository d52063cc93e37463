"""Radiation: against the integral of astronomy, and where slopes and walls leave the sun."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from glacierscale.features import radiation
from glacierscale.region import months

NORTH = months("north")
FLAT = np.zeros((1, 1))
DEC, MAR, JUN = 2, 5, 8


def of_slope(
    lat: float, east: float = 0, north: float = 0, psi: float = 0.75, z: float = 0, skyline: float = 0
) -> np.ndarray:
    """Monthly radiation of one cell: (month,)."""
    horizon = np.full((4, 1, 1), skyline)
    sun = radiation.sun(lat, NORTH)
    gradient = FLAT + east, FLAT + north
    return np.asarray(radiation.clear_sky(FLAT + z, *gradient, horizon, sun, transmissivity=psi)[:, 0, 0])


def daily_integral(lat: float, month: int) -> float:
    """Mean over the month's days of radiation on flat ground without atmosphere, W m-2.

    The sun's longitude and distance are those of the low-precision formulas of the Astronomical Almanac.
    """
    first = pd.Timestamp(f"2023-{month:02d}-01")
    noon = np.arange(first.days_in_month) + (first - pd.Timestamp("2000-01-01")).days
    anomaly = np.radians(357.528 + 0.9856003 * noon)
    longitude = np.radians(280.460 + 0.9856474 * noon + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    distance = 1.00014 - 0.01671 * np.cos(anomaly)
    declination = np.arcsin(np.sin(np.radians(23.44)) * np.sin(longitude))
    phi = np.radians(lat)
    half = np.arccos(np.clip(-np.tan(phi) * np.tan(declination), -1, 1))
    height = half * np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.sin(half)
    return float(np.mean(1361 / distance**2 * height / np.pi))


@pytest.mark.parametrize("lat", [0.0, 30.0, 46.8, 62.0, -46.8])
def test_flat_ground_without_atmosphere_gets_the_integral_of_the_day(lat: float) -> None:
    expected = [daily_integral(lat, (9 + number) % 12 + 1) for number in range(12)]
    np.testing.assert_allclose(of_slope(lat, psi=1.0), expected, rtol=0.008, atol=0.3)


def test_the_equator_at_equinox_gets_the_solar_constant_over_pi() -> None:
    assert of_slope(0.0, psi=1.0)[MAR] == pytest.approx(1361 / np.pi, rel=0.02)
    fine = radiation.sun(0.0, NORTH, step_hours=0.1)
    in_march = fine.month == MAR
    beam = (fine.weight * fine.direction[:, 2])[in_march].sum()
    assert of_slope(0.0, psi=1.0)[MAR] == pytest.approx(beam, rel=4e-3)


def test_the_sun_stands_where_the_solar_position_algorithm_says() -> None:
    import pvlib

    times = pd.date_range("2023-06-15", periods=24 * 12, freq="5min", tz="UTC")
    spa = pvlib.solarposition.get_solarposition(times, 46.8, 0.0)
    spa = spa[spa.elevation > 2].sort_values("azimuth")
    sun = radiation.sun(46.8, NORTH)
    mid_june = (sun.month == JUN) & (np.cumsum(sun.month == JUN) > 16) & (np.cumsum(sun.month == JUN) <= 32)
    east, north, up = sun.direction[mid_june].T
    azimuth, elevation = np.degrees(np.arctan2(east, north)) % 360, np.degrees(np.arcsin(up))
    seen = (azimuth > spa.azimuth.min()) & (azimuth < spa.azimuth.max())
    assert seen.sum() >= 14
    np.testing.assert_allclose(elevation[seen], np.interp(azimuth[seen], spa.azimuth, spa.elevation), atol=0.3)
    np.testing.assert_allclose(np.hypot(np.hypot(east, north), up), 1)


def test_south_slopes_get_more_in_the_north_and_north_slopes_in_the_south() -> None:
    for lat, sign in ((46.8, 1), (-46.8, -1)):
        to_south, to_north = of_slope(lat, north=0.5), of_slope(lat, north=-0.5)
        assert (sign * (to_south - to_north)[[DEC, MAR]] > 50).all()
    to_east, to_west = of_slope(46.8, east=-0.5), of_slope(46.8, east=0.5)
    np.testing.assert_allclose(to_east, to_west, rtol=1e-4)


def test_months_follow_the_hydrological_year_of_the_hemisphere() -> None:
    south = radiation.sun(-46.8, months("south"))
    flat = radiation.clear_sky(FLAT, FLAT, FLAT, np.zeros((4, 1, 1)), south)[:, 0, 0]
    assert months("south")[int(flat.argmax())] == "dec"
    assert months("south")[int(flat.argmin())] == "jun"
    assert NORTH[int(of_slope(46.8).argmax())] == "jun"
    np.testing.assert_allclose(flat, np.roll(of_slope(-46.8), 6), rtol=1e-6)


def test_polar_night_is_dark_and_the_midnight_sun_shines_all_day() -> None:
    assert of_slope(80.0)[[1, 2, 3]].tolist() == [0, 0, 0]
    june = radiation.sun(80.0, NORTH).month == JUN
    assert june.sum() == 3 * 24
    assert of_slope(80.0, psi=1.0)[JUN] == pytest.approx(daily_integral(80.0, 6), rel=0.01)


def test_air_takes_its_part_and_less_of_it_the_higher_a_cell_lies() -> None:
    bare, low, high = of_slope(46.8, psi=1.0), of_slope(46.8), of_slope(46.8, z=4000)
    assert (low < high).all()
    assert (high < bare).all()
    noon = 0.75 ** (1 / np.cos(np.radians(46.8 - 23)))
    assert 0.6 * noon < low[JUN] / bare[JUN] < noon


def test_one_formula_for_one_sun() -> None:
    up = np.cos(np.radians(40))
    sun = radiation.Sun(
        month=np.array([0]), direction=np.array([[0, -np.sin(np.radians(40)), up]]), weight=np.array([1000.0])
    )
    found = radiation.clear_sky(FLAT + 2500, FLAT, FLAT + 0.3, np.zeros((8, 1, 1)), sun)[:, 0, 0]
    incidence = (0.3 * np.sin(np.radians(40)) + up) / np.hypot(1, 0.3)
    pressure = (1 - 2.25577e-5 * 2500) ** 5.25588  # standard atmosphere
    assert found[0] == pytest.approx(1000 * 0.75 ** (pressure / up) * incidence, rel=1e-4)
    assert not found[1:].any()
    hidden = radiation.clear_sky(FLAT, FLAT, FLAT, np.full((8, 1, 1), np.tan(np.radians(50.1))), sun)
    open_ = radiation.clear_sky(FLAT, FLAT, FLAT, np.full((8, 1, 1), np.tan(np.radians(49.9))), sun)
    assert hidden[0] == 0 < open_[0]


def test_unknown_ground_has_no_radiation_and_leaves_its_neighbours_alone() -> None:
    elevation = np.array([[3000.0, np.nan, 3000.0]])
    zero = np.zeros((1, 3))
    found = radiation.clear_sky(elevation, zero, zero, np.zeros((8, 1, 3)), radiation.sun(46.8, NORTH))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(elevation)[None].repeat(12, axis=0))
    np.testing.assert_allclose(found[:, 0, 0], of_slope(46.8, z=3000), rtol=1e-6)


@pytest.mark.parametrize("azimuths", [8, 16])
def test_the_horizon_is_the_angle_to_a_wall_in_its_direction(azimuths: int) -> None:
    pad, cells = 40, 5
    terrain = np.zeros((cells + 2 * pad, cells + 2 * pad))
    terrain[: pad - 10] = 700.0  # its foot 11 rows north of the first wanted one
    found = radiation.horizon(terrain, cells, resolution_m=100.0, azimuths=azimuths, distance_m=4000.0)
    rows = np.arange(cells) + 11
    np.testing.assert_allclose(found[0], np.broadcast_to(700 / (100 * rows[:, None]), (cells, cells)), rtol=1e-5)
    diagonal = azimuths // 8
    np.testing.assert_allclose(found[diagonal, :, 2], 700 / (100 * rows * np.sqrt(2)), rtol=1e-5)
    np.testing.assert_allclose(found[-diagonal], found[diagonal], rtol=1e-5)
    if azimuths == 16:
        np.testing.assert_allclose(found[1, :, 2], 700 / (100 * rows / np.cos(np.pi / 8)), rtol=1e-5)
    south = slice(azimuths // 4, 3 * azimuths // 4 + 1)
    assert not found[south].any()
    assert not radiation.horizon(terrain, cells, resolution_m=100.0, azimuths=8, distance_m=1000.0).any()


def test_a_spire_is_seen_in_its_own_direction_only() -> None:
    for number, (down, right) in enumerate([(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]):
        terrain = np.zeros((61, 61))
        terrain[30 + 20 * down, 30 + 20 * right] = 500.0
        found = radiation.horizon(terrain, 1, resolution_m=50.0, azimuths=8, distance_m=1500.0)[:, 0, 0]
        expected = np.zeros(8)
        expected[number] = 500 / (20 * 50 * np.hypot(down, right))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_unknown_terrain_shades_nothing() -> None:
    terrain = np.full((41, 41), np.nan)
    terrain[20:] = 100.0
    assert not radiation.horizon(terrain, 1, resolution_m=50.0, azimuths=16, distance_m=1000.0).any()


def test_a_high_horizon_leaves_only_the_high_sun() -> None:
    open_, valley = of_slope(46.8), of_slope(46.8, skyline=np.tan(np.radians(30)))
    assert valley[DEC] == 0 < open_[DEC]
    assert 0.5 * open_[JUN] < valley[JUN] < open_[JUN]
