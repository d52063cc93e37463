"""Reconstruct with networks of ice cells: means over patches, maps beside them, winter balances on request."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from glacierscale import provenance, schema
from glacierscale.features.options import RasterizeOptions
from glacierscale.features.rasters import rasterize
from glacierscale.models.mapping import PARAMETERS
from glacierscale.reconstruction import ReconstructOptions, reconstruct
from glacierscale.store import NoStoreError, Store

MAPS = ["smb_map_016.zarr", "smb_map_032.zarr"]
SEASONAL = ReconstructOptions(net="hybrid", seasonal=True)


@pytest.fixture(scope="module")
def seasonal(raster_model: Any, features: Any, patches: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a reconstruction by the hybrid, its maps and its winter balances."""
    folder = tmp_path_factory.mktemp("seasonal")
    reconstruct(raster_model, features, to=folder / "smb.zarr", patches=patches, options=SEASONAL)
    return folder


def mapped(folder: Path) -> list[xr.Dataset]:
    return [Store.at(folder / name, schema.MAPS).open().load() for name in MAPS]


def test_every_glacier_has_one_map_and_its_balance_is_the_mean_of_it(
    seasonal: Path, raster_model: Any, features: Any
) -> None:
    assert sorted(p.name for p in seasonal.iterdir()) == ["smb.zarr", *MAPS]
    smb = Store.at(seasonal / "smb.zarr").open().load()
    assert smb.sizes == {"glacier": 6, "hydro_year": 12, "member": raster_model.members_of("hybrid")}
    assert smb.attrs["net"] == "hybrid"
    assert np.isfinite(smb.smb_member).all()
    at = {name: row for row, name in enumerate(smb.glacier_id.values.tolist())}
    assert sorted(name for maps in mapped(seasonal) for name in maps.glacier_id.values) == sorted(at)
    for maps in mapped(seasonal):
        for glacier in range(maps.sizes["glacier"]):
            own = maps.isel(glacier=glacier)
            row = at[str(own.glacier_id.values)]
            share = own.ice_fraction.values
            np.testing.assert_array_equal(np.isfinite(own.smb_map.values), (share > 0) & np.ones((12, 1, 1), bool))
            for name, mean in (("smb_map", smb.smb), ("winter_map", smb.smb_winter)):
                whole = np.nansum(own[name].values * share, axis=(1, 2)) / share.sum()
                np.testing.assert_allclose(mean.values[row], whole, rtol=1e-3, atol=0.5, err_msg=name)


def test_uncertainty_is_the_spread_of_members_and_what_they_leave(seasonal: Path, raster_model: Any) -> None:
    smb = Store.at(seasonal / "smb.zarr").open().load()
    left = raster_model.residual_of("hybrid")
    assert left == raster_model.raster_residual["hybrid"][0][0]
    std = np.hypot(smb.smb_member.values.std(axis=0, ddof=1), left)
    np.testing.assert_allclose(smb.smb_std, std, rtol=1e-3)
    for maps in mapped(seasonal):
        on_ice = maps.ice_fraction.values > 0
        assert (maps.smb_map_std.values[on_ice] > 0).all()
        assert np.isnan(maps.smb_map_std.values[~on_ice]).all()


def test_winters_gain_more_than_years_and_parameters_lie_where_physics_does(seasonal: Path) -> None:
    smb = Store.at(seasonal / "smb.zarr").open().load()
    assert (smb.smb_winter.values > smb.smb.values).all()
    for maps in mapped(seasonal):
        assert maps.parameter.values.tolist() == list(PARAMETERS)
        assert maps.parameter_units.values.tolist() == list(PARAMETERS.values())
        ice = maps.ice_fraction.values > 0
        snow, of_ice, factor, _ = (maps.parameters.values[:, n][ice] for n in range(4))
        assert ((snow > 1) & (snow < of_ice) & (of_ice < 20) & (factor > 0.3) & (factor < 5)).all()


def test_a_finished_reconstruction_and_its_maps_are_left_alone_and_lost_ones_come_back_the_same(
    seasonal: Path, raster_model: Any, features: Any, patches: Path
) -> None:
    def files() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in seasonal.rglob("*") if p.is_file()}

    before, times = files(), {p: p.stat().st_mtime_ns for p in seasonal.rglob("*") if p.is_file()}
    reconstruct(raster_model, features, to=seasonal / "smb.zarr", patches=patches, options=SEASONAL)
    assert {p: p.stat().st_mtime_ns for p in times} == times
    shutil.rmtree(seasonal / MAPS[0])
    reconstruct(raster_model, features, to=seasonal / "smb.zarr", patches=patches, options=SEASONAL)
    assert files() == before
    other = ReconstructOptions(net="hybrid")
    with pytest.raises(provenance.StampMismatch, match=r"seasonal: there True, now False"):
        reconstruct(raster_model, features, to=seasonal / "smb.zarr", patches=patches, options=other)


def test_the_yardstick_of_ice_cells_reconstructs_too(
    raster_model: Any, features: Any, patches: Path, tmp_path: Path
) -> None:
    options = ReconstructOptions(net="temperature_index", maps=False)
    found = reconstruct(raster_model, features, to=tmp_path / "smb.zarr", patches=patches, options=options).open()
    assert [p.name for p in tmp_path.iterdir()] == ["smb.zarr"]
    assert found.sizes["member"] == 1
    assert "smb_winter" not in found
    np.testing.assert_array_equal(found.smb, found.smb_member[0])
    assert (found.smb_std > 0).all()


def test_winter_balances_need_a_network_of_ice_cells(model: Any, features: Any, tmp_path: Path, patches: Path) -> None:
    words = r"seasonal asks for a raster network; the model has \['lasso', 'mlp'\]. Train a hybrid"
    options = ReconstructOptions(seasonal=True)
    with pytest.raises(ValueError, match=words):
        reconstruct(model, features, to=tmp_path / "smb.zarr", patches=patches, options=options)
    assert not list(tmp_path.iterdir())


def test_without_patches_a_network_of_ice_cells_cannot_reconstruct_but_a_lasso_without_maps_can(
    raster_model: Any, features: Any, tmp_path: Path
) -> None:
    to, nowhere = tmp_path / "smb.zarr", tmp_path / "nowhere"
    with pytest.raises(NoStoreError, match=r"holds no patches_\*\.zarr; run `glacierscale rasterize` into it first"):
        reconstruct(raster_model, features, to=to, patches=nowhere, options=ReconstructOptions(net="hybrid"))
    assert not to.exists()
    options = ReconstructOptions(net="lasso", maps=False)
    found = reconstruct(raster_model, features, to=to, patches=nowhere, options=options).open()
    np.testing.assert_allclose(
        found.smb_member, raster_model.reconstruct(features.open().load(), "lasso"), rtol=1e-4, atol=0.02
    )


def test_a_glacier_whose_patch_was_set_aside_is_nan_in_balance_and_map_with_the_reason(
    raster_model: Any, features: Any, cube: Any, tmp_path: Path
) -> None:
    small = RasterizeOptions(resolution_m=200.0, buckets=(16,), coarsest_m=200.0, azimuths=4)
    rasterize(cube, to=tmp_path, options=small)  # two outlines do not fit
    smb = reconstruct(raster_model, features, to=tmp_path / "smb.zarr", patches=tmp_path,
                      options=ReconstructOptions(net="hybrid")).open().load()  # fmt: skip
    maps = Store.at(tmp_path / MAPS[0], schema.MAPS).open().load()
    aside = smb.set_aside.values != ""
    large = ["RGI60-11.00002", "RGI60-11.00003"]
    assert sorted(smb.glacier_id.values[aside]) == large
    assert all(reason.startswith("the outline spans") for reason in smb.set_aside.values[aside])
    np.testing.assert_array_equal(np.isnan(smb.smb.values), np.broadcast_to(aside[:, None], smb.smb.shape))
    np.testing.assert_array_equal(np.isnan(smb.smb_std.values), np.broadcast_to(aside[:, None], smb.smb.shape))
    lost = maps.set_aside.values != ""
    assert sorted(maps.glacier_id.values[lost]) == large
    assert np.isnan(maps.smb_map.values[lost]).all()
    assert np.isfinite(maps.smb_map.values[~lost]).any(axis=(1, 2, 3)).all()
