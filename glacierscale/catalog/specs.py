"""What the gate lets through: checked entries, their locations and their published files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Pinned:
    """One file of an entry."""

    path: str
    """Where it lies below the folder ``data``."""
    url: str = ""
    """Where it is published; empty for a derived file."""
    sha256: str = ""
    """Digest of its bytes."""


@dataclass(frozen=True)
class Location:
    """A resolved location: a URL, or a path below a trusted folder."""

    url: str = ""
    """Public URL, if it is one."""
    root: Path | None = None
    """Trusted folder of a local path; none for a path below ``data`` when that is ``public``."""
    relative: str = ""
    """Path or pattern below the folder."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A checked entry, before it is bound to a catalogue."""

    name: str
    """Name in the catalogue."""
    driver: str
    """One of the drivers of this package."""
    places: tuple[Location, ...]
    """Where it points."""
    args: Mapping[str, Any]
    """Arguments of the reader."""
    storage_options: Mapping[str, Any]
    """Options of the store."""
    description: str
    """What it holds."""
    metadata: Mapping[str, Any]
    """As written."""
    files: tuple[Pinned, ...]
    """Its files, published or not."""
    parameters: tuple[str, ...]
    """Names of the parameters in scope."""
    line: int
    """Line in the catalogue file."""
