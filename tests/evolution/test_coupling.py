"""The balance on the surface of the day."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from glacierscale import provenance, schema
from glacierscale.evolution import geometry
from glacierscale.evolution.coupling import Coupling, Local, Rows, teller
from glacierscale.evolution.futures import Futures
from glacierscale.evolution.options import Scenario
from glacierscale.evolution.patchwise import channels
from glacierscale.evolution.simulation import nodes_of, shape_at_start
from glacierscale.evolution.site import NODE_STEP_M, Nodes, Site, Terms, unraised
from glacierscale.features.climate import band_balance_terms
from glacierscale.models.mlp import MLP, many
from glacierscale.models.rows import design_of
from glacierscale.store import Store

YEARS = np.arange(1993, 2008, dtype=np.int32)
"""The climate of the region ends in 2002."""


@pytest.fixture(scope="module")
def made(evolving: Path) -> Any:
    """Futures and features of the small region, and for each glacier its ice."""
    futures = Futures.of(Store.at(evolving / "cube.zarr").open(), ())
    features = Store.at(evolving / "features.zarr").open().load()
    ices = {}
    for store in Store.all_in(evolving, "patches_*.zarr", schema.PATCHES):
        patches = store.open().load()
        for number, row in enumerate(patches.feature_row.values.tolist()):
            if patches.set_aside.values[number] == "" and features.set_aside.values[row] == "":
                ices[row] = geometry.of_patch(channels(patches, number)[0], float(patches.resolution.values[number]))
    return futures, features, ices


def coupled(made: Any, model: Any, net: str, row: int, members: tuple[int, ...] = (0,), scenarios: int = 1) -> Coupling:
    futures, features, ices = made
    nodes = nodes_of(ices[row])
    start, site = shape_at_start(ices[row], nodes), Site.of(features, row, int(YEARS[0]))
    local = Local.of(model, net, site, futures.weather(features, row, YEARS), nodes, start.at_nodes)
    return Coupling(model, [local], start, Rows(task=((0, members),), scenarios=scenarios))


@pytest.mark.parametrize("net", ["lasso", "mlp"])
def test_a_glacier_that_keeps_its_shape_has_the_balance_of_the_reconstruction(made: Any, model: Any, net: str) -> None:
    _, features, ices = made
    expected = model.reconstruct(features, net)  # (member, glacier, hydro_year)
    members = tuple(range(model.members_of(net)))
    at = np.searchsorted(features.hydro_year.values, YEARS[YEARS <= 2002])
    for row in ices:
        coupling = coupled(made, model, net, row, members, 2)
        found = np.stack([coupling.balance(year, coupling.start) for year in range(len(at))], axis=-1)
        both = found.reshape(2, len(members), len(at))
        np.testing.assert_allclose(both[0], expected[:, row, at], atol=0.05)  # of thousands: float32
        np.testing.assert_allclose(both[0], both[1], atol=0.001)


def test_each_row_is_predicted_by_its_own_member(model: Any, features: Any) -> None:
    torch.manual_seed(1)
    drawn = many(4, len(model.predictors), (5,), seed=3)
    own = {name: torch.randn_like(value)[None].numpy() for name, value in drawn.items()}
    net = MLP(parameters=own, hidden=(5,), scale=np.array([300.0]))
    changed = dataclasses.replace(model, nets={**model.nets, "mlp": net})
    design = design_of(features.open().load(), model.predictors)
    rows = design.take(np.arange(6))  # two scenarios of three members
    for name, members in (("mlp", (3, 0, 1)), ("lasso", (2, 0, 2))):
        every = changed.predict(rows, name)
        expected = [every[members[row % 3], row] for row in range(6)]
        found = teller(changed, name, members)(changed.scaler.transform(0, rows.predictors))
        found = found + changed.base.predict(0, rows.snow, rows.degree_days)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=0.01)
    assert np.ptp(changed.predict(rows, "mlp")[:, 0]) > 10


def test_terms_at_elevations_are_those_of_the_bands(made: Any) -> None:
    futures, features, ices = made
    row = next(iter(ices))
    site, weather = Site.of(features, row, int(YEARS[0])), futures.weather(features, row, YEARS)
    found = Terms.at(weather, site, site.band_elevation, 0.5).mean(site.band_area)
    rise = (site.band_elevation - site.ref_height)[None]
    weight = (site.band_area / site.band_area.sum())[None]
    expected = band_balance_terms(
        weather.temp_degc[:1] + 0.5, weather.precip_kg_m2[:1], site.lapse_rate[None], rise, weight, site.sigma_k
    )
    np.testing.assert_allclose(found.degree_days[0, :, 0], expected[0][0], rtol=1e-12)
    np.testing.assert_allclose(found.snow[0, :, 0], expected[1][0], rtol=1e-12)


def test_a_surface_that_sinks_loses_more(made: Any, model: Any) -> None:
    """Elevation feedback: the same shape 100 m lower, under the same sky."""
    for row in made[2]:
        coupling = coupled(made, model, "lasso", row)
        start = coupling.start
        lower = dataclasses.replace(
            start,
            mean_elevation=start.mean_elevation - 5 * NODE_STEP_M,
            max_elevation=start.max_elevation - 5 * NODE_STEP_M,
            at_nodes=np.roll(start.at_nodes, -5),
        )
        base = model.base
        balances = []
        for shape in (start, lower):
            design = coupling.design(3, shape)
            balances.append(base.predict(0, design.snow, design.degree_days)[0])
            assert design.predictors.shape == (1, len(model.predictors))
        assert -1500 < balances[1] - balances[0] < -50


def test_precipitation_follows_the_mean_elevation_where_featurize_let_it(made: Any, model: Any) -> None:
    _, features, ices = made
    recipe = {**provenance.nested(features.attrs["recipe"]), "precip_gradient_per_km": 0.4, "precip_factor": 1.5}
    raised = features.assign_attrs(recipe=recipe)
    row = next(iter(ices))
    site = Site.of(raised, row, int(YEARS[0]))
    temp, precip = unraised(raised, row)
    mean = site.place["mean_elevation"]
    np.testing.assert_allclose(precip * site.wetter(np.array(mean)), features.precip.values[row], rtol=1e-6)
    np.testing.assert_array_equal(temp, features.temp.values[row])
    high, low = site.wetter(np.array([mean + 1000, site.ref_height]))
    assert high - float(site.wetter(np.array(mean))) == pytest.approx(0.6)
    assert low == pytest.approx(1.5)
    assert float(site.wetter(np.array(site.ref_height - 9000))) == 0


def test_features_in_another_order_are_refused(made: Any) -> None:
    features = made[1]
    names = features.predictor.values.copy()
    names[[0, 1]] = names[[1, 0]]
    with pytest.raises(ValueError, match=r"store their predictors as \('winter_snow', 'cpdd'.*featurize again"):
        Site.of(features.assign(predictor=("predictor", names)), 0, 1998)


def test_scenarios_take_the_nearest_cell_and_observed_years_stay_as_they_were(made: Any) -> None:
    futures, features, ices = made
    row = next(iter(ices))
    weather = futures.weather(features, row, YEARS)
    at = np.searchsorted(features.hydro_year.values, YEARS[YEARS <= 2002])
    observed = features.temp.values[row, at]
    for scenario in weather.temp_degc:
        np.testing.assert_allclose(scenario[: len(at)], observed, rtol=1e-6)
    later = weather.temp_degc[:, len(at) :].mean(axis=(1, 2))
    assert 0 < later[1] - later[0] < 0.5
    assert abs(later[0] - observed.mean()) < 1.5  # not that of the far cell, which is 50 K colder


def test_perturbed_scenarios_are_made_of_those_of_the_cube(made: Any, evolving: Path) -> None:
    cube = Store.at(evolving / "cube.zarr").open()
    features = made[1]
    wanted = (Scenario(name="same"), Scenario(name="more", of="same", warming_k=9.8, precip_factor=2.0))
    weather = Futures.of(cube, wanted).weather(features, 0, YEARS)
    warmer = (weather.temp_degc[1] - weather.temp_degc[0]).mean(axis=1)
    np.testing.assert_allclose(warmer, 0.1 * np.maximum(YEARS - 2002, 0), atol=1e-9)
    wetter = weather.precip_kg_m2[1] / weather.precip_kg_m2[0]
    np.testing.assert_allclose(wetter, np.broadcast_to(1 + np.maximum(YEARS - 2002, 0)[:, None] / 98, wetter.shape))


def test_the_nodes_reach_over_all_elevations() -> None:
    nodes = Nodes.over(2000.0, 2101.0)
    assert nodes.elevation_m[0] == 2000
    assert nodes.elevation_m[-1] >= 2101 + NODE_STEP_M
