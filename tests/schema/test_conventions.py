"""What a kept checker of the CF conventions says of an extract of every kind of store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr

from glacierscale import schema
from glacierscale.provenance import Stamp
from glacierscale.schema import Schema, Variable, conventions
from glacierscale.store import Store, layout

SIZE = 2


def values(name: str, variable: Variable) -> Any:
    """Something that fits a variable; axes run on."""
    shape = [SIZE] * len(variable.dims)
    if variable.dtype == "string":
        return np.array([f"{name} {number}" for number in range(SIZE)])
    number = np.arange(np.prod(shape)).reshape(shape)
    if variable.dtype == "datetime64[ns]":
        return np.datetime64("2000-10-01", "ns") + number * np.timedelta64(31, "D")
    return (number + 1).astype(variable.dtype)


def filled(kind: Schema, url: str) -> Store:
    """A store of a kind with all its variables, optional ones too."""
    store = Store(url, kind)
    arrays = {name: values(name, variable) for name, variable in kind.variables.items()}
    static = xr.Dataset(
        {name: (variable.dims, arrays[name]) for name, variable in kind.variables.items()}, attrs={"region": "test"}
    )
    verb = next(verb for verb, written in schema.WRITTEN_BY.items() if written is kind)
    own = [name for name, variable in kind.variables.items() if layout.block_dim(kind, variable) is None]
    sizes = {dim: SIZE for variable in kind.variables.values() for dim in variable.dims}
    store.declare(static[own], Stamp(verb=verb, options={}, inputs={}), sizes=sizes)
    for block in store.unfinished():
        store.write(block, arrays)
    return store


def netcdf(dataset: xr.Dataset, path: Path) -> None:
    """An extract as netCDF; a label axis keeps its labels as an auxiliary coordinate, as CF wants them."""
    labels = {name: f"{name}_number" for name in dataset.dims if dataset.get(name, xr.DataArray(0)).dtype.kind == "U"}
    extract = dataset.load().reset_index(list(labels)).rename_dims(labels)
    attributes = {name: value for name, value in dataset.attrs.items() if isinstance(value, str | int | float)}
    extract = extract.drop_encoding().assign_attrs(attributes)
    extract.attrs = attributes
    for name in extract.variables:
        variable = extract[name]
        if variable.dtype.kind == "T":
            extract[name] = variable.copy(data=schema.text(variable.values))
        missing = np.nan if variable.dtype.kind == "f" and name not in extract.dims else None
        extract[name].encoding = {"_FillValue": missing} if variable.dtype.kind in "fi" else {}
        if variable.dtype.kind == "M":
            extract[name].encoding = {"units": "days since 1970-01-01", "_FillValue": None}
    extract.to_netcdf(path, engine="netcdf4")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the checker says of an extract of every kind of store."""
    folder = tmp_path_factory.mktemp("cf")
    files = []
    for name, kind in schema.SCHEMAS.items():
        netcdf(filled(kind, str(folder / f"{name}.zarr")).open(), folder / f"{name}.nc")
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


def test_a_store_written_without_these_attributes_opens_and_has_the_same_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = schema.RECONSTRUCTION
    new = filled(kind, str(tmp_path / "new.zarr"))
    with monkeypatch.context() as patch:
        patch.setattr(conventions, "attributes_of", lambda *_: {})
        old = filled(kind, str(tmp_path / "old.zarr"))
    assert "references" not in old.open().smb.attrs
    assert "Bolibar" in new.open().smb.attrs["references"]
    xr.testing.assert_equal(old.open(), new.open())
    assert old.fingerprint() == new.fingerprint()
    assert old.is_complete(new.stamp)
    assert not old.verify()
