"""Differentiable degree-day melt against months computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glacierscale.features import climate
from glacierscale.models import degree_day


def months(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def balance_of(
    snowfall: torch.Tensor, warmth: torch.Tensor, snow: float, ice: float
) -> tuple[torch.Tensor, torch.Tensor]:
    return degree_day.monthly_balance(snowfall, warmth, months(snow)[0], months(ice)[0])


@pytest.mark.parametrize("sigma_k", [0.5, 3.0, 5.0])
def test_degree_days_equal_those_of_the_features(sigma_k: float) -> None:
    temp = np.linspace(-60, 40, 401)
    expected = climate.degree_days(temp, sigma_k)
    found = degree_day.degree_days(torch.from_numpy(temp), sigma_k)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-9)
    single = degree_day.degree_days(torch.from_numpy(temp.astype(np.float32)), sigma_k)
    np.testing.assert_allclose(single.numpy(), expected, rtol=1e-5, atol=1e-3)


def test_the_spread_of_daily_temperature_may_differ_between_networks() -> None:
    temp, sigma = torch.zeros(2, 3), torch.tensor([[2.0], [4.0]])
    found = degree_day.degree_days(temp, sigma)
    np.testing.assert_allclose(found[1], 2 * found[0], rtol=1e-6)
    # At 0 degC the mean positive part is sigma over the root of 2 pi.
    np.testing.assert_allclose(found[0], 2 / np.sqrt(2 * np.pi) * climate.DAYS_PER_MONTH, rtol=1e-6)


def test_no_month_is_too_cold_for_degree_days_above_or_at_zero() -> None:
    temp = torch.linspace(-60, 10, 20_001)
    for sigma_k in (2.0, 4.0, 5.0):
        assert (degree_day.degree_days(temp, sigma_k) >= 0).all()


def test_the_solid_fraction_equals_that_of_the_features() -> None:
    temp = np.array([-30.0, -0.1, 0.0, 0.5, 1.0, 1.9, 2.0, 2.1, 20.0])
    found = degree_day.solid_fraction(torch.from_numpy(temp))
    np.testing.assert_allclose(found.numpy(), climate.solid_fraction(temp), rtol=1e-12)


def test_snow_melts_first_then_ice_with_its_own_factor() -> None:
    # Snow 4, ice 8 kg m-2 K-1 day-1. Month by month: 40 of 100 snow melt; 80 would melt, 60 are snow and the other
    # 20 melt twice as much ice; 30 of summer snow go first, then 10 as 20 of ice; no melt; 20 of the last 30.
    balance, snow = balance_of(months(100, 0, 30, 30, 0), months(10, 20, 10, 0, 5), 4, 8)
    np.testing.assert_allclose(balance, [60, -60 - 40, 30 - 30 - 20, 30, -20])
    np.testing.assert_allclose(snow, [60, 0, 0, 30, 10])


def test_the_melt_of_one_month_is_split_between_snow_and_ice() -> None:
    # 25 K day at 4 melt 100; 40 of them are the month's own snow, the other 60 melt 60 * 6 / 4 of ice.
    balance, snow = balance_of(months(40), months(25), 4, 6)
    np.testing.assert_allclose(balance, [40 - 40 - 90])
    np.testing.assert_allclose(snow, [0])


def test_snow_cover_is_carried_through_the_year_and_shields_the_ice() -> None:
    snowfall, warmth = months(*[150] * 7, *[0] * 5), months(*[0] * 7, 40, 60, 80, 60, 20)
    balance, snow = balance_of(snowfall, warmth, 5, 10)
    np.testing.assert_allclose(snow, [*range(150, 1051, 150), 850, 550, 150, 0, 0])
    np.testing.assert_allclose(balance[7:], [-200, -300, -400, -150 - 300, -200])


def test_summer_snowfall_delays_the_melt_of_ice() -> None:
    bare, _ = balance_of(months(0, 0), months(20, 20), 4, 8)
    fresh, _ = balance_of(months(50, 0), months(20, 20), 4, 8)
    # 50 of snow are gained and lost, but spare 50 / 4 K day the ice.
    assert float(fresh.sum() - bare.sum()) == pytest.approx(50 / 4 * 8)


def test_every_year_begins_without_snow_of_the_last() -> None:
    snowfall, warmth = months(*[100] * 12), months(*[1] * 12)
    one, _ = balance_of(snowfall, warmth, 4, 8)
    both, _ = degree_day.monthly_balance(
        torch.stack([snowfall, snowfall * 0]), torch.stack([warmth, warmth]), months(4, 4), months(8, 8)
    )
    np.testing.assert_allclose(both[0], one)
    np.testing.assert_allclose(both[1], -8.0)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_mass_closes_and_snow_is_never_negative(seed: int) -> None:
    rng = np.random.default_rng(seed)
    snowfall = torch.from_numpy(rng.uniform(0, 200, (2, 3, 12)) * (rng.uniform(size=(2, 3, 12)) < 0.7))
    warmth = torch.from_numpy(rng.uniform(0, 200, (2, 3, 12)) * (rng.uniform(size=(2, 3, 12)) < 0.7))
    factor, ratio = torch.from_numpy(rng.uniform(2, 8, (2, 3))), torch.from_numpy(rng.uniform(1, 3, (2, 3)))
    balance, snow = degree_day.monthly_balance(snowfall, warmth, factor, factor * ratio)
    assert (snow >= 0).all()
    assert (balance <= snowfall).all()
    # With ice left out the balance is the change of snow, so that the two differ by what melts of ice: nothing where
    # snow is left.
    ice = torch.diff(snow, dim=-1, prepend=torch.zeros(2, 3, 1)) - balance
    assert (ice >= -1e-9).all()
    assert (ice[snow > 0].abs() < 1e-9).all()
    equal, _ = degree_day.monthly_balance(snowfall, warmth, factor, factor)
    np.testing.assert_allclose(equal, snowfall - factor[..., None] * warmth, atol=1e-9)


def test_gradients_are_finite_in_the_coldest_and_the_warmest_climate() -> None:
    temp = torch.tensor([-90.0, -40.0, -10.0, -1.0, 0.0, 1.0, 2.0, 5.0, 15.0, 30.0, 60.0, -90.0], requires_grad=True)
    precip = torch.tensor([0.0, 50.0] * 6, requires_grad=True)
    sigma, snow, ice = (torch.tensor(v, requires_grad=True) for v in (4.0, 4.5, 6.3))
    snowfall = degree_day.solid_fraction(temp) * precip
    balance, cover = degree_day.monthly_balance(snowfall, degree_day.degree_days(temp, sigma), snow, ice)
    (balance.sum() + cover.sum()).backward()
    for value in (temp, precip, sigma, snow, ice):
        assert value.grad is not None
        assert torch.isfinite(value.grad).all()
    assert ice.grad is not None
    assert float(ice.grad) < 0


def test_gradients_are_those_of_finite_differences() -> None:
    rng = np.random.default_rng(3)
    temp = torch.from_numpy(rng.uniform(-8, 9, (2, 12))).requires_grad_()
    precip = torch.from_numpy(rng.uniform(20, 150, (2, 12))).requires_grad_()
    factors = torch.tensor([4.0, 7.0], dtype=torch.float64, requires_grad=True)

    def model(temp: torch.Tensor, precip: torch.Tensor, factors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        snowfall = degree_day.solid_fraction(temp) * precip
        warmth = degree_day.degree_days(temp, 4.0)
        return degree_day.monthly_balance(snowfall, warmth, factors[0].expand(2), factors[1].expand(2))

    assert torch.autograd.gradcheck(model, (temp, precip, factors))
