"""What this machine offers: libraries, GPUs, memory, disks and the cache."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from json import loads
from pathlib import Path

from glacierscale.catalog import cache_folder
from glacierscale.compute import Cluster, cores
from glacierscale.compute.memory import available_bytes
from glacierscale.doctor.finding import Finding, State, gib

_LEAST_MEMORY, _GOOD_MEMORY = 1 << 30, 4 << 30  # what PyTorch takes alone; a region of a few thousand glaciers
_LEAST_DISK, _GOOD_DISK = 256 << 20, 4 << 30  # tables and a page; the stores of such a region
_OBJECT_STORE = 200 << 20  # what a Ray session on this machine asks for
_SHARED = Path("/dev/shm")
_ASK_S = 60.0  # PyTorch may take long to load from a cold disk
_TORCH = (
    "import json, torch; n = torch.cuda.device_count() if torch.cuda.is_available() else 0; "
    "print(json.dumps([torch.version.cuda or '', [torch.cuda.get_device_name(i) for i in range(n)]]))"
)


def libraries() -> Iterator[Finding]:
    """Python and every library that the installed package asks for, against the versions it asks for."""
    told = importlib.metadata.metadata("glacierscale")
    yield _versioned("python", platform.python_version(), told["Requires-Python"] or "", "")
    for line in importlib.metadata.requires("glacierscale") or ():
        wanted, _, marker = line.partition(";")
        if "extra" in marker:
            continue
        name, asked = _parted(wanted)
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = ""
        yield _versioned(name, found, asked, wanted.strip())


def extras() -> Iterator[Finding]:
    """Libraries of the extras that object stores and the dashboard need."""
    of = {"s3": "s3fs", "gcs": "gcsfs", "azure": "adlfs", "icechunk": "icechunk", "dashboard": "panel"}
    for extra, name in of.items():
        try:
            yield Finding(area="extras", name=extra, state="ok", said=f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            advice = f"Where you need it: pip install 'glacierscale[{extra}]'"
            yield Finding(area="extras", name=extra, state="note", said=f"{name} is not installed", advice=advice)


def gpus(cluster: Cluster) -> Iterator[Finding]:
    """GPUs as the driver and as PyTorch see them; PyTorch is asked in a process of its own, which may hang or die."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    seen = [line.strip() for line in asked(query, _ASK_S)[0].splitlines() if line.strip()]
    yield Finding(area="GPUs", name="driver", state="ok", said="; ".join(seen) or "none: nets train on the CPU")
    told, fault = asked([sys.executable, "-W", "ignore", "-c", _TORCH], _ASK_S)
    if fault:
        said, advice = f"does not load: {fault}", "Try: python -c 'import torch'"
        yield Finding(area="GPUs", name="torch", state="fault", said=said, advice=advice)
        return
    built, names = loads(told.splitlines()[-1])
    said = f"built for {f'CUDA {built}' if built else 'the CPU'}, sees {', '.join(names) or 'no GPU'}"
    wanted = cluster.gpus_per_worker > 0 and (not cluster.ray or cluster.ray.startswith("local:"))
    if names or not (seen or wanted):
        yield Finding(area="GPUs", name="torch", state="ok", said=said)
    elif wanted:
        advice = "Leave --gpus-per-worker out, or install a build of PyTorch for this GPU's driver."
        said += f", but {cluster.gpus_per_worker:g} GPUs are asked for each worker"
        yield Finding(area="GPUs", name="torch", state="fault", said=said, advice=advice)
    else:
        advice = "Install a build of PyTorch for CUDA that this driver can run, or train on the CPU."
        yield Finding(area="GPUs", name="torch", state="note", said=said, advice=advice)


def memory(cluster: Cluster) -> Iterator[Finding]:
    """Memory that this process may take, cores, and the shared memory that Ray and the workers of PyTorch use."""
    free = available_bytes()
    state = _state(free, _LEAST_MEMORY, _GOOD_MEMORY)
    advice = "" if state == "ok" else "End other programs, or lower glaciers_per_block of the stage that runs short."
    yield Finding(area="memory", name="free", state=state, said=f"{gib(free)} for {cores()} cores", advice=advice)
    if not _SHARED.is_dir():
        return
    free = shutil.disk_usage(_SHARED).free
    short = free < _OBJECT_STORE
    state = "ok" if not short else "fault" if cluster.ray.startswith("local:") else "note"
    advice = f"Ray needs {gib(_OBJECT_STORE)} here; give a container more, as with `--shm-size 1g`." if short else ""
    yield Finding(area="memory", name=str(_SHARED), state=state, said=f"{gib(free)} free", advice=advice)


def disks() -> Iterator[Finding]:
    """Whether the folder for temporary files and the cache can be written and have room."""
    yield folder("disk", "temporary files", Path(tempfile.gettempdir()), "TMPDIR")
    yield folder("cache", "downloads", cache_folder(), "GLACIERSCALE_CACHE")


def folder(area: str, name: str, path: Path, variable: str = "") -> Finding:
    """Whether files can be written into a folder, made or to be made, and how much room there is."""
    path = path.absolute()
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    other = f" Or set {variable} to a folder on another disk." if variable else " Or write elsewhere."
    if not there.is_dir():
        said = f"{there} is a file, expected a folder"
        return Finding(area=area, name=name, state="fault", said=said, advice=f"Move it.{other}")
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".glacierscale-") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        said, advice = f"{path} cannot be written: {error.strerror}", f"Check its rights and its disk.{other}"
        return Finding(area=area, name=name, state="fault", said=said, advice=advice)
    free = shutil.disk_usage(there).free
    state = _state(free, _LEAST_DISK, _GOOD_DISK)
    advice = "" if state == "ok" else f"Free some space.{other}"
    return Finding(area=area, name=name, state=state, said=f"{path} can be written, {gib(free)} free", advice=advice)


def tested() -> dict[str, str]:
    """Versions that the tests of this package ran with, where its source tree or wheel tells them."""
    package = Path(__file__).resolve().parents[1]
    for place in (package / "_shipped" / "constraints.txt", package.parent / "constraints.txt"):
        if place.is_file():
            lines = [line.partition("#")[0].strip() for line in place.read_text().splitlines()]
            return {name: version for name, _, version in (line.partition("==") for line in lines) if version}
    return {}


def _versioned(name: str, found: str, asked: str, wanted: str) -> Finding:
    """A version against the range that is asked for."""
    from packaging.specifiers import SpecifierSet

    if found and SpecifierSet(asked).contains(found, prereleases=True):
        used = tested().get(name, found)
        said = f"{found} ({asked})" + (f", tested with {used}" if used != found else "")
        return Finding(area="libraries", name=name, state="ok", said=said)
    said = f"{found or 'not installed'}, expected {asked or 'any version'}"
    advice = f"pip install '{wanted}'" if wanted else "Make an environment with another Python."
    return Finding(area="libraries", name=name, state="fault", said=said, advice=advice)


def _parted(wanted: str) -> tuple[str, str]:
    """Name and range of versions of a requirement."""
    from packaging.requirements import Requirement

    parsed = Requirement(wanted)
    return parsed.name, str(parsed.specifier)


def _state(size: int, least: int, good: int) -> State:
    return "ok" if size >= good else "note" if size >= least else "fault"


def asked(command: list[str], wait_s: float) -> tuple[str, str]:
    """What a program prints, and else why it did not: it is absent, failed, or took too long and was ended."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=wait_s)
    except subprocess.TimeoutExpired:
        return "", f"nothing came within {wait_s:g} s"
    except OSError as error:
        return "", error.strerror or str(error)
    if done.returncode == 0 and done.stdout.strip():
        return done.stdout, ""
    return "", (done.stderr.strip() or f"it ended with code {done.returncode}").splitlines()[-1]
