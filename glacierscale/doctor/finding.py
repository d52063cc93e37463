"""What a check found, and sizes in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "fault"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of what the doctor says."""

    area: str
    """What it belongs to: libraries, GPUs, storage, cluster, disk, memory or cache."""
    name: str
    """What was looked at."""
    state: State
    """ok; note where something is missing that a run may do without; fault where a run would fail."""
    said: str
    """What was found."""
    advice: str = ""
    """What to do."""


def gib(size: float) -> str:
    """Bytes in words."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
