"""Native threads that wake an event loop and then are not run for a while, as on a machine under load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SITE = """
import asyncio.selector_events, itertools, threading, time
turn, wake = itertools.count(), asyncio.selector_events.BaseSelectorEventLoop._write_to_self

def late(self):
    wake(self)
    if isinstance(threading.current_thread(), threading._DummyThread):  # one that Python did not start
        time.sleep(next(turn) % 30 * 0.02)

asyncio.selector_events.BaseSelectorEventLoop._write_to_self = late
"""


def python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python with such threads."""
    (folder / "sitecustomize.py").write_text(SITE)
    found = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    given = {**os.environ, "PYTHONPATH": found, "PYTHONFAULTHANDLER": "1"}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, env=given)
