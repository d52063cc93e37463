"""Ice of glaciers as lists of cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Floats = npt.NDArray[np.floating]

_SIDES = np.array([(0, -1), (0, 1), (-1, 0), (1, 0)])  # west, east, north, south: rows and columns further


@dataclass(frozen=True, kw_only=True)
class Ice:
    """Cells of some glaciers and the ice on them at the start, padded with cells without area; float64 tensors."""

    bed: torch.Tensor
    """(glacier, cell) m, elevation of the ground"""
    cell_area: torch.Tensor
    """(glacier, cell) m2 that ice covers at the start, or could where there is none; 0 in padding"""
    thickness: torch.Tensor
    """(glacier, cell) m over that area, at the start; thickness is volume over this area ever after"""
    row: torch.Tensor
    """(glacier, cell) int, row of the cell in the patch"""
    column: torch.Tensor
    """(glacier, cell) int"""
    neighbour: torch.Tensor
    """(glacier, side, cell) int, cell to the west, east, north and south: one of these, or beyond them of `rim`"""
    rim: torch.Tensor
    """(glacier, rim) m, elevation of the cells around"""
    dx: torch.Tensor
    """(glacier,) m, side of a cell"""
    patch_cells: int
    """Cells of a side of the patch"""


def of_patch(rasters: Mapping[str, Floats], dx_m: float, *, around: int | None = None) -> Ice:
    """Ice of one glacier.

    Parameters
    ----------
    rasters : mapping
        ``thickness``, ``ice_surface``, ``elevation`` (m) and ``ice_fraction`` (1), each (y, x), row 0 in the north.
    dx_m : float
        Side of a cell.
    around : int
        None lists the cells with ice, row by row. A number lists all cells of the rectangle that holds the ice and so
        many cells on each side more, so that ice may spread; a cell without ice at the start would be covered whole.

    Returns
    -------
    Ice
        Of one glacier; no cells where there is no ice.
    """
    surface, thickness = surface_and_depth(rasters)
    iced = thickness > 0
    chosen = iced if around is None else _rectangle(iced, around)
    row, column = np.nonzero(chosen)
    number = np.full(iced.shape, -1)
    number[row, column] = np.arange(len(row))
    neighbour, rim = _neighbours(number, surface, row, column)
    share = np.where(iced, rasters["ice_fraction"], 1.0)[row, column].astype(float)
    return Ice(
        bed=torch.from_numpy((surface - thickness)[row, column])[None],
        cell_area=torch.from_numpy(share * dx_m**2)[None],
        thickness=torch.from_numpy(thickness[row, column])[None],
        row=torch.from_numpy(row)[None],
        column=torch.from_numpy(column)[None],
        neighbour=torch.from_numpy(neighbour)[None],
        rim=torch.from_numpy(rim)[None],
        dx=torch.tensor([dx_m], dtype=torch.float64),
        patch_cells=iced.shape[0],
    )


def surface_and_depth(rasters: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """Surface at the start, and how deep the ice is below it, 0 where there is none: (y, x) m.

    Parameters
    ----------
    rasters : mapping
        As for `of_patch`.
    """
    thickness = np.nan_to_num(rasters["thickness"].astype(float))
    depth = np.where(np.nan_to_num(rasters["ice_fraction"]) > 0, np.maximum(thickness, 0), 0.0)
    surface = np.where(depth > 0, rasters["ice_surface"], rasters["elevation"]).astype(float)
    known = np.isfinite(surface)
    return np.where(known, surface, surface[known].max(initial=0.0)), depth  # a wall where nobody knows


def to_grid(ice: Ice, values: torch.Tensor, fill: float) -> torch.Tensor:
    """Values of the cells of one glacier as patches: (..., 1, cell) -> (..., y, x)."""
    size = ice.patch_cells
    out = torch.full((*values.shape[:-2], size * size), fill, dtype=values.dtype)
    out[..., ice.row[0] * size + ice.column[0]] = values[..., 0, :]
    return out.reshape(*values.shape[:-2], size, size)


def _rectangle(iced: npt.NDArray[np.bool_], around: int) -> npt.NDArray[np.bool_]:
    """Cells of the rectangle that holds the ice and some cells more on each side."""
    inside = np.zeros_like(iced)
    if iced.any():
        spans = []
        for axis in (0, 1):
            found = np.flatnonzero(iced.any(axis=1 - axis))
            spans.append(slice(max(found[0] - around, 0), found[-1] + 1 + around))
        inside[spans[0], spans[1]] = True
    return inside


def _neighbours(
    number: npt.NDArray[np.integer], surface_m: Floats, row: npt.NDArray[np.integer], column: npt.NDArray[np.integer]
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Neighbours (side, cell), numbers of cells and then of the rim, and the elevations of the rim.

    A neighbour beyond the edge of the patch is the cell itself.
    """
    size, cells = surface_m.shape[0], len(row)
    y, x = (np.clip(along + steps[:, None], 0, size - 1) for along, steps in zip((row, column), _SIDES.T, strict=True))
    found = number[y, x].astype(np.int64)
    outside, place = np.unique((y * size + x)[found < 0], return_inverse=True)
    found[found < 0] = cells + place
    return found, surface_m.ravel()[outside]
