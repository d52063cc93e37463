"""A Zarr store bound to a schema: declared first, then written block by block, then read strictly.

The rules (docs/decisions/002-stores.md): a block is whole chunks and has one writer; it counts as done when its
completion record, written last, exists; every chunk carries a CRC-32C inside and its record another; a missing chunk is
an error, never NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from glacierscale.store.blocks import Block, Damage, NoStoreError, StoreError
from glacierscale.store.bound import Store
from glacierscale.store.files import Files
from glacierscale.store.holding import hold, sweep

if TYPE_CHECKING:
    from glacierscale.store.lease import HeldError

__all__ = ["Block", "Damage", "Files", "HeldError", "NoStoreError", "Store", "StoreError", "hold", "sweep"]


def __getattr__(name: str) -> object:
    """`HeldError`, whose module loads Zarr."""
    if name == "HeldError":
        from glacierscale.store.lease import HeldError

        return HeldError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
