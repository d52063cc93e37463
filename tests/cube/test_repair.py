"""A cube made with options is repaired with the same options: some subregions, a climate that ends early."""

from __future__ import annotations

import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import xarray as xr

from glacierscale.cli import main
from glacierscale.cube import IngestOptions, ingest
from glacierscale.features.tensors import featurize
from glacierscale.region import HydroYears, Region
from glacierscale.store import Store
from tests.trees import digests

CATALOG = Path(__file__).resolve().parents[2] / "catalogs" / "demo.yaml"
CLIMATE_ENDS = np.datetime64("2010-12")


@pytest.fixture(scope="module")
def made(small_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube of one of two subregions, two years longer than its climate, beside its raw files and catalogue."""
    folder = tmp_path_factory.mktemp("parts")
    shutil.copytree(small_raw, folder / "raw")
    shutil.copy(CATALOG, folder)
    outlines = gpd.read_parquet(folder / "raw" / "outlines.parquet")
    outlines["O1Region"], outlines["O2Region"] = "99", np.where(np.arange(len(outlines)) % 3, "1", "2")
    outlines.to_parquet(folder / "raw" / "outlines.parquet")
    with xr.open_zarr(folder / "raw" / "climate.zarr") as found:
        climate = found.load().sel(time=found.time.values.astype("datetime64[M]") <= CLIMATE_ENDS)
    for name in climate.variables:
        climate[name].encoding = {}
    shutil.rmtree(folder / "raw" / "climate.zarr")
    climate.to_zarr(folder / "raw" / "climate.zarr", zarr_format=3, consolidated=False)
    options = IngestOptions(
        data=str(folder / "raw"), subregions=("99-01",), climate_end="climatology", glaciers_per_block=3
    )
    ingest(folder / "demo.yaml", Region("part", years=HydroYears(2000, 2012)), to=folder / "cube.zarr", options=options)
    return folder


def test_such_a_cube_holds_the_subregion_and_says_where_its_climate_ends(made: Path) -> None:
    cube = Store.at(made / "cube.zarr").open()
    assert set(cube.subregion.values.tolist()) == {"99-01"}
    assert cube.sizes["glacier"] == 8
    assert cube.attrs["last_year_with_climate"] == 2010
    assert cube.time.values[-1].astype("datetime64[M]") == np.datetime64("2012-09")


@pytest.mark.parametrize("lost", ["area_m2", "inventory_area_m2", "temp", "elevation", "vertex_lon", "zarr.json"])
def test_whatever_is_damaged_is_made_again_to_the_same_bytes(made: Path, tmp_path: Path, lost: str) -> None:
    shutil.copytree(made, tmp_path / "copy")
    cube = tmp_path / "copy" / "cube.zarr"
    before = digests(cube)
    chosen = cube / lost if (cube / lost).is_file() else max((cube / lost / "c").rglob("*[0-9]"))
    data = chosen.read_bytes()
    chosen.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert main(["verify", str(cube)]) == 4
    assert main(["verify", str(cube), "--repair"]) == 0
    assert digests(cube) == before == digests(made / "cube.zarr")


@pytest.mark.parametrize("hindrance", ["gone", "changed"])
def test_a_repair_that_cannot_be_done_leaves_the_store_as_it_was(
    made: Path, tmp_path: Path, hindrance: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(made, tmp_path / "copy")
    raw, cube = tmp_path / "copy" / "raw", tmp_path / "copy" / "cube.zarr"
    chosen = max((cube / "temp" / "c").rglob("*[0-9]"))
    data = chosen.read_bytes()
    chosen.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    before = digests(cube)
    if hindrance == "gone":
        shutil.rmtree(raw)
    else:
        observed = raw / "observations.csv"
        observed.write_text(observed.read_text().replace("geodetic", "annual", 1))
    assert main(["verify", str(cube), "--repair"]) == 2
    assert {key: value for key, value in digests(cube).items() if "lease" not in key} == before
    assert np.isfinite(Store.at(cube).open().elevation.values).any()  # what is sound can be read
    capsys.readouterr()


def test_features_of_it_know_where_the_climate_ends(made: Path, tmp_path: Path) -> None:
    features = featurize(made / "cube.zarr", to=tmp_path / "features.zarr").open()
    assert features.attrs["last_year_with_climate"] == 2010
