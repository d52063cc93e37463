"""One self-contained HTML page from a reconstruction, its held-out predictions and their scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from glacierscale import schema
from glacierscale.reporting import (
    causes,
    effects,
    figures,
    futures,
    ice_maps,
    kinds,
    maps,
    outlook,
    profiles,
    remains,
    summary,
    surfaces,
    verdicts,
)
from glacierscale.reporting.style import NULLS

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from glacierscale.reporting.evolution import Future
    from glacierscale.reporting.ice_maps import Thickness
    from glacierscale.reporting.rasters import Surface

_COLUMNS = (
    {
        "predictions": ("scheme", "model", "fold", "glacier_id", "hydro_year", "observed", "predicted", "std"),
        "scores": ("scheme", "model", "metric", "value", "low", "high", "n"),
        "coefficients": ("scheme", "fold", "predictor", "effect"),
    }
    | kinds.TABLES
    | effects.TABLES
)


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
        absent = [column for column in _COLUMNS[name] if column not in table.columns]
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


def render(
    reconstruction: xr.Dataset,
    predictions: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    coefficients: pd.DataFrame | None = None,
    outlines: Any | None = None,
    elevation: xr.DataArray | None = None,
    more: Mapping[str, pd.DataFrame] | None = None,
    rasters: Sequence[Surface] = (),
    future: Future | None = None,
    thickness: Thickness | None = None,
    aside: Sequence[tuple[str, str]] = (),
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
    more : mapping or None
        Tables of `kinds.TABLES` and `effects.TABLES` by name, as many as there are; empty ones count as absent.
    rasters : sequence of Surface
        Glaciers to draw as maps.
    future : Future or None
        The region under future climates.
    thickness : Thickness or None
        A glacier whose ice is mapped under them.
    aside : sequence of tuple
        Identifier and reason of each glacier that was set aside.
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
    optional = {"coefficients": coefficients, **(more or {})}
    tables = {"predictions": predictions, "scores": scores}
    tables |= {name: table for name, table in optional.items() if table is not None and len(table)}
    _refuse(reconstruction, tables, outlines, elevation)
    if outlines is not None and outlines.crs != "EPSG:4326":
        outlines = outlines.to_crs("EPSG:4326")
    series = summary.regional_series(reconstruction)
    drawings = {
        "map": maps.smb_map(reconstruction, outlines=outlines, elevation=elevation),
        "series": figures.series_figure(series),
    }
    if future is not None:
        drawings |= _future_figures(future, thickness, outlines, int(reconstruction["hydro_year"].values.max()))
    return _fill(
        drawings | _held_out_figures(tables) | _cause_figures(tables) | _raster_figures(tables, rasters),
        title=title,
        head=summary.headline(reconstruction, predictions, series, title),
        tables=verdicts.score_tables(scores),
        columns=[heading for _, heading, *_ in verdicts.COLUMNS],
        embedded=summary.embedded_series(reconstruction, predictions),
        level=verdicts.LEVEL,
        future=None if future is None else outlook.told(future),
        aside=aside,
        facts=facts,
        **_told_by_tables(tables),
    )


def _told_by_tables(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Words and tables of what not every run has."""
    return {
        "kinds": kinds.kind_tables(tables["scores_by_kind"]) if "scores_by_kind" in tables else [],
        "constraints": kinds.constraint_table(tables["constraints"]) if "constraints" in tables else None,
        "decade": effects.contribution_words(tables["contributions"]) if "contributions" in tables else "",
        "linear": "effects" not in tables or effects.LINEAR in set(tables["effects"]["model"]),
        "against": effects.sign_words(tables["effects"]) if "effects" in tables else "",
        "outside": kinds.climate_warnings(tables["climate_range"]) if "climate_range" in tables else [],
    }


def _held_out_figures(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    table = tables["scores"]
    out = {"scatter": figures.scatter_figure(tables["predictions"]), "rmse": figures.rmse_figure(table)}
    if np.isfinite(table.loc[table["metric"].isin(list(verdicts.NOMINAL)), "value"].to_numpy(dtype=float)).any():
        out["calibration"] = figures.calibration_figure(table)
    if "coefficients" in tables:
        out["coefficients"] = figures.coefficient_figure(tables["coefficients"])
    return out


def _cause_figures(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Figures of what drives the balance in the nets of rows."""
    draw: dict[str, Callable[[pd.DataFrame], str]] = {
        "effects": effects.effect_figure,
        "partial_effects": effects.response_figure,
        "contributions": effects.contribution_figure,
    }
    return {name: figure(tables[name]) for name, figure in draw.items() if name in tables}


def _future_figures(future: Future, thickness: Thickness | None, outlines: Any, observed_until: int) -> dict[str, str]:
    """Figures of glaciers under future climates; maps of thickness where there are some."""
    out = {
        "course": futures.course_figure(future, observed_until=observed_until),
        "water": futures.water_figure(future),
        "left": remains.left_figure(future, outlines=outlines),
    }
    return out if thickness is None else out | {"thickness": ice_maps.thickness_figure(thickness)}


def _raster_figures(tables: Mapping[str, pd.DataFrame], rasters: Sequence[Surface]) -> dict[str, str]:
    """Figures of what the raster networks say, as far as there are maps and tables."""
    out: dict[str, str] = {}
    if rasters:
        out |= {"surfaces": surfaces.surface_figure(rasters), "gradients": profiles.gradient_figure(rasters)}
    if surfaces.parameters_of(rasters):
        out["parameters"] = surfaces.parameter_figure(rasters)
    if "predictions_by_kind" in tables and len(profiles.band_rows(tables["predictions_by_kind"])):
        out["profiles"] = profiles.profile_figure(tables["predictions_by_kind"])
    if "sensitivities" in tables:
        out["sensitivity"] = causes.sensitivity_figure(tables["sensitivities"])
    if "importance" in tables:
        out["importance"] = causes.importance_figure(tables["importance"])
    return out


def _fill(drawings: Mapping[str, str], *, tables: Sequence[Mapping[str, Any]], **context: Any) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader(str(__package__), ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["mapping_like"] = lambda value: isinstance(value, Mapping)
    template = environment.get_template("template.html.j2")
    marked = {name: Markup(svg) for name, svg in drawings.items()}  # drawn here; its texts are escaped
    states = [table["state"] for table in tables]
    null_wins = sum(table["winner"] in NULLS for table in tables)
    return template.render(figures=marked, tables=tables, states=states, null_wins=null_wins, **context)
