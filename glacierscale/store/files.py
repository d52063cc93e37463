"""Named files below a folder or URL: models, tables, figures and pages, each written whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from glacierscale.store.blocks import StoreError, text_of

if TYPE_CHECKING:
    from glacierscale.store.objects import Objects


@dataclass(frozen=True)
class Files:
    """Files below one place, the same on a disk and in an object store."""

    url: str
    """Folder or URL."""

    @classmethod
    def at(cls, place: str | Path | Files) -> Files:
        """Name a place for files; nothing is made there yet.

        Raises
        ------
        ValueError
            If it lies inside a store, where a file would be taken for part of the store, or is a URL that `pathlib`
            has made a path of.
        """
        if isinstance(place, Files):
            return place
        from glacierscale.store.transactions import plain

        place = plain(text_of(place))  # files lie beside a repository, not in it
        inside = _store_around(place)
        if inside is not None:
            raise ValueError(f"{place} lies inside the store {inside}; write beside it.")
        return cls(place)

    def read(self, name: str) -> bytes | None:
        """Content of a file, or None where there is none."""
        return None if self._absent() else self._objects().get(name)

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all."""
        self._objects(create=True).put(name, data)

    def delete(self, name: str) -> None:
        """Remove a file; nothing happens where there is none."""
        if not self._absent():
            self._objects().delete(name)

    def names(self, prefix: str = "") -> list[str]:
        """Names that begin so, in order; files in folders below have a slash in theirs."""
        if self._absent():
            return []
        return sorted(name for name in self._objects().keys(prefix.rpartition("/")[0]) if name.startswith(prefix))

    def stores(self, pattern: str) -> list[str]:
        """Names of the stores in this folder that fit a pattern, in order."""
        return [] if self._absent() else [name for name in self._objects().folders() if fnmatchcase(name, pattern)]

    def version(self, name: str) -> str:
        """What changes when a file is written again; empty where there is none."""
        return "" if self._absent() else self._objects().version(name)

    def _absent(self) -> bool:
        return "://" not in self.url and not Path(self.url).exists()

    def _objects(self, *, create: bool = False) -> Objects:
        from glacierscale.store.objects import Objects

        return Objects(self.url, create=create)


def _store_around(place: str) -> str | None:
    """The store that a place is or lies in, or None."""
    if "://" not in place:
        path = Path(place).absolute()
        return next((str(p) for p in (path, *path.parents) if (p / "zarr.json").exists()), None)
    from glacierscale.store import access
    from glacierscale.store.objects import Objects

    if access.resolve(place).scheme == "https":
        return None  # nothing is written there
    scheme, _, rest = place.partition("://")
    bucket, _, folder = rest.partition("/")
    whole = Objects(f"{scheme}://{bucket}")
    parents = [p.as_posix() for p in (PurePosixPath(folder), *PurePosixPath(folder).parents) if p.as_posix() != "."]
    for parent in parents:
        try:
            if whole.version(f"{parent}/zarr.json"):
                return f"{scheme}://{bucket}/{parent}"
        except StoreError as error:
            if "access was denied" not in str(error):  # keys may be good for the place and not for what lies above
                raise
    return None
