"""Where work runs: the options that say so, and what is kept open while they are in use."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from glacierscale.options import spelt

T = TypeVar("T")

_DASK = r"local:[1-9]\d*|(tcp|tls)://\S+:\d+|(gateway|kubernetes):\S+"
_RAY = r"local:[1-9]\d*|auto|(ray://)?[^\s:/]+:\d+"


@spelt
@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where work runs, and how long one block may take; without Dask and Ray, on threads of this process."""

    dask: str = ""
    """Run blocks with Dask: local:N starts N worker processes here; else an address (tcp:// or tls://), gateway:NAME of
    a running Dask Gateway cluster, or kubernetes:NAME of a Dask cluster in Kubernetes."""
    ray: str = ""
    """Run blocks and training with Ray: local:N starts Ray here with N CPUs; auto or HOST:PORT joins a cluster. With
    Dask given too, blocks run on Dask and training on Ray."""
    workers: int = 0
    """Workers at most: threads that compute here, workers of the cluster, processes of a training run; 0 takes all
    there are, and without Ray one process for training."""
    gpus_per_worker: float = 0.0
    """GPUs of each Ray worker; a fraction lets several share one."""
    block_timeout_s: float = 3600.0
    """Seconds that one block may take, waiting not counted; then the try has failed."""

    def __post_init__(self) -> None:
        expected = "expected local:N, tcp://HOST:PORT, tls://HOST:PORT, gateway:NAME or kubernetes:NAME"
        if self.dask and not re.fullmatch(_DASK, self.dask):
            raise ValueError(f"dask is {self.dask!r}; {expected}.")
        if self.ray and not re.fullmatch(_RAY, self.ray):
            raise ValueError(f"ray is {self.ray!r}; expected local:N, auto or HOST:PORT.")
        if self.workers < 0 or self.gpus_per_worker < 0:
            raise ValueError(
                f"workers is {self.workers} and gpus_per_worker {self.gpus_per_worker}; expected none below 0."
            )
        if not self.block_timeout_s > 0:
            raise ValueError(f"block_timeout_s is {self.block_timeout_s}; expected seconds above 0.")


@dataclass
class _Use:
    """Options in use, and what was opened for them."""

    cluster: Cluster
    stack: ExitStack = field(default_factory=ExitStack)
    kept: dict[str, Any] = field(default_factory=dict)


_USED: list[_Use] = []  # of the process, not of a context: work is driven from other threads too


@contextmanager
def use(cluster: Cluster) -> Iterator[Cluster]:
    """Let everything inside run where the options say; what it starts is kept until the end, then stopped.

    Parameters
    ----------
    cluster : Cluster
        Where.

    Yields
    ------
    Cluster
        The same.
    """
    used = _Use(cluster)
    _USED.append(used)
    try:
        with used.stack:
            yield cluster
    finally:
        _USED.remove(used)


def current() -> Cluster:
    """The options in use, else those of the environment (``GLACIERSCALE_DASK``, ``GLACIERSCALE_RAY``, ...)."""
    return _USED[-1].cluster if _USED else from_environment()


def from_environment() -> Cluster:
    """Options as the environment gives them, one variable each."""
    found = {field.name: os.environ.get(f"GLACIERSCALE_{field.name.upper()}", "") for field in fields(Cluster)}
    kinds: dict[str, Callable[[str], Any]] = {"workers": int, "gpus_per_worker": float, "block_timeout_s": float}
    given: dict[str, Any] = {}
    for name, text in found.items():
        try:
            given |= {name: kinds.get(name, str)(text)} if text else {}
        except ValueError:
            raise ValueError(f"GLACIERSCALE_{name.upper()} is {text!r}; expected a number.") from None
    return Cluster(**given)


@contextmanager
def kept(name: str, opened: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
    """What is opened, for as long as the options are in use; to the end of this context where none are."""
    if not _USED:
        with opened() as thing:
            yield thing
        return
    used = _USED[-1]
    if name not in used.kept:
        used.kept[name] = used.stack.enter_context(opened())
    yield used.kept[name]
