"""Run commands of glacierscale in processes of their own, and compare what they leave.

`start` forks from a server that has imported everything, so that a command begins within a fraction of a second and
tells a trace of its work; `spawn` starts the interpreter anew, as a user does, with or without a network of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.trees import digests

ROOT = Path(__file__).resolve().parents[2]
LEFT_OVERS = (".lease", "checkpoints", "declaring")
"""What no finished output holds, beside files of which the name ends in # and a number."""
DEADLINE_S = 240.0
_CORES = "GLACIERSCALE_CORES"
"""Other tests have one core each; a command here works on all, as a user's does."""

_IMPORTED = [
    *("pytest", "glacierscale.cli", "glacierscale.pipeline", "glacierscale.catalog", "glacierscale.store.layout"),
    *("glacierscale.store.shards", "glacierscale.store.writing", "glacierscale.store.verification"),
    *("glacierscale.cube.reading", "glacierscale.cube.writing", "glacierscale.features.tensors"),
    *("glacierscale.features.rasters", "glacierscale.training.loop", "glacierscale.training.rasters"),
    *("glacierscale.training.raster_task", "glacierscale.training.ensemble", "glacierscale.reconstruction"),
    *("glacierscale.reconstruction.maps", "glacierscale.models.mapping", "torch", "pytorch_lightning", "sklearn"),
    *("glacierscale.evolution.patchwise", "glacierscale.evolution.totals"),
    *("jsonargparse", "rasterio", "exactextract", "geopandas", "intake_xarray", "docstring_parser", "h5netcdf"),
]


@dataclass
class Running:
    """A command that was started."""

    process: Any
    """A process of `multiprocessing`."""
    said: Path
    """What it writes to both outputs."""
    trace: Path
    """What it did, a line each; see `Work`."""
    since: float = field(default_factory=time.monotonic)

    def ended(self) -> bool:
        """Whether it has ended."""
        return not self.process.is_alive()

    def kill(self) -> bool:
        """Send SIGKILL; False if it had ended before."""
        self.process.kill()
        self.process.join(30)
        return bool(self.process.exitcode == -9)

    def wait(self, seconds: float = DEADLINE_S) -> int:
        """Its exit code; killed where it takes too long."""
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(30)
            raise AssertionError(f"no end within {seconds:g} s:\n{self.words()}")
        code = self.process.exitcode
        assert code is not None
        return int(code)

    def words(self) -> str:
        """What it has said so far."""
        return self.said.read_text(errors="replace") if self.said.exists() else ""

    def work(self) -> Work:
        """What it has done so far."""
        return Work.read(self.trace)


@dataclass
class Work:
    """Blocks by how far they got, and steps of training."""

    begun: Counter[str] = field(default_factory=Counter)
    computed: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    steps: list[tuple[str, int]] = field(default_factory=list)

    @classmethod
    def read(cls, trace: Path) -> Work:
        """Work as a trace tells it."""
        found = cls()
        for line in trace.read_text().splitlines() if trace.exists() else ():
            what, name, *rest = line.split("|")
            if what == "step":
                found.steps.append((name, int(rest[0])))
            else:
                getattr(found, what)[name] += 1
        return found

    def lost(self) -> tuple[int, int]:
        """Blocks that were being computed, and blocks that had been computed, when it ended without writing them."""
        return len(self.begun - self.computed), len(self.computed - self.written)


def server() -> Any:
    """The context whose processes fork from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    return context


def start(words: Sequence[str], folder: Path, *, env: Mapping[str, str] | None = None, gate: Any = None) -> Running:
    """Start a command by a fork.

    Parameters
    ----------
    words : sequence of str
        The command after `glacierscale`.
    folder : Path
        Where what it says and does is written down.
    env : mapping
        Variables to add.
    gate : Barrier
        Where to wait, once started, for all others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = sum(1 for _ in folder.glob("*.said"))
    said, trace = folder / f"{number:03d}.said", folder / f"{number:03d}.trace"
    said.touch()
    process = server().Process(target=_command, args=(list(words), dict(env or {}), str(said), str(trace), gate))
    process.start()
    return Running(process, said, trace)


def run(words: Sequence[str], folder: Path, **how: Any) -> tuple[int, str]:
    """Run a command by a fork to its end; its exit code and what it said."""
    running = start(words, folder, **how)
    return running.wait(), running.words()


def _command(words: list[str], env: dict[str, str], said: str, trace: str, gate: Any) -> None:
    """The forked process."""
    os.environ.pop(_CORES, None)
    os.environ.update(env)
    output = os.open(said, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    _tell_work(trace)
    from glacierscale.cli import main

    if gate is not None:
        gate.wait()
    sys.exit(main(words))


def _tell_work(trace: str) -> None:
    """Have every block and every step of training leave a line, which a SIGKILL does not take away."""
    from glacierscale import compute
    from glacierscale.training import checkpoints

    file = os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def tell(what: str, name: str, *more: object) -> None:
        os.write(file, ("|".join([what, name, *map(str, more)]) + "\n").encode())

    run_job, after = compute.run, checkpoints.Watch.after

    def run_and_tell(job: Any, blocks: Any, *, label: str, **more: Any) -> None:
        def computed(block: Any, inputs: Any) -> Any:
            tell("begun", f"{label} {block}")
            arrays = job.compute(block, inputs)
            tell("computed", f"{label} {block}")
            return arrays

        def written(block: Any, arrays: Any) -> Any:
            value = job.write(block, arrays)
            tell("written", f"{label} {block}")
            return value

        run_job(dataclasses.replace(job, compute=computed, write=written), blocks, label=label, **more)

    def step_and_tell(watch: Any, step: int, *rest: Any, **more: Any) -> None:
        after(watch, step, *rest, **more)
        tell("step", watch.checkpoints.net if watch.checkpoints is not None else "", step)

    compute.run = run_and_tell
    checkpoints.Watch.after = step_and_tell  # type: ignore[method-assign]


# The interpreter anew


def environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, the package that is tested, and variables to add."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    kept = {name: value for name, value in os.environ.items() if name != _CORES}
    return {**kept, "PYTHONPATH": path, **(env or {})}


def spawn(
    words: Sequence[str], said: Path, *, env: Mapping[str, str] | None = None, before: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    """Start a command in an interpreter of its own, with a command before it, such as one that takes the network."""
    said.parent.mkdir(parents=True, exist_ok=True)
    with said.open("wb") as file:
        command = [*before, sys.executable, "-m", "glacierscale.cli", *words]
        return subprocess.Popen(command, stdout=file, stderr=file, env=environment(env), cwd=ROOT)


def until(condition: Callable[[], Any], process: Any, seconds: float = DEADLINE_S) -> bool:
    """Wait until something is so; False if the process ended before."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        if process.poll() is not None if isinstance(process, subprocess.Popen) else process.ended():
            return bool(condition())
        time.sleep(0.002)
    raise AssertionError(f"nothing happened within {seconds:g} s")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    if process.poll() is None:
        process.kill()
    process.wait(30)


# What lies there


def left_over(folder: Path) -> list[str]:
    """Files and folders that no finished output has."""
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.name in LEFT_OVERS or (path.name.rpartition("#")[2].isdigit() and "#" in path.name)
    ]


def differing(folder: Path, expected: Mapping[str, str]) -> dict[str, list[str]]:
    """How the files below a folder differ from those expected: more, fewer, other; empty where they do not."""
    there = digests(folder)
    found = {
        "more": sorted(there.keys() - expected.keys()),
        "fewer": sorted(expected.keys() - there.keys()),
        "other": sorted(name for name in there.keys() & expected.keys() if there[name] != expected[name]),
        "left over": left_over(folder),
    }
    return {what: names[:8] for what, names in found.items() if names}


def progress(folder: Path) -> frozenset[str]:
    """Completion records and checkpoints below a folder: what says that work went on."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in ("c", ".lease")]
        place = Path(parent)
        if place.name == ".blocks" or "checkpoints" in place.parts:
            found += [str(place / name) for name in names if name.endswith(".json")]
    return frozenset(found)


def blocks_done(folder: Path) -> frozenset[str]:
    """Completion records of blocks, without those of declarations."""
    return frozenset(name for name in progress(folder) if not name.endswith("declared.json"))


def workers_of(process: subprocess.Popen[bytes], signs: Collection[str]) -> list[Any]:
    """Processes below a command whose words hold one of some signs."""
    import psutil

    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if any(sign in " ".join(child.cmdline()) for sign in signs):
                    found.append(child)
    return found
