"""Checkpoints of a training: state of some networks at a step, as safetensors and JSON, in a folder or object store.

Each process writes its own networks, under names that say the step and the networks; nothing is overwritten. Whoever
resumes takes the highest step at which all of its networks are there, however they were dealt out before.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from glacierscale import compute, provenance
from glacierscale.store.files import Files
from glacierscale.training.shares import Share

Arrays = dict[str, npt.NDArray[Any]]
OnStep = Callable[[int, float], object]
"""Told how many steps have been taken, and the loss on rows that networks leave out, NaN where there is none."""

FOLDER = "checkpoints"
SECONDS_VARIABLE = "GLACIERSCALE_CHECKPOINT_SECONDS"
"""Environment variable: about how many seconds of training a lost process may cost."""
_SECONDS = 30.0
_NAME = re.compile(r"(?P<step>\d{9})-(?P<start>\d+)-(?P<stop>\d+)(?P<done>-done)?\.json")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class State:
    """Some networks at one step."""

    step: int
    """How many steps they have taken."""
    arrays: Arrays
    """Each (network, ...)."""
    done: bool = False
    """Whether they are trained; they then stand for any later step."""


@dataclass(frozen=True, kw_only=True)
class _Entry:
    step: int
    start: int
    stop: int
    done: bool
    name: str
    """Without suffix"""


class _Part(NamedTuple):
    """Some networks of a file."""

    entry: _Entry
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Where the states of one net are kept."""

    place: str
    """Folder or URL of the model."""
    belongs: str
    """Fingerprint of the model's stamp; states that belong to another are not seen."""
    net: str
    """Name of the net."""
    log: tuple[str, ...] = ()
    """Kinds of log that are written beside them, see `logs`."""

    @classmethod
    def below(cls, to: str | Path, stamp: provenance.Stamp, net: str, log: tuple[str, ...] = ()) -> Checkpoints:
        """Those of a net of the model that goes to `to`."""
        place = str(to) if "://" in str(to) else str(Path(to).absolute())  # other processes have other work folders
        return cls(place=place, belongs=stamp.fingerprint, net=net, log=log)

    @cached_property
    def _files(self) -> Files:
        return Files.at(self.place)

    @property
    def _folder(self) -> str:
        return f"{FOLDER}/{self.belongs[:16]}/{self.net}/"

    def save(self, share: Share, state: State) -> None:
        """Write the state of a share, then remove those of the same networks that nobody will ask for any more."""
        name = f"{state.step:09d}-{share.start}-{share.stop}{'-done' if state.done else ''}"
        data = pack(state.arrays)
        about = {"belongs": self.belongs, "networks": share.of, "sha256": provenance.digest(data)}
        self._files.write(f"{self._folder}{name}.safetensors", data)
        self._files.write(f"{self._folder}{name}.json", json.dumps(about).encode())
        entries = self._entries()
        steps = [step for step, _ in _covering(entries, 0, share.of)]
        keep = steps[1] if len(steps) > 1 else 0  # the last may be damaged
        for entry in entries:
            if (entry.start, entry.stop) == (share.start, share.stop) and entry.step < min(keep, state.step):
                for suffix in (".json", ".safetensors"):
                    self._files.delete(f"{self._folder}{entry.name}{suffix}")

    def load(self, share: Share) -> State | None:
        """The latest state of a share, put together from whatever shares were saved; None where there is none."""
        entries = self._entries()
        while True:
            step, parts = next(_covering(entries, share.start, share.stop), (0, []))
            if not parts:
                return None
            read = [self._read(part, share.of) for part in parts]
            found = [arrays for arrays in read if arrays is not None]
            if len(found) == len(parts):
                joined = {name: np.concatenate([arrays[name] for arrays in found]) for name in found[0]}
                return State(step=step, arrays=joined, done=all(part.entry.done for part in parts))
            damaged = [part.entry for part, arrays in zip(parts, read, strict=True) if arrays is None]
            entries = [entry for entry in entries if entry not in damaged]

    def _entries(self) -> list[_Entry]:
        found = []
        for path in self._files.names(self._folder):
            match = _NAME.fullmatch(path.rpartition("/")[2])
            if match:
                numbers = {key: int(match[key]) for key in ("step", "start", "stop")}
                found.append(_Entry(**numbers, done=bool(match["done"]), name=match[0].removesuffix(".json")))
        return found

    def _read(self, part: _Part, networks: int) -> Arrays | None:
        """Arrays of some networks, or None if the file is damaged or of another training."""
        entry = part.entry
        about = self._files.read(f"{self._folder}{entry.name}.json")
        data = self._files.read(f"{self._folder}{entry.name}.safetensors") or b""
        expected = {"belongs": self.belongs, "networks": networks, "sha256": provenance.digest(data)}
        try:
            same = json.loads(about or b"null") == expected
        except ValueError:
            same = False
        if not same:
            where = f"{self.place}/{self._folder}{entry.name}"
            _log.warning("checkpoint %s does not have the checksum that its JSON states; an earlier one is used", where)
            return None
        own = slice(part.start - entry.start, part.stop - entry.start)
        return {name: value[own] for name, value in unpack(data).items()}


def clear(to: str | Path) -> None:
    """Remove all checkpoints of a model."""
    files = Files.at(to)
    for name in files.names(f"{FOLDER}/"):
        files.delete(name)
    if "://" not in str(to):
        shutil.rmtree(Path(to) / FOLDER, ignore_errors=True)  # with what a killed write left, which is not listed


def tell_of_others(to: str | Path, stamp: provenance.Stamp) -> None:
    """Say that there are checkpoints of a training with other options or inputs, which are not resumed."""
    others = {name.split("/")[1] for name in Files.at(to).names(f"{FOLDER}/")} - {stamp.fingerprint[:16]}
    if others:
        _log.warning(
            "%s holds checkpoints of an unfinished training with other options or inputs; they are left alone, and "
            "removed when this model is saved",
            to,
        )


def _covering(entries: list[_Entry], start: int, stop: int) -> Iterator[tuple[int, list[_Part]]]:
    """Steps at which all of some networks are there, the highest first, and parts that tile them in order."""
    for step in sorted({entry.step for entry in entries}, reverse=True):
        at, parts = start, []
        while at < stop:
            usable = [e for e in entries if e.start <= at < e.stop and (e.step == step or (e.done and e.step < step))]
            if not usable:
                break
            best = max(usable, key=lambda e: (e.stop, e.step))
            parts.append(_Part(best, at, min(best.stop, stop)))
            at = best.stop
        if at >= stop:
            yield step, parts


def pack(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Named arrays as safetensors."""
    from safetensors.numpy import save

    return save({key: np.ascontiguousarray(value) for key, value in arrays.items()})


def unpack(data: bytes) -> Arrays:
    """Named arrays of safetensors."""
    from safetensors.numpy import load

    return load(data)


class Pace:
    """At which steps to save: multiples of a power of two that take about so long.

    Processes of different speed then still share the multiples of the slowest one.
    """

    def __init__(self, first: int) -> None:
        self.seconds = float(os.environ.get(SECONDS_VARIABLE, _SECONDS))
        self.first, self.began = first, time.monotonic()

    def due(self, step: int) -> bool:
        """Whether to save after a step."""
        each = max((time.monotonic() - self.began) / max(step - self.first, 1), 1e-9)
        return step % int(2 ** math.ceil(math.log2(max(self.seconds / each, 1.0)))) == 0


class Watch:
    """What one process does after every step of its share: it saves, tells, and obeys a request to stop."""

    def __init__(self, share: Share, checkpoints: Checkpoints | None, tell: OnStep) -> None:
        self.share, self.tell, self._pace = share, tell, Pace(0)
        self.checkpoints = checkpoints

    def resume(self) -> State | None:
        """Where an earlier process got to."""
        state = self.checkpoints.load(self.share) if self.checkpoints is not None else None
        self._pace = Pace(state.step if state is not None else 0)
        return state

    def after(
        self, step: int, arrays: Callable[[], Arrays], *, done: bool, terminated: bool, loss: float = math.nan
    ) -> None:
        """Take note of a finished step.

        Parameters
        ----------
        step : int
            How many steps have been taken.
        arrays : callable
            The state of the share.
        done : bool
            Whether it was the last.
        terminated : bool
            Whether the process was asked to end.
        loss : float
            On the rows that networks leave out.

        Raises
        ------
        Terminated
            If so; the state is saved before.
        """
        # Processes that share their networks hold the same state: the first one saves it.
        if self.checkpoints is not None and self.share.piece == 0 and (done or terminated or self._pace.due(step)):
            self.checkpoints.save(self.share, State(step=step, arrays=arrays(), done=done))
        if terminated:
            raise compute.Terminated(f"asked to end after step {step}; run the command again to continue from there.")
        self.tell(step, loss)
