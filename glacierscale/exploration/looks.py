"""What the page looks like: colours, scales of colours, and the words that go with numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from bokeh.models import ColorMapper

INK, SOFT, RULE, GROUND, PAPER, ACCENT = "#1d2b36", "#5b6b78", "#d9dfe3", "#eef1f2", "#ffffff", "#0b5c8a"
NO_VALUE = "#b9bfc4"
"""Colour of glaciers without a value."""
GRID, EDGE = "#fefefe", "#40505c"
"""Lines of a grid on the ground, and around glaciers."""
WARNING, FAILURE = "#8a4b00", "#8c1d18"
DARK = {
    INK: "#e4eaee", SOFT: "#a9b7c1", RULE: "#3b4852", GROUND: "#222c34", PAPER: "#182026", ACCENT: "#6fb4de",
    GRID: "#2d3943", EDGE: "#c3ced6", WARNING: "#e8b163", FAILURE: "#f0968f",
}  # fmt: skip
"""What each colour of the page is where the browser prefers dark."""
_LEAST_CONTRAST = 3.0  # of lines, as WCAG 2.1 asks

_HIDDEN = "rgba(0, 0, 0, 0)"
_SKEWED = 15  # the largest over the middle value, from which a linear scale shows one colour only


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, 1 to 21, as WCAG 2.1 defines it."""
    dark, light = sorted(_luminance(colour) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def in_the_dark(colour: str) -> str:
    """A colour of the page or of a line as it is seen on dark paper: mixed with white until it can be."""
    found, parts = DARK.get(colour, colour), np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
    while colour not in DARK and contrast(found, DARK[PAPER]) < _LEAST_CONTRAST:
        parts = parts + 0.1 * (255 - parts)
        found = "#" + "".join(f"{round(part):02x}" for part in parts)
    return found


def repaint(figure: Any, dark: bool, lines: Iterable[str] = ()) -> None:
    """Exchange the colours of a figure, and those of its lines, for those on dark or on light paper."""
    swap = {colour: in_the_dark(colour) for colour in (*DARK, *lines)}
    if not dark:
        swap = {there: here for here, there in swap.items()}
    for model in figure.references():
        known = {name: getattr(found, "value", found) for name, found in model.properties_with_values().items()}
        model.update(**{name: swap[found] for name, found in known.items() if isinstance(found, str) and found in swap})


def palette(diverging: bool) -> list[str]:
    """256 colours of even steps: red below zero and blue above, or from light to dark."""
    import colorcet
    from bokeh.palettes import Viridis256

    return list(colorcet.palette["CET_D1A"][::-1]) if diverging else list(Viridis256[::-1])


@dataclass(frozen=True)
class Scale:
    """Ends of a scale of colours."""

    low: float
    high: float
    diverging: bool
    """Zero stands in the middle."""
    logarithmic: bool = False
    """Even steps are even factors."""


def scale_of(values: npt.ArrayLike, diverging: bool, *, skewed: bool = False) -> Scale:
    """A scale with round ends that holds all but the outermost hundredths of some values.

    Parameters
    ----------
    values : array_like
        Any shape; NaN are left out.
    diverging : bool
        Whether zero stands in the middle.
    skewed : bool
        Whether values over several powers of ten, as areas, may have a logarithmic scale.
    """
    found = np.asarray(values, float)
    found = found[np.isfinite(found)]
    if not found.size:
        return Scale(-1.0 if diverging else 0.0, 1.0, diverging)
    low, middle, high = (float(one) for one in np.quantile(found, [0.01, 0.5, 0.99]))
    if diverging:
        top = _round_up(max(abs(low), abs(high)) or 1.0)
        return Scale(-top, top, diverging)
    if skewed and low >= 0 and high > _SKEWED * middle > 0:
        least = max(low, high / 1000)
        return Scale(10 ** math.floor(math.log10(least)), _round_up(high), diverging, logarithmic=True)
    step = _round_up((high - low) / 10 or abs(high) / 10 or 0.1)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    return Scale(low, high if high > low else low + step, diverging)


def _round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(one for one in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if one * power >= value * (1 - 1e-9)) * power


class Ramp:
    """Colours of values, linear or logarithmic: two mappers that are made once and changed in place.

    Parameters
    ----------
    hidden : bool
        Whether what has no value is not drawn at all, instead of in grey.
    """

    def __init__(self, *, hidden: bool = False) -> None:
        from bokeh.models import LinearColorMapper, LogColorMapper

        shown: dict[str, Any] = {"palette": palette(False), "nan_color": _HIDDEN if hidden else NO_VALUE}
        self._linear, self._logarithmic = (
            LinearColorMapper(low=0, high=1, **shown),
            LogColorMapper(low=1, high=10, **shown),
        )
        self.mapper: ColorMapper = self._linear

    def turn(self, scale: Scale) -> bool:
        """Take another scale; whether another mapper is to be used from now on."""
        before = self.mapper
        self.mapper = self._logarithmic if scale.logarithmic else self._linear
        self.mapper.update(palette=palette(scale.diverging), low=scale.low, high=scale.high)
        return self.mapper is not before


def colour_bar(ramp: Ramp) -> Any:
    """A scale of colours in a line, for below a figure."""
    from bokeh.models import ColorBar

    return ColorBar(
        color_mapper=ramp.mapper, orientation="horizontal", height=10, padding=6, margin=0,
        title_text_font_style="normal", title_text_color=INK, major_label_text_color=SOFT,
        title_text_font_size="13px", major_label_text_font_size="11px", bar_line_color=None,
        background_fill_color=None, title_standoff=4, major_tick_line_color=None,
    )  # fmt: skip


def units(text: str) -> str:
    """Units as they are printed: km2 with a raised digit."""
    for plain, printed in (("m-2", "m⁻²"), ("km2", "km²"), ("m3", "m³"), ("degC", "°C"), ("degree", "°")):
        text = text.replace(plain, printed)
    return "" if text == "1" else text


def titled(label: str, unit: str) -> str:
    """A label with its units: `area (km²)`."""
    return f"{label} ({units(unit)})" if units(unit) else label


SAID = """
const size = Math.abs(value)
const said = !isFinite(value) ? "no value" : size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1)
  : size >= 0.1 || size == 0 ? value.toFixed(2) : `${Number(value.toPrecision(2))}`
const number = said.replace("-", "\u2212")
"""
"""Makes `number` of the `value` of a tooltip, as `number` does here."""


def number(value: float | None, unit: str = "") -> str:
    """A number in three digits or so with its units, or a dash."""
    if value is None or not np.isfinite(value):
        return "–"
    size = abs(value)
    text = f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
    if 0 < size < 0.1:
        text = f"{value:.2g}"
    return f"{text.replace('-', '−')} {units(unit)}".strip()
