"""Which predictor belongs to which driver, and what moves along with it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from glacierscale.evaluation import drivers
from tests.evaluation import linear


@pytest.fixture(scope="module")
def rows() -> Any:
    return linear.rows()


@pytest.fixture(scope="module")
def made(rows: Any) -> Any:
    return linear.model(rows)


@pytest.mark.parametrize(
    ("predictor", "north", "south"),
    [
        ("cpdd_anomaly", "temperature", "temperature"),
        ("cpdd", "temperature", "temperature"),
        ("temp_jan", "temperature", "temperature"),
        ("summer_temp_anomaly", "temperature", "temperature"),
        ("winter_snow_anomaly", "winter snow", "winter snow"),
        ("summer_snow", "summer snow", "summer snow"),
        ("snow_jan_anomaly", "winter snow", "summer snow"),
        ("snow_jul_anomaly", "summer snow", "winter snow"),
        ("cos_aspect", "topography", "topography"),
        ("snow_line", "other", "other"),
        ("albedo", "other", "other"),
    ],
)
def test_every_predictor_belongs_to_one_driver_and_months_know_their_season(
    predictor: str, north: str, south: str
) -> None:
    assert drivers.group_of(predictor, "north") == north
    assert drivers.group_of(predictor, "south") == south


def test_a_driver_takes_its_months_along_and_nothing_else(made: Any, rows: Any) -> None:
    links = drivers.links_of(made, drivers.sample_of(made, rows))
    assert links.names == ("temperature", "winter snow", "summer snow")
    assert links.leader == (0, 1, 2)
    np.testing.assert_allclose(links.loading[0, [0, 3]], [1, 0.95], atol=0.05)  # July follows degree days
    assert np.count_nonzero(links.loading) == 4
    np.testing.assert_allclose(np.diag(links.loading), 1)


def test_the_base_moves_with_its_driver_by_what_the_bands_feel(made: Any, rows: Any) -> None:
    links = drivers.links_of(made, drivers.sample_of(made, rows))
    cpdd, winter, summer = made.scaler.std[0, :3]
    np.testing.assert_allclose(links.degree_days[:, 3], [cpdd, 0, 0], rtol=1e-3)
    np.testing.assert_allclose(links.snow[:, 3], [0, winter, summer], rtol=1e-3)
    change = links.of_base(made.base)
    assert change.shape == (len(made.plan.folds), 3)
    factors = np.array([-made.base.degree_day_factor[0], made.base.precip_factor[0], made.base.precip_factor[0]])
    np.testing.assert_allclose(change[0], factors * [cpdd, winter, summer], rtol=1e-3)
    np.testing.assert_allclose(factors, [linear.MELT, linear.SNOW, linear.SNOW], rtol=0.1)


def test_glaciers_with_one_row_each_are_compared_with_one_another(made: Any, rows: Any) -> None:
    first = np.flatnonzero(rows.hydro_year == 1990)
    one = dataclasses.replace(
        rows,
        design=rows.design.take(first),
        **{name: getattr(rows, name)[first] for name in ("unit_id", "hydro_year", "observed", "sigma")},
    )
    links = drivers.links_of(made, drivers.sample_of(made, one))
    assert links.loading[0, 3] != 0


def test_rows_come_in_one_order_and_broken_ones_are_named(made: Any, rows: Any) -> None:
    order = np.random.default_rng(0).permutation(len(rows))
    mixed = dataclasses.replace(
        rows,
        design=rows.design.take(order),
        **{name: getattr(rows, name)[order] for name in ("unit_id", "hydro_year", "observed", "sigma")},
    )
    np.testing.assert_array_equal(drivers.sample_of(made, mixed).scaled, drivers.sample_of(made, rows).scaled)
    observed = rows.observed.copy()
    observed[[31, 40]] = np.nan
    with pytest.raises(ValueError, match="2 of 360 rows hold numbers that are not finite, the first G01 in 1982"):
        drivers.sample_of(made, dataclasses.replace(rows, observed=observed))


def test_rows_weigh_as_they_did_in_training(made: Any, rows: Any) -> None:
    sigma = np.where(rows.hydro_year < 1996, 100.0, 200.0)
    uneven = dataclasses.replace(rows, sigma=sigma)
    assert np.ptp(drivers.sample_of(made, uneven).weight) == pytest.approx(3 / 4 / np.mean(1e4 / sigma**2))
    stamp = dataclasses.replace(made.stamp, options={"geodetic_sigma": 250.0})
    geodetic = dataclasses.replace(made, row_kind="geodetic", stamp=stamp)
    weight = drivers.sample_of(geodetic, uneven).weight
    assert weight.max() / weight.min() == pytest.approx((200**2 + 250**2) / (100**2 + 250**2))


def test_a_model_without_climate_has_no_drivers(made: Any, rows: Any) -> None:
    bare = dataclasses.replace(made, predictors=("a", "b", "c", "d", "slope20", "area"))
    links = drivers.links_of(bare, drivers.sample_of(made, rows))
    assert links.names == ()
    assert links.of_base(made.base).shape == (len(made.plan.folds), 0)


def test_without_its_leader_a_driver_follows_the_predictor_that_is_most_like_the_base(made: Any, rows: Any) -> None:
    names = ("temp_jun_anomaly", "snow_jan_anomaly", "snow_jul_anomaly", "temp_jul_anomaly", "slope20", "area")
    links = drivers.links_of(dataclasses.replace(made, predictors=names), drivers.sample_of(made, rows))
    assert links.names == ("temperature", "winter snow", "summer snow")
    assert [names[at] for at in links.leader] == ["temp_jun_anomaly", "snow_jan_anomaly", "snow_jul_anomaly"]
    noisy = ("temp_jul_anomaly", *names[1:3], "temp_jun_anomaly", *names[4:])  # the better one last
    predictors = rows.design.predictors[:, [3, 1, 2, 0, 4, 5]]
    swapped = dataclasses.replace(rows, design=dataclasses.replace(rows.design, predictors=predictors))
    scaler = dataclasses.replace(
        made.scaler, mean=made.scaler.mean[:, [3, 1, 2, 0, 4, 5]], std=made.scaler.std[:, [3, 1, 2, 0, 4, 5]]
    )
    other = dataclasses.replace(made, predictors=noisy, scaler=scaler)
    assert drivers.links_of(other, drivers.sample_of(other, swapped)).leader[0] == 3
