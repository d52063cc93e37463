"""The catalogues of this project: parsed, opened from the real files, and pinned to their bytes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from glacierscale.catalog import CatalogError, Entry, check_catalog, open_catalog

CATALOGS = Path(__file__).resolve().parents[2] / "catalogs"
REAL = ("oetztal", "french_alps", "scandinavia", "south_glacier", "iceland", "norway")


@pytest.mark.parametrize("file", sorted(CATALOGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_shipped_catalogue_passes_the_gate_and_says_role_licence_and_citation(file: Path) -> None:
    assert [str(fault) for fault in check_catalog(file)] == []
    catalog = open_catalog(file)
    assert catalog.name == file.stem
    for row in catalog.describe():
        assert all(row[key] for key in ("role", "dataset", "convention", "license", "citation", "description")), row


@pytest.mark.parametrize("name", REAL)
def test_every_real_entry_opens_from_the_folder_with_the_pinned_bytes(name: str, shared: Path) -> None:
    catalog = open_catalog(CATALOGS / f"{name}.yaml", data=shared / "data")
    for entry in catalog.entries.values():
        assert entry.files
        assert all(len(pinned.sha256) == 64 for pinned in entry.files)
        assert entry.mismatches() == [], entry.name
        for stem, part in entry.parts()[:3]:
            assert stem
            assert part.size if not hasattr(part, "sizes") else all(part.sizes.values()), entry.name
            if entry.driver in {"netcdf", "rasterio"}:
                assert part.chunks, entry.name


def _published(entry: Entry) -> bool:
    return all(pinned.url for pinned in entry.files)


@pytest.mark.parametrize("name", REAL)
def test_public_files_are_pinned_to_a_commit_and_the_others_say_what_to_pass(name: str) -> None:
    catalog = open_catalog(CATALOGS / f"{name}.yaml")
    pin = r"^https://raw\.githubusercontent\.com/[\w-]+/[\w-]+/[0-9a-f]{40}/"
    for entry in catalog.entries.values():
        if _published(entry):
            for pinned in entry.files:
                assert re.match(pin, pinned.url)
        else:
            with pytest.raises(CatalogError, match="pass data=FOLDER"):
                entry.sources()


def test_the_fingerprint_of_published_and_local_files_is_the_same(shared: Path) -> None:
    public = open_catalog(CATALOGS / "oetztal.yaml")
    local = open_catalog(CATALOGS / "oetztal.yaml", data=shared / "data")
    assert public.fingerprint != local.fingerprint
    for name in ("histalp", "outlines", "thickness"):
        assert public[name].fingerprint() == local[name].fingerprint()


def test_the_oetztal_catalogue_holds_what_the_pipeline_asks_for(shared: Path) -> None:
    catalog = open_catalog(CATALOGS / "oetztal.yaml", data=shared / "data")
    assert {entry.dataset for entry in catalog.select("climate")} == {
        "histalp",
        "era5",
        "era5_land",
        "cera20c",
        "cmip5",
    }
    assert len(catalog["thickness"].parts()) == 19
    assert len(catalog["outlines"].open()) == 20
    assert sum(len(table) for _, table in catalog["wgms_annual"].parts()) == 53 + 41 + 8 + 5


def test_cloud_tiles_follow_their_parameters() -> None:
    catalog = open_catalog(CATALOGS / "cloud.yaml", lat="S09", lon="W078", region="05", component="vx")
    tile = "Copernicus_DSM_COG_10_S09_00_W078_00_DEM"
    assert catalog["copernicus_dem_30m"].urlpaths == (f"s3://copernicus-dem-30m/{tile}/{tile}.tif",)
    assert catalog["itslive_velocity"].urlpaths[0].endswith("_RGI05A_0000_v02_vx.tif")
    with pytest.raises(CatalogError, match="region = '11'; expected one of 01, 05, 19"):
        open_catalog(CATALOGS / "cloud.yaml", region="11")


def test_the_demo_catalogue_points_into_the_folder_that_is_passed(tmp_path: Path) -> None:
    catalog = open_catalog(CATALOGS / "demo.yaml", data=tmp_path)
    assert [Path(entry.urlpaths[0]).name for entry in catalog.entries.values()] == [
        "climate.zarr", "future_stable.zarr", "future_warming.zarr", "dem.tif", "thickness.tif", "outlines.parquet",
        "inventories.csv", "observations.csv",
    ]  # fmt: skip
    assert all(Path(entry.urlpaths[0]).parent == tmp_path.resolve() for entry in catalog.entries.values())


def test_plain_intake_opens_the_demo_beside_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil
    import warnings

    import pandas as pd
    import xarray as xr

    shutil.copy(CATALOGS / "demo.yaml", tmp_path)
    xr.Dataset({"t2m": (("time",), [270.0, 280.0])}).to_zarr(tmp_path / "climate.zarr", consolidated=False)
    pd.DataFrame({"a": [1]}).to_csv(tmp_path / "observations.csv", index=False)
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import intake

        plain = intake.open_catalog("demo.yaml")
        climate, table = plain["climate"].to_dask(), plain["observations"].read()
    ours = open_catalog("demo.yaml")
    xr.testing.assert_identical(climate, ours["climate"].open())
    assert table.equals(ours["observations"].open())
