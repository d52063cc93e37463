"""The look of the report: names, colours and how a drawing becomes SVG; numbers as they are printed.

Text stays text and neutral or dark colours become CSS variables of the page, so that a figure follows its theme.
"""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, ParamSpec

import numpy as np

M_WE = 1e-3
"""Metres water equivalent in one kg m-2."""
Z90 = 1.645
"""Half width of a central 90 % interval of the normal distribution, in standard deviations."""
NULLS = ("boosting", "temperature_index", "ols", "same_year_mean", "training_mean")
"""Reference models that a learned model has to beat."""
SEES_THE_YEAR = ("gapfilled",)
"""Predictions that read what other glaciers measured in the same year, beside the climate."""
MODELS = {
    "lasso": ("Lasso", "#0072b2"),
    "mlp": ("MLP", "#d55e00"),
    "cnn": ("CNN", "#2a9db5"),
    "hybrid": ("Hybrid", "#8250c4"),
    "kriging": ("Kriging", "#8c6d1f"),
    "gapfilled": ("Gap-filled", "#c2410c"),
    "boosting": ("Gradient boosting", "#4d7c0f"),
    "temperature_index": ("Temperature index", "#009e73"),
    "ols": ("OLS", "#b4649a"),
    "same_year_mean": ("Same-year mean", "#7b8794"),
    "training_mean": ("Training mean", "#9aa5b1"),
}
"""Label and colour of each model, in reading order."""
SCHEMES = {
    "logo": "Leave one glacier out",
    "loyo": "Leave one year out",
    "lsygo": "Leave glaciers and years out",
    "year_blocks": "Leave blocks of years out",
    "spatial_blocks": "Leave blocks of space out",
    "glacier_groups": "Leave groups of glaciers out",
    "latitude_bands": "Leave bands of latitude out",
    "halves": "Leave half of the map out",
    "blocks": "Leave blocks out",
    "all": "All observations",
}
"""Ways to hold data out, in reading order."""
HIDE_THE_YEAR = ("loyo", "lsygo", "year_blocks")
"""Schemes that hide all of a test year from the models."""
INK, MUTED, GRID, PAPER = "#1c2833", "#5b6875", "#d9dfe5", "#fffefd"
_FOLLOW_THE_THEME = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    PAPER: "paper",
    "#003466": "deep-blue",
    "#173c66": "deep-blue",
    "#990002": "deep-red",
    "#951b1e": "deep-red",
}
"""Variable of the page by colour: the neutral ones, and those of scenarios that are not seen on a dark ground."""
BLUE, RED = "#2f6f9f", "#b5403a"
DENSE_MARKS = 6_000
"""Marks in a figure beyond which they are drawn as one image."""
_ONE_LINE = 16
RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "glacierscale",
    "text.parse_math": False,  # a predictor may be called "a$b"
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.linewidth": 0.6,
    "grid.color": GRID,
    "axes.edgecolor": MUTED,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
}
"""Settings of matplotlib that all figures share."""
_P = ParamSpec("_P")


def in_order(found: Iterable[str], known: Mapping[str, object]) -> list[str]:
    """Sort names as `known` lists them, then the unknown ones by alphabet."""
    rank = {name: place for place, name in enumerate(known)}
    return sorted(set(found), key=lambda name: (rank.get(name, len(rank)), name))


def model_label(model: str) -> str:
    """Name of a model as it is printed."""
    return MODELS.get(model, (model, ""))[0]


def colour_of(model: str) -> str:
    """Colour of a model in every figure."""
    return MODELS.get(model, ("", "#8a6d00"))[1]


def scheme_label(scheme: str) -> str:
    """Name of a scheme, a long one on two lines of like length, for panels beside each other."""
    return on_two_lines(SCHEMES.get(scheme, scheme), _ONE_LINE)


def on_two_lines(label: str, most: int) -> str:
    """Break a label of more characters than fit into two lines of like length, if it has several words."""
    words = label.split(" ")
    if len(label) <= most or len(words) == 1:
        return label
    breaks = [(" ".join(words[:n]), " ".join(words[n:])) for n in range(1, len(words))]
    return "\n".join(min(breaks, key=lambda lines: max(map(len, lines))))


def unit_label(unit: str) -> str:
    """A unit as it is printed: exponents raised, nothing for a plain number."""
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    spoken = re.sub(r"(?<=[A-Za-z])-?\d+", lambda found: found.group().translate(raised), unit)
    return "" if unit == "1" else spoken.replace("degC", "°C")


def gid(*parts: str) -> str:
    """Name of a group of marks in the SVG."""
    return "-".join(re.sub(r"[^\w]", "_", part) for part in parts)


def _svg(figure: Any, alt: str, name: str) -> str:
    buffer = io.StringIO()
    blank = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", dpi=140, facecolor="none", metadata=blank)
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'<style type="text/css">.*?</style>', "", text)  # its "*" would reach the whole page
    text = re.sub(r' (?:d|x|y)="[^"]*"', _shortened, text)
    text = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", text)  # identifiers are shared by all figures of a page
    for colour, variable in _FOLLOW_THE_THEME.items():
        text = text.replace(f": {colour}", f": var(--{variable}, {colour})")
    view = re.search(r'viewBox="[^"]*"', text)
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    label = f'role="img" aria-label="{html.escape(alt, quote=True)}" class="{name}"'
    return f"<svg {spaces} {view.group() if view else ''} {label}>" + text[text.index(">") + 1 :].strip()


def _shortened(attribute: re.Match[str]) -> str:
    """Coordinates of a path or mark in hundredths of a point, which is all that a screen shows."""
    return re.sub(r"\d+\.\d{3,}", lambda found: f"{float(found.group()):.2f}", attribute.group())


def drawn(draw: Callable[_P, tuple[Any, str]]) -> Callable[_P, str]:
    """Turn a function that returns a figure and its text alternative into one that returns SVG."""

    @wraps(draw)
    def svg(*args: _P.args, **kwargs: _P.kwargs) -> str:
        import matplotlib

        with matplotlib.rc_context(RC), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")  # the browser has the fonts, this machine need not
            figure, alt = draw(*args, **kwargs)
            return _svg(figure, alt, draw.__name__)

    return svg


def panels(columns: int, rows: int = 1, *, height: float, width: float = 9.0, **shared: Any) -> tuple[Any, Any]:
    """Make a figure of one look and its axes, (row, column)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


def number(value: float, decimals: int = 2) -> str:
    """Print a number with a true minus sign; an en dash where there is none."""
    if not np.isfinite(value):
        return "–"
    text = f"{value:,.{decimals}f}"
    return (text[1:] if float(text.replace(",", "")) == 0 and text[0] == "-" else text).replace("-", "−")


def between(low: float, high: float, decimals: int = 2) -> str:
    """Print an interval; empty where it has no ends."""
    return f"{number(low, decimals)} to {number(high, decimals)}" if np.isfinite(low) and np.isfinite(high) else ""
