"""Maps answer to the data they are given."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr

from glacierscale.reporting import maps


def places(glaciers: int = 20, years: int = 62, seed: int = 1) -> xr.Dataset:
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


@pytest.fixture(scope="module")
def outlines():
    import geopandas as gpd
    from shapely.geometry import Point

    some = places(glaciers=5)
    shapes = [Point(x, y).buffer(0.01) - Point(x, y).buffer(0.004) for x, y in zip(some.lon, some.lat, strict=True)]
    return gpd.GeoDataFrame({"glacier_id": some.glacier_id.values}, geometry=shapes, crs="EPSG:4326")


def test_the_map_draws_outlines_where_there_are_some_and_points_elsewhere(outlines, drawing):
    svg = maps.smb_map(places(), outlines=outlines)
    assert drawing.marks(svg, "outlines") == 5
    assert drawing.marks(svg, "points") == 15
    assert drawing.marks(maps.smb_map(places()), "points") == 20


def test_glaciers_without_a_value_are_not_drawn_as_points(drawing):
    data = places()
    data["smb"][3:5] = np.nan
    assert drawing.marks(maps.smb_map(data), "points") == 18


def test_the_colour_scale_is_centred_at_zero():
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    data = places(glaciers=2)
    data["smb"][0], data["smb"][1] = -800.0, 800.0
    colours = set(re.findall(r"fill: (#[0-9a-f]{6})", maps.smb_map(data)))
    assert {"#67001f", "#053061"} <= colours  # the ends of the scale: equally far from zero
    data["smb"][:] = 0.0
    assert to_hex(colormaps["RdBu"](0.5)) in re.findall(r"fill: (#[0-9a-f]{6})", maps.smb_map(data))


def test_tens_of_thousands_of_glaciers_become_one_image_of_bounded_size(drawing):
    few, many = (maps.smb_map(places(glaciers=n, years=2)) for n in (100, 40_000))
    assert drawing.marks(few, "points") == 100
    assert 'id="smb_map-points"' not in many
    assert many.count("<image") == few.count("<image") + 1
    assert len(many) < 4_000_000  # colours without any pattern pack worst


def test_a_region_that_straddles_the_date_line_keeps_its_neighbours_together(drawing):
    data = places(glaciers=3, years=2)
    data = data.assign_coords(lon=("glacier", [179.9, -179.9, 179.8]))
    labels = {t for t in drawing.texts(maps.smb_map(data)) if t.endswith(("° E", "° W"))}
    assert labels
    assert all(float(label.split("°")[0]) > 179 for label in labels)
    assert "180°" in drawing.texts(maps.smb_map(data))


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32632"])
def test_relief_of_any_crs_lies_under_the_glaciers_lit_from_the_north_west(crs):
    from pyproj import CRS, Transformer

    data = places()
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform([10.6, 11.1], [46.6, 47.1])
    east, north = np.linspace(*x, 120), np.linspace(*y, 110)[::-1]
    ramp = np.broadcast_to(np.linspace(0, 8000, 120), (110, 120))
    relief = xr.DataArray(ramp, {"y": north, "x": east}, ("y", "x"), attrs={"crs_wkt": CRS(crs).to_wkt()})
    extent, stretch = (10.7, 11.0, 46.75, 46.95), 1.46
    west_face = maps._hillshade(relief, extent, stretch)
    east_face = maps._hillshade(-relief, extent, stretch)
    assert np.isfinite(west_face).all()
    assert west_face.mean() > 0.72 > east_face.mean() + 0.1  # flat ground shades to 0.707
    assert maps.smb_map(data, elevation=relief).count("<image") > maps.smb_map(data).count("<image")


def test_the_axes_end_where_the_relief_ends_but_never_cut_a_glacier():
    from matplotlib.figure import Figure
    from pyproj import CRS

    data = places()
    attrs = {"crs_wkt": CRS("EPSG:4326").to_wkt()}
    east, north = np.linspace(10.70, 10.90, 120), np.linspace(46.0, 46.955, 400)[::-1]  # short in the east
    relief = xr.DataArray(
        np.random.default_rng(0).normal(size=(400, 120)), {"y": north, "x": east}, ("y", "x"), attrs=attrs
    )
    limits = {}
    for name, elevation in {"plain": None, "relief": relief}.items():
        axes = Figure().subplots()
        maps.draw_map(axes, data, outlines=None, elevation=elevation)
        limits[name] = (*axes.get_xlim(), *axes.get_ylim())
    west, right, south, top = limits["relief"]
    assert limits["plain"][0] < 10.70 <= west < 10.70 + 0.002
    assert 46.955 - 0.002 < top <= 46.955 < limits["plain"][3]
    assert south == pytest.approx(limits["plain"][2])
    assert float(data.lon.max()) <= right < float(data.lon.max()) + 0.002


def test_terrain_of_single_glaciers_is_no_relief():
    from matplotlib.figure import Figure
    from pyproj import CRS

    values = np.random.default_rng(0).normal(size=(200, 200))
    values[:, 60:] = np.nan
    axis = {"y": np.linspace(46.5, 47.2, 200), "x": np.linspace(10.5, 11.2, 200)}
    relief = xr.DataArray(values, axis, ("y", "x"), attrs={"crs_wkt": CRS("EPSG:4326").to_wkt()})
    limits = []
    for elevation in (None, relief):
        axes = Figure().subplots()
        maps.draw_map(axes, places(), outlines=None, elevation=elevation)
        limits.append((*axes.get_xlim(), *axes.get_ylim()))
        assert not axes.get_images()
    assert limits[0] == limits[1]


def test_a_grid_is_trimmed_to_its_known_part_and_kept_whole_if_nothing_is_known():
    known = np.zeros((6, 8), bool)
    assert maps._covered(known, ((2, 3), (2, 3))) == ((0, 6), (0, 8))
    known[1:5, 2:7] = True
    assert maps._covered(known, ((2, 3), (3, 4))) == ((1, 5), (2, 7))
    assert maps._covered(known, ((0, 3), (3, 8))) == ((0, 5), (2, 8))


def test_the_scale_bar_is_a_round_length_and_lies_above_the_map(drawing):
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    maps.draw_map(axes, places(), outlines=None, elevation=None)
    (bar,) = [line for line in axes.lines if line.get_gid() == "scale"]
    left, right = bar.get_xdata()
    west, east = axes.get_xlim()
    width_km = (right - left) * (east - west) * 111.2 * np.cos(np.deg2rad(np.mean(axes.get_ylim())))
    assert width_km == pytest.approx(2, rel=1e-3)
    assert "2 km" in drawing.texts(maps.smb_map(places()))
    pixels = bar.get_transform().transform(bar.get_xydata())
    assert (pixels[:, 1] > axes.get_window_extent().y1).all()
