"""Scores of every kind of observation, constraints and warnings, ready to print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from glacierscale import schema
from glacierscale.reporting.style import M_WE, MODELS, NULLS, SCHEMES, in_order, model_label, number, unit_label

if TYPE_CHECKING:
    import pandas as pd

TABLES = {
    "predictions_by_kind": (
        "scheme", "model", "fold", "glacier_id", "kind", "hydro_year", "elevation", "observed", "predicted", "std",
    ),
    "scores_by_kind": ("scheme", "model", "kind", "metric", "value", "n"),
    "constraints": ("model", "constraint", "share_satisfied", "limit", "n"),
    "sensitivities": ("model", "glacier_id", "dsmb_dt", "dsmb_dp"),
    "importance": ("model", "scheme", "predictor", "rmse_increase"),
    "climate_range": ("variable", "unit", "training_low", "training_high", "low", "high", "share_outside"),
}  # fmt: skip
"""Columns of the tables that the page shows where there are any."""
KINDS = {
    "annual": "Annual, glacier-wide",
    "winter": "Winter, glacier-wide",
    "summer": "Summer, glacier-wide",
    "band": "Elevation bands",
    "point": "Stakes and pits",
    "geodetic": "Geodetic, mean of many years",
}
"""Label of each kind of observation."""
METRICS = {
    "rmse": ("RMSE", M_WE, 2),
    "mae": ("MAE", M_WE, 2),
    "bias": ("Bias", M_WE, 2),
    "r2": ("r²", 1.0, 2),
    "R2": ("R²", 1.0, 2),
    "r2_score": ("R²", 1.0, 2),
    "crps": ("CRPS", M_WE, 2),
    "coverage50": ("In 50 %", 100.0, 0),
    "coverage_50": ("In 50 %", 100.0, 0),
    "coverage90": ("In 90 %", 100.0, 0),
    "coverage_90": ("In 90 %", 100.0, 0),
    "gradient_ratio": ("Gradient ratio", 1.0, 2),
}
"""Heading, factor of the printed unit and decimals of each metric, in reading order."""


def kind_tables(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """One table for each kind of observation: RMSE by model and scheme, and every metric in long form.

    Parameters
    ----------
    scores : pandas.DataFrame
        scheme, model, kind, metric, value, n; errors in kg m-2, shares as fractions.

    Returns
    -------
    list of dict
        `kind` (label), `schemes` (labels), `rows` (one per model), `headings` and `details` (scheme, model, values, n).
    """
    held = {(str(r["kind"]), str(r["scheme"]), str(r["model"]), str(r["metric"])): r for r in scores.to_dict("records")}
    ranks = dict.fromkeys(schema.OBSERVATION_KINDS)
    return [_kind_table(held, kind) for kind in in_order((key[0] for key in held), ranks)]


def _kind_table(held: dict[tuple[str, str, str, str], Any], kind: str) -> dict[str, Any]:
    keys = [key[1:] for key in held if key[0] == kind]
    schemes, models = in_order((k[0] for k in keys), SCHEMES), in_order((k[1] for k in keys), MODELS)
    metrics = in_order((k[2] for k in keys), METRICS)

    def value(scheme: str, model: str, metric: str) -> float:
        return float(held.get((kind, scheme, model, metric), {"value": np.nan})["value"])

    def printed(scheme: str, model: str, metric: str) -> str:
        _, factor, decimals = METRICS.get(metric, (metric, 1.0, 2))
        return number(value(scheme, model, metric) * factor, decimals)

    best = {s: min((e for m in models if np.isfinite(e := value(s, m, "rmse"))), default=np.nan) for s in schemes}
    rows, details = [], []
    for model in models:
        cells = []
        for scheme in schemes:
            shown = printed(scheme, model, "rmse")
            leads = np.isfinite(best[scheme]) and shown == number(best[scheme] * M_WE)
            cells.append({"text": shown, "best": bool(leads)})
        rows.append({"label": model_label(model), "null": model in NULLS, "cells": cells})
    for scheme in schemes:
        for model in models:
            counts = [held[kind, scheme, model, m]["n"] for m in metrics if (kind, scheme, model, m) in held]
            if counts:
                numbers = [printed(scheme, model, metric) for metric in metrics]
                name = {"scheme": SCHEMES.get(scheme, scheme), "label": model_label(model), "null": model in NULLS}
                details.append(name | {"numbers": numbers, "n": number(max(counts), 0)})
    headings = [METRICS.get(metric, (metric,))[0] for metric in metrics]
    return {
        "kind": KINDS.get(kind, kind),
        "schemes": [SCHEMES.get(scheme, scheme) for scheme in schemes],
        "n": number(max((held[key]["n"] for key in held if key[0] == kind), default=np.nan), 0),
        "rows": rows,
        "headings": headings,
        "details": details,
    }


def constraint_table(constraints: pd.DataFrame) -> dict[str, Any]:
    """Constraints as rows with their limits, and the share that satisfies them, one column per model.

    Parameters
    ----------
    constraints : pandas.DataFrame
        model, constraint, share_satisfied (fraction), limit (in words, or a number), n.

    Returns
    -------
    dict
        `models` (labels) and `rows` with `constraint`, `limit` and `cells` (`share` and `n`, one per model).
    """
    models = in_order(constraints["model"], MODELS)
    rows = []
    for (name, limit), part in constraints.groupby(["constraint", "limit"], sort=False, dropna=False):
        of = {str(record["model"]): record for record in part.to_dict("records")}
        cells = [
            {"share": _satisfied(float(of[m]["share_satisfied"])), "n": number(float(of[m]["n"]), 0)}
            if m in of
            else {"share": "–", "n": ""}
            for m in models
        ]
        said = _spelled(limit) if isinstance(limit, str) else number(float(str(limit)), 2)
        rows.append({"constraint": _spelled(str(name)), "limit": said, "cells": cells})
    return {"models": [model_label(model) for model in models], "rows": rows}


def _spelled(words: str) -> str:
    """A name or condition as it is printed."""
    for plain, printed in (("dsmb_dt", "dSMB/dT"), ("dsmb_dp", "dSMB/dP"), ("<=", "≤"), (">=", "≥"), ("_", " ")):
        words = words.replace(plain, printed)
    return words


def _satisfied(share: float) -> str:
    if not np.isfinite(share):
        return "–"
    return "> 99.9 %" if 0.999 < share < 1 else f"{number(100 * share, 1)} %"


def climate_warnings(ranges: pd.DataFrame) -> list[dict[str, str]]:
    """Variables whose values leave the range of the training data, the worst first."""
    outside = ranges[ranges["share_outside"] > 0].sort_values("share_outside", ascending=False, kind="stable")
    return [
        {
            "variable": str(record["variable"]).replace("_", " "),
            "unit": unit_label(str(record["unit"])),
            "training": f"{number(record['training_low'], 1)} to {number(record['training_high'], 1)}",
            "here": f"{number(record['low'], 1)} to {number(record['high'], 1)}",
            "share": _share(float(record["share_outside"])),
        }
        for record in outside.to_dict("records")
    ]


def _share(share: float) -> str:
    return "< 0.1 %" if share < 1e-3 else f"{number(100 * share, 1)} %"
