"""Values of all glaciers, read block by block by several threads, reduced as they come and kept as far as they fit."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from glacierscale.exploration.opening import Source

Floats = npt.NDArray[np.floating]
Progress = Callable[[float], None]
"""Takes the share that is done, 0 to 1."""

Reduction = Callable[[slice, dict[str, Floats]], Floats]
"""Takes a run of glaciers of a store and the values of it by name."""

_AT_ONCE = 16
"""Blocks in work: what one waits for lies far away."""
MOST_BYTES = 512 << 20
"""What is kept of all tables."""


class Cache:
    """Arrays by key, those that were not asked for longest go first; safe among threads."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes, self._held = most_bytes, 0
        self._kept: OrderedDict[Hashable, npt.NDArray[Any]] = OrderedDict()
        self._changed = threading.Condition()
        self._making: set[Hashable] = set()

    @property
    def bytes(self) -> int:
        """Bytes that are held."""
        return self._held

    def made(self, key: Hashable, make: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """What is kept under a key, or is made now; nobody makes the same at the same time."""
        with self._changed:
            self._changed.wait_for(lambda: key not in self._making)
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            self._making.add(key)
        try:
            array = make()
            with self._changed:
                self._keep(key, array)
            return array
        finally:
            with self._changed:
                self._making.remove(key)
                self._changed.notify_all()

    def _keep(self, key: Hashable, array: npt.NDArray[Any]) -> None:
        self._kept[key] = array
        self._held += array.nbytes
        while self._held > self.most_bytes and len(self._kept) > 1:
            self._held -= self._kept.popitem(last=False)[1].nbytes


def part_of(progress: Progress | None, number: int, count: int) -> Progress | None:
    """Progress of one of several readings as a share of all."""
    return None if progress is None else lambda share: progress((number + share) / count)


def mean_of(values: Floats, axis: int = 0) -> Floats:
    """Mean of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis)
    total = np.where(known, values, 0.0).sum(axis)
    mean: Floats = np.divide(total, count, out=np.full(np.shape(count), np.nan), where=count > 0)
    return mean


def share(part: Floats, whole: Floats, scale: float) -> Floats:
    """A ratio times a number; NaN where the whole is nothing."""
    nothing = np.full(np.broadcast(part, whole).shape, np.nan)
    found: Floats = np.divide(part * scale, whole, out=nothing, where=whole > 0, dtype=float)
    return found


def percentiles(values: Floats, of: tuple[float, float]) -> Floats:
    """Percentiles along the first axis of what is known, (2, ...); NaN where nothing is."""
    found = np.full((len(of), *values.shape[1:]), np.nan)
    some = np.isfinite(values).any(axis=0)
    if some.any():
        found[:, some] = np.nanpercentile(values[:, some], of, axis=0)
    return found


def blocks_of(source: Source, variable: str, rows: npt.NDArray[np.integer] | None = None) -> list[slice]:
    """Runs of glaciers of a store that are read together and hold some of the atlas, or of its rows."""
    data = source.data[variable]
    axis = data.dims.index("glacier")
    chunk = (data.encoding.get("preferred_chunks") or {}).get("glacier") or data.encoding["chunks"][axis]
    wanted = source.position if rows is None else source.position[rows]
    numbers = np.unique(wanted[wanted >= 0] // chunk)
    size = data.shape[axis]
    return [slice(int(n) * chunk, min(int(n + 1) * chunk, size)) for n in numbers]


def each_block(
    source: Source,
    variables: tuple[str, ...],
    reduce: Reduction,
    *,
    blocks: list[slice],
    progress: Progress | None = None,
) -> Iterator[tuple[slice, Floats]]:
    """Read variables block by block and reduce each block, several at once; blocks come in their order.

    Parameters
    ----------
    source : Source
        The store.
    variables : tuple of str
        Read together.
    reduce : callable
        Takes a run of glaciers and the values by name; only what it returns is held.
    blocks : list of slice
        Which.
    progress : callable
        Told the share that is done, in the calling thread.
    """

    def work(block: slice) -> tuple[slice, Floats]:
        values = {name: source.data[name].isel(glacier=block).values for name in variables}
        return block, reduce(block, values)

    left = iter(blocks)
    # Not all at once: who asks next would wait for all, and what is done early would be held.
    waiting = deque(_pool().submit(work, block) for block in islice(left, _AT_ONCE))
    try:
        for count in range(1, len(blocks) + 1):
            done = waiting.popleft().result()
            waiting.extend(_pool().submit(work, block) for block in islice(left, 1))
            yield done
            if progress is not None:
                progress(count / len(blocks))
    finally:
        for future in waiting:
            future.cancel()


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads that read for everybody who looks, so that many do not take more memory than one."""
    return ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="glacierscale_explore")


def table_of(source: Source, parts: Iterator[tuple[slice, Floats]], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Reduced blocks (glacier of the store, ...) as rows of the atlas, NaN where a glacier is not in the store."""
    found = np.full((len(source.position), *shape), np.nan, np.float32)
    rows = np.argsort(source.position, kind="stable")
    position = source.position[rows]
    for block, values in parts:
        own = slice(*np.searchsorted(position, [block.start, block.stop]))
        found[rows[own]] = values[position[own] - block.start]
    return found
