"""A checked entry: what it is, where its bytes are, and its lazy dataset or table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from glacierscale.catalog.document import CatalogError
from glacierscale.catalog.fetch import cache_folder, fetch, sha256_of
from glacierscale.catalog.locations import Refused, below, expand
from glacierscale.catalog.reading import read, version
from glacierscale.catalog.specs import Location, Pinned, Spec

_CLIENTS = ("botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "adlfs", "azure")
"""Packages that ask buckets and servers, with errors of their own."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry of a catalogue that has passed the gate."""

    name: str
    """Name in the catalogue."""
    driver: str
    """zarr, netcdf, rasterio, csv, parquet, geoparquet or shapefile."""
    urlpaths: tuple[str, ...]
    """Resolved locations: absolute paths or public URLs; empty for a derived file that no folder was passed for."""
    description: str
    """What it holds."""
    metadata: Mapping[str, Any]
    """Role, dataset, convention, license, citation, files and whatever else the catalogue says."""
    args: Mapping[str, Any]
    """Checked arguments of the reader."""
    storage_options: Mapping[str, Any]
    """Checked options of the store."""
    parameters: tuple[str, ...]
    """Names of the parameters that it declares."""
    files: tuple[Pinned, ...]
    """Its published files."""
    catalog: str
    """Path of the catalogue file."""
    line: int
    """Line of the entry in that file."""
    places: tuple[Location, ...]
    """Where the locations lie, below which trusted folder."""
    folder: Path | None
    """Folder passed as ``data``."""

    def __repr__(self) -> str:
        kind = ", ".join(filter(None, (self.role, self.driver)))
        return f"<Entry {self.name} ({kind}): {self.description}>"

    @property
    def role(self) -> str:
        """What the entry is for: climate, terrain, outlines, observations, ..."""
        return str(self.metadata.get("role", ""))

    @property
    def dataset(self) -> str:
        """The group of entries it belongs to: histalp, era5, ..."""
        return str(self.metadata.get("dataset", ""))

    @property
    def convention(self) -> str:
        """Which reader of `glacierscale.sources` understands it."""
        return str(self.metadata.get("convention", ""))

    def open(self) -> Any:
        """Return the entry's one object, lazily where the format allows it.

        Returns
        -------
        xarray.Dataset, xarray.DataArray, pandas.DataFrame or geopandas.GeoDataFrame
            A dataset on Dask for zarr and netcdf, a (band, y, x) array on Dask for rasterio, a table otherwise.

        Raises
        ------
        CatalogError
            If a file is missing, cannot be fetched, or if there are several (use `parts`).
        """
        sources = self.sources()
        if len(sources) == 1:
            return self._read(sources[0])
        if self.driver in {"zarr", "netcdf"} and "combine" in self.args:
            return self._read(sources)
        raise self._error(f"{len(sources)} files", "one file to open", "use parts() to open each")

    def parts(self) -> list[tuple[str, Any]]:
        """Return the stem of each file and what it holds, in order of the names of the files."""
        return [(PurePosixPath(unquote(urlsplit(item).path) or item).stem, self._read(item)) for item in self.sources()]

    def sources(self) -> list[str]:
        """Return what to open: existing local paths, fetched if they are published, or public URLs.

        Raises
        ------
        CatalogError
            If a file is missing or cannot be fetched.
        """
        try:
            found = [item for place in self.places for item in self._sources_of(place)]
        except Refused as fault:
            raise self._error(fault.came, fault.expected, fault.remedy) from None
        except CatalogError as fault:
            raise self._error(fault.came, fault.expected, fault.remedy) from None
        if not found:
            raise self._error(
                f"no file for {', '.join(place.relative for place in self.places)}", "at least one", "check the folder"
            )
        return found

    def fingerprint(self) -> str:
        """Return the SHA-256 over the entry's files: contents where local, stated digests, URLs and tags in a bucket.

        Driver and arguments are part of it: they decide what of the files is read. The same bytes give the same value
        whether they come from a folder or are to be fetched. What lies in a bucket without a stated digest is told by
        its tags, which change when it is written again.
        """
        lines = [json.dumps([self.driver, dict(self.args)], sort_keys=True, default=str)]
        for pinned in self.files:
            local = None if self.folder is None else below(self.folder, pinned.path)
            digest = sha256_of(local) if local is not None and local.exists() else pinned.sha256
            lines.append(f"{pinned.path} {digest}")
        stated = {pinned.path for pinned in self.files} | {pinned.url for pinned in self.files}
        for place in self.places:
            if place.url and place.url not in stated:
                lines.append(f"{place.url} {self._asked(version, place.url)}".rstrip())
            elif place.root is not None:
                for path in expand(place.root, place.relative):
                    relative = path.relative_to(place.root.resolve()).as_posix()
                    if relative not in stated:
                        lines.append(f"{relative} {sha256_of(path) if path.exists() else 'missing'}")
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

    def mismatches(self) -> list[str]:
        """Return the files below the passed folder whose SHA-256 is not the stated one, or that are missing."""
        if self.folder is None:
            return []
        found = []
        for pinned in self.files:
            local = below(self.folder, pinned.path)
            if not local.is_file() or (pinned.sha256 and sha256_of(local) != pinned.sha256):
                found.append(pinned.path)
        return found

    def _sources_of(self, place: Location) -> list[str]:
        pinned = [item for item in self.files if item.url and item.url == place.url]
        if place.url and not pinned:
            return [place.url]
        if place.url and self.folder is None:
            return [str(self._fetch(pinned[0]))]
        if place.root is None and not place.url:
            wanted = matching(self.files, place.relative)
            if not wanted or not all(item.url for item in wanted):
                came = f"{place.relative!r}, which has no published file"
                raise Refused(came, "a folder with the file", "pass data=FOLDER to open_catalog")
            return [str(self._fetch(item)) for item in wanted]
        root, relative = (self.folder, pinned[0].path) if place.url else (place.root, place.relative)
        assert root is not None  # both branches above left
        paths = expand(root, relative)
        for path in paths:
            if not path.exists():
                raise Refused(
                    f"no file {str(path)!r}", "the file", "check the folder passed as data, or the catalogue's path"
                )
        return [str(path) for path in paths]

    def _fetch(self, wanted: Pinned) -> Path:
        """Fetch a file with its siblings (a shapefile has several) into a cache folder of their digests."""
        stem = PurePosixPath(wanted.path).with_suffix("")
        group = [item for item in self.files if item.url and PurePosixPath(item.path).with_suffix("") == stem]
        group = group if self.driver == "shapefile" else [wanted]
        key = hashlib.sha256("\n".join(f"{item.path} {item.sha256}" for item in group).encode()).hexdigest()[:16]
        folder = cache_folder() / "files" / key
        for item in group:
            fetch(item.url, folder / PurePosixPath(item.path).name, item.sha256)
        return folder / PurePosixPath(wanted.path).name

    def _read(self, source: str | list[str]) -> Any:
        return self._asked(lambda place, options: read(self.driver, place, dict(self.args), options), source)

    def _asked(self, question: Callable[[Any, dict[str, Any]], Any], source: str | list[str]) -> Any:
        """What a function of a source and its storage options returns; its errors name the entry."""
        try:
            return question(source, dict(self.storage_options))
        except Refused as fault:
            raise self._error(fault.came, fault.expected, fault.remedy) from None
        except ImportError as fault:
            remedy = "install glacierscale with the extra s3, gcs or azure"
            raise self._error(f"no package to read it ({fault})", "the package of its store", remedy) from fault
        except CatalogError:
            raise
        except Exception as fault:
            if not isinstance(fault, ValueError | OSError) and type(fault).__module__.partition(".")[0] not in _CLIENTS:
                raise
            came = f"{source} cannot be read ({fault})"
            raise self._error(came, f"data that the driver {self.driver} opens", "check or fetch it again") from fault

    def _error(self, came: str, expected: str, remedy: str) -> CatalogError:
        return CatalogError(came, expected, remedy, path=self.catalog, line=self.line, entry=self.name)


def matching(files: tuple[Pinned, ...], pattern: str) -> list[Pinned]:
    """Return the files a path or a pattern with ``*`` names, in order of their paths."""
    found = (item for item in files if PurePosixPath("/" + item.path).match("/" + pattern))
    return sorted(found, key=lambda item: item.path)


def make_entry(spec: Spec, catalog: Path, folder: Path | None) -> Entry:
    """Return the entry of a checked specification.

    Parameters
    ----------
    spec : Spec
        From the gate.
    catalog : Path
        The catalogue file.
    folder : Path or None
        Folder passed as ``data``.
    """
    shown: list[str] = []
    for place in spec.places:
        pinned = next((item for item in spec.files if item.url and item.url == place.url), None)
        if place.url:
            shown.append(str(below(folder, pinned.path)) if pinned is not None and folder is not None else place.url)
        elif place.root is None:
            shown += [item.url for item in matching(spec.files, place.relative) if item.url]
        else:
            shown += [str(path) for path in expand(place.root, place.relative)]
    return Entry(
        name=spec.name,
        driver=spec.driver,
        urlpaths=tuple(shown),
        description=spec.description,
        metadata=dict(spec.metadata),
        args=dict(spec.args),
        storage_options=dict(spec.storage_options),
        parameters=spec.parameters,
        files=spec.files,
        catalog=str(catalog),
        line=spec.line,
        places=spec.places,
        folder=folder,
    )
