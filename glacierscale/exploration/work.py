"""Reading beside the page: the newest question of each kind is answered in a thread, older ones are forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")
Deliver = Callable[[Callable[[], None]], object]
Progress = Callable[[float], None]

THREADS = 4
"""Readings of all pages of this process at once."""

_PATIENCE_S = 0.25  # what is read sooner is not announced


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="explore")


@dataclass(eq=False)
class _Question:
    what: str
    read: Callable[[Progress], Any]
    show: Callable[[Any], None]
    share: float = 0.0
    since: float = field(default_factory=time.monotonic)


class Desk:
    """Answers questions of one page in lanes: within a lane only the newest waits, and lanes do not wait for others.

    Parameters
    ----------
    deliver : callable or None
        Runs a function where the page may be changed; None reads and shows at once, without threads.
    tell : callable
        Is told what is being read and the share of it that is done, or "" and 1; runs where the page may be changed.
    fail : callable
        Is told of an error of a reading; runs where the page may be changed.
    """

    def __init__(
        self, deliver: Deliver | None, tell: Callable[[str, float], None], fail: Callable[[Exception], None]
    ) -> None:
        self._deliver, self._tell, self._fail = deliver, tell, fail
        self._lock = threading.Lock()
        self._running: dict[str, _Question] = {}
        self._waiting: dict[str, _Question] = {}

    def ask(self, lane: str, what: str, read: Callable[[Progress], T], show: Callable[[T], None]) -> None:
        """Read something in a thread, then show it; a newer question of the same lane replaces one that waits.

        Parameters
        ----------
        lane : str
            Questions of one lane are answered one after the other.
        what : str
            What is read, in words.
        read : callable
            Runs in a thread and may not touch the page; takes a function to be told the share that is done.
        show : callable
            Takes the answer; runs where the page may be changed.
        """
        if self._deliver is None:
            show(read(lambda _: None))
            return
        question = _Question(what, read, show)
        with self._lock:
            if lane in self._running:
                self._waiting[lane] = question
                return
            self._running[lane] = question
        self._start(self._deliver, lane, question)

    @contextlib.contextmanager
    def settled(self, seconds: float) -> Iterator[None]:
        """Answer here, within some seconds, what is asked inside: a kernel that runs a cell does nothing beside it.

        What takes longer arrives later, as always.
        """
        if self._deliver is None or not seconds:
            yield
            return
        later, arrived, until = self._deliver, queue.SimpleQueue[Callable[[], None]](), time.monotonic() + seconds
        waits = True

        def deliver(change: Callable[[], None]) -> None:
            with self._lock:
                (arrived.put if waits else later)(change)

        self._deliver = deliver
        yield
        with contextlib.suppress(queue.Empty):
            while self._running:
                arrived.get(timeout=max(until - time.monotonic(), 0))()
        with self._lock:
            waits, self._deliver = False, later
        while not arrived.empty():
            later(arrived.get())

    def do(self, change: Callable[[], None]) -> None:
        """Change the page where that is allowed: callbacks of widgets do not hold the lock of its document."""
        if self._deliver is None:
            change()
        else:
            self._deliver(change)

    def _start(self, deliver: Deliver, lane: str, question: _Question) -> None:
        timer = threading.Timer(_PATIENCE_S, deliver, [self._tell_running])
        timer.daemon = True
        timer.start()
        _pool().submit(self._work, deliver, lane, question, timer)

    def _work(self, deliver: Deliver, lane: str, question: _Question, timer: threading.Timer) -> None:
        def progress(share: float) -> None:
            if share - question.share > 0.02:
                question.share = share
                deliver(self._tell_running)

        try:
            answer = question.read(progress)
        except Exception as error:
            problem = error
            deliver(lambda: self._finish(deliver, lane, lambda: self._fail(problem)))
        else:
            deliver(lambda: self._finish(deliver, lane, lambda: question.show(answer)))
        finally:
            timer.cancel()

    def _finish(self, deliver: Deliver, lane: str, show: Callable[[], None]) -> None:
        with self._lock:
            following = self._waiting.pop(lane, None)
            if following:
                self._running[lane] = following
            else:
                del self._running[lane]
        if following:
            self._start(deliver, lane, following)
        try:
            show()
        finally:
            self._tell_running()

    def _tell_running(self) -> None:
        long_ago = time.monotonic() - _PATIENCE_S
        with self._lock:
            running = [question for question in self._running.values() if question.what and question.since <= long_ago]
        said = ", ".join(dict.fromkeys(question.what for question in running))
        self._tell(said, min((question.share for question in running), default=1.0))


def delivery(document: Any, push: Callable[[], None]) -> Deliver | None:
    """How results reach a page: through the document of a server, on the loop of a kernel, or None for at once.

    Parameters
    ----------
    document : bokeh.document.Document or None
        Of a session of a server; None in a notebook or a program.
    push : callable
        Sends what has changed to a notebook.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    served = document is not None and document.session_context is not None

    def notebook(work: Callable[[], None]) -> None:
        work()
        push()

    arrive = document.add_next_tick_callback if served else notebook

    def deliver(work: Callable[[], None]) -> None:
        # A document that is changed from a thread may lose the change while it gathers others, so the loop does it.
        with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
            loop.call_soon_threadsafe(arrive, work)

    return deliver
