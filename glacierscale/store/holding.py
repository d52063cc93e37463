"""The lease of an output by its folder or URL; what does it (`lease`) loads Zarr, this does not."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from glacierscale.store.blocks import text_of

if TYPE_CHECKING:
    from glacierscale.store.lease import Lease


def hold(place: str | Path, verb: str) -> AbstractContextManager[Lease]:
    """Hold the lease of an output (folder or URL) while a verb writes to it; `HeldError` names who else holds it."""
    from glacierscale.store import lease, transactions

    return lease.hold(transactions.plain(text_of(place)), verb)


def sweep(place: str | Path) -> None:
    """Remove the lease of a run that was killed when its output was whole: no other would take it over."""
    from glacierscale.store import lease, transactions

    lease.sweep(transactions.plain(text_of(place)))
