from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely

from glacierscale.exploration import ground
from glacierscale.exploration.atlas import Atlas, open_atlas
from glacierscale.exploration.opening import Source
from glacierscale.reporting.stage import outlines_of
from glacierscale.store import Store
from tests.explore import scale


@pytest.fixture(scope="module")
def atlas(small_folder: str) -> Atlas:
    return open_atlas(small_folder)


def outlined(atlas: Atlas, *rows: int, tolerance_m: float | None = None) -> gpd.GeoDataFrame:
    found = atlas.outlines(rows or None, tolerance_m=tolerance_m)
    assert found is not None
    return found


def test_outlines_as_they_are_equal_those_of_the_report_holes_and_parts_included(cube: Any) -> None:
    found = outlined(open_atlas(cube), tolerance_m=0)
    report = outlines_of(cube.open())
    assert found.glacier.tolist() == list(range(len(report)))
    assert shapely.equals(found.geometry.values, report.geometry.values).all()
    assert shapely.get_num_interior_rings(shapely.get_geometry(found.geometry.values, 0)).max() == 1
    assert found.crs == "EPSG:4326"


def test_some_outlines_are_those_of_their_rows(atlas: Atlas) -> None:
    whole, some = outlined(atlas, tolerance_m=0), outlined(atlas, 11, 4, tolerance_m=0)
    assert some.glacier.tolist() == [4, 11]
    assert shapely.equals(some.geometry.values, whole.geometry.values[[4, 11]]).all()


def test_simplified_outlines_have_fewer_vertices_and_lie_as_near_as_was_asked(atlas: Atlas) -> None:
    exact, simple = outlined(atlas, tolerance_m=0), outlined(atlas, tolerance_m=60)
    assert len(shapely.get_coordinates(simple.geometry.values)) < 0.3 * len(
        shapely.get_coordinates(exact.geometry.values)
    )
    metres = gpd.GeoSeries(exact.geometry).to_crs("EPSG:3035").hausdorff_distance(simple.geometry.to_crs("EPSG:3035"))
    assert 5 < metres.max() < 61
    assert simple.geometry.is_valid.all()
    assert not simple.geometry.is_empty.any()
    by_itself = outlined(atlas)
    assert len(shapely.get_coordinates(by_itself.geometry.values)) < len(shapely.get_coordinates(exact.geometry.values))


def test_without_a_cube_outlines_come_from_the_table_beside_the_store(small_folder: str, tmp_path: Path) -> None:
    shutil.copytree(f"{small_folder}/smb.zarr", tmp_path / "smb.zarr")
    assert open_atlas(tmp_path / "smb.zarr").outlines() is None
    table = outlines_of(Store.at(f"{small_folder}/cube.zarr").open())
    table.iloc[[5, 2, 0]].to_parquet(tmp_path / "glaciers.parquet")
    found = outlined(open_atlas(tmp_path / "smb.zarr"), tolerance_m=0)
    assert found.glacier.tolist() == [0, 2, 5]
    assert shapely.equals(found.geometry.values, table.geometry.values[[0, 2, 5]]).all()


def test_outlines_cut_at_the_antimeridian_become_one_again(tmp_path: Path) -> None:
    atlas = open_atlas(scale.make(tmp_path, 30, stores=("cube",), centre=(180.0, 65.0)))
    stored = outlines_of(Store.at(tmp_path / "cube.zarr").open())
    halves = np.ptp(stored.bounds.values[:, ::2], axis=1) > 180
    assert halves.any()
    found = outlined(atlas, tolerance_m=0)
    assert np.ptp(found.bounds.values[:, ::2], axis=1).max() < 1
    assert (shapely.get_num_geometries(found.geometry.values[halves]) == 1).all()
    area = found.geometry.to_crs("+proj=laea +lon_0=180 +lat_0=65").area / 1e6
    np.testing.assert_allclose(area, atlas.glaciers.area_km2, rtol=0.01)


def shaded(cube: Store, elevation: np.ndarray, most: int = 800) -> ground.Hillshade | None:
    """Light on another terrain of a cube."""
    data = cube.open().load()
    changed = data.assign(elevation=data.elevation.copy(data=elevation.astype("float32")))
    return ground.hillshade(Source(cube, changed, np.arange(data.sizes["glacier"])), data.lon.values, most)


def test_a_tilted_plane_is_light_where_it_faces_the_north_west(cube: Any) -> None:
    grid = cube.open()
    east, south = np.meshgrid(np.arange(grid.sizes["x"]), np.arange(grid.sizes["y"]))
    shades = {}
    for name, rise in (("north-west", east + south), ("south-east", -east - south), ("flat", 0 * east)):
        shade = shaded(cube, 2000 + 40.0 * rise)
        assert shade is not None
        middle = shade.shade[30:40, 30:40]
        assert np.ptp(middle) < 0.01
        shades[name] = middle.mean()
    assert shades["north-west"] > shades["flat"] + 0.1
    assert shades["flat"] == pytest.approx(np.sqrt(0.5), abs=1e-3)
    assert shades["south-east"] < shades["flat"] - 0.1


def test_relief_lies_under_the_glaciers_and_is_as_coarse_as_was_asked(atlas: Atlas) -> None:
    shade = atlas.hillshade(most=100)
    assert shade is not None
    assert max(shade.shade.shape) <= 100
    west, south, east, north = atlas.bounds
    assert shade.west < west < east < shade.east
    assert shade.south < south < north < shade.north
    assert 0 <= np.nanmin(shade.shade) < np.nanmax(shade.shade) <= 1
    assert np.isfinite(shade.shade).mean() > 0.8
    fine = atlas.hillshade()
    assert fine is not None
    assert max(fine.shade.shape) > 150


def test_unknown_ground_between_known_cells_does_not_hide_them(cube: Any) -> None:
    elevation = cube.open().elevation.values.copy()
    elevation[::7, ::5] = np.nan
    shade = shaded(cube, elevation, most=20)
    assert shade is not None
    assert np.isfinite(shade.shade).mean() > 0.7
    assert shaded(cube, np.full_like(elevation, np.nan)) is None


def test_a_narrow_strip_of_terrain_has_its_light(cube: Any) -> None:
    strip = cube.open().load().isel(y=slice(0, 4))
    source = Source(cube, strip, np.arange(strip.sizes["glacier"]))
    shade = ground.hillshade(source, strip.lon.values, most=10)
    assert shade is not None
    assert np.isfinite(shade.shade).any()
