"""Work on the worker processes of a Dask cluster."""

from __future__ import annotations

import contextlib
import importlib
import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any

from glacierscale.compute import dask_worker, memory, showing
from glacierscale.compute.gates import Job, Outcome
from glacierscale.compute.threads import cores, taken

_CONNECT_S = 30
_SHARE = 0.8  # of a worker's memory: above, Dask pauses it
_LOOK_S = 0.5
_INSTALL = {"gateway": "dask-gateway", "kubernetes": "dask-kubernetes"}


@contextmanager
def client(place: str) -> Iterator[Any]:
    """Connect to a Dask cluster, or start one here; ends what it started.

    Parameters
    ----------
    place : str
        As `Cluster.dask`.

    Raises
    ------
    ValueError
        If a library is missing or there is no such cluster.
    ConnectionError
        If nothing answers.
    """
    from distributed import Client

    with ExitStack() as stack:
        try:
            target = stack.enter_context(_cluster(place))
            made = Client(target, timeout=_CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
            found = stack.enter_context(made)
        except (OSError, TimeoutError) as error:
            raise ConnectionError(
                f"no Dask scheduler answers at {place} within {_CONNECT_S} s ({error}); check the address and that the "
                "cluster runs."
            ) from error
        if not place.startswith("local:"):  # those have none
            showing.dashboard("Dask", found.dashboard_link)
        yield found


@contextmanager
def _cluster(place: str) -> Iterator[Any]:
    """What a client connects to."""
    kind, _, name = place.partition(":")
    if kind == "local":
        with _here(int(name)) as cluster:
            yield cluster
    elif kind == "gateway":
        gateway = _library("dask_gateway", kind).Gateway()
        try:
            yield gateway.connect(name)
        finally:
            gateway.close()
    elif kind == "kubernetes":
        cluster = _library("dask_kubernetes.operator", kind).KubeCluster.from_name(name, shutdown_on_close=False)
        try:
            yield cluster
        finally:
            cluster.close()
    else:
        yield place


def _library(name: str, kind: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"{kind}: needs {_INSTALL[kind]}; install it with `pip install {_INSTALL[kind]}`.") from error


@contextmanager
def _here(workers: int) -> Iterator[Any]:
    """Worker processes on this machine, on loopback."""
    import dask
    from distributed import LocalCluster

    before_start = {**dask.config.get("distributed.nanny.pre-spawn-environ"), "MALLOC_ARENA_MAX": 1}
    settings = {
        "distributed.scheduler.no-workers-timeout": "60s",  # by default it waits for ever
        "distributed.nanny.pre-spawn-environ": before_start,
        "distributed.worker.profile.enabled": False,  # see dask_worker
    }
    with (
        dask.config.set(settings),
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=workers,
            threads_per_worker=max(1, cores() // workers),
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # any free port; None would mean 8787, with a warning where that is taken
            scheduler_kwargs={"dashboard": False},
            memory_limit=memory.available_bytes() // workers,
            silence_logs=logging.CRITICAL,  # what becomes of blocks is told by the drive
        ) as cluster,
    ):
        yield cluster


@dataclass(frozen=True)
class _Worker:
    """A worker that has the job."""

    address: str
    job: Any
    computing: int
    in_memory: int


class Dask:
    """Lanes are the workers of the cluster; each has the job once, and blocks are sent to one of them.

    A worker that was dropped comes back as another lane, so that what it had is known to be lost.
    """

    can_replace = True

    def __init__(self, client: Any, job: Job, *, bytes_each: int, timeout_s: float, workers: int) -> None:
        self._client, self._job, self._key = client, job, uuid.uuid4().hex
        self._bytes_each, self._timeout_s, self._workers = bytes_each, timeout_s, workers
        self._lanes: dict[str, _Worker] = {}
        self._added = 0
        self._refused: set[str] = set()
        self._futures: dict[tuple[str, int], Any] = {}
        self._ended: SimpleQueue[tuple[str, int, Any]] = SimpleQueue()
        self._looked = -_LOOK_S
        self.refusal, self._answers = "", True

    def lanes(self) -> Mapping[str, int]:
        """Workers that are connected to the scheduler and have room for a block."""
        if time.monotonic() - self._looked >= _LOOK_S:
            self._look()
        return {lane: worker.in_memory for lane, worker in self._lanes.items()}

    def _look(self) -> None:
        client = self._client
        try:
            told = client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=_CONNECT_S)
        except (OSError, TimeoutError, AttributeError) as error:  # the last from a client that has given up
            self._answers = False
            raise ConnectionError(
                f"the Dask scheduler no longer answers ({error}); run the same command again: it continues."
            ) from error
        there = told["workers"]
        self._looked = time.monotonic()
        for lane in [lane for lane, worker in self._lanes.items() if worker.address not in there]:
            self._drop(lane)
        had = {worker.address for worker in self._lanes.values()} | self._refused
        new = [address for address in there if address not in had]
        for address in new[: self._workers - len(self._lanes) if self._workers else None]:
            self._add(address, there[address])

    def _add(self, address: str, told: Mapping[str, Any]) -> None:
        """Send the job to a worker that has room for a block."""
        limit = int(_SHARE * told.get("memory_limit", 0))
        try:
            computing, in_memory = memory.fit(self._bytes_each, limit, told["nthreads"], f"the Dask worker {address}")
        except ValueError:
            self._refused.add(address)
            if not self._lanes:  # none is known to fit
                raise
            return
        try:
            # The copy is this worker's own (hash=False), so that the death of another does not take it along.
            job = self._client.scatter(self._job, workers=[address], hash=False, timeout=_CONNECT_S)
        except (OSError, TimeoutError, KeyError, ValueError):
            return  # it has gone meanwhile; the next look tells
        except Exception as error:
            if type(error) is not Exception:  # distributed wraps the worker's own in a bare one
                raise
            self.refusal = f"{address} could not take the job: {error}"
            return
        self._added += 1
        self._lanes[f"{address} ({self._added})"] = _Worker(address, job, computing, in_memory)

    def _drop(self, lane: str) -> None:
        self._lanes.pop(lane, None)
        futures = [self._futures.pop(place) for place in list(self._futures) if place[0] == lane]
        if futures:
            self._client.cancel(futures, force=True, msg="its worker is gone")

    def submit(self, lane: str, number: int, block: Any) -> None:
        """Send a block to a worker."""
        worker = self._lanes[lane]
        future = self._client.submit(
            dask_worker.work,
            worker.job,
            self._key,
            worker.computing,
            self._timeout_s,
            block,
            key=f"block-{number}-{uuid.uuid4().hex}",
            workers=[worker.address],
            allow_other_workers=False,
            pure=False,
        )
        self._futures[lane, number] = future
        future.add_done_callback(partial(_put, self._ended, lane, number))

    def finished(self, wait_s: float) -> Sequence[tuple[str, int, Outcome]]:
        """What has ended; blocks whose worker died are left for `lanes` to tell."""
        found = []
        for lane, number, future in taken(self._ended, wait_s):
            if self._futures.get((lane, number)) is not future:
                continue
            outcome = self._outcome(future)
            if outcome is None:
                self._drop(lane)
            else:
                del self._futures[lane, number]
                found.append((lane, number, outcome))
        return found

    def _outcome(self, future: Any) -> Outcome | None:
        """How a try ended; None if its worker died."""
        from concurrent.futures import CancelledError

        from distributed import KilledWorker
        from distributed.scheduler import NoValidWorkerError

        try:
            outcome: Outcome = future.result(timeout=_CONNECT_S)
        except (KilledWorker, NoValidWorkerError, CancelledError, TimeoutError, OSError):
            return None
        except Exception as error:
            return Outcome(error=error, step="load")
        return outcome

    def replace(self, lane: str) -> None:
        """Restart a worker; one that has no nanny to restart it gets no more blocks."""
        worker = self._lanes.get(lane)
        if worker is None:
            return
        self._drop(lane)
        self._refused.add(worker.address)
        try:
            self._client.restart_workers([worker.address], timeout=_CONNECT_S, raise_for_error=False)
        except (ValueError, KeyError, OSError, TimeoutError):
            return

    def close(self) -> None:
        """Cancel what still runs and forget the job; blocks that work already go on to no other step."""
        addresses = [worker.address for worker in self._lanes.values()]
        with contextlib.suppress(OSError, TimeoutError, AttributeError, RuntimeError):  # the scheduler is gone
            if addresses and self._answers:
                self._client.run(dask_worker.shut, self._key, workers=addresses, wait=False)
            for lane in list(self._lanes):
                self._drop(lane)


def _put(queue: SimpleQueue[tuple[str, int, Any]], lane: str, number: int, future: Any) -> None:
    queue.put((lane, number, future))
