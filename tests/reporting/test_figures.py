"""Figures answer to the data they are given."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from glacierscale.reporting import figures


def predictions(rows: int = 40, models: tuple[str, ...] = ("lasso", "temperature_index")) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    observed = rng.normal(-300, 600, rows)
    tables = [
        pd.DataFrame(
            {"scheme": "logo", "model": model, "observed": observed, "predicted": observed + rng.normal(0, 200, rows)}
        )
        for model in models
    ]
    return pd.concat(tables, ignore_index=True)


def scores() -> pd.DataFrame:
    rows = [
        (scheme, model, metric, value + 0.01 * n, value - 0.05, value + 0.05, 40)
        for scheme in ("logo", "year_blocks")
        for n, model in enumerate(("lasso", "mlp", "training_mean"))
        for metric, value in {"rmse": 350.0, "coverage50": 0.45, "coverage90": 0.85}.items()
        if metric == "rmse" or model != "training_mean"
    ]
    return pd.DataFrame(rows, columns=["scheme", "model", "metric", "value", "low", "high", "n"])


@pytest.mark.parametrize("rows", [7, 40])
def test_the_scatter_draws_one_mark_per_finite_pair_and_counts_them(rows, drawing):
    table = predictions(rows)
    table.loc[table.index[0], "predicted"] = np.nan
    svg = figures.scatter_figure(table)
    assert drawing.marks(svg, "points-logo-lasso") == rows - 1
    assert drawing.marks(svg, "points-logo-temperature_index") == rows
    assert {f"n {rows - 1}", f"n {rows}"} <= drawing.texts(svg)


def test_the_scatter_states_rmse_and_coefficient_of_determination_in_metres(drawing):
    table = pd.DataFrame(
        {"scheme": "logo", "model": "mlp", "observed": [-1000.0, 0, 1000], "predicted": [-500.0, 500, 1500]}
    )
    assert {"RMSE 0.50", "R² 0.62"} <= drawing.texts(figures.scatter_figure(table))


def test_a_scheme_that_lacks_a_model_says_so_in_its_panel(drawing):
    table = predictions()
    extra = table[table.model == "lasso"].assign(scheme="loyo")
    assert "not scored" in drawing.texts(figures.scatter_figure(pd.concat([table, extra])))


def test_many_points_are_one_image_and_the_figure_stays_small():
    few, many = predictions(100), predictions(30_000)
    assert "<image" not in figures.scatter_figure(few)
    drawn = figures.scatter_figure(many)
    assert "<image" in drawn
    assert len(drawn) < 600_000


def test_the_series_follows_its_data_and_names_its_sum(drawing):
    year = np.arange(1990, 2000)
    zero = ("hydro_year", np.full(10, 100.0))
    names = ("std", "shared_std", "cumulative_std", "cumulative_shared_std")
    series = xr.Dataset(
        {"mean": ("hydro_year", np.full(10, -500.0)), "cumulative": ("hydro_year", -500.0 * np.arange(1, 11))}
        | dict.fromkeys(names, zero),
        coords={"hydro_year": year},
    )
    svg = figures.series_figure(series)
    assert "the sum is -5.0 m w.e." in svg
    assert drawing.marks(svg, "annual") >= 10
    assert {"series_figure-annual-shared_std", "series_figure-cumulative-std"} <= set(re.findall(r'id="([^"]+)"', svg))


def test_every_scored_model_has_its_dot_and_every_coverage_its_bar(drawing):
    rmse, bars = figures.rmse_figure(scores()), figures.calibration_figure(scores())
    for scheme in ("logo", "year_blocks"):
        for model in ("lasso", "mlp", "training_mean"):
            assert drawing.marks(rmse, f"rmse-{scheme}-{model}") == 1
        for model in ("lasso", "mlp"):
            assert drawing.marks(bars, f"bar-{scheme}-{model}-90") == 1
    assert "bar-logo-training_mean" not in bars


def test_the_strongest_predictors_lead_and_those_always_zero_are_left_out(drawing):
    effect = {"weak": 10.0, "strong": -300.0, "nothing": 0.0, "a$b <c>": 50.0}
    rows = [("logo", fold, name, value * (1 + fold / 10)) for fold in range(3) for name, value in effect.items()]
    table = pd.DataFrame(rows, columns=["scheme", "fold", "predictor", "effect"])
    svg = figures.coefficient_figure(table)
    assert "the first is strong" in svg
    assert {"strong", "weak", "a$b <c>"} <= drawing.texts(svg)
    assert "nothing" not in drawing.texts(svg)
    assert "weak" not in drawing.texts(figures.coefficient_figure(table, top=2))
