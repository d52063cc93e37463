"""Ice cells of glaciers read from stores of patches when a step needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale.models.scene import Scene, observed, reference_elevation, rows_of, scene_of, scene_over
from glacierscale.models.surface import INPUTS, Surface, surface_of
from glacierscale.schema import text
from glacierscale.store import Store
from glacierscale.store.samples import Samples

Ints = npt.NDArray[np.integer]

IN_MEMORY_BYTES = 2**31
"""Ice cells of observed glaciers up to this size are held in memory; more of them are read as steps need them."""

_MONTHS, _BYTES_OF_THE_REST = 12, 40
_READ_AT_ONCE = 64
_STATIC = ("rasters", "radiation")
_HEAVY = ("context", "radiation")  # what no observation needs to find its cells


def scene_in(
    features: xr.Dataset,
    stores: Sequence[Store],
    kinds: tuple[str, ...],
    kernel: int,
    in_memory_bytes: int = IN_MEMORY_BYTES,
) -> Scene:
    """Put observed glaciers together, their ice cells in memory where they fit, else left in their stores.

    Parameters
    ----------
    features : xarray.Dataset
        A checked Features dataset.
    stores : sequence of Store
        Patches of every size.
    kinds : tuple of str
        Kinds of observation wanted.
    kernel : int
        Side of the neighbourhood that the networks see, cells.
    in_memory_bytes : int
        Ice cells up to this size are held in memory; a patch counts as if all of it were ice.

    Raises
    ------
    ValueError
        If none of the observations can be seen, with the reasons.
    """
    datasets, reference_m = [store.open() for store in stores], reference_elevation(features)
    table = observed(features, kinds)
    rows = rows_of(features, datasets, np.unique(table.obs_unit_id))
    each = 4 * (len(INPUTS) * kernel**2 + _MONTHS) + _BYTES_OF_THE_REST
    cells = sum(len(some) * data.sizes["y"] * data.sizes["x"] for some, data in zip(rows, datasets, strict=True))
    if cells * each <= in_memory_bytes:
        return scene_of(features, datasets, kinds, kernel, reference_m)
    ground = StreamedGround(stores, rows, reference_m, kernel)
    return scene_over(features, table, ground, ground.outlined(), reference_m)


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """Patches of one size."""

    static: tuple[Samples, ...]
    rest: xr.Dataset
    """Everything but the rasters, in memory"""

    @classmethod
    def of(cls, store: Store) -> _Stored:
        rest = store.open().drop_vars(_STATIC).load()
        return cls(static=tuple(Samples(store.url, name) for name in _STATIC), rest=rest)

    def read(self, rows: Ints) -> xr.Dataset:
        """Patches of some glaciers, as the store would give them."""
        some = self.rest.isel(glacier=rows)
        dims = ("glacier", "channel", "y", "x"), ("glacier", "month", "y", "x")
        return some.assign(
            {name: (dim, each.gather(rows)) for name, dim, each in zip(_STATIC, dims, self.static, strict=True)}
        )


@final
class StreamedGround:
    """Ice cells of some glaciers that stay in their stores: what `Surface` holds in memory, read outline by outline.

    Parameters
    ----------
    stores : sequence of Store
        Patches of every size.
    rows : sequence of (glacier,)
        Rows of each store, ascending; none of them set aside.
    reference_elevation_m : float
        Mean elevation of the region's ice.
    kernel : int
        Side of the neighbourhood, cells.
    """

    def __init__(
        self, stores: Sequence[Store], rows: Sequence[Ints], reference_elevation_m: float, kernel: int
    ) -> None:
        self.reference_elevation_m, self.kernel = reference_elevation_m, kernel
        self._stored = [_Stored.of(store) for store in stores]
        self._store = np.repeat(np.arange(len(stores)), [len(some) for some in rows])  # (outline,)
        self._row = np.concatenate([np.asarray(some, np.int64) for some in rows])
        self.unit_id: npt.NDArray[np.str_] = self._column("unit_id")
        self.feature_row: Ints = self._column("feature_row").astype(np.int64)
        self.cells: Ints = np.zeros(len(self._row), np.int64)
        self.most_cells = 0
        """Most cells that were in memory at a time"""
        for outlines in self._runs():
            part = self.take(outlines)
            self.cells[outlines] = np.bincount(part.outline, minlength=len(outlines))

    def take(self, outlines: Ints) -> Surface:
        """Ice cells of some outlines, ascending, read from their stores."""
        parts = []
        for number in np.unique(self._store[outlines]).tolist() or [0]:
            patches = self._stored[number].read(self._row[outlines[self._store[outlines] == number]])
            parts.append(surface_of(patches, self.reference_elevation_m, self.kernel))
        found = parts[0] if len(parts) == 1 else Surface.concatenate(parts)
        self.most_cells = max(self.most_cells, len(found.outline))
        return found

    def outlined(self) -> Surface:
        """All cells without what is heavy in them, neighbourhood and radiation: enough to find what observations see.

        It has about 40 bytes for a cell, a tenth of `Surface`, and is no longer needed once `functionals_of` is done.
        """
        parts = []
        for outlines in self._runs():
            part = self.take(outlines)
            parts.append(replace(part, **{name: getattr(part, name)[:, :0] for name in _HEAVY}))
        return Surface.concatenate(parts)

    def _runs(self) -> Iterator[Ints]:
        for start in range(0, len(self._row), _READ_AT_ONCE):
            yield np.arange(start, min(start + _READ_AT_ONCE, len(self._row)))

    def _column(self, name: str) -> npt.NDArray[Any]:
        """A variable of all outlines."""
        parts = [each.rest[name].values[self._row[self._store == n]] for n, each in enumerate(self._stored)]
        found = np.concatenate(parts)
        return text(found) if name == "unit_id" else found
