"""Scores as they are printed."""

from __future__ import annotations

import pickle

import pandas as pd
import pytest

from glacierscale.evaluation.table import Scores, compact, errors

ROWS = [
    ("logo", "mlp", "rmse", 401.4, 1.0, 2.0, 9),
    ("logo", "training_mean", "rmse", 567.0, 1.0, 2.0, 9),
    ("loyo", "mlp", "rmse", 300.0, 1.0, 2.0, 9),
    ("loyo", "gapfilled", "rmse", 286.0, 1.0, 2.0, 9),
    ("loyo", "mlp", "bias", 7.0, 1.0, 2.0, 9),
]


@pytest.fixture
def scores() -> Scores:
    return Scores(ROWS, columns=["scheme", "model", "metric", "value", "low", "high", "n"])


def test_scores_print_as_a_table_of_errors(scores: Scores) -> None:
    lines = str(scores).splitlines()
    assert lines[0].startswith("Held-out root mean square error, kg m-2 (mm w.e.) per year")
    assert [line.split() for line in lines[1:4]] == [
        ["mlp", "training", "mean", "gapfilled"],
        ["logo", "401", "567", "–"],
        ["loyo", "300", "–", "286"],
    ]
    assert lines[4] == "5 scores in all, with intervals: rmse, bias"
    assert compact(scores) == repr(scores)


def test_errors_keep_the_order_of_schemes_and_models(scores: Scores) -> None:
    table = errors(scores)
    assert table.index.tolist() == ["logo", "loyo"]
    assert table.columns.tolist() == ["mlp", "training_mean", "gapfilled"]
    assert table.loc["loyo", "gapfilled"] == 286.0


def test_a_notebook_shows_the_same_table(scores: Scores) -> None:
    shown = scores._repr_html_()
    assert "<td>401</td>" in shown
    assert "training_mean" in shown


def test_what_is_selected_is_a_plain_table(scores: Scores) -> None:
    chosen = scores[scores.metric == "rmse"]
    assert type(chosen) is pd.DataFrame
    assert "training_mean" in str(chosen)
    other = scores.copy()
    assert len(other) == len(scores)


def test_scores_without_their_columns_print_as_any_table(scores: Scores) -> None:
    del scores["metric"]
    assert "401.4" in str(scores)
    assert "401.4" in scores._repr_html_()


def test_scores_travel_between_processes(scores: Scores) -> None:
    assert str(pickle.loads(pickle.dumps(scores))) == str(scores)
