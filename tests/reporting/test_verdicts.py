"""Verdicts follow the intervals of the scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from glacierscale import metrics
from glacierscale.reporting import verdicts


@pytest.mark.parametrize(
    ("difference", "state", "said"),
    [
        ((-30.0, -50.0, -10.0), "ahead", "0.030 below that of the temperature-index null"),
        ((-10.0, -40.0, 20.0), "tie", "which includes zero: the two cannot be told apart"),
        ((25.0, 5.0, 45.0), "behind", "it loses to the null"),
        ((np.nan, np.nan, np.nan), "unknown", "was not compared"),
    ],
)
def test_the_verdict_follows_the_bootstrap_interval(difference, state, said, made):
    verdict = verdicts.verdict(made.scores(difference), "logo")
    assert verdict["state"] == state
    assert said in verdict["text"]


def test_a_null_that_wins_is_named_as_the_winner(made):
    table = made.scores((60.0, 20.0, 90.0), mlp=345.0)
    same_year = pd.DataFrame([("logo", "same_year_mean", "rmse", 300.0, 280.0, 320.0, 45)], columns=table.columns)
    assert verdicts.verdict(table, "logo")["text"].startswith("Temperature index has the lowest RMSE, 0.340")
    (both,) = verdicts.score_tables(pd.concat([table, same_year]))
    assert both["text"].startswith("Same-year mean has the lowest RMSE, 0.300")
    assert both["winner"] == "same_year_mean"


def test_intervals_are_named_by_the_level_they_were_made_with(made):
    low, high = metrics.INTERVAL
    assert f"{high - low:g} %" == verdicts.LEVEL
    assert f"({verdicts.LEVEL} bootstrap interval of the difference" in verdicts.verdict(made.scores(), "logo")["text"]


def test_what_the_same_year_would_tell_is_said_only_where_it_is_hidden(made):
    told = [("same_year_mean", "rmse", 550.0), ("same_year_mean", "rmse_told_the_year", 301.0)]
    rows = [(s, m, metric, v, v - 50, v + 50, 45) for s in ("logo", "loyo") for m, metric, v in told]
    table = pd.DataFrame(rows, columns=made.scores().columns)
    logo, loyo = verdicts.score_tables(table)
    assert logo["told"] == ""
    assert "would reach an RMSE of 0.301 m w.e. per year (0.251 to 0.351)." in loyo["told"]
    assert verdicts.told_the_year(made.scores(), "loyo") == ""


def test_a_squared_correlation_is_never_marked_as_best(made):
    rows = [("loyo", "training_mean", metric, 0.9, 0.8, 1.0, 45) for metric in ("r2", "R2")]
    (table,) = verdicts.score_tables(pd.DataFrame(rows, columns=made.scores().columns))
    best = {column[0]: cell["best"] for column, cell in zip(verdicts.COLUMNS, table["rows"][0]["cells"], strict=True)}
    assert best["R2"]
    assert not best["r2"]
