"""Training of raster networks: known parameters come back, from any kind of observation, the same for one seed."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from glacierscale.features.sampling import to_degrees
from glacierscale.models import constraints, degree_day, likelihood, networks
from glacierscale.models.form import GLOBAL, LOOSENED, Form, draw
from glacierscale.models.functionals import functionals_of
from glacierscale.models.networks import Weather
from glacierscale.models.raster import cells_of, predict
from glacierscale.models.surface import Surface
from glacierscale.training.checkpoints import Watch
from glacierscale.training.raster_task import Feed, Fitting, Lesson, NonFiniteLossError, RasterTask, Step, fit, train
from glacierscale.training.shares import Machine, Share, whole

KINDS = ("annual", "band", "point", "geodetic")
YEARS, SIZE, STEP = np.arange(1991, 2006), 16, 100.0
SNOW, ICE, FACTOR, BIAS, SIGMA_K = 5.5, 8.8, 1.3, 0.4, 4.0
MEAN = 2900.0


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tensors here are too small to share among cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def surface_of(outlines: int = 1) -> Surface:
    """Glaciers of 40 cells, ten rows of four, 50 m of height to a row."""
    row, column = (values.ravel() for values in np.meshgrid(np.arange(3, 13), np.arange(6, 10), indexing="ij"))
    height = MEAN + 50 * (7.5 - row) + 5 * (column - 7.5)
    rng = np.random.default_rng(0)
    return Surface(
        context=rng.normal(0, 1, (40 * outlines, 2)).astype(np.float32),
        elevation=np.tile(height, outlines).astype(np.float32),
        mean_elevation=np.full(40 * outlines, MEAN, np.float32),
        radiation=np.zeros((40 * outlines, 12), np.float32),
        area=np.full(40 * outlines, STEP**2),
        row=np.tile(row, outlines),
        column=np.tile(column, outlines),
        outline=np.repeat(np.arange(outlines), 40),
        unit_id=np.array([f"glacier {number}" for number in range(outlines)]),
        feature_row=np.arange(outlines),
        centre_lon=10.0 + np.arange(outlines),
        centre_lat=np.full(outlines, 46.0),
        resolution=np.full(outlines, STEP),
        size=np.full(outlines, SIZE),
    )


def weather_of(outlines: int = 1) -> Weather:
    rng = np.random.default_rng(1)
    season = 2.5 + 8.5 * np.cos(2 * np.pi * (np.arange(12) - 9.5) / 12)
    years = len(YEARS)
    temp = season + rng.normal(0, 0.8, (outlines, years, 1)) + rng.normal(0, 1, (outlines, years, 12))
    precip = rng.gamma(6, 18, (outlines, years, 12)) * rng.uniform(0.7, 1.4, (outlines, years, 1))
    values = temp, precip, np.full((outlines, 12), -6e-3), np.full(outlines, 1700.0)
    return Weather(
        **{
            name: torch.from_numpy(value.astype(np.float32))
            for name, value in zip(("temp", "precip", "lapse", "height"), values, strict=True)
        }
    )


def truth_of(surface: Surface, weather: Weather) -> torch.Tensor:
    """Monthly balances of the degree-day model at the known parameters: (cell, year, month)."""
    outline = torch.from_numpy(surface.outline)
    rise = torch.from_numpy(surface.elevation) - weather.height[outline]
    temp = weather.temp[outline] + (weather.lapse[outline] * rise[:, None])[:, None] + BIAS
    snowfall = FACTOR * weather.precip[outline] * degree_day.solid_fraction(temp)
    factors = (torch.full(temp.shape[:2], value) for value in (SNOW, ICE))
    return degree_day.monthly_balance(snowfall, degree_day.degree_days(temp, SIGMA_K), *factors)[0]


def table_of(surface: Surface) -> pd.DataFrame:
    """Every kind on every glacier; stakes on every other row, read in spring and autumn."""
    rows: list[dict[str, Any]] = []

    def add(kind: str, unit: str, year: int, start: str, end: str, **given: float) -> None:
        blank = dict.fromkeys(("elevation", "lon", "lat", "lower", "upper"), np.nan)
        rows.append(
            {"unit_id": unit, "kind": kind, "year": year, "value": 0.0, "sigma": 40.0}
            | {"start": pd.Timestamp(start), "end": pd.Timestamp(end)}
            | blank
            | given
        )

    for number, unit in enumerate(surface.unit_id):
        x, y = np.zeros(5), (7.5 - np.arange(3, 13, 2)) * STEP
        lon, lat = to_degrees(x, y, surface.centre_lon[[number]], surface.centre_lat[[number]])
        for year in YEARS.tolist():
            whole = f"{year - 1}-10-01", f"{year}-09-30"
            add("annual", unit, year, *whole)
            for low in range(2650, 3150, 100):
                add("band", unit, year, *whole, lower=low, upper=low + 100.0, elevation=low + 50.0)
            for at in range(5):
                add("point", unit, year, whole[0], f"{year}-04-30", lon=lon[at], lat=lat[at])
                add("point", unit, year, f"{year}-05-01", whole[1], lon=lon[at], lat=lat[at])
        for first in range(YEARS[0] - 1, YEARS[-1] - 4, 5):
            add("geodetic", unit, first + 5, f"{first}-10-01", f"{first + 5}-09-30")
    return pd.DataFrame(rows).add_prefix("obs_")


def lesson_of(form: Form, *kinds: str, outlines: int = 1, count: int = 2) -> Lesson:
    """Noise-free observations of the truth; every network trains on all of the kinds."""
    surface, weather = surface_of(outlines), weather_of(outlines)
    functionals = functionals_of(table_of(surface), surface, YEARS, "north")
    assert functionals.left_out == ()
    wanted = likelihood.targets(
        functionals, np.arange(len(functionals)), np.arange(40 * outlines), np.arange(len(YEARS)), KINDS
    )
    value = likelihood.observe(truth_of(surface, weather)[None], wanted)[0].numpy().astype(float)
    functionals = dataclasses.replace(functionals, value=value)
    weight = np.tile(functionals.counts * np.isin(functionals.kind, kinds or KINDS), (count, 1))
    return Lesson(form=form, surface=surface, weather=weather, functionals=functionals, weight=weight)


def form_of(**given: Any) -> Form:
    base = {
        "kind": "hybrid",
        "slack": 0.5,
        "sigma_k": SIGMA_K,
        "units": ("glacier 0", "glacier 1"),
        "kinds": KINDS,
        "targets": KINDS,
        "channels": ("first", "second"),
        "reference_elevation": MEAN,
        "kernel": 1,
    }
    return Form(**(base | given))


def fitting_of(**given: Any) -> Fitting:
    base = {
        "steps": 250,
        "learning_rate": 0.08,
        "weight_decay": 0.05,
        "cell_years": 600,
        "constraint_weight": 0.0,
        "seed": 3,
    }
    return Fitting(**(base | given))


def fitted(lesson: Lesson, **given: Any) -> dict[str, np.ndarray]:
    return fit(lesson, fitting_of(**given), accelerator="cpu")


def task_of(lesson: Lesson, fitting: Fitting) -> RasterTask:
    """All networks, freshly drawn."""
    share = whole(len(lesson.weight))
    return RasterTask(lesson, fitting, share, Watch(share, None, lambda step, loss: None), None)


def trained_in_shares(lesson: Lesson, fitting: Fitting, bounds: list[int]) -> dict[str, np.ndarray]:
    """Networks trained between bounds, one share after another."""
    parts = []
    for start, stop in pairwise(bounds):
        share = Share(start=start, stop=stop, of=len(lesson.weight))
        watch = Watch(share, None, lambda step, loss: None)
        parts.append(train(lesson, fitting, share, Machine(accelerator="cpu", threads=2), watch))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def parameters_of(trained: dict[str, np.ndarray], lesson: Lesson) -> dict[str, np.ndarray]:
    """Parameters of the degree-day model, averaged over cells: (network,) each."""
    own = {name: torch.from_numpy(value) for name, value in trained.items()}
    cells = cells_of(lesson.surface, lesson.form)
    fields = networks.balances(own, lesson.form, cells, lesson.weather).fields
    found = networks.parameters(own, lesson.form, cells, fields)
    return {name: value.mean(1).numpy() for name, value in found.items()}


def rmse_of_annual(trained: dict[str, np.ndarray], lesson: Lesson) -> np.ndarray:
    """Of the yearly means of all glaciers, whether they were trained on or not: (network,) kg m-2."""
    own = {name: torch.from_numpy(value) for name, value in trained.items()}
    which = np.flatnonzero(lesson.functionals.kind == "annual")
    found = predict(own, lesson.form, lesson.functionals, which, lesson.surface, lesson.weather)
    rmse: np.ndarray = np.sqrt(((found - lesson.functionals.value[which]) ** 2).mean(1))
    return rmse


def at_prior(form: Form, count: int = 2) -> dict[str, np.ndarray]:
    return {name: np.zeros((count, *shape), np.float32) for name, shape in form.shapes.items()}


@pytest.mark.parametrize("slack", [0.0, 0.5])
def test_the_known_parameters_of_a_glacier_are_recovered(slack: float) -> None:
    lesson = lesson_of(form_of(slack=slack), "annual", "band", "point")
    trained = fitted(lesson)
    found = parameters_of(trained, lesson)
    np.testing.assert_allclose(found["ddf_snow"], SNOW, rtol=0.15)
    np.testing.assert_allclose(found["ddf_ice"], ICE, rtol=0.15)
    np.testing.assert_allclose(found["precip_factor"], FACTOR, rtol=0.15)
    np.testing.assert_allclose(found["temp_bias"], BIAS, atol=0.4)
    spread = lesson.functionals.value[lesson.functionals.kind == "annual"].std()
    assert (rmse_of_annual(trained, lesson) < 0.12 * spread).all()


@pytest.mark.parametrize("kind", ["point", "geodetic"])
def test_one_kind_alone_is_enough_to_better_the_prior(kind: str) -> None:
    lesson = lesson_of(form_of(), kind)
    assert set(lesson.functionals.kind[lesson.weight[0] > 0]) == {kind}
    trained, prior = fitted(lesson, steps=150), at_prior(lesson.form)
    assert (rmse_of_annual(trained, lesson) < 0.25 * rmse_of_annual(prior, lesson)).all()


def test_a_cnn_learns_from_the_same_observations() -> None:
    lesson = lesson_of(form_of(kind="cnn", slack=1.0))
    trained = fitted(lesson, learning_rate=0.3)
    assert not [name for name in trained if name.startswith("global")]
    assert (rmse_of_annual(trained, lesson) < 0.5 * rmse_of_annual(at_prior(lesson.form), lesson)).all()


def test_constraints_bind_a_network_that_is_free_to_break_them() -> None:
    lesson = lesson_of(form_of(kind="cnn", slack=1.0))
    excess = []
    for weight in (0.0, 10.0):
        trained = fitted(lesson, steps=60, learning_rate=0.3, constraint_weight=weight)
        own = {name: torch.from_numpy(value) for name, value in trained.items()}
        answer = networks.answer(own, lesson.form, cells_of(lesson.surface, lesson.form), lesson.weather)
        excess.append(constraints.penalties(answer))
    for name in ("cooler_is_not_worse", "wetter_is_not_worse", "melt_is_not_negative"):
        free, bound = (float(found[name].detach().sum()) for found in excess)
        assert bound < 0.3 * free, name


def test_nan_in_the_weather_stops_names_the_observations_and_keeps_good_parameters() -> None:
    lesson = lesson_of(form_of(), "annual", "point", outlines=2)
    lesson.weather.temp[1, 5, 3] = torch.nan  # glacier 1 in 1996
    taken: list[int] = []
    with pytest.raises(NonFiniteLossError, match=r"the loss is not finite after \d+ steps, at") as caught:
        fit(lesson, fitting_of(cell_years=120), accelerator="cpu", on_step=lambda step, loss: taken.append(step))
    words = str(caught.value)
    assert f"after {len(taken)} steps" in words
    assert len(taken) < len(epoch_of(lesson, 120))  # stops when it first comes to that year
    assert "observations of glacier 1," in words
    first, last = (int(year) for year in words.split("glacier 1, ")[1].split(";")[0].split(" to "))
    assert first <= 1996 <= last
    assert "check these observations and their climate for NaN" in words
    assert set(caught.value.state) == set(lesson.form.shapes)
    for name, value in caught.value.state.items():
        assert value.shape == (2, *lesson.form.shapes[name])
        assert torch.isfinite(value).all(), name


def test_parameters_kept_before_a_late_fault_are_those_learned_so_far() -> None:
    lesson = lesson_of(form_of(), "annual", "point")
    taken = []

    def spoil(step: int, loss: float) -> None:
        taken.append(step)
        if len(taken) == 20:
            lesson.weather.temp.fill_(torch.nan)

    with pytest.raises(NonFiniteLossError) as caught:
        fit(lesson, fitting_of(), accelerator="cpu", on_step=spoil)
    assert len(taken) < 30
    for value in caught.value.state.values():
        assert torch.isfinite(value).all()
    assert (caught.value.state["global.ddf_snow"].abs() > 0.1).all()


def test_the_same_seed_gives_the_same_parameters_bit_for_bit() -> None:
    lesson = lesson_of(form_of(), "annual", "band", "point", outlines=2)
    one, again, other = (fitted(lesson, steps=25, cell_years=200, seed=seed) for seed in (3, 3, 4))
    for name, value in one.items():
        np.testing.assert_array_equal(value, again[name], err_msg=name)
    assert not np.array_equal(one["conv1.weight"], other["conv1.weight"])
    assert not np.array_equal(one["global.ddf_snow"], other["global.ddf_snow"])


def test_training_leaves_which_algorithms_torch_may_take_as_it_was() -> None:
    within, lesson = [], lesson_of(form_of(), "annual")
    note = lambda step, loss: within.append(torch.are_deterministic_algorithms_enabled())  # noqa: E731
    fit(lesson, fitting_of(steps=2), accelerator="cpu", on_step=note)
    assert within == [True, True]
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_network_without_observations_stays_at_its_prior() -> None:
    lesson = lesson_of(form_of(), "annual", "point", count=3)
    lesson.weight[1] = 0
    trained = fitted(lesson, steps=40)
    for name in (*(f"global.{name}" for name in (*GLOBAL, *LOOSENED)), "effect.melt", "noise"):
        assert (trained[name][1] == 0).all(), name
    assert (np.abs(trained["global.ddf_snow"][[0, 2]]) > 0.1).all()
    prior = rmse_of_annual(at_prior(lesson.form, 3), lesson)
    found = rmse_of_annual(trained, lesson)
    assert found[1] == pytest.approx(prior[1], rel=0.1)
    assert (found[[0, 2]] < 0.5 * prior[0]).all()


@pytest.mark.timeout(10)
def test_a_lesson_without_any_observation_is_refused() -> None:
    lesson = lesson_of(form_of())
    lesson.weight[:] = 0
    with pytest.raises(ValueError, match="observation"):
        fitted(lesson, steps=3)


def test_a_glacier_left_out_moves_no_effect_of_its_own() -> None:
    lesson = lesson_of(form_of(), "annual", "band", outlines=2)
    lesson.weight[0, lesson.functionals.unit_id == "glacier 1"] = 0
    trained = fitted(lesson, steps=20)
    for name in ("effect.temperature", "effect.precipitation", "effect.melt"):
        assert (trained[name][0, 1] == 0).all()  # left out by the first network
        assert (trained[name][1, 1] != 0).any()
        assert (trained[name][:, 0] != 0).any()
        assert (trained[name][:, 2] == 0).all()  # no glacier that was not observed is trained on


def test_networks_that_take_turns_learn_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    lesson = lesson_of(form_of(), "annual", "point", count=3)
    together = fitted(lesson, steps=8)
    monkeypatch.setattr("glacierscale.training.raster_task.ELEMENTS_AT_ONCE", 1)
    in_turn = fitted(lesson, steps=8)
    for name, value in together.items():
        np.testing.assert_allclose(value, in_turn[name], atol=2e-3, err_msg=name)


@pytest.mark.parametrize("bounds", [[0, 1, 5], [0, 2, 3, 5]])
def test_networks_trained_in_shares_are_those_trained_at_once_bit_for_bit(bounds: list[int]) -> None:
    lesson = lesson_of(form_of(), "annual", "point", outlines=2, count=5)
    lesson.weight[0, lesson.functionals.unit_id == "glacier 1"] = 0  # a share must not cut steps of its own
    fitting = fitting_of(steps=12, cell_years=300, constraint_weight=1.0)
    whole, parts = (trained_in_shares(lesson, fitting, cut) for cut in ([0, 5], bounds))
    for name, value in whole.items():
        np.testing.assert_array_equal(parts[name], value, err_msg=name)


@pytest.mark.parametrize(("kinds", "pieces"), [(("annual", "point"), 2), (("annual",), 4), (("geodetic", "band"), 3)])
def test_gradients_of_the_pieces_of_a_step_add_up_to_those_of_the_step(kinds: tuple[str, ...], pieces: int) -> None:
    lesson = lesson_of(form_of(), *kinds, outlines=2, count=3)
    task = task_of(lesson, fitting_of(constraint_weight=1.0))

    def gradients(step: Step) -> dict[str, torch.Tensor]:
        for value in task.networks:
            value.grad = torch.zeros_like(value)
        if len(step.cells.elevation):
            task.descend(slice(0, 3), False, task.loss, step, slice(0, 3))
        task.descend(slice(0, 3), False, task.constraint_loss, step)
        return {
            name: value.grad for name, value in zip(task.names, task.networks, strict=True) if value.grad is not None
        }

    undivided = next(iter(Feed(lesson, 700, 0)))
    parts = [next(iter(Feed(lesson, 700, 0, piece=piece, pieces=pieces))) for piece in range(pieces)]
    assert sum(len(part.wanted.number) for part in parts) == len(undivided.wanted.number)
    assert sum(part.part for part in parts) == pytest.approx(1)
    assert min(len(part.cells.elevation) * part.weather.temp.shape[1] for part in parts) < 40 * 15
    found = [gradients(part) for part in parts]
    for name, value in gradients(undivided).items():
        summed = torch.stack([one[name] for one in found]).sum(0)
        torch.testing.assert_close(summed, value, rtol=1e-5, atol=1e-5 * float(value.abs().max()), msg=name)


def test_a_feed_that_begins_later_goes_on_where_another_would_be() -> None:
    lesson = lesson_of(form_of(), "annual", "band", outlines=2)
    steps, later = iter(Feed(lesson, 200, 0)), iter(Feed(lesson, 200, 0, first=23))
    for _ in range(23):
        next(steps)
    for _ in range(5):
        one, other = next(steps), next(later)
        np.testing.assert_array_equal(one.wanted.number, other.wanted.number)
        assert one.name == other.name
        assert (one.probe is None) == (other.probe is None)


def test_the_error_travels_between_processes_with_the_good_parameters() -> None:
    error = pickle.loads(pickle.dumps(NonFiniteLossError("not finite", {"noise": torch.ones(2)})))
    assert isinstance(error, NonFiniteLossError)
    assert str(error) == "not finite"
    assert torch.equal(error.state["noise"], torch.ones(2))


def test_the_loss_of_one_network_does_not_know_the_others() -> None:
    lesson = lesson_of(form_of(), "annual", "point", count=3)
    lesson.weight[1, ::2] = 0
    task = task_of(lesson, fitting_of())
    batch = next(iter(Feed(lesson, 600, 0)))
    whole = task.loss(task.own, batch, slice(0, 3))
    for number in range(3):
        which = slice(number, number + 1)
        alone = task.loss({name: value[which] for name, value in task.own.items()}, batch, which)
        torch.testing.assert_close(alone[0], whole[number], rtol=1e-5, atol=0.0)
    whole[1].backward()
    for name, value in zip(task.names, task.networks, strict=True):
        assert value.grad is not None
        assert (value.grad[[0, 2]] == 0).all(), name


def epoch_of(lesson: Lesson, cell_years: int) -> list[Any]:
    """The steps of one epoch."""
    trained = np.flatnonzero(lesson.weight.any(axis=0))
    steps, held = [], 0
    for step in Feed(lesson, cell_years, 0):
        steps.append(step)
        held += len(step.wanted.number)
        if held >= len(trained):
            return steps
    raise AssertionError


def test_an_epoch_holds_every_observation_trained_on_once() -> None:
    lesson = lesson_of(form_of(), "annual", "band", outlines=2)
    lesson.weight[:, ::7] = 0
    for cell_years in (40, 300, 10**6):
        held = np.concatenate([step.wanted.number.numpy() for step in epoch_of(lesson, cell_years)])
        assert sorted(held) == np.flatnonzero(lesson.weight.any(axis=0)).tolist()


def test_observations_pull_alike_in_small_and_in_large_steps() -> None:
    lesson = lesson_of(form_of(), "annual", "point", outlines=2, count=1)
    few = (lesson.functionals.unit_id == "glacier 1") & (lesson.functionals.last_year > 1992)
    lesson.weight[:, few] = 0  # glacier 1 fills a small step, glacier 0 large ones
    task, steps = task_of(lesson, fitting_of()), epoch_of(lesson, 200)
    pulls: dict[str, list[float]] = {"glacier 0": [], "glacier 1": []}
    for step in steps:
        value = step.wanted.value.clone().requires_grad_()
        wanted = dataclasses.replace(step.wanted, value=value)
        own = {name: parameter[:1] for name, parameter in task.own.items()}
        task.loss(own, dataclasses.replace(step, wanted=wanted), slice(0, 1)).sum().backward()
        with torch.no_grad():
            monthly = networks.balances(task.own, lesson.form, step.cells, step.weather).monthly
            away = value - likelihood.observe(monthly, step.wanted)[0]
            noise = likelihood.noise_std(task.own, lesson.form)[0, wanted.kind]
            weight = torch.from_numpy(lesson.weight[0])[wanted.number]
            usual = weight * away / (wanted.sigma**2 + noise**2)  # slope of the log likelihood
            pull = value.grad / usual
        far = away.abs() > 10
        for unit, one in zip(lesson.functionals.unit_id[wanted.number[far].numpy()], pull[far].tolist(), strict=True):
            pulls[unit].append(one)
    assert len(steps) > 3
    # The mean over an epoch's steps is the likelihood of all, which the loss states per independent value.
    expected = len(steps) / lesson.weight.sum()
    for unit, found in pulls.items():
        assert np.mean(found) == pytest.approx(expected, rel=0.05), unit


def test_something_is_called_after_every_step() -> None:
    lesson, taken = lesson_of(form_of(), "annual"), []
    fit(lesson, fitting_of(steps=7), accelerator="cpu", on_step=lambda step, loss: taken.append(step))
    assert taken == list(range(1, 8))


def test_training_leaves_the_lesson_as_it_was() -> None:
    lesson = lesson_of(form_of(), "annual")
    before = lesson.weather.temp.clone(), lesson.surface.context.copy(), lesson.weight.copy()
    fitted(lesson, steps=5)
    assert torch.equal(lesson.weather.temp, before[0])
    np.testing.assert_array_equal(lesson.surface.context, before[1])
    np.testing.assert_array_equal(lesson.weight, before[2])


def test_freshly_drawn_networks_differ_and_begin_at_the_centre_of_the_priors() -> None:
    form = form_of()
    drawn = draw(form, 3, seed=1)
    assert {name: tuple(value.shape[1:]) for name, value in drawn.items()} == form.shapes
    assert all((value == 0).all() for name, value in drawn.items() if not name.endswith(".weight"))
    assert not torch.equal(drawn["conv1.weight"][0], drawn["conv1.weight"][1])
    assert torch.equal(drawn["conv1.weight"], draw(form, 3, seed=1)["conv1.weight"])
    assert not torch.equal(drawn["conv1.weight"], draw(form, 3, seed=2)["conv1.weight"])
