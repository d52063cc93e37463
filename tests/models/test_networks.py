"""Raster networks: pure physics at slack 0, fields of a convolution, climate spread over cells, many side by side."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special
from torch.nn.functional import conv2d, leaky_relu, pad

from glacierscale.features.climate import DAYS_PER_MONTH, band_balance_terms
from glacierscale.models import networks
from glacierscale.models.form import EFFECTS, FIELDS, GLOBAL, LOOSENED, MONTHLY_INPUTS, Form, Tensors
from glacierscale.models.networks import Cells, Weather, balances
from glacierscale.models.physics import BIASES_K, TemperatureIndex

OUTLINES, YEARS, CHANNELS = 3, 4, ("height", "slope", "thickness")


def form_of(**given: Any) -> Form:
    base = {
        "kind": "hybrid",
        "slack": 0.5,
        "sigma_k": 4.0,
        "units": ("a", "b"),
        "kinds": ("annual", "point"),
        "targets": ("annual", "point"),
        "channels": CHANNELS,
        "reference_elevation": 2900.0,
    }
    return Form(**(base | given))


def cells_of(seed: int = 0, count: int = 25, kernel: int = 3) -> Cells:
    rng = np.random.default_rng(seed)
    outline = np.sort(np.append(np.arange(OUTLINES), rng.integers(0, OUTLINES, count - OUTLINES)))
    mean = np.array([2850.0, 3000.0, 2700.0])[outline]
    return Cells(
        context=tensor(rng.normal(0, 1, (count, len(CHANNELS) * kernel**2))),
        elevation=tensor(mean + rng.uniform(-400, 400, count)),
        mean_elevation=tensor(mean),
        radiation=tensor(rng.uniform(-0.7, 0.5, (count, 12))),
        outline=torch.from_numpy(outline),
        unit=torch.from_numpy(np.array([0, 1, 2])[outline]),
    )


def weather_of(seed: int = 0) -> Weather:
    rng = np.random.default_rng(seed)
    season = -1.5 + 9 * np.cos(2 * np.pi * (np.arange(12) - 9.5) / 12)
    return Weather(
        temp=tensor(season + rng.normal(0, 1, (OUTLINES, YEARS, 12))),
        precip=tensor(rng.gamma(6, 18, (OUTLINES, YEARS, 12))),
        lapse=tensor(rng.uniform(-8e-3, -4e-3, (OUTLINES, 12))),
        height=tensor([2000.0, 2300.0, 2600.0]),
    )


def tensor(values: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))


def drawn_freely(form: Form, count: int = 3, seed: int = 0) -> Tensors:
    """Parameters of order 1 everywhere, no layer near zero."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(count, *shape, generator=generator) for name, shape in form.shapes.items()}


def one_network(own: Tensors, number: int) -> Tensors:
    return {name: value[number : number + 1] for name, value in own.items()}


def temperature_index(
    cells: Cells, weather: Weather, snow: float, ice: float, factor: float, bias: float
) -> np.ndarray:
    """Monthly balance of a plain temperature-index model with the snow of the year carried: (cell, year, month)."""
    outline = cells.outline.numpy()
    temp, precip, lapse = (getattr(weather, name).double().numpy()[outline] for name in ("temp", "precip", "lapse"))
    rise = cells.elevation.double().numpy() - weather.height.double().numpy()[outline]
    temp = temp + lapse[:, None] * rise[:, None, None] + bias
    fallen = factor * precip * np.clip(1 - temp / 2, 0, 1)
    scaled = temp / 4.0
    warmth = (np.exp(-(scaled**2) / 2) / np.sqrt(2 * np.pi) + scaled * special.ndtr(scaled)) * 4.0 * DAYS_PER_MONTH
    out = np.zeros_like(temp)
    for cell, year in np.ndindex(*temp.shape[:2]):
        ground = 0.0
        for month in range(12):
            ground += fallen[cell, year, month]
            of_snow = min(ground, snow * warmth[cell, year, month])
            ground -= of_snow
            of_ice = ice * (warmth[cell, year, month] - of_snow / snow)
            out[cell, year, month] = fallen[cell, year, month] - of_snow - of_ice
    return out


def test_slack_0_equals_a_plain_temperature_index_model_with_snow_carried() -> None:
    form, cells, weather = form_of(slack=0.0), cells_of(), weather_of()
    own = drawn_freely(form)
    found = balances(own, form, cells, weather)
    for number in range(3):
        raw = {name: float(own[f"global.{name}"][number]) for name in GLOBAL}
        snow, ratio, factor = (
            GLOBAL[name][0] * np.exp(GLOBAL[name][1] * raw[name]) for name in ("ddf_snow", "ddf_ratio", "precip_factor")
        )
        expected = temperature_index(cells, weather, snow, snow * ratio, factor, raw["temp_bias"])
        annual = expected.sum(-1)
        error = found.monthly[number].sum(-1).double().numpy() - annual
        assert np.abs(error).max() < 1e-5 * np.abs(annual).max()
        assert np.sqrt((error**2).mean()) < 1e-5 * np.sqrt((annual**2).mean())
        np.testing.assert_allclose(found.monthly[number], expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert (expected.min(axis=-1) < -100).any()  # ice melts, and snow is left somewhere: both branches are walked
    assert (found.snow[..., -1] > 0).any()


def test_slack_0_with_equal_factors_equals_the_fitted_temperature_index_model() -> None:
    form, cells, weather = form_of(slack=0.0), cells_of(), weather_of()
    own = drawn_freely(form, 1)
    own["global.ddf_ratio"] = torch.full((1,), -np.log(1.4) / GLOBAL["ddf_ratio"][1])
    own["global.temp_bias"] = torch.full((1,), 0.75)
    snow, factor = (
        GLOBAL[name][0] * np.exp(GLOBAL[name][1] * float(own[f"global.{name}"][0]))
        for name in ("ddf_snow", "precip_factor")
    )
    null = TemperatureIndex(
        precip_factor=np.array([factor]),
        degree_day_factor=np.array([snow]),
        bias=np.array([np.flatnonzero(BIASES_K == 0.75)[0]]),
    )
    found = balances(own, form, cells, weather).monthly[0].sum(-1).double().numpy()  # (cell, year)
    area = np.random.default_rng(5).uniform(100, 1e4, len(found))
    for number in range(OUTLINES):
        mine = (cells.outline == number).numpy()
        rise = (cells.elevation.double() - weather.height.double()[number]).numpy()[mine]
        temp, precip = (getattr(weather, name)[number].double().numpy()[None] for name in ("temp", "precip"))
        lapse, share = weather.lapse[number].double().numpy()[None], area[mine] / area[mine].sum()

        def predicted(
            rises: np.ndarray,
            weight: np.ndarray,
            climate: tuple[np.ndarray, np.ndarray, np.ndarray] = (temp, precip, lapse),
        ) -> np.ndarray:
            temp, precip, lapse = climate
            terms = [band_balance_terms(temp + b, precip, lapse, rises[None], weight[None], 4.0) for b in BIASES_K]
            warmth, fallen = (np.stack([term[i][0] for term in terms], -1) for i in (0, 1))  # (year, bias)
            return null.predict(0, fallen, warmth)

        scale = np.abs(found[mine]).max()
        np.testing.assert_allclose(share @ found[mine], predicted(rise, share), rtol=1e-5, atol=1e-5 * scale)
        for one, of_cell in zip(rise, found[mine], strict=True):  # each cell a glacier of one band
            alone = predicted(np.array([one]), np.ones(1))
            np.testing.assert_allclose(of_cell, alone, rtol=1e-5, atol=1e-5 * scale)


def test_effects_fields_and_residual_change_nothing_at_slack_0_and_something_beyond() -> None:
    cells, weather = cells_of(), weather_of()
    for slack in (0.0, 0.1, 1.0):
        form = form_of(slack=slack)
        own = drawn_freely(form)
        plain = {n: v if n in {f"global.{g}" for g in GLOBAL} else torch.zeros_like(v) for n, v in own.items()}
        full = balances(own, form, cells, weather).monthly
        for freed in ("conv", "month", "effect", *(f"global.{name}" for name in LOOSENED)):
            # All but one part switched off; patterns need weights, and weights patterns.
            parts = ("conv", "month") if freed in ("conv", "month") else (freed,)
            some = {name: own[name] if name.startswith(parts) else plain[name] for name in own}
            changed = not torch.equal(
                balances(some, form, cells, weather).monthly, balances(plain, form, cells, weather).monthly
            )
            assert changed == (slack > 0), freed
        assert torch.equal(full, balances(plain, form, cells, weather).monthly) == (slack == 0)


def test_the_balance_is_snowfall_less_melt_plus_residual() -> None:
    form, cells, weather = form_of(slack=0.7), cells_of(), weather_of()
    own = drawn_freely(form)
    found = balances(own, form, cells, weather)
    temp, precip = networks.spread(cells, weather)
    snowfall, warmth, ddf_snow, ddf_ice = networks.forcing(own, form, cells, found.fields, temp, precip)
    assert found.melt is not None
    np.testing.assert_allclose(found.monthly, snowfall - found.melt + found.residual, atol=2e-3)
    assert (found.melt >= -1e-3).all()
    most = (torch.maximum(ddf_ice, ddf_snow)[..., None, None] * warmth).clamp_min(0)
    assert (found.melt <= most * (1 + 1e-4) + 1e-2).all()
    assert found.residual.abs().max() > 1


def test_every_network_predicts_as_if_it_were_alone() -> None:
    cells, weather = cells_of(), weather_of()
    for form in (form_of(), form_of(slack=1.0), form_of(kind="cnn", slack=1.0)):
        own = drawn_freely(form, 4)
        together = balances(own, form, cells, weather)
        for number in range(4):
            alone = balances(one_network(own, number), form, cells, weather)
            scale = float(alone.monthly.abs().max())
            np.testing.assert_allclose(together.monthly[number], alone.monthly[0], rtol=1e-5, atol=1e-5 * scale)
            np.testing.assert_allclose(together.residual[number], alone.residual[0], rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("kind", ["hybrid", "cnn"])
def test_the_gradient_of_one_network_touches_no_other(kind: str) -> None:
    form = form_of(kind=kind)
    own = {name: value.requires_grad_() for name, value in drawn_freely(form).items()}
    balances(own, form, cells_of(), weather_of()).monthly[1].square().mean().backward()
    for name, value in own.items():
        if name == "noise":
            assert value.grad is None
            continue
        assert value.grad is not None, name
        assert (value.grad[[0, 2]] == 0).all(), name
        assert torch.isfinite(value.grad[1]).all(), name
        if name != "effect.melt":  # a unit without cells has none
            assert (value.grad[1] != 0).any(), name


def test_cells_outlines_and_years_are_told_apart() -> None:
    form, cells, weather = form_of(), cells_of(), weather_of()
    own = drawn_freely(form)
    whole = balances(own, form, cells, weather).monthly
    some = cells.take(torch.tensor([3, 7, 20]))
    np.testing.assert_allclose(balances(own, form, some, weather).monthly, whole[:, [3, 7, 20]], atol=1e-2)
    outlines, years = np.array([0, 2]), np.array([1, 3])
    mine = np.flatnonzero(np.isin(cells.outline.numpy(), outlines))
    fewer = dataclasses.replace(
        cells.take(torch.from_numpy(mine)),
        outline=torch.from_numpy(np.searchsorted(outlines, cells.outline.numpy()[mine])),
    )
    part = balances(own, form, fewer, weather.take(outlines, years)).monthly
    np.testing.assert_allclose(part, whole[:, mine][:, :, years], atol=1e-2)
    assert torch.equal(weather.take(slice(1, 3), slice(0, 2)).temp, weather.temp[1:3, :2])
    assert torch.equal(weather.take(slice(1, 3), slice(0, 2)).height, weather.height[1:3])


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_fields_equal_a_convolution_of_the_full_patch_at_ice_cells(kernel: int) -> None:
    rng = np.random.default_rng(kernel)
    patch = tensor(rng.normal(0, 1, (1, len(CHANNELS), 9, 11)))
    row, column = np.array([0, 0, 4, 5, 8, 8]), np.array([0, 10, 5, 5, 0, 10])  # corners of the patch and its middle
    half = kernel // 2
    wide = pad(patch, (half,) * 4, mode="replicate")
    windows = [wide[0, :, r : r + kernel, c : c + kernel] for r, c in zip(row, column, strict=True)]
    gathered = torch.stack([window.flatten() for window in windows])
    base = cells_of(count=6, kernel=kernel)
    cells = dataclasses.replace(base, context=gathered)
    form = form_of(kernel=kernel)
    own = {name: value / 3 if name.startswith("conv") else value for name, value in drawn_freely(form).items()}
    found = balances(own, form, cells, weather_of())
    for number in range(3):
        layer = {name: value[number] for name, value in own.items()}
        weight = layer["conv1.weight"].T.reshape(form.hidden[0], len(CHANNELS), kernel, kernel)
        hidden = leaky_relu(conv2d(wide, weight, layer["conv1.bias"]), 0.05)
        hidden = leaky_relu(conv2d(hidden, layer["conv2.weight"].T[..., None, None], layer["conv2.bias"]), 0.05)
        out = conv2d(hidden, layer["conv3.weight"].T[..., None, None], layer["conv3.bias"])
        expected = torch.tanh(out[0, : len(FIELDS), row, column]).T
        np.testing.assert_allclose(found.fields[number], expected, atol=1e-5)
        assert expected.std() > 0.05


def test_climate_is_spread_by_lapse_rate_and_height() -> None:
    cells, weather = cells_of(), weather_of()
    temp, precip = networks.spread(cells, weather)
    for cell in range(len(cells.outline)):
        of = int(cells.outline[cell])
        for month in range(12):
            rise = float(cells.elevation[cell]) - float(weather.height[of])
            expected = weather.temp[of, :, month].double() + float(weather.lapse[of, month]) * rise
            np.testing.assert_allclose(temp[cell, :, month], expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(precip[cell], weather.precip[of])


def test_prior_ranges_widen_with_slack_around_the_same_centre() -> None:
    cells = cells_of()
    for slack in (0.0, 0.25, 1.0):
        form = form_of(slack=slack)
        zero = {name: torch.zeros(1, *shape) for name, shape in form.shapes.items()}
        fields = torch.zeros(1, len(cells.outline), len(FIELDS))
        centre = networks.parameters(zero, form, cells, fields)
        assert centre["ddf_snow"].unique().tolist() == pytest.approx([4.5])
        np.testing.assert_allclose(centre["ddf_ice"], 4.5 * 1.4, rtol=1e-6)
        np.testing.assert_allclose(centre["precip_factor"], 1.5, rtol=1e-6)
        # By the relation between mean elevations and equilibrium lines only: 6 K per km, full from slack 0.5 on.
        above_km = (cells.mean_elevation - 2900) / 1000
        np.testing.assert_allclose(centre["temp_bias"][0], 6 * min(2 * slack, 1) * above_km, atol=1e-5)

        largest = networks.parameters(zero, form, cells, fields + 1)
        warmer = largest["temp_bias"] - centre["temp_bias"]
        np.testing.assert_allclose(warmer, FIELDS["temperature"] * 2 * slack, atol=1e-5)
        wetter = largest["precip_factor"] / centre["precip_factor"]
        np.testing.assert_allclose(wetter, np.exp(FIELDS["precipitation"] * 2 * slack), rtol=1e-5)
        for name in ("ddf_snow", "ddf_ice"):
            np.testing.assert_allclose(largest[name] / centre[name], np.exp(FIELDS["melt"] * 2 * slack), rtol=1e-5)


def test_an_effect_moves_its_own_glacier_as_level_and_slope() -> None:
    form, cells = form_of(slack=0.5), cells_of()
    own = {name: torch.zeros(1, *shape) for name, shape in form.shapes.items()}
    fields = torch.zeros(1, len(cells.outline), len(FIELDS))
    before = networks.parameters(own, form, cells, fields)["temp_bias"][0]
    own["effect.temperature"][0, 1] = torch.tensor([1.0, 2.0])
    moved = networks.parameters(own, form, cells, fields)["temp_bias"][0] - before
    along = (cells.elevation - cells.mean_elevation) / 300
    expected = torch.where(cells.unit == 1, EFFECTS["temperature"] * (1 + 2 * along), 0.0)
    np.testing.assert_allclose(moved, expected, atol=1e-5)


def test_cells_in_the_sun_melt_more_by_the_radiation_share() -> None:
    form, weather = form_of(slack=0.5), weather_of()
    base = cells_of()
    sun, mean = (
        dataclasses.replace(base, radiation=torch.full_like(base.radiation, value), context=base.context * 0)
        for value in (0.4, 0.0)
    )
    own = {name: torch.zeros(1, *shape) for name, shape in form.shapes.items()}
    bare = dataclasses.replace(weather, precip=weather.precip * 0)
    melt = [balances(own, form, cells, bare).melt for cells in (sun, mean)]
    assert melt[0] is not None
    assert melt[1] is not None
    np.testing.assert_allclose(melt[0], melt[1] * (1 + 0.5 * 0.4), rtol=1e-5, atol=1e-3)


def test_winter_precipitation_is_another_than_that_of_summer() -> None:
    form, cells = form_of(slack=0.5), cells_of()
    weather = dataclasses.replace(weather_of(), temp=torch.full((OUTLINES, YEARS, 12), -60.0))
    own = {name: torch.zeros(1, *shape) for name, shape in form.shapes.items()}
    before = balances(own, form, cells, weather).monthly
    own["global.winter_precip"] += 1.0
    after = balances(own, form, cells, weather).monthly
    factor = tensor(np.exp([LOOSENED["winter_precip"][1]] * 7 + [0.0] * 5))
    np.testing.assert_allclose(after, before * factor, rtol=1e-4, atol=1e-3)


def test_a_cnn_has_no_degree_day_parameters_and_no_melt() -> None:
    form = form_of(kind="cnn", slack=1.0)
    assert not [name for name in form.shapes if name.startswith(("global", "effect"))]
    found = balances(drawn_freely(form), form, cells_of(), weather_of())
    assert found.melt is None
    assert found.snow is None
    assert found.fields.shape == (3, 25, 0)
    assert torch.equal(found.monthly, found.residual)


def test_a_cnn_fits_what_depends_on_its_cells_and_their_climate() -> None:
    form, cells, weather = form_of(kind="cnn", slack=1.0), cells_of(), weather_of()
    season = torch.sin(torch.arange(12) * torch.pi / 6)
    pattern = 30 * cells.context[:, :1, None] + 60 * season + 0.3 * weather.precip[cells.outline]
    own = {name: (value / 3).requires_grad_() for name, value in drawn_freely(form, 2).items()}
    used = [value for name, value in own.items() if name != "noise"]
    optimizer = torch.optim.Adam(used, lr=0.04)
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = (balances(own, form, cells, weather).monthly - pattern).square().mean((1, 2, 3))
        loss.sum().backward()
        optimizer.step()
        losses.append(loss.detach())
    assert (losses[-1] < 0.05 * pattern.var()).all()


def test_the_monthly_network_is_told_climate_at_the_mean_elevation() -> None:
    cells, weather = cells_of(), weather_of()
    found = networks.conditioning(cells, weather)
    assert found.shape == (OUTLINES, YEARS, 12, MONTHLY_INPUTS)
    for of, mean in enumerate([2850.0, 3000.0, 2700.0]):
        rise = mean - float(weather.height[of])
        temp = weather.temp[of].double().numpy() + weather.lapse[of].double().numpy() * rise  # (year, month)
        precip = weather.precip[of].double().numpy()
        for month in range(12):
            angle = 2 * np.pi * month / 12
            expected = np.stack(
                [
                    temp[:, month] / 10,
                    precip[:, month] / 100 - 1,
                    np.full(YEARS, np.sin(angle)),
                    np.full(YEARS, np.cos(angle)),
                    temp.mean(1) / 5,
                    precip.sum(1) / 1000 - 1,
                    np.clip(1 - temp[:, month] / 2, 0, 1) - 0.5,
                ],
                axis=-1,
            )
            np.testing.assert_allclose(found[of, :, month], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kind": "mlp"}, r"net is 'mlp'; expected one of \['hybrid', 'cnn'\]"),
        ({"slack": 1.01}, r"slack is 1.01; expected 0 \(a plain temperature-index model\) to 1 \(twice"),
        ({"slack": float("nan")}, "slack is nan"),
        ({"kernel": 4}, "kernel is 4; expected 1, 3, 5 or 7 cells"),
    ],
)
def test_a_form_that_cannot_be_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        form_of(**given)


def test_derivatives_are_finite_from_polar_night_to_a_desert() -> None:
    form, cells = form_of(slack=1.0), cells_of()
    weather = weather_of()
    for offset in (-60.0, 0.0, 40.0):
        own = {name: value.requires_grad_() for name, value in drawn_freely(form).items()}
        shifted = dataclasses.replace(weather, temp=weather.temp + offset)
        balances(own, form, cells, shifted).monthly.sum().backward()
        for name, value in own.items():
            assert value.grad is None or torch.isfinite(value.grad).all(), name
