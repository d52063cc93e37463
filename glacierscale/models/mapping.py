"""What a raster network says of whole glaciers: their balance, and maps of it and of its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from glacierscale.models import networks
from glacierscale.models.raster import RasterNet, cells_of, known_years, weather_of
from glacierscale.models.surface import Surface, surface_of
from glacierscale.region import WINTER_MONTHS

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

PARAMETERS = {
    "ddf_snow": "kg m-2 K-1 day-1",
    "ddf_ice": "kg m-2 K-1 day-1",
    "precip_factor": "1",
    "temp_bias": "K",
}
"""Unit of every parameter that is mapped."""


@dataclass(frozen=True, kw_only=True)
class Glaciers:
    """Annual balances of the cells of some glaciers."""

    surface: Surface
    annual: Floats
    """(member, cell, year) kg m-2"""
    winter: Floats
    """(member, cell, year) kg m-2"""

    def mean(self, of_cells: Floats) -> Floats:
        """Area-weighted mean over each outline: (member, cell, year) -> (member, outline, year)."""
        area, number = self.surface.area, self.surface.outline
        start = np.searchsorted(number, np.arange(len(self.surface.unit_id)))
        total = np.add.reduceat(of_cells * area[:, None], start, axis=1, dtype=np.float64)
        mean: Floats = total / np.add.reduceat(area, start)[:, None]
        return mean


def glaciers(net: RasterNet, patches: xr.Dataset, features: xr.Dataset) -> Glaciers | None:
    """Balances of a (loaded) run of patches by the members that were trained on all observations.

    Parameters
    ----------
    net : RasterNet
    patches : xarray.Dataset
        A slice of a Patches dataset along glacier.
    features : xarray.Dataset
        The Features dataset that its ``feature_row`` refers to.

    Returns
    -------
    Glaciers or None
        Glaciers that are not set aside, in order; years that lack months of climate are NaN. None if there is none.
    """
    surface = surface_of(patches, net.form.reference_elevation, net.form.kernel)
    if not len(surface.unit_id):
        return None
    weather = weather_of(features, surface.feature_row)
    shape = (net.members, len(surface.elevation), weather.temp.shape[1])
    annual, winter = np.empty(shape, np.float32), np.empty(shape, np.float32)
    for years, found in net.balances(0, surface, weather):
        annual[:, :, years] = found.monthly.sum(-1).cpu().numpy()
        winter[:, :, years] = found.monthly[..., :WINTER_MONTHS].sum(-1).cpu().numpy()
    unknown = ~known_years(weather).numpy()[surface.outline]
    annual[:, unknown], winter[:, unknown] = np.nan, np.nan
    return Glaciers(surface=surface, annual=annual, winter=winter)


def parameters_of(net: RasterNet, surface: Surface) -> Floats:
    """Parameters of the degree-day model on every cell, mean over members: (cell, parameter) in units of `PARAMETERS`.

    NaN for a ``cnn``, which has none.
    """
    if net.form.kind == "cnn":
        return np.full((len(surface.elevation), len(PARAMETERS)), np.nan, np.float32)
    own, cells = net.own(0), cells_of(surface, net.form)
    with torch.no_grad():
        drawn = networks.fields_of(own, net.form, cells)
        found = networks.parameters(own, net.form, cells, drawn)
        mean = torch.stack([found[name].mean(0) for name in PARAMETERS], dim=-1)
    values: Floats = mean.numpy()
    return values


def on_patches(surface: Surface, size: int, count: int, at: Ints, values: Floats) -> Floats:
    """Values of cells on patches, NaN elsewhere: (cell, ...) -> (glacier, ..., y, x).

    Parameters
    ----------
    size : int
        Cells of a side.
    count : int
        Glaciers.
    at : (outline,) int
        Glacier of each outline of the surface.
    """
    out = np.full((count, size, size, *values.shape[1:]), np.nan, np.float32)
    out[at[surface.outline], surface.row, surface.column] = values
    return np.moveaxis(out, (1, 2), (-2, -1))


def maps(net: RasterNet, patches: xr.Dataset, features: xr.Dataset, *, seasonal: bool) -> dict[str, npt.NDArray[Any]]:
    """Every stored variable of `schema.MAPS` of a (loaded) run of patches."""
    names = [str(name) for name in patches.channel.values]
    count, size = patches.sizes["glacier"], patches.sizes["x"]
    years = features.sizes["hydro_year"]
    empty = np.full((count, years, size, size), np.nan, np.float32)
    arrays: dict[str, npt.NDArray[Any]] = {
        "elevation": patches.rasters.values[:, names.index("elevation")],
        "ice_fraction": patches.rasters.values[:, names.index("ice_fraction")],
        "smb_map": empty,
        "smb_map_std": empty[:, 0],
        "parameters": np.full((count, len(PARAMETERS), size, size), np.nan, np.float32),
    }
    if seasonal:
        arrays["winter_map"] = empty
    found = glaciers(net, patches, features)
    if found is None:
        return arrays
    surface = found.surface
    at = np.searchsorted(patches.feature_row.values, surface.feature_row)
    std = found.annual.std(axis=0, ddof=1) if net.members > 1 else np.zeros_like(found.annual[0])
    known = np.isfinite(std)
    mean_square = np.where(known, std, 0.0) ** 2 @ np.ones(years) / np.maximum(known.sum(axis=1), 1)
    arrays["smb_map"] = on_patches(surface, size, count, at, found.annual.mean(axis=0))
    arrays["smb_map_std"] = on_patches(surface, size, count, at, np.sqrt(mean_square))
    arrays["parameters"] = on_patches(surface, size, count, at, parameters_of(net, surface))
    if seasonal:
        arrays["winter_map"] = on_patches(surface, size, count, at, found.winter.mean(axis=0))
    return arrays
