"""What a user sees of running work: a bar on a terminal, a line that changes in a notebook, else lines now and then."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

At = Callable[[int, str], None]
"""Called with how much of the whole is done and what else there is to tell, it may be nothing."""

QUIET_VARIABLE = "GLACIERSCALE_QUIET"
"""Environment variable: with any content nothing is said of work under way."""

_LOG = logging.getLogger("glacierscale.compute")
_SAID: set[str] = set()  # dashboards that this process has named
_FIRST_S, _SELDOM_S = 6.0, 60.0  # between two lines, early and late
_NOTEBOOK_S = 2.0


@contextmanager
def progress(label: str, total: int) -> Iterator[At]:
    """Show how far a piece of work is, on standard error or where a notebook shows it.

    Parameters
    ----------
    label : str
        What is done, and of what: ``train mlp, steps``.
    total : int
        Of how many.

    Yields
    ------
    callable
        To be called as often as there is something new.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if os.environ.get(QUIET_VARIABLE):
        yield lambda done, told: None
    elif console.is_terminal:
        with _bar(console, label, total) as at:
            yield at
    else:
        lines = _Lines(label, total)
        with lines.said(_Cell() if console.is_jupyter else _say, every_s=_NOTEBOOK_S if console.is_jupyter else 0.0):
            yield lines.at


@contextmanager
def counted(label: str, total: int, told: Callable[[int], str] = lambda _: "") -> Iterator[Callable[[], None]]:
    """A function to call as each piece of work is done; `told` says of so many what else there is to tell."""
    with progress(label, total) as at:
        number = count(1)

        def advance() -> None:
            done = next(number)
            at(done, told(done))

        yield advance


@contextmanager
def _bar(console: Console, label: str, total: int) -> Iterator[At]:
    from rich import progress as shown
    from rich.table import Column

    columns = (
        shown.TextColumn("{task.description:<24}"),
        shown.BarColumn(20),
        shown.MofNCompleteColumn(),
        shown.TimeElapsedColumn(),
        shown.TimeRemainingColumn(),
        shown.TextColumn("{task.fields[told]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
    )
    with shown.Progress(*columns, console=console, expand=True) as bar:
        task = bar.add_task(label, total=total, told="")
        yield lambda done, told: bar.update(task, completed=done, told=told)


class _Lines:
    """How far a piece of work is, in words."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total, self.done, self.told = label, total, 0, ""
        self.began = time.monotonic()
        self.before = self.began, 0  # when and with what this process began

    def at(self, done: int, told: str) -> None:
        """Take note; what begins with more than one goes on with what an earlier process did."""
        if not self.done and done > 1:
            self.before = time.monotonic(), done
        self.done, self.told = done, told

    def line(self) -> str:
        """How far it is, how long it took and takes."""
        now, (since, done) = time.monotonic(), self.before
        left = ""
        if self.done > done:
            left = f", about {_spelt((now - since) / (self.done - done) * (self.total - self.done))} left"
        told = f", {self.told}" if self.told else ""
        return f"{self.label}: {self.done:,} of {self.total:,}{told}; {_spelt(now - self.began)} so far{left}"

    @contextmanager
    def said(self, say: Callable[[str], None], *, every_s: float) -> Iterator[None]:
        """Say lines meanwhile, every so often or, with 0, ever more seldom; none of what is done before the first."""
        ended, said = threading.Event(), False

        def speak() -> None:
            nonlocal said
            while not ended.wait(every_s or min(max(_FIRST_S, (time.monotonic() - self.began) / 10), _SELDOM_S)):
                said = True
                say(self.line())

        thread = threading.Thread(target=speak, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
        if said:
            told = f", {self.told}" if self.told else ""
            say(f"{self.label}: {self.done:,}{told}; done in {_spelt(time.monotonic() - self.began)}")


class _Cell:
    """One line of a notebook's output, written over again and again."""

    def __init__(self) -> None:
        self._shown: Any = None

    def __call__(self, line: str) -> None:
        import IPython.display

        if self._shown is None:
            show: Any = IPython.display.display
            self._shown = show({"text/plain": line}, raw=True, display_id=True)
        else:
            self._shown.update({"text/plain": line}, raw=True)


def _say(line: str) -> None:
    """Log a line where somebody reads such logs; else print it, unless the logger was told to be silent."""
    if _LOG.isEnabledFor(logging.INFO) and _LOG.hasHandlers():
        _LOG.info("%s", line)
    elif logging.getLogger("glacierscale").level <= logging.INFO:
        print(line, file=sys.stderr, flush=True)


def _spelt(seconds: float) -> str:
    """A span of time in words, to two digits or so."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def dashboard(kind: str, url: str | None) -> None:
    """Say, once, where the dashboard of a cluster is: on a terminal as a link, else in the log.

    Parameters
    ----------
    kind : str
        Dask or Ray.
    url : str or None
        Where; nothing is said where there is none.
    """
    from rich.console import Console

    if not url or url in _SAID:
        return
    _SAID.add(url)
    whole = url if "://" in url else f"http://{url}"
    console = Console(stderr=True)
    if console.is_terminal:
        console.print(f"{kind} dashboard: [link={whole}]{whole}[/link]", highlight=False, soft_wrap=True)
    else:
        _LOG.info("%s dashboard: %s", kind, whole)
