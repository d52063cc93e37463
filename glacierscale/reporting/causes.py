"""What drives the balance in the models: sensitivities and predictors; kg m-2 come in, m w.e. are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from glacierscale.reporting.style import (
    DENSE_MARKS,
    INK,
    M_WE,
    MODELS,
    NULLS,
    PAPER,
    SCHEMES,
    colour_of,
    drawn,
    gid,
    in_order,
    model_label,
    panels,
    scheme_label,
)

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "temperature_index"
"""The model that sensitivities are compared with."""
_NAMED = 30
"""Glaciers with a row and a name of their own; more are drawn as ranks."""
_SIDES = (("dsmb_dt", "To 1 K of warming, m w.e. per K"), ("dsmb_dp", "To 10 % more precipitation, m w.e."))


@drawn
def sensitivity_figure(sensitivities: pd.DataFrame) -> tuple[Any, str]:
    """Draw the response of each glacier's balance to temperature and precipitation, models side by side.

    Parameters
    ----------
    sensitivities : pandas.DataFrame
        model, glacier_id, dsmb_dt (kg m-2 K-1), dsmb_dp (kg m-2 per +10 % of precipitation).

    Returns
    -------
    str
        SVG.
    """
    models = in_order(sensitivities["model"], MODELS)
    table = sensitivities.pivot_table(index="glacier_id", columns="model", values=["dsmb_dt", "dsmb_dp"])
    first = REFERENCE if REFERENCE in models else models[0]
    if ("dsmb_dt", first) in table.columns:
        table = table.sort_values(("dsmb_dt", first), ascending=False, kind="stable")
    size = len(table)
    figure, grid = panels(2, height=min(1.3 + 0.24 * size, 5.5) if size <= _NAMED else 5.0, sharey=True)
    place = np.arange(size)
    offsets = (np.arange(len(models)) - (len(models) - 1) / 2) * min(0.5 / len(models), 0.16) * (size <= _NAMED)
    for axes, (column, title) in zip(grid[0], _SIDES, strict=True):
        axes.axvline(0, color=INK, lw=0.8)
        for model, offset in zip(models, offsets, strict=True):
            if (column, model) not in table.columns:
                continue
            values, colour = table[column, model].to_numpy() * M_WE, colour_of(model)
            null = model in NULLS
            if model == REFERENCE and (size <= _NAMED or column == "dsmb_dt"):  # many in no order are no line
                axes.plot(values, place, color=colour, lw=0.9, ls=(0, (4, 3)))
            look = {"mfc": PAPER if null else colour, "mec": colour, "ms": 4.8 if size <= _NAMED else 2.5}
            axes.plot(
                values, place + (0 if model == REFERENCE else offset), "o", ls="", zorder=2 if null else 3,
                gid=gid(column, model), rasterized=size > DENSE_MARKS, label=model_label(model), **look,
            )  # fmt: skip
        axes.set_title(title)
    axes = grid[0, 0]
    if size <= _NAMED:
        axes.set_yticks(place, [str(name) for name in table.index], fontsize=7.5)
        axes.set_ylim(-0.7, size - 0.3)
    else:
        axes.set_ylabel(f"{size:,} glaciers, in order of {model_label(first).lower()}")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(models), fontsize=8)
    names = ", ".join(model_label(model) for model in models)
    return figure, f"Response of {size} glaciers to temperature and precipitation in the models {names}."


@drawn
def importance_figure(importance: pd.DataFrame, *, top: int = 15) -> tuple[Any, str]:
    """Draw by how much the held-out error grows when a predictor is shuffled, one panel per scheme.

    Parameters
    ----------
    importance : pandas.DataFrame
        model, scheme, predictor, rmse_increase (kg m-2).
    top : int
        Number of predictors, ranked by their mean increase.

    Returns
    -------
    str
        SVG.
    """
    schemes, models = in_order(importance["scheme"], SCHEMES), in_order(importance["model"], MODELS)
    mean = importance.groupby("predictor")["rmse_increase"].mean().sort_values(ascending=False, kind="stable")
    names = [str(name) for name in mean.index[:top]]
    thick = 0.78 / len(models)
    height = 1.15 + len(names) * max(0.21, 0.11 * len(models))
    figure, grid = panels(max(len(schemes), 2), height=height, sharex=True, sharey=True)
    for axes in grid[0, len(schemes) :]:
        axes.set_axis_off()
    for axes, scheme in zip(grid[0], schemes, strict=False):
        here = importance[importance["scheme"] == scheme].groupby(["model", "predictor"])["rmse_increase"].mean()
        for turn, model in enumerate(models):
            found = {
                place: here[model, name] * M_WE for place, name in enumerate(reversed(names)) if (model, name) in here
            }
            places = np.array(list(found), dtype=float) + ((len(models) - 1) / 2 - turn) * thick
            label = gid("importance", scheme, model)
            axes.barh(places, list(found.values()), thick * 0.92, color=colour_of(model))
            for bar in axes.containers[-1]:
                bar.set_gid(label)
        axes.axvline(0, color=INK, lw=0.8)
        axes.set_title(scheme_label(scheme), fontsize=8.5)
        axes.grid(visible=False, axis="y")
        axes.locator_params(axis="x", nbins=4)
    labels = [name if len(name) <= 42 else name[:40] + "…" for name in reversed(names)]
    grid[0, 0].set_yticks(range(len(names)), labels, fontsize=7.5)
    grid[0, 0].set_ylim(-0.6, len(names) - 0.4)
    for model in models:
        grid[0, 0].barh(0, 0, color=colour_of(model), label=model_label(model))
    handles, words = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, words, loc="outside upper left", ncols=len(models), fontsize=8)
    figure.supxlabel("growth of the RMSE when the predictor is shuffled, m w.e. per year", fontsize=8.5)
    first = names[0] if names else "none"
    return (
        figure,
        f"Growth of the held-out error when one of {len(names)} predictors is shuffled; the first is {first}.",
    )
