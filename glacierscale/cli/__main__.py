"""Run the command with `python -m glacierscale.cli`."""

from __future__ import annotations

from glacierscale.cli import entry_point

if __name__ == "__main__":
    entry_point()
