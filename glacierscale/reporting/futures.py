"""Figures of a region under future climates: volume and area, balance, runoff and sea level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from glacierscale.reporting.evolution import Floats, Future, Numbers
from glacierscale.reporting.outlook import decimals, left_words
from glacierscale.reporting.style import (
    INK,
    M_WE,
    MUTED,
    drawn,
    gid,
    number,
    on_two_lines,
    panels,
)
from glacierscale.schema.scenarios import scenario_colours, scenario_label

_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (2.5, 1.4)), (0, (6, 1.5, 1.5, 1.5)))
_LABEL = 13
_LINE = 0.046
"""Height of a line of a label, heights of the axes."""
_MUCH_WATER = 2e12
"""kg a year from which on runoff is printed in km3."""


@drawn
def course_figure(future: Future, *, observed_until: int | None = None) -> tuple[Any, str]:
    """Draw volume and area of the region through time, median and spread of each scenario, and what is left at the end.

    Parameters
    ----------
    future : Future
    observed_until : int or None
        Last hydrological year with observed climate, marked where it lies between the years.

    Returns
    -------
    str
        SVG.
    """
    figure, grid = panels(2, height=3.6)
    last = int(future.years[-1])
    for axes, name, title, factor in (
        (grid[0, 0], "volume", "Volume of ice, km³", 1e-9),
        (grid[0, 1], "area", "Area, km²", 1e-6),
    ):
        values = getattr(future, name)
        ends = _bands(axes, future, future.years, values * factor, name)
        axes.set_title(title)
        axes.set_ylim(bottom=0)
        _mark_observed(axes, future, observed_until)
        shares = [left_words(future.spread(future.share(values, last), n)) for n in range(len(future.scenarios))]
        _end_labels(axes, future, ends, shares)
    said = [
        f"{left_words(future.spread(future.share(future.volume, last), n))} under {scenario_label(name)}"
        for n, name in enumerate(future.scenarios)
    ]
    return (
        figure,
        f"Volume and area of the region {future.years[0]} to {last}; of the volume is left {', '.join(said)}.",
    )


@drawn
def water_figure(future: Future) -> tuple[Any, str]:
    """Draw cumulative balance, runoff from the loss of ice and rise of the sea level, by scenario.

    Parameters
    ----------
    future : Future

    Returns
    -------
    str
        SVG.
    """
    figure, grid = panels(3, height=3.2, width_ratios=(1, 1, 1))
    balance, runoff, rise = grid[0]
    _bands(balance, future, future.years, future.cumulative * M_WE, "cumulative")
    balance.axhline(0, color=INK, lw=0.8)
    balance.set_title("Cumulative balance,\nm w.e.")
    years, melt = future.melt()
    much = float(melt.max()) > _MUCH_WATER
    _bands(runoff, future, years, melt * (1e-12 if much else 1e-9), "runoff")
    runoff.set_title(f"Runoff from loss of ice,\n{'km³' if much else 'million m³'} per year")
    runoff.set_ylim(bottom=0)
    ends = _bands(rise, future, future.years, future.sea_level * 1e3, "sea_level")
    rise.set_title("Rise of the sea level,\nmm")
    digits = decimals(float(future.sea_level[:, -1].max()) * 1e3, 3)
    _end_labels(rise, future, ends, [f"{number(end, digits)} mm" for end in ends])
    said = ", ".join(
        f"{number(end, digits)} mm under {scenario_label(name)}"
        for end, name in zip(ends, future.scenarios, strict=True)
    )
    return figure, f"Cumulative balance, runoff from the loss of ice and rise of the sea level by scenario; {said}."


def _bands(axes: Any, future: Future, years: Numbers, values: Floats, name: str) -> list[float]:
    """Median and spread of each scenario into axes; the last medians."""
    ends = []
    for place, (scenario, colour) in enumerate(scenario_colours(future.scenarios).items()):
        low, middle, high = future.spread(values, place)
        axes.fill_between(years, low, high, color=colour, alpha=0.2, lw=0, gid=gid(name, "spread", scenario))
        axes.plot(years, middle, color=colour, lw=1.7, ls=_DASHES[place % len(_DASHES)], gid=gid(name, scenario))
        ends.append(float(middle[-1]))
    axes.set_xlim(future.years[0], future.years[-1])
    axes.xaxis.get_major_locator().set_params(integer=True, nbins=5)
    return ends


def _mark_observed(axes: Any, future: Future, until: int | None) -> None:
    """A thin line where the scenarios take over from the observed climate."""
    if until is None or not future.years[0] < until < future.years[-1]:
        return
    axes.axvline(until, color=MUTED, lw=0.8, ls=(0, (1, 1.5)))
    axes.annotate(
        "climate observed", (until, 0.015), (-3, 0), xycoords=("data", "axes fraction"), textcoords="offset points",
        rotation=90, ha="right", va="bottom", fontsize=6.5, color=MUTED,
    )  # fmt: skip


def _end_labels(axes: Any, future: Future, ends: Sequence[float], texts: Sequence[str]) -> None:
    """Names of the scenarios right of their ends, each with a text below, moved apart where they would meet."""
    low, high = axes.get_ylim()
    names = [on_two_lines(scenario_label(name), _LABEL) for name in future.scenarios]
    lines = max(name.count("\n") for name in names) + 1
    spots = apart([(end - low) / (high - low) for end in ends], (lines + 1.4) * _LINE, _LINE, 1 - lines * _LINE)
    colours = scenario_colours(future.scenarios).values()
    for end, name, text, at, colour in zip(ends, names, texts, spots, colours, strict=True):
        look = {"xycoords": "axes fraction", "textcoords": "offset points", "annotation_clip": False, "fontsize": 7.5}
        axes.annotate(name, (1, at), (13, 1), va="bottom", color=INK, fontweight="bold", linespacing=1.05, **look)
        axes.annotate(text, (1, at), (13, 0), va="top", color=INK, **look)
        look = {"transform": axes.transAxes, "color": colour, "clip_on": False}
        axes.plot([1.005, 1.02], [(end - low) / (high - low), at], lw=0.8, **look)
        axes.plot([1.02, 1.045], [at, at], lw=2.4, solid_capstyle="butt", **look)


def apart(wanted: Sequence[float], gap: float, least: float, most: float) -> list[float]:
    """Places as near to the wanted ones as a least distance allows, between the ends as far as they fit."""
    order = np.argsort(wanted, kind="stable")
    room = np.arange(len(order)) * gap
    spots = np.array([wanted[n] for n in order], float) - room
    middle = (np.maximum.accumulate(spots) + np.minimum.accumulate(spots[::-1])[::-1]) / 2 + room
    middle = np.minimum(middle, most - room[::-1])
    middle = np.maximum(middle, least + room)
    out = np.empty(len(order))
    out[order] = middle
    found: list[float] = out.tolist()
    return found
