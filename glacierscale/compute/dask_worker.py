"""What the worker processes of a Dask cluster run."""

from __future__ import annotations

import sys
from threading import Event, Lock
from typing import Any
from weakref import WeakValueDictionary

from glacierscale.compute.gates import Job, Lane, Outcome

_PATIENCE_S = 0.5

_LANES: WeakValueDictionary[str, Lane] = WeakValueDictionary()
_LOCK = Lock()


def work(job: Job, key: str, computing: int, timeout_s: float, block: Any) -> Outcome:
    """Work on a block in a worker process, beside others of the same job."""
    from distributed import get_worker, secede

    _stop_profiling(get_worker())
    secede()  # type: ignore[no-untyped-call]  # the gates say how many work at once, not the worker's threads
    with _LOCK:
        lane = _LANES.get(key)
        if lane is None:
            lane = _LANES[key] = Lane(job, computing, timeout_s)
    return lane.work(block)


async def shut(key: str) -> None:
    """Close the lane of a job in a worker process: cancelling does not stop a thread that has seceded."""
    lane = _LANES.get(key)
    if lane is not None:
        lane.close()


def _stop_profiling(worker: Any) -> None:
    """Let a worker of somebody else's cluster look at its threads no longer.

    It does so a hundred times a second by `sys._current_frames`, which in Python 3.11 hangs the process for ever where
    garbage collection happens in the middle of it (python/cpython#106883).
    """
    profilers = [callback for name, callback in worker.periodic_callbacks.items() if name.startswith("profile")]
    if sys.version_info >= (3, 12) or not any(profiler.is_running() for profiler in profilers):
        return
    stopped = Event()

    def stop() -> None:
        for profiler in profilers:
            profiler.stop()
        stopped.set()

    worker.loop.add_callback(stop)
    stopped.wait(_PATIENCE_S)
