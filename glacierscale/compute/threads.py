"""Work on threads of this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from glacierscale.compute import memory, showing
from glacierscale.compute.gates import Job, Lane, Outcome

T = TypeVar("T")
_HERE = "this process"


class Threads:
    """The only worker is this process; its threads do not keep it alive."""

    can_replace = False

    def __init__(self, job: Job, *, bytes_each: int, timeout_s: float, workers: int) -> None:
        computing, in_memory = memory.fit(bytes_each, memory.available_bytes(), workers or cores(), "this machine")
        self._lane, self._most = Lane(job, computing, timeout_s), in_memory
        self._ended: SimpleQueue[tuple[str, int, Outcome]] = SimpleQueue()

    def lanes(self) -> Mapping[str, int]:
        """The process itself."""
        return {_HERE: self._most}

    def submit(self, lane: str, number: int, block: Any) -> None:
        """Work on a block on a thread of its own."""

        def work() -> None:
            self._ended.put((lane, number, self._lane.work(block)))

        threading.Thread(target=work, daemon=True).start()

    def finished(self, wait_s: float) -> Sequence[tuple[str, int, Outcome]]:
        """What has ended."""
        return taken(self._ended, wait_s)

    def replace(self, lane: str) -> None:
        """A thread cannot be stopped."""
        raise NotImplementedError(f"{lane} cannot be replaced")

    def close(self) -> None:
        """Let no block go on to its next step."""
        self._lane.close()


def taken(queue: SimpleQueue[T], wait_s: float) -> list[T]:
    """All that lies in a queue; waits for the first, but not longer than told."""
    found = []
    try:
        found.append(queue.get(timeout=wait_s))
        while True:
            found.append(queue.get_nowait())
    except Empty:
        return found


def map_threads(function: Callable[[T], Any], items: Sequence[T], *, label: str) -> None:
    """Apply a function to every item on threads of this process, which share its memory, and show progress.

    Inside, numerical libraries keep to one thread each, so that they do not compete.

    Raises
    ------
    Exception
        The first error of any item, with a note that names it.
    """
    from concurrent.futures import ThreadPoolExecutor, as_completed

    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with showing.counted(label, len(items)) as advance, threadpool_limits(1), ThreadPoolExecutor(cores()) as pool:
        for future in as_completed([pool.submit(_noted, function, item) for item in items]):
            future.result()
            advance()


def _noted(function: Callable[[T], Any], item: T) -> None:
    try:
        function(item)
    except Exception as error:
        error.add_note(f"while working on block {item}")
        raise


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
