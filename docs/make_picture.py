"""Make the picture of the README from a finished run to 2100.

glacierscale run deploy/runs/oetztal_2100.yaml --data FOLDER --to /tmp/future
python docs/make_picture.py /tmp/future docs/picture.png
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image
from scipy import ndimage

from glacierscale import schema
from glacierscale.features.sampling import to_degrees, to_metres
from glacierscale.reporting.futures import apart
from glacierscale.reporting.stage import outlines_of
from glacierscale.reporting.style import BLUE, GRID, INK, M_WE, MUTED, RC, RED, Z90, number
from glacierscale.reporting.summary import regional_series
from glacierscale.schema.scenarios import scenario_label
from glacierscale.store import Store

Floats = npt.NDArray[np.floating]

YEARS = (2003, 2050, 2100)
"""Snapshots that are mapped, under the first scenario"""
SCORED = {"years": ("loyo", "mlp"), "glaciers": ("logo", "lasso")}
"""Held out: the scheme, and the net that predicts what it stands for"""
CELL_M = 50.0
THICKEST_M = 200.0
ICE = LinearSegmentedColormap.from_list("ice", ["#d3effa", "#7cc8e8", "#2f8fc7", "#1a5499", "#0c2456"], N=40)
ROCK = LinearSegmentedColormap.from_list("rock", ["#8f8a83", "#c3bdb4", "#e6e2da", "#fbfaf7"], N=14)
BARE = np.array([0.90, 0.58, 0.33])
"""Ground that the ice has left"""
COUNT = {1: "one", 2: "two", 3: "three", 4: "four"}
COLOURS = (BLUE, "#d07a1f", RED)
PAPER = "#ffffff"
SIZE, DPI = (10.8, 6.9), 144
HIGH = 0.385
"""Height of the maps, heights of the picture"""


class Ground:
    """A grid in metres around the middle of the terrain, north up, and the relief on it."""

    def __init__(self, cube: xr.Dataset) -> None:
        lon, lat = cube.x.values, cube.y.values
        self.centre = np.array([lon.mean()]), np.array([lat.mean()])
        x_m, y_m = to_metres(lon[[0, -1, 0, -1]], lat[[0, 0, -1, -1]], *self.centre)
        half = np.abs(x_m).min() - 80, np.abs(y_m).min() - 80  # a little inside, so that no edge shows
        self.x_km, self.y_km = (np.arange(-side, side, CELL_M) / 1e3 for side in half)
        self.lon, self.lat = to_degrees(*np.meshgrid(self.x_km * 1e3, self.y_km[::-1] * 1e3), *self.centre)
        row = np.interp(self.lat, lat[::-1], np.arange(lat.size)[::-1])
        column = np.interp(self.lon, lon, np.arange(lon.size))
        self.height_m = ndimage.map_coordinates(cube.elevation.values.astype(float), [row, column], mode="nearest")

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """West, east, south, north, km."""
        return self.x_km[0], self.x_km[-1], self.y_km[0], self.y_km[-1]

    def shade(self) -> Floats:
        """Light from the north-west, 0..1."""
        north, east = np.gradient(ndimage.gaussian_filter(self.height_m, 1.2), -CELL_M, CELL_M)
        return np.asarray((1 + (east - north) / np.sqrt(2)) / np.sqrt(2 * (1 + east**2 + north**2)))

    def thickness(self, maps: list[xr.Dataset], year: int) -> Floats:
        """Ice under the first scenario, m; 0 where there is none."""
        thickness = np.zeros_like(self.height_m)
        for patches in maps:
            at = int(np.argmax((patches.snapshot_year == year).values))
            volume = (patches.thickness.fillna(0) * patches.ice_fraction.fillna(0)).isel(snapshot=at).values
            for row, ice in enumerate(volume):
                own = patches.isel(glacier=row)
                x_m, y_m = to_metres(self.lon, self.lat, own.centre_lon.values, own.centre_lat.values)
                middle, side = (ice.shape[0] - 1) / 2, float(own.resolution)
                found = ndimage.map_coordinates(ice, [middle - y_m / side, middle + x_m / side], order=1)
                thickness = np.maximum(thickness, found)
        return np.where(thickness > 2, thickness, 0)


def picture(run: Path) -> Figure:
    """Compose three maps of ice, the balance of the past and the volume to come."""
    cube, smb = Store.at(run / "cube.zarr").open(), Store.at(run / "smb.zarr").open()
    totals = pd.read_parquet(run / "ice_totals.parquet")
    volume = totals[totals.subregion == ""].groupby(["scenario", "hydro_year"], sort=False).volume
    volume_km3 = volume.quantile([0.05, 0.5, 0.95]).unstack() / 1e9
    figure = Figure(figsize=SIZE, dpi=DPI, facecolor=PAPER)
    title = f"Every glacier, every year, {int(smb.hydro_year[0])} to {YEARS[-1]}"
    figure.text(0.012, 0.942, title, fontsize=19, weight="bold")
    seen = cube.obs_kind.values.astype(str) == "annual"
    observed = np.unique(schema.text(cube.obs_unit_id.values[seen])).size
    words = f"{smb.sizes['glacier']} glaciers of the Ötztal Alps, learned from {seen.sum()} annual balances"
    words += f" of {COUNT.get(observed, observed)} of them"
    figure.text(0.012, 0.905, words, fontsize=11.5, color=MUTED)
    scenario = volume_km3.index[0][0]
    draw_maps(figure, Ground(cube), run, outlines_of(cube), volume_km3.loc[scenario, 0.5])
    key(figure, scenario_label(scenario), totals.member.nunique())
    past, future = figure.add_axes((0.042, 0.055, 0.43, 0.31)), figure.add_axes((0.535, 0.055, 0.272, 0.31))
    draw_balance(past, regional_series(smb), cube.isel(observation=seen), pd.read_parquet(run / "scores.parquet"))
    draw_volume(future, volume_km3)
    return figure


def draw_maps(figure: Figure, ground: Ground, run: Path, outlines: Any, volume_km3: Any) -> None:
    """Ice of three years over the relief, within the outlines of the first, and their key."""
    maps = [Store.at(path).open() for path in sorted(run.glob("ice_map_*.zarr"))]
    first, shade = ground.thickness(maps, YEARS[0]), ground.shade()
    rings = [ring for shape in outlines.geometry for part in shape.geoms for ring in (part.exterior, *part.interiors)]
    lines = [np.array(to_metres(*np.array(ring.coords).T, *ground.centre)) / 1e3 for ring in rings]
    halo = [withStroke(linewidth=2.6, foreground="#fffffff0")]
    for place, year in enumerate(YEARS):
        axes = figure.add_axes((0.012 + place * 0.3275, 0.487, 0.321, HIGH))
        thickness = ground.thickness(maps, year)
        axes.imshow(
            painted(shade, thickness, (first > 0) & (thickness == 0)),
            extent=ground.extent,
            aspect="auto",
            interpolation="nearest",
        )
        for line in lines:
            axes.plot(*line, color="#33312e", lw=0.5)
        axes.set(xticks=[], yticks=[], xlim=ground.extent[:2], ylim=ground.extent[2:])
        axes.spines[:].set_visible(False)
        look: dict[str, Any] = {"transform": axes.transAxes, "va": "top", "path_effects": halo}
        axes.text(0.03, 0.965, str(year), fontsize=19, weight="bold", **look)
        axes.text(0.03, 0.84, f"{number(volume_km3[year], 1)} km³", fontsize=12, **look)
    west, south = ground.extent[0], ground.extent[2]
    axes = figure.axes[0]
    axes.plot([west + 1, west + 6], [south + 0.8, south + 0.8], color=INK, lw=2.2)
    axes.text(west + 3.5, south + 1.1, "5 km", ha="center", fontsize=10.5, path_effects=halo)


def painted(shade: Floats, thickness: Floats, bare: npt.NDArray[np.bool_]) -> Floats:
    """Relief, ground that the ice has left, and ice by its thickness, (row, column, colour) 0..1."""
    image = ROCK((shade - 0.3) / 0.65)[..., :3]
    image[bare] = 0.35 * image[bare] + 0.65 * BARE
    ice = ICE(thickness / THICKEST_M)[..., :3]
    return np.asarray(np.where(thickness[..., None] > 0, ice, image))


def key(figure: Figure, scenario: str, members: int) -> None:
    """What the colours of the maps stand for, in one line below them."""
    line, high = 0.446, 0.02
    bar = figure.add_axes((0.035, line, 0.15, high))
    bar.imshow(np.linspace(0, 1, 150)[None], cmap=ICE, aspect="auto")
    patch = figure.add_axes((0.30, line, 0.03, high))
    patch.set(facecolor=tuple(0.15 + 0.85 * BARE))
    for axes in (bar, patch):
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    told = {0.02: "0", 0.19: f"{THICKEST_M:.0f} m of ice", 0.337: f"lost since {YEARS[0]}"}
    for place, word in told.items():
        figure.text(place, line + high / 2, word, va="center", fontsize=10.5)
    words = f"maps: CCSM4 {scenario}, mean of {members} learned balances"
    figure.text(0.988, line + high / 2, words, va="center", ha="right", fontsize=10.5, color=MUTED)


def draw_balance(axes: Any, series: xr.Dataset, observed: xr.Dataset, scores: pd.DataFrame) -> None:
    """The region year by year, what was measured on single glaciers, and how good years and glaciers held out are."""
    mean = series["mean"].values * M_WE
    axes.bar(series.hydro_year, mean, width=0.82, color=np.where(mean < 0, RED, BLUE), alpha=0.85)
    dots = {"ms": 3.6, "color": INK, "mec": PAPER, "mew": 0.5}
    axes.plot(observed.obs_year, observed.obs_value * M_WE, "o", **dots, label="measured, single glaciers")
    axes.set_title("Balance of the region, m w.e. per year", fontsize=12, loc="left", pad=8)
    axes.legend(loc="upper right", borderaxespad=0, handletextpad=0.1, fontsize=10)
    rmse = scores[scores.metric == "rmse"].set_index(["scheme", "model"]).value * M_WE
    told = [
        f"{number(rmse[scheme, net])} ({number(rmse[scheme, 'temperature_index'])}) on {what}"
        for what, (scheme, net) in SCORED.items()
    ]
    last = series.isel(hydro_year=-1)
    half = Z90 * float(last["cumulative_shared_std"]) * M_WE
    words = f"Sum {number(float(last['cumulative']) * M_WE, 0)} ± {half:.0f} m w.e. (90 %)\nRMSE " + ", ".join(told)
    words += " held out\n(temperature-index model in brackets)"
    axes.text(0.005, 0.02, words, transform=axes.transAxes, fontsize=9.5, color=MUTED)
    axes.set_ylim(min(mean.min(), float(observed.obs_value.min()) * M_WE) * 1.6, 1.1)
    finish(axes)


def draw_volume(axes: Any, volume_km3: pd.DataFrame) -> None:
    """Volume under every scenario: median and 5 to 95 % of the members."""
    scenarios = [rows.droplevel(0) for _, rows in volume_km3.groupby(level=0, sort=False)]
    names = list(dict.fromkeys(volume_km3.index.get_level_values(0)))
    spots = apart([float(rows[0.5].iloc[-1]) for rows in scenarios], 0.52, 0.1, 7)
    for colour, name, rows, spot in zip(COLOURS, names, scenarios, spots, strict=True):
        axes.fill_between(rows.index, rows[0.05], rows[0.95], color=colour, alpha=0.25, lw=0)
        axes.plot(rows.index, rows[0.5], color=colour, lw=2.4)
        left = f"{100 * rows[0.5].iloc[-1] / rows[0.5].iloc[0]:.0f} % left"
        label = f"{scenario_label(name)}{' K' if '+' in scenario_label(name) else ''}: {left}"
        axes.text(2101.5, spot, label, color=colour, fontsize=10.5, va="center", weight="bold")
    axes.set_title("Volume of ice, km³", fontsize=12, loc="left", pad=8)
    axes.set(ylim=(0, None), xlim=(YEARS[0], YEARS[-1]))
    finish(axes)


def finish(axes: Any) -> None:
    """Leave only level grid lines."""
    axes.grid(visible=False, axis="x")
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))


def save(figure: Figure, to: Path) -> None:
    """Write a PNG of few colours, which is a third of the size."""
    figure.savefig(to, dpi=DPI)
    with Image.open(to) as full:
        few = full.convert("RGB").quantize(176, dither=Image.Dither.NONE)
    few.save(to, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python docs/make_picture.py RUN_FOLDER PICTURE.png")
    with matplotlib.rc_context(RC | {"font.size": 10.5, "grid.color": GRID}):
        save(picture(Path(sys.argv[1])), Path(sys.argv[2]))
