"""What the report takes from the stores of maps: rasters of a few glaciers, cut to their ice, and who was set aside."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from glacierscale import provenance, schema
from glacierscale.store import Files, Store

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.floating]

SIDE = 128
"""Cells per side that are drawn at most; finer rasters are averaged."""
FLATTEST, STEEPEST = 0.62, 1.0
"""Height of a cut in widths, at least and at most."""
_PAD = 2
_RASTERS = ("elevation", "ice_fraction", "smb_map", "parameters")


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Rasters of one glacier, row 0 in the north."""

    glacier_id: str
    """Identifier of the outline."""
    area_m2: float
    """Area of the outline."""
    resolution_m: float
    """Side of a cell."""
    years: npt.NDArray[np.integer]
    """(hydro_year,) those with a map"""
    elevation: Floats
    """(y, x) m"""
    ice: Floats
    """(y, x) share of the cell that is glacier"""
    smb: Floats
    """(hydro_year, y, x) kg m-2; NaN off the glacier"""
    parameters: dict[str, Floats]
    """Learned parameters by name, (y, x) in their unit; NaN off the glacier."""
    units: dict[str, str]
    """Unit of each parameter."""

    def glacier_wide(self) -> Floats:
        """Mean over the ice of each year, (hydro_year,) kg m-2."""
        weight = np.where(np.isfinite(self.smb), self.ice, 0.0)
        total = weight.sum((1, 2))
        return np.asarray(np.divide(np.nansum(self.smb * weight, (1, 2)), total, out=total * np.nan, where=total > 0))

    def drawn_cells(self) -> npt.NDArray[np.bool_]:
        """Cells that count as glacier in a drawing: half ice or more (of a tiny glacier those with most), (y, x)."""
        return np.asarray(self.ice >= min(0.5, float(self.ice.max())))

    def band_means(self, step_m: float) -> tuple[Floats, Floats, Floats]:
        """Average over elevation bands.

        Parameters
        ----------
        step_m : float
            Height of a band; bands start at its multiples.

        Returns
        -------
        tuple of numpy.ndarray
            Mean elevation (band,) m, area (band,) m2 and balance (band, hydro_year) kg m-2 of the bands with ice.
        """
        ice = (self.ice > 0) & np.isfinite(self.elevation) & np.isfinite(self.smb).all(0)
        band = np.floor(self.elevation[ice] / step_m).astype(int)
        _, member = np.unique(band, return_inverse=True)
        weight = self.ice[ice]
        area = np.bincount(member, weight)
        smb = np.array([np.bincount(member, weight * year[ice]) for year in self.smb]).T / area[:, np.newaxis]
        height = np.bincount(member, weight * self.elevation[ice]) / area
        return height, area * self.resolution_m**2, smb


def map_stores(smb: Store) -> list[Store]:
    """Stores of maps that lie beside a reconstruction, in its folder or bucket, from small patches to large."""
    folder = provenance.join(smb.url, "..")
    names = Files.at(folder).stores("smb_map_*.zarr")
    return [Store.at(provenance.join(folder, name), schema.MAPS) for name in names]


def set_aside(datasets: Sequence[xr.Dataset]) -> list[tuple[str, str]]:
    """Identifier of every glacier that was set aside and why, different reasons joined, in order."""
    found: dict[str, dict[str, None]] = {}
    for dataset in datasets:
        if "set_aside" in dataset:
            pairs = zip(schema.text(dataset.glacier_id.values), schema.text(dataset.set_aside.values), strict=True)
            for glacier, reason in pairs:
                if reason:
                    found.setdefault(str(glacier), {})[str(reason)] = None
    return [(glacier, "; ".join(reasons)) for glacier, reasons in sorted(found.items())]


def surfaces(maps: Sequence[xr.Dataset], observed: Collection[str], most: int) -> list[Surface]:
    """Read the glaciers to draw: observed ones first, the larger before the smaller.

    Parameters
    ----------
    maps : sequence of xarray.Dataset
        Datasets of `schema.MAPS`.
    observed : collection of str
        Identifiers of observed glaciers or of the units that outlines belong to.
    most : int
        How many to read at most; those without ice or without a value do not count.
    """
    ranked = sorted(
        (str(glacier) not in observed and str(unit) not in observed, -float(area), number, row)
        for number, data in enumerate(maps)
        for row, (glacier, unit, area, why) in enumerate(
            zip(*(data[name].values for name in ("glacier_id", "unit_id", "area_m2", "set_aside")), strict=True)
        )
        if not str(why)
    )
    out: list[Surface] = []
    for _, _, number, row in ranked:
        if len(out) == most:
            break
        found = _surface(maps[number][_wanted(maps[number])].isel(glacier=row).load())
        out += [found] if found is not None else []
    return out


def _wanted(maps: xr.Dataset) -> list[str]:
    names = ("glacier_id", "area_m2", "resolution", "hydro_year", "parameter", "parameter_units", *_RASTERS)
    return [name for name in names if name in maps.variables]


def _surface(glacier: xr.Dataset) -> Surface | None:
    """One glacier of a store of maps, cut and thinned; None where there is nothing to draw."""
    arrays = {name: glacier[name].values.astype(float) for name in _RASTERS}
    ice = arrays["ice_fraction"] = np.nan_to_num(arrays["ice_fraction"])
    told = np.isfinite(arrays["smb_map"]).any((1, 2))  # years without climate have no map
    if not (ice > 0).any() or not told.any():
        return None
    arrays["smb_map"] = arrays["smb_map"][told]
    rows, columns = window(ice > 0)
    factor = int(np.ceil(max(rows.stop - rows.start, columns.stop - columns.start) / SIDE))
    cut = {name: values[..., rows, columns] for name, values in arrays.items()}
    weights = cut["ice_fraction"]
    thin = {name: thinned(cut[name], weights, factor) for name in ("smb_map", "parameters")}
    thin |= {name: thinned(cut[name], np.ones_like(weights), factor) for name in ("elevation", "ice_fraction")}
    names = schema.text(glacier["parameter"].values).tolist()
    return Surface(
        glacier_id=str(glacier["glacier_id"].item()),
        area_m2=float(glacier["area_m2"]),
        resolution_m=float(glacier["resolution"]) * factor,
        years=glacier["hydro_year"].values[told],
        elevation=thin["elevation"],
        ice=thin["ice_fraction"],
        smb=thin["smb_map"],
        parameters=dict(zip(names, thin["parameters"], strict=True)),
        units=dict(zip(names, schema.text(glacier["parameter_units"].values).tolist(), strict=True)),
    )


def window(ice: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns around the ice, as high and wide as can be drawn beside others, within the raster."""
    spans = []
    for axis, length in enumerate(ice.shape):
        where = np.flatnonzero(ice.any(1 - axis))
        spans.append((max(int(where[0]) - _PAD, 0), min(int(where[-1]) + 1 + _PAD, length)))
    height, width = (stop - start for start, stop in spans)
    wanted = (max(height, round(FLATTEST * width)), max(width, round(height / STEEPEST)))
    out = []
    for (start, stop), length, size in zip(spans, ice.shape, wanted, strict=True):
        size = min(size, length)
        first = min(max((start + stop - size) // 2, 0), length - size)
        out.append(slice(first, first + size))
    return out[0], out[1]


def thinned(values: Floats, weights: Floats, factor: int) -> Floats:
    """Weighted means of blocks of cells, (..., y, x); NaN where no cell of a block has a value and a weight."""
    if factor == 1:
        return values
    short = [(0, -size % factor) for size in values.shape[-2:]]
    padded = np.pad(values, [(0, 0)] * (values.ndim - 2) + short, constant_values=np.nan)
    weight = np.where(np.isfinite(padded), np.pad(weights, short), 0.0)
    rows, columns = (size // factor for size in padded.shape[-2:])
    blocks = (*padded.shape[:-2], rows, factor, columns, factor)
    total = weight.reshape(blocks).sum((-3, -1))
    sums = np.where(weight > 0, padded * weight, 0.0).reshape(blocks).sum((-3, -1))
    return np.asarray(np.divide(sums, total, out=np.full_like(total, np.nan), where=total > 0))
