"""Physical constraints: penalties and measures against balances whose slopes are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call, stack_module_state, vmap

from glacierscale.models import constraints, degree_day

LAPSE = -6.5e-3
NAMES = {"cooler_is_not_worse", "wetter_is_not_worse", "gradient_with_elevation", "melt_is_not_negative"}
TEMP = torch.tensor([-5.0] * 8 + [4.0] * 4, dtype=torch.float64)  # four months of melt
PRECIP = torch.tensor([100.0] * 8 + [50.0] * 4, dtype=torch.float64)


def plain(ddf: float = 150.0, melt: float = 1.0, snow: float = 1.0) -> constraints.Balance:
    """Balance by hand: snow below 0 degC, melt of `ddf` kg m-2 K-1 a month above, two networks of equal answers."""

    def balance(temp: torch.Tensor, precip: torch.Tensor, elevation: torch.Tensor) -> torch.Tensor:
        one = snow * precip * (temp < 0) - melt * ddf * torch.relu(temp) + 0 * elevation[..., None]
        return one.expand(2, *one.shape)

    return balance


def found(balance: constraints.Balance, warmer: tuple[float, ...] = (0.0,)) -> constraints.Sensitivity:
    temp = TEMP + torch.tensor(warmer, dtype=torch.float64)[:, None]
    elevation = torch.full((len(warmer),), 2000.0, dtype=torch.float64)
    return constraints.sensitivity(
        balance, temp, PRECIP.expand_as(temp), elevation, climate_at=constraints.along_lapse(LAPSE)
    )


def numbers(values: dict[str, torch.Tensor]) -> dict[str, list[float]]:
    return {name: value.tolist() for name, value in values.items()}


def test_slopes_of_a_balance_are_those_computed_by_hand() -> None:
    s = found(plain())
    assert s.annual.shape == (2, 1)
    np.testing.assert_allclose(s.annual.detach(), 8 * 100 - 4 * 4 * 150)
    np.testing.assert_allclose(s.per_kelvin.detach(), -4 * 150)
    np.testing.assert_allclose(s.per_log_precip.detach(), 8 * 100)
    np.testing.assert_allclose(s.per_metre.detach(), 4 * 150 * 6.5e-3)


def test_a_temperature_index_balance_has_no_penalty_and_obeys_everywhere() -> None:
    s = found(plain(), warmer=(-6.0, 0.0, 3.0))
    assert numbers(constraints.penalties(s)) == {name: [0.0, 0.0] for name in NAMES}
    assert numbers(constraints.satisfied(s)) == {name: [1.0, 1.0] for name in NAMES}


def test_melt_of_the_wrong_sign_is_penalised_by_what_it_breaks() -> None:
    s = found(plain(melt=-1.0, snow=-4.0))  # annual balance -800, so that the cell still is in the ablation area
    assert numbers(constraints.penalties(s)) == {
        "cooler_is_not_worse": pytest.approx([600.0] * 2),
        "wetter_is_not_worse": pytest.approx([3200.0] * 2),
        "gradient_with_elevation": pytest.approx([600 * 6.5e-3] * 2),
        "melt_is_not_negative": pytest.approx([4 * (600.0 - 50.0)] * 2),  # beyond the rain of the month
    }
    assert numbers(constraints.satisfied(s)) == {name: [0.0, 0.0] for name in NAMES}


def test_only_flipped_melt_leaves_precipitation_alone() -> None:
    s = found(plain(melt=-1.0))
    penalty = numbers(constraints.penalties(s))
    assert penalty["cooler_is_not_worse"] == pytest.approx([600.0] * 2)
    assert penalty["wetter_is_not_worse"] == [0.0, 0.0]
    assert penalty["gradient_with_elevation"] == [0.0, 0.0]  # the cell gains mass: no ablation area
    assert np.isnan(constraints.satisfied(s)["gradient_with_elevation"]).all()


def test_a_gradient_steeper_than_the_limit_is_penalised_by_what_is_beyond() -> None:
    s = found(plain(ddf=1500.0))
    assert constraints.penalties(s)["gradient_with_elevation"].tolist() == pytest.approx([4 * 1500 * 6.5e-3 - 25] * 2)


def test_elevation_counts_beside_the_climate_it_moves() -> None:
    def balance(temp: torch.Tensor, precip: torch.Tensor, elevation: torch.Tensor) -> torch.Tensor:
        return (-100.0 * temp + 0 * precip + (3.0 / 12) * elevation[..., None])[None]

    temp, precip, elevation = torch.zeros(4, 12), torch.ones(4, 12), torch.zeros(4)
    alone = constraints.sensitivity(balance, temp, precip, elevation)
    moved = constraints.sensitivity(balance, temp, precip, elevation, climate_at=constraints.along_lapse(LAPSE))
    np.testing.assert_allclose(alone.per_metre.detach(), 3.0, rtol=1e-6)
    np.testing.assert_allclose(moved.per_metre.detach(), 3.0 + 12 * 100 * 6.5e-3, rtol=1e-6)


def test_what_a_month_can_accumulate_may_be_stated() -> None:
    less = torch.full((1, 12), 60.0, dtype=torch.float64)
    s = constraints.sensitivity(plain(), TEMP[None], PRECIP[None], torch.zeros(1), accumulation_kg_m2=less)
    assert constraints.penalties(s)["melt_is_not_negative"].tolist() == pytest.approx([8 * 40.0] * 2)


def test_cells_count_by_their_weight() -> None:
    s = found(plain(melt=-1.0), warmer=(0.0, -10.0, 20.0))  # slopes 600, 0 and 1800
    weight = torch.tensor([1.0, 3.0, 0.0], dtype=torch.float64)
    assert constraints.penalties(s, weight)["cooler_is_not_worse"].tolist() == pytest.approx([150.0] * 2)
    assert constraints.satisfied(s, weight)["cooler_is_not_worse"].tolist() == pytest.approx([0.75] * 2)
    assert constraints.satisfied(s, weight, tolerance=600.0)["cooler_is_not_worse"].tolist() == [1.0, 1.0]


def test_climate_may_be_shared_by_cells_and_networks() -> None:
    factor = torch.tensor([[1.0, 2.0], [3.0, -4.0]], dtype=torch.float64)  # (network, cell)

    def balance(temp: torch.Tensor, precip: torch.Tensor, elevation: torch.Tensor) -> torch.Tensor:
        melt = torch.relu(temp + LAPSE * elevation[:, None])  # (cell, month) of one series
        return precip - factor[..., None] * melt

    s = constraints.sensitivity(balance, TEMP, PRECIP, torch.zeros(2, dtype=torch.float64))
    np.testing.assert_allclose(s.per_kelvin.detach(), -4 * factor)
    np.testing.assert_allclose(s.per_metre.detach(), -4 * factor * LAPSE)
    assert constraints.penalties(s)["cooler_is_not_worse"].tolist() == pytest.approx([0.0, 8.0])


def networks(count: int) -> tuple[constraints.Balance, dict[str, torch.Tensor]]:
    """Small random networks side by side, each pointwise in cells: climate, elevation -> monthly balance."""
    torch.manual_seed(1)
    modules = [
        torch.nn.Sequential(torch.nn.Linear(25, 8), torch.nn.Tanh(), torch.nn.Linear(8, 12)).double()
        for _ in range(count)
    ]
    parameters, _ = stack_module_state(modules)

    def balance(temp: torch.Tensor, precip: torch.Tensor, elevation: torch.Tensor) -> torch.Tensor:
        given = torch.cat([temp / 10, precip / 100, elevation[..., None] / 1000], -1)
        out: torch.Tensor = vmap(lambda own: functional_call(modules[0], own, (given,)))(parameters)
        return 300 * out

    return balance, parameters


def climate(cells: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(2)
    temp = TEMP + torch.randn(cells, 12, generator=rng, dtype=torch.float64)
    precip = PRECIP * torch.rand(cells, 12, generator=rng, dtype=torch.float64)
    return temp, precip, 2000 + 300 * torch.randn(cells, generator=rng, dtype=torch.float64)


def test_slopes_of_networks_side_by_side_are_finite_differences() -> None:
    balance, _ = networks(3)
    temp, precip, elevation = climate(7)
    s = constraints.sensitivity(balance, temp, precip, elevation, climate_at=constraints.along_lapse(LAPSE))

    def slope(step: float, *, warm: float = 0.0, wet: float = 0.0, rise: float = 0.0) -> np.ndarray:
        both = [
            balance(temp + h * (warm + LAPSE * rise), precip * math.exp(h * wet), elevation + h * rise).sum(-1)
            for h in (step, -step)
        ]
        return ((both[0] - both[1]) / (2 * step)).detach().numpy()

    np.testing.assert_allclose(s.per_kelvin.detach(), slope(1e-4, warm=1.0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(s.per_log_precip.detach(), slope(1e-4, wet=1.0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(s.per_metre.detach(), slope(1e-2, rise=1.0), rtol=1e-5, atol=1e-7)


def test_penalties_have_gradients_and_those_of_one_network_are_its_own() -> None:
    balance, parameters = networks(3)
    penalty = constraints.penalties(constraints.sensitivity(balance, *climate(7)))
    assert set(penalty) == NAMES
    for name, value in penalty.items():
        assert value.shape == (3,)
        (gradient,) = torch.autograd.grad(value[1], parameters["0.weight"], retain_graph=True)
        assert torch.isfinite(gradient).all(), name
        assert gradient[1].abs().max() > 0, name
        assert (gradient[[0, 2]] == 0).all(), name


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_gradient_of_a_penalty_is_its_finite_difference(name: str) -> None:
    balance, parameters = networks(2)
    inputs, own = climate(5), parameters["0.weight"]

    def value() -> torch.Tensor:
        return constraints.penalties(constraints.sensitivity(balance, *inputs))[name].sum()

    (gradient,) = torch.autograd.grad(value(), own)
    direction = torch.randn(own.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    with torch.no_grad():
        own += 1e-6 * direction
        above = value()
        own -= 2e-6 * direction
        below = value()
    assert float((above - below) / 2e-6) == pytest.approx(float((gradient * direction).sum()), rel=1e-4)


def test_descending_a_penalty_repairs_a_balance() -> None:
    balance, parameters = networks(2)
    inputs = climate(20)
    optimizer = torch.optim.Adam(parameters.values(), lr=0.02)
    before = constraints.satisfied(constraints.sensitivity(balance, *inputs))
    for _ in range(80):
        optimizer.zero_grad()
        penalty = constraints.penalties(constraints.sensitivity(balance, *inputs))
        torch.stack([value.sum() for value in penalty.values()]).sum().backward()
        optimizer.step()
    after = constraints.satisfied(constraints.sensitivity(balance, *inputs))
    for name in ("cooler_is_not_worse", "wetter_is_not_worse"):
        assert before[name].min() < 0.9
        assert after[name].min() > 0.95


def test_measuring_keeps_no_graph() -> None:
    balance, _ = networks(1)
    with torch.no_grad():
        s = constraints.sensitivity(balance, *climate(3))
    assert not s.per_kelvin.requires_grad
    assert abs(float(s.per_kelvin[0, 0])) > 0


@settings(max_examples=20, deadline=None)
@given(st.floats(2, 8), st.floats(1, 2), st.floats(-15, 8), st.floats(0.5, 3), st.integers(0, 99))
def test_the_degree_day_model_obeys_in_any_climate(
    ddf: float, ratio: float, shift: float, wet: float, seed: int
) -> None:
    rng = torch.Generator().manual_seed(seed)
    temp = (TEMP + shift + 2 * torch.randn(30, 12, generator=rng, dtype=torch.float64)).float()
    precip = (wet * PRECIP * torch.rand(30, 12, generator=rng, dtype=torch.float64)).float()

    def balance(temp: torch.Tensor, precip: torch.Tensor, elevation: torch.Tensor) -> torch.Tensor:
        snowfall, warmth = precip * degree_day.solid_fraction(temp), degree_day.degree_days(temp, 3.0)
        factors = torch.full_like(elevation, ddf), torch.full_like(elevation, ddf * ratio)
        return degree_day.monthly_balance(snowfall, warmth, *factors)[0][None]

    s = constraints.sensitivity(balance, temp, precip, torch.zeros(30), climate_at=constraints.along_lapse(LAPSE))
    shares = constraints.satisfied(s)
    for name in NAMES - {"gradient_with_elevation"}:
        assert shares[name].tolist() == [1.0], name
    assert (s.per_metre >= -constraints.TOLERANCE).all()


def test_a_balance_that_ignores_climate_breaks_nothing() -> None:
    s = found(lambda temp, precip, elevation: torch.full((2, *temp.shape), -10.0, dtype=torch.float64))
    assert numbers(constraints.penalties(s)) == {name: [0.0, 0.0] for name in NAMES}


def test_a_balance_that_is_not_monthly_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the balance has the shape \(2, 1\); expected \(network, ..., 12 months\)"):
        found(lambda temp, precip, elevation: plain()(temp, precip, elevation).sum(-1))


def test_means_of_pixels_and_bands_that_agree_close() -> None:
    rng = np.random.default_rng(0)
    pixel, area, band = rng.normal(0, 1000, (3, 50)), rng.uniform(0, 1e4, 50), rng.integers(0, 4, 50)
    shares = np.stack([area * (band == b) for b in range(4)])
    of_band = pixel @ (shares / shares.sum(axis=1, keepdims=True)).T
    glacier = pixel @ area / area.sum()
    assert constraints.closure(pixel, area, band, of_band, glacier) < 1e-12
    assert constraints.closure(pixel, area, band, np.c_[of_band, np.full(3, np.nan)], glacier) < 1e-12  # no ice in it


def test_what_does_not_close_is_told_relative_to_the_balances_concerned() -> None:
    pixel, area, band = [-1000.0, -3000.0, 4000.0], [1.0, 1.0, 1.0], [0, 0, 1]
    assert constraints.closure(pixel, area, band, [-2000.0, 4000.0], 0.0) == 0.0  # a glacier in balance
    assert constraints.closure(pixel, area, band, [-2000.0, 4040.0], 40 / 3) == pytest.approx(0.01)  # the second band
    assert constraints.closure(pixel, area, band, [-2000.0, 4000.0], 8.0) == pytest.approx(8 / (8000 / 3))
    assert constraints.closure(np.zeros(3), area, band, [0.0, 0.0], 0.0) == 0.0
