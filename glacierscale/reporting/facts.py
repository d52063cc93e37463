"""What went in: software, data and the options of every stage, told from the stamps of the stores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from glacierscale import provenance
from glacierscale.catalog import Catalog, CatalogError, open_catalog
from glacierscale.models.storing import fingerprint_of
from glacierscale.store import Files, Store, StoreError

_STAGES = {
    "ingest": "Ingest",
    "featurize": "Featurize",
    "train": "Train",
    "reconstruct": "Reconstruct",
    "evolve": "Evolve",
}


def facts(
    smb: Store, cube: Store | None, ice: Store | None = None, *, stores: Sequence[Store] = (), folder: str = ""
) -> dict[str, Any]:
    """Tell what went in, section by section, as plain objects.

    Parameters
    ----------
    smb : Store
        A reconstruction. Features and model that it was made of are described where they still lie beside it.
    cube : Store or None
        The cube. Its catalogue tells licences and citations, if it is still there.
    ice : Store or None
        Glaciers under future climates.
    stores : sequence of Store
        All that the page shows; they are linked to from there.
    folder : str
        Folder or URL of the page.

    Returns
    -------
    dict
        Heading to mapping or list of mappings.
    """
    stamps = {"reconstruct": smb.stamp} | _upstream(smb)
    stamps |= {} if cube is None else {"ingest": cube.stamp}
    stamps |= {} if ice is None else {"evolve": ice.stamp}
    options = {verb: dict(stamps[verb].options) for verb in _STAGES if verb in stamps}
    sections: dict[str, Any] = {}
    region = options.get("ingest", {}).pop("region", None)
    if region:
        sections["Region"] = _region(region)
    if cube is not None:
        sections["Data"] = data_table(cube)
    sections["Options"] = {_STAGES[verb]: {name: _said(v) for name, v in o.items()} for verb, o in options.items() if o}
    if stores:
        sections["Stores"] = [_linked(store, folder) for store in stores]
    made = smb.stamp
    sections["Software"] = {"glacierscale": made.version, "commit": made.commit or "unknown"}
    sections["Software"] |= {f"{name}, fingerprint": entry.fingerprint[:12] for name, entry in made.inputs.items()}
    return sections


def _linked(store: Store, folder: str) -> dict[str, Any]:
    """A store's name, as a link where the page and it may be moved together or anybody can follow it, and its kind."""
    from markupsafe import Markup

    from glacierscale.store.transactions import plain

    place = plain(store.url)  # a repository lies in a folder or bucket as any store does
    way, name = provenance.relative(place, folder), PurePosixPath(place).name
    follows = way.startswith("https://") or not ("://" in way or way.startswith("/"))
    link = Markup('<a href="{}/">{}</a>').format(quote(way, safe="/:"), name) if follows else name
    return {"store": link, "what": store.schema.title, "made by": store.stamp.verb}


def data_table(cube: Store) -> list[dict[str, str]]:
    """One row per catalogue entry that went into a cube, with licence and citation where its catalogue is still there.

    Parameters
    ----------
    cube : Store
        The cube.

    Returns
    -------
    list of dict
        name, description, licence, citation and fingerprint (the first 12 digits of the SHA-256), or name and
        fingerprint only.
    """
    inputs = cube.stamp.inputs
    catalog = _catalogue(cube)
    rows = []
    for name, entry in inputs.items():
        if not entry.fingerprint:  # where the ingest read, not what
            continue
        row = {"name": name}
        if catalog is not None:
            known = catalog.entries.get(name)
            metadata = known.metadata if known else {}
            row["description"] = known.description if known else ""
            row |= {"licence": str(metadata.get("license", "")), "citation": str(metadata.get("citation", ""))}
        rows.append({key: value or "–" for key, value in row.items()} | {"fingerprint": entry.fingerprint[:12]})
    return rows


def _catalogue(cube: Store) -> Catalog | None:
    """The catalogue that a cube names, if it is still there and still passes the gate."""
    named = cube.stamp.inputs.get("@catalog")
    if named is None:
        return None
    try:
        return open_catalog(provenance.found_from(cube.url, named.url))
    except CatalogError:
        return None


def _upstream(smb: Store) -> dict[str, provenance.Stamp]:
    """Stamps of the features and the model that a reconstruction names, by verb, as far as they are the same still."""
    found = {}
    for name, entry in smb.stamp.inputs.items():
        place = provenance.found_from(smb.url, entry.url)
        try:
            if name == "model":
                text = Files.at(place).read("model.json") if place else None
                if text is None:
                    continue
                described = json.loads(text)
                stamp = provenance.Stamp.from_dict(described["stamp"])
                same = fingerprint_of(stamp, described["weights_sha256"]) == entry.fingerprint
            elif name == "features":
                store = Store.at(place)
                stamp, same = store.stamp, store.fingerprint() == entry.fingerprint
            else:
                continue
        except StoreError:
            continue
        if same:
            found[stamp.verb] = stamp
    return found


def _region(region: Mapping[str, Any]) -> dict[str, Any]:
    """A region, from the options of ingest."""
    years = region["years"]
    told = {"name": region["name"], "hydrological years": f"{years['first']} to {years['last']}"}
    told["months of a year"] = "October to September" if years["hemisphere"] == "north" else "April to March"
    told["hemisphere"] = years["hemisphere"]
    if region["bounds"]:
        told["bounds"] = dict(zip(("west", "south", "east", "north"), region["bounds"], strict=True))
    return told


def _said(value: Any) -> Any:
    """An option as it is printed: lists on one line, yes and no, and a word for what was left open."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_words, value)) or "default"
    return "default" if value is None or value == "" else value


def _words(value: Any) -> str:
    """An entry of a list as it is printed; of an option with parts its name, and what was stated of it."""
    if not isinstance(value, dict):
        return str(value)
    untouched = {"warming_k": 0.0, "precip_factor": 1.0}
    stated = {key: part for key, part in value.items() if key != "name" and part not in ("", untouched.get(key))}
    more = ", ".join(f"{key} {part}" for key, part in stated.items())
    return str(value.get("name", "")) + (f" ({more})" if more else "")
