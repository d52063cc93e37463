"""Samples of one stored variable, read at random or a shard at a time: one glacier, one inner chunk, one read.

Inner chunks go straight from the file into the batch they belong to, several at a time. What Zarr's own reader knows
and this one does not (other codecs, arrays without shards) goes through Zarr.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, final

import numpy as np
import numpy.typing as npt

from glacierscale.store.blocks import NoStoreError, StoreError
from glacierscale.store.encoded import EntryError, File, Form, Held, Shard, form_of

if TYPE_CHECKING:
    import zarr
    from obstore import GetOptions
    from typing_extensions import Buffer

    from glacierscale.store.objects import Objects

Ints = npt.NDArray[np.integer]
Array = npt.NDArray[Any]
T = TypeVar("T")

OPEN_SHARDS = 128
"""Shards held open at a time, far fewer than the files that a process may open."""


@final
class Samples:
    """Entries of one variable along its first dimension.

    It can be pickled and used after a fork: files, connections and threads are opened anew in every process. (obstore,
    which reads object stores, refuses to work in a fork of a process that used it: spawn there.)

    Parameters
    ----------
    url : str or Path
        Folder or URL of the store.
    variable : str
        Its name.
    threads : int or None
        Samples read at the same time. None takes 1 for plain bytes in a folder, which the system mostly has in memory
        (handing Python's lock to and fro costs more than half of such a copy), and otherwise 2. Give more for disks
        that answer late.
    verify : bool
        Check the CRC-32C of every sample; that of a shard's index is always checked.

    Raises
    ------
    StoreError
        If there is no such variable, or an inner chunk holds several samples. Reading raises it for a shard or sample
        that is missing, truncated or damaged, with the store, the variable and the row.
    """

    def __init__(self, url: str | Path, variable: str, *, threads: int | None = None, verify: bool = True) -> None:
        self.url, self.variable, self.verify = str(url), variable, verify
        self._live: _Live | None = None
        self.form: Form = form_of(self._metadata(), f"{url}: {variable}")
        if self.url.startswith("icechunk"):  # where its shards lie only Icechunk knows
            self.form = replace(self.form, codecs=())
        self.threads = threads or (1 if self.is_local and self.form.names == ("bytes",) else 2)

    @property
    def is_local(self) -> bool:
        """Whether it lies in a folder, where random access costs no more than reading in order."""
        return "://" not in self.url

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all samples together: (row, ...)."""
        return self.form.shape

    def __len__(self) -> int:
        return self.form.shape[0]

    def shards(self) -> list[range]:
        """Rows of every shard, in order."""
        step = self.form.rows_per_shard
        return [range(start, min(start + step, len(self))) for start in range(0, len(self), step)]

    def gather(self, rows: Ints | Sequence[int], out: Array | None = None) -> Array:
        """Read some rows, in any order, more than once where wanted.

        Parameters
        ----------
        rows : (sample,)
            Numbers of rows.
        out : (sample, ...)
            Where to, each sample contiguous; None makes a new array.

        Returns
        -------
        (sample, ...)
            `out`.

        Raises
        ------
        StoreError
            If a sample is missing, truncated or damaged.
        IndexError
            If there is no such row.
        """
        wanted, out = self._checked(rows, out)
        order = np.argsort(wanted, kind="stable")  # as they lie in the shards
        if not self.form.sharded:
            self._gather_by_zarr(wanted, out)
        elif self.is_local:
            parts = np.array_split(order, self.threads)
            self._side_by_side(lambda part: self._read(self._opened().shard, part, wanted, out), parts)
        else:
            parts = np.split(order, np.flatnonzero(np.diff(wanted[order] // self.form.rows_per_shard)) + 1)
            self._side_by_side(lambda part: self._gather_ranges(part, wanted, out), parts)
        return out

    def fetch(self, number: int) -> Shard:
        """Bring one shard into memory whole, as it is stored; `take` makes samples of it."""
        first = number * self.form.rows_per_shard
        if not self.form.sharded:
            raise StoreError(f"{self.url}: {self.variable} is stored without shards; gather its rows instead.")
        try:
            data = self._get(self.form.key(number))
            return self.form.shard(Held({0: data}, len(data)))
        except (OSError, ValueError, StoreError) as error:
            raise self._fault(first, error) from error

    def take(self, shards: Mapping[int, Shard], rows: Ints | Sequence[int], out: Array | None = None) -> Array:
        """Samples of shards in memory, by number, as `gather` would read them."""
        wanted, out = self._checked(rows, out)
        parts = np.array_split(np.arange(len(wanted)), self.threads)
        self._side_by_side(lambda part: self._read(shards.__getitem__, part, wanted, out), parts)
        return out

    # Reading

    def _read(self, shard_of: Callable[[int], Shard], part: Ints, wanted: Ints, out: Array) -> None:
        """Read some samples one after the other."""
        step = self.form.rows_per_shard
        numbers, entries = np.divmod(wanted[part], step)
        for number in np.unique(numbers).tolist():
            mine = numbers == number
            try:
                shard_of(number).read(entries[mine], part[mine], out, verify=self.verify)
            except (OSError, ValueError) as error:
                raise self._fault(number * step + int(entries[mine][0]), error) from error

    def _gather_ranges(self, part: Ints, wanted: Ints, out: Array) -> None:
        """Read samples of one shard of an object store by ranges, near ones together."""
        number = int(wanted[part[0]]) // self.form.rows_per_shard
        try:
            shard = self._opened().shard(number)
            starts, lengths = shard.spans(np.unique(wanted[part]) % self.form.rows_per_shard)
            ends = [start + length for start, length in zip(starts, lengths, strict=True)]
            got = self._opened().ranges(self.form.key(number), starts, ends)
        except (OSError, ValueError, StoreError) as error:
            raise self._fault(int(wanted[part[0]]), error) from error
        held = Shard(self.form, shard.index, Held(dict(zip(starts, got, strict=True)), shard.source.size))
        self._read(lambda _: held, part, wanted, out)

    def _gather_by_zarr(self, wanted: Ints, out: Array) -> None:
        """Read rows of an array without shards, every chunk once."""
        array, step = self._opened().array, self.form.rows_per_shard
        for number in np.unique(wanted // step).tolist():
            mine = np.flatnonzero(wanted // step == number)
            try:
                chunk = np.asarray(array[number * step : (number + 1) * step])
            except (OSError, ValueError, RuntimeError) as error:
                raise self._fault(int(wanted[mine[0]]), error) from error
            out[mine] = chunk[wanted[mine] - number * step]

    def _side_by_side(self, work: Callable[[Ints], None], parts: Sequence[Ints]) -> None:
        parts = [part for part in parts if len(part)]
        if len(parts) < 2 or self.threads < 2:
            for part in parts:
                work(part)
            return
        for done in [self._opened().pool.submit(work, part) for part in parts]:
            done.result()

    def _checked(self, rows: Ints | Sequence[int], out: Array | None) -> tuple[Ints, Array]:
        wanted = np.asarray(rows, np.int64)
        shape = (len(wanted), *self.shape[1:])
        out = np.empty(shape, self.form.dtype) if out is None else out
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} of {self.variable}, expected 0 to {len(self) - 1}")
        if out.shape != shape or out.dtype != self.form.dtype or not out[:1].flags.c_contiguous:
            raise ValueError(
                f"the buffer is {out.shape} {out.dtype}; expected {shape} {self.form.dtype}, each sample contiguous."
            )
        return wanted, out

    def _fault(self, row: int, error: Exception) -> StoreError:
        if isinstance(error, EntryError):
            row += error.entry - row % self.form.rows_per_shard
        absent = isinstance(error, FileNotFoundError)
        what = "is missing with its shard" if absent else str(error).rstrip(".")
        return StoreError(
            f"{self.url}: {self.variable} of row {row} {what}; `glacierscale verify STORE --repair` computes it again."
        )

    # What belongs to one process

    def _metadata(self) -> dict[str, Any]:
        try:
            found = self._opened().objects.get(f"{self.variable}/zarr.json")
            if found is None:
                raise FileNotFoundError(self.variable)
        except FileNotFoundError as error:
            raise NoStoreError(f"{self.url} holds no variable {self.variable}.") from error
        metadata: dict[str, Any] = json.loads(found)
        return metadata

    def _get(self, key: str) -> memoryview:
        """Content of one object of the variable."""
        if self.is_local:
            return memoryview((Path(self.url) / self.variable / key).read_bytes())
        return memoryview(self._opened().whole(key))

    def _opened(self) -> _Live:
        live = self._live
        if live is None or live.process != os.getpid():
            live = self._live = _Live(self)
        return live

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_live": None}


class _Live:
    """Files, connections and threads of one process."""

    def __init__(self, samples: Samples) -> None:
        self.process, self.samples = os.getpid(), samples
        self.shard = lru_cache(OPEN_SHARDS)(self._shard)

    @cached_property
    def pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.samples.threads, thread_name_prefix="samples")

    @cached_property
    def objects(self) -> Objects:
        from glacierscale.store import transactions

        return transactions.objects_at(self.samples.url)

    @cached_property
    def array(self) -> zarr.Array[Any]:
        import zarr

        from glacierscale.store.objects import Strict

        found = zarr.open_array(
            Strict(self.objects.zarr(read_only=True), self.objects), path=self.samples.variable, mode="r"
        )
        assert isinstance(found, zarr.Array)
        return found

    def whole(self, key: str) -> Buffer:
        """One object."""
        import obstore

        return self._asked(key, lambda name: obstore.get(self.objects.handle, name).bytes())

    def ranges(self, key: str, starts: list[int], ends: list[int]) -> Sequence[Buffer]:
        """Parts of one object, near ones in one request."""
        import obstore

        return self._asked(key, lambda name: obstore.get_ranges(self.objects.handle, name, starts=starts, ends=ends))

    def _shard(self, number: int) -> Shard:
        """Index of one shard, and where its bytes are."""
        form, key = self.samples.form, self.samples.form.key(number)
        if self.samples.is_local:
            return form.shard(File(Path(self.samples.url) / self.samples.variable / key))
        import obstore

        last: GetOptions = {"range": {"suffix": form.index_bytes}}
        found = self._asked(key, lambda name: obstore.get(self.objects.handle, name, options=last))
        size, tail = found.meta["size"], found.bytes()
        return form.shard(Held({size - form.index_bytes: tail}, size))

    def _asked(self, key: str, request: Callable[[str], T]) -> T:
        """Run a request with the retries of `Objects`."""
        name = f"{self.samples.variable}/{key}"
        found: T | None = self.objects.ask(lambda: request(name), name, "read", absent=None)
        if found is None:
            raise FileNotFoundError(name)
        return found
