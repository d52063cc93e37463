"""Scores in words and tables: who wins each scheme, by how much, and what learning adds to the nulls."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from glacierscale import metrics
from glacierscale.reporting.style import (
    HIDE_THE_YEAR,
    M_WE,
    MODELS,
    NULLS,
    SCHEMES,
    SEES_THE_YEAR,
    between,
    in_order,
    model_label,
    number,
)

if TYPE_CHECKING:
    import pandas as pd

LEVEL = f"{metrics.INTERVAL[1] - metrics.INTERVAL[0]:g} %"
"""Level of the bootstrap intervals of the scores, in words."""
NOMINAL = {"coverage50": 0.5, "coverage90": 0.9}
"""Shares that prediction intervals promise to hold."""
COLUMNS: tuple[tuple[str, str, float, int, Callable[[Iterable[float]], float] | None], ...] = (
    ("rmse", "RMSE", M_WE, 3, min),
    ("mae", "MAE", M_WE, 2, min),
    ("bias", "Bias", M_WE, 2, min),
    ("r2", "r²", 1.0, 2, None),
    ("R2", "R²", 1.0, 2, max),
    ("crps", "CRPS", M_WE, 2, min),
    ("coverage50", "In 50 %", 100.0, 0, min),
    ("coverage90", "In 90 %", 100.0, 0, min),
)
"""Columns of a score table: metric, heading, factor of the printed unit, decimals, what is better (if anything is)."""
_DIFFERENCE = "rmse_difference_to_"


class _Scores(dict[tuple[str, str, str], Any]):
    """Scores by (scheme, model, metric); an absent one is NaN."""

    def __missing__(self, key: tuple[str, str, str]) -> dict[str, float]:
        return dict.fromkeys(("value", "low", "high", "n"), np.nan)

    @classmethod
    def of(cls, scores: pd.DataFrame) -> _Scores:
        return cls({(str(r["scheme"]), str(r["model"]), str(r["metric"])): r for r in scores.to_dict("records")})

    def schemes(self) -> list[str]:
        return in_order((scheme for scheme, _, _ in self), SCHEMES)

    def models(self, scheme: str) -> list[str]:
        return in_order((model for s, model, _ in self if s == scheme), MODELS)


def verdict(scores: pd.DataFrame, scheme: str) -> dict[str, str]:
    """Say in words which model wins a scheme and whether learning beats the temperature-index model there.

    Parameters
    ----------
    scores : pandas.DataFrame
        The scores table.
    scheme : str
        One of its schemes.

    Returns
    -------
    dict
        `scheme` (label), `winner` (model of the lowest RMSE), `state` (``ahead``, ``tie``, ``behind`` or ``unknown``:
        the best learned model against the temperature-index model, by the interval of the difference) and `text`.
    """
    held = _Scores.of(scores)
    rmse = {m: held[scheme, m, "rmse"]["value"] * M_WE for m in held.models(scheme)}
    rmse = {model: value for model, value in rmse.items() if np.isfinite(value)}
    out = {"scheme": SCHEMES.get(scheme, scheme), "state": "unknown", "winner": ""}
    if not rmse:
        return out | {"text": "There is no RMSE for this scheme."}
    first = min(rmse, key=lambda model: rmse[model])
    out["winner"] = first
    learned = [model for model in rmse if model not in (*NULLS, *SEES_THE_YEAR)]
    text = f"{model_label(first)} has the lowest RMSE, {number(rmse[first], 3)} m w.e. per year"
    text += f" (n = {number(held[scheme, first, 'rmse']['n'], 0)}). "
    if not learned:
        return out | {"text": text + "No learned model was scored."}
    best = min(learned, key=lambda model: rmse[model])
    difference = held[scheme, best, f"{_DIFFERENCE}temperature_index"]
    value, low, high = (difference[k] * M_WE for k in ("value", "low", "high"))
    if not (np.isfinite(low) and np.isfinite(high)):
        return out | {"text": text + f"{model_label(best)} was not compared with the temperature-index model."}
    state = "ahead" if high < 0 else "behind" if low > 0 else "tie"
    says = {
        "ahead": "which excludes zero: it beats the null",
        "behind": "which excludes zero: it loses to the null",
        "tie": "which includes zero: the two cannot be told apart",
    }[state]
    subject = "Its RMSE is" if best == first else f"The RMSE of the best learned model, {model_label(best)}, is"
    text += (
        f"{subject} {number(abs(value), 3)} {'below' if value < 0 else 'above'} that of the temperature-index null "
        f"({LEVEL} bootstrap interval of the difference {between(low, high, 3)}, {says})."
    )
    if first in NULLS and first != "temperature_index":
        value, low, high = (held[scheme, best, _DIFFERENCE + first][k] * M_WE for k in ("value", "low", "high"))
        text += f" It is {number(value, 3)} above that of the {model_label(first).lower()} ({between(low, high, 3)})."
    return out | {"state": state, "text": text}


def told_the_year(scores: pd.DataFrame, scheme: str) -> str:
    """Say what the other glaciers' mean of the same year would reach where a scheme hides that year; else nothing."""
    told = _Scores.of(scores)[scheme, "same_year_mean", "rmse_told_the_year"]
    if scheme not in HIDE_THE_YEAR or not np.isfinite(told["value"]):
        return ""
    interval = between(told["low"] * M_WE, told["high"] * M_WE, 3)
    return (
        "The mean of the other glaciers measured in that same year, which this scheme hides from every model, would "
        f"reach an RMSE of {number(told['value'] * M_WE, 3)} m w.e. per year" + (f" ({interval})." if interval else ".")
    )


def gaps_filled(scores: pd.DataFrame, scheme: str) -> str:
    """Say what the year's other glaciers add to the climate where gaps were filled; else nothing."""
    held = _Scores.of(scores)
    filled = held[scheme, "gapfilled", "rmse"]["value"]
    if not np.isfinite(filled):
        return ""
    against = held[scheme, "gapfilled", f"{_DIFFERENCE}same_year_mean"]
    low, high = against["low"] * M_WE, against["high"] * M_WE
    compared = (
        f" ({LEVEL} interval of the difference {between(low, high, 3)})" if np.isfinite([low, high]).all() else ""
    )
    mean = held[scheme, "same_year_mean", "rmse"]["value"]
    return (
        "Gap-filled is the net for unobserved glaciers and what the other glaciers measured, in the same year and in "
        f"others; it never reads the glacier that it predicts. Its RMSE is {number(filled * M_WE, 3)} m w.e. per year, "
        f"that of the same-year mean {number(mean * M_WE, 3)}{compared}. The other models predict from climate and "
        "topography."
    )


def score_tables(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """Verdict, score table and differences to the nulls of every scheme, ready to print."""
    held = _Scores.of(scores)
    tables = []
    for scheme in held.schemes():
        models = held.models(scheme)
        best = _best_models(held, scheme, models)
        compared = (key[2] for key in held if key[0] == scheme and key[2].startswith(_DIFFERENCE))
        nulls = in_order((metric.removeprefix(_DIFFERENCE) for metric in compared), MODELS)
        table = {
            "rows": [_row(held, scheme, model, best, nulls) for model in models],
            "nulls": [model_label(null) for null in nulls],
            "told": told_the_year(scores, scheme),
            "gaps": gaps_filled(scores, scheme),
        }
        tables.append(verdict(scores, scheme) | table)
    return tables


def _best_models(held: _Scores, scheme: str, models: list[str]) -> dict[str, set[str]]:
    """Best models of each column, compared as printed: two models that read the same are both best."""
    best: dict[str, set[str]] = {}
    for metric, _, factor, decimals, better in COLUMNS:
        goal = {model: held[scheme, model, metric]["value"] - NOMINAL.get(metric, 0.0) for model in models}
        shown = {
            model: round((value if better is max else abs(value)) * factor, decimals)
            for model, value in goal.items()
            if np.isfinite(value)
        }
        first = better(shown.values()) if better and shown else np.nan
        best[metric] = {model for model, value in shown.items() if value == first}
    return best


def _row(held: _Scores, scheme: str, model: str, best: dict[str, set[str]], nulls: list[str]) -> dict[str, Any]:
    """One model in the tables of a scheme."""
    cells = [
        {
            "text": number((score := held[scheme, model, metric])["value"] * factor, decimals),
            "interval": between(score["low"] * factor, score["high"] * factor, decimals),
            "best": model in best[metric],
        }
        for metric, _, factor, decimals, _ in COLUMNS
    ]
    against = []
    for null in nulls:
        score = held[scheme, model, _DIFFERENCE + null]
        low, high = score["low"] * M_WE, score["high"] * M_WE
        state = "ahead" if high < 0 else "behind" if low > 0 else ""
        text = "–" if model == null else number(score["value"] * M_WE, 3)
        against.append({"text": text, "interval": "" if model == null else between(low, high, 3), "state": state})
    counts = (held[scheme, model, metric]["n"] for metric, *_ in COLUMNS if (scheme, model, metric) in held)
    n = number(max(counts, default=np.nan), 0)
    return {"label": model_label(model), "null": model in NULLS, "cells": cells, "against": against, "n": n}
