"""What a kept checker of the CF conventions says of every kind of store, written as netCDF."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import rioxarray  # noqa: F401
import xarray as xr

from glacierscale import provenance, schema
from glacierscale.schema import Schema, conventions, placing
from glacierscale.store import Store
from tests.schema.stores import declared, filled


def netcdf(dataset: xr.Dataset, path: Path) -> None:
    """A store as netCDF; a label axis keeps its labels as an auxiliary coordinate, as CF wants them."""
    labels = {name: f"{name}_number" for name in dataset.dims if dataset.get(name, xr.DataArray(0)).dtype.kind == "U"}
    dataset.reset_index(list(labels)).rename_dims(labels).to_netcdf(path, engine="netcdf4")


@pytest.fixture(scope="module")
def reports(stores: dict[str, Store], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the checker says of every kind of store."""
    folder = tmp_path_factory.mktemp("cf")
    files = []
    for name, store in stores.items():
        netcdf(store.open(), folder / f"{name}.nc")
        files.append(str(folder / f"{name}.nc"))
    command = Path(sys.executable).parent / "compliance-checker"
    words = [str(command), "-t", "cf:1.11", "-f", "json_new", "-o", str(folder / "report.json"), *files]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=240)
    assert (folder / "report.json").exists(), done.stderr
    assert "exceptions occurred" not in done.stderr, done.stderr
    found = json.loads((folder / "report.json").read_text())
    return {Path(file).stem: report["cf:1.11"] for file, report in found.items()}


@pytest.mark.parametrize("kind", list(schema.SCHEMAS))
def test_the_checker_finds_nothing_to_mend(kind: str, reports: dict[str, dict[str, Any]]) -> None:
    report = reports[kind]
    faults = [f"{of['name']}: {message}" for of in report["all_priorities"] for message in of["msgs"]]
    assert not faults, "\n".join(faults)
    assert report["possible_points"] > 50


@pytest.mark.parametrize("kind", list(schema.SCHEMAS.values()), ids=list(schema.SCHEMAS))
def test_every_variable_names_the_source_of_its_method(kind: Schema) -> None:
    lacking = [name for name in kind.variables if not conventions.references_of(kind.name, name)]
    assert not lacking


def test_attributes_stand_for_variables_that_there_are() -> None:
    known = {name for kind in schema.SCHEMAS.values() for name in kind.variables}
    named = {*conventions._STANDARD_NAMES, *conventions._MORE, *conventions._REFERENCES}
    assert named <= known
    for kind, own in conventions._REFERENCES_IN.items():
        assert own.keys() <= schema.SCHEMAS[kind].variables.keys()


def test_standard_names_are_in_the_table_of_cf_and_measure_the_same() -> None:
    import cf_units
    import compliance_checker

    file = Path(compliance_checker.__file__).parent / "data" / "cf-standard-name-table.xml"
    entries = {entry.get("id"): entry.findtext("canonical_units") for entry in ElementTree.parse(file).iter("entry")}
    for kind in schema.SCHEMAS.values():
        for name, variable in kind.variables.items():
            standard = conventions.attributes_of(kind.name, name).get("standard_name")
            if standard and variable.units:
                assert cf_units.Unit(variable.units).is_convertible(entries[standard]), f"{name}: {standard}"
            assert standard is None or standard in entries


def test_a_store_of_an_earlier_version_opens_goes_on_and_has_the_same_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = filled(schema.CUBE, str(tmp_path / "new.zarr"))
    with monkeypatch.context() as earlier:
        earlier.setattr(conventions, "attributes_of", lambda *_: {})
        earlier.setattr(placing, "grid_of", lambda *_: {})
        earlier.setattr(provenance, "flat", dict)
        old = filled(schema.CUBE, str(tmp_path / "old.zarr"))
        begun = declared(schema.CUBE, str(tmp_path / "begun.zarr"))
        assert isinstance(old.open().attrs["recipe"], dict)
    assert begun.unfinished()
    filled(schema.CUBE, begun.url)
    assert new.open().temp.attrs["standard_name"] == "air_temperature"
    for store in (old, begun):
        found = store.open()
        assert {"standard_name", "references"}.isdisjoint(found.temp.attrs)
        assert found.attrs["recipe"] == new.open().attrs["recipe"]
        xr.testing.assert_equal(found, new.open().drop_vars("spatial_ref"))
        assert store.fingerprint() == new.fingerprint()
        assert store.is_complete(new.stamp)
        assert not store.verify()


def test_an_earlier_cube_whose_metadata_broke_is_mended_as_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(placing, "grid_of", lambda *_: {})
        earlier.setattr(provenance, "flat", dict)
        store = filled(schema.CUBE, str(tmp_path / "cube.zarr"))
    before = store.fingerprint()
    Path(store.url, "zarr.json").unlink()
    filled(schema.CUBE, store.url)
    assert store.fingerprint() == before
    assert not store.verify()
    assert store.open().rio.crs.to_epsg() == 32632
