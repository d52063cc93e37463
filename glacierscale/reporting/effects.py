"""The parallel linear model beside the networks: effects, responses, decades; kg m-2 come in, m w.e. are drawn."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from glacierscale.reporting.style import (
    GRID,
    INK,
    M_WE,
    MODELS,
    MUTED,
    PAPER,
    colour_of,
    drawn,
    gid,
    in_order,
    model_label,
    number,
    panels,
    unit_label,
)

if TYPE_CHECKING:
    import pandas as pd

TABLES = {
    "effects": (
        "model", "kind", "predictor", "effect", "low", "high", "base", "correction",
        "selected", "same_sign", "folds_same_sign",
    ),
    "partial_effects": ("model", "variable", "predictor", "unit", "value", "share_below", "effect", "low", "high"),
    "contributions": ("model", "subregion", "first_year", "last_year", "term", "anomaly", "std"),
}  # fmt: skip
"""Columns of the tables that the page shows where there are any."""
LINEAR = "lasso"
DRIVERS = {"temperature": -1, "winter snow": 1, "summer snow": 1}
"""Drivers of climate in reading order, with the sign of their effect in nature; other variables are topography."""
TERMS = {
    "temperature": "#d55e00",
    "winter snow": "#0072b2",
    "summer snow": "#56b4e9",
    "topography": "#7b8794",
    "other": "#b4649a",
}
"""Colour of each term of an anomaly, in reading order; told apart by the colour-blind too (Okabe & Ito)."""
_TOTAL = "total"
_TINY = 5e-4
"""m w.e.; terms that never reach it are not drawn."""
_SURE = 0.95
"""Share of draws or members of one sign from which on an effect counts as sure."""
_ENOUGH_YEARS = 5
"""Years that make a decade worth telling."""
_MOST_TOPOGRAPHY = 4


def spelt(predictor: str, beside: Collection[str] = ()) -> str:
    """Name of a predictor as it is printed: an anomaly is called one only beside the value that it is an anomaly of."""
    words = [
        part if part.removesuffix("_anomaly") in beside else part.removesuffix("_anomaly")
        for part in predictor.split(" x ")
    ]
    return " × ".join(words).replace("cpdd", "degree days").replace("_", " ")


@drawn
def effect_figure(effects: pd.DataFrame, *, top: int = 14) -> tuple[Any, str]:
    """Draw effects of drivers as a whole, and of the strongest single predictors and interactions.

    Parameters
    ----------
    effects : pandas.DataFrame
        As `TABLES` says; kg m-2 per standard deviation.
    top : int
        Number of predictors and interactions, ranked by the size of the effect in the Lasso, or in the first model.

    Returns
    -------
    str
        SVG.
    """
    models = in_order(effects["model"], MODELS)
    first = LINEAR if LINEAR in models else models[0]
    whole, single = effects[effects["kind"] == "driver"], effects[effects["kind"] != "driver"]
    ranked = single[(single["model"] == first) & (single["effect"] != 0)]
    ranked = ranked.sort_values("effect", key=np.abs, ascending=False, kind="stable").head(top)
    names = [list(dict.fromkeys(whole["predictor"])), list(ranked["predictor"])]
    rows = max(len(names[1]), len(names[0]) + 4)  # room for the legend below the drivers
    figure, grid = panels(2, height=1.35 + 0.22 * rows, width_ratios=(1, 1.25))
    for axes, part, shown in zip(grid[0], (whole, single), names, strict=True):
        _effect_panel(axes, part, shown, models, first)
        axes.set_ylim(len(shown) - rows - 0.5, len(shown) - 0.4)
    grid[0, 0].set_title("Drivers, with all that moves along")
    grid[0, 1].set_title("Single predictors, the others held")
    _stability(grid[0, 1], ranked)
    grid[0, 0].legend(loc="lower left", fontsize=8)
    figure.supxlabel("effect of one standard deviation, m w.e. per year", fontsize=8.5)
    strongest = spelt(names[1][0]) if names[1] else "none"
    return figure, f"Effects of drivers and of the {len(names[1])} strongest predictors; the first is {strongest}."


def _effect_panel(axes: Any, part: pd.DataFrame, shown: list[str], models: list[str], first: str) -> None:
    """Dots with intervals, one row a name; what the base alone does as a grey bar."""
    axes.axvline(0, color=INK, lw=0.8)
    offsets = np.linspace(-0.2, 0.2, len(models)) if len(models) > 1 else [0.0]
    base = part.drop_duplicates("predictor").set_index("predictor")["base"] * M_WE
    place = np.arange(len(shown))[::-1]
    if base.any():
        axes.barh(place, [base[name] for name in shown], 0.62, color=GRID, zorder=1, label="base alone")
    for model, offset in zip(models, offsets, strict=True):
        own = part[part["model"] == model].set_index("predictor")
        for name, at in zip(shown, place, strict=True):
            if name not in own.index:
                continue
            effect, low, high, stable = (float(own[of][name]) for of in ("effect", "low", "high", "same_sign"))
            colour, y = colour_of(model), at - offset
            axes.plot([low * M_WE, high * M_WE], [y, y], color=colour, lw=2.0, alpha=0.55, solid_capstyle="butt")
            look = {"ms": 5.2 if model == first else 4.2, "mec": colour, "mfc": colour if stable >= _SURE else PAPER}
            label = model_label(model) if name == shown[0] else None
            mark = "o" if model == first else "D"
            axes.plot(effect * M_WE, y, mark, ls="", zorder=3, label=label, gid=gid("effect", model, name), **look)
    every = set(part["predictor"])
    axes.set_yticks(place, [spelt(name, every) for name in shown], fontsize=7.5)
    axes.grid(visible=False, axis="y")


def _stability(axes: Any, ranked: pd.DataFrame) -> None:
    """Shares of draws and of folds that keep the sign, as numbers right of the rows."""
    if ranked["folds_same_sign"].isna().all():
        return
    look = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points", "annotation_clip": False}
    look |= {"fontsize": 7, "ha": "right", "va": "center", "color": MUTED}
    for points, title, column in ((32, "draws", "same_sign"), (62, "folds", "folds_same_sign")):
        axes.annotate(title, (1, len(ranked) - 0.3), (points, 0), **look)
        for place, share in zip(range(len(ranked) - 1, -1, -1), ranked[column], strict=True):
            axes.annotate(f"{number(100 * share, 0)} %", (1, place), (points, 0), **look)


@drawn
def response_figure(partial: pd.DataFrame) -> tuple[Any, str]:
    """Draw the response to each driver, and to the topography that matters most, models on one another.

    Parameters
    ----------
    partial : pandas.DataFrame
        As `TABLES` says; kg m-2.

    Returns
    -------
    str
        SVG.
    """
    models = in_order(partial["model"], MODELS)
    climate = [name for name in DRIVERS if name in set(partial["variable"])]
    place = partial[~partial["variable"].isin(DRIVERS)]
    reach = place.groupby("variable")["effect"].agg(np.ptp).sort_values(ascending=False, kind="stable")
    topography = list(reach.index[:_MOST_TOPOGRAPHY])
    lines = [names for names in (climate, topography) if names]
    figure, grid = panels(max(map(len, lines)), len(lines), height=0.6 + 2.25 * len(lines), sharey="row")
    for row, names in zip(grid, lines, strict=True):
        for axes, name in zip(row, names, strict=False):
            _response_panel(axes, partial[partial["variable"] == name], name, models)
        for axes in row[len(names) :]:
            axes.set_axis_off()
        row[0].set_ylabel("change of the balance,\nm w.e. per year", fontsize=8)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    if len(lines) > 1 and len(grid[0]) > len(climate):
        grid[0, -1].legend(handles, labels, loc="center", fontsize=9)
    else:
        figure.legend(handles, labels, loc="outside lower center", ncols=len(models), fontsize=8)
    said = ", ".join([*climate, *topography])
    return figure, f"Response of the balance to {said} in the models {', '.join(map(model_label, models))}."


def _response_panel(axes: Any, part: pd.DataFrame, name: str, models: list[str]) -> None:
    axes.axhline(0, color=INK, lw=0.8)
    for model in models:
        own = part[part["model"] == model]
        scale = 1e-6 if (own["unit"] == "m2").all() else 1.0
        value = own["value"].to_numpy(float) * scale
        low, middle, high = (own[column].to_numpy(float) * M_WE for column in ("low", "effect", "high"))
        look = {"color": colour_of(model), "lw": 1.8, "ls": "-" if model == LINEAR else (0, (5, 1.6))}
        axes.fill_between(value, low, high, color=colour_of(model), alpha=0.18, lw=0)
        axes.plot(value, middle, label=model_label(model), gid=gid("response", model, name), **look)
    shares = own["share_below"].to_numpy(float)
    for tenth in np.interp(np.arange(0.1, 0.91, 0.1), np.maximum.accumulate(shares), value):
        axes.axvline(tenth, ymax=0.035, color=MUTED, lw=0.9)
    predictor = str(part["predictor"].iloc[0])
    unit = unit_label("km2" if scale != 1.0 else str(part["unit"].iloc[0])).replace("_", " ")
    kind = " anomaly" if predictor.endswith("_anomaly") else ""
    axes.set_xlabel(f"{spelt(predictor)}{kind}{f', {unit}' if unit else ''}", fontsize=8)
    axes.locator_params(axis="x", nbins=4)


@drawn
def contribution_figure(contributions: pd.DataFrame) -> tuple[Any, str]:
    """Draw the anomaly of each decade as a stack of its terms, one panel per model; the region only.

    Parameters
    ----------
    contributions : pandas.DataFrame
        As `TABLES` says; kg m-2 per year.

    Returns
    -------
    str
        SVG.
    """
    table = contributions[contributions["subregion"] == ""]
    models = in_order(table["model"], MODELS)
    terms = [t for t in TERMS if (table.loc[table["term"] == t, "anomaly"].abs() * M_WE > _TINY).any()]
    figure, grid = panels(len(models), height=3.3, sharey=True)
    for axes, model in zip(grid[0], models, strict=True):
        own = table[table["model"] == model]
        wide = own.pivot_table(index=["first_year", "last_year"], columns="term", values=["anomaly", "std"])
        place = np.arange(len(wide))
        above, below = np.zeros(len(wide)), np.zeros(len(wide))
        for term in terms:
            height = wide["anomaly", term].to_numpy(float) * M_WE
            bottom = np.where(height >= 0, above, below)
            bars = axes.bar(place, height, 0.66, bottom=bottom, color=TERMS[term], label=term, lw=0.6, ec=PAPER)
            for bar in bars:
                bar.set_gid(gid("term", model, term))
            above, below = above + np.maximum(height, 0), below + np.minimum(height, 0)
        total, spread = (wide[column, _TOTAL].to_numpy(float) * M_WE for column in ("anomaly", "std"))
        axes.errorbar(place, total, 1.645 * spread, fmt="none", ecolor=INK, elinewidth=1.1, zorder=4)
        look = {"ms": 6.5, "mfc": PAPER, "mec": INK, "mew": 1.4, "zorder": 5, "label": "total"}
        axes.plot(place, total, "D", ls="", gid=gid("total", model), **look)
        axes.axhline(0, color=INK, lw=0.8)
        axes.set_xticks(place, [_decade(*years) for years in wide.index], fontsize=7.5)
        axes.set_title(model_label(model))
        axes.grid(visible=False, axis="x")
    grid[0, 0].set_ylabel("anomaly, m w.e. per year", fontsize=8.5)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
    return figure, f"Anomaly of each decade as the sum of {', '.join(terms)}, in {', '.join(map(model_label, models))}."


def _decade(first: int, last: int) -> str:
    """A decade as it is printed, on two lines where it is short."""
    return f"{first}s" if last - first == 9 else f"{first}–\n{last}" if last > first else str(first)


def contribution_words(contributions: pd.DataFrame) -> str:
    """Say what made the decade of the lowest balance, in the linear model or, without one, in the first."""
    table = contributions[contributions["subregion"] == ""]
    models = in_order(table["model"], MODELS)
    model = LINEAR if LINEAR in models else models[0]
    own = table[table["model"] == model]
    total = own[own["term"] == _TOTAL]
    long = total["last_year"] - total["first_year"] + 1 >= _ENOUGH_YEARS
    total = total[long] if long.any() else total
    lowest = total[total["anomaly"] == total["anomaly"].min()]
    first, last = int(lowest["first_year"].iloc[0]), int(lowest["last_year"].iloc[0])
    terms = own[(own["first_year"] == first) & (own["term"] != _TOTAL)].set_index("term")["anomaly"] * M_WE
    printed = {term: number(terms[term]) for term in TERMS if term in terms}
    told = [f"{value} from {term}" for term, value in printed.items() if value != number(0)]
    value = float(total["anomaly"].min()) * M_WE
    return (
        f"The hydrological years {first}–{last} lie furthest below the mean of the reference years: "
        f"{number(value)} m w.e. per year in the model {model_label(model)}, of it {', '.join(told) or 'nothing'}."
    )


def sign_words(effects: pd.DataFrame) -> str:
    """Say which models answer to a driver against nature, sure of it; empty where none does."""
    table = effects[(effects["kind"] == "driver") & (effects["same_sign"] >= _SURE)]
    wrong = table[np.sign(table["effect"]) == -table["predictor"].map(DRIVERS)]
    told = [
        f"{model_label(model)} to {', '.join(wrong.loc[wrong['model'] == model, 'predictor'])}"
        for model in in_order(wrong["model"], MODELS)
    ]
    if not told:
        return ""
    return (
        f"Answers with the wrong sign within glaciers: {'; '.join(told)}. Warmth must cost mass and snow bring it, so "
        "the climate or the observations of these years do not carry the cause; do not read one from them."
    )
