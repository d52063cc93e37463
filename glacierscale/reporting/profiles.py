"""Balance against elevation: of the reconstructed maps, and of held-out bands; kg m-2 come in, m w.e. are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from glacierscale.reporting.rasters import Surface
from glacierscale.reporting.style import (
    BLUE,
    GRID,
    INK,
    M_WE,
    MODELS,
    MUTED,
    NULLS,
    SCHEMES,
    colour_of,
    drawn,
    gid,
    in_order,
    model_label,
    number,
    panels,
    scheme_label,
)

if TYPE_CHECKING:
    import pandas as pd

_BAND_M = 50.0
_FEWEST = 3
"""Bands that a gradient needs."""


@drawn
def gradient_figure(surfaces: Sequence[Surface]) -> tuple[Any, str]:
    """Draw the balance of elevation bands, mean and range of the years, one panel per glacier.

    Parameters
    ----------
    surfaces : sequence of Surface
        The glaciers.

    Returns
    -------
    str
        SVG.
    """
    figure, grid = panels(len(surfaces), height=3.3, sharex=True)
    said = []
    for axes, surface in zip(grid[0], surfaces, strict=True):
        height, area, smb = surface.band_means(_BAND_M)
        mean, (low, high) = smb.mean(1), np.percentile(smb, [10, 90], axis=1)
        step = 0.8 * _BAND_M
        axes.barh(height, area / area.max(), step, transform=axes.get_yaxis_transform(), color=GRID, alpha=0.45, lw=0)
        axes.axvline(0, color=INK, lw=0.8)
        axes.fill_betweenx(height, low * M_WE, high * M_WE, color=BLUE, alpha=0.25, lw=0)
        axes.plot(mean * M_WE, height, color=BLUE, lw=1.7, gid=gid("bands", surface.glacier_id))
        axes.set_title(surface.glacier_id, fontsize=8.5)
        axes.set_ylim(height.min() - _BAND_M, height.max() + _BAND_M)
        axes.locator_params(nbins=5)
        axes.text(0.04, 0.97, _spoken_gradient(height, area, mean), transform=axes.transAxes, va="top", fontsize=7.5)
        said.append(f"{surface.glacier_id} {mean.min() * M_WE:.1f} to {mean.max() * M_WE:.1f}")
    grid[0, 0].set_ylabel("elevation, m")
    figure.supxlabel("surface mass balance, m w.e. per year", fontsize=8.5)
    return figure, f"Mean balance by elevation band, m w.e. per year: {'; '.join(said)}."


def _spoken_gradient(height_m: np.ndarray, area_m2: np.ndarray, smb_kg_m2: np.ndarray) -> str:
    """Balance gradient where ice is lost, and the height at which loss turns to gain."""
    lines = []
    below = smb_kg_m2 < 0
    if below.sum() >= _FEWEST:
        slope = gradient(height_m[below], smb_kg_m2[below], area_m2[below])
        lines.append(f"{number(slope * 100 * M_WE)} m w.e. per 100 m\nwhere ice is lost")
    turns = np.flatnonzero(below[:-1] & ~below[1:])
    if turns.size == 1:
        pair = slice(int(turns[0]), int(turns[0]) + 2)
        line = float(np.interp(0.0, smb_kg_m2[pair], height_m[pair]))
        lines.append(f"balanced at {round(line, -1):.0f} m")
    return "\n".join(lines)


def gradient(height_m: np.ndarray, smb_kg_m2: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Slope of a line fitted to balance against elevation, kg m-2 per m; NaN for fewer than three heights."""
    if np.unique(height_m).size < _FEWEST:
        return float("nan")
    return float(np.polyfit(height_m, smb_kg_m2, 1, w=None if weight is None else np.sqrt(weight))[0])


def band_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    """Held-out rows of elevation bands that have height, observation and prediction."""
    rows = predictions[predictions["kind"] == "band"]
    return rows.dropna(subset=["elevation", "observed", "predicted"])


@drawn
def profile_figure(predictions: pd.DataFrame, *, most: int = 4) -> tuple[Any, str]:
    """Draw predicted and observed profiles of held-out years, one row per scheme, one column per glacier.

    Parameters
    ----------
    predictions : pandas.DataFrame
        scheme, model, glacier_id, kind, hydro_year, elevation (m), observed, predicted (kg m-2); bands are drawn.
    most : int
        Glaciers, those with most bands.

    Returns
    -------
    str
        SVG.
    """
    rows = band_rows(predictions)
    count = rows.drop_duplicates(["glacier_id", "hydro_year", "elevation"])["glacier_id"].value_counts()
    glaciers = sorted(count.index, key=lambda name: (-count[name], str(name)))[: max(most, 1)]
    schemes, models = in_order(rows["scheme"], SCHEMES), in_order(rows["model"], MODELS)
    columns = max(len(glaciers), 2)
    figure, grid = panels(columns, len(schemes), height=0.95 + 2.0 * len(schemes), sharex=True, sharey="col")
    for row, scheme in zip(grid, schemes, strict=True):
        for axes in row[len(glaciers) :]:
            axes.set_axis_off()
        for axes, glacier in zip(row, glaciers, strict=False):
            here = rows[(rows["scheme"] == scheme) & (rows["glacier_id"] == glacier)]
            _draw_profile(axes, here, models, gid("profile", scheme, str(glacier)))
        row[0].set_ylabel(scheme_label(scheme), fontsize=7.5, fontweight="bold")
    for axes, glacier in zip(grid[0], glaciers, strict=False):
        axes.set_title(str(glacier), fontsize=8.5)
    grid[0, 0].plot([], [], "o", color=INK, ms=3.5, label="observed")
    for model in models:
        grid[0, 0].plot([], [], color=colour_of(model), ls=_dashes(model), label=model_label(model))
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)
    figure.supxlabel("surface mass balance, m w.e. per year", fontsize=8.5)
    figure.supylabel("elevation, m", fontsize=8.5)
    names = ", ".join(map(str, glaciers))
    return figure, f"Observed and held-out predicted balance by elevation band of {names}, by scheme."


def _draw_profile(axes: Any, rows: pd.DataFrame, models: Sequence[str], name: str) -> None:
    """Means over the years of each band; the RMSE is that of single bands and years."""
    axes.axvline(0, color=MUTED, lw=0.8)
    axes.locator_params(nbins=5)
    if not len(rows):
        axes.text(0.5, 0.5, "not scored", transform=axes.transAxes, ha="center", fontsize=7, color=MUTED)
        return
    said: list[str] = []
    for model in models:
        own = rows[rows["model"] == model]
        if not len(own):
            continue
        band = (np.floor(own["elevation"] / _BAND_M) + 0.5) * _BAND_M
        mean = own.groupby(band)[["observed", "predicted"]].mean() * M_WE
        height = mean.index.to_numpy(dtype=float)
        axes.plot(
            mean["predicted"], height, color=colour_of(model), lw=1.4, ls=_dashes(model), gid=f"{name}-{gid(model)}"
        )
        if not said:  # all models predict the same rows
            axes.plot(mean["observed"], height, "o", color=INK, ms=2.6, zorder=1, gid=f"{name}-observed")
            said.append(f"n {len(own)}")
        if model not in NULLS:
            slopes = [gradient(height, mean[column].to_numpy()) for column in ("predicted", "observed")]
            error = float(np.sqrt(((own["predicted"] - own["observed"]) ** 2).mean())) * M_WE
            ratio = slopes[0] / slopes[1] if slopes[1] else np.nan
            said.append(f"{model_label(model)} {number(error)}" + (f", ×{number(ratio)}" if np.isfinite(ratio) else ""))
    axes.text(
        0.04, 0.97, "\n".join([*said[1:], *said[:1]]), transform=axes.transAxes, va="top", fontsize=7, linespacing=1.25
    )


def _dashes(model: str) -> Any:
    return (0, (4, 2)) if model in NULLS else "-"
