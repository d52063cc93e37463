"""Rasterize: a cube's glaciers as patches, one store for each size."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import xarray as xr

from glacierscale import provenance, schema
from glacierscale.features import patches, rasters
from glacierscale.features.options import RasterizeOptions
from glacierscale.features.rasters import rasterize
from glacierscale.features.sampling import to_degrees
from glacierscale.provenance import StampMismatch
from glacierscale.store import Block, Store

CATALOGS = Path(__file__).resolve().parents[2] / "catalogs"
SIZES = RasterizeOptions(buckets=(8, 24, 32), shading_m=2000.0)


@pytest.fixture(scope="module")
def folder(cube: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("patches") / "patches"
    rasterize(cube, to=to, options=SIZES)
    return to


@pytest.fixture(scope="module")
def stores(cube: Any, folder: Path) -> tuple[Store, ...]:
    return rasterize(cube, to=folder, options=SIZES)


def of(dataset: xr.Dataset, name: str) -> np.ndarray:
    return np.asarray(dataset.rasters.values[:, list(dataset.channel.values).index(name)])


def everything(stores: tuple[Store, ...]) -> dict[str, dict[str, Any]]:
    """What is stored of each glacier by its name."""
    found = {}
    for store in stores:
        dataset = store.open().load()
        for number, name in enumerate(dataset.glacier_id.values):
            one = dataset.isel(glacier=number)
            found[str(name)] = {v: one[v].values for v in one.variables if "glacier" in dataset[v].dims}
    return found


def content(folder: Path) -> dict[str, tuple[str, int]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): (provenance.file_digest(path), path.stat().st_mtime_ns) for path in files}


def test_every_glacier_is_in_the_store_of_the_smallest_patch_that_holds_it(
    stores: tuple[Store, ...], folder: Path, region: SimpleNamespace
) -> None:
    assert [Path(store.url) for store in stores] == [folder / f"patches_{n:03d}.zarr" for n in (8, 24, 32)]
    found, position = {}, list(region.polygons)
    for store, size in zip(stores, (8, 24, 32), strict=True):
        dataset = store.open()
        assert dataset.attrs["bucket"] == store.stamp.options["bucket"] == dataset.sizes["y"] == size
        # How rasters are packed changes no value.
        assert provenance.nested(dataset.attrs["recipe"]) == {
            n: v for n, v in provenance.options_dict(SIZES).items() if n != "codec"
        }
        assert (dataset.attrs["region"], dataset.attrs["hemisphere"]) == ("test", "north")
        assert (dataset.set_aside.values == "").all()
        found |= dict(zip(dataset.glacier_id.values.tolist(), dataset.feature_row.values.tolist(), strict=True))
    assert found == {name: position.index(name) for name in position}


def test_a_store_holds_the_channels_that_the_cube_has(stores: tuple[Store, ...], region: SimpleNamespace) -> None:
    dataset = stores[0].open()
    assert dataset.channel.values.tolist() == [n for n in patches.CHANNELS if n not in patches.OPTIONAL]
    assert dataset.channel_units.values.tolist()[:5] == ["m", "degree", "1", "1", "m-1"]
    assert dataset.month.values.tolist() == list(range(1, 13))
    assert dataset.rasters.dtype == dataset.radiation.dtype == np.float32
    small = everything(stores)["RGI60-11.00004"]
    assert small["unit_id"] == "RGI60-11.00004"
    assert small["area_m2"] == pytest.approx(region.polygons["RGI60-11.00004"].area)


def test_ice_has_the_area_of_the_outlines(stores: tuple[Store, ...]) -> None:
    for store in stores:
        dataset = store.open().load()
        ice = of(dataset, "ice_fraction").sum(axis=(1, 2)) * dataset.resolution.values**2
        np.testing.assert_allclose(ice, dataset.area_m2, rtol=1e-3)  # UTM's scale differs by 0.4 per mille


def test_elevation_and_slope_are_those_of_the_terrain(stores: tuple[Store, ...], region: SimpleNamespace) -> None:
    to_utm = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32632", always_xy=True)
    dataset = stores[2].open().load()
    away = (np.arange(32) - 15.5) * 100
    for number in range(dataset.sizes["glacier"]):
        centre = (np.full(1, dataset[name].values[number]) for name in ("centre_lon", "centre_lat"))
        x, y = to_utm.transform(*to_degrees(*np.meshgrid(away, -away), *centre))
        east, north = x - region.x[0], y - region.y[-1]
        expected = 2300 + 0.14 * north + 150 * np.sin(east / 2200) + 30 * np.sin(north / 900)
        ice = of(dataset, "ice_fraction")[number] > 0
        np.testing.assert_allclose(of(dataset, "elevation")[number][ice], expected[ice], atol=0.3)
        slope = np.hypot(150 / 2200 * np.cos(east / 2200), 0.14 + 30 / 900 * np.cos(north / 900))
        np.testing.assert_allclose(of(dataset, "slope")[number][ice], np.degrees(np.arctan(slope))[ice], atol=0.1)
        assert (of(dataset, "cos_aspect")[number][ice] < -0.5).all()  # it all falls to the south


def test_radiation_is_known_on_all_ice_and_largest_in_june(stores: tuple[Store, ...]) -> None:
    for store in stores:
        dataset = store.open().load()
        ice = of(dataset, "ice_fraction") > 0
        mean = np.stack([np.mean(month[ice]) for month in np.moveaxis(dataset.radiation.values, 1, 0)])
        assert np.isfinite(mean).all()
        assert (mean.argmin(), mean.argmax()) == (2, 8)
        assert 330 < mean[8] < 400


def test_block_by_block_is_the_same_as_all_at_once(cube: Any, stores: tuple[Store, ...], tmp_path: Path) -> None:
    options = RasterizeOptions(buckets=(8, 24, 32), shading_m=2000.0, glaciers_per_block=1)
    single = rasterize(cube, to=tmp_path, options=options)
    assert max(len(store.blocks()) for store in single) > 1 == max(len(store.blocks()) for store in stores)
    apart, together = everything(single), everything(stores)
    assert apart.keys() == together.keys()
    for name, values in together.items():
        assert values["set_aside"] == apart[name]["set_aside"] == ""
        for variable in ("rasters", "radiation", "centre_lon", "resolution", "feature_row"):
            np.testing.assert_allclose(apart[name][variable], values[variable], rtol=1e-4, atol=1e-3)


def test_a_window_too_large_is_read_in_halves(
    cube: Any, stores: tuple[Store, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rasters, "MAX_WINDOW_CELLS", 3000)
    monkeypatch.setattr(rasters, "_GAP_VERTICES", -1)
    halves, together = everything(rasterize(cube, to=tmp_path, options=SIZES)), everything(stores)
    for name, values in together.items():
        np.testing.assert_allclose(halves[name]["rasters"], values["rasters"], rtol=1e-4, atol=1e-3)


def test_a_source_much_finer_than_the_cells_is_read_with_gaps(
    cube: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = RasterizeOptions(buckets=(32,), resolution_m=300.0, shading_m=0.0)
    whole = everything(rasterize(cube, to=tmp_path / "whole", options=options))
    monkeypatch.setattr(patches, "MAX_PARTS", 1)
    gaps = everything(rasterize(cube, to=tmp_path / "gaps", options=options))
    for name, values in whole.items():
        ice = values["rasters"][5] > 0
        np.testing.assert_allclose(gaps[name]["rasters"][0][ice], values["rasters"][0][ice], atol=3)
        assert (gaps[name]["rasters"][0][ice] != values["rasters"][0][ice]).any()


def test_a_glacier_on_the_antimeridian_of_a_grid_around_the_earth_is_whole() -> None:
    x, y = np.arange(-179.99, 180, 0.02), np.arange(61.0, 59.5, -0.02)
    # The surface falls eastward across the antimeridian, where sin(lon) is smooth.
    elevation = np.broadcast_to(3000 + 1e5 * np.sin(np.radians(x)), (len(y), len(x)))
    outline = {"vertex_lon": [179.95, -179.95, -179.95, 179.95], "vertex_lat": [60.2, 60.2, 60.25, 60.25]}
    cube = xr.Dataset(
        {name: ("glacier", [name]) for name in ("glacier_id", "unit_id", "subregion")}
        | {name: ("glacier", [0.0]) for name in ("lon", "lat", "area_m2")}
        | {"vertex_start": ("glacier", [0]), "vertex_count": ("glacier", [4]), "elevation": (("y", "x"), elevation)}
        | {name: ("vertex", np.array(values)) for name, values in outline.items()}
        | {"vertex_ring": ("vertex", np.zeros(4, int)), "x": ("x", x), "y": ("y", y)},
        attrs={"terrain_crs_wkt": pyproj.CRS("EPSG:4326").to_wkt(), "hemisphere": "north"},
    )
    placement = rasters.place(cube, [Block("glacier", 0, 1)], RasterizeOptions())
    assert abs(placement.centre_lon[0]) == pytest.approx(180, abs=1e-6)
    options = RasterizeOptions()
    found = rasters.compute_block(cube, placement, np.array([0]), rasters.load_block(cube, np.array([0])), options)
    assert found["set_aside"].tolist() == [""]
    elevation, _, sin_aspect = found["rasters"][0, :3]
    assert np.isfinite(found["rasters"]).all()
    across = np.diff(elevation.mean(axis=0))
    np.testing.assert_allclose(across, across.mean(), rtol=0.02)
    np.testing.assert_allclose(sin_aspect, 1, atol=0.02)
    assert (elevation[:, 31] > 3000).all()
    assert (elevation[:, 32] < 3000).all()


def test_a_block_of_large_patches_holds_fewer(cube: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasters, "BLOCK_BYTES", 2 * 19 * 32 * 32 * 4)
    stores = rasterize(cube, to=tmp_path, options=SIZES)
    assert [store.blocks()[0].stop for store in stores] == [1, 2, 2]
    assert [len(store.blocks()) for store in stores] == [1, 1, 2]


def test_a_second_run_writes_nothing(cube: Any, stores: tuple[Store, ...], folder: Path) -> None:
    before = content(folder)
    again = rasterize(cube, to=folder, options=SIZES)
    assert content(folder) == before
    assert again == stores


def test_a_missing_block_is_written_alone_and_to_the_same_bytes(cube: Any, tmp_path: Path) -> None:
    options = RasterizeOptions(buckets=(8, 24, 32), shading_m=2000.0, glaciers_per_block=2)
    stores = rasterize(cube, to=tmp_path, options=options)
    before = content(tmp_path)
    block = stores[2].blocks()[1]
    (record,) = Path(stores[2].url).rglob(f"{block.name}.json")
    record.unlink()
    assert stores[2].missing() == [block]
    rasterize(cube, to=tmp_path, options=options)
    after = content(tmp_path)
    assert {name: digest for name, (digest, _) in after.items()} == {
        name: digest for name, (digest, _) in before.items()
    }
    written = {name for name in after if after[name] != before[name]}
    assert written
    assert all("patches_032" in name for name in written)


def test_patches_made_otherwise_are_refused_before_anything_is_written(
    cube: Any, folder: Path, stores: tuple[Store, ...]
) -> None:
    before = content(folder)
    with pytest.raises(StampMismatch, match=r"made otherwise:\n.*azimuths: there 16, now 8"):
        rasterize(cube, to=folder, options=RasterizeOptions(buckets=(8, 24, 32), shading_m=2000.0, azimuths=8))
    with pytest.raises(
        ValueError, match=r"holds patches_008.zarr, patches_024.zarr, but glaciers now need only patches_032"
    ):
        rasterize(cube, to=folder, options=RasterizeOptions())
    assert content(folder) == before


def test_what_is_too_large_is_set_aside_and_the_rest_written(cube: Any, tmp_path: Path) -> None:
    stores = rasterize(cube, to=tmp_path, options=RasterizeOptions(buckets=(16, 20), coarsest_m=100.0))
    found = everything(stores)
    reasons = {name: str(values["set_aside"]) for name, values in found.items() if values["set_aside"]}
    assert sorted(reasons) == ["RGI50-11.00719_d01", "RGI50-11.00719_d02", *(f"RGI60-11.0000{n}" for n in (1, 2, 3))]
    assert reasons["RGI60-11.00002"].startswith("the outline spans 3 km, the biggest patch holds 2 km")
    assert np.isnan(found["RGI60-11.00002"]["rasters"]).all()
    assert np.isnan(found["RGI60-11.00002"]["radiation"]).all()
    small = found["RGI60-11.00004"]
    assert small["rasters"].shape == (7, 16, 16)
    assert np.isfinite(small["rasters"]).all()


def test_a_hole_in_the_terrain_sets_one_glacier_aside_and_leaves_its_neighbours(
    region: SimpleNamespace, stores: tuple[Store, ...], write_cube_to: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    holed = region.elevation.copy()
    holed[np.ix_((region.y > 5190500) & (region.y < 5190800), (region.x > 638200) & (region.x < 638500))] = np.nan
    monkeypatch.setattr(region, "elevation", holed)
    found = everything(rasterize(write_cube_to(tmp_path / "cube.zarr"), to=tmp_path / "p", options=SIZES))
    whole = everything(stores)
    assert found.keys() == whole.keys()
    for name, values in found.items():
        if name == "RGI60-11.00002":
            assert str(values["set_aside"]).startswith("the elevation is unknown on 9 of ")
            assert np.isnan(values["rasters"]).all()
        else:
            assert values["set_aside"] == ""
            ice = values["rasters"][5] > 0
            np.testing.assert_allclose(values["rasters"][:, ice], whole[name]["rasters"][:, ice], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resolution_m": 0.0}, r"resolution_m is 0.0 and coarsest_m 800.0; expected a resolution above 0"),
        ({"resolution_m": float("nan")}, r"resolution_m is nan; expected a finite number of metres"),
        ({"resolution_m": 900.0}, r"not coarser than the coarsest"),
        ({"shading_m": -1.0}, r"shading_m is -1.0; expected a finite number of metres"),
        ({"margin_cells": -1}, r"margin_cells is -1; expected at least 0"),
        ({"azimuths": 3}, r"azimuths is 3; expected at least 4"),
        ({"glaciers_per_block": 0}, r"glaciers_per_block is 0; expected at least 1"),
        ({"buckets": ()}, r"buckets are \(\); expected different numbers"),
        ({"buckets": (32, 32)}, r"buckets are \(32, 32\); expected different"),
        ({"buckets": (4, 32)}, r"the smallest of buckets is 4 cells, all of it margin"),
    ],
)
def test_options_that_make_no_patch_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RasterizeOptions(**options)


def test_sizes_may_come_as_a_list_in_any_order() -> None:
    assert RasterizeOptions(buckets=[64, 32]).buckets == (32, 64)  # type: ignore[arg-type]


# The Oetztal


@pytest.fixture(scope="module")
def oetztal(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, ...]:
    from glacierscale.cube import IngestOptions, ingest
    from glacierscale.region import HydroYears, Region

    folder = tmp_path_factory.mktemp("oetztal")
    options = IngestOptions(data=str(shared / "data"), climate="histalp")
    years = Region("Oetztal", years=HydroYears(2000, 2003))
    return rasterize(
        ingest(CATALOGS / "oetztal.yaml", years, to=folder / "cube.zarr", options=options), to=folder / "patches"
    )


@pytest.mark.shared
def test_the_twenty_glaciers_of_the_oetztal_are_patches_of_their_area(oetztal: tuple[Store, ...]) -> None:
    assert [store.open().sizes["glacier"] for store in oetztal] == [10, 9, 1]
    for store in oetztal:
        dataset = schema.check(store.open().load(), schema.PATCHES)
        assert (dataset.set_aside.values == "").all()
        ice = of(dataset, "ice_fraction")
        np.testing.assert_allclose(ice.sum(axis=(1, 2)) * dataset.resolution.values**2, dataset.area_m2, rtol=1e-4)
        on_ice = np.moveaxis(dataset.rasters.values, 1, -1)[ice > 0]  # (cell, channel)
        assert np.isfinite(on_ice).all()
        assert np.isfinite(np.moveaxis(dataset.radiation.values, 1, -1)[ice > 0]).all()


@pytest.mark.shared
def test_hintereisferner_is_known_to_its_patch(oetztal: tuple[Store, ...]) -> None:
    dataset = oetztal[1].open().load()
    one = dataset.isel(glacier=list(dataset.glacier_id.values).index("RGI50-11.00897"))
    names = list(dataset.channel.values)
    layer = {name: one.rasters.values[names.index(name)] for name in names}
    ice = layer["ice_fraction"]
    assert np.average(layer["elevation"], weights=ice) == pytest.approx(3030, abs=20)
    tongue = (ice > 0.5) & (layer["elevation"] < 2600)
    rows, columns = np.nonzero(tongue)
    assert rows.mean() < 32 < columns.mean()  # it flows to the north-east
    assert layer["sin_aspect"][tongue].mean() > 0.3
    assert (layer["thickness"] * ice).sum() * 1e4 / 1e9 == pytest.approx(0.5779, rel=0.005)  # km3
    assert layer["thickness"].max() == pytest.approx(188, abs=4)
    assert layer["margin_distance"].max() > 500
    monthly = np.array([np.average(month, weights=ice) for month in one.radiation.values])
    assert 300 < monthly[8] < 360
    assert 30 < monthly[2] < 60
    assert one.radiation.values[2][ice > 0.5].min() == 0  # walls to the south keep the sun off for the month


@pytest.mark.shared
def test_glaciers_of_the_oetztal_have_the_volume_of_their_rasters(oetztal: tuple[Store, ...], shared: Path) -> None:
    rasters_m3 = {}
    for file in sorted((shared / "data/oetztal/ice_thickness").glob("RGI60-*.tif")):
        with rasterio.open(file) as raster:
            rasters_m3[file.stem[9:14]] = raster.read(1).sum(dtype=float) * 625
    volumes: dict[str, float] = {}
    for store in oetztal:
        dataset = store.open().load()
        ice, thickness = of(dataset, "ice_fraction"), of(dataset, "thickness")
        assert (thickness[ice > 0] > 0).all()
        assert (thickness[ice == 0] == 0).all()
        bed = of(dataset, "ice_surface") - thickness
        assert bed[ice > 0].min() > 2000
        np.testing.assert_array_equal(of(dataset, "ice_surface")[ice == 0], of(dataset, "elevation")[ice == 0])
        assert np.percentile(np.abs(of(dataset, "ice_surface") - of(dataset, "elevation"))[ice > 0], 95) < 50
        for name, one, share in zip(dataset.glacier_id.values, thickness, ice, strict=True):
            number = str(name)[9:14]  # Vernagtferner has two outlines and one raster
            volumes[number] = volumes.get(number, 0.0) + float((one * share).sum(dtype=float)) * 1e4
    assert volumes.keys() == rasters_m3.keys()
    for number, volume in volumes.items():
        small = number == "00684"  # 0.3 km2: 1.3 % of its raster's ice lies outside of the outline
        assert volume == pytest.approx(rasters_m3[number], rel=0.015 if small else 0.01), number
    assert sum(volumes.values()) == pytest.approx(sum(rasters_m3.values()), rel=0.001)


def test_how_a_store_is_packed_is_an_option_that_changes_no_value(
    cube: Any, stores: tuple[Store, ...], folder: Path, tmp_path: Path
) -> None:
    packed = rasterize(cube, to=f"{tmp_path}/", options=dataclasses.replace(SIZES, codec="lz4"))
    assert [Path(store.url).name for store in packed] == [Path(store.url).name for store in stores]
    for one, other in zip(packed, stores, strict=True):
        np.testing.assert_array_equal(one.open().rasters, other.open().rasters)
        assert one.stamp.options == other.stamp.options
        assert "blosc" in (Path(one.url) / "rasters/zarr.json").read_text()
    before = content(folder)
    rasterize(cube, to=folder, options=dataclasses.replace(SIZES, codec="lz4"))
    assert content(folder) == before
