"""Commands of glacierscale in this process."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence

from glacierscale import cli


def main(words: Sequence[str]) -> int:
    """Run a command; its exit code.

    A command line that cannot be parsed fails the test with what was printed: the SystemExit itself would be taken by
    pytest, inside a fixture, for an end of the whole session.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return cli.main(words)
    except SystemExit as left:
        raise AssertionError(f"glacierscale {' '.join(words)} ended with {left.code}:\n{said.getvalue()}") from left
    finally:
        sys.stderr.write(said.getvalue())
