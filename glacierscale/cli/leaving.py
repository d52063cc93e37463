"""How the process of a command ends: all in order, but without the end of the interpreter itself.

Libraries answer from native threads (Icechunk, obstore's coroutines). Such a thread wakes the event loop that waits for
its answer, and then needs the interpreter's lock once more to clean up. Where the system runs it late, the command is
through and the interpreter torn down; the thread is then unwound through code that allows no unwinding, and kills the
process by SIGABRT, SIGBUS or SIGSEGV after all its work was done
(https://github.com/PyO3/pyo3-async-runtimes/issues/40). There is no call that waits for these threads, so the
interpreter is not torn down while they may come. Stores of our own that are plain Zarr are read on threads of Python
(`store.threaded`), so that programs of users end well too.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn


def leave(work: Callable[[], int]) -> NoReturn:
    """Do the work of a process and end the process with the exit code that it returns.

    Threads are joined, exit handlers are run (clusters, worker processes, temporary folders and logs end there), and
    what was printed is flushed, as at every end of Python; destructors of what is still alive are not called.

    Parameters
    ----------
    work : callable
        What to do; its value is the exit code. An exception is told as Python tells it, with exit code 1.
    """
    code = _code(work)
    if _watched():  # a debugger, profiler or measure of coverage stands around us and has something left to do
        sys.exit(code)
    threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter does first, and only then its handlers
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or 120  # as Python says that what was printed could not be written
    os._exit(code)


def _code(work: Callable[[], int]) -> int:
    try:
        return work()
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    except Exception:
        sys.excepthook(*sys.exc_info())
        return 1


def _watched() -> bool:
    """Whether somebody looks at every line or call."""
    tools = getattr(sys, "monitoring", None)  # Python 3.12
    watching = tools is not None and any(tools.get_tool(number) for number in range(6))
    return watching or sys.gettrace() is not None or sys.getprofile() is not None
