"""Who holds a lease, and whether that process still lives."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a lease."""

    token: str
    """Random name of this lease."""
    verb: str
    """What runs."""
    host: str
    """Machine, for people."""
    machine: str
    """Machine since its start and its process numbers, for comparison."""
    pid: int
    """Process."""
    started: str
    """When the process started, so that a reused number is noticed."""
    since: str
    """When the lease was taken."""
    ttl_s: float
    """Seconds without a beat after which it may be taken over."""

    @classmethod
    def here(cls, verb: str, ttl_s: float) -> Holder:
        """Name the running process."""
        return cls(
            token=secrets.token_hex(8),
            verb=verb,
            host=socket.gethostname(),
            machine=_machine(),
            pid=os.getpid(),
            started=_process(os.getpid())[1],
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            ttl_s=ttl_s,
        )

    @classmethod
    def unpacked(cls, data: bytes) -> Holder:
        """Read it back."""
        return cls(**json.loads(data))

    def packed(self) -> bytes:
        """As JSON."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True).encode()

    def is_here(self) -> bool:
        """Whether it ran on this machine since its last start, where its process number can be asked for."""
        return self.machine == _machine()

    def is_gone(self) -> bool:
        """Whether the process of a holder on this machine has ended, or its number belongs to another one."""
        state, started = _process(self.pid)
        return state in ("Z", "X", "") or started != self.started

    def is_suspended(self) -> bool:
        """Whether the process of a holder on this machine is stopped."""
        return _process(self.pid)[0] in ("T", "t")

    def __str__(self) -> str:
        return f"`{self.verb}`, process {self.pid} on {self.host}, since {self.since}"


def clock() -> float:
    """Seconds on a clock that all processes share and that runs while the machine sleeps, where there is one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _machine() -> str:
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):  # only Linux tells
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")]
    return " ".join(parts)


def _process(pid: int) -> tuple[str, str]:
    """State of a process and when it started, in ticks since the machine did; both empty where there is none."""
    if Path("/proc/self/stat").exists():
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return fields[0], fields[19]
    else:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            return "?", "?"
    return "", ""
