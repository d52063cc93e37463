"""Run a job over blocks: on threads of this process by default, or on Dask or Ray, as the options in use say.

In every process at most a few blocks are in memory: one computes on each core while the next loads and the last one
writes. A block is tried twice; one that fails again is set aside, and all others are done before its error is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from glacierscale.compute import heap as heap  # first, before any thread starts
from glacierscale.compute.cluster import Cluster, current, kept, use
from glacierscale.compute.driving import Pool, Terminated, WorkerDiedError, drive
from glacierscale.compute.gates import Job
from glacierscale.compute.on_dask import Dask, client
from glacierscale.compute.on_ray import Ray, ray_session
from glacierscale.compute.showing import counted, progress
from glacierscale.compute.threads import Threads, cores

__all__ = [
    "Cluster",
    "Job",
    "Terminated",
    "WorkerDiedError",
    "cores",
    "current",
    "map_items",
    "progress",
    "ray_session",
    "run",
    "use",
]

S = TypeVar("S")
T = TypeVar("T")


def run(
    job: Job, blocks: Sequence[Any], *, label: str, bytes_each: int, check: Callable[[], None] = lambda: None
) -> None:
    """Do a job for every block, where `current` says, and show progress.

    Parameters
    ----------
    job : Job
        Its steps are sent to worker processes once, so they may hold options, lazy datasets and small arrays.
    blocks : sequence
        What is left to do.
    label : str
        What the progress display says.
    bytes_each : int
        Peak memory of one block in work, about; 0 where it does not matter.
    check : callable
        Called about twice a second in this process; where it raises, blocks in work are abandoned.

    Raises
    ------
    ValueError
        If a block does not fit into the memory of a worker; nothing was run then.
    Exception
        The first error of any block in its own type, once all others are done, with notes that name the blocks set
        aside; `TimeoutError` for one that took too long, `WorkerDiedError` for one whose worker died.
    """
    if blocks:
        _driven(job, blocks, label, bytes_each, check)


def map_items(
    function: Callable[[T], S], items: Sequence[T], *, label: str, told: Callable[[int], str] = lambda _: ""
) -> list[S]:
    """Apply a function to every item, as `run` does with blocks; its results are small.

    Parameters
    ----------
    function : callable
    items : sequence
    label : str
        What the progress display says.
    told : callable
        What else it says when so many are done.

    Returns
    -------
    list
        Results in the order of items.
    """
    return _driven(Job(_nothing, _Applied(function), _passed), items, label, 0, told=told) if items else []


def _driven(
    job: Job,
    blocks: Sequence[Any],
    label: str,
    bytes_each: int,
    check: Callable[[], None] = lambda: None,
    told: Callable[[int], str] = lambda _: "",
) -> list[Any]:
    with _pool(job, bytes_each) as pool, counted(label, len(blocks), told) as advance:
        return drive(pool, blocks, current().block_timeout_s, advance, check)


@contextmanager
def _pool(job: Job, bytes_each: int) -> Iterator[Pool]:
    """Workers as the options in use say."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    cluster = current()
    most: dict[str, Any] = {"bytes_each": bytes_each, "timeout_s": cluster.block_timeout_s, "workers": cluster.workers}
    if cluster.dask:
        with kept("dask", lambda: client(cluster.dask)) as connected:
            yield Dask(connected, job, **most)
    elif cluster.ray:
        with ray_session():
            yield Ray(cluster, job, bytes_each=bytes_each)
    else:
        with threadpool_limits(1):  # as in workers of Dask and Ray: cores are for blocks
            yield Threads(job, **most)


class _Applied:
    """A function of an item as a step."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def __call__(self, item: Any, _: Any) -> Any:
        return self._function(item)


def _nothing(_: Any) -> None:
    """Load nothing."""


def _passed(_: Any, value: Any) -> Any:
    """Write nothing; the value is the result."""
    return value
