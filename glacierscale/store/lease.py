"""One run at a time per output: a lease that lies in the place itself and is taken over from the dead.

Lease objects are numbered generations, each created only where absent, so that one of many starters wins. The highest
one is the holder's. A holder shows that it lives by rewriting a beat of its own, which nobody else writes. On the same
machine the process itself tells; elsewhere the beat must stand still for the whole time to live, by the clock of the
one who watches, so that clocks need not agree.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import stamina

from glacierscale.store.blocks import StoreError
from glacierscale.store.faults import PassingError, budget_s
from glacierscale.store.holder import Holder, clock
from glacierscale.store.objects import LEASE, Objects
from glacierscale.store.transactions import plain

TTL_S = 30.0
"""Seconds after which a holder that shows no sign of life counts as dead."""

_log = logging.getLogger(__name__)
_held: list[Lease] = []


class HeldError(StoreError):
    """Another run works on the same output."""


class LostLeaseError(StoreError):
    """Another run took this one for dead and works on its output now."""


class _BeatenError(HeldError):
    """Somebody else came or went in the same moment; looking again decides."""


class Lease:
    """A lease that is held; `hold` makes it."""

    def __init__(self, place: Objects, holder: Holder, number: int) -> None:
        self.holder, self.number = holder, number
        self._place, self._lost, self._beats = place, "", 0
        self._lock, self._stop, self._seen = threading.Lock(), threading.Event(), clock()
        self._thread = threading.Thread(target=self._keep, name=f"lease of {place.url}", daemon=True)
        self._beat()
        self._thread.start()

    def check(self) -> None:
        """Raise `LostLeaseError` if this lease, or one of a folder around it, was lost; cheap after a recent look."""
        still_held(self._place.url)

    def check_own(self) -> None:
        """The same of this lease alone."""
        if not self._lost and clock() - self._seen > self.holder.ttl_s / 2:
            self._beat()  # this process slept: look before anything is written
        if self._lost:
            raise LostLeaseError(self._lost)

    def covers(self, url: str) -> bool:
        """Whether a place is the one that is held, or lies in it."""
        mine, other = _whole(self._place.url), _whole(url)
        return other == mine or other.startswith(f"{mine}/")

    def release(self) -> None:
        """Remove what there is of the lease; what cannot be removed is taken over once this process has ended."""
        self._stop.set()
        self._thread.join()
        self._beat()
        try:
            for key in self._own():
                self._place.delete(key)
        except StoreError as error:
            _log.warning("%s: the lease could not be removed: %s", self._place.url, error)
        if self._place.local:
            with contextlib.suppress(OSError):  # somebody else has a lease there now
                (Path(self._place.url) / LEASE).rmdir()

    def _own(self) -> list[str]:
        """What is this run's to remove, the lease itself last."""
        own = [_beat_name(self.number, self.holder.token), _name(self.number)]
        if not self._lost:
            dead = [key for key in sorted(self._place.keys(LEASE)) if _number(key) <= self.number and key not in own]
            return [*dead, *own]
        # The number may have been removed and given anew since.
        return own if _generations(self._place).get(self.number) == self.holder else own[:1]

    def _keep(self) -> None:
        while not self._lost and not self._stop.wait(self.holder.ttl_s / 6):
            self._beat()

    def _beat(self) -> None:
        """Look whether the lease still stands, and show that this run lives."""
        with self._lock:
            if self._lost:
                return
            try:
                there = _generations(self._place)
                standing = there[max(there)] if there else None
                if standing != self.holder:
                    now = f"{standing} has it now" if standing else "its lease was removed"
                    self._lost = (
                        f"{self._place.url}: this run was taken for dead, and {now}. Nothing more is written; "
                        "run the same command again once the other one is through."
                    )
                    return
                self._beats += 1
                beat = _beat_name(self.number, self.holder.token)
                self._place.put(beat, f"{self._beats} {clock()}".encode())
                self._seen = clock()
            except StoreError as error:
                if clock() - self._seen > self.holder.ttl_s:
                    self._lost = f"{self._place.url}: the lease could not be renewed in time. {error}"


@contextlib.contextmanager
def hold(place: str | Path, verb: str, *, ttl_s: float = TTL_S) -> Iterator[Lease]:
    """Hold the lease of an output while something writes to it.

    Parameters
    ----------
    place : str or Path
        Folder or URL of the output.
    verb : str
        What runs, for the message that others get.
    ttl_s : float
        Seconds without a sign of life after which others may take over.

    Raises
    ------
    HeldError
        If another run holds it, naming that one.
    LostLeaseError
        At the end, if another run took this one for dead meanwhile.
    """
    url = str(place)
    absent = "://" not in url and not Path(url).exists()
    lease = _acquire(url, verb, ttl_s)
    _held.append(lease)
    try:
        yield lease
        lease.check()
    finally:
        _held.remove(lease)
        lease.release()
        if absent:
            with contextlib.suppress(OSError):  # something was written
                Path(url).rmdir()


def sweep(place: str) -> None:
    """Remove the lease that a dead run left on an output, if there is one."""
    with contextlib.suppress(StoreError):  # what cannot be listed has none
        if Objects(place).keys(LEASE):
            with hold(place, "sweep"):
                pass


def still_held(place: str | Path) -> None:
    """Raise `LostLeaseError` if this process held a place, or a folder around it, and lost it."""
    for lease in _held:
        if lease.covers(str(place)):
            lease.check_own()


def _acquire(url: str, verb: str, ttl_s: float) -> Lease:
    place = Objects(url, create=True, budget_s=min(budget_s(), max(ttl_s, 10.0)))

    @stamina.retry(on=(_BeatenError, PassingError), attempts=None, timeout=budget_s(), wait_initial=0.05, wait_max=1.0)
    def once() -> Lease:
        before = _generations(place)
        last = max(before, default=0)
        if before and _lives(place, last, before[last]):
            raise HeldError(_refusal(url, before[last]))
        me = Holder.here(verb, ttl_s)
        _claim(place, last + 1, me, before)
        if before and place.local:
            _sweep(Path(url))
        return Lease(place, me, last + 1)

    return once()


def _claim(place: Objects, number: int, me: Holder, before: dict[int, Holder]) -> None:
    """Create a generation; raise if somebody else has come meanwhile."""
    created = place.create(_name(number), me.packed())
    now = _generations(place)
    if not created and now.get(number) != me:  # a repeated request may have met its own first try
        raise _BeatenError(_refusal(place.url, now.get(number)))
    # The dead one may have been taken over from, that run ended, and another begun anew at 1 since we looked.
    strangers = [holder for other, holder in now.items() if other != number and before.get(other) != holder]
    if strangers:
        place.delete(_name(number))
        raise _BeatenError(_refusal(place.url, strangers[-1]))


def _refusal(url: str, holder: Holder | None) -> str:
    who = str(holder) if holder else "another run that starts at this moment"
    return (
        f"{url} is held by {who}. Wait until it is through, or stop that process; "
        "what a dead run held is taken over by running the command again."
    )


def _generations(place: Objects) -> dict[int, Holder]:
    """Every lease object by number, in order."""
    numbers = sorted(_number(key) for key in place.keys(LEASE) if key.endswith(".json"))
    found = {number: place.get(_name(number)) for number in numbers}
    try:
        return {number: Holder.unpacked(data) for number, data in found.items() if data is not None}
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"{place.url}/{LEASE} holds what is no lease of this version; if no run works there, remove that folder."
        ) from error


def _lives(place: Objects, number: int, holder: Holder) -> bool:
    """Whether a holder lives; elsewhere than on this machine it takes up to its time to live to find out."""
    beat = _beat_name(number, holder.token)
    last = place.get(beat)
    if holder.is_here():
        silent = clock() - float(last.split()[1]) if last else 0.0
        return not (holder.is_gone() or (holder.is_suspended() and silent > holder.ttl_s))
    until = time.monotonic() + holder.ttl_s
    while time.monotonic() < until:
        time.sleep(min(1.0, holder.ttl_s / 20))
        if place.get(beat) != last:
            return True
    return False


def _sweep(folder: Path) -> None:
    """Remove what a killed writer left of objects it had not finished; folders with a lease of their own are spared."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not (Path(parent) / name / LEASE).exists()]
        for name in names:
            if re.fullmatch(r".+#\d+", name):  # how obstore calls an object until it is whole
                (Path(parent) / name).unlink(missing_ok=True)


def _whole(url: str) -> str:
    place = plain(url)
    return place.rstrip("/") if "://" in place else str(Path(place).absolute())


def _name(number: int) -> str:
    return f"{LEASE}/{number:06d}.json"


def _beat_name(number: int, token: str) -> str:
    return f"{LEASE}/{number:06d}-{token}.beat"


def _number(key: str) -> int:
    return int(re.split(r"[-.]", key.rpartition("/")[2])[0])
