"""Glaciers of any size side by side, as rows of equally many cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy.typing as npt
import torch

from glacierscale.evolution.curves import POINTS
from glacierscale.evolution.geometry import Ice

WIDTH = 64
"""Cells in a row of packed glaciers: few enough to pad little, enough that sums run along memory."""

FLOOR = 1e-6
"""Least share of the greatest thinning: any cell can lose its ice once nothing else is left (curves start at 0)."""

_LOOSE = 0.7  # padded glaciers with a smaller share of cells in use are packed


@dataclass(frozen=True, kw_only=True)
class Packed:
    """Glaciers of any size as rows of equally many cells, so that little of what is worked on is padding."""

    bed: torch.Tensor
    """(row, width) m"""
    area: torch.Tensor
    """(row, width) m2 under ice where there is ice, 0 in padding"""
    initial: torch.Tensor
    """(row, width) m of ice at the start"""
    glacier: torch.Tensor
    """(row,) int, glacier of each row, ascending"""
    place: torch.Tensor
    """(row,) int, where the row is among all rows of the padded form"""
    shape: tuple[int, int]
    """Glaciers, and cells of each in the padded form"""
    level: torch.Tensor
    """(glacier x point,) where the line from one point of the curve to the next would start at height 0"""
    rise: torch.Tensor
    """(glacier x point,) rise of the curve to the next point"""

    @property
    def whole(self) -> bool:
        """Each glacier is one row."""
        return len(self.glacier) == self.shape[0] and self.bed.shape[1] == self.shape[1]

    def take(self, thickness: torch.Tensor) -> torch.Tensor:
        """Rows of what is padded: (member, glacier, cell) -> (member, row, width)."""
        if self.whole:
            return thickness
        width = self.bed.shape[1]
        return _in_rows(thickness, width).reshape(len(thickness), -1, width).index_select(1, self.place)

    def give(self, rows: torch.Tensor) -> torch.Tensor:
        """The inverse of `take`, 0 in padding: (member, row, width) -> (member, glacier, cell)."""
        if self.whole:
            return rows
        (glaciers, cells), width = self.shape, rows.shape[2]
        each = -(-cells // width)
        padded = rows.new_zeros(len(rows), glaciers * each, width).index_copy_(1, self.place, rows)
        return padded.reshape(len(rows), glaciers, each * width)[..., :cells]

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over the cells of each glacier: (member, row, width) -> (member, glacier)."""
        sums = values.sum(dim=-1)
        return sums if self.whole else sums.new_zeros(len(sums), self.shape[0]).index_add_(1, self.glacier, sums)

    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """Each glacier's value for its rows: (member, glacier) -> (member, row, 1)."""
        return (values if self.whole else values.index_select(1, self.glacier))[..., None]


def pack(ice: Ice, curve: npt.ArrayLike | torch.Tensor) -> Packed:
    """Glaciers in the form that `step` works on.

    Parameters
    ----------
    ice : Ice
        `bed`, `cell_area` and `thickness` (at the start) are read.
    curve : (glacier, POINTS)
        Normalised thinning at heights from the top (0) to the terminus (1), see `curves`.

    Raises
    ------
    ValueError
        If the curve has another shape, is negative, not finite or 0 everywhere, or ice lies where there is no area.
    """
    levels = torch.as_tensor(curve, dtype=torch.float64)
    glaciers, cells = ice.bed.shape
    if tuple(levels.shape) != (glaciers, POINTS):
        raise ValueError(f"curve has shape {tuple(levels.shape)}; expected {(glaciers, POINTS)}, a row a glacier.")
    if not bool(((levels >= 0) & levels.isfinite()).all()) or not bool((levels.amax(dim=1) > 0).all()):
        raise ValueError("a curve is negative, not finite or 0 everywhere; expected thinning from 0 to 1.")
    check(ice.thickness[None], ice)
    levels = (levels / levels.amax(dim=1, keepdim=True)).clamp(min=FLOOR)
    rise = torch.nn.functional.pad(levels.diff(dim=1), (0, 1))
    used = ice.cell_area > 0
    width = cells if int(used.sum()) >= _LOOSE * used.numel() else min(WIDTH, cells)
    place = torch.arange(glaciers)
    if width < cells:
        place = _in_rows(used, width).any(dim=-1).reshape(-1).nonzero()[:, 0]
    bed, area, initial = (
        _in_rows(values, width).reshape(-1, width).index_select(0, place)
        for values in (ice.bed, ice.cell_area, ice.thickness)
    )
    return Packed(
        bed=bed,
        area=area,
        initial=initial,
        glacier=place // -(-cells // width),
        place=place,
        shape=(glaciers, cells),
        level=(levels - rise * torch.arange(POINTS)).reshape(-1),
        rise=rise.reshape(-1),
    )


def check(thickness: torch.Tensor, ice: Ice) -> None:
    """Refuse ice that cannot be.

    Parameters
    ----------
    thickness : (member, glacier, cell) m
    ice : Ice

    Raises
    ------
    ValueError
        If thickness has another shape, is negative or not finite, or lies where there is no area.
    """
    if tuple(thickness.shape[1:]) != tuple(ice.bed.shape):
        raise ValueError(f"thickness has shape {tuple(thickness.shape)}; expected (member, *{tuple(ice.bed.shape)}).")
    low, high = map(float, thickness.aminmax()) if thickness.numel() else (0.0, 0.0)
    if not (low >= 0 and high < torch.inf):  # also false for NaN
        raise ValueError(
            f"thickness runs from {low:g} to {high:g} m; expected finite numbers from 0 on. Set missing ones to 0."
        )
    bare = ice.cell_area <= 0
    if bool(bare.any()) and bool(thickness[:, bare].any()):
        count = int((thickness[:, bare] > 0).any(dim=0).sum())
        raise ValueError(f"{count} cells without area hold ice; expected 0 m in padding and outside the outline.")


def block(
    values: tuple[torch.Tensor, ...], packed: Packed, member: torch.Tensor, glacier: torch.Tensor
) -> tuple[list[torch.Tensor], Packed]:
    """Some glaciers of some members alone, each pair in one row: (member, row, width) -> (1, pair, cell)."""
    index, own = _rows_of(packed, glacier)
    pairs = len(glacier)

    def cells(ground: torch.Tensor) -> torch.Tensor:
        return torch.where(own[..., None], ground, 0.0).reshape(pairs, -1)

    alone = Packed(
        bed=cells(packed.bed[index]),
        area=cells(packed.area[index]),
        initial=cells(packed.initial[index]),
        glacier=torch.arange(pairs),
        place=torch.arange(pairs),
        shape=(pairs, index.shape[1] * packed.bed.shape[1]),
        level=packed.level.reshape(-1, POINTS)[glacier].reshape(-1),
        rise=packed.rise.reshape(-1, POINTS)[glacier].reshape(-1),
    )
    return [cells(value[member[:, None], index])[None] for value in values], alone


def put_back(
    alone: torch.Tensor, into: torch.Tensor, packed: Packed, member: torch.Tensor, glacier: torch.Tensor
) -> None:
    """The inverse of `block`, in place: (1, pair, cell) -> (member, row, width)."""
    index, own = _rows_of(packed, glacier)
    rows = alone.reshape(*index.shape, -1)
    into[member[:, None].expand_as(index)[own], index[own]] = rows[own]


def _rows_of(packed: Packed, glacier: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of some glaciers, as many for each as the largest has, and which of them are its own: (pair, row) both."""
    count = torch.bincount(packed.glacier, minlength=packed.shape[0])
    first = count.cumsum(0) - count
    number = torch.arange(max(int(count[glacier].max()), 1))
    own = number < count[glacier][:, None]
    return torch.where(own, first[glacier][:, None] + number, 0), own


def _in_rows(values: torch.Tensor, width: int) -> torch.Tensor:
    """Cells in rows, the last filled up with 0: (..., cell) -> (..., row, width)."""
    short = -values.shape[-1] % width
    padded = torch.nn.functional.pad(values, (0, short)) if short else values
    return padded.reshape(*values.shape[:-1], -1, width)
