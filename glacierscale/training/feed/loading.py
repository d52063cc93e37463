"""Batches in the order of an epoch, for a trainer: ahead of it, from any number of processes, from any place on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar, final

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Sampler

from glacierscale.models.networks import Weather
from glacierscale.store.samples import Samples
from glacierscale.training.feed.batches import Batch, Batches, Position
from glacierscale.training.feed.order import Order

Ints = npt.NDArray[np.integer]
T = TypeVar("T")


class _Positions(Sampler[Position]):
    """Batches of an epoch that are still to come."""

    def __init__(self, batches: int) -> None:
        self.batches, self.epoch, self.done = batches, 0, 0

    def __iter__(self) -> Iterator[Position]:
        return iter([(self.epoch, number) for number in range(self.done, self.batches)])

    def __len__(self) -> int:
        return self.batches


@final
class Loader(DataLoader[Batch]):
    """Every batch of an epoch, then of the next: the same ones however many workers make them.

    It continues where it was left, also after a `break`; `state_dict` and `load_state_dict` carry the place to another
    process, where Lightning's checkpoints keep them. Trainers need ``use_distributed_sampler=False``: the order knows
    the ranks.

    Parameters
    ----------
    batches : Batches
    workers : int
        Processes that make batches beside the main one. Threads read already, and with shards every worker fetches
        its own: 0 is best unless something else is slow.
    ahead : int
        Batches made ahead by a thread where there are no workers.
    pin_memory : bool
        Pin the memory of batches, where CUDA is there.
    start : (epoch, batch)
        Where to begin.
    """

    def __init__(
        self,
        batches: Batches,
        *,
        workers: int = 0,
        ahead: int = 2,
        pin_memory: bool = True,
        start: Position = (0, 0),
        context: Literal["fork", "spawn", "forkserver"] | None = None,
    ) -> None:
        self.positions, self.ahead = _Positions(len(batches)), ahead
        local = all(each.is_local for each in batches.samples)
        super().__init__(
            batches,
            batch_size=None,
            sampler=self.positions,
            num_workers=workers,
            pin_memory=pin_memory and torch.cuda.is_available(),
            multiprocessing_context=(context or ("fork" if local else "spawn")) if workers else None,
        )
        self.load_state_dict({"epoch": start[0], "batch": start[1]})

    def state_dict(self) -> dict[str, int]:
        """How far it is."""
        return {"epoch": self.positions.epoch, "batch": self.positions.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from there."""
        self.positions.epoch, self.positions.done = state["epoch"], state["batch"]

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        made: Iterator[Batch] = super().__iter__()
        if not self.num_workers and self.ahead:
            made = ahead(made, self.ahead)
        for batch in made:
            self.positions.done += 1
            if self.positions.done == self.positions.batches:
                self.positions.epoch, self.positions.done = self.positions.epoch + 1, 0
            yield batch


def ahead(items: Iterator[T], count: int) -> Iterator[T]:
    """The same items, some of them made ahead by a thread."""
    end: Any = object()
    pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    waiting = deque(pool.submit(next, items, end) for _ in range(count))
    try:
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, items, end))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)


def feed(
    samples: Sequence[Samples],
    *,
    batch: int = 64,
    seed: int = 0,
    rank: int = 0,
    ranks: int = 1,
    rows: Ints | None = None,
    weather: Weather | None = None,
    elevation_channel: int | None = None,
    in_shards: bool | None = None,
    **given: Any,
) -> Loader:
    """Shuffled batches of some variables of a store.

    Parameters
    ----------
    samples, rows, weather, elevation_channel
        As in `Batches`; None takes all rows.
    batch, seed, rank, ranks
        As in `Order`.
    in_shards : bool
        Fetch whole shards, and shuffle within a few at a time, rather than read every sample where it lies. None does
        so where the store is no folder.
    **given
        As in `Loader`.
    """
    rows = np.arange(len(samples[0])) if rows is None else rows
    years = 1 if weather is None else weather.temp.shape[1]
    shards: tuple[int, ...] = ()
    if in_shards or (in_shards is None and not samples[0].is_local):
        shards = tuple((years * np.unique(rows // samples[0].form.rows_per_shard, return_index=True)[1]).tolist())
    order = Order(count=len(rows) * years, batch=batch, seed=seed, rank=rank, ranks=ranks, shards=shards)
    batches = Batches(samples, order, rows=rows, weather=weather, elevation_channel=elevation_channel)
    return Loader(batches, **given)
