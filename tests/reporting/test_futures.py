"""Figures of a future answer to its numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from glacierscale.reporting import evolution, futures
from tests.reporting import evolving


@pytest.fixture(scope="module")
def future(tmp_path_factory):
    store = evolving.store(str(tmp_path_factory.mktemp("futures") / "ice.zarr"))
    return evolution.future(store.open(), {"method": "delta_h"})


def test_volume_and_area_have_a_line_and_a_spread_for_each_scenario_and_say_what_is_left(future, drawing):
    svg = futures.course_figure(future, observed_until=2014)
    for name in evolving.SCENARIOS:
        for of in ("volume", "area"):
            assert drawing.marks(svg, f"{of}-{name}") == 1
            assert drawing.marks(svg, f"{of}-spread-{name}") == 1
    texts = drawing.texts(svg)
    assert {"Volume of ice, km³", "Area, km²", "RCP2.6", "climate observed"} <= texts
    low, middle, high = np.percentile(future.volume[:5, -1] / future.volume[:5, 0], [5, 50, 95]) * 100
    assert f"{middle:.0f} % ({low:.0f}–{high:.0f})" in texts
    assert f"of the volume is left {middle:.0f} % ({low:.0f}–{high:.0f}) under RCP2.6" in svg


@pytest.mark.parametrize("until", [None, 2003, 2150])
def test_the_observed_climate_is_marked_only_where_it_ends_between_the_years(future, drawing, until):
    assert "climate observed" not in drawing.texts(futures.course_figure(future, observed_until=until))


def test_balance_runoff_and_sea_level_stand_beside_each_other_in_units_that_fit(future, drawing):
    svg = futures.water_figure(future)
    texts = drawing.texts(svg)
    assert {"Cumulative balance,", "million m³ per year", "Rise of the sea level,"} <= texts
    assert drawing.marks(svg, "runoff-rcp26") == 1
    assert f"{np.median(future.sea_level[:5, -1]) * 1e3:.5f} mm under RCP2.6" in svg
    much = dataclasses.replace(future, runoff=future.runoff * 1e3)
    assert "km³ per year" in drawing.texts(futures.water_figure(much))


def test_figures_stay_small(future):
    assert len(futures.course_figure(future)) + len(futures.water_figure(future)) < 250_000


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ([0.5, 0.2], [0.5, 0.2]),
        ([0.5, 0.5], [0.45, 0.55]),
        ([0.0, 0.01], [0.05, 0.15]),
        ([1.0, 0.98, 0.99], [0.95, 0.75, 0.85]),
    ],
)
def test_labels_keep_their_distance_and_their_order(wanted, found):
    assert futures.apart(wanted, 0.1, 0.05, 0.95) == pytest.approx(found)
