"""Scores as a table that reads at one glance."""

from __future__ import annotations

from typing import Any

import pandas as pd

_TITLE = "Held-out root mean square error, kg m-2 (mm w.e.) per year, of every model in every scheme"
_COLUMNS = {"scheme", "model", "metric", "value"}


class Scores(pd.DataFrame):
    """Scores, one row for each scheme, model and metric; printed, the held-out errors of models side by side.

    What is selected or computed from it is a plain DataFrame.
    """

    @property
    def _constructor(self) -> Any:
        return pd.DataFrame

    def __repr__(self) -> str:
        return compact(self) if _COLUMNS.issubset(self.columns) else super().__repr__()

    def _repr_html_(self) -> str:
        if not _COLUMNS.issubset(self.columns):
            return self.to_html(max_rows=60)
        table = errors(self)
        return f"<p>{_TITLE}</p>{table.to_html(float_format='{:.0f}'.format, na_rep='–')}<p>{_rest(self)}</p>"


def errors(scores: pd.DataFrame) -> pd.DataFrame:
    """Held-out RMSE: (scheme, model) in the unit of the observations, NaN where a model has none in a scheme.

    Parameters
    ----------
    scores : pandas.DataFrame
        What `evaluate` returns, with the columns scheme, model, metric and value.
    """
    rmse = scores[scores["metric"] == "rmse"]
    wide = rmse.pivot(index="scheme", columns="model", values="value").rename_axis(None).rename_axis(None, axis=1)
    return wide.reindex(index=list(dict.fromkeys(rmse["scheme"])), columns=list(dict.fromkeys(rmse["model"])))


def compact(scores: pd.DataFrame) -> str:
    """The table of `errors` as text, and what else there is."""
    table = errors(scores).rename(columns=lambda name: str(name).replace("_", " "))
    text = table.to_string(float_format="{:.0f}".format, na_rep="–")
    return f"{_TITLE}\n{text}\n{_rest(scores)}"


def _rest(scores: pd.DataFrame) -> str:
    metrics = list(dict.fromkeys(scores["metric"]))
    return f"{len(scores)} scores in all, with intervals: {', '.join(metrics)}"
