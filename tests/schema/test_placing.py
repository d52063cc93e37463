"""Rasters lie where other tools look for them."""

from __future__ import annotations

from pathlib import Path

import cf_xarray  # noqa: F401
import numpy as np
import pyproj
import pytest
import rioxarray  # noqa: F401
import xarray as xr

import glacierscale as gs
from glacierscale import schema
from glacierscale.schema import placing
from glacierscale.store import Store
from tests.schema.stores import filled

FIELDS = ["elevation", "thickness", "ice_surface", "velocity"]


def test_rioxarray_and_cf_xarray_find_the_grid_of_a_cube(stores: dict[str, Store]) -> None:
    for cube in (stores["cube"].open(), xr.open_zarr(stores["cube"].url)):
        assert cube.rio.crs.to_epsg() == 32632
        assert [cube[name].rio.crs.to_epsg() for name in FIELDS] == 4 * [32632]
        assert cube.temp.attrs.get("grid_mapping") is None
        axes = {axis: set(names) for axis, names in cube.cf.axes.items()}
        assert axes == {"X": {"x", "clim_lon"}, "Y": {"y", "clim_lat"}, "T": {"time", "scenario_time"}}
        assert cube.cf["projection_x_coordinate"].attrs["units"] == cube.vertex_x.attrs["units"] == "m"
        assert pyproj.CRS.from_cf(cube.spatial_ref.attrs) == pyproj.CRS(cube.attrs["terrain_crs_wkt"])


def test_a_grid_in_degrees_has_longitude_and_latitude(tmp_path: Path) -> None:
    cube = filled(schema.CUBE, str(tmp_path / "cube.zarr"), crs="EPSG:4326").open()
    assert cube.elevation.rio.crs.to_epsg() == 4326
    assert (cube.x.attrs["standard_name"], cube.x.attrs["units"]) == ("longitude", "degrees_east")
    assert (cube.y.attrs["standard_name"], cube.y.attrs["units"]) == ("latitude", "degrees_north")


@pytest.mark.parametrize("crs", ["EPSG:2056", "EPSG:3413", "EPSG:3857", "EPSG:2193", "EPSG:25832+5783"])
def test_systems_that_cf_knows_in_part_are_told_whole(crs: str) -> None:
    found = placing.grid_of(schema.CUBE, pyproj.CRS(crs).to_wkt())
    assert pyproj.CRS.from_wkt(found["spatial_ref"]["crs_wkt"]) == pyproj.CRS(crs)
    assert (found["x"]["axis"], found["x"]["units"], found["y"]["axis"]) == ("X", "m", "Y")


@pytest.mark.parametrize("kind", ["patches", "maps", "ice_maps"])
def test_one_glacier_of_a_store_of_rasters_lies_on_the_ground(
    kind: str, stores: dict[str, Store], tmp_path: Path
) -> None:
    patch = stores[kind].open().isel(glacier=1)
    found = gs.placed(patch)
    assert "spatial_ref" not in patch.coords
    lon, lat = pyproj.Transformer.from_crs(found.rio.crs, 4326, always_xy=True).transform(0, 0)
    assert (lon, lat) == pytest.approx((float(patch.centre_lon), float(patch.centre_lat)), abs=1e-9)
    side = float(patch.resolution)
    np.testing.assert_allclose(found.x, [-side / 2, side / 2])
    np.testing.assert_allclose(found.y, [side / 2, -side / 2])  # row 0 in the north
    rasters = [name for name in found.data_vars if found[name].dims[-2:] == ("y", "x")]
    assert rasters
    assert all(found[name].rio.crs == found.rio.crs for name in rasters)
    assert {axis: list(names) for axis, names in found.cf.axes.items()} == {"X": ["x"], "Y": ["y"]}
    found.to_netcdf(tmp_path / "one.nc")
    with xr.open_dataset(tmp_path / "one.nc", decode_coords="all") as back:
        assert back.rio.crs == found.rio.crs


def test_all_glaciers_of_a_store_at_once_are_refused(stores: dict[str, Store]) -> None:
    for kind in ("maps", "cube"):
        with pytest.raises(ValueError, match=r"expected one glacier of a store of patches.*isel\(glacier="):
            gs.placed(stores[kind].open())
