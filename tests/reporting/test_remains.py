"""The map of what is left of each glacier."""

from __future__ import annotations

import dataclasses

import geopandas as gpd
import numpy as np
import pytest
from shapely.geometry import Point

from glacierscale.reporting import evolution, remains
from tests.reporting import evolving


@pytest.fixture(scope="module")
def future(tmp_path_factory):
    store = evolving.store(str(tmp_path_factory.mktemp("remains") / "ice.zarr"))
    return evolution.future(store.open(), {"method": "delta_h"})


def round_outlines(future, radius):
    places = zip(future.glaciers.lon.values, future.glaciers.lat.values, strict=True)
    shapes = [Point(place).buffer(radius) for place in places]
    return gpd.GeoDataFrame({"glacier_id": evolving.ids()}, geometry=shapes, crs="EPSG:4326")


def test_there_is_a_map_for_each_scenario_and_year_and_it_says_who_is_gone(future, drawing):
    left = future.left.copy()
    left[2, 1] = 0.0
    svg = remains.left_figure(dataclasses.replace(future, left=left))
    wanted = {f"{name}, {year}" for name in ("RCP2.6", "RCP2.6 +2 K", "RCP2.6 +4 K") for year in (2050, 2100)}
    assert wanted <= drawing.texts(svg)
    assert svg.count("left-points") == 6
    assert f"by 2100: 0 under RCP2.6, {(left[1, 1] == 0).sum()} under RCP2.6 +2 K, 12 under RCP2.6 +4 K." in svg
    assert svg.count("stroke: #b5403a") >= 12
    assert {"north", "south", "N"} <= drawing.texts(svg)


def test_outlines_are_drawn_where_they_can_be_seen_and_points_where_they_are_specks(future):
    svg = remains.left_figure(future, outlines=round_outlines(future, 0.01))
    assert svg.count("left-outlines") == 6
    small = future.glaciers.assign(area_m2=("glacier", np.full(12, 1e3)))
    svg = remains.left_figure(dataclasses.replace(future, glaciers=small), outlines=round_outlines(future, 1e-4))
    assert "left-outlines" not in svg
    assert svg.count("left-points") == 6


def test_many_scenarios_are_mapped_at_the_end_alone(future, drawing):
    five = tuple(f"s{n}" for n in range(5))
    many = dataclasses.replace(future, scenarios=five, left=np.concatenate([future.left, future.left[:2]]))
    texts = drawing.texts(remains.left_figure(many))
    assert {f"{name}, 2100" for name in five} <= texts
    assert "s0, 2050" not in texts


def test_many_glaciers_are_drawn_as_an_image(future, monkeypatch):
    monkeypatch.setattr(remains, "_DENSE_MARKS", 5)
    svg = remains.left_figure(future)
    assert "left-points" not in svg
    assert svg.count("<image") == 7  # six maps and the bar
