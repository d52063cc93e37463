"""Maps of what is left of each glacier under future climates, one for each scenario and year that is told of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from glacierscale import schema
from glacierscale.reporting.evolution import Floats, Future
from glacierscale.reporting.places import KM_PER_DEGREE, Places, graticule, places, scale_and_north
from glacierscale.reporting.style import RED, drawn, panels
from glacierscale.schema.scenarios import scenario_label

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

_EDGE = "#1f2a36"
_DENSE_MARKS, _DENSE_VERTICES = 150, 6_000
"""In one map, beyond which its glaciers are drawn as an image."""
_MOST_NAMES = 6
"""Subregions that are named: those with most ice."""
_LEVELS = (0, 5, 10, 20, 40, 60, 80, 100)
"""Per cent, bounds of the classes: narrow where little is left."""
_BESIDE = 4
"""Maps beside each other."""


@drawn
def left_figure(future: Future, *, outlines: Any | None = None) -> tuple[Any, str]:
    """Map the share of each glacier's volume that is left, one map for each scenario and year that is told of.

    Parameters
    ----------
    future : Future
    outlines : geopandas.GeoDataFrame or None
        glacier_id and geometry in EPSG:4326; glaciers without one, or all where outlines are too small, are points.

    Returns
    -------
    str
        SVG.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm

    count, told = len(future.scenarios), future.told if len(future.scenarios) <= _BESIDE else future.told[-1:]
    every = [(scenario, future.told.index(year)) for year in told for scenario in range(count)]
    columns = min(count, _BESIDE)
    shown = np.ones(future.glaciers.sizes["glacier"], bool)
    found = places(future.glaciers, shown, outlines, detail=600)
    west, east, south, north = found.extent
    high = (north - south) * found.stretch / (east - west) * 8 / columns
    rows = -(-len(every) // columns)
    figure, grid = panels(columns, rows, height=0.8 + rows * (0.3 + float(np.clip(high, 1.2, 4.5))))
    colours = ScalarMappable(BoundaryNorm(_LEVELS, 256, extend="max"), ice_colours())
    for axes in grid.ravel()[len(every) :]:
        axes.set_axis_off()
    for axes, (scenario, year) in zip(grid.ravel(), every, strict=False):
        _left_map(axes, future, found, future.left[scenario, year], colours)
        axes.set_title(f"{scenario_label(future.scenarios[scenario])}, {future.told[year]}", fontsize=8.5, pad=9)
    _name_subregions(grid[0, 0], future, found)
    scale_and_north(grid[0, 0], found.extent, found.stretch)
    bar = figure.colorbar(colours, ax=grid.ravel().tolist(), orientation="horizontal", shrink=0.5, aspect=45, pad=0.02)
    bar.solids.set_rasterized(True)
    bar.outline.set_visible(False)
    bar.set_label(f"volume left of that of {future.years[0]}, %; white with a red edge: gone")
    gone = [int((future.left[n, -1] == 0).sum()) for n in range(count)]
    said = ", ".join(f"{n} under {scenario_label(name)}" for n, name in zip(gone, future.scenarios, strict=True))
    alt = f"Maps of {future.glaciers.sizes['glacier']} glaciers coloured by the share of the volume left, by scenario"
    return figure, f"{alt}; gone in most members by {future.told[-1]}: {said}."


def ice_colours() -> Colormap:
    """Pale yellow for little ice to dark blue for much; also told apart in grey."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("ice", colormaps["YlGnBu"](np.linspace(0.08, 1, 256)))


def _left_map(axes: Any, future: Future, found: Places, left: Floats, colours: Any) -> None:
    """One map of what is left of every glacier, (glacier,) share: outlines where they can be seen, else points."""
    from matplotlib.collections import PathCollection

    graticule(axes, found.extent, found.stretch)
    axes.set(xticks=[], yticks=[])
    size = future.glaciers["area_m2"].values.astype(float)
    face = colours.to_rgba(100 * left)
    face[left == 0] = (1, 1, 1, 1)
    edge = np.where(left == 0, RED, _EDGE)
    width = np.where(left == 0, 0.8, 0.35)
    outlined = found.outlined if _visible(size, found) else found.outlined[:0]
    vertices = sum(len(path.vertices) for path in found.paths)
    if len(outlined):
        axes.add_collection(
            PathCollection(found.paths, facecolors=face[outlined], edgecolors=edge[outlined],
                           linewidths=width[outlined], gid="left-outlines", rasterized=vertices > _DENSE_VERTICES)
        )  # fmt: skip
    rest = np.setdiff1d(np.arange(len(left)), outlined)
    rest = rest[np.argsort(-size[rest], kind="stable")]  # the small on top
    area = (6 + 70 * np.sqrt(size[rest] / size.max())) / max(1, len(rest) / 200) ** 0.5
    axes.scatter(*found.lonlat[rest].T, s=area, c=face[rest], edgecolors=edge[rest], linewidths=width[rest], zorder=3,
                 gid="left-points", rasterized=len(rest) > _DENSE_MARKS)  # fmt: skip


def _name_subregions(axes: Any, future: Future, found: Places) -> None:
    """Names of subregions beside their glaciers, on the side where the map has more room."""
    ranked = sorted(future.subregions, key=lambda name: -float(future.subregions[name][:, 0].mean()))
    inside = schema.text(future.glaciers["subregion"].values)
    middle = np.mean(axes.get_xlim())
    for name in ranked[:_MOST_NAMES]:
        lonlat = found.lonlat[inside == name]
        west = np.median(lonlat[:, 0]) > middle
        lon = lonlat[:, 0].min() if west else lonlat[:, 0].max()
        look = {"textcoords": "offset points", "va": "center", "ha": "right" if west else "left", "color": _EDGE}
        axes.annotate(name, (lon, np.median(lonlat[:, 1])), (-5 if west else 5, 0), fontsize=6, **look)


def _visible(size: Floats, found: Places) -> bool:
    """Whether an outline of middle size is more than a speck on a small map."""
    west, east = found.extent[:2]
    metres = 1e3 * KM_PER_DEGREE * (east - west) / found.stretch
    return bool(np.sqrt(np.median(size)) / metres > 1 / 150)
