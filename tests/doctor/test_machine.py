"""What the doctor says of this machine."""

from __future__ import annotations

import importlib.metadata
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from glacierscale.compute import Cluster
from glacierscale.doctor import machine


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte; mounting it takes root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True, capture_output=True)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")
    yield folder
    subprocess.run(["umount", folder], check=True, capture_output=True)


def test_every_library_of_this_environment_is_as_the_package_asks() -> None:
    found = {one.name: one for one in machine.libraries()}
    assert {"python", "xarray", "zarr", "ray", "torch"} <= found.keys()
    assert {one.state for one in found.values()} == {"ok"}
    assert found["zarr"].said.startswith(importlib.metadata.version("zarr"))


def test_a_library_that_is_too_old_or_absent_is_a_fault_with_the_command_that_mends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = ["zarr>=99", "nowhere_to_be_found>=1", "s3fs>=99; extra == 's3'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: wanted)
    _, old, absent = machine.libraries()
    assert old.state == absent.state == "fault"
    assert old.said == f"{importlib.metadata.version('zarr')}, expected >=99"
    assert old.advice == "pip install 'zarr>=99'"
    assert absent.said == "not installed, expected >=1"


def test_a_version_other_than_the_tested_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "tested", lambda: {"zarr": "3.0.0"})
    found = {one.name: one for one in machine.libraries()}
    assert found["zarr"].said.endswith(", tested with 3.0.0")


def test_the_versions_that_tests_ran_with_are_found() -> None:
    assert machine.tested()["zarr"].startswith("3.")


@pytest.mark.parametrize(
    ("driver", "cluster", "state", "said"),
    [
        ("", Cluster(), "ok", "built for the CPU, sees no GPU"),
        ("H100, 80 GiB, 550", Cluster(), "note", "built for the CPU, sees no GPU"),
        ("", Cluster(ray="local:2", gpus_per_worker=1), "fault", "but 1 GPUs are asked for each"),
        ("", Cluster(ray="head:6379", gpus_per_worker=1), "ok", "sees no GPU"),
    ],
)
def test_gpus_that_torch_does_not_see_are_told(
    driver: str, cluster: Cluster, state: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said_by = {"nvidia-smi": (driver, "" if driver else "no such file")}
    monkeypatch.setattr(machine, "asked", lambda command, _: said_by.get(command[0], ('["", []]', "")))
    found, torch = machine.gpus(cluster)
    assert found.said == (driver or "none: nets train on the CPU")
    assert torch.state == state
    assert said in torch.said


def test_a_torch_that_does_not_load_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_TORCH", "raise SystemExit('broken')")
    _, torch = machine.gpus(Cluster())
    assert torch.state == "fault"
    assert torch.said == "does not load: broken"


@pytest.mark.parametrize(("ray", "state"), [("", "note"), ("local:2", "fault"), ("head:6379", "note")])
def test_little_shared_memory_is_a_fault_only_where_ray_starts_here(
    ray: str, state: str, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_SHARED", small_disk)
    _, shared = machine.memory(Cluster(ray=ray))
    assert shared.state == state
    assert "--shm-size" in shared.advice


@pytest.mark.parametrize(("free", "state"), [(2**29, "fault"), (2**31, "note"), (2**35, "ok")])
def test_little_memory_is_told(free: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_bytes", lambda: free)
    found, *_ = machine.memory(Cluster())
    assert found.state == state
    assert bool(found.advice) == (state != "ok")


def test_a_disk_that_is_nearly_full_is_a_fault(small_disk: Path) -> None:
    found = machine.folder("storage", "output", small_disk / "out")
    assert found.state == "fault"
    assert found.said == f"{small_disk / 'out'} can be written, 1 MiB free"
    assert not list(small_disk.iterdir())


def test_a_disk_that_is_full_is_a_fault(small_disk: Path) -> None:
    (small_disk / "much").write_bytes(bytes(1 << 20))
    found = machine.folder("cache", "downloads", small_disk, "GLACIERSCALE_CACHE")
    assert found.state == "fault"
    assert "cannot be written: No space left on device" in found.said
    assert "set GLACIERSCALE_CACHE to a folder on another disk" in found.advice


def test_a_file_in_the_place_of_a_folder_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = machine.folder("storage", "output", tmp_path / "file" / "out")
    assert found.state == "fault"
    assert "is a file, expected a folder" in found.said
