"""Figures of the report, each a pure function from data to one inline SVG; kg m-2 come in, m w.e. are drawn.

Layers of many marks are rasterised: the size of a figure does not grow with the number of rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from glacierscale.reporting.style import (
    BLUE,
    DENSE_MARKS,
    GRID,
    INK,
    M_WE,
    MODELS,
    MUTED,
    NULLS,
    PAPER,
    RED,
    SCHEMES,
    Z90,
    colour_of,
    drawn,
    gid,
    in_order,
    model_label,
    on_two_lines,
    panels,
    scheme_label,
)

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_WIDE = 6
"""Models whose names fit beside each other on one line."""


@drawn
def series_figure(series: xr.Dataset) -> tuple[Any, str]:
    """Draw the regional annual and cumulative balance with both uncertainty bands.

    Parameters
    ----------
    series : xarray.Dataset
        `mean`, `std`, `shared_std`, `cumulative`, `cumulative_std`, `cumulative_shared_std` (hydro_year) kg m-2.

    Returns
    -------
    str
        SVG.
    """
    figure, grid = panels(1, 2, height=5.6, sharex=True)
    draw_series(grid[0, 0], series, cumulative=False)
    draw_series(grid[1, 0], series, cumulative=True)
    grid[1, 0].set_xlabel("hydrological year")
    grid[1, 0].xaxis.get_major_locator().set_params(integer=True)
    grid[1, 0].legend(loc="lower left", fontsize=8)
    year, total = series["hydro_year"].values, float(series["cumulative"].values[-1]) * M_WE
    alt = f"Annual and cumulative area-weighted surface mass balance {year[0]} to {year[-1]}"
    return figure, f"{alt}; the sum is {total:.1f} m w.e."


def draw_series(axes: Any, series: xr.Dataset, *, cumulative: bool) -> None:
    """Draw one of the two series of a region into axes, see `series_figure`."""
    kind, title = ("cumulative", "Cumulative, m w.e.") if cumulative else ("mean", "Annual, m w.e. per year")
    prefix = "cumulative_" if cumulative else ""
    name = "cumulative" if cumulative else "annual"
    year, line = series["hydro_year"].values, series[kind].values * M_WE
    for band, alpha, label in (
        ("shared_std", 0.16, "90 %, residuals shared by all glaciers"),
        ("std", 0.38, "90 %, residuals independent between glaciers"),
    ):
        half = Z90 * M_WE * series[prefix + band].values
        look = {"color": BLUE, "alpha": alpha, "lw": 0, "label": label, "gid": gid(name, band)}
        axes.fill_between(year, line - half, line + half, **look)
    axes.axhline(0, color=INK, lw=0.8)
    axes.plot(year, line, color=BLUE, lw=1.5, marker="o", ms=2.6, label="area-weighted mean", gid=gid(name))
    axes.set_title(title)
    axes.margins(x=0.01)


@drawn
def scatter_figure(predictions: pd.DataFrame) -> tuple[Any, str]:
    """Draw held-out prediction against observation, one panel per scheme and model.

    Parameters
    ----------
    predictions : pandas.DataFrame
        scheme, model, observed, predicted (kg m-2), one row per held-out observation.

    Returns
    -------
    str
        SVG.
    """
    finite = predictions[np.isfinite(predictions["observed"]) & np.isfinite(predictions["predicted"])]
    schemes, models = in_order(predictions["scheme"], SCHEMES), in_order(predictions["model"], MODELS)
    figure, grid = panels(
        len(models),
        len(schemes),
        height=0.6 + 1.42 * len(schemes) * 6 / max(len(models), 5),
        sharex=True,
        sharey=True,
    )
    both = finite[["observed", "predicted"]].to_numpy() * M_WE
    low, high = np.percentile(both, [0, 100]) + np.array([-0.15, 0.15])
    for row, scheme in enumerate(schemes):
        for column, model in enumerate(models):
            axes = grid[row, column]
            here = finite[(finite["scheme"] == scheme) & (finite["model"] == model)]
            seen, said = here["observed"].to_numpy() * M_WE, here["predicted"].to_numpy() * M_WE
            axes.set(xlim=(low, high), ylim=(low, high), box_aspect=1)
            axes.locator_params(nbins=4)
            if row == 0:
                label = model_label(model)
                axes.set_title(on_two_lines(label, 13) if len(models) > _WIDE else label, fontsize=8.5)
            if column == 0:
                axes.set_ylabel(scheme_label(scheme), fontsize=7.5, fontweight="bold")
            if not seen.size:
                axes.set(facecolor=GRID)
                axes.patch.set_alpha(0.35)
                axes.text(0.5, 0.5, "not scored", transform=axes.transAxes, ha="center", fontsize=7, color=MUTED)
                continue
            axes.plot([low, high], [low, high], color=MUTED, lw=0.8)
            axes.scatter(
                seen, said, s=7, color=colour_of(model), alpha=0.55, linewidths=0, gid=gid("points", scheme, model),
                rasterized=len(finite) > DENSE_MARKS,
            )  # fmt: skip
            axes.text(0.04, 0.97, _skill(seen, said), transform=axes.transAxes, va="top", fontsize=7, linespacing=1.25)
    figure.supxlabel("observed, m w.e. per year", fontsize=8.5)
    figure.supylabel("predicted on held-out rows, m w.e. per year", fontsize=8.5)
    names = ", ".join(model_label(model) for model in models)
    return figure, f"Predicted against observed balance on held-out rows, by scheme, for {names}."


def _skill(observed: np.ndarray, predicted: np.ndarray) -> str:
    error = predicted - observed
    scatter = float(np.sum((observed - observed.mean()) ** 2))
    r2 = f"{1 - float(np.sum(error**2)) / scatter:.2f}" if scatter > 0 else "–"
    return f"RMSE {np.sqrt(np.mean(error**2)):.2f}\nR² {r2}\nn {observed.size}".replace("-", "−")


@drawn
def rmse_figure(scores: pd.DataFrame) -> tuple[Any, str]:
    """Draw the RMSE of every model with its bootstrap interval, one panel per scheme.

    Parameters
    ----------
    scores : pandas.DataFrame
        scheme, model, metric, value, low, high (kg m-2); other metrics than ``rmse`` are passed over.

    Returns
    -------
    str
        SVG.
    """
    rmse = scores[scores["metric"] == "rmse"]
    schemes, models = in_order(rmse["scheme"], SCHEMES), in_order(rmse["model"], MODELS)
    figure, grid = panels(max(1, len(schemes)), height=1.1 + 0.27 * len(models), sharex=True, sharey=True)
    for axes, scheme in zip(grid[0], schemes, strict=True):
        for record in rmse[rmse["scheme"] == scheme].to_dict("records"):
            model, value = record["model"], record["value"] * M_WE
            place = len(models) - 1 - models.index(model)
            if model == "temperature_index":
                axes.axvline(value, color=colour_of(model), lw=0.9, ls=(0, (4, 3)))
            axes.plot(
                np.array([record["low"], record["high"]]) * M_WE,
                [place, place],
                color=colour_of(model),
                lw=2.2,
                alpha=0.55,
            )
            fill = PAPER if model in NULLS else colour_of(model)
            axes.plot(value, place, "o", ms=6, mfc=fill, mec=colour_of(model), mew=1.5, gid=gid("rmse", scheme, model))
        axes.set_title(scheme_label(scheme), fontsize=8.5)
        axes.grid(visible=False, axis="y")
        axes.locator_params(axis="x", nbins=5)
    grid[0, 0].set_yticks(range(len(models)), [model_label(model) for model in reversed(models)])
    grid[0, 0].set_ylim(-0.6, len(models) - 0.4)
    figure.supxlabel("RMSE, m w.e. per year", fontsize=8.5)
    return figure, "Root mean square error of each model on held-out rows, with its bootstrap interval, by scheme."


@drawn
def calibration_figure(scores: pd.DataFrame) -> tuple[Any, str]:
    """Draw the share of observations inside the 50 and 90 % prediction intervals.

    Parameters
    ----------
    scores : pandas.DataFrame
        scheme, model, metric, value, low, high; ``coverage50`` and ``coverage90`` as fractions.

    Returns
    -------
    str
        SVG.
    """
    kept = scores[scores["metric"].isin(["coverage50", "coverage90"]) & np.isfinite(scores["value"])]
    schemes, models = in_order(kept["scheme"], SCHEMES), in_order(kept["model"], MODELS)
    figure, grid = panels(2, height=3.1, sharey=True)
    wide = 0.8 / max(1, len(models))
    for axes, nominal in zip(grid[0], (50, 90), strict=True):
        for record in kept[kept["metric"] == f"coverage{nominal}"].to_dict("records"):
            scheme, model = record["scheme"], record["model"]
            place = schemes.index(scheme) + (models.index(model) - (len(models) - 1) / 2) * wide
            name = gid("bar", scheme, model, str(nominal))
            axes.bar(place, 100 * record["value"], wide * 0.9, color=colour_of(model), alpha=0.85)[0].set_gid(name)
            axes.plot([place, place], [100 * record["low"], 100 * record["high"]], color=INK, lw=1)
        axes.axhline(nominal, color=INK, lw=1, ls=(0, (4, 3)))
        axes.set_title(f"{nominal} % interval")
        axes.set_xticks(
            range(len(schemes)),
            [scheme_label(s) for s in schemes],
        )
        axes.tick_params(axis="x", labelsize=7.5)
        axes.grid(visible=False, axis="x")
    grid[0, 0].set(ylim=(0, 105), ylabel="observations inside, %")
    for model in models:
        grid[0, 0].bar(0, 0, color=colour_of(model), label=model_label(model))
    if models:
        grid[0, 0].legend(loc="upper left", ncols=len(models), fontsize=8)
    return figure, "Share of held-out observations inside the 50 and 90 % prediction intervals, by scheme and model."


@drawn
def coefficient_figure(coefficients: pd.DataFrame, *, top: int = 20) -> tuple[Any, str]:
    """Draw median and range over folds of the strongest standardised Lasso effects, one panel per scheme.

    Parameters
    ----------
    coefficients : pandas.DataFrame
        scheme, fold, predictor, effect (kg m-2 per standard deviation of the predictor).
    top : int
        Number of predictors, ranked by the mean absolute effect over all folds; one always zero is left out.

    Returns
    -------
    str
        SVG.
    """
    strength = coefficients["effect"].abs().groupby(coefficients["predictor"]).mean()
    names = list(strength[strength > 0].sort_values(ascending=False, kind="stable").index[:top])
    schemes = in_order(coefficients["scheme"], SCHEMES)
    figure, grid = panels(len(schemes), height=1.1 + 0.21 * len(names), sharex=True, sharey=True)
    folds = coefficients.groupby(["scheme", "predictor"])["effect"].agg(["min", "median", "max"]) * M_WE
    for axes, scheme in zip(grid[0], schemes, strict=True):
        axes.axvline(0, color=INK, lw=0.8)
        for place, name in enumerate(reversed(names)):
            if (scheme, name) not in folds.index:
                continue
            low, middle, high = folds.loc[(scheme, name)]
            colour = BLUE if middle > 0 else RED if middle < 0 else MUTED
            axes.plot([low, high], [place, place], color=colour, lw=2.2, alpha=0.5, solid_capstyle="butt")
            fill = colour if low * high > 0 else PAPER
            axes.plot(middle, place, "o", ms=4.8, mfc=fill, mec=colour, gid=gid("effect", scheme, name))
        axes.set_title(scheme_label(scheme), fontsize=8.5)
    labels = [name if len(name) <= 42 else name[:40] + "…" for name in map(str, reversed(names))]
    grid[0, 0].set_yticks(range(len(names)), labels, fontsize=7.5)
    grid[0, 0].set_ylim(-0.7, len(names) - 0.3)
    figure.supxlabel("effect of one standard deviation, m w.e. per year", fontsize=8.5)
    first = names[0] if names else "none"
    return figure, f"Standardised Lasso effects of the {len(names)} strongest predictors; the first is {first}."
