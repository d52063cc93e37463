"""Maps of single glaciers: balance and learned parameters on shaded terrain, with outline and elevation contours.

Every map is one image of the model's own cells beside a few lines, so that the size of a figure stays small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from glacierscale.reporting.rasters import Surface
from glacierscale.reporting.style import M_WE, drawn, gid, number, panels, unit_label

Floats = npt.NDArray[np.floating]

_EDGE = "#1f2a36"
_MOST_CONTOURS = 12
_MOST_MAPS = 4
"""Maps of parameters beside each other."""


@drawn
def surface_figure(surfaces: Sequence[Surface]) -> tuple[Any, str]:
    """Map the balance of some glaciers: mean of the years, most negative and most positive year.

    Parameters
    ----------
    surfaces : sequence of Surface
        One row each; all share one scale of colours, centred at zero.

    Returns
    -------
    str
        SVG.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    chosen = [_mean_and_extremes(surface) for surface in surfaces]
    every = np.concatenate([np.abs(field[s.drawn_cells()]) for s, rows in zip(surfaces, chosen, strict=True)
                            for _, field, _ in rows])  # fmt: skip
    limit = max(float(np.nanpercentile(every, 98)) * M_WE, 0.05)
    colours = ScalarMappable(Normalize(-limit, limit), "RdBu")
    shapes = [surface.ice.shape for surface in surfaces]
    heights = [rows / columns for rows, columns in shapes]
    figure, grid = panels(
        max(map(len, chosen)), len(surfaces), height=0.75 + 2.75 * sum(heights) + 0.32 * len(surfaces),
        height_ratios=heights,
    )  # fmt: skip
    for row, surface, fields in zip(grid, surfaces, chosen, strict=True):
        for place, axes in enumerate(row):
            if place >= len(fields):
                axes.set_axis_off()
                continue
            name, field, mean = fields[place]
            draw_surface(axes, surface, field * M_WE, colours, gid("surface", surface.glacier_id, str(place)))
            axes.set_title(f"{name}: {number(mean * M_WE)}", fontsize=8.5)
        _contours(row[0], surface, labelled=True)
        for axes in row[1 : len(fields)]:
            _contours(axes, surface, labelled=False)
        scale_bar(row[0], _width_km(surface))
        label = f"{surface.glacier_id}\n{number(surface.area_m2 / 1e6, 1)} km²"
        row[0].set_ylabel(label, fontsize=8, fontweight="bold")
    bar = figure.colorbar(colours, ax=grid.ravel().tolist(), orientation="horizontal", shrink=0.5, aspect=45,
                          pad=0.012, extend="both")  # fmt: skip
    bar.solids.set_rasterized(True)
    bar.outline.set_visible(False)
    bar.set_label("surface mass balance, m w.e. per year")
    names = ", ".join(surface.glacier_id for surface in surfaces)
    which = "mean, most negative and most positive year" if grid.shape[1] > 1 else "one year"
    return figure, f"Maps of the surface mass balance of {names}: {which}."


def _mean_and_extremes(surface: Surface) -> list[tuple[str, Floats, float]]:
    """Title, balance (y, x) and its glacier-wide mean (kg m-2) of the mean year and of the two extreme ones."""
    wide, years = surface.glacier_wide(), surface.years
    span = f"mean {years[0]}–{years[-1]}" if years.size > 1 else str(years[0])
    out = [(span, surface.smb.mean(0), float(wide.mean()))]
    if years.size > 1:
        for year, word in ((np.argmin(wide), "most negative"), (np.argmax(wide), "most positive")):
            out.append((f"{years[year]}, {word}", surface.smb[year], float(wide[year])))
    return out


@drawn
def parameter_figure(surfaces: Sequence[Surface]) -> tuple[Any, str]:
    """Map the learned parameters, one row each with its own scale, one column per glacier.

    Parameters
    ----------
    surfaces : sequence of Surface
        Glaciers of one model.

    Returns
    -------
    str
        SVG.
    """
    names, count = parameters_of(surfaces), len(surfaces)
    beside = min(max(_MOST_MAPS // count, 1), 3, len(names))  # parameters in one row
    widths = [surface.ice.shape[1] / surface.ice.shape[0] for surface in surfaces] * beside  # all maps of one height
    rows = -(-len(names) // beside)
    high = min((8.4 - 0.75 * beside) / sum(widths), 3.0)
    figure, grid = panels(len(widths), rows, height=0.35 + rows * (0.14 + high), width_ratios=widths)
    groups = [row[first : first + count] for row in grid for first in range(0, len(widths), count)]
    for axes in np.concatenate([[], *groups[len(names) :]]):
        axes.set_axis_off()
    for group, name in zip(groups, names, strict=False):
        colours = _parameter_colours(np.concatenate([s.parameters[name][s.drawn_cells()] for s in surfaces]))
        for axes, surface in zip(group, surfaces, strict=True):
            draw_surface(axes, surface, surface.parameters[name], colours, gid("parameter", name, surface.glacier_id))
        group[0].set_ylabel(_on_lines(name.replace("_", " ")), fontsize=8, fontweight="bold")
        bar = figure.colorbar(colours, ax=list(group), shrink=0.82, aspect=16, pad=0.01)
        bar.solids.set_rasterized(True)
        bar.outline.set_visible(False)
        bar.ax.locator_params(nbins=5)
        bar.ax.tick_params(labelsize=7.5)
        bar.set_label(unit_label(surfaces[0].units[name]), fontsize=7.5)
    for axes, surface in zip(grid[0], [*surfaces] * beside, strict=True):
        axes.set_title(surface.glacier_id, fontsize=8)
        scale_bar(axes, _width_km(surface))
    spoken = ", ".join(name.replace("_", " ") for name in names)
    return figure, f"Maps of the learned parameters {spoken}."


def parameters_of(surfaces: Sequence[Surface]) -> list[str]:
    """Names of the parameters that all glaciers have and some have a value of, in stored order."""
    shared = [n for n in (surfaces[0].parameters if surfaces else ()) if all(n in s.parameters for s in surfaces)]
    return [n for n in shared if any(np.isfinite(s.parameters[n][s.drawn_cells()]).any() for s in surfaces)]


def draw_surface(axes: Any, surface: Surface, field: Floats, colours: Any, name: str) -> None:
    """Draw a field (y, x) over the ice of a glacier, shaded terrain around it and the outline; km in the axes."""
    shown = surface.drawn_cells() & np.isfinite(field)
    shade = shaded(surface.elevation, surface.resolution_m)
    known = np.where(np.isfinite(shade), 1.0, 0.0)  # clear where there is no terrain
    picture = np.stack([np.nan_to_num(shade)] * 3 + [known], axis=-1)
    picture[shown] = colours.to_rgba(field[shown])
    rows, columns = field.shape
    side = surface.resolution_m / 1000
    picture = np.round(picture * 255).astype(np.uint8)
    axes.imshow(picture, extent=(0, columns * side, 0, rows * side), interpolation="none", gid=name)
    if surface.ice.min() < 0.5 < surface.ice.max():
        axes.contour(
            *centres(surface.ice.shape, surface.resolution_m), surface.ice, levels=[0.5], colors=_EDGE, linewidths=1.0
        )
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def shaded(elevation_m: Floats, side_m: float) -> Floats:
    """Light grey of terrain of square cells, lit from the north-west, (y, x) 0..1; NaN beside the terrain."""
    south, east = np.gradient(elevation_m, side_m)
    light = (1 + east + south) / np.sqrt(2) / np.sqrt(1 + south**2 + east**2)
    shade: Floats = np.clip(0.70 + 0.2 * light, 0.55, 0.97)
    return shade


def centres(shape: tuple[int, ...], side_m: float) -> tuple[Floats, Floats]:
    """Centres of columns and rows in km from the south-western corner."""
    side = side_m / 1000
    rows, columns = shape
    return (np.arange(columns) + 0.5) * side, (np.arange(rows)[::-1] + 0.5) * side


def _contours(axes: Any, surface: Surface, *, labelled: bool) -> None:
    """Elevation contours over the whole cut, at round heights."""
    height = surface.elevation
    if not np.isfinite(height).any() or min(height.shape) < 2:
        return
    low, high = float(np.nanmin(height)), float(np.nanmax(height))
    step = next((s for s in (50, 100, 200, 500) if (high - low) / s <= _MOST_CONTOURS), 1000)
    levels = np.arange(np.ceil(low / step), np.ceil(high / step)) * step
    levels = levels[levels > low]
    if not levels.size:
        return
    look = {"colors": _EDGE, "linewidths": 0.4, "alpha": 0.6}
    lines = axes.contour(
        *centres(surface.ice.shape, surface.resolution_m), np.ma.masked_invalid(height), levels=levels, **look
    )
    if labelled:
        axes.clabel(lines, levels[levels % (2 * step if step == 50 else step) == 0], fmt="%d", fontsize=6.5)


def _width_km(surface: Surface) -> float:
    return float(surface.ice.shape[1] * surface.resolution_m / 1000)


def scale_bar(axes: Any, width: float) -> None:
    """A bar of round length in the lower left corner of a map so many km wide."""
    length = max((c for c in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if c <= width / 3), default=0.05)
    left, low = 0.03 * width, 0.035 * width
    axes.plot([left, left + length], [low, low], color="#ffffff", lw=5, alpha=0.7, solid_capstyle="butt", zorder=4)
    axes.plot([left, left + length], [low, low], color=_EDGE, lw=2.2, solid_capstyle="butt", zorder=5, gid="scale")
    behind = {"facecolor": "#ffffff", "alpha": 0.7, "linewidth": 0, "pad": 1}
    look = {"fontsize": 7.5, "va": "bottom", "color": _EDGE, "zorder": 5, "bbox": behind}
    axes.text(left, low + 0.03 * width, f"{length:g} km", **look)


def _parameter_colours(values: Floats) -> Any:
    """Colours between the 2nd and 98th percentile; centred at zero where a parameter has both signs."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    low, high = np.nanpercentile(values, [2, 98])
    if low < 0 < high:
        high = max(-low, high)
        return ScalarMappable(Normalize(-high, high), "PuOr_r")
    room = max(1e-3 * abs(low), 1e-9) if high - low < 1e-6 * max(abs(low), 1e-9) else 0.0
    return ScalarMappable(Normalize(low - room, high + room), "viridis")


def _on_lines(words: str, width: int = 16) -> str:
    """Text broken into lines of at most so many characters, where words allow it."""
    import textwrap

    return "\n".join(textwrap.wrap(words, width))
