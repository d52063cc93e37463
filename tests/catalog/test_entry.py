"""Entries: opened lazily, equal to what plain Intake gives, from a folder or from published files."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
import xarray as xr

from glacierscale.catalog import CatalogError, open_catalog, sha256_of
from glacierscale.catalog.reading import netcdf_engine

CATALOG = """
metadata:
  parameters:
    data: {type: str, default: ., description: folder}
sources:
  zarr:
    driver: zarr
    args: {urlpath: "{{ CATALOG_DIR }}/a.zarr", consolidated: false}
    metadata: {role: climate, dataset: one}
  netcdf:
    driver: netcdf
    args: {urlpath: "{{ CATALOG_DIR }}/a.nc", xarray_kwargs: {engine: netcdf4}}
    metadata: {role: climate, dataset: two}
  raster:
    driver: rasterio
    args: {urlpath: "{{ CATALOG_DIR }}/a.tif", chunks: {}}
    metadata: {role: terrain}
  csv:
    driver: csv
    args: {urlpath: "{{ CATALOG_DIR }}/a.csv", sep: ";"}
  parquet:
    driver: parquet
    args: {urlpath: "{{ data }}/a.parquet"}
  outlines:
    driver: geoparquet
    args: {urlpath: "{{ data }}/a.geo.parquet"}
  shapes:
    driver: shapefile
    args: {urlpath: a.shp}
  many:
    driver: csv
    args: {urlpath: "parts/*.csv", sep: ";"}
"""


def _write_raster(path: Path) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", height=3, width=4, count=1, dtype="float32", crs="EPSG:32632",
        transform=rasterio.transform.from_origin(6e5, 5.2e6, 25, 25),
    ) as file:  # fmt: skip
        file.write(np.arange(12, dtype="float32").reshape(3, 4), 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    values = xr.Dataset({"t": (("time", "x"), np.arange(12.0).reshape(4, 3))}, {"x": [1.0, 2.0, 3.0]})
    values.to_zarr(tmp_path / "a.zarr", consolidated=False)
    values.to_netcdf(tmp_path / "a.nc", engine="netcdf4")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        _write_raster(tmp_path / "a.tif")
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    (tmp_path / "parts").mkdir()
    for name in ("a.csv", "parts/q.csv", "parts/p.csv"):
        table.to_csv(tmp_path / name, sep=";", index=False)
    table.to_parquet(tmp_path / "a.parquet")
    shapes = gpd.GeoDataFrame({"id": ["g"]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326")
    shapes.to_parquet(tmp_path / "a.geo.parquet")
    shapes.to_file(tmp_path / "a.shp")
    (tmp_path / "catalog.yaml").write_text(CATALOG, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", ["zarr", "netcdf", "raster", "csv"])
def test_plain_intake_opens_the_same_values(name: str, folder: Path) -> None:
    with warnings.catch_warnings():
        # intake and rioxarray warn on their own account.
        warnings.simplefilter("ignore")
        import intake

        plain = intake.open_catalog(str(folder / "catalog.yaml"))[name].to_dask()
    ours = open_catalog(folder / "catalog.yaml")[name].open()
    if name == "csv":
        pd.testing.assert_frame_equal(plain.compute().astype(object), ours.astype(object))
    else:
        xr.testing.assert_identical(plain["band_data"] if name == "raster" else plain, ours)
        assert ours.chunks
    assert float(ours["a"].sum() if name == "csv" else ours.to_array().sum() if name != "raster" else ours.sum()) in {
        3.0,
        66.0,
    }


def test_tables_and_outlines_open(folder: Path) -> None:
    catalog = open_catalog(folder / "catalog.yaml")
    assert list(catalog["parquet"].open()["a"]) == [1, 2]
    for name in ("outlines", "shapes"):
        table = catalog[name].open()
        assert isinstance(table, gpd.GeoDataFrame)
        assert (list(table["id"]), table.crs.to_epsg(), list(table.total_bounds)) == (["g"], 4326, [0, 0, 1, 1])


def test_several_files_open_as_parts_in_order_of_their_names(folder: Path) -> None:
    entry = open_catalog(folder / "catalog.yaml")["many"]
    assert [(stem, list(table["b"])) for stem, table in entry.parts()] == [("p", ["x", "y"]), ("q", ["x", "y"])]
    with pytest.raises(CatalogError, match=r"entry 'many': 2 files; expected one file to open; use parts\(\)"):
        entry.open()


def test_entries_are_selected_by_role_and_dataset_and_missing_ones_named(folder: Path) -> None:
    catalog = open_catalog(folder / "catalog.yaml")
    assert [entry.name for entry in catalog.select("climate")] == ["zarr", "netcdf"]
    assert [entry.name for entry in catalog.select("climate", "two")] == ["netcdf"]
    assert catalog.select("delta_h") == []
    assert "zarr" in catalog
    with pytest.raises(CatalogError, match="a missing entry 'netcfd'; expected one of netcdf"):
        catalog["netcfd"]
    with pytest.raises(KeyError):
        catalog["nothing"]


def test_a_catalogue_describes_itself_and_travels_to_other_processes(folder: Path) -> None:
    catalog = open_catalog(folder / "catalog.yaml")
    rows = {row["name"]: row for row in catalog.describe()}
    assert (rows["raster"]["driver"], rows["raster"]["role"], rows["many"]["files"]) == ("rasterio", "terrain", 2)
    copy = pickle.loads(pickle.dumps(catalog))
    assert copy == catalog
    assert copy["csv"].fingerprint() == catalog["csv"].fingerprint()
    error = CatalogError("a", "b", "c", path="f", line=3, entry="e")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "f, line 3, entry 'e': a; expected b; c"


def test_a_catalogue_and_an_entry_print_their_names_and_descriptions_and_as_html_the_same(folder: Path) -> None:
    catalog = open_catalog(Path(__file__).resolve().parents[2] / "catalogs" / "demo.yaml", data=str(folder))
    lines = repr(catalog).splitlines()
    assert lines[0] == f"<Catalog demo: {len(catalog)} entries>"
    assert [line.split()[0] for line in lines[1:]] == list(catalog)
    assert repr(catalog["dem"]) == f"<Entry dem (terrain, rasterio): {catalog['dem'].description}>"
    page = catalog._repr_html_()
    assert page.startswith("<p>&lt;Catalog demo")
    assert all(f"<td>{entry.description}</td>" in page for entry in catalog.entries.values())


def test_fingerprints_follow_the_bytes_and_not_the_place(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other") / "copy"
    shutil.copytree(folder, other)
    here, there = open_catalog(folder / "catalog.yaml"), open_catalog(other / "catalog.yaml")
    for name in here:
        assert here[name].fingerprint() == there[name].fingerprint()
    before = here["csv"].fingerprint()
    (folder / "a.csv").write_text("a;b\n9;z\n", encoding="utf-8")
    assert here["csv"].fingerprint() != before


def test_fingerprints_tell_what_of_the_same_files_is_read(folder: Path) -> None:
    file, found = folder / "catalog.yaml", set()
    for given in ("", ", group: a", ", group: b"):
        file.write_text(CATALOG.replace("consolidated: false", f"consolidated: false{given}"), encoding="utf-8")
        found.add(open_catalog(file)["zarr"].fingerprint())
    assert len(found) == 3


def test_a_missing_file_is_named_with_its_entry(folder: Path) -> None:
    (folder / "a.csv").unlink()
    with pytest.raises(
        CatalogError, match=r"line \d+, entry 'csv': no file '.*a.csv'; expected the file; check the folder"
    ):
        open_catalog(folder / "catalog.yaml")["csv"].open()
    with pytest.raises(CatalogError, match="which is no folder"):
        open_catalog(folder / "catalog.yaml", data=folder / "absent")


def test_a_virtual_raster_in_disguise_is_not_read(folder: Path) -> None:
    vrt = '<VRTDataset rasterXSize="1" rasterYSize="1"><VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'
    (folder / "a.tif").write_text(vrt, encoding="utf-8")
    with pytest.raises(Exception, match=r"not recognized|not.*supported"):
        open_catalog(folder / "catalog.yaml")["raster"].open()


def test_a_zarr_store_with_a_pickle_codec_runs_nothing(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "marker"),)

    array = tmp_path / "a.zarr" / "x"
    array.mkdir(parents=True)
    (tmp_path / "a.zarr" / ".zgroup").write_text('{"zarr_format": 2}', encoding="utf-8")
    (array / ".zattrs").write_text('{"_ARRAY_DIMENSIONS": ["x"]}', encoding="utf-8")
    meta = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|u1", "fill_value": 0, "order": "C"}
    meta |= {"filters": None, "compressor": {"id": "pickle", "protocol": 5}}
    (array / ".zarray").write_text(json.dumps(meta), encoding="utf-8")
    (array / "0").write_bytes(pickle.dumps(Payload()))
    file = tmp_path / "catalog.yaml"
    file.write_text("sources: {a: {driver: zarr, args: {urlpath: a.zarr, consolidated: false}}}", encoding="utf-8")
    with pytest.raises(ValueError, match="pickle"):
        open_catalog(file)["a"].open()
    assert not (tmp_path / "marker").exists()


PUBLISHED = """
metadata:
  parameters:
    data: {{type: str, default: public, description: folder}}
sources:
  shapes:
    driver: shapefile
    args: {{urlpath: "https://data.example.org/v1/a.shp"}}
    metadata:
      files:
{files}
  derived:
    driver: csv
    args: {{urlpath: "{{{{ data }}}}/a.csv", sep: ";"}}
    metadata: {{files: [{{path: a.csv}}]}}
"""


def test_public_files_come_with_their_siblings_and_equal_those_of_a_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    suffixes = ("shp", "shx", "dbf", "prj", "cpg")
    lines = [
        f"        - {{path: a.{suffix}, url: 'https://data.example.org/v1/a.{suffix}', "
        f"sha256: {sha256_of(folder / f'a.{suffix}')}}}"
        for suffix in suffixes
    ]
    file = folder / "published.yaml"
    file.write_text(PUBLISHED.format(files="\n".join(lines)), encoding="utf-8")
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("GLACIERSCALE_CACHE", str(cache))
    asked: list[str] = []

    def publish(url: str, to: Path, sha256: str) -> Path:
        asked.append(url.rpartition(".")[2])
        to.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(folder / url.rpartition("/")[2], to))

    monkeypatch.setattr("glacierscale.catalog.entry.fetch", publish)
    public, local = open_catalog(file), open_catalog(file, data=folder)
    assert public["shapes"].urlpaths == ("https://data.example.org/v1/a.shp",)
    assert local["shapes"].urlpaths == (str(folder.resolve() / "a.shp"),)
    assert public["shapes"].open().equals(local["shapes"].open())
    assert sorted(asked) == sorted(suffixes)
    assert public["shapes"].fingerprint() == local["shapes"].fingerprint()
    assert local["shapes"].mismatches() == []
    (folder / "a.prj").write_text("", encoding="utf-8")
    assert local["shapes"].mismatches() == ["a.prj"]
    assert len(local["derived"].open()) == 2
    with pytest.raises(CatalogError, match=r"entry 'derived': 'a.csv', which has no published file.*pass data=FOLDER"):
        public["derived"].open()


def test_the_netcdf_engine_is_one_that_can_read_here(folder: Path) -> None:
    assert netcdf_engine(str(folder / "a.nc"), "netcdf4") == "netcdf4"
    assert netcdf_engine(str(folder / "a.nc"), "scipy") == "netcdf4"
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(folder / "b.nc", engine="scipy")
    assert netcdf_engine(str(folder / "b.nc"), "h5netcdf") == "scipy"


def test_checking_a_catalogue_does_not_import_intake(folder: Path) -> None:
    code = "import sys; from glacierscale.catalog import open_catalog; open_catalog(sys.argv[1]); "
    code += "print(sorted({'intake', 'xarray', 'dask', 'fsspec', 'jinja2'} & set(sys.modules)))"
    out = subprocess.run(
        [sys.executable, "-c", code, folder / "catalog.yaml"], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"
