"""Effects of the linear model: a known truth comes back, with intervals and stability that mean what they say."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glacierscale.evaluation import causes, drivers
from tests.evaluation import linear


@pytest.fixture(scope="module")
def rows() -> Any:
    return linear.rows()


@pytest.fixture(scope="module")
def made(rows: Any) -> Any:
    return linear.model(rows)


@pytest.fixture(scope="module")
def table(made: Any, rows: Any) -> pd.DataFrame:
    return causes.effects(made, rows, 0)


def taken(rows: Any, chosen: np.ndarray) -> Any:
    names = ("unit_id", "hydro_year", "observed", "sigma", "lon", "lat", "ols_terms")
    return dataclasses.replace(
        rows, design=rows.design.take(chosen), **{name: getattr(rows, name)[chosen] for name in names}
    )


def of(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    return table[table.kind == kind].set_index("predictor")


def test_a_linear_truth_is_recovered_by_base_and_correction_together(table: pd.DataFrame, made: Any) -> None:
    cpdd, winter, summer = made.scaler.std[0, :3]
    whole = of(table, "driver")
    truth = {
        "temperature": linear.MELT * cpdd,
        "winter snow": linear.SNOW * winter,
        "summer snow": linear.SNOW * summer,
    }
    for name, value in truth.items():
        assert whole.effect[name] == pytest.approx(value, rel=0.06)
        assert whole.low[name] < whole.effect[name] < whole.high[name]
    single = of(table, "predictor")
    assert single.effect["slope20"] == pytest.approx(linear.SLOPE, rel=0.25)  # shrunken
    assert abs(single.effect["area"]) < 20
    np.testing.assert_allclose(table.base + table.correction, table.effect)
    assert single.base["slope20"] == 0


def test_without_a_base_the_correction_carries_the_same_effects() -> None:
    alike = linear.rows(spread=0.0)
    bare = linear.model(alike, base=False)
    whole = of(causes.effects(bare, alike, 0), "driver")
    assert (whole.base == 0).all()
    assert whole.effect["temperature"] == pytest.approx(linear.MELT * bare.scaler.std[0, 0], rel=0.06)


def test_what_matters_keeps_its_sign_and_what_does_not_is_not_selected(table: pd.DataFrame) -> None:
    single = of(table, "predictor")
    for name in ("cpdd_anomaly", "winter_snow_anomaly", "summer_snow_anomaly", "slope20"):
        assert single.same_sign[name] > 0.97
        assert single.folds_same_sign[name] == 1
    assert single.selected["slope20"] > 0.97
    assert single.selected["area"] < 0.9
    shares = table[["selected", "same_sign", "folds_same_sign"]].to_numpy()
    assert np.nanmin(shares) >= 0
    assert np.nanmax(shares) <= 1


def test_intervals_widen_with_fewer_glaciers() -> None:
    many = linear.rows(24, spread=0.0, uneven=1.0)

    def width(rows: Any) -> float:
        found = of(causes.effects(linear.model(rows), rows, 0), "driver").loc["temperature"]
        return float(found.high - found.low)

    number = np.char.lstrip(many.unit_id, "G").astype(int)
    few = [width(taken(many, np.flatnonzero(number // 4 == group))) for group in range(3)]
    assert np.mean(few) > 1.5 * width(many)


def test_the_order_of_rows_changes_nothing_and_the_seed_decides(table: pd.DataFrame, made: Any, rows: Any) -> None:
    order = np.random.default_rng(3).permutation(len(rows))
    pd.testing.assert_frame_equal(causes.effects(made, taken(rows, order), 0), table)
    other = causes.effects(made, rows, 1)
    np.testing.assert_array_equal(other.effect, table.effect)
    assert not np.array_equal(other.low, table.low)


def test_interactions_are_told_with_the_names_of_both(rows: Any) -> None:
    crossed = linear.model(rows, interactions=True)
    table = of(causes.effects(crossed, rows, 0), "interaction")
    assert "slope20 x cpdd_anomaly" in table.index
    assert len(table) == len(crossed.nets["lasso"].pairs)
    assert (table.base == 0).all()


def test_any_net_has_local_effects_and_those_of_a_linear_one_are_its_coefficients(made: Any, rows: Any) -> None:
    plain = SimpleNamespace(members=made.nets["lasso"].members)
    both = causes.effects(dataclasses.replace(made, nets={"lasso": made.nets["lasso"], "plain": plain}), rows, 0)
    lasso, other = both[both.model == "lasso"], both[both.model == "plain"]
    np.testing.assert_allclose(other.effect, lasso.effect, atol=1e-4)
    assert other.selected.isna().all()
    alone = causes.effects(dataclasses.replace(made, nets={"plain": plain}), rows, 0)
    assert set(alone.model) == {"plain"}


def test_a_base_without_its_predictors_is_said(made: Any, rows: Any, caplog: pytest.LogCaptureFixture) -> None:
    bare = dataclasses.replace(made, predictors=("a", "b", "c", "d", "slope20", "area"))
    table = causes.effects(bare, rows, 0)
    assert "driver" not in set(table.kind)
    assert "through cpdd, winter_snow, summer_snow is not in the effects: no such predictor" in caplog.text


def test_glaciers_and_years_are_drawn_together_but_few_years_are_kept(made: Any, rows: Any) -> None:
    sample = drivers.sample_of(made, rows)
    weight = causes.drawn_weights(sample, np.random.default_rng(0)).reshape(causes.REFITS, 12, 30)
    per_glacier, per_year = weight.sum(axis=2), weight.sum(axis=1)
    product = per_glacier[:, :, None] * per_year[:, None, :] / weight.sum(axis=(1, 2))[:, None, None]
    np.testing.assert_allclose(weight, product, atol=1e-9)
    assert ((per_glacier == 0).mean(), (per_year == 0).mean()) == pytest.approx((0.35, 0.36), abs=0.03)
    short = drivers.sample_of(made, taken(rows, np.flatnonzero(rows.hydro_year < 1984)))
    weight = causes.drawn_weights(short, np.random.default_rng(0)).reshape(causes.REFITS, 12, 3)
    assert (weight == weight[:, :, :1]).all()


def test_rows_that_cannot_be_resampled_are_refused(made: Any, rows: Any) -> None:
    one = drivers.sample_of(made, taken(rows, np.flatnonzero((rows.unit_id == "G00") & (rows.hydro_year == 1990))))
    with pytest.raises(ValueError, match="1 rows of one glacier and year cannot be resampled; expected several"):
        causes.drawn_weights(one, np.random.default_rng(0))
