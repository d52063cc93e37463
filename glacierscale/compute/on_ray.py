"""Work on actors of a Ray cluster, and the Ray session that training shares."""

from __future__ import annotations

import logging
import math
import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from glacierscale.compute import memory, showing
from glacierscale.compute.cluster import Cluster, current, kept
from glacierscale.compute.driving import WorkerDiedError
from glacierscale.compute.gates import Job, Lane, Outcome
from glacierscale.compute.threads import cores

_CONNECT_S = 30
_START_S = 60
_OBJECT_STORE_BYTES = 200 << 20  # it holds the job, not arrays of blocks
_FAILED_STARTS = 3
_PROBE_S, _SILENT_S = 10.0, 120.0  # an actor is asked so often, and given up when it is silent for so long
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextmanager
def ray_session() -> Iterator[None]:
    """Have Ray initialised as the options in use say; the outermost user's end shuts it down.

    Without ``ray`` in the options it starts on this machine, with as many CPUs as workers are asked for. Ray that was
    initialised before is used as it is.

    Raises
    ------
    ConnectionError
        If no cluster answers at the address.
    """
    cluster = current()
    with kept("ray", lambda: _initialised(cluster)):
        yield


@contextmanager
def _initialised(cluster: Cluster) -> Iterator[None]:
    place = cluster.ray or f"local:{cluster.workers or cores()}"
    _prepare(place)
    import ray

    if ray.is_initialized():
        yield
        return
    # On a thread of its own: on the main one Ray would replace this process's answer to SIGTERM. The thread lives as
    # long as the session, because what Ray starts ends with the thread that started it.
    with ThreadPoolExecutor(1, thread_name_prefix="ray") as pool:
        starting = pool.submit(_connect, place)
        try:
            starting.result()
            yield
        finally:
            wait([starting], timeout=_START_S)
            ray.shutdown()


def _prepare(place: str) -> None:
    """Set what Ray reads from the environment when it is imported."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if place.startswith("local:") and "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        # Without a token its ports would take orders from anyone who reaches them.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _connect(place: str) -> None:
    """Initialise Ray."""
    import ray

    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if place.startswith("local:"):
            here: dict[str, Any] = {"object_store_memory": _OBJECT_STORE_BYTES, "_node_ip_address": "127.0.0.1"}
            ray.init("local", num_cpus=int(place[6:]), include_dashboard=False, **here, **quiet)
        else:
            if place != "auto":  # Ray itself would wait for minutes
                host, _, port = place.removeprefix("ray://").rpartition(":")
                socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
            joined: Any = ray.init(place, **quiet)
            showing.dashboard("Ray", getattr(joined, "dashboard_url", None))
    except (OSError, RuntimeError) as error:
        raise ConnectionError(
            f"no Ray cluster answers at {place} within {_CONNECT_S} s ({error}); check the address and that it runs."
        ) from error


class _Actor:
    """A worker process."""

    def __init__(self, job: Job, computing: int, timeout_s: float) -> None:
        self.lane = Lane(job, computing, timeout_s)

    def ready(self) -> bool:
        """Answer."""
        return True

    def work(self, block: Any) -> Outcome:
        """Work on a block beside others."""
        return self.lane.work(block)


class Ray:
    """Workers are actors, one for each CPU or share of a GPU; the job lies in the object store once."""

    can_replace = True
    refusal = ""

    def __init__(self, cluster: Cluster, job: Job, *, bytes_each: int) -> None:
        import ray

        gpus = cluster.gpus_per_worker if job.gpu else 0.0
        number, limit = _room(gpus, cluster.workers)
        computing, self._most = memory.fit(bytes_each, limit, 1, "a Ray worker's share of its node")
        self._arguments = (ray.put(job), computing, cluster.block_timeout_s)
        own: dict[str, Any] = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": 0}
        self._kind = ray.remote(_Actor).options(**own, max_concurrency=self._most + 1)
        self._actors: dict[str, Any] = {}
        self._starting: dict[Any, str] = {}
        self._running: dict[Any, tuple[str, int]] = {}
        self._probes: dict[str, tuple[Any, float]] = {}
        self._started, self._failures = 0, 0
        for _ in range(number):
            self._start()

    def _start(self) -> None:
        name = f"actor {self._started}"
        self._started += 1
        self._actors[name] = self._kind.remote(*self._arguments)
        self._starting[self._actors[name].ready.remote()] = name

    def lanes(self) -> Mapping[str, int]:
        """Actors that answer."""
        for ref in _ended(list(self._starting), 0):
            self._greet(ref)
        waiting = set(self._starting.values())
        self._probe([name for name in self._actors if name not in waiting])
        waiting = set(self._starting.values())
        return {name: self._most for name in self._actors if name not in waiting}

    def _probe(self, names: Sequence[str]) -> None:
        """Replace actors that have not answered for long: their process is stopped, or their node hangs."""
        answered, now = set(_ended([ref for ref, _ in self._probes.values()], 0)), time.monotonic()
        for name in names:
            ref, since = self._probes.get(name, (None, -math.inf))
            pending = ref is not None and ref not in answered
            if pending and now - since > _SILENT_S:
                self.replace(name)
            elif not pending and now - since >= _PROBE_S:
                self._probes[name] = (self._actors[name].ready.remote(), now)

    def _greet(self, ref: Any) -> None:
        """Count an actor in that has started, and start another for one that could not."""
        import ray

        name = self._starting.pop(ref)
        try:
            ray.get(ref)
        except ray.exceptions.RayError as error:
            self._failures += 1
            if self._failures >= _FAILED_STARTS:
                raise WorkerDiedError(f"{_FAILED_STARTS} Ray workers in a row could not start: {error}") from error
            self._actors.pop(name, None)
            self._start()
        else:
            self._failures = 0

    def submit(self, lane: str, number: int, block: Any) -> None:
        """Send a block to an actor."""
        self._running[self._actors[lane].work.remote(block)] = (lane, number)

    def finished(self, wait_s: float) -> Sequence[tuple[str, int, Outcome]]:
        """What has ended; blocks whose actor died are left for `lanes` to tell."""
        import ray

        found = []
        for ref in _ended([*self._running, *self._starting], wait_s):
            if ref not in self._running:
                continue  # an actor that has started, or a block of one that was dropped
            lane, number = self._running.pop(ref)
            try:
                found.append((lane, number, ray.get(ref)))
            except (ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError):
                self.replace(lane)
            except ray.exceptions.RayError as error:
                found.append((lane, number, Outcome(error=error, step="load")))
        return found

    def replace(self, lane: str) -> None:
        """Kill an actor and start another."""
        import ray

        for ref in [ref for ref, place in self._running.items() if place[0] == lane]:
            del self._running[ref]
        self._probes.pop(lane, None)
        actor = self._actors.pop(lane, None)
        if actor is not None:
            ray.kill(actor, no_restart=True)
            self._start()

    def close(self) -> None:
        """Kill the actors."""
        import ray

        for actor in self._actors.values():
            ray.kill(actor, no_restart=True)


def _room(gpus_each: float, most: int) -> tuple[int, int]:
    """How many actors the cluster has room for, and the bytes that each may take of the tightest node."""
    nodes = [node["Resources"] for node in _nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    if not nodes:
        raise WorkerDiedError("the Ray cluster has no node with a CPU.")
    counts = [int(min(node["CPU"], node.get("GPU", 0) / gpus_each if gpus_each else node["CPU"])) for node in nodes]
    if not sum(counts):
        raise ValueError(
            f"gpus_per_worker is {gpus_each:g}, but no node of the Ray cluster has that many GPUs; lower it."
        )
    number = min(sum(counts), most or sum(counts))
    limits = [
        int(node.get("memory", 0)) // min(count, number) for node, count in zip(nodes, counts, strict=True) if count
    ]
    return number, min(limits)


def _nodes() -> list[dict[str, Any]]:
    import ray

    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return found


def _ended(refs: list[Any], wait_s: float) -> list[Any]:
    """Those that have ended; waits for the first, but not longer than told."""
    import ray

    if not refs:
        time.sleep(wait_s)
        return []
    ray.wait(refs, num_returns=1, timeout=wait_s)
    ready: list[Any] = ray.wait(refs, num_returns=len(refs), timeout=0)[0]
    return ready
