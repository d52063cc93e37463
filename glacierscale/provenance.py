"""The stamp on every output: verb, options, versions and what went in.

A stamp holds nothing that changes between two runs of the same command (no clock, no absolute path of an output), so
that a run that was interrupted and continued writes the same bytes as one that was not.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import io
import json
import posixpath
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Protocol

from glacierscale import schema

REFERENCES = (
    "Bolibar et al. 2020, doi 10.5194/tc-14-565-2020; Roberts et al. 2017, doi 10.1111/ecog.02881; "
    "Calov and Greve 2005, doi 10.3189/172756505781829601; Hock 2003, doi 10.1016/S0022-1694(03)00257-9"
)


_STAMP_KEY = b"glacierscale_stamp"


class StampMismatch(ValueError):
    """An output exists that was made from other inputs or with other options."""


class Folder(Protocol):
    """Named files below a folder or URL, as `store.Files` gives them."""

    @property
    def url(self) -> str:
        """Folder or URL."""

    def read(self, name: str) -> bytes | None:
        """Content of a file, or None where there is none."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """One input of a verb."""

    url: str
    """Where it was read, relative to the output where both lie below one folder."""
    fingerprint: str
    """Digest of its content."""


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """What made an output."""

    verb: str
    """Verb that wrote it."""
    options: Mapping[str, Any]
    """Every option of the verb, as JSON."""
    inputs: Mapping[str, Input]
    """Inputs by role."""
    version: str = ""
    """Version of glacierscale; filled in."""
    commit: str = ""
    """Git commit of the source tree where there is one; filled in."""
    schema_version: int = schema.VERSION
    """Version of the store layout."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", json.loads(json.dumps(dict(self.options), sort_keys=True)))
        object.__setattr__(self, "version", self.version or version())
        object.__setattr__(self, "commit", self.commit or commit())

    def as_dict(self) -> dict[str, Any]:
        """The stamp as plain JSON types."""
        return json.loads(json.dumps(dataclasses.asdict(self), sort_keys=True))  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Stamp:
        """Read a stamp back."""
        inputs = {name: Input(**entry) for name, entry in found["inputs"].items()}
        return cls(**{**found, "inputs": inputs})

    @property
    def fingerprint(self) -> str:
        """Digest of everything that decides the output's content (the commit is information only)."""
        return digest(json.dumps(_decisive(self.as_dict()), sort_keys=True))

    def refuse_unless_same(self, found: Mapping[str, Any], where: str) -> None:
        """Raise `StampMismatch` with every difference if an existing output carries another stamp."""
        mine, theirs = _flatten(_decisive(self.as_dict())), _flatten(_decisive(found))
        differences = [
            f"  {key}: there {theirs.get(key, 'absent')!r}, now {mine.get(key, 'absent')!r}"
            for key in sorted(mine.keys() | theirs.keys())
            if mine.get(key) != theirs.get(key)
        ]
        if differences:
            raise StampMismatch(
                f"{where} was made otherwise:\n"
                + "\n".join(differences)
                + "\nWrite to another place with --to, or remove it first if it is no longer wanted; "
                "with everything as it was there, the same command continues."
            )


def _decisive(stamp: Mapping[str, Any]) -> dict[str, Any]:
    inputs = {name: entry["fingerprint"] for name, entry in stamp.get("inputs", {}).items()}
    return {key: value for key, value in stamp.items() if key not in ("commit", "inputs")} | {"inputs": inputs}


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        flat: dict[str, Any] = {}
        for key, inner in value.items():
            flat |= _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
        return flat
    return {prefix: value}


def options_dict(options: Any) -> dict[str, Any]:
    """A frozen options dataclass as JSON types."""
    return json.loads(json.dumps(dataclasses.asdict(options), sort_keys=True, default=str))  # type: ignore[no-any-return]


def flat(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes as NetCDF can hold them: text and numbers as they are, anything else as JSON text.

    Parameters
    ----------
    attributes : mapping
        JSON types by name.
    """
    return {
        str(name): value
        if isinstance(value, str | int | float) and not isinstance(value, bool)
        else json.dumps(value, sort_keys=True)
        for name, value in attributes.items()
    }


def nested(value: Any) -> Any:
    """What `flat` made text of, as it was; what is no such text stays, as stores had it before."""
    if not (isinstance(value, str) and value.startswith(("{", "["))):
        return value
    try:
        return json.loads(value)
    except ValueError:  # a text that begins like JSON
        return value


def digest(data: bytes | str) -> str:
    """SHA-256 of bytes or text, as hex."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, or of every file below a folder in name order."""
    if path.is_dir():
        parts = [f"{p.relative_to(path).as_posix()} {file_digest(p)}" for p in sorted(path.rglob("*")) if p.is_file()]
        return digest("\n".join(parts))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_table(table: Any, folder: Folder, name: str, stamp: Stamp) -> None:
    """Write a pandas table as Parquet with its stamp in the file's metadata, whole or not at all.

    Parameters
    ----------
    table : pandas.DataFrame
    folder : Folder
        Where to.
    name : str
        Name of the file in the folder.
    stamp : Stamp
        What made it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(arrow.schema.metadata or {}), _STAMP_KEY: json.dumps(stamp.as_dict(), sort_keys=True).encode()}
    written = io.BytesIO()
    pq.write_table(arrow.replace_schema_metadata(metadata), written)
    folder.write(name, written.getvalue())


def read_table(data: bytes) -> Any:
    """The pandas table of a Parquet file's content."""
    import pandas as pd

    return pd.read_parquet(io.BytesIO(data))


def refuse_other_table(data: bytes, stamp: Stamp, where: str) -> None:
    """Raise `StampMismatch` if a Parquet file's content was made otherwise."""
    stamp.refuse_unless_same(_stamp_in_table(data, where), where)


def stamp_of_table(data: bytes, where: str) -> Stamp:
    """What made a Parquet file that `write_table` wrote."""
    return Stamp.from_dict(_stamp_in_table(data, where))


def _stamp_in_table(data: bytes, where: str) -> dict[str, Any]:
    import pyarrow.parquet as pq

    try:
        found = (pq.read_schema(io.BytesIO(data)).metadata or {}).get(_STAMP_KEY, b"{}")
    except (ValueError, OSError) as error:
        raise StampMismatch(f"{where} is no Parquet table ({error}); remove it.") from error
    return json.loads(found)  # type: ignore[no-any-return]


def join(place: str | Path, name: str) -> str:
    """A name, or a way such as ``../cube.zarr``, as seen from a folder or URL; what is whole already stays as it is."""
    if "://" in name:
        return name
    scheme, separator, path = str(place).partition("://")
    if not separator:
        return str((Path(place) / name).resolve())
    if name.startswith("/"):  # a file of the machine that wrote it
        return name
    # The bucket comes first and no way leads above it.
    bucket, _, key = path.partition("/")
    inner = posixpath.normpath(posixpath.join("/", key, name)).lstrip("/")
    return f"{scheme}://{bucket}/{inner}".rstrip("/")


def relative(url: str | Path, to: str | Path) -> str:
    """An input's place as seen from an output.

    Relative where it lies in the folder of the output, on this machine or in a bucket, so that the folder may be moved
    or copied whole; absolute elsewhere.
    """
    (place_on, place), (output_on, output) = _parts(url), _parts(to)
    if place_on == output_on and place.is_relative_to(output.parent):
        return posixpath.relpath(place.as_posix(), output.as_posix())
    return str(url) if place_on else place.as_posix()


def found_from(url: str, relative: str) -> str:
    """An input's place from how `relative` wrote it into the stamp of an output at `url`; empty stays empty."""
    return join(url, relative) if relative else relative


def _parts(place: str | Path) -> tuple[str, PurePath]:
    """Scheme and bucket of a URL, empty for this machine, and the path below."""
    scheme, separator, rest = str(place).partition("://")
    if not separator:
        return "", Path(place).absolute()
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", PurePosixPath("/", key)


@cache
def version() -> str:
    """Installed version of glacierscale."""
    return importlib.metadata.version("glacierscale")


@cache
def commit() -> str:
    """Git commit of the source tree that is running, or an empty string for an installed package."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return ""
    found = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip()
