"""Run a function over blocks with Dask: on threads of this process by default, or on a cluster by its address."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
_M_ARENA_MAX = -8  # of glibc's malloc.h
SCHEDULER_VARIABLE = "GLACIERSCALE_DASK"
"""Environment variable with the address of a Dask scheduler; empty means threads of this process."""


def map_blocks(function: Callable[[T], Any], blocks: Sequence[T], *, label: str, workers: int | None = None) -> None:
    """Apply a function to every block, in parallel, and show progress.

    Parameters
    ----------
    function : callable
        Takes a block, writes its result itself and returns nothing of size.
    blocks : sequence
        What is left to do.
    label : str
        What the progress bar says.
    workers : int
        Threads; None takes every core this process may use. Without effect on a cluster.

    Raises
    ------
    Exception
        The first error of any block, with a note that names the block; blocks already written stay written.
    """
    if not blocks:
        return
    with progress() as bar:
        task = bar.add_task(label, total=len(blocks))
        for _ in _finished(function, blocks, workers or cores()):
            bar.advance(task)


def map_threads(function: Callable[[T], Any], items: Sequence[T], *, label: str) -> None:
    """Apply a function to every item on threads of this process, which share its memory, and show progress.

    Inside, numerical libraries keep to one thread each, so that they do not compete.
    """
    from concurrent.futures import ThreadPoolExecutor, as_completed

    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with progress() as bar, threadpool_limits(1), ThreadPoolExecutor(cores()) as pool:
        task = bar.add_task(label, total=len(items))
        for future in as_completed([pool.submit(_noted, function, item) for item in items]):
            future.result()
            bar.advance(task)


def _c_library(name: str) -> Callable[..., int] | None:
    """A function of glibc, or None on systems without it."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def _share_one_heap() -> None:
    """Let all threads of this process share one heap.

    glibc gives every thread a heap of its own and keeps freed arrays where they came from, so that memory would creep
    with the number of blocks. The setting only counts for threads that start later.
    """
    mallopt = _c_library("mallopt")
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def _return_freed_memory() -> None:
    """Return freed arrays to the system after a round of blocks."""
    trim = _c_library("malloc_trim")
    if trim is not None:
        trim(0)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def progress() -> Progress:
    """A progress display on standard error; silent where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _noted(function: Callable[[T], Any], block: T) -> None:
    try:
        function(block)
    except Exception as error:
        error.add_note(f"while working on block {block}")
        raise


def _finished(function: Callable[[T], Any], blocks: Sequence[T], workers: int) -> Any:
    """Yield as each block is done."""
    address = os.environ.get(SCHEDULER_VARIABLE, "")
    if address:
        from distributed import Client, as_completed

        with Client(address, timeout="30s") as client:  # type: ignore[no-untyped-call]
            futures = client.map(_noted, [function] * len(blocks), blocks, pure=False)
            for future in as_completed(futures):  # type: ignore[no-untyped-call]
                future.result()
                yield
        return
    from dask.base import compute
    from dask.delayed import delayed

    # Rounds bound what is in flight, and let progress be seen and an error stop the rest early.
    for start in range(0, len(blocks), workers):
        batch = [delayed(_noted, pure=False)(function, block) for block in blocks[start : start + workers]]
        compute(*batch, scheduler="threads", num_workers=workers)  # type: ignore[no-untyped-call]
        _return_freed_memory()
        yield from batch


_share_one_heap()  # on import: the libraries that stages load start threads of their own
