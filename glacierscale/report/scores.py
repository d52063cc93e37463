"""Scores in words and tables: who wins each scheme, by how much, and what learning adds to the nulls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_NOMINAL = {"coverage50": 0.5, "coverage90": 0.9}
_COLUMNS = (  # metric, heading, factor of the printed unit, decimals, what is better
    ("rmse", "RMSE", M_WE, 3, min),
    ("mae", "MAE", M_WE, 2, min),
    ("bias", "Bias", M_WE, 2, min),
    ("r2", "r²", 1.0, 2, max),
    ("R2", "R²", 1.0, 2, max),
    ("crps", "CRPS", M_WE, 2, min),
    ("coverage50", "In 50 %", 100.0, 0, min),
    ("coverage90", "In 90 %", 100.0, 0, min),
)
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
    learned = [model for model in rmse if model not in NULLS]
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
        f"(bootstrap interval of the difference {between(low, high, 3)}, {says})."
    )
    if first in NULLS and first != "temperature_index":
        value, low, high = (held[scheme, best, _DIFFERENCE + first][k] * M_WE for k in ("value", "low", "high"))
        text += f" It is {number(value, 3)} above that of the {model_label(first).lower()} ({between(low, high, 3)})."
    return out | {"state": state, "text": text}


def _score_tables(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """Score table and differences to the nulls of every scheme, ready to print."""
    held = _Scores.of(scores)
    tables = []
    for scheme in held.schemes():
        models = held.models(scheme)
        nulls = in_order(
            (k[2].removeprefix(_DIFFERENCE) for k in held if k[0] == scheme and _DIFFERENCE in k[2]), MODELS
        )
        best = {}
        for metric, _, factor, decimals, better in _COLUMNS:
            goal = {m: held[scheme, m, metric]["value"] - _NOMINAL.get(metric, 0.0) for m in models}
            # compared as printed: two models that read the same are both best
            shown = {
                m: round((v if better is max else abs(v)) * factor, decimals) for m, v in goal.items() if np.isfinite(v)
            }
            best[metric] = {m for m, v in shown.items() if v == better(shown.values())}
        rows = []
        for model in models:
            cells = [
                {
                    "text": number((score := held[scheme, model, metric])["value"] * factor, decimals),
                    "interval": between(score["low"] * factor, score["high"] * factor, decimals),
                    "best": model in best[metric],
                }
                for metric, _, factor, decimals, _ in _COLUMNS
            ]
            against = []
            for null in nulls:
                score = held[scheme, model, _DIFFERENCE + null]
                low, high = score["low"] * M_WE, score["high"] * M_WE
                state = "ahead" if high < 0 else "behind" if low > 0 else ""
                text = "–" if model == null else number(score["value"] * M_WE, 3)
                against.append(
                    {"text": text, "interval": "" if model == null else between(low, high, 3), "state": state}
                )
            n = max((held[scheme, model, c[0]]["n"] for c in _COLUMNS if (scheme, model, c[0]) in held), default=np.nan)
            row = {
                "label": model_label(model),
                "null": model in NULLS,
                "cells": cells,
                "against": against,
                "n": number(n, 0),
            }
            rows.append(row)
        tables.append({**verdict(scores, scheme), "rows": rows, "nulls": [model_label(null) for null in nulls]})
    return tables
