"""What lies outside this machine: object stores, with the credentials at hand, and clusters."""

from __future__ import annotations

import os
import socket
import sys
import uuid
from collections.abc import Iterator
from json import loads
from pathlib import Path
from urllib.parse import urlsplit

from glacierscale import compute
from glacierscale.compute import Cluster
from glacierscale.doctor import machine
from glacierscale.doctor.finding import Finding, gib
from glacierscale.store import StoreError

_WAIT_S, _ASK_S = 10.0, 60.0
_SCHEDULER = """
import json, sys
from glacierscale.compute import on_dask
with on_dask.client(sys.argv[1]) as client:
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    threads, size = (sum(worker.get(name) or 0 for worker in workers) for name in ("nthreads", "memory_limit"))
    print(json.dumps([len(workers), threads, size, client.dashboard_link]))
"""
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
_KEY = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, for buckets that are not public."


def credentials() -> Iterator[Finding]:
    """Credentials for S3 that the environment or a profile names, and whether the endpoint answers at all."""
    from glacierscale.store import access

    try:
        known = access.resolve("s3://bucket")
    except (StoreError, ValueError) as error:
        advice = "Correct the variable AWS_PROFILE or the endpoint."
        yield Finding(area="storage", name="credentials", state="fault", said=str(error), advice=advice)
        return
    if known.anonymous:
        said = "none for s3: requests go unsigned"
        yield Finding(area="storage", name="credentials", state="note", said=said, advice=_KEY)
    else:
        named = [name for name in _KEYS if os.environ.get(name)]
        of = f"profile {known.profile}" if known.profile else f"the environment ({', '.join(named)})"
        half = named == ["AWS_ACCESS_KEY_ID"] and not os.environ.get("AWS_SECRET_ACCESS_KEY")
        said = f"for s3 of {of}" + (", but AWS_SECRET_ACCESS_KEY is not set" if half else "")
        yield Finding(
            area="storage", name="credentials", state="fault" if half else "ok", said=said, advice=_KEY if half else ""
        )
    if known.endpoint:
        yield _endpoint(known.endpoint)


def _endpoint(url: str) -> Finding:
    """Whether something listens at the endpoint."""
    parts = urlsplit(url)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    fault = _silence(parts.hostname or url, port)
    if not fault:
        return Finding(area="storage", name="endpoint", state="ok", said=f"{url} answers")
    said, advice = f"{url} does not answer: {fault}", "Check AWS_ENDPOINT_URL, and that the server runs."
    return Finding(area="storage", name="endpoint", state="fault", said=said, advice=advice)


def output(place: str) -> Finding:
    """Whether a run could write to a place: an object is created, refused to a second writer, read and removed."""
    from glacierscale.store.objects import Objects
    from glacierscale.store.transactions import plain

    place = plain(place)  # a repository lies in a folder or bucket like any store
    if "://" not in place:
        return machine.folder("storage", "output", Path(place))
    key, data = f".glacierscale-doctor-{uuid.uuid4().hex}", b"can this be written?"
    try:
        there = Objects(place, budget_s=_WAIT_S)
        empty = there.empty()
        there.create(key, data)
        try:
            twice, read = there.create(key, b"by another"), there.get(key)
        finally:
            there.delete(key)
    except (StoreError, ValueError) as error:
        return _failed("output", error)
    if twice or read != data:
        said = f"{place} lets a second writer replace an object that it should refuse (conditional put)"
        advice = "Runs could not tell each other apart there; write to another server or one run at a time."
        return Finding(area="storage", name="output", state="fault", said=said, advice=advice)
    said = f"{place} can be listed, written and read; it is {'empty' if empty else 'not empty'}"
    return Finding(area="storage", name="output", state="ok", said=said)


def data(place: str) -> Finding:
    """Whether a place can be read: a folder or bucket is listed, a file over https is asked for."""
    if "://" not in place:
        if Path(place).exists():
            return Finding(area="storage", name="data", state="ok", said=f"{place} is there")
        said = f"{place} is not there"
        return Finding(area="storage", name="data", state="fault", said=said, advice="Check the path.")
    from glacierscale.store.objects import Objects

    secure = place.startswith(("http://", "https://"))
    folder, _, name = place.rstrip("/").rpartition("/")
    try:
        there = Objects(folder if secure else place, budget_s=_WAIT_S)
        found = bool(there.version(name)) if secure else not there.empty()
    except (StoreError, ValueError) as error:
        return _failed("data", error)
    if found:
        return Finding(area="storage", name="data", state="ok", said=f"{place} can be read")
    said = f"{place} {'is not there' if secure else 'holds nothing'}"
    return Finding(area="storage", name="data", state="fault", said=said, advice="Check the URL.")


def _failed(name: str, error: Exception) -> Finding:
    """A request that failed; its error says what happened, where and what to do, without secrets."""
    said, _, advice = str(error).partition("). ")
    said, again = (f"{said})", advice.replace("run the same command again: it continues where it stopped", "try again"))
    return Finding(area="storage", name=name, state="fault", said=said if advice else str(error), advice=again)


def clusters(cluster: Cluster) -> Iterator[Finding]:
    """Whether the clusters that the options or the environment name answer."""
    if cluster.dask:
        yield _dask(cluster.dask)
    if cluster.ray:
        yield _ray(cluster.ray)
    if not (cluster.dask or cluster.ray):
        said = f"none named: work runs on {cluster.workers or compute.cores()} threads of this process"
        yield Finding(area="cluster", name="threads", state="ok", said=said)


def _dask(place: str) -> Finding:
    """Workers of a Dask cluster and what they offer; asked in a process of its own, as a client may wait for ever."""
    if place.startswith("local:"):
        said = f"{place} starts {place[6:]} worker processes here for each command"
        return Finding(area="cluster", name="Dask", state="ok", said=said)
    host, _, port = place.partition("://")[2].rpartition(":")
    fault = _silence(host, int(port)) if host else ""
    if not fault:
        told, fault = machine.asked([sys.executable, "-W", "ignore", "-c", _SCHEDULER, place], _ASK_S)
    if fault:
        said, advice = f"no Dask scheduler answers at {place}: {fault}", "Check GLACIERSCALE_DASK or --dask."
        return Finding(area="cluster", name="Dask", state="fault", said=said, advice=advice)
    workers, threads, size, link = loads(told.splitlines()[-1])
    if not workers:
        said, advice = f"{place} answers, but has no workers", f"Start some: dask worker {place}, or scale it up."
        return Finding(area="cluster", name="Dask", state="fault", said=said, advice=advice)
    said = f"{place} has {workers} workers with {threads} threads and {gib(size)}; dashboard at {link}"
    return Finding(area="cluster", name="Dask", state="ok", said=said)


def _ray(place: str) -> Finding:
    """Whether the head of a Ray cluster answers."""
    if place.startswith("local:"):
        said = f"{place} starts Ray here with {place[6:]} CPUs for each command"
        return Finding(area="cluster", name="Ray", state="ok", said=said)
    told = Path("/tmp/ray/ray_current_cluster")  # where `ray start` leaves the address
    address = place.removeprefix("ray://")
    if place == "auto":
        address = os.environ.get("RAY_ADDRESS", "") or (told.read_text().strip() if told.is_file() else "")
        address = address.removeprefix("ray://")
    host, _, port = address.rpartition(":")
    fault = _silence(host, int(port)) if port.isdigit() else "no cluster of this machine is known"
    if not fault:
        return Finding(area="cluster", name="Ray", state="ok", said=f"{place}: {address} answers")
    said, advice = f"no Ray cluster answers at {place}: {fault}", "Check GLACIERSCALE_RAY or --ray, and `ray status`."
    return Finding(area="cluster", name="Ray", state="fault", said=said, advice=advice)


def _silence(host: str, port: int) -> str:
    """Why nothing answers at an address; empty where something listens."""
    try:
        socket.create_connection((host.strip("[]"), port), timeout=_WAIT_S / 2).close()
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    return ""
