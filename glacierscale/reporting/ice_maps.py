"""Maps of ice thickness of one glacier under future climates: a row for each scenario, a column for each year."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glacierscale import provenance, schema
from glacierscale.reporting.outlook import per_cent
from glacierscale.reporting.rasters import Floats, thinned, window
from glacierscale.reporting.remains import ice_colours
from glacierscale.reporting.style import drawn, gid, number, on_two_lines, panels
from glacierscale.reporting.surfaces import centres, scale_bar, shaded
from glacierscale.schema.scenarios import scenario_label
from glacierscale.store import Files, Store

if TYPE_CHECKING:
    import xarray as xr

SIDE = 96
"""Cells per side that are drawn at most; finer rasters are averaged."""
_EDGE = "#1f2a36"
_GREYS = 24
"""Levels of the shade: few, so that the many images stay small."""
_MOST_YEARS = 5
_NAME = 14


@dataclass(frozen=True, kw_only=True)
class Thickness:
    """Ice of one glacier in some years under each scenario, row 0 in the north."""

    glacier_id: str
    """Identifier of the outline."""
    area_m2: float
    """Area of the outline."""
    resolution_m: float
    """Side of a cell."""
    scenarios: tuple[str, ...]
    """Names, in stored order."""
    years: tuple[int, ...]
    """Years with a map."""
    bed: Floats
    """(y, x) m, the ground"""
    ice: Floats
    """(scenario, year, y, x) share of the cell that is ice"""
    mean: Floats
    """(scenario, year, y, x) m of ice, mean over the whole cell"""

    def volume(self) -> Floats:
        """Volume of ice, (scenario, year) m3."""
        total: Floats = np.nansum(self.mean, axis=(2, 3)) * self.resolution_m**2
        return total

    def shown(self) -> Floats:
        """Thickness to draw, (scenario, year, y, x) m; NaN where less than half of the cell is ice."""
        there = self.ice >= min(0.5, float(np.nanmax(self.ice)))
        return np.divide(self.mean, self.ice, out=np.full_like(self.mean, np.nan), where=there)


def stores_beside(ice: Store) -> list[Store]:
    """Stores of thickness that lie beside one of evolving glaciers, from small patches to large."""
    folder = provenance.join(ice.url, "..")
    return [
        Store.at(provenance.join(folder, name), schema.ICE_MAPS) for name in Files.at(folder).stores("ice_map_*.zarr")
    ]


def thickness(maps: Sequence[xr.Dataset], wanted: str = "") -> Thickness | None:
    """Read the ice of one glacier, cut to where there was some in the first year.

    Parameters
    ----------
    maps : sequence of xarray.Dataset
        Datasets of `schema.ICE_MAPS`.
    wanted : str
        Identifier of the glacier; empty takes the largest one with ice.

    Returns
    -------
    Thickness or None
        None where no glacier has ice in the first year.

    Raises
    ------
    ValueError
        If the glacier that is wanted has no map.
    """
    ranked = sorted(
        (-float(area), number_, row, str(glacier))
        for number_, data in enumerate(maps)
        for row, (glacier, area, why) in enumerate(
            zip(*(data[name].values for name in ("glacier_id", "area_m2", "set_aside")), strict=True)
        )
        if not str(why) and wanted in ("", str(glacier))
    )
    for _, at, row, _ in ranked:
        found = _thickness(maps[at].isel(glacier=row))
        if found is not None:
            return found
    if wanted:
        raise ValueError(
            f"there is no map of the ice of {wanted}, or it has none in the first year; name another glacier, or none "
            "for the largest."
        )
    return None


def _thickness(glacier: xr.Dataset) -> Thickness | None:
    """One glacier of a store of thickness, cut and thinned; None where there is no ice in the first year."""
    names = schema.text(glacier["snapshot_scenario"].values).tolist()
    of_year = glacier["snapshot_year"].values.tolist()
    scenarios, years = tuple(dict.fromkeys(names)), tuple(sorted(set(of_year)))
    place = {pair: at for at, pair in enumerate(zip(names, of_year, strict=True))}
    ice = np.nan_to_num(glacier["ice_fraction"].values.astype(float))
    rows, columns = (ice[place[scenarios[0], years[0]]] > 0,) * 2
    if not rows.any():
        return None
    rows, columns = window((ice > 0).any(axis=0))
    factor = int(np.ceil(max(rows.stop - rows.start, columns.stop - columns.start) / SIDE))
    every = np.array([[place[scenario, year] for year in years] for scenario in scenarios])
    mean = np.nan_to_num(glacier["thickness"].values.astype(float)) * ice
    bed = glacier["bed"].values.astype(float)[rows, columns]
    ones = np.ones_like(bed)
    return Thickness(
        glacier_id=str(glacier["glacier_id"].item()),
        area_m2=float(glacier["area_m2"]),
        resolution_m=float(glacier["resolution"]) * factor,
        scenarios=scenarios,
        years=years,
        bed=thinned(bed, ones, factor),
        ice=thinned(ice[every][..., rows, columns], ones, factor),
        mean=thinned(mean[every][..., rows, columns], ones, factor),
    )


@drawn
def thickness_figure(glacier: Thickness) -> tuple[Any, str]:
    """Map the thickness of a glacier on its bare ground with its first outline, a row for each scenario.

    Parameters
    ----------
    glacier : Thickness
        All maps share one scale of colours.

    Returns
    -------
    str
        SVG.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    some = np.unique(np.linspace(0, len(glacier.years) - 1, min(len(glacier.years), _MOST_YEARS)).round().astype(int))
    shown, volume = glacier.shown(), glacier.volume()
    rows, columns = glacier.bed.shape
    most = max(float(np.nanpercentile(shown[:, 0], 99)), 1.0)
    colours = ScalarMappable(Normalize(0, most), ice_colours())
    high = 8.2 / len(some) * rows / columns
    count = len(glacier.scenarios)
    figure, grid = panels(len(some), count, height=0.75 + count * (0.26 + high))
    for place, name in enumerate(glacier.scenarios):
        for axes, year in zip(grid[place], some, strict=True):
            _ice_map(axes, glacier, shown[place, year], colours)
            axes.images[0].set_gid(gid("ice", name, str(glacier.years[year])))
            left = f"{per_cent(float(volume[place, year] / volume[place, 0]))} %" if year else _volume(volume[place, 0])
            axes.set_title(f"{glacier.years[year]}: {left}", fontsize=8.5)
        label = on_two_lines(scenario_label(name), _NAME)
        grid[place, 0].set_ylabel(label, fontsize=8.5, fontweight="bold")
    scale_bar(grid[0, 0], columns * glacier.resolution_m / 1000)
    bar = figure.colorbar(colours, ax=grid.ravel().tolist(), orientation="horizontal", shrink=0.5, aspect=45, pad=0.015,
                          extend="max")  # fmt: skip
    bar.solids.set_rasterized(True)
    bar.outline.set_visible(False)
    bar.set_label(f"ice thickness of {glacier.glacier_id}, m")
    said = ", ".join(
        f"{per_cent(float(volume[n, -1] / volume[n, 0]))} % under {scenario_label(name)}"
        for n, name in enumerate(glacier.scenarios)
    )
    span = f"{glacier.years[0]} to {glacier.years[-1]}"
    return (
        figure,
        f"Maps of the ice thickness of {glacier.glacier_id} {span}; of its volume is left at the end: {said}.",
    )


def _volume(volume_m3: float) -> str:
    """A volume as it is printed: km3, or million m3 of a small glacier."""
    return f"{number(volume_m3 / 1e9, 2)} km³" if volume_m3 >= 5e7 else f"{number(volume_m3 / 1e6, 1)} million m³"


def _ice_map(axes: Any, glacier: Thickness, field: Floats, colours: Any) -> None:
    """Thickness (y, x) over shaded ground, and the outline of the first year; km in the axes."""
    shade = shaded(glacier.bed, glacier.resolution_m)
    known = np.where(np.isfinite(shade), 1.0, 0.0)
    picture = np.stack([np.nan_to_num(np.round(shade * _GREYS) / _GREYS)] * 3 + [known], axis=-1)
    there = np.isfinite(field)
    picture[there] = colours.to_rgba(field[there])
    rows, columns = field.shape
    side = glacier.resolution_m / 1000
    picture = np.round(picture * 255).astype(np.uint8)
    axes.imshow(picture, extent=(0, columns * side, 0, rows * side), interpolation="none")
    first = glacier.ice[0, 0]
    if first.min() < 0.5 < first.max():
        axes.contour(*centres(first.shape, glacier.resolution_m), first, levels=[0.5], colors=_EDGE, linewidths=0.8)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
