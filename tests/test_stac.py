"""Outlines with headline results, and a STAC item for each store."""

from __future__ import annotations

import json
import shutil
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pystac
import pytest
from pystac.extensions.datacube import DatacubeExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from glacierscale import headlines, schema, stac
from glacierscale.region import HydroYears, Region
from glacierscale.store import Store
from tests.reporting import evolving

REGION = Region("Kleine Kette", years=HydroYears(2000, 2012))


@pytest.fixture
def folder(small_run: Path, tmp_path: Path) -> Path:
    """The stores of a run, and no more."""
    for name in ("cube.zarr", "features.zarr", "smb.zarr"):
        shutil.copytree(small_run / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request leaves this machine."""

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a request left this machine")

    monkeypatch.setattr(urllib.request, "urlopen", refused)


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "stac").iterdir())}


def test_glaciers_have_their_mean_balance_beside_their_outline(folder: Path) -> None:
    headlines.write_headlines(str(folder))
    table = gpd.read_parquet(folder / headlines.NAME)
    smb = Store.at(folder / "smb.zarr").open()
    assert table.glacier_id.tolist() == schema.text(smb.glacier_id.values).tolist()
    np.testing.assert_allclose(table.smb, smb.smb.mean("hydro_year"), rtol=1e-5)
    np.testing.assert_allclose(table.smb_std, smb.smb_std.mean("hydro_year"), rtol=1e-5)
    assert (table.first_year.unique(), table.last_year.unique()) == ([2000], [2012])
    assert table.crs.to_epsg() == 4326
    metres = table.geometry.to_crs(table.estimate_utm_crs()).area
    np.testing.assert_allclose(metres, table.area_m2, rtol=5e-3)
    assert "volume_m3" not in table


def test_the_volume_left_is_told_where_glaciers_evolve(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = schema.text(Store.at(folder / "smb.zarr").open().glacier_id.values).tolist()
    monkeypatch.setattr(evolving, "ids", lambda glaciers: ids[:glaciers])
    ice = evolving.store(url=str(folder / "ice.zarr"), glaciers=len(ids)).open()
    headlines.write_headlines(str(folder))
    table = gpd.read_parquet(folder / headlines.NAME)
    np.testing.assert_allclose(table.volume_m3, ice.volume.isel(hydro_year=0).mean("member"), rtol=1e-6)
    for name in evolving.SCENARIOS:
        last = ice.volume.isel(hydro_year=-1, member=ice.scenario.values == name).mean("member")
        np.testing.assert_allclose(table[f"volume_left_{name}"], last / table.volume_m3, rtol=1e-6, atol=1e-9)
    stac.write_stac(str(folder), REGION)
    assert pystac.Item.from_file(str(folder / "stac" / "ice.json")).common_metadata.end_datetime.year == 2100


def test_headlines_are_written_again_only_where_a_store_is_another(folder: Path) -> None:
    headlines.write_headlines(str(folder))
    file = folder / headlines.NAME
    first, content = file.stat().st_mtime_ns, file.read_bytes()
    headlines.write_headlines(str(folder))
    assert file.stat().st_mtime_ns == first
    file.write_bytes(b"another thing")
    headlines.write_headlines(str(folder))
    assert file.read_bytes() == content


def test_every_store_is_an_item_that_the_schemas_of_stac_accept_offline(folder: Path, offline: None) -> None:
    headlines.write_headlines(str(folder))
    stac.write_stac(str(folder), REGION)
    assert set(written(folder)) == {"collection.json", "cube.json", "features.json", "smb.json"}
    validator = JsonSchemaSTACValidator()
    for name, text in written(folder).items():
        told = json.loads(text)
        kind = pystac.STACObjectType.COLLECTION if name == "collection.json" else pystac.STACObjectType.ITEM
        validator.validate_core(told, kind, told["stac_version"])  # extensions' schemas lie on the web
        with pytest.raises(pystac.STACValidationError):
            validator.validate_core(told | {"id": 7}, kind, told["stac_version"])


def test_the_collection_leads_to_its_items_and_they_to_their_stores(folder: Path) -> None:
    headlines.write_headlines(str(folder))
    stac.write_stac(str(folder), REGION)
    collection = pystac.Collection.from_file(str(folder / "stac" / "collection.json"))
    assert collection.id == "kleine-kette"
    assert Path(collection.assets["glaciers"].get_absolute_href() or "").resolve() == folder / headlines.NAME
    items = {item.id: item for item in collection.get_items()}
    assert set(items) == {"cube", "features", "smb"}
    for name, item in items.items():
        assert Path(item.assets["data"].get_absolute_href() or "").resolve() == folder / f"{name}.zarr"
    assert items["smb"].common_metadata.start_datetime.isoformat() == "1999-10-01T00:00:00+00:00"
    assert items["smb"].common_metadata.end_datetime.isoformat() == "2012-09-30T00:00:00+00:00"
    variables = DatacubeExtension.ext(items["smb"]).variables
    assert (variables["smb"].unit, variables["smb"].dimensions) == ("kg m-2", ["glacier", "hydro_year"])
    cube = Store.at(folder / "cube.zarr").open()
    projection = ProjectionExtension.ext(items["cube"])
    assert projection.shape == [cube.sizes["y"], cube.sizes["x"]]
    assert projection.wkt2 == cube.attrs["terrain_crs_wkt"]
    west, _, _, north = items["cube"].bbox
    assert west == pytest.approx(float(cube.vertex_lon.min()), abs=1e-5)
    assert north == pytest.approx(float(cube.vertex_lat.max()), abs=1e-5)


def test_each_dimension_has_the_extent_that_the_datacube_extension_demands(folder: Path) -> None:
    stac.write_stac(str(folder), REGION)
    kinds = set()
    for item in pystac.Collection.from_file(str(folder / "stac" / "collection.json")).get_items():
        for name, told in item.properties["cube:dimensions"].items():
            low, high = told["extent"]  # its schema: one of extent and values is required
            kinds.add(told["type"])
            assert (told["type"] == "spatial") is ("axis" in told), name
            if told["type"] == "temporal":
                assert low < high, name
                assert datetime.fromisoformat(low).tzinfo, "a moment as RFC 3339 has it"
            elif low is not None:
                assert low <= high, name
        for told in item.properties["cube:variables"].values():
            assert set(told["dimensions"]) <= set(item.properties["cube:dimensions"])
            assert told["type"] in ("data", "auxiliary")
    assert kinds == {"count", "spatial", "temporal"}
    cube = Store.at(folder / "cube.zarr").open()
    found = pystac.Item.from_file(str(folder / "stac" / "cube.json")).properties["cube:dimensions"]
    assert found["x"]["extent"] == [float(cube.x.min()), float(cube.x.max())]
    assert found["glacier"]["extent"] == [0, cube.sizes["glacier"] - 1]
    assert found["time"]["extent"][0] == f"{str(cube.time.values[0])[:19]}Z"


def test_stac_is_the_same_each_time_and_leaves_out_what_is_unfinished(folder: Path) -> None:
    stac.write_stac(str(folder), REGION)
    before = written(folder)
    stac.write_stac(str(folder), REGION)
    assert written(folder) == before
    (folder / "smb.zarr" / ".blocks" / "glacier-000000000.json").unlink()
    stac.write_stac(str(folder), REGION)
    assert '"smb"' not in written(folder)["collection.json"].decode()


def test_a_box_across_the_antimeridian_is_cut_in_two() -> None:
    assert stac._polygon([10.0, 46.0, 11.0, 47.0])["type"] == "Polygon"
    found = stac._polygon([179.0, 50.0, -178.0, 51.0])
    assert found["type"] == "MultiPolygon"
    corners = [{lon for lon, _ in ring} for (ring,) in found["coordinates"]]
    assert corners == [{179.0, 180.0}, {-180.0, -178.0}]


def test_the_years_of_the_south_begin_in_april(folder: Path) -> None:
    south = Region("Süd", years=HydroYears(2000, 2012, "south"))
    start, end = stac._period(Store.at(folder / "smb.zarr").open(), south)
    assert (start.month, end.month) == (4, 3)
    assert stac._slug(south) == "sud"
