"""Shards: a block of a raster as one object of the Zarr v3 form, each glacier a chunk of it that is read alone.

The form is that of the codec ``sharding_indexed``: the chunks one after another, then an index of their offsets and
lengths, then the CRC-32C of the index; every chunk ends with its own. Shards are built here, because that is several
times faster than through zarr-python, and read by any reader of Zarr v3.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import google_crc32c
import numcodecs.blosc
import numpy as np
import numpy.typing as npt
from zarr.abc.store import ByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.codecs import BloscCodec
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from glacierscale.store import faults
from glacierscale.store.blocks import StoreError
from glacierscale.store.objects import Objects

Codec = Literal["none", "lz4"]
"""How the chunks of a shard are packed: not at all (local disks), or with blosc lz4 after bit-shuffling (networks)."""

_PACKED: dict[tuple[str, ...], Codec] = {("bytes", "crc32c"): "none", ("bytes", "blosc", "crc32c"): "lz4"}
_ABSENT = 2**64 - 1
_BYTES_OF_CRC = 4
_MANTISSA = 23
_NAN = np.uint32(0x7FC00000)

# With several threads blosc puts the parts of a chunk in the order in which they are ready: the same values would not
# always be the same bytes.
numcodecs.blosc.use_threads = False


def write(
    place: Objects,
    key: str,
    values: npt.NDArray[np.float32],
    *,
    slots: int,
    codec: Codec,
    mantissa_bits: int = _MANTISSA,
) -> list[int]:
    """Write a block of a raster as one object, whole or not at all.

    Parameters
    ----------
    place : Objects
        Where to.
    key : str
        Name of the object.
    values : (entry, ...) float32
        One chunk for each entry.
    slots : int
        Chunks that a shard has room for; those past the last entry, at the end of the array, are marked as absent.
    codec : str
        How chunks are packed.
    mantissa_bits : int
        Bits to which values are rounded.

    Returns
    -------
    list of int
        Length and CRC-32C of the object, and CRC-32C of the values in it, which is the same whatever the codec.

    Raises
    ------
    StoreError
        If the place cannot be written.
    """
    if not place.local:
        data = bytearray()
        seal = _stream(values, data.extend, slots, codec, mantissa_bits)
        place.put(key, memoryview(data))
        return seal
    path = Path(place.url).absolute() / key
    # obstore takes a name that ends so for an unfinished file and never lists it.
    fresh = path.with_name(f"{path.name}#{os.getpid()}{threading.get_native_id()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("wb") as file:  # half the time of putting a whole object, which is one more copy
            seal = _stream(values, file.write, slots, codec, mantissa_bits)
        fresh.replace(path)
    except OSError as error:
        failed = faults.named(error, str(path), "written", None)
    else:
        return seal
    with contextlib.suppress(OSError):
        fresh.unlink(missing_ok=True)
    raise failed


def _stream(
    values: npt.NDArray[np.float32], sink: Callable[[Any], Any], slots: int, codec: Codec, mantissa_bits: int
) -> list[int]:
    """Hand a shard over piece by piece; return its length, its CRC-32C and that of its values."""
    index = np.full((slots, 2), _ABSENT, "<u8")
    scratch = np.empty(values.shape[1:], "<f4")
    at = whole = content = 0
    for number, entry in enumerate(values):
        plain = _flat(_rounded(entry, scratch, mantissa_bits))
        content = google_crc32c.extend(content, plain)
        packed = plain if codec == "none" else np.frombuffer(_lz4(plain), np.uint8)
        index[number] = at, len(packed) + _BYTES_OF_CRC
        at += len(packed) + _BYTES_OF_CRC
        whole = _hand_over(packed, sink, whole)
    whole = _hand_over(_flat(index), sink, whole)
    return [at + index.nbytes + _BYTES_OF_CRC, whole, content]


def _hand_over(part: npt.NDArray[np.uint8], sink: Callable[[Any], Any], whole: int) -> int:
    """Pass bytes and their CRC-32C on; return that of all so far."""
    crc = struct.pack("<I", google_crc32c.value(part))
    sink(part.data)
    sink(crc)
    return int(google_crc32c.extend(google_crc32c.extend(whole, part), crc))


def compressors(codec: Codec) -> list[BloscCodec]:
    """What packs the chunks of a shard, in the words of zarr-python."""
    if codec == "none":
        return []
    return [BloscCodec(typesize=4, cname="lz4", clevel=5, shuffle="bitshuffle", blocksize=0)]


def form_of(metadata: Mapping[str, Any]) -> tuple[int, Codec] | None:
    """Chunks of a shard of an array and how they are packed, from the array's metadata; None where it has no shards."""
    outer = metadata["codecs"][0]
    if outer["name"] != "sharding_indexed":
        return None
    inner = tuple(codec["name"] for codec in outer["configuration"]["codecs"])
    if inner not in _PACKED:
        raise StoreError(f"chunks of a shard are packed by {inner}; expected one of {list(_PACKED)}.")
    return int(metadata["chunk_grid"]["configuration"]["chunk_shape"][0]), _PACKED[inner]


class Whole(WrapperStore[Store]):
    """Refuses to pass a chunk that a shard lacks off as fill values."""

    def __init__(self, store: Store, arrays: Mapping[str, tuple[int, int]]) -> None:
        super().__init__(store)
        self.arrays = arrays
        """Entries and chunks per shard of every array that has shards, by name."""

    def _with_store(self, store: Store) -> Whole:
        return Whole(store, self.arrays)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Read an object; a shard whose index lacks a chunk raises `StoreError`."""
        found = await self._store.get(key, prototype, byte_range)
        name, _, place = key.partition("/c/")
        holds_index = not isinstance(byte_range, RangeByteRequest)
        if found is not None and name in self.arrays and holds_index:
            self._check(key, found, byte_range, *self.arrays[name], number=int(place.split("/")[0]))
        return found

    def _check(
        self, key: str, found: Buffer, byte_range: ByteRequest | None, entries: int, slots: int, *, number: int
    ) -> None:
        length = slots * 16 + _BYTES_OF_CRC
        if len(found) < length or (isinstance(byte_range, SuffixByteRequest) and byte_range.suffix != length):
            raise StoreError(f"shard {key} is too short to be one; `glacierscale verify STORE --repair` mends it.")
        raw = found[len(found) - length : len(found) - _BYTES_OF_CRC].to_bytes()
        expected = min(slots, entries - number * slots)
        absent = np.flatnonzero((np.frombuffer(raw, "<u8").reshape(slots, 2)[:expected] == _ABSENT).any(axis=1))
        if len(absent):
            raise StoreError(
                f"shard {key} lacks {len(absent)} of {expected} chunks, the first is {absent[0]}; "
                "`glacierscale verify STORE --repair` computes it again."
            )


def _rounded(
    entry: npt.NDArray[np.float32], scratch: npt.NDArray[np.float32], mantissa_bits: int
) -> npt.NDArray[np.float32]:
    """Values to the nearest float32 with so many bits of mantissa, ties to the even one; NaN to the one quiet NaN."""
    if mantissa_bits == _MANTISSA:
        return np.ascontiguousarray(entry, "<f4")
    shift = np.uint32(_MANTISSA - mantissa_bits)
    half = np.uint32((1 << (_MANTISSA - mantissa_bits - 1)) - 1)
    bits = np.ascontiguousarray(entry).view(np.uint32)
    out = scratch.view(np.uint32)
    np.right_shift(bits, shift, out=out)
    out &= np.uint32(1)
    out += half
    out += bits
    out &= np.uint32(0xFFFFFFFF) << shift
    np.copyto(out, _NAN, where=np.isnan(entry))  # a carry would turn some into numbers
    return scratch


def _flat(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return values.reshape(-1).view(np.uint8)


def _lz4(plain: npt.NDArray[np.uint8]) -> bytes:
    packed: bytes = numcodecs.blosc.compress(
        plain.view("<f4"), b"lz4", clevel=5, shuffle=numcodecs.blosc.BITSHUFFLE, typesize=4
    )
    return packed
