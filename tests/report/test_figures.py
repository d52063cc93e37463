"""Figures answer to the data they are given."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from glacierscale.report import figures

SVG = "{http://www.w3.org/2000/svg}"


def marks(svg: str, gid: str) -> int:
    """Number of shapes drawn in a named group."""
    groups = [group for group in ET.fromstring(svg).iter(f"{SVG}g") if group.get("id", "").endswith(f"-{gid}")]
    assert len(groups) == 1, f"{len(groups)} groups called {gid}"
    used = len(list(groups[0].iter(f"{SVG}use")))
    return used or len([p for p in groups[0].iter(f"{SVG}path") if p.get("id") is None])


def texts(svg: str) -> set[str]:
    return {"".join(text.itertext()).strip() for text in ET.fromstring(svg).iter(f"{SVG}text")}


def reconstruction(glaciers: int = 20, years: int = 62, seed: int = 1) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    smb = rng.normal(-400, 500, (glaciers, years)).astype("float32")
    return xr.Dataset(
        {"smb": (("glacier", "hydro_year"), smb)},
        coords={
            "glacier_id": ("glacier", [f"RGI60-11.{n:05d}" for n in range(glaciers)]),
            "lon": ("glacier", rng.uniform(10.7, 11.0, glaciers)),
            "lat": ("glacier", rng.uniform(46.75, 46.95, glaciers)),
            "area_m2": ("glacier", rng.uniform(2e5, 2e7, glaciers)),
            "hydro_year": np.arange(1953, 1953 + years, dtype="int32"),
        },
    )


def predictions(rows: int = 40, models: tuple[str, ...] = ("lasso", "temperature_index")) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    observed = rng.normal(-300, 600, rows)
    tables = [
        pd.DataFrame(
            {"scheme": "logo", "model": model, "observed": observed, "predicted": observed + rng.normal(0, 200, rows)}
        )
        for model in models
    ]
    return pd.concat(tables, ignore_index=True)


def scores() -> pd.DataFrame:
    rows = [
        (scheme, model, metric, value + 0.01 * n, value - 0.05, value + 0.05, 40)
        for scheme in ("logo", "year_blocks")
        for n, model in enumerate(("lasso", "mlp", "training_mean"))
        for metric, value in {"rmse": 350.0, "coverage50": 0.45, "coverage90": 0.85}.items()
        if metric == "rmse" or model != "training_mean"
    ]
    return pd.DataFrame(rows, columns=["scheme", "model", "metric", "value", "low", "high", "n"])


@pytest.fixture(scope="module")
def outlines():
    import geopandas as gpd
    from shapely.geometry import Point

    places = reconstruction(glaciers=5)
    shapes = [Point(x, y).buffer(0.01) - Point(x, y).buffer(0.004) for x, y in zip(places.lon, places.lat, strict=True)]
    return gpd.GeoDataFrame({"glacier_id": places.glacier_id.values}, geometry=shapes, crs="EPSG:4326")


@pytest.mark.parametrize("rows", [7, 40])
def test_the_scatter_draws_one_mark_per_finite_pair_and_counts_them(rows):
    table = predictions(rows)
    table.loc[table.index[0], "predicted"] = np.nan
    svg = figures.scatter_figure(table)
    assert marks(svg, "points-logo-lasso") == rows - 1
    assert marks(svg, "points-logo-temperature_index") == rows
    assert {f"n {rows - 1}", f"n {rows}"} <= texts(svg)


def test_the_scatter_states_rmse_and_coefficient_of_determination_in_metres():
    table = pd.DataFrame(
        {"scheme": "logo", "model": "mlp", "observed": [-1000.0, 0, 1000], "predicted": [-500.0, 500, 1500]}
    )
    assert {"RMSE 0.50", "R² 0.62"} <= texts(figures.scatter_figure(table))


def test_a_scheme_that_lacks_a_model_says_so_in_its_panel():
    table = predictions()
    extra = table[table.model == "lasso"].assign(scheme="loyo")
    assert "not scored" in texts(figures.scatter_figure(pd.concat([table, extra])))


def test_many_points_are_one_image_and_the_figure_stays_small():
    few, many = predictions(100), predictions(30_000)
    assert "<image" not in figures.scatter_figure(few)
    drawn = figures.scatter_figure(many)
    assert "<image" in drawn
    assert len(drawn) < 600_000


def test_the_map_draws_outlines_where_there_are_some_and_points_elsewhere(outlines):
    svg = figures.smb_map(reconstruction(), outlines=outlines)
    assert marks(svg, "outlines") == 5
    assert marks(svg, "points") == 15
    assert marks(figures.smb_map(reconstruction()), "points") == 20


def test_glaciers_without_a_value_are_not_drawn_as_points():
    data = reconstruction()
    data["smb"][3:5] = np.nan
    assert marks(figures.smb_map(data), "points") == 18


def test_the_colour_scale_is_centred_at_zero():
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    data = reconstruction(glaciers=2)
    data["smb"][0], data["smb"][1] = -800.0, 800.0
    colours = set(re.findall(r"fill: (#[0-9a-f]{6})", figures.smb_map(data)))
    assert {"#67001f", "#053061"} <= colours  # the ends of the scale: equally far from zero
    data["smb"][:] = 0.0
    assert to_hex(colormaps["RdBu"](0.5)) in re.findall(r"fill: (#[0-9a-f]{6})", figures.smb_map(data))


def test_tens_of_thousands_of_glaciers_become_one_image_of_bounded_size():
    few, many = (figures.smb_map(reconstruction(glaciers=n, years=2)) for n in (100, 40_000))
    assert marks(few, "points") == 100
    assert 'id="smb_map-points"' not in many
    assert many.count("<image") == few.count("<image") + 1
    assert len(many) < 4_000_000  # colours without any pattern pack worst


def test_a_region_that_straddles_the_date_line_keeps_its_neighbours_together():
    data = reconstruction(glaciers=3, years=2)
    data = data.assign_coords(lon=("glacier", [179.9, -179.9, 179.8]))
    labels = {t for t in texts(figures.smb_map(data)) if t.endswith(("° E", "° W"))}
    assert labels
    assert all(float(label.split("°")[0]) > 179 for label in labels)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32632"])
def test_relief_of_any_crs_lies_under_the_glaciers_lit_from_the_north_west(crs):
    from pyproj import CRS, Transformer

    data = reconstruction()
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform([10.6, 11.1], [46.6, 47.1])
    east, north = np.linspace(*x, 120), np.linspace(*y, 110)[::-1]
    ramp = np.broadcast_to(np.linspace(0, 8000, 120), (110, 120))
    relief = xr.DataArray(ramp, {"y": north, "x": east}, ("y", "x"), attrs={"crs_wkt": CRS(crs).to_wkt()})
    extent, stretch = (10.7, 11.0, 46.75, 46.95), 1.46
    west_face = figures._hillshade(relief, extent, stretch)
    east_face = figures._hillshade(-relief, extent, stretch)
    assert np.isfinite(west_face).all()
    assert west_face.mean() > 0.72 > east_face.mean() + 0.1  # flat ground shades to 0.707
    assert figures.smb_map(data, elevation=relief).count("<image") > figures.smb_map(data).count("<image")


def test_the_series_follows_its_data_and_names_its_sum():
    year = np.arange(1990, 2000)
    zero = ("hydro_year", np.full(10, 100.0))
    names = ("std", "shared_std", "cumulative_std", "cumulative_shared_std")
    series = xr.Dataset(
        {"mean": ("hydro_year", np.full(10, -500.0)), "cumulative": ("hydro_year", -500.0 * np.arange(1, 11))}
        | dict.fromkeys(names, zero),
        coords={"hydro_year": year},
    )
    svg = figures.series_figure(series)
    assert "the sum is -5.0 m w.e." in svg
    assert marks(svg, "annual") >= 10
    assert {"series_figure-annual-shared_std", "series_figure-cumulative-std"} <= set(re.findall(r'id="([^"]+)"', svg))


def test_every_scored_model_has_its_dot_and_every_coverage_its_bar():
    rmse, bars = figures.rmse_figure(scores()), figures.calibration_figure(scores())
    for scheme in ("logo", "year_blocks"):
        for model in ("lasso", "mlp", "training_mean"):
            assert marks(rmse, f"rmse-{scheme}-{model}") == 1
        for model in ("lasso", "mlp"):
            assert marks(bars, f"bar-{scheme}-{model}-90") == 1
    assert "bar-logo-training_mean" not in bars


def test_the_strongest_predictors_lead_and_those_always_zero_are_left_out():
    effect = {"weak": 10.0, "strong": -300.0, "nothing": 0.0, "a$b <c>": 50.0}
    rows = [("logo", fold, name, value * (1 + fold / 10)) for fold in range(3) for name, value in effect.items()]
    table = pd.DataFrame(rows, columns=["scheme", "fold", "predictor", "effect"])
    svg = figures.coefficient_figure(table)
    assert "the first is strong" in svg
    assert {"strong", "weak", "a$b <c>"} <= texts(svg)
    assert "nothing" not in texts(svg)
    assert "weak" not in texts(figures.coefficient_figure(table, top=2))


def test_neutral_colours_are_variables_of_the_page_and_no_style_leaks_out():
    svg = figures.rmse_figure(scores())
    assert "var(--ink" in svg
    assert "<style" not in svg
    assert "<metadata" not in svg


def test_the_same_data_give_the_same_bytes():
    assert figures.rmse_figure(scores()) == figures.rmse_figure(scores())


def test_drawing_leaves_the_settings_of_matplotlib_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    figures.rmse_figure(scores())
    assert dict(matplotlib.rcParams) == before
