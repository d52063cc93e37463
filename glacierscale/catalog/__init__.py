"""Intake catalogues behind a gate: parsed and allow-listed here before anything in them runs.

An Intake catalogue is code. This package reads the YAML itself, lets through only known drivers, arguments, storage
options, public locations and declared parameters, and then opens the entry with Intake's own drivers.

    catalog = open_catalog("catalogs/oetztal.yaml", data="/folder/with/files")
    temperature = catalog["era5_temp"].open()
    outlines = catalog.select("outlines")[0].open()
"""

from __future__ import annotations

import difflib
import hashlib
import html
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glacierscale.catalog.document import CatalogError, MissingEntryError, parse, read_text
from glacierscale.catalog.entry import Entry, make_entry
from glacierscale.catalog.fetch import CACHE_VARIABLE, cache_folder, fetch, sha256_of
from glacierscale.catalog.gate import Gate
from glacierscale.catalog.locations import Refused
from glacierscale.catalog.parameters import gather
from glacierscale.catalog.specs import Pinned
from glacierscale.catalog.versions import run_gate

__all__ = [
    "CACHE_VARIABLE",
    "Catalog",
    "CatalogError",
    "Entry",
    "MissingEntryError",
    "Pinned",
    "cache_folder",
    "check_catalog",
    "fetch",
    "open_catalog",
    "sha256_of",
]


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """A catalogue that has passed the gate; a mapping of names to entries."""

    name: str
    """Its name, or the file's."""
    path: Path
    """The file."""
    metadata: Mapping[str, Any]
    """As written."""
    entries: Mapping[str, Entry]
    """By name, in file order."""
    parameters: Mapping[str, Any]
    """Value of every declared parameter in this call."""
    fingerprint: str
    """SHA-256 over the text and the parameters."""

    def __repr__(self) -> str:
        wide = max(map(len, self.entries), default=0)
        lines = [f"  {name:<{wide}}  {entry.description}" for name, entry in self.entries.items()]
        return "\n".join([f"<Catalog {self.name}: {len(self)} entries>", *lines])

    def _repr_html_(self) -> str:
        import pandas as pd

        shown = pd.DataFrame(self.describe(), columns=["name", "role", "dataset", "files", "description"])
        with pd.option_context("display.max_colwidth", None):
            return f"<p>{html.escape(repr(self).splitlines()[0])}</p>{shown.to_html(index=False)}"

    def __getitem__(self, name: str) -> Entry:
        if name in self.entries:
            return self.entries[name]
        near = difflib.get_close_matches(str(name), self.entries, n=3, cutoff=0.4)
        expected = "one of " + ", ".join(near or self.entries) if self.entries else "nothing, the catalogue is empty"
        came = f"a missing entry {name!r}"
        raise MissingEntryError(came, expected, "see `glacierscale catalog show`", path=self.path)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def select(self, role: str, dataset: str | None = None) -> list[Entry]:
        """Return the entries of a role (and of a dataset), in file order.

        Parameters
        ----------
        role : str
            climate, climate_invariant, terrain, thickness, outlines, observations, ...
        dataset : str, optional
            histalp, era5, ...
        """
        chosen = (entry for entry in self.entries.values() if entry.role == role)
        return [entry for entry in chosen if dataset is None or entry.dataset == dataset]

    def describe(self) -> list[dict[str, Any]]:
        """Return one row per entry for a table: name, driver, role, dataset, files, where, license, description."""
        return [
            {
                "name": entry.name,
                "driver": entry.driver,
                "role": entry.role,
                "dataset": entry.dataset,
                "convention": entry.convention,
                "files": max(len(entry.urlpaths), 1),
                "location": entry.urlpaths[0] if entry.urlpaths else "pass data=FOLDER",
                "parameters": ", ".join(entry.parameters),
                "license": str(entry.metadata.get("license", "")),
                "citation": str(entry.metadata.get("citation", "")),
                "description": entry.description,
            }
            for entry in self.entries.values()
        ]


def open_catalog(path: str | Path, **parameters: Any) -> Catalog:
    """Read a catalogue, check all of it, and return its entries; no data is touched and nothing in it runs.

    Parameters
    ----------
    path : str or Path
        A version 1 (``sources:``) or version 2 (``version: 2``) Intake file on this machine.
    **parameters
        Values of declared parameters. ``data`` is a folder that holds the catalogue's files, or ``public``.

    Returns
    -------
    Catalog
        Entries open with ``catalog[name].open()``.

    Raises
    ------
    CatalogError
        Naming file, line, entry, what came, what was expected and what to do.
    """
    file = Path(path)
    catalog, faults = _open(file, parameters)
    if faults:
        first = faults[0]
        more = f" ({len(faults) - 1} more: glacierscale catalog check {file})" if len(faults) > 1 else ""
        raise CatalogError(
            first.came, first.expected, first.remedy + more, path=first.path, line=first.line, entry=first.entry
        )
    assert catalog is not None  # there is one where there are no faults
    return catalog


def check_catalog(path: str | Path) -> list[CatalogError]:
    """Return every fault of a catalogue file, in file order; none if it would open."""
    return sorted(_open(Path(path), {})[1], key=lambda fault: fault.line)


def _open(path: Path, given: Mapping[str, Any]) -> tuple[Catalog | None, list[CatalogError]]:
    """Return the catalogue, or its faults."""
    try:
        text = read_text(path)
        values = gather(given)
        gate = Gate(path, values)
        specs, metadata = run_gate(gate, parse(text, path))
        unknown = sorted(set(given) - set(gate.declared))
        if unknown and not gate.faults:
            known = ", ".join(sorted(gate.declared)) or "no parameters"
            came = f"the parameter {unknown[0]!r}"
            raise CatalogError(came, f"one of {known}", "pass only declared parameters", path=path)
        if gate.faults:
            return None, gate.faults
        effective = {name: str(values.of(item)) for name, item in sorted(gate.declared.items())}
        stamp = json.dumps([text, effective], sort_keys=True).encode()
        entries = {spec.name: make_entry(spec, path, values.folder) for spec in specs}
    except Refused as fault:
        return None, [CatalogError(fault.came, fault.expected, fault.remedy, path=path)]
    except CatalogError as fault:
        return None, [fault]
    name = str(metadata.pop("name", None) or path.stem)
    return Catalog(
        name=name,
        path=path,
        metadata=metadata,
        entries=entries,
        parameters=effective,
        fingerprint=hashlib.sha256(stamp).hexdigest(),
    ), []
