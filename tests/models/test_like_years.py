"""What nets leave in years of the same weather, against effects that were put in."""

from __future__ import annotations

import numpy as np
import pytest

from glacierscale.models.like_years import LikeYears, Years, fit, likeness

YEARS, GLACIERS = 30, 12


@pytest.fixture
def world():
    """Weather of years, their effects, and what a net leaves of every glacier and year."""
    rng = np.random.default_rng(4)
    weather = rng.normal(scale=1.5, size=(YEARS, 12))
    effect = rng.normal(scale=400.0, size=YEARS)
    year = np.repeat(np.arange(1980, 1980 + YEARS), GLACIERS)
    left = np.repeat(effect, GLACIERS) + rng.normal(scale=200.0, size=YEARS * GLACIERS)
    return weather, effect, year, left


def fitted(world, group, members=1):
    weather, _, year, left = world
    years = Years.of(year, np.repeat(weather, GLACIERS, axis=0))
    carried, blind = fit(left, np.ones(len(left)), years, group, members=members, seed=[0])
    return LikeYears(weather=years.weather, spread=years.spread, weight=carried[None], residual_std=np.ones(1)), blind


def test_effects_of_years_are_found_again_and_shrunk(world):
    weather, effect, year, left = world
    net, _ = fitted(world, year)
    found = net.effect(0, weather)[0]
    error = np.sqrt(np.mean((found - effect) ** 2))
    assert error < 1.3 * 200 / np.sqrt(GLACIERS)  # the mean of 12 glaciers tells no better
    means = left.reshape(YEARS, GLACIERS).mean(axis=1)
    assert np.mean(np.abs(found)) < np.mean(np.abs(means))


def test_a_year_of_other_weather_has_no_effect(world):
    net, _ = fitted(world, world[2])
    strange = np.random.default_rng(9).normal(scale=1.5, size=(50, 12))
    assert np.abs(net.effect(0, strange)).max() < 0.1 * np.abs(world[1]).max()


def test_rows_are_judged_without_their_group(world):
    weather, effect, year, left = world
    glacier = np.tile(np.arange(GLACIERS), YEARS)
    _, by_glacier = fitted(world, glacier)
    _, by_year = fitted(world, year)
    assert np.abs(by_year).max() < 0.1 * np.abs(effect).max()  # no other year is like it
    assert np.corrcoef(by_glacier, np.repeat(effect, GLACIERS))[0, 1] > 0.97
    wild = left.copy()
    wild[7] += 1e4
    years = Years.of(year, np.repeat(weather, GLACIERS, axis=0))
    kept = by_glacier[7]
    moved = fit(wild, np.ones(len(wild)), years, glacier, members=1, seed=[0])[1]
    # its own value moves the two variances, not what the others of its year say
    assert abs(moved[7] - kept) < 0.5 * abs(kept)
    assert abs(moved[8] - by_glacier[8]) > 100


def test_members_spread_around_the_prediction_as_far_as_it_errs(world):
    weather, effect, year, _ = world
    many, _ = fitted(world, year, members=400)
    one, _ = fitted(world, year)
    found = many.effect(0, weather)
    np.testing.assert_allclose(found.mean(axis=0), one.effect(0, weather)[0], atol=1e-6)
    error = np.sqrt(np.mean((found.mean(axis=0) - effect) ** 2))
    assert 0.6 < np.sqrt((found.std(axis=0, ddof=1) ** 2).mean()) / error < 1.6


def test_noise_alone_has_no_effects(world):
    weather, _, year, _ = world
    left = np.tile(np.random.default_rng(1).permuted(np.linspace(-300, 300, GLACIERS)), YEARS)
    years = Years.of(year, np.repeat(weather, GLACIERS, axis=0))
    carried, blind = fit(left, np.ones(len(left)), years, year, members=3, seed=[0])
    assert not carried.any()
    assert not blind.any()


def test_rows_that_do_not_train_tell_nothing(world):
    weather, _, year, left = world
    some = np.where(year == 1990, np.nan, left)
    years = Years.of(year, np.repeat(weather, GLACIERS, axis=0))
    carried, blind = fit(some, np.ones(len(left)), years, year, members=1, seed=[0])
    assert carried[0, 10] == 0
    assert np.abs(carried[0]).max() > 100
    assert not blind[year == 1990].any()


def test_likeness_is_one_for_the_same_weather_and_falls_with_its_difference():
    weather = np.stack([np.zeros(12), np.full(12, 0.3), np.full(12, 3.0)])
    alike = likeness(weather, weather, np.ones(12))
    np.testing.assert_allclose(np.diag(alike), 1)
    assert alike[0, 1] == pytest.approx(np.exp(-0.5))
    assert alike[0, 2] < 1e-10


def test_one_year_is_refused():
    with pytest.raises(ValueError, match=r"like_years asks for rows of 2 years or more; came those of \[1990\]"):
        Years.of(np.full(3, 1990), np.zeros((3, 12)))
