"""What a command says when it is done: what it made, held-out errors, and the glaciers that were set aside."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glacierscale.store import Store

_SET_ASIDE_IN = ("features.zarr", "patches_*.zarr", "ice.zarr")
_NAMED = 10  # glaciers set aside that are named one by one
_NEXT = "Go on with them, or mend the data and run the same command with another --to."


def tell(function: Callable[..., Any], result: Any, to: str | Path) -> int:
    """Print what a command made; its exit code."""
    if isinstance(result, int):
        return result
    made = result if isinstance(result, tuple) else (result,)
    for one in made:
        if isinstance(one, Path | str) or hasattr(one, "url"):
            print(getattr(one, "url", one))
    _tell_scores(function, to)
    if function.__name__ in ("run", "demo"):  # what they return is the page
        made = _stores_of(to)
    return _tell_set_aside(made)


def _tell_scores(function: Callable[..., Any], to: Path | str) -> None:
    """Say how large the held-out errors are, after what has made scores."""
    if function.__name__ not in ("run", "demo", "evaluate"):
        return
    from glacierscale import provenance
    from glacierscale.evaluation.table import compact
    from glacierscale.store import Files

    data = Files.at(to).read("scores.parquet")
    if data is not None:
        print(compact(provenance.read_table(data)), file=sys.stderr)


def _stores_of(folder: Path | str) -> tuple[Store, ...]:
    """Stores of a run that say which glaciers were set aside."""
    from glacierscale import provenance
    from glacierscale.store import Files, Store

    names = (name for pattern in _SET_ASIDE_IN for name in Files.at(folder).stores(pattern))
    return tuple(Store.at(provenance.join(folder, name)) for name in names)


def _tell_set_aside(made: Sequence[Any]) -> int:
    """Name the glaciers that were set aside in what a command made; 3 if there are any, else 0."""
    from glacierscale.store import Store

    stores = [one for one in made if isinstance(one, Store)]
    told: dict[str, dict[str, None]] = {}  # reasons by glacier, each once, in order
    for dataset in (store.open() for store in stores if "set_aside" in store.schema.variables):
        for glacier, reason in zip(dataset.glacier_id.values.tolist(), dataset.set_aside.values.tolist(), strict=True):
            if reason:
                told.setdefault(glacier, {})[reason] = None
    if not told:
        return 0
    lines = [f"  {glacier}: {'; '.join(reasons)}" for glacier, reasons in list(told.items())[:_NAMED]]
    more = [f"  and {len(told) - _NAMED} more"] if len(told) > _NAMED else []
    head, tail = f"glacierscale: {len(told)} glaciers were set aside:", f"All others are done. {_NEXT}"
    print(head, *lines, *more, tail, sep="\n", file=sys.stderr)
    return 3
