from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from glacierscale import schema
from glacierscale.exploration.atlas import Atlas, open_atlas
from glacierscale.reconstruction import ReconstructOptions, reconstruct
from glacierscale.store import Store, StoreError
from tests.reporting import evolving
from tests.reporting.conftest import surface_store

NAMES = [f"RGI60-99.{n + 1:05d}" for n in range(3)]


@pytest.fixture(scope="module")
def folder(small_folder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with maps of the balance of three glaciers, the third set aside, and of the ice of the first two."""
    run = tmp_path_factory.mktemp("mapped") / "run"
    shutil.copytree(small_folder, run)
    surface_store(str(run / "smb_map_032.zarr"), NAMES, [1e6] * 3, aside=(NAMES[2],))
    evolving.maps(str(run / "ice_map_048.zarr"), NAMES[:2], [1e6] * 2)
    return run


@pytest.fixture(scope="module")
def atlas(folder: Path) -> Atlas:
    return open_atlas(folder)


def drawn(atlas: Atlas, *words: Any, **chosen: Any) -> xr.DataArray:
    found = atlas.raster(*words, **chosen)
    assert found is not None
    return found


def test_maps_are_told_in_words_with_their_years_and_scenarios(atlas: Atlas) -> None:
    told = {raster.name: raster for raster in atlas.rasters}
    assert list(told) == [
        *("smb_map_mean", "smb_map", "smb_map_std", "elevation"),
        *("parameter:snow_factor", "parameter:temperature_bias"),
        *("ice_thickness", "ice_share", "ice_surface", "ice_bed"),
    ]
    assert told["smb_map"].years == (2000, 2001, 2002, 2003, 2004)
    assert told["smb_map_mean"].label == "Mean balance, 2000–2004"
    assert told["smb_map"].diverging
    assert told["parameter:snow_factor"].label == "Learned snow factor"
    assert told["parameter:snow_factor"].units == "kg m-2 K-1 day-1"
    assert told["ice_thickness"].years == evolving.SNAPSHOTS
    assert told["ice_thickness"].scenarios == tuple(evolving.SCENARIOS)


def test_a_map_of_the_balance_lies_in_metres_and_is_nothing_off_the_ice(atlas: Atlas) -> None:
    found = drawn(atlas, 0, "smb_map", year=2003)
    assert found.dims == ("y", "x")
    assert found.x.values[[0, -1]].tolist() == [-1550, 1550]
    assert found.y.values[[0, -1]].tolist() == [1550, -1550]  # row 0 in the north
    assert found.attrs["units"] == "m w.e."
    assert found.attrs["resolution_m"] == 100
    elevation = drawn(atlas, 0, "elevation")
    ice = np.hypot(found.x, found.y).values < 800
    assert np.isfinite(found.values).tolist() == ice.T.tolist()
    expected = (6.0 * (elevation.values - 3000) + 1000) / 1000
    np.testing.assert_allclose(found.values[ice.T], expected[ice.T], rtol=1e-3, atol=1e-3)
    assert np.isfinite(elevation).all()  # the ground goes on
    mean = drawn(atlas, 0, "smb_map_mean")
    np.testing.assert_allclose(mean.values[ice.T], expected[ice.T] - 1.3, rtol=1e-3, atol=2e-3)
    assert drawn(atlas, 0, "smb_map").equals(drawn(atlas, 0, "smb_map", year=2004))
    np.testing.assert_allclose(np.nanmax(drawn(atlas, 0, "smb_map_std")), 0.2, rtol=1e-3)
    np.testing.assert_allclose(np.nanmax(drawn(atlas, 1, "parameter:snow_factor")), 4.0)


def test_ice_of_a_year_and_scenario_is_where_there_is_some(atlas: Atlas, folder: Path) -> None:
    stored = Store.at(folder / "ice_map_048.zarr").open()
    at = 5 * list(evolving.SCENARIOS).index("rcp26_plus_2k") + evolving.SNAPSHOTS.index(2050)
    thickness, share = stored.thickness.values[at, 1], stored.ice_fraction.values[at, 1]
    found = drawn(atlas, 1, "ice_thickness", year=2050, scenario="rcp26_plus_2k")
    np.testing.assert_array_equal(found, np.where(share > 0, thickness, np.nan))
    assert np.isfinite(found).sum() > 20
    first = drawn(atlas, 1, "ice_thickness", year=2003)
    assert np.isfinite(first).sum() > np.isfinite(found).sum()
    assert np.nanmax(drawn(atlas, 1, "ice_share", year=2003)) == 100
    np.testing.assert_array_equal(drawn(atlas, 0, "ice_bed"), stored.bed.values[0])


def test_a_glacier_without_a_patch_has_no_map(atlas: Atlas) -> None:
    assert atlas.raster(2, "ice_thickness") is None
    assert atlas.raster(7, "smb_map") is None
    with pytest.raises(ValueError, match="no year of smb_map 1999; there are 2000, 2001, 2002, 2003, 2004"):
        atlas.raster(0, "smb_map", year=1999)


def test_static_rasters_of_patches_are_nothing_off_the_ice_but_the_ground_goes_on(patches: Path) -> None:
    atlas = open_atlas(patches)
    told = {raster.name: raster for raster in atlas.rasters}
    assert told["patch:elevation"].units == "m"
    assert told["patch:ice_fraction"].units == ""
    assert told["patch:sin_aspect"].label == "Facing east (sine of the aspect)"
    ground, ice, light = (drawn(atlas, 0, f"patch:{name}") for name in ("elevation", "ice_fraction", "radiation"))
    assert np.isfinite(ground).sum() > np.isfinite(ice).sum() > 0
    np.testing.assert_array_equal(np.isfinite(light), ice > 0)
    assert 10 < float(light.mean()) < 400


def test_a_map_reads_the_chunks_of_its_glacier_alone(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "smb_map_032.zarr", tmp_path / "smb_map_032.zarr")
    atlas = open_atlas(tmp_path / "smb_map_032.zarr")
    shard = tmp_path / "smb_map_032.zarr/smb_map/c/0/0/0/0"
    data = bytearray(shard.read_bytes())
    middle = len(data) // 2
    data[middle - 50 : middle + 50] = bytes(100)  # of the second of three glaciers
    shard.write_bytes(data)
    assert drawn(atlas, 0, "smb_map").notnull().any()
    assert drawn(atlas, 2, "smb_map").notnull().any()
    with pytest.raises((StoreError, ValueError), match=r"(?i)checksum|crc"):
        atlas.raster(1, "smb_map")


@pytest.fixture(scope="module")
def reconstructed(
    raster_model_folder: Path, features: Any, patches: Path, tmp_path_factory: pytest.TempPathFactory
) -> Atlas:
    """What a hybrid makes of the region: yearly and winter balances and their maps, gaps filled."""
    folder = tmp_path_factory.mktemp("reconstructed")
    options = ReconstructOptions(net="hybrid", seasonal=True, gapfill=True)
    reconstruct(raster_model_folder, features, to=folder / "smb.zarr", patches=patches, options=options)
    return open_atlas(folder)


@pytest.mark.slow
def test_maps_of_a_reconstruction_add_up_to_the_balances_of_the_glacier(reconstructed: Atlas) -> None:
    data = reconstructed.sources.all(schema.MAPS)
    assert len(data) == 2  # patches of two sizes
    row = int(reconstructed.glaciers.area_km2.argmax())
    source = next(source for source in data if source.position[row] >= 0)
    ice = source.data.ice_fraction.values[source.position[row]]
    for name, quantity in (("smb_map", "smb"), ("winter_map", "smb_winter")):
        found = drawn(reconstructed, row, name, year=1995)
        mean = np.average(found.values[ice > 0], weights=ice[ice > 0])
        assert mean == pytest.approx(reconstructed.values(quantity, year=1995)[row], abs=0.02)


@pytest.mark.slow
def test_gap_filled_and_winter_balances_are_told_where_there_are_some(reconstructed: Atlas) -> None:
    names = [quantity.name for quantity in reconstructed.quantities]
    assert {"smb_gapfilled_mean", "smb_gapfilled", "smb_gapfilled_cumulative", "smb_gapfilled_std"} < set(names)
    assert {"smb_winter_mean", "smb_winter"} < set(names)
    assert reconstructed.balances == ("smb", "smb_gapfilled")
    filled, plain = reconstructed.balance(0, variable="smb_gapfilled"), reconstructed.balance(0)
    data = next(iter(reconstructed.sources)).data
    np.testing.assert_allclose(filled.smb, data.smb_gapfilled.values[0] / 1000, rtol=1e-5)
    half = 1.6448536 * data.smb_gapfilled_std.values[0] / 1000
    np.testing.assert_allclose(filled.high - filled.smb, half, rtol=1e-4)
    assert not np.allclose(filled.smb, plain.smb)
    with pytest.raises(ValueError, match="there is no balance 'smb_winter'; there are smb, smb_gapfilled"):
        reconstructed.balance(0, variable="smb_winter")
