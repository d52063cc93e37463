"""Whether this machine, its credentials and its clusters are fit for a run, in words, before the run."""

from __future__ import annotations

from collections.abc import Iterator
from json import dumps

from glacierscale.doctor.finding import Finding

__all__ = ["Finding", "doctor", "findings"]

_COLOURS = {"ok": "green", "note": "yellow", "fault": "bold red"}


def doctor(*, to: str = "", data: str = "", json: bool = False) -> int:
    """Look at libraries, GPUs, credentials, clusters, memory and disks, and say what a run would stumble over.

    Clusters are those that --dask and --ray, or GLACIERSCALE_DASK and GLACIERSCALE_RAY, name.

    Parameters
    ----------
    to : str
        Folder or URL that a run would write to: an object is written there and removed again.
    data : str
        Folder or URL that a run would read.
    json : bool
        Print one JSON document in place of the table.

    Returns
    -------
    int
        2 if there is a fault, which a run would fail on, else 0.
    """
    found = findings(to, data)
    faults = [one for one in found if one.state == "fault"]
    if json:
        print(dumps({"fit": not faults, "findings": [vars(one) for one in found]}, indent=2))
    else:
        _print(found)
    return 2 if faults else 0


def findings(to: str = "", data: str = "") -> list[Finding]:
    """Everything that was looked at, in order; no secret stands in it.

    Parameters
    ----------
    to, data : str
        As for `doctor`; empty for none.
    """
    return list(_looked_at(to, data))


def _looked_at(to: str, data: str) -> Iterator[Finding]:
    from glacierscale import compute
    from glacierscale.doctor import machine, places

    cluster = compute.current()
    yield from machine.libraries()
    yield from machine.extras()
    yield from machine.gpus(cluster)
    yield from machine.memory(cluster)
    yield from machine.disks()
    yield from places.credentials()
    if to:
        yield places.output(to)
    if data:
        yield places.data(data)
    yield from places.clusters(cluster)


def _print(found: list[Finding]) -> None:
    """A table; libraries that are as they should be take one line together, and the last line says what to do."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    table = Table(Column("what", no_wrap=True), Column("state", no_wrap=True), Column("found", overflow="fold"))
    fine = [one for one in found if one.area == "libraries" and one.state == "ok"]
    shown = [Finding(area="libraries", name="", state="ok", said=f"{len(fine)} as required")] if fine else []
    for one in shown + [one for one in found if one not in fine]:
        text = f"{one.said}\n{one.advice}" if one.advice else one.said
        what = f"{one.area} {one.name}".strip()
        table.add_row(escape(what), f"[{_COLOURS[one.state]}]{one.state}[/]", escape(text))
    console = Console()
    console.print(table)
    faults = sum(one.state == "fault" for one in found)
    told = (
        f"{faults} faults; a run would fail on them." if faults else "Fit for a run; try `glacierscale demo --to demo`."
    )
    console.print(told, highlight=False)
