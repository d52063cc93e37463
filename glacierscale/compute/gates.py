"""A process that works on blocks: gates let the next block load while one computes and the last one writes."""

from __future__ import annotations

import pickle
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from glacierscale.compute import heap

_WRITING = 2  # blocks that write at once: one waits for the disk while the other packs its chunks
_GLANCE_S = 1.0


@dataclass(frozen=True)
class Job:
    """What is done with every block, in three steps that overlap between blocks."""

    load: Callable[[Any], Any]
    """block -> inputs: all reading."""
    compute: Callable[[Any, Any], Any]
    """block, inputs -> arrays: no reading, no writing."""
    write: Callable[[Any, Any], Any]
    """block, arrays -> None."""
    gpu: bool = False
    """Whether it computes on a GPU where its worker has one."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one try of a block ended."""

    value: Any = None
    """What the last step returned."""
    error: BaseException | None = None
    trace: str = ""
    """Where the error was raised, in the worker."""
    step: str = ""
    """load, compute or write."""
    hung: bool = False
    """Whether it was given up because it took too long; its thread may still run."""


class _AbandonedError(Exception):
    """The try was given up meanwhile."""


class _Try:
    """One block on its way through the gates."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.outcome = Outcome()
        self.step = ""
        self._lock = threading.Lock()
        self._gate: threading.Semaphore | None = None
        self._entered, self._spent, self._abandoned = 0.0, 0.0, False

    @contextmanager
    def within(self, step: str, gate: threading.Semaphore) -> Iterator[None]:
        """Wait for a gate; work inside counts, waiting does not."""
        gate.acquire()
        with self._lock:
            if self._abandoned:
                gate.release()
                raise _AbandonedError
            # In this order: who watches takes no lock, and counts from `_entered` as soon as there is a gate.
            self.step, self._entered, self._gate = step, time.monotonic(), gate
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._lock:
            if self._gate is not None:
                self._gate.release()
                self._gate, self._spent = None, self.spent_s()

    def spent_s(self) -> float:
        """Seconds of work so far."""
        return self._spent + (time.monotonic() - self._entered if self._gate is not None else 0.0)

    def abandon(self) -> None:
        """Give the try up: it passes no other gate, and the one it holds is free."""
        with self._lock:
            self._abandoned = True
        self._leave()


class Lane:
    """A process's way of working on blocks of one job.

    Parameters
    ----------
    job : Job
    computing : int
        Blocks that compute at once.
    timeout_s : float
        Work that one block may take, waiting for others not counted.
    """

    def __init__(self, job: Job, computing: int, timeout_s: float) -> None:
        self._job, self._timeout_s = job, timeout_s
        self._load = threading.BoundedSemaphore(max(1, computing // 2))
        self._compute = threading.BoundedSemaphore(computing)
        self._write = threading.BoundedSemaphore(_WRITING)
        self._computing, self._finished = computing, 0
        self._tries: set[_Try] = set()
        self._closed = False

    def work(self, block: Any) -> Outcome:
        """Work on a block until it is done, has failed or takes too long; never raises.

        The work is on a thread that does not keep the process alive, so that a hanging one can be left behind.
        """
        one = _Try()
        self._tries.add(one)
        if self._closed:
            one.abandon()
        threading.Thread(target=self._go, args=(one, block), daemon=True, name=f"block {block}").start()
        while not one.ended.wait(min(_GLANCE_S, self._timeout_s)):
            if one.spent_s() > self._timeout_s:
                one.abandon()
                said = f"took longer than {self._timeout_s:g} s to {one.step} (--block-timeout-s)"
                return Outcome(error=TimeoutError(said), step=one.step, hung=True)
        self._tries.discard(one)
        self._finished += 1
        if self._finished % self._computing == 0:
            heap.return_freed()
        return one.outcome

    def close(self) -> None:
        """Let no block pass another gate, of those that come later either."""
        self._closed = True
        for one in list(self._tries):
            one.abandon()

    def _go(self, one: _Try, block: Any) -> None:
        try:
            with one.within("load", self._load):
                inputs = self._job.load(block)
            with one.within("compute", self._compute):
                arrays = self._job.compute(block, inputs)
            del inputs  # not kept while the block writes
            with one.within("write", self._write):
                value = self._job.write(block, arrays)
            one.outcome = Outcome(value=value)
        except BaseException as error:
            one.outcome = Outcome(error=_sendable(error), trace=traceback.format_exc(), step=one.step)
        finally:
            one.ended.set()


def _sendable(error: BaseException) -> BaseException:
    """The error, or one that says the same where it cannot cross to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
