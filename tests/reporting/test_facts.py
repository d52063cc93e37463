"""What went in is told from the stamps of the stores, as objects."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from glacierscale import catalog, provenance, schema
from glacierscale.reporting.facts import _said, data_table, facts
from glacierscale.store import Store

DEMO = Path(__file__).parents[2] / "catalogs" / "demo.yaml"
REGION = {
    "name": "Range",
    "bounds": [9.0, 46.0, 10.0, 47.0],
    "years": {"first": 1975, "last": 1980, "hemisphere": "north"},
}


def declared(url: Path, kind: schema.Schema, stamp: provenance.Stamp, **sizes: int) -> Store:
    static = xr.Dataset({"hydro_year": ("hydro_year", np.arange(1975, 1981, dtype="int32"))}, attrs={"region": "Range"})
    return Store(str(url), kind).declare(static, stamp, sizes=sizes)


@pytest.fixture
def run(tmp_path):
    """A catalogue, a stand-in for the cube and a reconstruction, each with its stamp only."""
    shutil.copy(DEMO, tmp_path / "demo.yaml")
    inputs = {"@catalog": provenance.Input(url="../demo.yaml", fingerprint="")}
    inputs |= {"data": provenance.Input(url="../raw", fingerprint="")}
    inputs |= {name: provenance.Input(url=name, fingerprint=provenance.digest(name)) for name in ("climate", "gone")}
    options = {"region": REGION, "climate": "", "member": None, "glaciers_per_block": 512}
    made = provenance.Stamp(verb="ingest", options=options, inputs=inputs)
    cube = declared(tmp_path / "cube.zarr", schema.RECONSTRUCTION, made, glacier=1, member=1)
    above = {"cube": provenance.Input(url="../cube.zarr", fingerprint=cube.fingerprint())}
    made = provenance.Stamp(verb="featurize", options={"bands": 20, "reference_years": [1980, 1990]}, inputs=above)
    features = declared(tmp_path / "features.zarr", schema.RECONSTRUCTION, made, glacier=1, member=1)
    above = {"features": provenance.Input(url="../features.zarr", fingerprint=features.fingerprint())}
    above |= {"model": provenance.Input(url="../model", fingerprint="0" * 64)}
    made = provenance.Stamp(verb="reconstruct", options={"net": ""}, inputs=above)
    smb = declared(tmp_path / "smb.zarr", schema.RECONSTRUCTION, made, glacier=1, member=1)
    return smb, cube


def test_every_entry_that_went_in_is_named_with_licence_citation_and_fingerprint(run):
    _, cube = run
    entry = catalog.open_catalog(DEMO)["climate"]
    climate, gone = data_table(cube)
    assert climate == {
        "name": "climate",
        "description": entry.description,
        "licence": "BSD-3-Clause",
        "citation": "synthetic",
        "fingerprint": provenance.digest("climate")[:12],
    }
    assert gone["licence"] == gone["citation"] == "–"  # no longer in the catalogue
    assert gone["fingerprint"] == provenance.digest("gone")[:12]


@pytest.mark.parametrize("spoil", [Path.unlink, lambda file: file.write_text("sources: {x: {driver: pickle}}")])
def test_without_a_sound_catalogue_the_fingerprints_are_left(run, spoil):
    _, cube = run
    spoil(Path(cube.url).parent / "demo.yaml")
    rows = data_table(cube)
    assert rows == [{"name": name, "fingerprint": provenance.digest(name)[:12]} for name in ("climate", "gone")]


def test_options_and_region_are_objects_and_say_what_was_left_open(run):
    smb, cube = run
    told = facts(smb, cube)
    assert list(told) == ["Region", "Data", "Options", "Software"]
    assert told["Region"]["hydrological years"] == "1975 to 1980"
    assert told["Region"]["months of a year"] == "October to September"
    assert told["Region"]["bounds"] == {"west": 9.0, "south": 46.0, "east": 10.0, "north": 47.0}
    assert told["Options"]["Ingest"] == {"climate": "default", "member": "default", "glaciers_per_block": 512}
    assert told["Options"]["Featurize"] == {"bands": 20, "reference_years": "1980, 1990"}
    assert told["Options"]["Reconstruct"] == {"net": "default"}
    assert "Train" not in told["Options"]  # there is no model beside it
    assert told["Software"]["model, fingerprint"] == "0" * 12


def test_features_made_anew_since_are_not_passed_off_as_what_went_in(run):
    smb, cube = run
    place = Path(smb.url).parent / "features.zarr"
    shutil.rmtree(place)
    made = provenance.Stamp(verb="featurize", options={"bands": 5}, inputs={})
    declared(place, schema.RECONSTRUCTION, made, glacier=1, member=1)
    assert "Featurize" not in facts(smb, cube)["Options"]


def test_a_cube_is_not_needed(run):
    smb, _ = run
    assert list(facts(smb, None)) == ["Options", "Software"]


def test_the_training_options_of_a_model_beside_it_are_told(model, model_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "model")
    entry = provenance.Input(url="../model", fingerprint=model.fingerprint)
    made = provenance.Stamp(verb="reconstruct", options={}, inputs={"model": entry})
    smb = declared(tmp_path / "smb.zarr", schema.RECONSTRUCTION, made, glacier=1, member=1)
    told = facts(smb, None)["Options"]["Train"]
    assert told["hold_out"] == "logo, lsygo"
    assert told["base"] == "yes"


def test_stores_beside_the_page_are_linked_to_and_others_are_named(run, tmp_path):
    smb, cube = run
    folder = str(Path(smb.url).parent)
    told = facts(smb, cube, stores=[smb, cube], folder=folder)["Stores"]
    assert [row["store"] for row in told] == [
        f'<a href="{Path(store.url).name}/">{Path(store.url).name}</a>' for store in (smb, cube)
    ]
    assert told[0]["what"] == schema.RECONSTRUCTION.title
    assert told[0]["made by"] == "reconstruct"
    away = facts(smb, None, stores=[smb], folder=str(tmp_path / "a" / "b" / "c"))["Stores"]
    assert away[0]["store"] == Path(smb.url).name
    named = Store.at(shutil.copytree(smb.url, tmp_path / "a&b.zarr"))
    (row,) = facts(named, None, stores=[named], folder=str(tmp_path))["Stores"]
    assert row["store"] == '<a href="a%26b.zarr/">a&amp;b.zarr</a>'


def test_options_with_parts_are_told_by_name_with_what_was_stated_of_them() -> None:
    scenarios = [
        {"name": "rcp26", "of": "", "warming_k": 0.0, "precip_factor": 1.0},
        {"name": "warmer", "of": "rcp26", "warming_k": 2.0, "precip_factor": 1.0},
    ]
    assert _said(scenarios) == "rcp26, warmer (of rcp26, warming_k 2.0)"
    assert _said([2003, 2100]) == "2003, 2100"
