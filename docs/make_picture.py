"""Make the picture of the README from a run of the embedded region.

glacierscale demo --to /tmp/demo
python docs/make_picture.py /tmp/demo docs/picture.png
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from glacierscale.reporting.maps import draw_map
from glacierscale.reporting.stage import background, outlines_of
from glacierscale.reporting.style import BLUE, GRID, INK, M_WE, MUTED, RC, RED, Z90, number
from glacierscale.reporting.summary import regional_series
from glacierscale.store import Store

LEFT = 0.03
PAPER = "#ffffff"
TRUTH = "#111827"


def picture(run: Path) -> Figure:
    """Compose map, annual bars and cumulative series of a run folder; 1400 x 700 pixels at 100 dpi."""
    smb, cube = Store.at(run / "smb.zarr").open(), Store.at(run / "cube.zarr").open()
    series = regional_series(smb)
    true = true_series(run / "raw" / "truth.csv", smb)
    figure = Figure(figsize=(14, 7), dpi=100, facecolor=PAPER)
    place = figure.add_axes((LEFT, 0.16, 0.56, 0.65))
    colours = draw_map(place, smb, outlines=outlines_of(cube), elevation=background(cube))
    furnish(figure, place, colours)
    annual = figure.add_axes((0.665, 0.555, 0.31, 0.255))
    total = figure.add_axes((0.665, 0.085, 0.31, 0.375), sharex=annual)
    draw_annual(annual, series, true)
    draw_total(total, series, true)
    years = f"{int(smb.hydro_year[0])}–{int(smb.hydro_year[-1])}"
    figure.text(LEFT, 0.925, "From catalogued grids to every glacier's mass balance", fontsize=21, fontweight="bold")
    words = f"{smb.sizes['glacier']} glaciers of the embedded synthetic range, {years}, learnt from those observed"
    figure.text(LEFT, 0.88, words, fontsize=12.5, color=MUTED)
    return figure


def true_series(file: Path, smb: xr.Dataset) -> pd.Series:
    """True area-weighted balance of the region by hydrological year, m w.e."""
    table = pd.read_csv(file).pivot_table(index="hydro_year", columns="glacier_id", values="smb")
    table = table.loc[smb.hydro_year.values, [str(name) for name in smb.glacier_id.values]]
    return pd.Series(np.average(table, axis=1, weights=smb.area_m2.values) * M_WE, index=table.index)


def furnish(figure: Figure, axes: Any, colours: Any) -> None:
    """Give the map its title, a soft relief and a level colour bar as wide as the map."""
    (relief,) = axes.images
    relief.set_cmap(LinearSegmentedColormap.from_list("relief", ["#2c4156", "#9fafbc", "#eff3f6", "#ffffff"], N=28))
    relief.set_alpha(0.85)
    relief.set_interpolation_stage("data")  # few colours: the file stays small
    axes.grid(visible=False)
    axes.set(anchor="NW", xticks=[], yticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_title("Mean surface mass balance of each glacier", fontsize=12.5, loc="left", pad=9)
    axes.apply_aspect()
    map_box = axes.get_position()
    box = figure.add_axes((map_box.x0, map_box.y0 - 0.055, map_box.width, 0.022))
    bar = figure.colorbar(colours, cax=box, orientation="horizontal", extend="both")
    bar.outline.set_visible(False)
    box.grid(visible=False)
    box.tick_params(length=0)
    box.xaxis.set_major_formatter(lambda value, _: number(value, 1))
    box.set_xlabel("m w.e. per year", labelpad=3)


def draw_annual(axes: Any, series: xr.Dataset, true: pd.Series) -> None:
    """Draw the regional balance of each year as bars, the truth as dots."""
    year, mean = series.hydro_year.values, series["mean"].values * M_WE
    axes.bar(year, mean, width=0.72, color=np.where(mean < 0, RED, BLUE), alpha=0.85)
    axes.plot(true.index, true, "o", ms=4.4, color=TRUTH, mec=PAPER, mew=0.8, label="truth")
    axes.axhline(0, color=INK, lw=0.9)
    axes.set_title("The region, year by year, m w.e.", fontsize=12.5, loc="left", pad=9)
    axes.tick_params(labelbottom=False, length=0)
    axes.legend(loc="upper right", handletextpad=0.1, borderaxespad=0.1)
    finish(axes)


def draw_total(axes: Any, series: xr.Dataset, true: pd.Series) -> None:
    """Draw the running sum with its interval, and the truth."""
    year, line = series.hydro_year.values, series["cumulative"].values * M_WE
    half = Z90 * M_WE * series["cumulative_shared_std"].values
    axes.fill_between(year, line - half, line + half, color=BLUE, alpha=0.2, lw=0, label="90 % interval")
    axes.plot(year, line, color=BLUE, lw=2.6, label="reconstruction")
    axes.plot(true.index, true.cumsum(), color=TRUTH, lw=1.5, ls=(0, (1, 1.6)), label="truth")
    axes.axhline(0, color=INK, lw=0.9)
    axes.set_title("Cumulative, m w.e.", fontsize=12.5, loc="left", pad=9)
    axes.legend(loc="lower left", borderaxespad=0.1)
    axes.tick_params(length=0)
    finish(axes)


def finish(axes: Any) -> None:
    """Leave only level grid lines."""
    axes.grid(visible=False, axis="x")
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.margins(x=0.015)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))


def save(figure: Figure, to: Path) -> None:
    """Write a PNG without transparency."""
    figure.savefig(to, dpi=100)
    with Image.open(to) as full:
        plain = full.convert("RGB")
    plain.save(to, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python docs/make_picture.py RUN_FOLDER PICTURE.png")
    with matplotlib.rc_context(RC | {"font.size": 10.5, "grid.color": GRID}):
        save(picture(Path(sys.argv[1])), Path(sys.argv[2]))
