"""A model's months get the observed mean and variability over the reference and keep their own changes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glacierscale.evolution import adjustment
from glacierscale.evolution.adjustment import Climate, adjusted_precipitation, adjusted_temperature, on_years

YEARS = np.arange(1900, 2101)
OBSERVED = (YEARS >= 1955) & (YEARS <= 2014)
SEASON = np.cos(2 * np.pi * (np.arange(12) - 9) / 12)
GLACIERS = 3


def climates(seed: int = 1, *, spread: float = 1.4, cv: float = 1.3) -> SimpleNamespace:
    """A model that warms and dries, and an observed climate of other mean and variability."""
    rng = np.random.default_rng(seed)
    shape = (GLACIERS, len(YEARS), 12)
    warming = 0.04 * np.maximum(YEARS - 1980, 0)[None, :, None]
    drying = np.exp(-0.003 * np.maximum(YEARS - 1980, 0))[None, :, None]
    c = SimpleNamespace(rng=rng)
    modelled = (
        5 + 8 * SEASON + warming + rng.normal(0, 1.5, shape),
        80 * drying * rng.gamma(9, 1 / 9, shape),
    )
    observed = (
        -4 + 10 * SEASON + 0.5 * warming + rng.normal(0, 1.5 * spread, shape),
        120 * rng.gamma(9 / cv**2, cv**2 / 9, shape),
    )
    c.modelled = on_years(*modelled, YEARS, YEARS)
    c.observed = on_years(*(values[:, OBSERVED] for values in observed), YEARS[OBSERVED], YEARS)
    c.reference = c.observed.known & c.modelled.known
    return c


def change(
    values: np.ndarray, late: tuple[int, int] = (2071, 2100), early: tuple[int, int] = (1971, 2000)
) -> np.ndarray:
    """Mean of the late years less that of the early ones, by glacier and month."""
    spans = [np.isin(YEARS, np.arange(first, last + 1)) for first, last in (late, early)]
    return np.asarray(values[:, spans[0]].mean(axis=1) - values[:, spans[1]].mean(axis=1))


def test_means_over_the_reference_are_the_observed_ones() -> None:
    c = climates()
    for adjusted, observed in (
        (adjusted_temperature(c.observed, c.modelled, c.reference), c.observed.temp),
        (adjusted_precipitation(c.observed, c.modelled, c.reference), c.observed.precip),
    ):
        np.testing.assert_allclose(adjusted[:, OBSERVED].mean(axis=1), observed[:, OBSERVED].mean(axis=1), rtol=1e-12)


def test_deviations_over_the_reference_are_the_observed_ones() -> None:
    c = climates()
    temp = adjusted_temperature(c.observed, c.modelled, c.reference)[:, OBSERVED]
    precip = adjusted_precipitation(c.observed, c.modelled, c.reference)[:, OBSERVED]
    # What differs is the trends inside the reference, which stay the model's own.
    np.testing.assert_allclose(temp.std(axis=1), c.observed.temp[:, OBSERVED].std(axis=1), rtol=0.15)
    np.testing.assert_allclose(precip.std(axis=1), c.observed.precip[:, OBSERVED].std(axis=1), rtol=0.1)
    before = c.modelled.temp[:, OBSERVED].std(axis=1) / c.observed.temp[:, OBSERVED].std(axis=1)
    assert before.mean() == pytest.approx(1 / 1.4, rel=0.1)


def departures(temp: np.ndarray, known: np.ndarray) -> np.ndarray:
    return np.asarray(temp - adjustment._running(temp, known, slope=True))


def relative_sums(precip: np.ndarray, known: np.ndarray, months: slice) -> np.ndarray:
    return adjustment._relative(precip[..., months].sum(axis=-1, keepdims=True), known)


def test_residual_temperature_has_the_observed_deviation() -> None:
    c = climates()
    trend = adjustment._running(c.modelled.temp, c.modelled.known, slope=True)
    adjusted = adjusted_temperature(c.observed, c.modelled, c.reference)
    shift = c.observed.temp[:, OBSERVED].mean(axis=1, keepdims=True) - adjusted[:, OBSERVED].mean(axis=1, keepdims=True)
    assert np.abs(shift).max() < 1e-12
    ours = departures(c.observed.temp, c.observed.known)
    np.testing.assert_allclose((adjusted - trend)[:, OBSERVED].std(axis=1), ours[:, OBSERVED].std(axis=1), rtol=0.01)


def persistent(c: SimpleNamespace) -> Climate:
    """A model whose months follow the season and the year that they are in, more than the observed ones do."""
    shared = 0.5 * c.rng.normal(size=(GLACIERS, len(YEARS), 1))
    of_season = np.repeat(0.5 * c.rng.normal(size=(GLACIERS, len(YEARS), 2)), (7, 5), axis=-1)
    temp = c.modelled.temp + shared + of_season
    return Climate(temp, c.modelled.precip * np.exp(0.2 * (shared + of_season)), c.modelled.known)


@pytest.mark.parametrize("months", [slice(0, 7), slice(7, 12), slice(0, 12)], ids=["winter", "summer", "year"])
def test_seasons_and_years_vary_as_observed_although_months_of_the_model_go_together(months: slice) -> None:
    c = climates()
    modelled = persistent(c)
    temp = adjusted_temperature(c.observed, modelled, c.reference)
    precip = adjusted_precipitation(c.observed, modelled, c.reference)
    ours, theirs = (
        departures(values, known)[:, OBSERVED][..., months].mean(axis=-1).std(axis=1)
        for values, known in ((c.observed.temp, c.observed.known), (temp, modelled.known))
    )
    np.testing.assert_allclose(theirs, ours, rtol=0.05)
    ours, theirs = (
        relative_sums(values, known, months)[:, OBSERVED].std(axis=1)
        for values, known in ((c.observed.precip, c.observed.known), (precip, modelled.known))
    )
    np.testing.assert_allclose(theirs, ours, rtol=0.05)


def test_months_that_go_together_leave_the_changes_of_the_model() -> None:
    c = climates()
    modelled = persistent(c)
    adjusted = adjusted_temperature(c.observed, modelled, c.reference)
    assert np.abs(change(adjusted).mean(axis=1) - change(modelled.temp).mean(axis=1)).max() < 0.1
    wet = adjusted_precipitation(c.observed, modelled, c.reference)
    late = YEARS > 2070
    ours, theirs = (v[:, late].mean(axis=1) / v[:, OBSERVED].mean(axis=1) for v in (wet, modelled.precip))
    assert np.abs(ours.mean(axis=1) / theirs.mean(axis=1) - 1).max() < 0.03


@pytest.mark.parametrize(("spread", "error"), [(0.2, 0.05), (1.0, 0.03), (1.4, 0.05), (5.0, 0.12)])
def test_the_warming_is_that_of_the_model_whatever_the_variability(spread: float, error: float) -> None:
    c = climates(spread=spread)
    adjusted = adjusted_temperature(c.observed, c.modelled, c.reference)
    assert np.abs(change(adjusted) - change(c.modelled.temp)).max() < 0.4  # of 3.6 K, one month
    assert (
        np.abs(change(adjusted).mean(axis=1) - change(c.modelled.temp).mean(axis=1)).max() < error
    )  # chance gives a mean of 30 years 0.08


def test_a_straight_warming_is_not_scaled_up_to_the_last_year() -> None:
    c = climates()
    straight = np.broadcast_to(0.05 * (YEARS - 1900)[None, :, None], c.modelled.temp.shape)
    rng = np.random.default_rng(2)
    modelled = c.modelled._replace(temp=straight + 1e-3 * rng.normal(size=straight.shape))
    adjusted = adjusted_temperature(c.observed, modelled, c.reference)
    np.testing.assert_allclose(adjusted[:, -1] - adjusted[:, 100], 0.05 * 100, atol=0.01)


@pytest.mark.parametrize("cv", [0.5, 1.0, 1.3, 1.8])
def test_the_change_of_precipitation_is_that_of_the_model(cv: float) -> None:
    c = climates(cv=cv)
    adjusted = adjusted_precipitation(c.observed, c.modelled, c.reference)
    late = YEARS > 2070
    ours = adjusted[:, late].mean(axis=1) / adjusted[:, OBSERVED].mean(axis=1)
    theirs = c.modelled.precip[:, late].mean(axis=1) / c.modelled.precip[:, OBSERVED].mean(axis=1)
    assert theirs.mean() == pytest.approx(0.77, abs=0.03)
    assert np.abs(ours / theirs - 1).max() < 0.08  # one month
    assert np.abs(ours.mean(axis=1) / theirs.mean(axis=1) - 1).max() < 0.02


def test_variability_is_changed_by_no_more_than_the_bounds() -> None:
    for spread, limit in ((20.0, 2.0), (0.01, 0.5)):
        c = climates(spread=spread, cv=spread)
        trend = adjustment._running(c.modelled.temp, c.modelled.known, slope=True)
        adjusted = adjusted_temperature(c.observed, c.modelled, c.reference)
        ratio = (adjusted - trend).std(axis=1) / (c.modelled.temp - trend).std(axis=1)
        np.testing.assert_allclose(ratio, limit, rtol=1e-6)
        precip = adjusted_precipitation(c.observed, c.modelled, c.reference)
        order = np.argsort(c.modelled.precip[0, OBSERVED, 0])
        assert np.isfinite(precip).all()
        grown = np.log(precip[0, OBSERVED, 0][order[-1]] / precip[0, OBSERVED, 0][order[0]])
        model = np.log(c.modelled.precip[0, OBSERVED, 0][order[-1]] / c.modelled.precip[0, OBSERVED, 0][order[0]])
        assert grown / model == pytest.approx(limit, rel=0.25)


def test_dry_months_are_handled() -> None:
    c = climates()
    modelled, observed = c.modelled.precip.copy(), c.observed.precip.copy()
    modelled[0, :, 3] = 0.0  # never any in the model
    modelled[0, :, 4] *= c.rng.random(len(YEARS)) < 0.3  # in most years none
    modelled[0, OBSERVED, 5] = 0.0  # none in the reference
    modelled[0, OBSERVED, 6] *= 0.01  # too little in the reference to tell
    observed[0, :, 7] = 0.0  # none observed
    observed[0, :, 8] = 100.0  # always the same
    adjusted = adjusted_precipitation(
        c.observed._replace(precip=observed), c.modelled._replace(precip=modelled), c.reference
    )
    assert (adjusted >= 0).all()
    means = observed[0, OBSERVED].mean(axis=0)
    for month in (3, 5, 6):
        np.testing.assert_allclose(adjusted[0, :, month], means[month], rtol=1e-12)
    assert (adjusted[0, modelled[0, :, 4] == 0, 4] == 0).all()
    assert adjusted[0, OBSERVED, 4].mean() == pytest.approx(means[4], rel=1e-12)
    assert (adjusted[0, :, 7] == 0).all()
    assert adjusted[0, OBSERVED, 8].std() < modelled[0, OBSERVED, 8].std() * 100 / 80


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), shape=st.floats(0.05, 20), dry=st.floats(0, 0.95))
def test_precipitation_is_never_negative_nor_lost(seed: int, shape: float, dry: float) -> None:
    rng = np.random.default_rng(seed)
    size = (1, len(YEARS), 12)
    wet = 50 * rng.gamma(shape, 1 / shape, size) * (rng.random(size) >= dry)
    c = climates()
    one = Climate(c.modelled.temp[:1], wet, c.modelled.known[:1])
    observed = Climate(*(values[:1] for values in c.observed))
    adjusted = adjusted_precipitation(observed, one, c.reference[:1])
    assert np.isfinite(adjusted).all()
    assert (adjusted >= 0).all()
    np.testing.assert_allclose(adjusted[:, OBSERVED].mean(axis=1), observed.precip[:, OBSERVED].mean(axis=1), rtol=1e-9)


def test_glaciers_do_not_depend_on_each_other() -> None:
    c = climates()
    together = adjusted_precipitation(c.observed, c.modelled, c.reference)
    warm = adjusted_temperature(c.observed, c.modelled, c.reference)
    for at in range(GLACIERS):
        one = slice(at, at + 1)
        alone = [Climate(*(values[one] for values in climate)) for climate in (c.observed, c.modelled)]
        np.testing.assert_allclose(adjusted_precipitation(*alone, c.reference[one]), together[one], rtol=1e-9)
        np.testing.assert_allclose(adjusted_temperature(*alone, c.reference[one]), warm[one], atol=1e-9)


def test_the_running_mean_is_that_of_thirty_one_years_and_shrinks_at_the_ends() -> None:
    values = np.random.default_rng(0).normal(size=(1, 60, 1))
    known = np.ones((1, 60), bool)
    plain = adjustment._running(values, known, slope=False)[0, :, 0]
    assert plain[30] == pytest.approx(values[0, 15:46, 0].mean())
    assert plain[0] == pytest.approx(values[0, :16, 0].mean())
    fitted = adjustment._running(values, known, slope=True)[0, :, 0]
    np.testing.assert_allclose(fitted[15:45], plain[15:45], atol=1e-12)
    line = np.polyfit(np.arange(16), values[0, :16, 0], 1)
    assert fitted[0] == pytest.approx(line[1])
    known[0, 35] = False
    without = adjustment._running(values, known, slope=False)[0, 30, 0]
    assert without == pytest.approx(np.delete(values[0, 15:46, 0], 20).mean())
