"""Disks that are full or read-only: a named error, nothing half-written taken for whole, and a rerun that completes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import ranges, running
from tests.faults.conftest import Told
from tests.trees import digests

_PAGE = 4096


class Disk:
    """A small disk in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True, capture_output=True)

    def set(self, *, size_bytes: int = 1 << 30, mode: str = "rw") -> None:
        """Change its size, or whether it can be written."""
        options = f"remount,size={size_bytes},{mode}"
        subprocess.run(["mount", "-o", options, self.folder], check=True, capture_output=True)

    def remove(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", self.folder], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small disk; mounting one takes root."""
    try:
        made = Disk(tmp_path / "disk")
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")
    yield made
    made.remove()


def pages(folder: Path) -> int:
    """Bytes that the files below a folder take on such a disk."""
    return sum(-(-path.stat().st_size // _PAGE) * _PAGE for path in folder.rglob("*") if path.is_file())


def fill(given: ranges.Range, stage: str, disk: Disk, folder: Path, told: Told) -> None:
    """Run a stage on a disk that holds only part of its output, then on one that holds all of it."""
    given.calm(stage)
    since, out = time.monotonic(), disk.folder / "out"
    disk.set(size_bytes=pages(given.calm(stage)) * 6 // 10)
    one = running.start(given.words(stage, out), folder, env=given.environment(stage))
    assert one.wait() == 4, one.words()[-3000:]
    assert "the disk is full" in one.words()
    assert "Traceback" not in one.words()
    part = digests(out)
    expected = given.expected(stage)
    # A completion record vouches for its objects: they must be whole.
    records = [name for name in part if "/.blocks/" in name and name.endswith(".json")]
    assert [name for name in records if name in expected and part[name] != expected[name]] == []
    assert running.differing(out, expected)
    disk.set()
    code, said = running.run(given.words(stage, out), folder, env=given.environment(stage))
    assert code == 0, said[-3000:]
    assert not running.differing(out, expected)
    told("disk full", stage, fired=1, recovered=1, seconds=time.monotonic() - since)


def refuse(given: ranges.Range, stage: str, disk: Disk, folder: Path, told: Told) -> None:
    """Run a stage on a disk that cannot be written."""
    given.calm(stage)
    since = time.monotonic()
    disk.set(mode="ro")
    one = running.start(given.words(stage, disk.folder / "out"), folder, env=given.environment(stage))
    assert one.wait() == 4, one.words()[-3000:]
    took = time.monotonic() - since
    assert "read-only" in one.words()
    assert "Traceback" not in one.words()
    assert not one.work().begun
    assert not one.work().steps
    disk.set()
    code, said = running.run(given.words(stage, disk.folder / "out"), folder, env=given.environment(stage))
    assert code == 0, said[-3000:]
    assert not running.differing(disk.folder / "out", given.expected(stage))
    told(
        "read-only target",
        stage,
        fired=1,
        recovered=1,
        seconds=time.monotonic() - since,
        refused_after_s=round(took, 1),
    )


def test_a_full_disk_is_named_and_the_same_command_continues_when_there_is_room(
    small: ranges.Range, disk: Disk, tmp_path: Path, told: Told
) -> None:
    fill(small, "featurize", disk, tmp_path / "said", told)


def test_a_read_only_target_is_refused_before_any_work(
    small: ranges.Range, disk: Disk, tmp_path: Path, told: Told
) -> None:
    refuse(small, "featurize", disk, tmp_path / "said", told)


@pytest.mark.campaign
@pytest.mark.parametrize("stage", ranges.STAGES)
def test_every_stage_names_a_full_disk(small: ranges.Range, stage: str, disk: Disk, tmp_path: Path, told: Told) -> None:
    fill(small, stage, disk, tmp_path / "said", told)


@pytest.mark.campaign
@pytest.mark.parametrize("stage", ranges.STAGES)
def test_every_stage_refuses_a_read_only_target(
    small: ranges.Range, stage: str, disk: Disk, tmp_path: Path, told: Told
) -> None:
    refuse(small, stage, disk, tmp_path / "said", told)
