"""Which items every rank sees in an epoch, and in which order: a function of the seed, the epoch and the rank alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Order:
    """Shuffled items in batches; over all ranks every item comes once in an epoch, or twice where ranks need it.

    Without `shards` the shuffle is exact: every order of all items is as likely as any other. With them shards come
    in random order, each rank has its own (two ranks share the one on their border), and items move within the next
    few shards, so that a shard is fetched once and only a few are held at a time.
    """

    count: int
    """Items"""
    batch: int = 64
    """Items in a batch; the last of an epoch has fewer"""
    seed: int = 0
    rank: int = 0
    ranks: int = 1
    shards: tuple[int, ...] = ()
    """First item of every shard, ascending from 0; empty for an exact shuffle"""
    buffer_shards: int = 4
    """Shards over which items are mixed"""

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.ranks:
            raise ValueError(f"rank {self.rank} of {self.ranks} ranks; expected 0 to {self.ranks - 1}.")
        if min(self.count, self.batch, self.buffer_shards) < 1 or len(self) == 0:
            raise ValueError(
                f"{self.count} items for {self.ranks} ranks in batches of {self.batch}, mixed over "
                f"{self.buffer_shards} shards; expected at least one of each for every rank."
            )
        if self.shards and (self.shards[0] != 0 or not (np.diff((*self.shards, self.count)) > 0).all()):
            raise ValueError(
                f"shards begin at {self.shards[:4]}...; expected ascending numbers from 0 to {self.count}."
            )

    @property
    def items_per_rank(self) -> int:
        """Items that each rank sees in an epoch: the same for all."""
        return -(-self.count // self.ranks)

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-self.items_per_rank // self.batch)

    def items(self, epoch: int) -> Ints:
        """Items of this rank in order: (item,)."""
        rng = np.random.default_rng([self.seed, epoch])
        each = self.items_per_rank
        if not self.shards:
            return np.resize(rng.permutation(self.count), each * self.ranks)[self.rank :: self.ranks]
        ends = (*self.shards[1:], self.count)
        runs = [np.arange(self.shards[n], ends[n]) for n in rng.permutation(len(self.shards))]
        mine = np.resize(np.concatenate(runs), each * self.ranks)[self.rank * each : (self.rank + 1) * each]
        span = self.buffer_shards * self.count / len(self.shards)
        # Seeds are padded with zeros: that of rank 0 would be the epoch's own.
        late = np.random.default_rng([self.seed, epoch, 1 + self.rank]).uniform(0, span, each)
        return mine[np.argsort(np.arange(each) + late, kind="stable")]

    def batch_of(self, items: Ints, number: int) -> Ints:
        """One batch of the items of an epoch: (item,)."""
        return items[number * self.batch : (number + 1) * self.batch]
