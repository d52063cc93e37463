"""What a user sees of running work."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

_LOG = logging.getLogger("glacierscale.compute")
_SAID: set[str] = set()  # dashboards that this process has named


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


@contextmanager
def counted(label: str, total: int) -> Iterator[Callable[[], None]]:
    """A function to call as each piece of work is done: it moves the display, and logs every tenth of the whole."""
    done = 0
    with progress() as bar:
        task = bar.add_task(label, total=total)

        def advance() -> None:
            nonlocal done
            done += 1
            bar.advance(task)
            if done * 10 // total > (done - 1) * 10 // total:
                _LOG.info("%s: %d of %d", label, done, total)

        yield advance
