"""How samples lie in the shards of a Zarr v3 array: where each begins, and what makes numbers of its bytes again."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import google_crc32c
import numpy as np
import numpy.typing as npt

from glacierscale.store.blocks import StoreError

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.integer]

_ABSENT = 2**64 - 1
_CRC_BYTES = 4
_INDEX_CODECS = ["bytes", "crc32c"]


def _unlocked_crc32c() -> Any:
    """The C function of google-crc32c: called so, it lets other threads of Python run meanwhile; None without it."""
    try:
        from google_crc32c import _crc32c as extension

        function = ctypes.CDLL(extension.__file__).crc32c_extend
    except (ImportError, OSError, AttributeError):  # built without its C library
        return None
    function.argtypes, function.restype = (ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t), ctypes.c_uint32
    return function


_EXTEND = _unlocked_crc32c()


class EntryError(ValueError):
    """A sample of a shard cannot be read."""

    def __init__(self, entry: int, what: str) -> None:
        super().__init__(what)
        self.entry = entry


class Source(Protocol):
    """Where the bytes of one shard come from."""

    @property
    def size(self) -> int:
        """Bytes of the shard."""
        ...

    def fill(self, start: int, buffers: list[Array], length: int) -> None:
        """Fill contiguous buffers of so many bytes together with what lies from `start` on."""
        ...


@dataclass(frozen=True)
class Form:
    """How one variable is stored: shards along its first dimension, one sample in each inner chunk."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rows_per_shard: int
    """Of an array without shards: rows of a chunk"""
    codecs: tuple[dict[str, Any], ...] = ()
    """Of an inner chunk; none for an array without shards"""
    separator: str = "/"
    """Between the numbers of a shard's key"""

    @property
    def sharded(self) -> bool:
        """Whether every sample can be read by itself."""
        return bool(self.codecs)

    @property
    def names(self) -> tuple[str, ...]:
        """Codecs of an inner chunk without the checksum."""
        big = {"name": "bytes", "configuration": {"endian": "big"}}
        return tuple("swapped" if codec == big else codec["name"] for codec in self.codecs if codec["name"] != "crc32c")

    @property
    def sealed(self) -> bool:
        """Whether a checksum ends every inner chunk."""
        return bool(self.codecs) and self.codecs[-1]["name"] == "crc32c"

    @property
    def index_bytes(self) -> int:
        """Length of a shard's index, its checksum included."""
        return 16 * self.rows_per_shard + _CRC_BYTES

    def key(self, number: int) -> str:
        """Key of a shard below the variable."""
        return self.separator.join(["c", str(number), *["0"] * (len(self.shape) - 1)])

    def shard(self, source: Source) -> Shard:
        """Read the index of a shard and check it."""
        if source.size < self.index_bytes:
            raise ValueError(f"is truncated: its shard has {source.size} bytes, fewer than its index")
        raw = np.empty(self.index_bytes, np.uint8)
        source.fill(source.size - self.index_bytes, [raw], self.index_bytes)
        if google_crc32c.value(raw[:-_CRC_BYTES]) != int(raw[-_CRC_BYTES:].view("<u4")[0]):
            raise ValueError("is damaged: the checksum of its shard's index differs")
        return Shard(self, raw[:-_CRC_BYTES].view("<u8").reshape(-1, 2), source)


@dataclass(frozen=True)
class Shard:
    """One shard whose index is known."""

    form: Form
    index: npt.NDArray[np.unsignedinteger]
    """(sample, 2) where each begins and how many bytes it has"""
    source: Source

    def spans(self, entries: Ints) -> tuple[list[int], list[int]]:
        """Where samples begin, and their bytes.

        Raises
        ------
        EntryError
            If one is missing or reaches past the end of the shard.
        """
        found = self.index[entries]
        absent = (found == _ABSENT).all(axis=1)
        if absent.any():
            raise EntryError(int(entries[absent.argmax()]), "is missing from its shard")
        past = (found > self.source.size).any(axis=1) | (found.sum(axis=1) > self.source.size)
        if past.any():
            end = sum(found[past.argmax()].tolist())
            what = f"is truncated: its shard has {self.source.size} bytes, expected {end} or more"
            raise EntryError(int(entries[past.argmax()]), what)
        return found[:, 0].tolist(), found[:, 1].tolist()

    def read(self, entries: Ints, places: Ints, out: Array, *, verify: bool) -> None:
        """Read samples into their places of an array, each contiguous there.

        Raises
        ------
        EntryError
            If one is missing, truncated or damaged.
        """
        form, plain = self.form, self.form.names == ("bytes",)
        sealed, (starts, lengths) = form.sealed, self.spans(entries)
        tail = np.empty(_CRC_BYTES if sealed else 0, np.uint8)
        size, fill, first, stride = out[0].nbytes, self.source.fill, out.ctypes.data, out.strides[0]
        for entry, place, start, length in zip(entries.tolist(), places.tolist(), starts, lengths, strict=True):
            try:
                target = out[place]
                body = target if plain else np.empty(max(length - len(tail), 0), np.uint8)
                if (size if plain else len(body)) + len(tail) != length:
                    raise ValueError(f"is damaged: it has {length} bytes, expected {body.nbytes + len(tail)}")
                fill(start, [body, tail], length)
                if sealed and verify:
                    crc = _crc32c(first + place * stride, size) if plain else _crc32c(body.ctypes.data, len(body))
                    if crc != int.from_bytes(tail, "little"):
                        raise ValueError("is damaged: its checksum differs")
                if not plain:
                    self._unpack(body, tail, target)
            except (OSError, ValueError, RuntimeError) as error:  # the last from Blosc
                raise EntryError(entry, str(error)) from error

    def _unpack(self, body: Array, tail: Array, target: Array) -> None:
        if self.form.names == ("bytes", "blosc"):
            _expand(body, target)
        else:
            target[...] = _by_zarr(self.form, np.append(body, tail))


class File:
    """A shard in a folder, held open as long as someone reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self.descriptor).st_size

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)

    def fill(self, start: int, buffers: list[Array], length: int) -> None:
        """Read straight into the buffers."""
        views: list[Any] = buffers
        if os.preadv(self.descriptor, views, start) == length:
            return
        rest = bytearray(length)  # network file systems may give less than there is
        done = 0
        while part := os.pread(self.descriptor, length - done, start + done):
            rest[done : done + len(part)] = part
            done += len(part)
        if done != length:
            raise ValueError(f"is truncated: {done} of {length} bytes could be read")
        Held({start: rest}, self.size).fill(start, buffers, length)


class Held:
    """Parts of a shard in memory, by where they begin; all of it is one part at 0."""

    def __init__(self, parts: Mapping[int, Any], size: int) -> None:
        self.parts, self.size = parts, size

    def fill(self, start: int, buffers: list[Array], length: int) -> None:
        """Copy into the buffers."""
        data, at = (self.parts[start], 0) if start in self.parts else (self.parts[0], start)
        for buffer in buffers:
            part = np.frombuffer(data, np.uint8, buffer.nbytes, at)
            np.copyto(buffer.reshape(-1).view(np.uint8), part)
            at += buffer.nbytes


def form_of(metadata: Mapping[str, Any], name: str) -> Form:
    """How an array is stored, from its ``zarr.json``.

    Raises
    ------
    StoreError
        If a shard holds several samples in one inner chunk, or spans part of a sample.
    """
    shape = tuple(metadata["shape"])
    dtype = np.dtype(metadata["data_type"]).newbyteorder("<")
    outer = tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"])
    first = metadata["codecs"][0]
    if first["name"] != "sharding_indexed":
        return Form(shape, dtype, outer[0])
    given = first["configuration"]
    inner, index_at = tuple(given["chunk_shape"]), given.get("index_location", "end")
    indexed = [codec["name"] for codec in given["index_codecs"]] == _INDEX_CODECS
    whole = all(n >= size for n, size in zip(inner[1:], shape[1:], strict=True)) and inner[1:] == outer[1:]
    if inner[0] != 1 or not whole or index_at != "end" or not indexed:
        raise StoreError(
            f"{name} has inner chunks of {inner} in shards of {outer}, index at the {index_at}; expected one sample in "
            "each inner chunk and an index with crc32c at the end. Run the command that makes the store again."
        )
    encoding = metadata["chunk_key_encoding"]
    separator = encoding.get("configuration", {}).get("separator", "/")
    return Form(shape, dtype, outer[0], tuple(given["codecs"]), separator)


def _crc32c(address: int, length: int) -> int:
    """Checksum of memory."""
    if _EXTEND is None:
        return int(google_crc32c.value(ctypes.string_at(address, length)))
    return int(_EXTEND(0, address, length))


def _expand(body: Array, target: Array) -> None:
    """Undo Blosc's compression."""
    from numcodecs import blosc

    expanded = int(body[4:8].view("<u4")[0]) if len(body) >= 16 else -1  # from Blosc's header
    if expanded != target.nbytes:
        raise ValueError(f"is damaged: it expands to {expanded} bytes, expected {target.nbytes}")
    blosc.decompress(body, target)


def _by_zarr(form: Form, raw: Array) -> Array:
    """One sample from an inner chunk of any codecs, by Zarr's own means."""
    import json

    import zarr
    from zarr.core.buffer import default_buffer_prototype
    from zarr.storage import MemoryStore

    shape = [1, *form.shape[1:]]
    metadata = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": form.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": list(form.codecs),
    }
    make = default_buffer_prototype().buffer.from_bytes
    chunk = "/".join(["c", *["0"] * len(shape)])
    found: Any = zarr.open_array(
        MemoryStore({"zarr.json": make(json.dumps(metadata).encode()), chunk: make(raw.tobytes())}), mode="r"
    )
    return np.asarray(found[0])
