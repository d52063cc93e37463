"""The synthetic range as files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import rioxarray
import xarray as xr

from glacierscale import synthetic
from glacierscale.demonstration import FILES, STAMP, write_raw
from glacierscale.synthetic import SyntheticOptions

OPTIONS = SyntheticOptions(glaciers=6, observed=4, first_year=2001, last_year=2012)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "raw"
    write_raw(OPTIONS, folder)
    return folder


def test_all_files_are_there_and_nothing_is_left_beside_them(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {*FILES, STAMP}
    assert [path.name for path in folder.parent.iterdir()] == ["raw"]


def test_climate_opens_with_plain_xarray_as_it_was_made(folder: Path) -> None:
    with xr.open_zarr(folder / "climate.zarr") as found:
        xr.testing.assert_identical(found.load(), synthetic.climate(OPTIONS))
    assert json.loads((folder / "climate.zarr" / "zarr.json").read_text())["zarr_format"] == 3


@pytest.mark.parametrize("name", ["stable", "warming"])
def test_futures_open_with_plain_xarray_as_they_were_made(folder: Path, name: str) -> None:
    with xr.open_zarr(folder / f"future_{name}.zarr") as found:
        xr.testing.assert_identical(found.load(), synthetic.future(OPTIONS, name))


@pytest.mark.parametrize(("name", "make"), [("dem.tif", synthetic.terrain), ("thickness.tif", synthetic.thickness)])
def test_rasters_hold_the_fields_and_their_projection(
    folder: Path, name: str, make: Callable[[SyntheticOptions], xr.DataArray]
) -> None:
    wanted = make(OPTIONS)
    with rioxarray.open_rasterio(folder / name) as found:
        np.testing.assert_array_equal(found.squeeze("band"), wanted)
        np.testing.assert_allclose(found.x, wanted.x)
        np.testing.assert_allclose(found.y, wanted.y)
        assert found.rio.crs.to_epsg() == 3035
    with rasterio.open(folder / name) as raster:
        assert raster.profile["tiled"]
        assert raster.compression.name == "deflate"


def test_outlines_open_with_plain_geopandas(folder: Path) -> None:
    found, wanted = gpd.read_parquet(folder / "outlines.parquet"), synthetic.outlines(OPTIONS)
    assert found.crs.to_epsg() == 4326
    assert (found.geometry.to_wkb() == wanted.geometry.to_wkb()).all()
    assert list(found["RGIId"]) == list(wanted["RGIId"])


def test_tables_open_with_plain_pandas(folder: Path) -> None:
    observations = pd.read_csv(folder / "observations.csv", parse_dates=["obs_start", "obs_end"])
    wanted = synthetic.observations(OPTIONS)
    assert list(observations.columns) == list(wanted.columns)
    np.testing.assert_allclose(observations["obs_value"], wanted["obs_value"], atol=1e-6)
    np.testing.assert_array_equal(observations["obs_start"], wanted["obs_start"])
    inventories = pd.read_csv(folder / "inventories.csv")
    np.testing.assert_allclose(inventories["area_m2"], synthetic.inventories(OPTIONS)["area_m2"], atol=1e-6)
    truth = pd.read_csv(folder / "truth.csv").set_index(["glacier_id", "hydro_year"])["smb"]
    np.testing.assert_allclose(truth, synthetic.truth(OPTIONS).to_numpy().ravel(), atol=1e-6)
    assert truth.index[0] == ("RGI60-99.00001", 2001)


def test_a_second_call_leaves_the_files_alone(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    write_raw(OPTIONS, folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_range_elsewhere_is_known_again_and_told_from_that_of_the_default(folder: Path, tmp_path: Path) -> None:
    elsewhere = SyntheticOptions(**{**vars(OPTIONS), "centre": (179.95, -45.0), "projection": "utm"})
    write_raw(elsewhere, tmp_path / "raw")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "raw").rglob("*")}
    write_raw(elsewhere, tmp_path / "raw")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "raw").rglob("*")} == before
    assert "centre" not in json.loads((folder / STAMP).read_text())["options"]
    with pytest.raises(ValueError, match=r"options\.centre: \[179\.95, -45\.0\] there, nothing asked for"):
        write_raw(OPTIONS, tmp_path / "raw")


def test_other_options_are_refused_with_their_differences(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"other options.*\n  options\.seed: 0 there, 1 asked for$"):
        write_raw(SyntheticOptions(**{**vars(OPTIONS), "seed": 1}), folder)


def test_a_folder_of_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"has no options\.json"):
        write_raw(OPTIONS, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_folder_that_lost_a_file_is_refused(tmp_path: Path) -> None:
    write_raw(OPTIONS, tmp_path / "raw")
    (tmp_path / "raw" / "truth.csv").unlink()
    with pytest.raises(ValueError, match=r"lacks truth\.csv; remove it"):
        write_raw(OPTIONS, tmp_path / "raw")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Under a limit of 4 kB a file the rasters do not fit: the folder never appears, nor does its unfinished part."""
    code = (
        "import resource; from pathlib import Path; from glacierscale.demonstration import write_raw, SyntheticOptions;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        f"write_raw(SyntheticOptions(glaciers=6, observed=4), Path({str(tmp_path / 'raw')!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "too large" in done.stderr
    assert list(tmp_path.iterdir()) == []
