"""How much memory blocks may take, and how many at once fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

AHEAD = 2
"""Blocks in memory beside those that compute: one that loads and one that writes."""

_CGROUPS = Path("/sys/fs/cgroup")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = ("memory.max", "memory.current", "inactive_file")


def fit(bytes_each: int, limit_bytes: int, computing: int, where: str) -> tuple[int, int]:
    """How many blocks may compute at once and how many may be in memory, so that they fit.

    Parameters
    ----------
    bytes_each : int
        Peak memory of one block in work.
    limit_bytes : int
        What blocks may take together; 0 where there is no limit.
    computing : int
        Blocks that would compute at once.
    where : str
        What has the limit, for the error.

    Returns
    -------
    computing, in_memory : int
        Fewer than asked for where not all fit; at least one of each.

    Raises
    ------
    ValueError
        If not even one block fits.
    """
    fitting = limit_bytes // bytes_each if bytes_each and limit_bytes else computing + AHEAD
    if fitting < 1:
        raise ValueError(
            f"a block needs about {_told(bytes_each)} of memory, but {where} has {_told(limit_bytes)} for blocks. "
            "Lower the option glaciers_per_block of the stage that made or makes the store, or take larger workers."
        )
    in_memory = min(fitting, computing + AHEAD)
    return max(1, min(computing, in_memory - AHEAD)), in_memory


def available_bytes() -> int:
    """Memory that this process may still take: the system's, or less where a control group limits it."""
    import psutil  # type: ignore[import-untyped]

    return min([int(psutil.virtual_memory().available), *_left_in_cgroups()])


def _left_in_cgroups(table: Path = Path("/proc/self/cgroup"), root: Path = _CGROUPS) -> Iterator[int]:
    """What is left of the limit of each control group that this process is in, of both versions."""
    for line in table.read_text().splitlines() if table.exists() else ():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        base, names = (root / "memory", _V1) if controllers else (root, _V2)
        folder = base / path.lstrip("/")
        # Inside a container the path may be the host's, and the group itself lies at the root.
        for group in (folder, *folder.parents):
            if group.is_relative_to(base):
                yield from _left(group, *names)


def _left(group: Path, limit: str, usage: str, cache: str) -> Iterator[int]:
    try:
        most, taken = (group / limit).read_text().strip(), int((group / usage).read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except OSError:
        return
    if most != "max":
        yield max(0, int(most) - taken + int(stat.get(cache, 0)))


def _told(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"
