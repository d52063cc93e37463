"""The end of a command's process: everything is done and told, and late native threads break nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests import late


def python(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def leaving(script: str, *before: str) -> subprocess.CompletedProcess[str]:
    """Run a script that calls `leave`."""
    head = "import atexit, sys, threading, time\nfrom glacierscale.cli.leaving import leave\n"
    return python(*before, "-c", head + textwrap.dedent(script))


def test_a_native_thread_that_comes_late_does_not_kill_a_process_that_is_through(tmp_path: Path) -> None:
    script = """
        import asyncio, obstore
        from glacierscale.cli.leaving import leave

        async def read():
            store = obstore.store.MemoryStore()
            obstore.put(store, "a", b"1")
            await asyncio.gather(*(obstore.get_async(store, "a") for _ in range(20)))

        def work():
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, daemon=True).start()
            asyncio.run_coroutine_threadsafe(read(), loop).result()
            print("through")
            return 3

        leave(work)
    """
    ended = late.python(tmp_path, "-c", "import threading\n" + textwrap.dedent(script))
    assert (ended.returncode, ended.stdout) == (3, "through\n"), ended.stderr


def test_threads_are_joined_handlers_run_and_all_that_was_printed_comes_out() -> None:
    ended = leaving("""
        atexit.register(lambda: print("handler", end=""))
        threading.Thread(target=lambda: (time.sleep(0.3), print("thread", end=" "))).start()
        leave(lambda: print("work", end=" ") or 3)
    """)
    assert ended.returncode == 3
    assert ended.stdout == "work thread handler"
    assert not ended.stderr


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        ("SystemExit(2)", 2, ""),
        ("SystemExit()", 0, ""),
        ("SystemExit('no such place')", 1, "no such place\n"),
        ("RuntimeError('a fault')", 1, "RuntimeError: a fault\n"),
    ],
)
def test_what_is_raised_is_told_and_coded_as_python_does(raised: str, code: int, said: str) -> None:
    for statement in (f"raise {raised}", f"leave(lambda: (_ for _ in ()).throw({raised}))"):
        ended = leaving(statement)
        assert ended.returncode == code
        assert ended.stderr.endswith(said)
        assert bool(ended.stderr) is bool(said)


def test_what_could_not_be_printed_is_an_error() -> None:
    ended = leaving("sys.stdout = open('/dev/full', 'w'); leave(lambda: print('lost') or 0)")
    assert ended.returncode == 120


def test_a_profiler_or_debugger_around_a_command_comes_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "profile"
    ended = python("-m", "cProfile", "-o", str(file), "-m", "glacierscale.cli", "--version")
    assert ended.returncode == 0
    assert file.stat().st_size > 1000
    ended = leaving("sys.settrace(lambda *_: None)\ntry: leave(lambda: 4)\nfinally: print('still here')")
    assert (ended.returncode, ended.stdout) == (4, "still here\n")
