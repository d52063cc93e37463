"""What a feed keeps in memory: shards that items of an epoch still need, and the memory of batches."""

from __future__ import annotations

import math
import os
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from glacierscale.store.encoded import Shard
from glacierscale.store.samples import Samples

Ints = npt.NDArray[np.integer]

SHARDS_AHEAD = 2
"""Shards on their way from an object store while others are worked on"""

_PAGE, _INTO_PAGE = 4096, 512


class Plan:
    """Items of one epoch, and the shards that are in memory for them."""

    def __init__(self, epoch: int, items: Ints, shard: Ints, batch: int) -> None:
        self.epoch, self.items, self.process = epoch, items, os.getpid()
        self.shards, first = np.unique(shard, return_index=True)
        last = len(shard) - 1 - np.unique(shard[::-1], return_index=True)[1]
        self.first, self.last = first // batch, last // batch  # batch of the first and of the last use
        self.held: dict[str, dict[int, Future[Shard]]] = {}
        self.most = 0
        """Most shards of one variable that were in memory, or on their way, at a time"""
        self.pool = ThreadPoolExecutor(SHARDS_AHEAD, thread_name_prefix="shards")

    def gather(self, samples: Samples, number: int, rows: Ints, out: npt.NDArray[Any]) -> None:
        """Read a batch from the shards in memory; let go of those past use, ask for the next."""
        needed = np.unique(rows // samples.form.rows_per_shard)
        current = self.shards[(self.first <= number) & (number <= self.last)]
        to_come = np.flatnonzero(self.first > number)
        later = self.shards[to_come[np.argsort(self.first[to_come], kind="stable")][:SHARDS_AHEAD]]
        held = self.held.setdefault(samples.variable, {})
        wanted = [*needed.tolist(), *current.tolist(), *later.tolist()]  # what this batch waits for first
        for shard in wanted:
            if shard not in held:
                held[shard] = self.pool.submit(samples.fetch, shard)
        for shard in set(held) - set(wanted):
            del held[shard]
        self.most = max(self.most, len(held))
        samples.take({shard: held[shard].result() for shard in needed.tolist()}, rows, out)


class Buffers:
    """Memory of batches, used again once nobody holds the tensors made of it: fresh pages cost as much as reading."""

    def __init__(self) -> None:
        self.free: list[npt.NDArray[Any]] = []

    def lend(self, shape: tuple[int, ...], dtype: np.dtype[Any], count: int) -> torch.Tensor:
        """A tensor of any content: the first `count` entries of so many."""
        memory = self.free.pop() if self.free else aligned(shape, dtype)
        lent = memory[:count]
        # The tensor's storage holds this very array, whose end is that of all tensors, slices and arrays made of it.
        weakref.finalize(lent, self.free.append, memory).atexit = False
        return torch.from_numpy(lent)


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Memory that begins 512 bytes into a page.

    Samples lie at the start of a page in files. A copy to a place a few bytes into one, where large arrays begin by
    default, is two to three times as slow: loads then seem to depend on the stores just before them.
    """
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + 2 * _PAGE, np.uint8)
    first = -raw.ctypes.data % _PAGE + _INTO_PAGE
    return raw[first : first + size].view(dtype).reshape(shape)
