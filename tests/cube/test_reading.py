"""Catalogues of maps and stakes become cubes; what cannot be used is counted in them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import glacierscale as gs
from glacierscale import provenance
from glacierscale.catalog import open_catalog
from glacierscale.cube import IngestOptions
from glacierscale.sources import observations

CATALOGS = Path(__file__).resolve().parents[2] / "catalogs"


@pytest.fixture
def ingested(shared: Path, tmp_path: Path) -> Any:
    """Ingest a shipped catalogue, an entry's metadata replaced."""

    def ingest(name: str, first: int, last: int, entry: str = "", **metadata: Any) -> gs.Store:
        content = yaml.safe_load((CATALOGS / f"{name}.yaml").read_text())
        if entry:
            found = content["sources"][entry]["metadata"]
            content["sources"][entry]["metadata"] = {k: v for k, v in (found | metadata).items() if v is not None}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
        region = gs.Region(name, years=gs.HydroYears(first, last))
        options = IngestOptions(data=str(shared / "data"))
        return gs.ingest(tmp_path / f"{name}.yaml", region, to=tmp_path / "cube.zarr", options=options)

    return ingest


@pytest.fixture(scope="module")
def south_glacier(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """South Glacier's cube from the shipped catalogue."""
    to = tmp_path_factory.mktemp("south") / "cube.zarr"
    region = gs.Region("south_glacier", years=gs.HydroYears(2007, 2011))
    options = IngestOptions(data=str(shared / "data"))
    return Path(gs.ingest(CATALOGS / "south_glacier.yaml", region, to=to, options=options).url)


def test_south_glacier_is_a_cube_of_points(ingested: Any) -> None:
    cube = ingested("south_glacier", 2002, 2011).open()
    assert (cube.sizes["glacier"], cube.sizes["observation"], cube.sizes["time"]) == (1, 533, 120)
    assert set(cube.obs_kind.values) == {"point"}
    assert cube.attrs["observations_left_out"] == ""
    assert (cube.clim_height == 2000).all()
    assert np.isfinite(cube.obs_elevation).all()


def test_a_map_over_years_without_climate_is_left_out_and_counted(ingested: Any) -> None:
    cube = ingested("south_glacier", 2008, 2011).open()
    assert cube.sizes["observation"] == 0
    assert cube.attrs["observations_left_out"] == "533 point observations outside 2007-10..2011-09"


@pytest.mark.parametrize(
    ("entry", "metadata", "message"),
    [
        ("smb_map", {"period": None}, r"entry 'smb_map': .*states the period None"),
        ("smb_map", {"units": None}, r"entry 'smb_map': .*states no unit"),
        ("smb_map", {"unit_id": None}, r"entry 'smb_map': .*names no glacier; give its id"),
        ("cru_precip", {"height_m": "high"}, r"entry 'cru_precip': height_m is 'high'; expected the height"),
    ],
)
def test_a_map_or_climate_that_is_not_described_is_refused(
    ingested: Any, entry: str, metadata: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ingested("south_glacier", 2007, 2011, entry, **metadata)


def test_icelandic_stakes_are_a_cube_with_gaps_in_its_climate(ingested: Any, tmp_path: Path) -> None:
    store = ingested("iceland", 1995, 2022)
    cube = store.open()
    assert (cube.sizes["glacier"], cube.sizes["observation"], cube.sizes["time"]) == (4, 51, 336)
    assert cube.attrs["observations_left_out"] == "4 point observations outside 1994-10..2022-09"
    features = gs.featurize(store, to=tmp_path / "features.zarr").open()
    known = np.isfinite(features.temp.values).all(axis=2)
    parts = {
        name: set(features.hydro_year.values[row]) for name, row in zip(features.glacier_id.values, known, strict=True)
    }
    north = {1995, 1996, 1998, 1999, 2000, 2001, 2003}
    assert parts["RGI60-06.00228_d01"] == parts["RGI60-06.00228_d02"] == north
    assert parts["RGI60-06.00232_d01"] == {2017, 2018, 2019, 2020, 2021, 2022}
    heights = dict(zip(features.glacier_id.values, features.ref_height.values, strict=True))
    assert heights["RGI60-06.00228_d01"] == pytest.approx(1333.92, abs=0.01)
    assert np.isfinite(features.band_elevation).all()
    for unit, years in (("RGI60-06.00228", north), ("RGI60-06.00232", parts["RGI60-06.00232_d01"])):
        assert set(cube.obs_year.values[cube.obs_unit_id.values == unit]) <= years


def test_norwegian_tables_are_read_through_their_catalogue(shared: Path) -> None:
    catalog = open_catalog(CATALOGS / "norway.yaml", data=shared / "data")
    readers = {
        "norway_stakes": observations.norway_stakes,
        "norway_glacier_wide": observations.norway_glacier_wide,
        "norway_geodetic": observations.geodetic_norway,
    }
    tables = {entry.convention: readers[entry.convention](entry.open()) for entry in catalog.select("observations")}
    assert {name: (len(t), t.obs_unit_id.nunique()) for name, t in tables.items()} == {
        "norway_stakes": (11505, 32),
        "norway_glacier_wide": (2253, 46),
        "norway_geodetic": (16, 12),
    }
    assert len(catalog["stakes"].open()) == 4171
    stakes = tables["norway_stakes"]
    assert (stakes.obs_end > stakes.obs_start).all()
    assert stakes.obs_lon.between(5, 24).all()
    assert stakes.obs_lat.between(59, 71).all()
    with pytest.raises(ValueError, match="norway offers climate of no data set"):
        gs.ingest(CATALOGS / "norway.yaml", gs.Region("Norway", years=gs.HydroYears(1990, 2000)), to="unused")


@pytest.mark.parametrize(
    ("entry", "metadata"),
    [
        ("cru_precip", {"height_m": 1900}),
        ("smb_map", {"period": ["2007-10-01", "2011-09-30"]}),
        ("smb_map", {"every": 6}),
        ("smb_map", {"sigma": 0.3}),
        ("smb_map", {"units": "mm w.e."}),
    ],
)
def test_a_cube_is_refused_when_its_catalogue_says_something_else_of_the_same_files(
    ingested: Any, south_glacier: Any, tmp_path: Path, entry: str, metadata: dict[str, Any]
) -> None:
    shutil.copytree(south_glacier, tmp_path / "cube.zarr")
    before = provenance.file_digest(tmp_path / "cube.zarr")
    with pytest.raises(provenance.StampMismatch, match=rf"inputs\.{entry}: there '\w+', now '\w+'"):
        ingested("south_glacier", 2007, 2011, entry, **metadata)
    assert provenance.file_digest(tmp_path / "cube.zarr") == before


@pytest.mark.parametrize("metadata", [{"license": "other terms"}, {"citation": "somebody else"}, {"url": "elsewhere"}])
def test_words_about_an_entry_do_not_make_it_another(
    ingested: Any, south_glacier: Any, tmp_path: Path, metadata: dict[str, Any]
) -> None:
    shutil.copytree(south_glacier, tmp_path / "cube.zarr")
    before = provenance.file_digest(tmp_path / "cube.zarr")
    ingested("south_glacier", 2007, 2011, "smb_map", **metadata)
    assert provenance.file_digest(tmp_path / "cube.zarr") == before
