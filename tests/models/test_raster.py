"""Raster networks put to use: observations in pieces, predictions that do not depend on the cut, years in turn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from glacierscale.models import likelihood, networks, raster
from glacierscale.models.form import Form, Tensors
from glacierscale.models.functionals import Functionals
from glacierscale.models.networks import Weather
from glacierscale.models.raster import RasterNet, cells_of, pieces, predict, weather_of
from glacierscale.models.surface import INPUTS, Surface

YEARS, KINDS = 7, ("annual", "geodetic")


def surface_of(cells_per_outline: list[int], units: list[str], seed: int = 0) -> Surface:
    rng = np.random.default_rng(seed)
    outline = np.repeat(np.arange(len(units)), cells_per_outline)
    count, outlines = len(outline), len(units)
    return Surface(
        context=rng.normal(0, 1, (count, len(INPUTS))).astype(np.float32),
        elevation=rng.uniform(2500, 3300, count).astype(np.float32),
        mean_elevation=rng.uniform(2800, 3000, outlines).astype(np.float32)[outline],
        radiation=rng.uniform(-0.5, 0.5, (count, 12)).astype(np.float32),
        area=rng.uniform(100, 1e4, count),
        row=np.arange(count),
        column=np.arange(count),
        outline=outline,
        unit_id=np.array(units),
        feature_row=np.arange(outlines),
        centre_lon=np.zeros(outlines),
        centre_lat=np.zeros(outlines),
        resolution=np.full(outlines, 100.0),
        size=np.full(outlines, 32),
    )


def functionals_of(surface: Surface, count: int, longest: int, seed: int = 0) -> Functionals:
    """Observations of glacier means, each of one or more years up to the longest."""
    rng = np.random.default_rng(seed)
    units = np.unique(surface.unit_id)
    place = rng.integers(0, len(units), count)
    first = rng.integers(0, YEARS, count)
    last = np.minimum(first + rng.integers(0, longest, count), YEARS - 1)
    parts = [np.arange(a, b + 1) for a, b in zip(first, last, strict=True)]
    of_unit = surface.unit_id[surface.outline][None] == units[:, None]
    space = of_unit * surface.area
    return Functionals(
        unit_id=units[place],
        kind=np.where(last > first, "geodetic", "annual"),
        first_year=2001 + first,
        last_year=2001 + last,
        value=rng.normal(-300, 500, count),
        sigma=np.full(count, 100.0),
        elevation=np.full(count, np.nan),
        lon=np.zeros(count),
        lat=np.zeros(count),
        counts=np.ones(count),
        place=place,
        space=sparse.csr_array(space / space.sum(axis=1, keepdims=True)),
        time_observation=np.repeat(np.arange(count), [len(part) for part in parts]),
        time_year=np.concatenate([*parts, np.zeros(0, np.int64)]),
        time_weight=np.ones((sum(map(len, parts)), 12)),
        left_out=(),
    )


def climate_of(surface: Surface, seed: int = 0) -> Weather:
    rng = np.random.default_rng(seed)
    outlines = len(surface.unit_id)
    season = -1.5 + 9 * np.cos(2 * np.pi * (np.arange(12) - 9.5) / 12)
    values = {
        "temp": season + rng.normal(0, 1, (outlines, YEARS, 12)),
        "precip": rng.gamma(6, 18, (outlines, YEARS, 12)),
        "lapse": np.full((outlines, 12), -6e-3),
        "height": rng.uniform(1800, 2400, outlines),
    }
    return Weather(**{name: torch.from_numpy(value.astype(np.float32)) for name, value in values.items()})


def form_of(**given: Any) -> Form:
    base = {
        "kind": "hybrid",
        "slack": 0.6,
        "sigma_k": 4.0,
        "units": ("a", "b"),
        "kinds": KINDS,
        "targets": KINDS,
        "channels": INPUTS,
        "reference_elevation": 2900.0,
        "kernel": 1,
    }
    return Form(**(base | given))


def own_of(form: Form, count: int, seed: int = 0) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(count, *shape, generator=generator) / 2 for name, shape in form.shapes.items()}


UNITS = ["a", "a", "b", "c", "d"]
SIZES = [4, 1, 9, 20, 2]


@settings(max_examples=80, deadline=None)
@given(
    count=st.integers(0, 40),
    longest=st.sampled_from([1, 1, 2, YEARS]),
    cell_years=st.sampled_from([1, 10, 60, 300, 10**9]),
    seed=st.integers(0, 10**6),
    shuffled=st.booleans(),
    share=st.sampled_from([0.3, 1.0]),
)
def test_pieces_hold_every_observation_once_with_its_glacier_and_years(
    count: int, longest: int, cell_years: int, seed: int, shuffled: bool, share: float
) -> None:
    surface = surface_of(SIZES, UNITS)
    functionals = functionals_of(surface, count, longest, seed)
    rng = np.random.default_rng(seed)
    which = np.flatnonzero(rng.uniform(size=count) < share)
    cut = pieces(functionals, which, surface, cell_years=cell_years, rng=rng if shuffled else None)
    held = [some for _, _, some in cut]
    assert sorted(np.concatenate([*held, np.zeros(0, np.int64)])) == which.tolist()
    for outlines, years, some in cut:
        for ascending in (outlines, years, some):
            assert len(ascending) > 0
            assert (np.diff(ascending) > 0).all()
        assert set(functionals.unit_id[some]) <= set(surface.unit_id[outlines])
        for unit in set(surface.unit_id[outlines]):  # never half of a glacier
            assert set(np.flatnonzero(surface.unit_id == unit)) <= set(outlines)
        needed = functionals.time_year[np.isin(functionals.time_observation, some)]
        assert set(years) == set(needed)


def test_pieces_are_as_large_as_told_where_glaciers_and_years_allow() -> None:
    surface = surface_of(SIZES, UNITS)
    functionals = functionals_of(surface, 200, 1)
    which = np.arange(200)
    cells = np.bincount(surface.outline)
    whole = pieces(functionals, which, surface, cell_years=10**9)
    assert len(whole) == 1
    for limit in (40, 100):
        cut = pieces(functionals, which, surface, cell_years=limit)
        sizes = [cells[outlines].sum() * len(years) for outlines, years, _ in cut]
        alone = [len(set(surface.unit_id[outlines])) == 1 and len(years) == 1 for outlines, years, _ in cut]
        assert all(size <= limit or single for size, single in zip(sizes, alone, strict=True))
        assert len(cut) > len(whole)


def test_shuffled_pieces_come_in_another_order_each_time_and_again_for_the_same_seed() -> None:
    surface = surface_of(SIZES, UNITS)
    functionals = functionals_of(surface, 100, 1)

    def cut(seed: int) -> list[list[int]]:
        rng = np.random.default_rng(seed)
        return [p[2].tolist() for p in pieces(functionals, np.arange(100), surface, cell_years=60, rng=rng)]

    assert cut(1) == cut(1)
    assert cut(1) != cut(2)


@pytest.mark.parametrize("longest", [1, 4])
def test_predictions_do_not_depend_on_the_cut(longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    surface = surface_of(SIZES, UNITS)
    functionals, weather, form = functionals_of(surface, 30, longest), climate_of(surface), form_of()
    own = own_of(form, 5)
    cells, everything = cells_of(surface, form), np.arange(30)
    wanted = likelihood.targets(functionals, everything, np.arange(sum(SIZES)), np.arange(YEARS), KINDS)
    expected = likelihood.observe(networks.balances(own, form, cells, weather).monthly, wanted).numpy()
    np.testing.assert_allclose(predict(own, form, functionals, everything, surface, weather), expected, atol=0.05)
    some = np.array([2, 3, 17, 29])
    np.testing.assert_allclose(predict(own, form, functionals, some, surface, weather), expected[:, some], atol=0.05)
    for number in (0, 12):
        one = predict(own, form, functionals, np.array([number]), surface, weather)
        np.testing.assert_allclose(one, expected[:, [number]], atol=0.05)
    for elements, cell_years in ((1, 1), (2_000, 30)):
        monkeypatch.setattr(raster, "ELEMENTS_AT_ONCE", elements)
        monkeypatch.setattr(raster, "pieces", lambda *a, n=cell_years, **_: pieces(*a, cell_years=n))
        found = predict(own, form, functionals, everything, surface, weather)
        np.testing.assert_allclose(found, expected, atol=0.05)
    assert np.abs(expected).std() > 100


def test_a_glacier_without_climate_does_not_spoil_the_predictions_of_another() -> None:
    surface, form = surface_of(SIZES, UNITS), form_of()
    functionals, weather, own = functionals_of(surface, 30, 1), climate_of(surface), own_of(form, 2)
    expected = predict(own, form, functionals, np.arange(30), surface, weather)
    weather.temp[3] = torch.nan  # the only outline of "c"
    found = predict(own, form, functionals, np.arange(30), surface, weather)
    others = functionals.unit_id != "c"
    assert np.isnan(found[:, ~others]).all()
    np.testing.assert_allclose(found[:, others], expected[:, others], atol=0.05)


def test_no_observations_are_predicted_as_none() -> None:
    surface = surface_of(SIZES, UNITS)
    form = form_of()
    nothing = predict(
        own_of(form, 2), form, functionals_of(surface, 5, 1), np.zeros(0, np.int64), surface, climate_of(surface)
    )
    assert nothing.shape == (2, 0)


def test_cells_know_their_glacier_and_those_not_observed_share_the_last_place() -> None:
    surface = surface_of(SIZES, UNITS)
    cells = cells_of(surface, form_of(units=("b", "d")))
    expected = {"a": 2, "b": 0, "c": 2, "d": 1}
    assert cells.unit.tolist() == [expected[unit] for unit in surface.unit_id[surface.outline]]
    assert torch.equal(cells.context, torch.from_numpy(surface.context))
    numbers, part = raster.part_of(surface, form_of(), np.array([1, 3]))
    assert numbers.tolist() == [4, *range(14, 34)]
    assert part.outline.tolist() == [0] + [1] * 20
    np.testing.assert_array_equal(part.elevation, surface.elevation[numbers])


def net_of(folds: int = 2, members: int = 3) -> RasterNet:
    form = form_of()
    own = own_of(form, folds * members)
    return RasterNet(
        form=form, parameters={name: v.numpy().reshape(folds, members, *v.shape[1:]) for name, v in own.items()}
    )


def test_a_net_gives_the_balances_of_its_fold_a_few_years_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    surface, net = surface_of(SIZES, UNITS), net_of()
    weather = climate_of(surface)
    assert net.members == 3
    whole = networks.balances(net.own(1), net.form, cells_of(surface, net.form), weather).monthly
    for elements in (1, 3 * sum(SIZES) * 12 * 2, 10**9):
        monkeypatch.setattr(raster, "ELEMENTS_AT_ONCE", elements)
        found = list(net.balances(1, surface, weather))
        assert [year for which, _ in found for year in range(YEARS)[which]] == list(range(YEARS))
        np.testing.assert_allclose(torch.cat([part.monthly for _, part in found], 2), whole, atol=1e-2)
    other = torch.cat([part.monthly for _, part in net.balances(0, surface, weather)], 2)
    assert not torch.allclose(other, whole, atol=1.0)


def test_a_net_observes_and_doubts_as_its_members_do() -> None:
    surface, net = surface_of(SIZES, UNITS), net_of()
    functionals, weather, which = functionals_of(surface, 10, 1), climate_of(surface), np.array([1, 5, 9])
    found = net.observe(1, functionals, which, surface, weather)
    expected = predict(net.own(1), net.form, functionals, which, surface, weather)
    np.testing.assert_array_equal(found, expected)
    assert found.shape == (3, 3)
    noise = np.array([150.0, 100.0]) * np.exp(net.parameters["noise"][1])
    np.testing.assert_allclose(net.noise(1), np.sqrt((noise**2).mean(0)), rtol=1e-5)


def test_weather_is_that_of_the_features_in_the_order_asked_for(features: Any, region: SimpleNamespace) -> None:
    dataset = features.open()
    rows = np.array([4, 0, 4, 2])
    weather = weather_of(dataset, rows)
    assert weather.temp.shape == (4, len(region.years), 12)
    for name, variable in (("temp", "temp"), ("precip", "precip"), ("lapse", "lapse_rate"), ("height", "ref_height")):
        np.testing.assert_array_equal(getattr(weather, name), dataset[variable].values[rows].astype(np.float32))
