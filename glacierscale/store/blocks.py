"""A block of a store, and what can be wrong with a store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from glacierscale import schema
from glacierscale.schema import Schema

RECORDS = ".blocks"
"""Folder of the completion records inside a store."""

DECLARED = "declared"
"""Name of the completion record of what is written when a store is declared."""


class StoreError(RuntimeError):
    """A store is absent, unfinished, damaged or cannot be written."""


class NoStoreError(StoreError, ValueError):
    """What was named is no store, or one of another kind."""


def advice(wanted: Schema | None) -> str:
    """What to do where there is no store, or one of another kind."""
    return f"Make one with {schema.made_by(wanted) if wanted else '`glacierscale run`'}, or correct the path."


def text_of(place: str | Path) -> str:
    """A folder or URL as text, without a slash at its end.

    Raises
    ------
    ValueError
        If it is what `pathlib` makes of a URL.
    """
    text = str(place)
    if re.match(r"[a-z][a-z0-9+]+:/[^/]", text):
        raise ValueError(f"{text} is a URL that went through Path; give it as text.")
    return text.rstrip("/") or text


@dataclass(frozen=True, order=True)
class Block:
    """A chunk-aligned run along one dimension: the unit of work, of writing, of resuming and of retry."""

    dim: str
    """Dimension it runs along."""
    start: int
    """First entry."""
    stop: int
    """One past the last entry."""

    @property
    def slice(self) -> slice:
        """The run as a slice."""
        return slice(self.start, self.stop)

    @property
    def name(self) -> str:
        """Name of its completion record."""
        return f"{self.dim}-{self.start:09d}"

    def __str__(self) -> str:
        return f"{self.dim} {self.start}..{self.stop - 1}"


@dataclass(frozen=True)
class Damage:
    """One fault that `Store.verify` found."""

    key: str
    """Key of the faulty object."""
    fault: str
    """What is wrong with it."""
    block: Block | None
    """Block it belongs to; None for what is written when the store is declared."""
