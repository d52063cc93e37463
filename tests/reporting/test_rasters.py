"""What is taken from stores of maps: the right glaciers, cut to their ice, with means that keep their mass."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from glacierscale import provenance, schema
from glacierscale.reporting import rasters
from glacierscale.store import Store


def test_maps_are_found_beside_a_reconstruction_from_small_patches_to_large(made, tmp_path):
    assert rasters.map_stores(Store(str(tmp_path / "smb.zarr"), schema.RECONSTRUCTION)) == []
    (tmp_path / "smb_map_128.zarr").touch()  # a file, no store
    for size in (64, 32):
        made.surface_store(str(tmp_path / f"smb_map_{size:03d}.zarr"), ["G1"], [1e6], cells=size)
    beside = Store(str(tmp_path / "smb.zarr"), schema.RECONSTRUCTION)
    assert [store.url[-8:] for store in rasters.map_stores(beside)] == ["032.zarr", "064.zarr"]


def test_something_else_under_the_name_of_a_map_is_refused(tmp_path):
    stamp = provenance.Stamp(verb="reconstruct", options={}, inputs={})
    static = xr.Dataset({"hydro_year": ("hydro_year", np.array([2000], "int32"))})
    smb = Store(str(tmp_path / "smb_map_032.zarr"), schema.RECONSTRUCTION)
    smb.declare(static, stamp, sizes={"glacier": 1, "member": 1})
    with pytest.raises(ValueError, match="is a reconstruction store; expected a maps store"):
        rasters.map_stores(smb)


def test_observed_glaciers_come_first_then_the_largest_over_all_sizes(made, tmp_path):
    small = made.surface_store(str(tmp_path / "a.zarr"), ["A", "B_d01", "C"], [1e6, 2e6, 3e6], aside=("C",))
    large = made.surface_store(str(tmp_path / "b.zarr"), ["D", "E"], [9e6, 5e6], cells=64)
    maps = [small.open(), large.open()]
    assert [s.glacier_id for s in rasters.surfaces(maps, {"B"}, 3)] == ["B_d01", "D", "E"]
    assert [s.glacier_id for s in rasters.surfaces(maps, {"A", "E"}, 9)] == ["E", "A", "D", "B_d01"]
    assert rasters.surfaces(maps, {"A"}, 0) == []


def test_a_patch_without_ice_is_passed_over(made, tmp_path):
    bare = made.surface_store(str(tmp_path / "a.zarr"), ["A"], [1e6], ice=np.zeros((32, 32)))
    iced = made.surface_store(str(tmp_path / "b.zarr"), ["B"], [1e5])
    assert [s.glacier_id for s in rasters.surfaces([bare.open(), iced.open()], set(), 1)] == ["B"]


def test_reasons_are_told_once_and_different_ones_together(made, tmp_path):
    maps = made.surface_store(str(tmp_path / "a.zarr"), ["A", "B"], [1e6, 2e6], aside=("B",)).open().load()
    other = maps.assign(set_aside=("glacier", np.array(["too large", "no ice"])))
    assert rasters.set_aside([maps, maps]) == [("B", "no climate there")]
    assert rasters.set_aside([maps, other]) == [("A", "too large"), ("B", "no climate there; no ice")]
    assert rasters.set_aside([maps.drop_vars("set_aside")]) == []


def test_a_cut_holds_all_ice_and_the_glacier_wide_mean_of_the_years(surfaces):
    surface = surfaces[0]
    assert surface.ice.sum() == 208  # cells within 8 of the centre
    assert surface.ice.shape[0] < 32
    np.testing.assert_allclose(surface.glacier_wide(), [-500, -1500, 0, 1000, -500], atol=0.1)


@pytest.mark.parametrize(("rows", "columns"), [(40, 3), (3, 40), (20, 20)])
def test_long_glaciers_are_cut_neither_too_flat_nor_too_steep(rows, columns):
    ice = np.zeros((64, 64), dtype=bool)
    ice[1 : 1 + rows, 60 - columns : 60] = True
    cut = ice[rasters.window(ice)]
    assert cut.sum() == ice.sum()
    assert rasters.FLATTEST - 0.02 <= cut.shape[0] / cut.shape[1] <= rasters.STEEPEST


def test_fine_rasters_are_thinned_without_a_change_of_mass(made, tmp_path, monkeypatch):
    store = made.surface_store(str(tmp_path / "a.zarr"), ["A"], [1e6], cells=64)
    (fine,) = rasters.surfaces([store.open()], set(), 1)
    monkeypatch.setattr(rasters, "SIDE", 12)
    (coarse,) = rasters.surfaces([store.open()], set(), 1)
    assert max(coarse.ice.shape) <= 12
    np.testing.assert_allclose(coarse.glacier_wide(), fine.glacier_wide(), atol=0.1)
    area = [surface.ice.sum() * surface.resolution_m**2 for surface in (fine, coarse)]
    assert coarse.resolution_m > fine.resolution_m
    assert area[1] == pytest.approx(area[0], rel=0.1)  # the rim of the cut is a part of a cell


def test_years_without_a_map_are_left_out(made, tmp_path):
    data = made.surface_store(str(tmp_path / "a.zarr"), ["A"], [1e6]).open().load()
    data["smb_map"][:, 1] = np.nan
    (surface,) = rasters.surfaces([data], set(), 1)
    assert surface.years.tolist() == [2000, 2002, 2003, 2004]
    np.testing.assert_allclose(surface.glacier_wide(), [-500, 0, 1000, -500], atol=0.1)
    data["smb_map"][:] = np.nan
    assert rasters.surfaces([data], set(), 1) == []


def test_bands_follow_the_plane_and_close_the_mass(surfaces):
    height, area, smb = surfaces[0].band_means(50.0)
    assert (np.diff(np.floor(height / 50)) == 1).all()
    assert area.sum() == pytest.approx(208 * 100.0**2)
    np.testing.assert_allclose(np.average(smb, axis=0, weights=area), surfaces[0].glacier_wide(), atol=0.1)
    assert np.polyfit(height, smb[:, 2], 1)[0] == pytest.approx(6.0, rel=1e-3)
