"""Stage 1, ingest: a catalogue's entries -> one GlacierCube in the schema's names and units."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from glacierscale import provenance, schema
from glacierscale.cube.options import IngestOptions
from glacierscale.region import Region
from glacierscale.store import Store

if TYPE_CHECKING:
    from glacierscale.catalog import Entry

__all__ = ["IngestOptions", "ingest"]

_TOLD = ("license", "citation", "files", "url", "description")
"""Metadata of an entry that change no number; what files hold is fingerprinted by itself."""


def ingest(catalog: str | Path, region: Region, *, to: str | Path, options: IngestOptions = IngestOptions()) -> Store:
    """Read a catalogue into a GlacierCube.

    Parameters
    ----------
    catalog : str or Path
        An Intake catalogue file.
    region : Region
        Which glaciers and which hydrological years.
    to : str or Path
        Folder or URL of the cube.
    options : IngestOptions
        What to take.

    Returns
    -------
    Store
        The cube. Blocks that exist are kept.

    Raises
    ------
    CatalogError
        If the catalogue is refused or lacks an entry.
    ValueError
        If the data fail a check; the message names the entry.
    """
    from glacierscale.catalog import open_catalog
    from glacierscale.cube import reading, writing

    opened = open_catalog(catalog, **({"data": options.data} if options.data else {}))
    chosen = reading.choose(opened, options)
    stamp = provenance.Stamp(
        verb="ingest",
        options={
            **{k: v for k, v in provenance.options_dict(options).items() if k != "data"},
            "region": provenance.options_dict(region),
        },
        inputs={
            entry.name: provenance.Input(url=entry.name, fingerprint=fingerprint(entry))
            for entries in chosen.values()
            for entry in entries
        }
        | {
            # Where to find them again; what they hold is fingerprinted above.
            "@catalog": provenance.Input(url=provenance.relative(catalog, to), fingerprint=""),
            "@data": provenance.Input(
                url=provenance.relative(options.data, to) if options.data else "", fingerprint=""
            ),
        },
    )
    store = Store(str(to), schema.CUBE)
    if not store.is_complete(stamp):
        writing.write(store, reading.read(chosen, region, options), region, stamp, options)
    return store


def fingerprint(entry: Entry) -> str:
    """Digest of an entry's files and of what the catalogue says of them: units, heights, periods, errors."""
    said = {name: value for name, value in entry.metadata.items() if name not in _TOLD}
    return provenance.digest(f"{entry.fingerprint()} {json.dumps(said, sort_keys=True, default=str)}")
