"""One likelihood for all observations, against loops and scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse, stats

from glacierscale.models import likelihood
from glacierscale.models.form import FIELDS, GLOBAL, NOISE, RESIDUAL_KG_M2, Form, Tensors
from glacierscale.models.functionals import Functionals
from glacierscale.models.likelihood import FIELDS_COUNT_AS, RESIDUALS_COUNT_AS, Targets
from glacierscale.models.networks import Balances

KINDS = ("annual", "point", "geodetic")
CELLS, YEARS = 9, 6


def form_of(**given: Any) -> Form:
    base = {
        "kind": "hybrid",
        "slack": 0.5,
        "sigma_k": 4.0,
        "units": ("a",),
        "kinds": KINDS,
        "targets": KINDS,
        "channels": ("height",),
        "reference_elevation": 2900.0,
    }
    return Form(**(base | given))


def functionals_of(seed: int = 0, count: int = 14) -> Functionals:
    """Observations of random places and periods, one to three years each."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, YEARS - 2, count)
    last = first + rng.integers(0, 3, count)
    parts = [np.arange(a, b + 1) for a, b in zip(first, last, strict=True)]
    space = rng.uniform(0, 1, (5, CELLS)) * (rng.uniform(size=(5, CELLS)) < 0.6)
    return Functionals(
        unit_id=np.full(count, "a"),
        kind=np.array(KINDS)[rng.integers(0, 3, count)],
        first_year=2001 + first,
        last_year=2001 + last,
        value=rng.normal(-300, 500, count),
        sigma=rng.uniform(50, 300, count),
        elevation=np.full(count, np.nan),
        lon=np.zeros(count),
        lat=np.zeros(count),
        counts=np.ones(count),
        place=rng.integers(0, 5, count),
        space=sparse.csr_array(space),
        time_observation=np.repeat(np.arange(count), [len(part) for part in parts]),
        time_year=np.concatenate(parts),
        time_weight=rng.uniform(0, 1, (sum(map(len, parts)), 12)),
        left_out=(),
    )


def everything(functionals: Functionals) -> Targets:
    return likelihood.targets(functionals, np.arange(len(functionals)), np.arange(CELLS), np.arange(YEARS), KINDS)


def own_of(form: Form, seed: int = 0, networks: int = 3) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(networks, *shape, generator=generator) for name, shape in form.shapes.items()}


def by_loop(functionals: Functionals, monthly: np.ndarray) -> np.ndarray:
    """(network, cell, year, month) -> (network, observation), number by number."""
    space = functionals.space.toarray()
    out = np.zeros((len(monthly), len(functionals)))
    for network in range(len(monthly)):
        for part, observation in enumerate(functionals.time_observation):
            for cell in range(CELLS):
                for month in range(12):
                    value = monthly[network, cell, functionals.time_year[part], month]
                    weight = space[functionals.place[observation], cell] * functionals.time_weight[part, month]
                    out[network, observation] += weight * value
    return out


def test_predicted_observations_equal_a_loop_over_networks_places_and_months() -> None:
    functionals = functionals_of()
    monthly = np.random.default_rng(1).normal(-50, 100, (3, CELLS, YEARS, 12))
    found = likelihood.observe(torch.from_numpy(monthly.astype(np.float32)), everything(functionals))
    np.testing.assert_allclose(found, by_loop(functionals, monthly), rtol=1e-5, atol=1e-2)


def test_some_observations_over_their_own_cells_and_years_are_the_same() -> None:
    functionals = functionals_of()
    monthly = np.random.default_rng(1).normal(-50, 100, (3, CELLS, YEARS, 12)).astype(np.float32)
    which = np.array([1, 4, 5, 11])
    cells = np.flatnonzero((functionals.space[functionals.place[which]].toarray() != 0).any(axis=0))
    years = np.unique(functionals.time_year[np.isin(functionals.time_observation, which)])
    wanted = likelihood.targets(functionals, which, cells, years, KINDS)
    found = likelihood.observe(torch.from_numpy(monthly[:, cells][:, :, years]), wanted)
    np.testing.assert_allclose(found, by_loop(functionals, monthly)[:, which], rtol=1e-5, atol=1e-2)
    assert wanted.number.tolist() == which.tolist()
    assert [KINDS[kind] for kind in wanted.kind] == functionals.kind[which].tolist()
    np.testing.assert_allclose(wanted.value, functionals.value[which], rtol=1e-6)
    np.testing.assert_allclose(wanted.sigma, functionals.sigma[which], rtol=1e-6)


def test_an_observation_answers_to_balances_by_its_weights() -> None:
    functionals = functionals_of()
    monthly = torch.zeros(1, CELLS, YEARS, 12, requires_grad=True)
    likelihood.observe(monthly, everything(functionals))[0, 4].backward()
    expected = np.zeros((CELLS, YEARS, 12))
    for part in np.flatnonzero(functionals.time_observation == 4):
        space = functionals.space.toarray()[functionals.place[4]]
        expected[:, functionals.time_year[part]] = space[:, None] * functionals.time_weight[part]
    assert monthly.grad is not None
    np.testing.assert_allclose(monthly.grad[0], expected, atol=1e-6)


def test_surprise_is_the_gaussian_log_density_of_scipy() -> None:
    form, functionals = form_of(), functionals_of()
    wanted, own = everything(functionals), own_of(form)
    rng = np.random.default_rng(2)
    predicted = rng.normal(-300, 500, (3, len(functionals)))
    weight = rng.uniform(0, 1, predicted.shape) * (rng.uniform(size=predicted.shape) < 0.7)
    found = likelihood.surprise(own, form, tensor(predicted), wanted, tensor(weight))
    for network in range(3):
        noise = {k: NOISE[k] * np.exp(float(own["noise"][network, number])) for number, k in enumerate(KINDS)}
        std = np.hypot(functionals.sigma, [noise[kind] for kind in functionals.kind])
        density = stats.norm.logpdf(functionals.value, predicted[network], std)
        # Without the constant, which no parameter moves.
        expected = -(weight[network] * (density + 0.5 * np.log(2 * np.pi))).sum()
        assert float(found[network]) == pytest.approx(expected, rel=1e-5)


def test_noise_starts_at_its_usual_size_for_each_kind() -> None:
    form = form_of()
    own = {"noise": torch.tensor([[0.0, 0.0, 0.0], [0.0, np.log(2.0), -1.0]])}
    found = likelihood.noise_std(own, form)
    np.testing.assert_allclose(found[0], [150, 300, 100])
    np.testing.assert_allclose(found[1], [150, 600, 100 * np.exp(-1)], rtol=1e-6)


def test_an_observation_of_no_weight_gives_no_gradient() -> None:
    form, functionals = form_of(), functionals_of()
    wanted = everything(functionals)
    own = {"noise": torch.zeros(2, 3, requires_grad=True)}
    predicted = torch.full((2, len(functionals)), 100.0, requires_grad=True)
    weight = torch.ones(2, len(functionals))
    weight[0, 3:] = 0
    weight[1] = 0
    likelihood.surprise(own, form, predicted, wanted, weight).sum().backward()
    assert predicted.grad is not None
    assert own["noise"].grad is not None
    assert (predicted.grad[0, :3] != 0).all()
    assert (predicted.grad[0, 3:] == 0).all()
    assert (predicted.grad[1] == 0).all()
    assert (own["noise"].grad[1] == 0).all()
    assert (own["noise"].grad[0] != 0).any()


def test_the_noise_that_is_likeliest_is_that_of_the_misfit() -> None:
    form, functionals = form_of(kinds=("annual",)), functionals_of(count=400)
    functionals.kind[:] = "annual"
    functionals.sigma[:] = 0
    wanted = likelihood.targets(functionals, np.arange(400), np.arange(CELLS), np.arange(YEARS), ("annual",))
    predicted = wanted.value + tensor(np.random.default_rng(3).normal(0, 80, 400))
    steps = torch.linspace(-2, 1, 301)
    told = likelihood.surprise({"noise": steps[:, None]}, form, predicted.expand(301, -1), wanted, torch.ones(301, 400))
    best = NOISE["annual"] * float(torch.exp(steps[told.argmin()]))
    assert best == pytest.approx(float((predicted - wanted.value).square().mean().sqrt()), rel=0.01)


def found_of(fields: float, residual: float) -> Balances:
    monthly = torch.zeros(2, CELLS, YEARS, 12)
    return Balances(
        monthly=monthly,
        melt=None,
        residual=monthly + residual,
        fields=torch.full((2, CELLS, len(FIELDS)), fields),
        snow=None,
    )


def test_the_prior_is_a_standard_normal_of_every_physical_parameter() -> None:
    form = form_of()
    own = own_of(form, networks=2)
    held = [name for name in own if name.startswith(("global", "effect", "noise"))]
    found = likelihood.prior(own, form, found_of(0.0, 0.0))
    for network in range(2):
        expected = sum(float(own[name][network].square().sum()) for name in held) / 2
        assert float(found[network]) == pytest.approx(expected, rel=1e-5)
    assert {f"global.{name}" for name in GLOBAL} < set(held)


def test_fields_and_residual_are_held_to_zero_by_what_they_count_as() -> None:
    for slack, hold in ((0.25, 3.0), (0.5, 1.0), (1.0, 0.0)):
        form = form_of(slack=slack)
        own = {name: torch.zeros(2, *shape) for name, shape in form.shapes.items()}
        assert likelihood.prior(own, form, found_of(0.0, 0.0)).tolist() == [0, 0]
        np.testing.assert_allclose(likelihood.prior(own, form, found_of(0.5, 0.0)), FIELDS_COUNT_AS / 8, rtol=1e-5)
        residual = likelihood.prior(own, form, found_of(0.0, 2 * RESIDUAL_KG_M2))
        np.testing.assert_allclose(residual, RESIDUALS_COUNT_AS * 2 * hold, rtol=1e-5)


def test_a_cnn_has_a_prior_of_its_noise_only() -> None:
    form = form_of(kind="cnn")
    own = own_of(form, networks=2)
    found = likelihood.prior(own, form, found_of(0.0, 100.0))
    np.testing.assert_allclose(found, own["noise"].square().sum(1) / 2, rtol=1e-6)


def tensor(values: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))
