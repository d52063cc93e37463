"""Maps of the ice of one glacier."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from glacierscale.reporting import ice_maps
from tests.reporting import evolving


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    url = str(tmp_path_factory.mktemp("ice_maps") / "ice_map_048.zarr")
    return evolving.maps(url, evolving.ids()[:2], [1e7, 1.8e7])


@pytest.fixture(scope="module")
def glacier(store):
    return ice_maps.thickness([store.open()])


def test_the_largest_glacier_is_read_unless_another_is_wanted(store, glacier):
    assert glacier.glacier_id == evolving.ids()[1]
    assert ice_maps.thickness([store.open()], evolving.ids()[0]).glacier_id == evolving.ids()[0]
    with pytest.raises(ValueError, match=r"no map of the ice of G9, or it has none in the first year; name another"):
        ice_maps.thickness([store.open()], "G9")
    assert ice_maps.thickness([]) is None


def test_volumes_are_those_of_the_store(store, glacier):
    data = store.open()
    total = (data.thickness * data.ice_fraction).isel(glacier=1).sum(("y", "x")).values * 100.0**2
    np.testing.assert_allclose(glacier.volume().ravel(), total, rtol=1e-5)
    assert glacier.scenarios == tuple(evolving.SCENARIOS)
    assert glacier.years == evolving.SNAPSHOTS


def test_a_fine_raster_is_averaged_and_keeps_its_volume(store, glacier, monkeypatch):
    monkeypatch.setattr(ice_maps, "SIDE", 20)
    coarse = ice_maps.thickness([store.open()])
    assert max(coarse.bed.shape) <= 20
    assert coarse.resolution_m == 300.0
    np.testing.assert_allclose(coarse.volume(), glacier.volume(), rtol=0.02)


def test_cells_that_are_mostly_bare_are_not_ice(glacier):
    thin = dataclasses.replace(glacier, ice=glacier.ice * 0.4, mean=glacier.mean * 0.4)
    assert np.isfinite(thin.shown()[0, 0]).any()  # a glacier of parts of cells is drawn where it has most
    ice = glacier.ice.copy()
    row, column = np.argwhere(ice[0, 0] == 1)[0]
    ice[0, 0, row, column] = 0.3
    assert np.isnan(dataclasses.replace(glacier, ice=ice).shown()[0, 0, row, column])


def test_each_scenario_is_a_row_of_years_with_what_is_left(glacier, drawing):
    svg = ice_maps.thickness_figure(glacier)
    texts = drawing.texts(svg)
    volume = glacier.volume()
    assert f"2003: {volume[0, 0] / 1e9:.2f} km³" in texts
    assert f"2100: {100 * volume[1, -1] / volume[1, 0]:.0f} %" in texts
    assert {"RCP2.6", f"ice thickness of {glacier.glacier_id}, m", "1 km"} <= texts
    assert svg.count("ice-rcp26-") == 5
    assert len(svg) < 400_000


def test_more_years_than_fit_are_thinned_with_the_first_and_last_kept(tmp_path, drawing):
    years = tuple(range(2003, 2101, 10))
    store = evolving.maps(str(tmp_path / "ice_map_048.zarr"), ["G"], [1e6], snapshots=years)
    texts = drawing.texts(ice_maps.thickness_figure(ice_maps.thickness([store.open()])))
    shown = {int(text[:4]) for text in texts if text[:2] == "20" and ":" in text}
    assert len(shown) == 5
    assert {2003, 2093} <= shown
