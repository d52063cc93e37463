"""One self-contained HTML page from a reconstruction, its held-out predictions and their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from glacierscale import schema
from glacierscale.report import figures
from glacierscale.report.figures import M_WE, MODELS, NULLS, SCHEMES, Z90, in_order, model_label

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

MOST_GLACIERS = 300
"""Glaciers whose series travel inside the page; the largest ones are kept."""
_BLOCK = 4_096
_WANTED = {
    "predictions": ("scheme", "model", "fold", "glacier_id", "hydro_year", "observed", "predicted", "std"),
    "scores": ("scheme", "model", "metric", "value", "low", "high", "n"),
    "coefficients": ("scheme", "fold", "predictor", "effect"),
}
_NOMINAL = {"coverage50": 0.5, "coverage90": 0.9}
_COLUMNS = (  # metric, heading, factor of the printed unit, decimals, what is better
    ("rmse", "RMSE", M_WE, 3, min),
    ("mae", "MAE", M_WE, 2, min),
    ("bias", "Bias", M_WE, 2, min),
    ("r2", "r²", 1.0, 2, max),
    ("R2", "R²", 1.0, 2, max),
    ("crps", "CRPS", M_WE, 2, min),
    ("coverage50", "In 50 %", 100.0, 0, min),
    ("coverage90", "In 90 %", 100.0, 0, min),
)
_DIFFERENCE = "rmse_difference_to_"


def regional_series(reconstruction: xr.Dataset) -> xr.Dataset:
    """Average a reconstruction over the region by area and carry its uncertainty along.

    The spread of the ensemble members is averaged member by member, so what members share is kept. The rest of the
    predictive variance, ``smb_std**2`` less the members' variance, is residual noise: independent between glaciers and
    years in `std`, fully shared by all glaciers of a year (and independent between years) in `shared_std`.

    Parameters
    ----------
    reconstruction : xarray.Dataset
        A dataset of `schema.RECONSTRUCTION`; it is read glacier block by glacier block.

    Returns
    -------
    xarray.Dataset
        (hydro_year) kg m-2: `mean`, `std`, `shared_std` and the same of the running sum, `cumulative`,
        `cumulative_std`, `cumulative_shared_std`. The attributes `mean`, `std`, `shared_std` are those of a mean year.
    """
    import xarray as xr

    sums = dict.fromkeys(("area", "smb", "members", "independent", "shared"), np.zeros(()))
    for start in range(0, reconstruction.sizes["glacier"], _BLOCK):
        part = reconstruction.isel(glacier=slice(start, start + _BLOCK))
        smb, members, residual = _block(part)
        area = np.nan_to_num(part["area_m2"].values.astype(float))[:, np.newaxis]
        weight = np.where(np.isfinite(smb), area, 0.0)  # (glacier, year): a year stands on the glaciers it has
        sums["area"] = sums["area"] + weight.sum(0)
        sums["smb"] = sums["smb"] + np.where(weight > 0, weight * smb, 0.0).sum(0)
        sums["members"] = sums["members"] + np.where(weight > 0, weight * members, 0.0).sum(1)  # (member, year)
        noise = np.where(weight > 0, weight * residual, 0.0)
        sums["independent"] = sums["independent"] + (noise**2).sum(0)
        sums["shared"] = sums["shared"] + noise.sum(0)
    area = np.where(sums["area"] > 0, sums["area"], np.nan)
    mean, members = sums["smb"] / area, sums["members"] / area
    out: dict[str, np.ndarray] = {"mean": mean, "cumulative": mean.cumsum()}
    attrs = {"mean": float(np.nanmean(mean))}
    years = int(np.isfinite(mean).sum())
    spread = float(np.nanmean(members, axis=1).std())
    for name, variance in {"std": sums["independent"] / area**2, "shared_std": (sums["shared"] / area) ** 2}.items():
        out[name] = np.sqrt(members.var(0) + variance)
        out[f"cumulative_{name}"] = np.sqrt(members.cumsum(1).var(0) + variance.cumsum())
        attrs[name] = float(np.sqrt(spread**2 + variance[np.isfinite(mean)].sum() / years**2))
    year = reconstruction["hydro_year"].values
    return xr.Dataset({k: ("hydro_year", v) for k, v in out.items()}, coords={"hydro_year": year}, attrs=attrs)


def _block(part: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (glacier, year), members (member, glacier, year) and residual standard deviation (glacier, year), kg m-2."""
    smb = part["smb"].values.astype(float)
    members = part["smb_member"].values.astype(float)
    residual = np.sqrt(np.clip(part["smb_std"].values.astype(float) ** 2 - members.var(0), 0, None))
    return smb, members, residual


def _refuse(reconstruction: xr.Dataset, tables: Mapping[str, Any], outlines: Any, elevation: Any) -> None:
    """Raise a ValueError that says what came, what was expected and what to do."""
    schema.check(reconstruction, schema.RECONSTRUCTION)
    sizes = dict(reconstruction.sizes)
    if not all(sizes.values()) or not bool(np.isfinite(reconstruction["smb"]).any()):
        raise ValueError(
            f"the reconstruction holds no finite smb (sizes {sizes}); expected at least one glacier-year with a value. "
            "Check that the reconstruct stage finished and read the right features."
        )
    if not float(np.nansum(reconstruction["area_m2"].values)) > 0:
        raise ValueError(
            "the reconstruction's area_m2 sums to zero; the regional mean needs areas. Check the outlines."
        )
    for name, table in tables.items():
        absent = [column for column in _WANTED[name] if column not in table.columns]
        if absent:
            raise ValueError(
                f"the {name} table lacks the columns {absent}; it has {list(table.columns)}. Rerun the evaluate stage."
            )
        if not len(table):
            raise ValueError(f"the {name} table is empty; expected one row or more. Rerun the evaluate stage.")
    pairs = tables["predictions"][["observed", "predicted"]].to_numpy(dtype=float)
    if not np.isfinite(pairs).all(axis=1).any():
        raise ValueError(
            "the predictions table has no row with finite observed and predicted. Rerun the evaluate stage."
        )
    if outlines is not None:
        absent = [column for column in ("glacier_id", "geometry") if column not in outlines.columns]
        if absent or outlines.crs is None:
            raise ValueError(f"outlines lack {absent or 'a CRS'}; expected glacier_id and geometry in EPSG:4326.")
    if elevation is not None and (set(elevation.dims) != {"y", "x"} or "crs_wkt" not in elevation.attrs):
        raise ValueError(
            f"elevation has dimensions {tuple(elevation.dims)} and attributes {sorted(elevation.attrs)}; "
            "expected (y, x) with x and y coordinates and crs_wkt. Pass None to draw no hillshade."
        )


def _number(value: float, decimals: int = 2) -> str:
    """Print a number with a true minus sign; an en dash where there is none."""
    if not np.isfinite(value):
        return "–"
    text = f"{value:,.{decimals}f}"
    return (text[1:] if float(text.replace(",", "")) == 0 and text[0] == "-" else text).replace("-", "−")


def _between(low: float, high: float, decimals: int = 2) -> str:
    """Print an interval; empty where it has no ends."""
    return f"{_number(low, decimals)} to {_number(high, decimals)}" if np.isfinite(low) and np.isfinite(high) else ""


class _Scores(dict[tuple[str, str, str], Any]):
    """Scores by (scheme, model, metric); an absent one is NaN."""

    def __missing__(self, key: tuple[str, str, str]) -> dict[str, float]:
        return dict.fromkeys(("value", "low", "high", "n"), np.nan)

    @classmethod
    def of(cls, scores: pd.DataFrame) -> _Scores:
        return cls({(str(r["scheme"]), str(r["model"]), str(r["metric"])): r for r in scores.to_dict("records")})

    def schemes(self) -> list[str]:
        return in_order((scheme for scheme, _, _ in self), SCHEMES)

    def models(self, scheme: str) -> list[str]:
        return in_order((model for s, model, _ in self if s == scheme), MODELS)


def verdict(scores: pd.DataFrame, scheme: str) -> dict[str, str]:
    """Say in words which model wins a scheme and whether learning beats the temperature-index model there.

    Parameters
    ----------
    scores : pandas.DataFrame
        The scores table.
    scheme : str
        One of its schemes.

    Returns
    -------
    dict
        `scheme` (label), `winner` (model of the lowest RMSE), `state` (``ahead``, ``tie``, ``behind`` or ``unknown``:
        the best learned model against the temperature-index model, by the interval of the difference) and `text`.
    """
    held = _Scores.of(scores)
    rmse = {m: held[scheme, m, "rmse"]["value"] * M_WE for m in held.models(scheme)}
    rmse = {model: value for model, value in rmse.items() if np.isfinite(value)}
    out = {"scheme": SCHEMES.get(scheme, scheme), "state": "unknown", "winner": ""}
    if not rmse:
        return out | {"text": "There is no RMSE for this scheme."}
    first = min(rmse, key=lambda model: rmse[model])
    out["winner"] = first
    learned = [model for model in rmse if model not in NULLS]
    text = f"{model_label(first)} has the lowest RMSE, {_number(rmse[first], 3)} m w.e. per year"
    text += f" (n = {_number(held[scheme, first, 'rmse']['n'], 0)}). "
    if not learned:
        return out | {"text": text + "No learned model was scored."}
    best = min(learned, key=lambda model: rmse[model])
    difference = held[scheme, best, f"{_DIFFERENCE}temperature_index"]
    value, low, high = (difference[k] * M_WE for k in ("value", "low", "high"))
    if not (np.isfinite(low) and np.isfinite(high)):
        return out | {"text": text + f"{model_label(best)} was not compared with the temperature-index model."}
    state = "ahead" if high < 0 else "behind" if low > 0 else "tie"
    says = {
        "ahead": "which excludes zero: it beats the null",
        "behind": "which excludes zero: it loses to the null",
        "tie": "which includes zero: the two cannot be told apart",
    }[state]
    subject = "Its RMSE is" if best == first else f"The RMSE of the best learned model, {model_label(best)}, is"
    text += (
        f"{subject} {_number(abs(value), 3)} {'below' if value < 0 else 'above'} that of the temperature-index null "
        f"(bootstrap interval of the difference {_between(low, high, 3)}, {says})."
    )
    if first in NULLS and first != "temperature_index":
        value, low, high = (held[scheme, best, _DIFFERENCE + first][k] * M_WE for k in ("value", "low", "high"))
        text += f" It is {_number(value, 3)} above that of the {model_label(first).lower()} ({_between(low, high, 3)})."
    return out | {"state": state, "text": text}


def _score_tables(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """Score table and differences to the nulls of every scheme, ready to print."""
    held = _Scores.of(scores)
    tables = []
    for scheme in held.schemes():
        models = held.models(scheme)
        nulls = in_order(
            (k[2].removeprefix(_DIFFERENCE) for k in held if k[0] == scheme and _DIFFERENCE in k[2]), MODELS
        )
        best = {}
        for metric, _, factor, decimals, better in _COLUMNS:
            goal = {m: held[scheme, m, metric]["value"] - _NOMINAL.get(metric, 0.0) for m in models}
            # compared as printed: two models that read the same are both best
            shown = {
                m: round((v if better is max else abs(v)) * factor, decimals) for m, v in goal.items() if np.isfinite(v)
            }
            best[metric] = {m for m, v in shown.items() if v == better(shown.values())}
        rows = []
        for model in models:
            cells = [
                {
                    "text": _number((score := held[scheme, model, metric])["value"] * factor, decimals),
                    "interval": _between(score["low"] * factor, score["high"] * factor, decimals),
                    "best": model in best[metric],
                }
                for metric, _, factor, decimals, _ in _COLUMNS
            ]
            against = []
            for null in nulls:
                score = held[scheme, model, _DIFFERENCE + null]
                low, high = score["low"] * M_WE, score["high"] * M_WE
                state = "ahead" if high < 0 else "behind" if low > 0 else ""
                text = "–" if model == null else _number(score["value"] * M_WE, 3)
                against.append(
                    {"text": text, "interval": "" if model == null else _between(low, high, 3), "state": state}
                )
            n = max((held[scheme, model, c[0]]["n"] for c in _COLUMNS if (scheme, model, c[0]) in held), default=np.nan)
            row = {
                "label": model_label(model),
                "null": model in NULLS,
                "cells": cells,
                "against": against,
                "n": _number(n, 0),
            }
            rows.append(row)
        tables.append({**verdict(scores, scheme), "rows": rows, "nulls": [model_label(null) for null in nulls]})
    return tables


def _embedded(reconstruction: xr.Dataset, predictions: pd.DataFrame) -> dict[str, Any]:
    """Series of the largest glaciers as whole kg m-2, for the selector of the page."""
    area = np.nan_to_num(reconstruction["area_m2"].values.astype(float))
    some = reconstruction["smb"].notnull().any("hydro_year").values
    largest = np.argsort(np.where(some, -area, np.inf), kind="stable")[: min(MOST_GLACIERS, int(some.sum()))]
    order = np.sort(largest)
    part = reconstruction.isel(glacier=order)
    smb, members, residual = _block(part)
    total_std = np.sqrt(members.cumsum(2).var(0) + (residual**2).cumsum(1))
    rows = predictions.drop_duplicates(["glacier_id", "hydro_year"])
    rows = rows[np.isfinite(rows["observed"])]
    observed = {str(k): g[["hydro_year", "observed"]].to_numpy() for k, g in rows.groupby("glacier_id")}
    nothing = np.empty((0, 2))
    names = [schema.text(part[name].values).tolist() for name in ("glacier_id", "unit_id")]

    def whole(values: np.ndarray) -> list[int | None]:
        return [round(float(value)) if np.isfinite(value) else None for value in values]

    glaciers = [
        {
            "id": glacier_id,
            "area": round(float(area[order[i]]) / 1e6, 2),
            "smb": whole(smb[i]),
            "std": whole(part["smb_std"].values[i]),
            "sum": whole(smb[i].cumsum()),
            "sum_std": whole(total_std[i]),
            "observed": [whole(pair) for pair in observed.get(glacier_id, observed.get(unit_id, nothing))],
        }
        for i, (glacier_id, unit_id) in enumerate(zip(*names, strict=True))
    ]
    glaciers.sort(key=lambda glacier: -float(glacier["area"]))
    return {"years": whole(part["hydro_year"].values), "z90": Z90, "glaciers": glaciers}


def _model(net: str) -> str:
    """Name the reconstructing model or models in words: ``"lasso for observed glaciers, mlp for the others"``."""
    words = [model_label(word) for word in net.split(" ")]
    return " ".join(words) if net else "a model the store does not name"


def _headline(reconstruction: xr.Dataset, predictions: pd.DataFrame, series: xr.Dataset, title: str) -> dict[str, Any]:
    """Facts of the first screen: what, where, when, how much, by which model."""
    years = reconstruction["hydro_year"].values
    rows = predictions[np.isfinite(predictions["observed"])].drop_duplicates(["glacier_id", "hydro_year"])
    middle, total = series.attrs["mean"] * M_WE, float(series["cumulative"].values[-1]) * M_WE
    half, wide = Z90 * M_WE * series.attrs["std"], Z90 * M_WE * series.attrs["shared_std"]
    total_half = Z90 * M_WE * float(series["cumulative_shared_std"].values[-1])
    smb = reconstruction["smb"]
    return {
        "region": str(reconstruction.attrs.get("region") or title),
        "model": _model(str(reconstruction.attrs.get("net", ""))),
        "years": f"{years.min()}–{years.max()}",
        "year_count": str(years.size),
        "glaciers": _number(reconstruction.sizes["glacier"], 0),
        "area": _number(float(np.nansum(reconstruction["area_m2"].values)) / 1e6, 1),
        "members": str(reconstruction.sizes["member"]),
        "observations": _number(len(rows), 0),
        "observed_glaciers": _number(rows["glacier_id"].nunique(), 0),
        "mean": _number(middle),
        "mean_interval": _between(middle - half, middle + half),
        "mean_shared": _between(middle - wide, middle + wide),
        "total": _number(total, 1),
        "total_interval": _between(total - total_half, total + total_half, 1),
        "missing": _number(100 * (1 - float(np.isfinite(smb).mean())), 1) if bool((~np.isfinite(smb)).any()) else "",
    }


def render(
    reconstruction: xr.Dataset,
    predictions: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    coefficients: pd.DataFrame | None = None,
    outlines: Any | None = None,
    elevation: xr.DataArray | None = None,
    facts: Mapping[str, Any],
    title: str,
) -> str:
    """Render the report as one HTML page that loads nothing from anywhere.

    Parameters
    ----------
    reconstruction : xarray.Dataset
        A dataset of `schema.RECONSTRUCTION`. Its attributes `region` and `net`, where given, name what is told about.
    predictions : pandas.DataFrame
        scheme, model, fold, glacier_id, hydro_year, observed, predicted, std (kg m-2): held-out predictions.
    scores : pandas.DataFrame
        scheme, model, metric, value, low, high, n.
    coefficients : pandas.DataFrame or None
        scheme, fold, predictor, effect (kg m-2 per standard deviation).
    outlines : geopandas.GeoDataFrame or None
        glacier_id and geometry; None maps points.
    elevation : xarray.DataArray or None
        Terrain (y, x) m with ``crs_wkt``; None draws no hillshade.
    facts : mapping
        Sections of "What went in": heading to text, mapping, list of texts, or list of mappings (a table).
    title : str
        Title of the page.

    Returns
    -------
    str
        HTML.

    Raises
    ------
    ValueError
        If an input is empty, lacks columns or variables, or the reconstruction has no finite value.
    """
    tables = {"predictions": predictions, "scores": scores}
    if coefficients is not None and len(coefficients):
        tables["coefficients"] = coefficients
    _refuse(reconstruction, tables, outlines, elevation)
    if outlines is not None and outlines.crs != "EPSG:4326":
        outlines = outlines.to_crs("EPSG:4326")
    series = regional_series(reconstruction)
    drawings = {
        "map": figures.smb_map(reconstruction, outlines=outlines, elevation=elevation),
        "series": figures.series_figure(series),
    }
    return _fill(
        drawings | _held_out_figures(tables),
        title=title,
        head=_headline(reconstruction, predictions, series, title),
        tables=_score_tables(scores),
        columns=[heading for _, heading, *_ in _COLUMNS],
        embedded=_embedded(reconstruction, predictions),
        facts=facts,
    )


def _held_out_figures(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    scores = tables["scores"]
    out = {"scatter": figures.scatter_figure(tables["predictions"]), "rmse": figures.rmse_figure(scores)}
    if np.isfinite(scores.loc[scores["metric"].isin(list(_NOMINAL)), "value"].to_numpy(dtype=float)).any():
        out["calibration"] = figures.calibration_figure(scores)
    if "coefficients" in tables:
        out["coefficients"] = figures.coefficient_figure(tables["coefficients"])
    return out


def _fill(drawings: Mapping[str, str], *, tables: Sequence[Mapping[str, Any]], **context: Any) -> str:
    from importlib.resources import files

    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.tests["mapping_like"] = lambda value: isinstance(value, Mapping)
    template = environment.from_string(files(__package__).joinpath("template.html.j2").read_text(encoding="utf-8"))
    marked = {name: Markup(svg) for name, svg in drawings.items()}  # drawn here; its texts are escaped
    states = [table["state"] for table in tables]
    null_wins = sum(table["winner"] in NULLS for table in tables)
    return template.render(figures=marked, tables=tables, states=states, null_wins=null_wins, **context)
