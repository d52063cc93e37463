"""Figures of one glacier or of the region over the years: balances, their sum, and what becomes of the ice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from bokeh.core.properties import value
from bokeh.events import Tap
from bokeh.models import ColumnDataSource, CustomJSHover, HoverTool, Legend, LegendItem, Range1d, Span
from bokeh.plotting import figure

from glacierscale.exploration import looks
from glacierscale.schema.scenarios import scenario_colours, scenario_label

if TYPE_CHECKING:
    import pandas as pd

_KINDS = {"annual": "circle", "geodetic": "square"}
"""Markers of the observations that are of the kind that is modelled."""


def _figure(label: str, x_range: Range1d, **options: Any) -> Any:
    """An empty figure over years, with quiet axes and a line at the year that is chosen."""
    plot = figure(
        x_range=x_range, y_range=Range1d(0, 1), sizing_mode="stretch_both", min_height=150, min_width=200, tools="",
        toolbar_location=None, background_fill_color=looks.PAPER, border_fill_color=None, outline_line_color=None,
        y_axis_label=label, **options,
    )  # fmt: skip
    plot.xgrid.grid_line_color = None
    plot.ygrid.grid_line_color = looks.RULE
    for axis in (plot.xaxis, plot.yaxis):
        axis.axis_line_color = looks.RULE
        axis.major_tick_line_color = looks.RULE
        axis.minor_tick_line_color = None
        axis.major_label_text_color = axis.axis_label_text_color = looks.SOFT
        axis.major_label_text_font_size = "11px"
        axis.axis_label_text_font_size = "12px"
        axis.axis_label_text_font_style = "normal"
    return plot


def years_seen(years: Sequence[int]) -> Range1d:
    """An axis over all years, with a margin."""
    first, last = (min(years), max(years)) if years else (2000, 2001)
    return Range1d(first - 1, last + 1)


class _Yearly:
    """What figures over years share: a marker at the year, and a click that chooses one."""

    def __init__(self, label: str, x_range: Range1d, **options: Any) -> None:
        self.figure = _figure(label, x_range, **options)
        self._year = Span(dimension="height", line_color=looks.INK, line_width=1, line_dash="dotted", visible=False)
        self.figure.add_layout(self._year)

    def mark(self, year: int | None) -> None:
        """Draw the line at a year."""
        self._year.update(location=year if year is not None else 0, visible=year is not None)

    def fit(self, *values: npt.ArrayLike) -> None:
        """Show all values, with a margin."""
        found = np.concatenate([np.asarray(one, float).ravel() for one in values])
        found = found[np.isfinite(found)]
        if found.size:
            low, high = float(found.min()), float(found.max())
            margin = 0.06 * (high - low) or 0.5
            self.figure.y_range.update(start=low - margin, end=high + margin)

    def on_year(self, chosen: Callable[[int], None]) -> None:
        """Call a function with the year that was clicked."""
        self.figure.on_event(Tap, lambda event: chosen(round(event.x)))


class Balance(_Yearly):
    """Annual balance with its band, and what was observed with its errors."""

    def __init__(self, years: Sequence[int]) -> None:
        super().__init__("balance (m w.e.)", years_seen(years), name="balance")
        plot = self.figure
        self.modelled = ColumnDataSource({name: [] for name in ("year", "smb", "low", "high")})
        self.observed = ColumnDataSource({name: [] for name in _OBSERVED})
        plot.add_layout(Span(location=0, dimension="width", line_color=looks.SOFT, line_width=1))
        band = plot.varea("year", "low", "high", source=self.modelled, fill_color=looks.ACCENT, fill_alpha=0.16)
        line = plot.line("year", "smb", source=self.modelled, line_color=looks.ACCENT, line_width=1.8)
        ink = {"line_color": looks.INK, "line_width": 1}
        plot.segment("year", "low", "year", "high", source=self.observed, **ink)
        plot.segment("first", "smb", "last", "smb", source=self.observed, **ink)
        seen = plot.scatter("year", "smb", marker="marker", size=6, fill_color=looks.PAPER, source=self.observed, **ink)
        plot.add_tools(
            HoverTool(renderers=[line], mode="vline",
                      tooltips=_tip("@year", "@smb{0.00} (@low{0.00} to @high{0.00}) m w.e.")),
            HoverTool(renderers=[seen], tooltips=_tip("@kind, @span", "@smb{0.00} ± @error{0.00} m w.e.")),
        )  # fmt: skip
        self._legend = _legend(plot, [("modelled", [line]), ("90 % interval", [band]), ("observed", [seen])])

    def show(self, modelled: pd.DataFrame, observed: pd.DataFrame | None, name: str) -> None:
        """Show a glacier, or a region without observations, and how its balances were made."""
        self._legend.items[0].label = value(name)
        self.modelled.data = {
            "year": modelled.hydro_year.to_numpy(),
            **{name: modelled[name].to_numpy() for name in ("smb", "low", "high")},
        }
        seen = {name: [] for name in _OBSERVED} if observed is None else observed_columns(observed)
        self.observed.data = seen
        self._legend.items[-1].visible = len(seen["year"]) > 0
        self.fit(modelled.low, modelled.high, seen["low"], seen["high"], [0.0])


_OBSERVED = ("year", "first", "last", "smb", "low", "high", "error", "kind", "marker", "span")


def observed_columns(observed: pd.DataFrame) -> dict[str, Any]:
    """Observations of whole glaciers and years as they are drawn: a period at its middle, from first to last year."""
    observed = observed[observed.kind.isin(list(_KINDS))]
    first, last = observed.first_year.to_numpy(float), observed.last_year.to_numpy(float)
    several = last > first
    smb, error = observed.smb.to_numpy(float), observed.error.to_numpy(float)
    return {
        "year": (first + last) / 2,
        "first": np.where(several, first - 0.5, first),
        "last": np.where(several, last + 0.5, last),
        "smb": smb,
        "low": smb - np.nan_to_num(error),
        "high": smb + np.nan_to_num(error),
        "error": error,
        "kind": observed.kind.tolist(),
        "marker": [_KINDS[kind] for kind in observed.kind],
        "span": [
            f"{one:.0f}" if one == other else f"{one:.0f} to {other:.0f}, per year"
            for one, other in zip(first, last, strict=True)
        ],
    }


class Cumulative(_Yearly):
    """Balance summed up since the first year."""

    def __init__(self, beside: Balance) -> None:
        super().__init__("sum (m w.e.)", beside.figure.x_range, name="cumulative")
        self.source = ColumnDataSource({name: [] for name in ("year", "sum", "low", "high")})
        self.figure.varea("year", "low", "high", source=self.source, fill_color=looks.ACCENT, fill_alpha=0.16)
        line = self.figure.line("year", "sum", source=self.source, line_color=looks.ACCENT, line_width=1.8)
        self.figure.add_tools(
            HoverTool(
                renderers=[line], mode="vline", tooltips=_tip("to @year", "@sum{0.0} (@low{0.0} to @high{0.0}) m w.e.")
            )
        )

    def show(self, modelled: pd.DataFrame) -> None:
        """Show a glacier or a region."""
        self.source.data = {
            "year": modelled.hydro_year.to_numpy(),
            "sum": modelled.cumulative.to_numpy(),
            "low": modelled.cumulative_low.to_numpy(),
            "high": modelled.cumulative_high.to_numpy(),
        }
        self.fit(modelled.cumulative_low, modelled.cumulative_high, [0.0])


class Evolution(_Yearly):
    """A quantity under every future climate, with bands; one line for each, made once."""

    def __init__(self, scenarios: Sequence[str], years: Sequence[int]) -> None:
        super().__init__("", years_seen(years), name="evolution")
        self.sources = {name: ColumnDataSource({key: [] for key in _EVOLVING}) for name in scenarios}
        self._drawn: dict[str, list[Any]] = {}
        plot, lines = self.figure, []
        for name, colour in scenario_colours(scenarios).items():
            source = self.sources[name]
            band = plot.varea("year", "low", "high", source=source, fill_color=colour, fill_alpha=0.14)
            line = plot.line("year", "mean", source=source, line_color=colour, line_width=1.8)
            self._drawn[name] = [line, band]
            lines.append(line)
        said = CustomJSHover(code=f"{looks.SAID} return number")
        self._hover = HoverTool(renderers=lines, formatters=dict.fromkeys(("@mean", "@low", "@high"), said))
        plot.add_tools(self._hover)

    def show(self, table: pd.DataFrame, label: str, chosen: Sequence[str], member: int | None) -> None:
        """Show a quantity under the chosen climates, of all members or of one."""
        self.figure.yaxis.axis_label = label
        band = " (@low{custom} to @high{custom})" if member is None else f", member {member}"
        self._hover.tooltips = _tip("@scenario, @year", "@mean{custom}" + band)
        seen = table[table.scenario.isin(chosen)]
        self.fit(seen["mean"], seen.low, seen.high)
        for name, source in self.sources.items():
            rows = table[table.scenario == name]
            source.data = {
                "year": rows.hydro_year.to_numpy(),
                **{key: rows[key].to_numpy() for key in ("mean", "low", "high")},
                "scenario": [scenario_label(name)] * len(rows),
            }
            for drawn in self._drawn[name]:
                drawn.visible = name in chosen


_EVOLVING = ("year", "mean", "low", "high", "scenario")


def _tip(head: str, text: str) -> str:
    return f'<div style="line-height: 1.35"><span style="opacity: 0.7">{head}</span><br>{text}</div>'


def _legend(plot: Any, entries: Sequence[tuple[str, list[Any]]]) -> Legend:
    """A line of words above a figure."""
    legend = Legend(
        items=[LegendItem(label=label, renderers=drawn) for label, drawn in entries],
        orientation="horizontal", location="top_left", border_line_color=None, background_fill_alpha=0, margin=0,
        padding=2, spacing=14, label_text_font_size="12px", label_text_color=looks.SOFT, glyph_height=14,
        glyph_width=18, click_policy="hide",
    )  # fmt: skip
    plot.add_layout(legend, "above")
    return legend
