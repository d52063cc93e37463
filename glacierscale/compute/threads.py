"""Work on threads of this process."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from glacierscale.compute import memory
from glacierscale.compute.gates import Job, Lane, Outcome

T = TypeVar("T")
_HERE = "this process"
_CORES_VARIABLE = "GLACIERSCALE_CORES"


class Threads:
    """The only worker is this process; its threads do not keep it alive."""

    can_replace = False
    refusal = ""

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


def cores() -> int:
    """Cores that this process may use: those of its affinity and its control group, at most ``GLACIERSCALE_CORES``.

    Raises
    ------
    ValueError
        If the variable is set to anything but a whole number above 0.
    """
    from dask.system import cpu_count

    told = os.environ.get(_CORES_VARIABLE, "")
    if not told:
        return int(cpu_count())
    if not re.fullmatch(r"[1-9]\d*", told):
        raise ValueError(f"{_CORES_VARIABLE} is {told!r}; expected a whole number of cores above 0.")
    return min(int(told), int(cpu_count()))
