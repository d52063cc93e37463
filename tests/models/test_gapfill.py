"""Gap filling: exact against a dense Gaussian, blind to what it predicts, and the trend where nothing is near."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest

from glacierscale.models import contrast, gapfill
from glacierscale.models.contrast import Doubt
from glacierscale.models.covariance import Covariance, Pairs, learn
from glacierscale.models.gapfill import Gapfill, predictive_std
from glacierscale.models.observed import Observed, Places

YEARS = 6
COVARIANCE = Covariance(
    region=300.0,
    vicinity=500.0,
    reach_km=80.0,
    slope=120.0,
    lasting=200.0,
    lasting_reach_km=30.0,
    lasting_slope=90.0,
    glacier=150.0,
    rest=250.0,
)
DOUBT = Doubt(share=0.7, std=0.2)


def places(count: int = 4, seed: int = 1) -> Places:
    rng = np.random.default_rng(seed)
    return Places(
        unit_id=np.array([f"glacier {n}" for n in range(count)]),
        lon=rng.uniform(6.0, 7.5, count),
        lat=rng.uniform(45.0, 46.0, count),
        height_m=rng.uniform(2600, 3200, count),
    )


def observed(value: np.ndarray | None = None, sigma: float = 200.0) -> Observed:
    """Annual balances of three glaciers, with gaps, and means of several years of the first and the fourth."""
    rng = np.random.default_rng(2)
    unit = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 0, 3])
    year = np.array([0, 1, 2, 4, 1, 2, 3, 0, 4])
    weight = np.zeros((11, YEARS))
    weight[np.arange(9), year] = 1
    weight[9, :5] = 0.2
    weight[10, 1:5] = 0.25
    return Observed(
        units=places(),
        trend=rng.normal(-500, 300, (4, YEARS)),
        unit=unit,
        weight=weight,
        value=rng.normal(-500, 800, 11) if value is None else value,
        sigma=np.array([sigma] * 9 + [60.0, 90.0]),
        blind=np.full(11, np.nan),
        unseen=np.full(11, np.nan),
    )


def dense(found: Observed, place: Places, height_m: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariance of every cell (glacier x year) of observed glaciers and others, and the functionals over them."""
    whole = Places(
        unit_id=np.append(found.units.unit_id, place.unit_id),
        lon=np.append(found.units.lon, place.lon),
        lat=np.append(found.units.lat, place.lat),
        height_m=np.append(found.units.height_m, place.height_m),
    )
    count = len(whole)
    covariance = np.zeros((count, YEARS, count, YEARS))
    c = COVARIANCE
    for a in range(count):
        for b in range(count):
            km = whole.take([a]).km(whole.take([b]))[0, 0]
            high = (whole.height_m[a] - height_m) * (whole.height_m[b] - height_m) / Covariance.HEIGHT_M**2
            same = float(whole.unit_id[a] == whole.unit_id[b])
            lasting = c.lasting**2 * np.exp(-km / c.lasting_reach_km) + c.lasting_slope**2 * high + c.glacier**2 * same
            yearly = c.region**2 + c.vicinity**2 * np.exp(-km / c.reach_km) + c.slope**2 * high + c.rest**2 * same
            covariance[a, :, b, :] = lasting + yearly * np.eye(YEARS)
    functional = np.zeros((len(found), count, YEARS))
    functional[np.arange(len(found)), found.unit] = found.weight
    return covariance, functional, np.arange(len(found.units), count)


def conditional(
    found: Observed, place: Places, trend: np.ndarray, left_out: int = -1, share: float = DOUBT.share
) -> tuple[np.ndarray, np.ndarray]:
    """The same by brute force: one Gaussian over all cells, conditioned on all observations but one."""
    covariance, functional, at = dense(found, place, float(found.units.height_m.mean()))
    kept = np.array([n for n in range(len(found)) if n != left_out])
    cells = covariance.reshape(len(covariance) * YEARS, -1)
    matrix = functional[kept].reshape(len(kept), -1)
    gain = np.linalg.solve(matrix @ cells @ matrix.T + np.diag(found.sigma[kept] ** 2), matrix @ cells).T
    seen = np.isin(place.unit_id, found.units.unit_id).all()
    taken = 0.0 if seen else share * contrast.of(found.units, found.trend, found)[found.unit]
    left = (found.value - found.trended + taken)[kept]
    after = (gain @ left).reshape(-1, YEARS)[at]
    variance = np.diag(cells - gain @ matrix @ cells).reshape(-1, YEARS)[at]
    own = 0.0 if seen else share * contrast.of(place, trend, found)[:, None]
    return trend - own + after, variance


def test_the_prediction_is_that_of_one_dense_gaussian() -> None:
    found, elsewhere = observed(), places(3, seed=9)
    elsewhere = dataclasses.replace(elsewhere, unit_id=np.array(["x", "y", "z"]))
    trend = np.random.default_rng(4).normal(-400, 300, (3, YEARS))
    mean, variance = Gapfill.of(found, COVARIANCE, DOUBT).predict(elsewhere, trend)
    wanted, left = conditional(found, elsewhere, trend)
    by_share = conditional(found, elsewhere, trend, share=1.0)[0] - conditional(found, elsewhere, trend, share=0.0)[0]
    np.testing.assert_allclose(mean, wanted, rtol=1e-9)
    np.testing.assert_allclose(variance, left + (DOUBT.std * by_share) ** 2, rtol=1e-9)
    assert np.abs(by_share).max() > 50


def test_an_observed_year_is_what_all_others_say_of_it() -> None:
    found = observed()
    mean, variance = Gapfill.of(found, COVARIANCE, DOUBT).predict(found.units, found.trend)
    for number in range(9):
        unit, year = found.unit[number], int(found.weight[number].argmax())
        wanted, left = conditional(found, found.units.take([unit]), found.trend[[unit]], left_out=number)
        assert mean[unit, year] == pytest.approx(wanted[0, year], rel=1e-9)
        assert variance[unit, year] == pytest.approx(left[0, year], rel=1e-9)


@pytest.mark.parametrize("wild", [1e9, -1e9])
def test_no_annual_balance_moves_the_value_of_its_own_glacier_and_year_by_a_bit(wild: float) -> None:
    found = observed()
    before = Gapfill.of(found, COVARIANCE).predict(found.units, found.trend)[0]
    for number in range(9):
        value = found.value.copy()
        value[number] = wild
        after = Gapfill.of(observed(value), COVARIANCE).predict(found.units, found.trend)[0]
        unit, year = found.unit[number], int(found.weight[number].argmax())
        assert after[unit, year] == before[unit, year]
        assert np.abs(after - before).max() > 100  # others follow


def test_the_mean_of_a_geodetic_period_is_met_within_its_error() -> None:
    found = observed()
    for error in (90.0, 5.0):
        tight = dataclasses.replace(found, sigma=np.append(found.sigma[:10], error))
        mean, _ = Gapfill.of(tight, COVARIANCE).predict(found.units, found.trend)
        assert abs(mean[3, 1:5].mean() - found.value[10]) < 2 * error


def test_far_from_everything_the_trend_stays_with_all_of_its_variance() -> None:
    lonely = Places(
        unit_id=np.array(["far"]), lon=np.array([-150.0]), lat=np.array([62.0]), height_m=np.array([2900.0])
    )
    trend = np.full((1, YEARS), -700.0)
    regional = dataclasses.replace(COVARIANCE, region=1e-6, slope=1e-6, lasting_slope=1e-6)  # these reach everywhere
    fill = Gapfill.of(observed(), regional)
    mean, variance = fill.predict(lonely, trend)
    np.testing.assert_allclose(mean, trend, rtol=1e-6)
    np.testing.assert_allclose(variance, fill.prior(lonely)[:, None] * np.ones(YEARS), rtol=1e-9)
    own = np.full((1, YEARS), 2 * np.sqrt(fill.prior(lonely)[0]))
    np.testing.assert_allclose(predictive_std(own, variance, fill.prior(lonely)[:, None], fill.error), own)


def test_two_balances_of_one_glacier_and_year_count_as_their_weighted_mean() -> None:
    found = observed()
    twice = found.take(np.append(np.arange(11), 4))
    twice = dataclasses.replace(twice, value=np.append(found.value, found.value[4] + 300))
    merged = twice.merged()
    assert len(merged) == 11
    at = np.flatnonzero((merged.unit == 1) & (merged.year == 1))
    np.testing.assert_allclose(merged.value[at], found.value[4] + 150)
    np.testing.assert_allclose(merged.sigma[at], 200 / np.sqrt(2))


def test_beyond_a_number_of_observations_the_nearest_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    found = observed()
    fill = Gapfill.of(found, COVARIANCE)
    monkeypatch.setattr(gapfill, "MOST", 5)
    near = fill.near(found.units.take([0]))
    assert len(near.observed) == 5
    assert (near.observed.unit == 0).all()


def test_a_copy_sent_elsewhere_predicts_the_same_without_its_factor() -> None:
    found = observed()
    fill = Gapfill.of(found, COVARIANCE)
    wanted = fill.predict(found.units, found.trend)
    sent = pickle.dumps(fill)
    copy = pickle.loads(sent)
    assert "solved" in vars(fill)
    assert "solved" not in vars(copy)
    np.testing.assert_array_equal(copy.predict(found.units, found.trend), wanted)


@pytest.mark.parametrize("sigma", [0.0, np.nan])
def test_an_error_that_is_not_above_zero_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match=r"observations cannot be conditioned on, such as .* errors above zero"):
        observed(sigma=sigma)


def test_without_any_observation_gap_filling_is_refused() -> None:
    with pytest.raises(ValueError, match=r"nothing was observed that gaps could be filled from"):
        observed().take(np.arange(0))


def test_what_is_learned_comes_near_the_covariance_that_made_the_residuals() -> None:
    rng = np.random.default_rng(8)
    truth = Covariance(vicinity=900.0, region=100.0, rest=200.0, glacier=100.0, reach_km=100.0)
    units, years = 12, 30
    unit, year = np.repeat(np.arange(units), years), np.tile(np.arange(years), units)
    where = places(units, seed=3)

    def pairs_of(which: np.ndarray) -> Pairs:
        some = where.take(unit[which])
        return Pairs(
            km=some.km(some),
            height=np.zeros((len(which), len(which))),
            same=(unit[which][:, None] == unit[which]).astype(float),
            years=(year[which][:, None] == year[which]).astype(float),
        )

    every = np.arange(units * years)
    whole = truth.between(pairs_of(every)) + 100.0**2 * np.eye(len(every))
    residual = np.linalg.cholesky(whole) @ rng.normal(size=len(every))
    found = learn(pairs_of, residual, np.full(len(every), 100.0), unit, np.zeros(len(every)))
    assert found.vicinity == pytest.approx(900, rel=0.35)
    assert found.rest == pytest.approx(200, rel=0.3)
    assert found.reach_km == pytest.approx(100, rel=0.6)
    assert found == learn(pairs_of, residual, np.full(len(every), 100.0), unit, np.zeros(len(every)))


def ranges(believed: float, count: int, seed: int) -> Observed:
    """Glaciers whose trend sets them apart by 400 kg m-2 or so, of which a share is true, and offsets of their own.

    The trend fits what it has seen of each glacier; what had not seen it says the contrast alone.
    """
    rng = np.random.default_rng(seed)
    units, years = places(count, seed), 12
    contrast_kg_m2, offset = rng.normal(0, 400, count), rng.normal(0, 100, count)
    true = believed * contrast_kg_m2 + offset
    unit, year = np.repeat(np.arange(count), years), np.tile(np.arange(years), count)
    weather = rng.normal(0, 300, years)
    return Observed(
        units=units,
        trend=true[:, None] + np.zeros(years),
        unit=unit,
        weight=np.eye(years)[year],
        value=true[unit] + weather[year] + rng.normal(0, 120, len(unit)),
        sigma=np.full(len(unit), 100.0),
        blind=contrast_kg_m2[unit],
        unseen=contrast_kg_m2[unit],
    )


@pytest.mark.parametrize("believed", [0.0, 0.5, 1.0])
def test_how_much_of_the_contrast_is_doubted_is_learned_from_predictions_that_had_not_seen_the_glacier(
    believed: float,
) -> None:
    few, many = (Gapfill.of(ranges(believed, count, seed=5)).doubt for count in (9, 25))
    for doubt in (few, many):
        assert abs(doubt.share - (1 - believed)) < 3 * doubt.std
        assert 0 <= doubt.share <= 1
    assert many.std < few.std < 0.25


def test_where_every_prediction_had_seen_its_glacier_the_prior_of_the_doubt_stays() -> None:
    found = ranges(1.0, 9, seed=5)
    nothing = np.full(len(found), np.nan)
    doubt = Gapfill.of(dataclasses.replace(found, blind=nothing, unseen=nothing)).doubt
    assert doubt == Doubt.before(9) == Doubt(share=80 / 89, std=0.5)


def test_what_was_taken_off_without_knowing_is_in_the_spread_of_glaciers_that_were_not_observed() -> None:
    found, elsewhere = observed(), places(3, seed=9)
    elsewhere = dataclasses.replace(elsewhere, unit_id=np.array(["x", "y", "z"]))
    trend = np.random.default_rng(4).normal(-400, 300, (3, YEARS))
    sure, unsure = (Gapfill.of(found, COVARIANCE, Doubt(share=0.9, std=std)) for std in (0.0, 0.5))
    assert (unsure.predict(elsewhere, trend)[1] > sure.predict(elsewhere, trend)[1]).all()
    for one, other in zip(*(fill.predict(found.units, found.trend) for fill in (sure, unsure)), strict=True):
        np.testing.assert_array_equal(one, other)  # observed glaciers keep theirs


def test_a_trend_that_is_wide_of_everything_leaves_a_covariance_that_can_be_factored() -> None:
    found = ranges(1.0, 9, seed=5)
    nothing = np.full(len(found), np.nan)
    fill = Gapfill.of(dataclasses.replace(found, trend=1e4 * found.trend, blind=nothing, unseen=nothing))
    assert fill.covariance.glacier < 1.1 * np.exp(5) * Covariance().glacier
    assert np.isfinite(fill.predict(found.units, found.trend)[0]).all()
