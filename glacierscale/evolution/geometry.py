"""Ice of glaciers as lists of cells, and its topography as it changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from glacierscale.features.terrain import LOWEST_SHARE

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


def topography(ice: Ice, thickness: torch.Tensor, covered: torch.Tensor) -> dict[str, torch.Tensor]:
    """Size and shape of glaciers with the ice that they have now (see `features.terrain.per_glacier`).

    Parameters
    ----------
    ice : Ice
    thickness : (member, glacier, cell) m
    covered : (member, glacier, cell) m2
        Area under ice in each cell, 0 where there is none.

    Returns
    -------
    dict
        ``area`` m2, ``volume`` m3, ``mean_elevation``, ``min_elevation``, ``max_elevation`` m and ``slope20`` degree,
        each (member, glacier). Elevations and slopes of a glacier without ice are those of its ground.
    """
    surface = ice.bed + thickness
    bare = ~(covered > 0).any(dim=-1, keepdim=True)
    counted = torch.where(bare, ice.cell_area, covered)  # (member, glacier, cell)
    low = torch.where(counted > 0, surface, torch.inf).amin(dim=-1)
    high = torch.where(counted > 0, surface, -torch.inf).amax(dim=-1)
    tongue = torch.where(surface <= (low + LOWEST_SHARE * (high - low))[..., None], counted, 0.0)
    counted_area = counted.sum(dim=-1)
    return {
        "area": torch.where(bare[..., 0], 0.0, counted_area),
        "volume": (thickness * ice.cell_area).sum(dim=-1),
        "mean_elevation": (counted * surface).sum(dim=-1) / counted_area,
        "min_elevation": low,
        "max_elevation": high,
        "slope20": (tongue * _slope(ice, surface)).sum(dim=-1) / tongue.sum(dim=-1),
    }


def area_at(
    ice: Ice, thickness: torch.Tensor, covered: torch.Tensor, lowest_m: float, step_m: float, nodes: int
) -> torch.Tensor:
    """Area of ice at elevations in equal steps; a cell between two counts for both, for the nearer one more.

    A mean over the ice of anything that is linear between the elevations is the mean over them weighted by this.

    Parameters
    ----------
    ice : Ice
    thickness : (member, glacier, cell) m
    covered : (member, glacier, cell) m2
    lowest_m, step_m : float
        First elevation, and the step to the next.
    nodes : int
        How many; what lies outside counts for the first or the last.

    Returns
    -------
    torch.Tensor
        (member, glacier, node) m2
    """
    below, share = between(ice.bed + thickness, lowest_m, step_m, nodes)
    upper = covered * share
    out = torch.zeros(*thickness.shape[:-1], nodes, dtype=torch.float64)
    out.scatter_add_(-1, below, covered - upper)
    return out.scatter_add_(-1, below + 1, upper)


def between(elevation_m: torch.Tensor, lowest_m: float, step_m: float, nodes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Number of the node below each elevation, int, and how far it is on the way to the next, 0 to 1."""
    place = ((elevation_m - lowest_m) / step_m).clamp(0, nodes - 1)
    below = place.floor().clamp(max=nodes - 2)
    return below.long(), place - below


def to_grid(ice: Ice, values: torch.Tensor, fill: float) -> torch.Tensor:
    """Values of the cells of one glacier as patches: (..., 1, cell) -> (..., y, x)."""
    size = ice.patch_cells
    out = torch.full((*values.shape[:-2], size * size), fill, dtype=values.dtype)
    out[..., ice.row[0] * size + ice.column[0]] = values[..., 0, :]
    return out.reshape(*values.shape[:-2], size, size)


def _slope(ice: Ice, surface: torch.Tensor) -> torch.Tensor:
    """Slope of the surface by central differences: (member, glacier, cell) m -> degree."""
    around = torch.cat([surface, ice.rim.expand(len(surface), *ice.rim.shape)], dim=-1)
    west, east, north, south = (
        around.gather(-1, ice.neighbour[:, side].expand(surface.shape)) for side in range(len(_SIDES))
    )
    steps = 2 * ice.dx[:, None]
    return torch.rad2deg(torch.atan(torch.hypot((east - west) / steps, (south - north) / steps)))


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
