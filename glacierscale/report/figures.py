"""Figures of the report, each a pure function from data to one inline SVG; kg m-2 come in, m w.e. are drawn.

Text stays text and the neutral colours become CSS variables of the page, so that a figure follows its theme. Layers of
many marks are rasterised: the size of a figure does not grow with the number of glaciers.
"""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from glacierscale import schema

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

M_WE = 1e-3
"""Metres water equivalent in one kg m-2."""
Z90 = 1.645
"""Half width of a central 90 % interval of the normal distribution, in standard deviations."""
NULLS = ("temperature_index", "ols", "same_year_mean", "training_mean")
"""Reference models that a learned model has to beat."""
MODELS = {
    "lasso": ("Lasso", "#0072b2"),
    "mlp": ("MLP", "#d55e00"),
    "temperature_index": ("Temperature index", "#009e73"),
    "ols": ("OLS", "#b4649a"),
    "same_year_mean": ("Same-year mean", "#7b8794"),
    "training_mean": ("Training mean", "#9aa5b1"),
}
SCHEMES = {
    "logo": "Leave one glacier out",
    "loyo": "Leave one year out",
    "lsygo": "Leave glaciers and years out",
    "year_blocks": "Leave blocks of years out",
    "spatial_blocks": "Leave blocks of space out",
    "blocks": "Leave blocks out",
    "all": "All observations",
}
_INK, _MUTED, _GRID, _PAPER = "#1c2833", "#5b6875", "#d9dfe5", "#fffefd"
_BLUE, _RED = "#2f6f9f", "#b5403a"
_DENSE_MARKS, _DENSE_VERTICES = 6_000, 60_000
_KM_PER_DEGREE = 111.195  # on a sphere of 6371 km
_RC: dict[Any, Any] = {
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
    "grid.color": _GRID,
    "axes.edgecolor": _MUTED,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "legend.frameon": False,
}
_P = ParamSpec("_P")


def in_order(found: Iterable[str], known: Mapping[str, object]) -> list[str]:
    """Sort names as `known` lists them, then the unknown ones by alphabet."""
    rank = {name: place for place, name in enumerate(known)}
    return sorted(set(found), key=lambda name: (rank.get(name, len(rank)), name))


def model_label(model: str) -> str:
    """Name of a model as it is printed."""
    return MODELS.get(model, (model, ""))[0]


def _colour(model: str) -> str:
    return MODELS.get(model, ("", "#8a6d00"))[1]


def _scheme_label(scheme: str) -> str:
    """Name of a scheme on two lines, for panels beside each other."""
    label = SCHEMES.get(scheme, scheme)
    return re.sub(r" (glacier|year|and years|of years|of space)( out)$", r"\n\1\2", label)


def _gid(*parts: str) -> str:
    return "-".join(re.sub(r"[^\w]", "_", part) for part in parts)


def _svg(figure: Any, alt: str, name: str) -> str:
    buffer = io.StringIO()
    blank = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", dpi=140, facecolor="none", metadata=blank)
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'<style type="text/css">.*?</style>', "", text)  # its "*" would reach the whole page
    text = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", text)  # identifiers are shared by all figures of a page
    for colour, variable in ((_INK, "ink"), (_MUTED, "muted"), (_GRID, "grid"), (_PAPER, "paper")):
        text = text.replace(f": {colour}", f": var(--{variable}, {colour})")
    view = re.search(r'viewBox="[^"]*"', text)
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    label = f'role="img" aria-label="{html.escape(alt, quote=True)}" class="{name}"'
    return f"<svg {spaces} {view.group() if view else ''} {label}>" + text[text.index(">") + 1 :].strip()


def _drawn(draw: Callable[_P, tuple[Any, str]]) -> Callable[_P, str]:
    """Turn a function that returns a figure and its text alternative into one that returns SVG."""

    @wraps(draw)
    def svg(*args: _P.args, **kwargs: _P.kwargs) -> str:
        import matplotlib

        with matplotlib.rc_context(_RC), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")  # the browser has the fonts, this machine need not
            figure, alt = draw(*args, **kwargs)
            return _svg(figure, alt, draw.__name__)

    return svg


def _panels(columns: int, rows: int = 1, *, height: float, width: float = 9.0, **shared: Any) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


@_drawn
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
    figure, grid = _panels(1, 2, height=5.6, sharex=True)
    year = series["hydro_year"].values
    titles = {"": "Annual, m w.e. per year", "cumulative": "Cumulative, m w.e."}
    for axes, (kind, title) in zip(grid[:, 0], titles.items(), strict=True):
        prefix = f"{kind}_" if kind else ""
        line = series[kind or "mean"].values * M_WE
        for band, alpha, label in (
            ("shared_std", 0.16, "90 %, residuals shared by all glaciers"),
            ("std", 0.38, "90 %, residuals independent between glaciers"),
        ):
            half = Z90 * M_WE * series[prefix + band].values
            name = _gid(kind or "annual", band)
            axes.fill_between(year, line - half, line + half, color=_BLUE, alpha=alpha, lw=0, label=label, gid=name)
        axes.axhline(0, color=_INK, lw=0.8)
        axes.plot(
            year, line, color=_BLUE, lw=1.5, marker="o", ms=2.6, label="area-weighted mean", gid=_gid(kind or "annual")
        )
        axes.set_title(title)
        axes.margins(x=0.01)
    grid[1, 0].set_xlabel("hydrological year")
    grid[1, 0].xaxis.get_major_locator().set_params(integer=True)
    grid[1, 0].legend(loc="lower left", fontsize=8)
    total = float(series["cumulative"].values[-1]) * M_WE
    alt = f"Annual and cumulative area-weighted surface mass balance {year[0]} to {year[-1]}"
    return figure, f"{alt}; the sum is {total:.1f} m w.e."


@_drawn
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
    figure, grid = _panels(
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
                axes.set_title(model_label(model), fontsize=8.5)
            if column == 0:
                axes.set_ylabel(_scheme_label(scheme), fontsize=7.5, fontweight="bold")
            if not seen.size:
                axes.set(facecolor=_GRID)
                axes.patch.set_alpha(0.35)
                axes.text(0.5, 0.5, "not scored", transform=axes.transAxes, ha="center", fontsize=7, color=_MUTED)
                continue
            axes.plot([low, high], [low, high], color=_MUTED, lw=0.8)
            axes.scatter(
                seen, said, s=7, color=_colour(model), alpha=0.55, linewidths=0, gid=_gid("points", scheme, model),
                rasterized=len(finite) > _DENSE_MARKS,
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


@_drawn
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
    figure, grid = _panels(max(1, len(schemes)), height=1.1 + 0.27 * len(models), sharex=True, sharey=True)
    for axes, scheme in zip(grid[0], schemes, strict=True):
        for record in rmse[rmse["scheme"] == scheme].to_dict("records"):
            model, value = record["model"], record["value"] * M_WE
            place = len(models) - 1 - models.index(model)
            if model == "temperature_index":
                axes.axvline(value, color=_colour(model), lw=0.9, ls=(0, (4, 3)))
            axes.plot(
                np.array([record["low"], record["high"]]) * M_WE,
                [place, place],
                color=_colour(model),
                lw=2.2,
                alpha=0.55,
            )
            fill = _PAPER if model in NULLS else _colour(model)
            axes.plot(value, place, "o", ms=6, mfc=fill, mec=_colour(model), mew=1.5, gid=_gid("rmse", scheme, model))
        axes.set_title(_scheme_label(scheme), fontsize=8.5)
        axes.grid(visible=False, axis="y")
        axes.locator_params(axis="x", nbins=5)
    grid[0, 0].set_yticks(range(len(models)), [model_label(model) for model in reversed(models)])
    grid[0, 0].set_ylim(-0.6, len(models) - 0.4)
    figure.supxlabel("RMSE, m w.e. per year", fontsize=8.5)
    return figure, "Root mean square error of each model on held-out rows, with its bootstrap interval, by scheme."


@_drawn
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
    figure, grid = _panels(2, height=3.1, sharey=True)
    wide = 0.8 / max(1, len(models))
    for axes, nominal in zip(grid[0], (50, 90), strict=True):
        for record in kept[kept["metric"] == f"coverage{nominal}"].to_dict("records"):
            scheme, model = record["scheme"], record["model"]
            place = schemes.index(scheme) + (models.index(model) - (len(models) - 1) / 2) * wide
            name = _gid("bar", scheme, model, str(nominal))
            axes.bar(place, 100 * record["value"], wide * 0.9, color=_colour(model), alpha=0.85)[0].set_gid(name)
            axes.plot([place, place], [100 * record["low"], 100 * record["high"]], color=_INK, lw=1)
        axes.axhline(nominal, color=_INK, lw=1, ls=(0, (4, 3)))
        axes.set_title(f"{nominal} % interval")
        axes.set_xticks(
            range(len(schemes)),
            [_scheme_label(s) for s in schemes],
        )
        axes.tick_params(axis="x", labelsize=7.5)
        axes.grid(visible=False, axis="x")
    grid[0, 0].set(ylim=(0, 105), ylabel="observations inside, %")
    for model in models:
        grid[0, 0].bar(0, 0, color=_colour(model), label=model_label(model))
    if models:
        grid[0, 0].legend(loc="upper left", ncols=len(models), fontsize=8)
    return figure, "Share of held-out observations inside the 50 and 90 % prediction intervals, by scheme and model."


@_drawn
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
    figure, grid = _panels(len(schemes), height=1.1 + 0.21 * len(names), sharex=True, sharey=True)
    folds = coefficients.groupby(["scheme", "predictor"])["effect"].agg(["min", "median", "max"]) * M_WE
    for axes, scheme in zip(grid[0], schemes, strict=True):
        axes.axvline(0, color=_INK, lw=0.8)
        for place, name in enumerate(reversed(names)):
            if (scheme, name) not in folds.index:
                continue
            low, middle, high = folds.loc[(scheme, name)]
            colour = _BLUE if middle > 0 else _RED if middle < 0 else _MUTED
            axes.plot([low, high], [place, place], color=colour, lw=2.2, alpha=0.5, solid_capstyle="butt")
            fill = colour if low * high > 0 else _PAPER
            axes.plot(middle, place, "o", ms=4.8, mfc=fill, mec=colour, gid=_gid("effect", scheme, name))
        axes.set_title(_scheme_label(scheme), fontsize=8.5)
    labels = [name if len(name) <= 42 else name[:40] + "…" for name in map(str, reversed(names))]
    grid[0, 0].set_yticks(range(len(names)), labels, fontsize=7.5)
    grid[0, 0].set_ylim(-0.7, len(names) - 0.3)
    figure.supxlabel("effect of one standard deviation, m w.e. per year", fontsize=8.5)
    first = names[0] if names else "none"
    return figure, f"Standardised Lasso effects of the {len(names)} strongest predictors; the first is {first}."


def _hillshade(elevation: xr.DataArray, extent: tuple[float, float, float, float], stretch: float) -> np.ndarray:
    """Shade terrain of any CRS on a longitude-latitude grid, lit from the north-west at 45 degrees, (lat, lon) 0..1."""
    from pyproj import Transformer
    from scipy.ndimage import map_coordinates

    west, east, south, north = extent
    columns = 900
    rows = max(2, round(columns * (north - south) * stretch / (east - west)))
    lon = np.linspace(west, east, columns)
    lat = np.linspace(south, north, rows)
    to_xy = Transformer.from_crs("EPSG:4326", elevation.attrs["crs_wkt"], always_xy=True)
    found = dict(zip("xy", to_xy.transform(*np.meshgrid((lon + 180) % 360 - 180, lat)), strict=True))
    places, window = {}, {}
    for axis in "yx":
        centres = elevation[axis].values.astype(float)
        order = slice(None) if centres[-1] >= centres[0] else slice(None, None, -1)
        index = np.interp(found[axis], centres[order], np.arange(centres.size)[order], left=np.nan, right=np.nan)
        if not np.isfinite(index).any():
            return np.full((rows, columns), np.nan)
        first, last = int(np.nanmin(index)), int(np.nanmax(index)) + 1
        step = max(1, (last - first) // 1_800)  # a continent's terrain is read thinned
        window[axis] = slice(first, last + 1, step)
        places[axis] = (index - first) / step
    height_m = elevation.isel(window).values.astype(float)
    height_m = map_coordinates(height_m, [places["y"], places["x"]], order=1, cval=np.nan, mode="constant")
    slope = np.gradient(
        height_m, _KM_PER_DEGREE * 1e3 * (lat[1] - lat[0]), _KM_PER_DEGREE * 1e3 / stretch * (lon[1] - lon[0])
    )
    return np.asarray((1 + slope[1] - slope[0]) / np.sqrt(2) / np.sqrt(1 + slope[0] ** 2 + slope[1] ** 2))


def _draw_relief(axes: Any, elevation: xr.DataArray, extent: tuple[float, float, float, float], stretch: float) -> None:
    from matplotlib import colormaps

    shade = _hillshade(elevation, extent, stretch)
    grey = colormaps["gray"].resampled(40)  # few levels: the image packs to a third
    look = {"cmap": grey, "vmin": -1.4, "vmax": 1.1, "interpolation": "bilinear", "aspect": "auto"}
    axes.imshow(shade, extent=extent, origin="lower", **look)


def _paths(geometries: Sequence[Any], centre: float) -> list[Any]:
    from matplotlib.path import Path
    from shapely.geometry.polygon import orient

    paths = []
    for geometry in geometries:
        rings = []
        for polygon in getattr(geometry, "geoms", [geometry]):
            turned = orient(polygon)  # holes run the other way: SVG fills by winding
            rings += [np.asarray(ring.coords)[:, :2] for ring in (turned.exterior, *turned.interiors)]
        paths.append(Path.make_compound_path(*(Path(_unwrap(ring, centre), closed=True) for ring in rings)))
    return paths


def _unwrap(lonlat: np.ndarray, centre: float) -> np.ndarray:
    """Move longitudes next to `centre`, so that a region may straddle 180 degrees; (n, 2) degrees."""
    return np.column_stack([(lonlat[:, 0] - centre + 180) % 360 - 180 + centre, lonlat[:, 1]])


def _furnish_map(axes: Any, extent: tuple[float, float, float, float], stretch: float) -> None:
    """Graticule labels, scale bar and north arrow."""
    from matplotlib.patches import Rectangle

    west, east, south, north = extent
    axes.set(xlim=(west, east), ylim=(south, north), aspect=stretch, facecolor="#e8ecf0")
    axes.locator_params(nbins=6)
    axes.xaxis.set_major_formatter(lambda x, _: f"{abs(w := (x + 180) % 360 - 180):.6g}° {'E' if w >= 0 else 'W'}")
    axes.yaxis.set_major_formatter(lambda y, _: f"{abs(y):.6g}° {'N' if y >= 0 else 'S'}")
    axes.grid(color="#ffffff", linewidth=0.5, alpha=0.6)
    width_km = (east - west) * _KM_PER_DEGREE / stretch
    choices = [a * 10.0**b for b in range(-2, 4) for a in (1, 2, 5)]
    bar_km = max((c for c in choices if c <= width_km / 4), default=choices[0])
    part, black = bar_km / width_km, "#111827"
    frame = axes.transAxes
    axes.add_patch(
        Rectangle((0.015, 0.02), part + 0.03, 0.075, transform=frame, color="#ffffff", alpha=0.85, lw=0, zorder=5)
    )
    axes.plot(
        [0.03, 0.03 + part], [0.038, 0.038], transform=frame, color=black, lw=2.5, solid_capstyle="butt", zorder=6
    )
    axes.text(0.03 + part / 2, 0.052, f"{bar_km:g} km", transform=frame, ha="center", color=black, fontsize=8, zorder=6)
    axes.annotate(
        "N", (0.96, 0.975), (0.96, 0.89), xycoords=frame, textcoords=frame, ha="center", va="center", color=black,
        zorder=6, fontweight="bold", bbox={"boxstyle": "round,pad=0.25", "fc": "#ffffff", "ec": "none", "alpha": 0.85},
        arrowprops={"arrowstyle": "-|>", "color": black, "lw": 1.4},
    )  # fmt: skip


def _frame(corners: Sequence[np.ndarray]) -> tuple[tuple[float, float, float, float], float]:
    """Extent (west, east, south, north) around points with a margin, and how many degrees east one degree north is."""
    west, south = np.min([corner.min(0) for corner in corners if len(corner)], axis=0)
    east, north = np.max([corner.max(0) for corner in corners if len(corner)], axis=0)
    stretch = 1 / np.cos(np.deg2rad(min(abs(south + north) / 2, 85)))
    pad = max(0.04 * (east - west), 0.04 * (north - south) * stretch, 0.01)
    extent = (west - pad, east + pad, south - pad / stretch, north + pad / stretch)
    return tuple(map(float, extent)), float(stretch)  # type: ignore[return-value]


def _colour_glaciers(axes: Any, paths: Sequence[Any], on_paths: np.ndarray, rest: xr.Dataset, limit: float) -> Any:
    """Fill outlines, and draw the glaciers without one as points; return what the colour bar stands for."""
    from matplotlib.collections import PathCollection

    look: dict[str, Any] = {"cmap": "RdBu", "edgecolors": "#1f2a36", "linewidths": 0.5, "zorder": 3}
    if paths:
        dense = sum(len(path.vertices) for path in paths) > _DENSE_VERTICES or len(paths) > _DENSE_MARKS
        layer = PathCollection(paths, array=on_paths, clim=(-limit, limit), gid="outlines", rasterized=dense, **look)
        axes.add_collection(layer)
    size = (12 + 60 * np.sqrt(rest["share"].values)) / max(1, rest.sizes["glacier"] / 400) ** 0.5
    return axes.scatter(
        rest["x"].values, rest["y"].values, s=size, c=rest["mean"].values, vmin=-limit, vmax=limit, gid="points",
        rasterized=rest.sizes["glacier"] > _DENSE_MARKS, **look,
    )  # fmt: skip


@_drawn
def smb_map(
    reconstruction: xr.Dataset, *, outlines: Any | None = None, elevation: xr.DataArray | None = None
) -> tuple[Any, str]:
    """Map the mean surface mass balance, as outlines where there are some and as points elsewhere.

    Parameters
    ----------
    reconstruction : xarray.Dataset
        `smb` (glacier, hydro_year) kg m-2 with glacier_id, lon, lat, area_m2.
    outlines : geopandas.GeoDataFrame or None
        glacier_id and geometry in EPSG:4326.
    elevation : xarray.DataArray or None
        Terrain (y, x) m with its ``crs_wkt``, for the hillshade.

    Returns
    -------
    str
        SVG.
    """
    mean = reconstruction["smb"].mean("hydro_year").values * M_WE
    ids = schema.text(reconstruction["glacier_id"].values)
    lonlat = np.column_stack([reconstruction["lon"].values, reconstruction["lat"].values]).astype(float)
    centre = float(np.rad2deg(np.angle(np.nanmean(np.exp(1j * np.deg2rad(lonlat[:, 0]))))))
    lonlat = _unwrap(lonlat, centre)
    value = dict(zip(ids.tolist(), mean, strict=True))
    shapes = None if outlines is None else outlines[outlines["glacier_id"].isin(list(value))]
    paths: list[Any] = []
    if shapes is not None and len(shapes):
        width = float(np.ptp(_unwrap(shapes.geometry.bounds.values[:, :2], centre)[:, 0]))
        paths = _paths(shapes.geometry.simplify(width / 4_000), centre)
    drawn = list(shapes["glacier_id"]) if paths and shapes is not None else []
    extent, stretch = _frame([lonlat[np.isfinite(mean)], *(path.vertices for path in paths)])
    height = 8 * (extent[3] - extent[2]) * stretch / (extent[1] - extent[0])
    figure, grid = _panels(1, height=float(np.clip(height, 3.5, 10)))
    axes = grid[0, 0]
    if elevation is not None:
        _draw_relief(axes, elevation, extent, stretch)
    share = reconstruction["area_m2"].values / np.nanmax(reconstruction["area_m2"].values)
    columns = {"x": lonlat[:, 0], "y": lonlat[:, 1], "mean": mean, "share": np.nan_to_num(share)}
    keep = ~np.isin(ids, drawn) & np.isfinite(mean)
    rest = reconstruction[[]].assign({k: ("glacier", v) for k, v in columns.items()}).isel(glacier=keep)
    limit = max(float(np.nanpercentile(np.abs(mean), 98)), 0.05)
    points = _colour_glaciers(axes, paths, np.array([value[i] for i in drawn]), rest, limit)
    _furnish_map(axes, extent, stretch)
    years = reconstruction["hydro_year"].values
    bar = figure.colorbar(points, ax=axes, shrink=0.7, pad=0.015, extend="both")
    bar.solids.set_rasterized(True)
    bar.outline.set_visible(False)
    bar.set_label(f"mean SMB {years.min()}–{years.max()}, m w.e. per year")
    low, high = np.nanmin(mean), np.nanmax(mean)
    alt = f"Map of {np.isfinite(mean).sum()} glaciers coloured by mean surface mass balance"
    return figure, f"{alt}, from {low:.2f} to {high:.2f} m w.e. per year."
