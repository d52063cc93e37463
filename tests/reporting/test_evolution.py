"""Sums of evolving glaciers, and where the report finds them."""

from __future__ import annotations

import numpy as np
import pytest

from glacierscale import schema
from glacierscale.reporting import evolution
from glacierscale.store import NoStoreError, Store
from tests.reporting import evolving


def test_sums_are_those_of_the_glaciers_with_ice_at_the_start(tmp_path):
    store = evolving.store(str(tmp_path / "ice.zarr"), aside=(5,))
    wanted = evolving.arrays(aside=(5,))
    future = evolution.future(store.open(), {"method": "sia"})
    assert future.options == {"method": "sia"}
    assert future.scenarios == tuple(evolving.SCENARIOS)
    assert future.of.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert (future.years[0], future.years[-1], future.told) == (2003, 2100, (2050, 2100))
    np.testing.assert_allclose(future.volume, np.nansum(wanted["volume"], 1), rtol=1e-6)
    np.testing.assert_allclose(future.area, np.nansum(wanted["area"], 1), rtol=1e-5)
    np.testing.assert_allclose(future.sea_level[:, -1], np.nansum(wanted["sea_level"], 1)[:, -1], rtol=1e-6)
    assert schema.text(future.glaciers.glacier_id.values).tolist() == evolving.ids()[:5] + evolving.ids()[6:]
    gone = (wanted["volume"][..., [47, 97]] == 0).sum(axis=1)
    np.testing.assert_array_equal(future.gone, gone)
    assert gone.max() > 3


def test_glaciers_are_read_some_at_a_time_with_the_same_result(tmp_path, monkeypatch):
    ice = evolving.store(str(tmp_path / "ice.zarr"), aside=(0, 5)).open()
    whole = evolution.future(ice, {})
    monkeypatch.setattr(evolution, "_BLOCK", 3)
    parts = evolution.future(ice, {})
    for name in ("area", "volume", "runoff", "sea_level", "cumulative", "left", "gone"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-9, err_msg=name)


def test_the_balance_is_weighted_by_the_area_it_fell_on_and_starts_after_the_survey(tmp_path):
    store = evolving.store(str(tmp_path / "ice.zarr"))
    ice = store.open().load()
    future = evolution.future(ice, {})
    assert (future.cumulative[:, 0] == 0).all()
    lost = evolving.DENSITY * (future.volume[:, -1] - future.volume[:, 0])  # kg; balance times area is what was lost
    before = np.concatenate([future.area[:, :1], future.area[:, :-1]], axis=1)
    balance = np.diff(future.cumulative, axis=1, prepend=0.0)
    np.testing.assert_allclose((before * balance).sum(1), lost, rtol=1e-4)


def test_what_is_left_of_a_glacier_is_the_median_of_its_members(tmp_path):
    future = evolution.future(evolving.store(str(tmp_path / "ice.zarr")).open(), {})
    volume = evolving.arrays()["volume"]
    share = np.median(volume[10:, :, 47] / volume[10:, :, 0], axis=0)
    np.testing.assert_allclose(future.left[2, 0], share, rtol=1e-6)
    assert future.left.shape == (3, 2, 12)
    assert set(future.subregions) == {"north", "south"}
    np.testing.assert_allclose(future.subregions["north"][:, 2], volume[:, ::2, -1].sum(1), rtol=1e-6)


def test_runoff_is_a_running_mean_that_begins_after_the_survey(tmp_path):
    future = evolution.future(evolving.store(str(tmp_path / "ice.zarr")).open(), {})
    years, melt = future.melt()
    assert (years[0], years[-1]) == (2009, 2095)
    np.testing.assert_allclose(melt[:, 0], future.runoff[:, 1:12].mean(1))
    np.testing.assert_allclose(melt[:, -1], future.runoff[:, -11:].mean(1))
    short = evolution.future(evolving.store(str(tmp_path / "b.zarr"), years=evolving.YEARS[:5]).open(), {})
    assert short.told == (2007,)
    years, melt = short.melt()
    assert melt.shape == (15, len(years)) == (15, 1)


def test_a_region_without_ice_is_named(tmp_path):
    store = evolving.store(str(tmp_path / "ice.zarr"), aside=tuple(range(12)))
    with pytest.raises(ValueError, match="none of 12 glaciers has ice in 2003; check thickness and outlines"):
        evolution.future(store.open(), {})


def test_the_store_is_looked_for_beside_the_reconstruction_unless_one_is_given(tmp_path):
    smb = Store(str(tmp_path / "smb.zarr"), schema.RECONSTRUCTION)
    assert evolution.beside(smb, None) is None
    other = evolving.store(str(tmp_path / "elsewhere" / "future.zarr"))
    assert evolution.beside(smb, other.url).url == other.url
    made = evolving.store(str(tmp_path / "ice.zarr"))
    assert evolution.beside(smb, None).url == made.url
    with pytest.raises(NoStoreError, match="not a glacierscale store"):
        evolution.beside(smb, tmp_path / "absent.zarr")
