"""Drive blocks over workers, whatever these are: tries, lost workers, blocks set aside."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from glacierscale.compute.gates import Outcome

TRIES = 2
"""Times that a block is tried."""
MOST_IN_A_ROW = 8
"""Blocks set aside one after the other, none done between, after which the rest is left."""

_BACK_OFF_S = 0.5
_GLANCE_S = 0.5
_GRACE_S = 5.0
_NO_WORKER_S = 60.0
_NAMED = 20
# The step called compute is a function of its inputs alone, so these come again; reading and writing may be luckier.
_SAME_AGAIN = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, AssertionError)


class WorkerDiedError(RuntimeError):
    """A worker process ended while it worked, or none is left."""


class Terminated(BaseException):
    """SIGTERM arrived."""


class RemoteTraceback(Exception):
    """Where an error was raised in a worker."""


class Pool(Protocol):
    """Worker processes, called lanes, that each work on some blocks at once."""

    can_replace: bool
    """Whether a worker that hangs can be stopped."""
    refusal: str
    """Why a worker that is there could not be used, the last one; empty where none was."""

    def lanes(self) -> Mapping[str, int]:
        """The workers that are there, and how many blocks each may have."""

    def submit(self, lane: str, number: int, block: Any) -> None:
        """Hand a block to a worker."""

    def finished(self, wait_s: float) -> Sequence[tuple[str, int, Outcome]]:
        """Worker, block and outcome of what has ended since; waits for the first, but not longer than told."""

    def replace(self, lane: str) -> None:
        """Stop a worker and what it works on."""

    def close(self) -> None:
        """Stop working; what belongs to the user goes on."""


@dataclass(frozen=True)
class _Running:
    lane: str
    since: float
    alone: bool


def drive(
    pool: Pool,
    blocks: Sequence[Any],
    timeout_s: float,
    advance: Callable[[], None],
    check: Callable[[], None] = lambda: None,
) -> list[Any]:
    """Have every block worked on.

    Parameters
    ----------
    pool : Pool
    blocks : sequence
    timeout_s : float
        Work that one block may take.
    advance : callable
        Called as each block is done.
    check : callable
        Called again and again; where it raises, the blocks in work are abandoned.

    Returns
    -------
    list
        What the last step returned, in order of blocks.

    Raises
    ------
    Exception
        The first error, after all other blocks were done, with a note for each block set aside.
    """
    drive = _Drive(pool, blocks, timeout_s, advance)
    try:
        drive.go(check)
    except (KeyboardInterrupt, Terminated):
        drive.await_running(_GRACE_S)
        raise
    finally:
        pool.close()
    drive.raise_first()
    return [drive.values[number] for number in range(len(blocks))]


class _Drive:
    """The state of one drive; blocks go by their number."""

    def __init__(self, pool: Pool, blocks: Sequence[Any], timeout_s: float, advance: Callable[[], None]) -> None:
        self.pool, self.blocks, self.timeout_s, self.advance = pool, blocks, timeout_s, advance
        self.waiting = deque(range(len(blocks)))
        # Blocks that were in a worker when it died, one of them perhaps the cause: each is tried again with a worker to
        # itself, so that no innocent one falls with it a second time.
        self.suspects: deque[int] = deque()
        self.later: deque[tuple[float, int]] = deque()
        self.running: dict[int, _Running] = {}
        self.tries = [0] * len(blocks)
        self.values: dict[int, Any] = {}
        self.aside: dict[int, BaseException] = {}
        self.in_a_row = 0
        self.seen = time.monotonic()

    def go(self, check: Callable[[], None]) -> None:
        """Work until nothing is left."""
        while self.waiting or self.suspects or self.later or self.running:
            check()
            lanes = self.pool.lanes()
            self.bury(lanes)
            self.assign(lanes)
            for lane, number, outcome in self.pool.finished(_GLANCE_S if not self.later else _BACK_OFF_S / 4):
                if number in self.running and self.running[number].lane == lane:
                    self.settle(number, outcome)
            self.overdue(lanes)
            if self.in_a_row >= MOST_IN_A_ROW:
                for left in (self.waiting, self.suspects, self.later):
                    left.clear()

    def bury(self, lanes: Mapping[str, int]) -> None:
        """Count a try for the blocks of workers that are gone."""
        now = time.monotonic()
        self.seen = now if lanes else self.seen
        if now - self.seen > _NO_WORKER_S:
            said = f" The last one that could not be used: {self.pool.refusal}." if self.pool.refusal else ""
            raise WorkerDiedError(
                f"no worker was there for {_NO_WORKER_S:g} s; look into the cluster's own logs.{said}"
            )
        for number in [number for number, running in self.running.items() if running.lane not in lanes]:
            died = WorkerDiedError(f"its worker {self.running[number].lane} ended (killed, or out of memory?)")
            self.failed(number, Outcome(error=died), self.suspects.append)

    def assign(self, lanes: Mapping[str, int]) -> None:
        """Hand out blocks, one more to each worker in turn, until all have what they may have."""
        now = time.monotonic()
        while self.later and self.later[0][0] <= now:
            self.waiting.append(self.later.popleft()[1])
        count = dict.fromkeys(lanes, 0)
        for running in self.running.values():
            if running.lane in count:
                count[running.lane] += lanes[running.lane] if running.alone else 1
        free = True
        while free:
            free = False
            for lane, most in lanes.items():
                if count[lane] < most and self.waiting:
                    self.start(lane, self.waiting.popleft(), alone=False)
                    count[lane] += 1
                    free = True
                elif count[lane] == 0 and self.suspects:
                    self.start(lane, self.suspects.popleft(), alone=True)
                    count[lane] = most

    def start(self, lane: str, number: int, *, alone: bool) -> None:
        """Hand one block to a worker."""
        self.running[number] = _Running(lane, time.monotonic(), alone)
        self.pool.submit(lane, number, self.blocks[number])

    def settle(self, number: int, outcome: Outcome) -> None:
        """Take note of how a try ended."""
        if outcome.error is None:
            del self.running[number]
            self.values[number] = outcome.value
            self.in_a_row = 0
            self.advance()
        elif outcome.hung:
            self.hung(number, outcome)
        else:
            final = outcome.step == "compute" and isinstance(outcome.error, _SAME_AGAIN)
            self.failed(number, outcome, None if final else self.put_off)

    def put_off(self, number: int) -> None:
        """Try a block again a little later."""
        self.later.append((time.monotonic() + _BACK_OFF_S, number))

    def hung(self, number: int, outcome: Outcome) -> None:
        """Replace the worker of a block that takes too long; the others it had go back to the start of the queue."""
        lane = self.running[number].lane
        if not self.pool.can_replace:
            return self.failed(number, outcome, None)
        self.failed(number, outcome, self.suspects.append)
        for other in [other for other, running in self.running.items() if running.lane == lane]:
            (self.suspects if self.running.pop(other).alone else self.waiting).appendleft(other)
        return self.pool.replace(lane)

    def overdue(self, lanes: Mapping[str, int]) -> None:
        """Give up blocks whose worker does not even tell that they take too long."""
        for number, running in list(self.running.items()):
            late = self.timeout_s * (lanes.get(running.lane, 1) + 1) + _NO_WORKER_S
            if number in self.running and time.monotonic() - running.since > late:
                self.hung(number, Outcome(error=TimeoutError(f"nothing was heard of it for {late:g} s"), hung=True))

    def failed(self, number: int, outcome: Outcome, again: Callable[[int], None] | None) -> None:
        """Count a try; set the block aside if it was the last one or another would end the same."""
        error = outcome.error
        assert error is not None
        del self.running[number]
        self.tries[number] += 1
        if again is not None and self.tries[number] < TRIES:
            again(number)
            return
        if outcome.trace and error.__cause__ is None:
            error.__cause__ = RemoteTraceback(f"\n{outcome.trace}")
        self.aside[number] = error
        self.in_a_row += 1

    def await_running(self, wait_s: float) -> None:
        """Give blocks in work a short time to end; what they wrote by then is kept."""
        end = time.monotonic() + wait_s
        while self.running and time.monotonic() < end:
            for _, number, _ in self.pool.finished(min(_GLANCE_S, wait_s)):
                self.running.pop(number, None)

    def raise_first(self) -> None:
        """Raise the first error, if there is one, with what became of all blocks."""
        if not self.aside:
            return
        first = next(iter(self.aside.values()))
        for note in self._notes():
            first.add_note(note)
        raise first

    def _notes(self) -> Iterator[str]:
        for number, error in list(self.aside.items())[:_NAMED]:
            tries = f"{self.tries[number]} {'try' if self.tries[number] == 1 else 'tries'}"
            yield f"block {self.blocks[number]} was set aside after {tries}: {type(error).__name__}: {error}"
        if len(self.aside) > _NAMED:
            yield f"and {len(self.aside) - _NAMED} more blocks"
        left = len(self.blocks) - len(self.values) - len(self.aside)
        early = f", {left} were not tried: {MOST_IN_A_ROW} failed in a row" if left else ""
        yield f"{len(self.values)} of {len(self.blocks)} blocks are done{early}"
