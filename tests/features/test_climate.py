"""Degree days, snow, lapse rates and the balance terms of elevation bands."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from glacierscale.features import climate
from glacierscale.units import LAPSE_RATE_K_M, LAPSE_RATE_LIMITS_K_M


@settings(max_examples=30, deadline=None)
@given(st.floats(-20, 20), st.floats(1, 8))
def test_degree_days_are_the_expected_positive_part_of_daily_temperature(temp: float, sigma: float) -> None:
    mean = integrate.quad(lambda t: t * stats.norm.pdf(t, temp, sigma), 0, max(temp, 0) + 12 * sigma)[0]
    assert climate.degree_days(temp, sigma, days=30.0) == pytest.approx(30 * mean, rel=1e-6, abs=1e-6)


@given(st.floats(-60, 60), st.floats(0.01, 5))
def test_degree_days_grow_with_temperature_and_are_never_negative(temp: float, more: float) -> None:
    low, high = climate.degree_days(np.array([temp, temp + more]), 5.0)
    assert low >= -1e-12
    assert high >= low


@pytest.mark.parametrize(("temp", "expected"), [(30.0, 30.0), (-30.0, 0.0)])
def test_far_from_freezing_degree_days_are_plain(temp: float, expected: float) -> None:
    assert climate.degree_days(temp, 3.0, days=1.0) == pytest.approx(expected, abs=1e-6)


def test_kernels_keep_single_precision() -> None:
    temp = np.linspace(-10, 10, 5, dtype=np.float32)
    assert climate.degree_days(temp, 5.0).dtype == np.float32
    assert climate.solid_fraction(temp).dtype == np.float32
    np.testing.assert_allclose(climate.degree_days(temp, 5.0), climate.degree_days(temp.astype(float), 5.0), rtol=1e-4)


def test_snow_turns_to_rain_between_zero_and_two_degrees() -> None:
    temp = np.array([-50.0, 0.0, 0.5, 1.0, 2.0, 50.0])
    assert climate.solid_fraction(temp).tolist() == [1, 1, 0.75, 0.5, 0, 0]


def field(rate: float | np.ndarray, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    height = rng.uniform(500, 3000, (5, 6))
    temp = np.linspace(-5, 10, 12)[:, None, None] + np.asarray(rate).reshape(-1, 1, 1) * height
    return temp + rng.normal(0, noise, temp.shape), height


def test_a_known_lapse_rate_is_recovered_month_by_month() -> None:
    rate = np.linspace(-8e-3, -4e-3, 12)
    temp, height = field(rate)
    np.testing.assert_allclose(
        climate.lapse_rates(temp, height), np.broadcast_to(rate[:, None, None], temp.shape), rtol=1e-6
    )


@pytest.mark.parametrize(("rate", "limit"), [(-15e-3, 0), (2e-3, 1)])
def test_an_implausible_lapse_rate_is_clipped(rate: float, limit: int) -> None:
    temp, height = field(rate)
    np.testing.assert_allclose(climate.lapse_rates(temp, height), LAPSE_RATE_LIMITS_K_M[limit])


def test_flat_terrain_and_lone_cells_take_the_standard_rate() -> None:
    temp, height = field(-8e-3)
    np.testing.assert_array_equal(climate.lapse_rates(temp, 1000 + height / 100), LAPSE_RATE_K_M)
    height[:, 2:] = np.nan
    height[1:, :] = np.nan
    np.testing.assert_array_equal(climate.lapse_rates(temp, height), LAPSE_RATE_K_M)


def test_cells_without_data_do_not_disturb_their_neighbours() -> None:
    temp, height = field(-7e-3)
    height[2, 2], temp[:, 3, 3] = np.nan, np.nan
    np.testing.assert_allclose(climate.lapse_rates(temp, height), -7e-3, rtol=1e-6)


def test_a_lapse_rate_is_the_regression_over_a_cell_and_its_neighbours() -> None:
    temp, height = field(-7e-3, noise=1.0)
    found = climate.lapse_rates(temp, height)
    slope = np.polyfit(height[1:4, 2:5].ravel(), temp[4, 1:4, 2:5].ravel(), 1)[0]
    assert found[4, 2, 3] == pytest.approx(np.clip(slope, *LAPSE_RATE_LIMITS_K_M))


def test_temperature_falls_with_height_by_the_rate_of_each_month() -> None:
    temp = np.zeros((2, 3, 12))
    lapse = np.stack([np.full(12, -5e-3), np.linspace(-9e-3, -3e-3, 12)])
    found = climate.at_height(temp, lapse, np.array([100.0, -200.0]))
    np.testing.assert_allclose(found[0], -0.5)
    np.testing.assert_allclose(found[1], np.broadcast_to(-200 * lapse[1], (3, 12)))
    per_year = climate.at_height(temp, lapse, np.array([[0.0, 100.0, 200.0]] * 2))
    np.testing.assert_allclose(per_year[0], np.array([0.0, -0.5, -1.0])[:, None] * np.ones(12))


def test_winter_is_october_to_april_and_summer_the_rest() -> None:
    precip = np.arange(1.0, 13.0).reshape(1, 1, 12)
    found = climate.annual_predictors(np.full((1, 1, 12), -20.0), precip, 5.0)
    assert found["winter_snow"].item() == 1 + 2 + 3 + 4 + 5 + 6 + 7
    assert found["summer_snow"].item() == 8 + 9 + 10 + 11 + 12
    assert found["cpdd"].item() == pytest.approx(0, abs=0.1)
    np.testing.assert_array_equal(found["snow"], precip)


def test_balance_terms_of_two_bands_by_hand() -> None:
    temp, precip = np.zeros((1, 1, 12)), np.full((1, 1, 12), 10.0)
    lapse, rise = np.full((1, 12), -0.01), np.array([[-3000.0, -100.0]])  # +30 and +1 degC
    weight = np.array([[0.25, 0.75]])
    degree, snow = climate.band_balance_terms(temp, precip, lapse, rise, weight, 1e-3)
    assert degree.item() == pytest.approx(365.25 * (0.25 * 30 + 0.75 * 1), rel=1e-6)
    assert snow.item() == pytest.approx(12 * 10 * 0.75 * 0.5)


def test_precipitation_grows_with_height_and_is_never_negative() -> None:
    rise = np.array([-20_000.0, 0.0, 1000.0])
    found = climate.precipitation_factor(rise, precip_factor=1.5, gradient_per_km=0.1)
    np.testing.assert_allclose(found, [0.0, 1.5, 1.65])
