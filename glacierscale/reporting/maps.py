"""The map of the report: mean balance over shaded terrain; kg m-2 come in, m w.e. are drawn.

Layers of many marks are rasterised: the size of a map does not grow with the number of glaciers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from glacierscale.reporting.places import KM_PER_DEGREE, Extent, graticule, places, scale_and_north
from glacierscale.reporting.style import DENSE_MARKS, M_WE, drawn, panels

if TYPE_CHECKING:
    import xarray as xr


_DENSE_VERTICES = 60_000
_ENOUGH_RELIEF = 0.5


@drawn
def smb_map(
    reconstruction: xr.Dataset, *, outlines: Any | None = None, elevation: xr.DataArray | None = None
) -> tuple[Any, str]:
    """Map the mean surface mass balance, as outlines where there are some and as points elsewhere.

    Parameters
    ----------
    reconstruction : xarray.Dataset
        `smb` (glacier, hydro_year) kg m-2 with glacier_id, lon, lat, area_m2.
    outlines : geopandas.GeoDataFrame or None
        glacier_id and geometry in EPSG:4326.
    elevation : xarray.DataArray or None
        Terrain (y, x) m with its ``crs_wkt``, for the hillshade.

    Returns
    -------
    str
        SVG.
    """
    figure, grid = panels(1, height=6.0)
    axes = grid[0, 0]
    points = draw_map(axes, reconstruction, outlines=outlines, elevation=elevation)
    height = 8 * np.ptp(axes.get_ylim()) * axes.get_aspect() / np.ptp(axes.get_xlim())
    figure.set_figheight(float(np.clip(height, 3.5, 10)))
    years = reconstruction["hydro_year"].values
    bar = figure.colorbar(points, ax=axes, shrink=0.7, pad=0.015, extend="both")
    bar.solids.set_rasterized(True)
    bar.outline.set_visible(False)
    bar.set_label(f"mean SMB {years.min()}–{years.max()}, m w.e. per year")
    mean = reconstruction["smb"].mean("hydro_year").values * M_WE
    low, high = np.nanmin(mean), np.nanmax(mean)
    alt = f"Map of {np.isfinite(mean).sum()} glaciers coloured by mean surface mass balance"
    return figure, f"{alt}, from {low:.2f} to {high:.2f} m w.e. per year."


def draw_map(axes: Any, reconstruction: xr.Dataset, *, outlines: Any | None, elevation: xr.DataArray | None) -> Any:
    """Draw the map of `smb_map` into axes; return what its colour bar stands for."""
    mean = reconstruction["smb"].mean("hydro_year").values * M_WE
    found = places(reconstruction, np.isfinite(mean), outlines)
    extent, stretch, lonlat = found.extent, found.stretch, found.lonlat
    if elevation is not None:
        extent = _draw_relief(axes, elevation, extent, stretch, found.occupied)
    share = reconstruction["area_m2"].values / np.nanmax(reconstruction["area_m2"].values)
    columns = {"x": lonlat[:, 0], "y": lonlat[:, 1], "mean": mean, "share": np.nan_to_num(share)}
    keep = np.isfinite(mean)
    keep[found.outlined] = False
    rest = reconstruction[[]].assign({k: ("glacier", v) for k, v in columns.items()}).isel(glacier=keep)
    limit = max(float(np.nanpercentile(np.abs(mean), 98)), 0.05)
    points = _colour_glaciers(axes, found.paths, mean[found.outlined], rest, limit)
    graticule(axes, extent, stretch)
    scale_and_north(axes, extent, stretch)
    return points


def _hillshade(elevation: xr.DataArray, extent: Extent, stretch: float) -> np.ndarray:
    """Shade terrain of any CRS on a longitude-latitude grid, lit from the north-west at 45 degrees, (lat, lon) 0..1."""
    from pyproj import Transformer
    from scipy.ndimage import map_coordinates

    west, east, south, north = extent
    columns = 900
    rows = max(2, round(columns * (north - south) * stretch / (east - west)))
    lon = np.linspace(west, east, columns)
    lat = np.linspace(south, north, rows)
    to_xy = Transformer.from_crs("EPSG:4326", elevation.attrs["crs_wkt"], always_xy=True)
    found = dict(zip("xy", to_xy.transform(*np.meshgrid((lon + 180) % 360 - 180, lat)), strict=True))
    places, window = {}, {}
    for axis in "yx":
        centres = elevation[axis].values.astype(float)
        order = slice(None) if centres[-1] >= centres[0] else slice(None, None, -1)
        index = np.interp(found[axis], centres[order], np.arange(centres.size)[order], left=np.nan, right=np.nan)
        if not np.isfinite(index).any():
            return np.full((rows, columns), np.nan)
        first, last = int(np.nanmin(index)), int(np.nanmax(index)) + 1
        step = max(1, (last - first) // 1_800)  # a continent's terrain is read thinned
        window[axis] = slice(first, last + 1, step)
        places[axis] = (index - first) / step
    height_m = elevation.isel(window).values.astype(float)
    height_m = map_coordinates(height_m, [places["y"], places["x"]], order=1, cval=np.nan, mode="constant")
    slope = np.gradient(
        height_m, KM_PER_DEGREE * 1e3 * (lat[1] - lat[0]), KM_PER_DEGREE * 1e3 / stretch * (lon[1] - lon[0])
    )
    return np.asarray((1 + slope[1] - slope[0]) / np.sqrt(2) / np.sqrt(1 + slope[0] ** 2 + slope[1] ** 2))


def _draw_relief(axes: Any, elevation: xr.DataArray, extent: Extent, stretch: float, occupied: np.ndarray) -> Extent:
    """Draw the shaded terrain and return the extent cut to where there is some, around all glaciers.

    Terrain of less than half of the map, as of single glaciers, is no relief: nothing is drawn then.
    """
    from matplotlib import colormaps

    west, east, south, north = extent
    shade = _hillshade(elevation, extent, stretch)
    if np.isfinite(shade).mean() < _ENOUGH_RELIEF:
        return extent
    (left, low), (right, high) = ((occupied.min(0), occupied.max(0)) - np.array([west, south])) / [
        east - west,
        north - south,
    ]
    rows, columns = shade.shape
    keep = ((int(low * rows), int(np.ceil(high * rows))), (int(left * columns), int(np.ceil(right * columns))))
    (bottom, top), (first, last) = _covered(np.isfinite(shade), keep)
    cut = (
        west + (east - west) * first / columns,
        west + (east - west) * last / columns,
        south + (north - south) * bottom / rows,
        south + (north - south) * top / rows,
    )
    grey = colormaps["gray"].resampled(40)  # few levels: the image packs to a third
    look = {"cmap": grey, "vmin": -1.4, "vmax": 1.1, "interpolation": "bilinear", "aspect": "auto"}
    axes.imshow(shade[bottom:top, first:last], extent=cut, origin="lower", **look)
    return cut


def _covered(
    known: np.ndarray, keep: tuple[tuple[int, int], tuple[int, int]]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Trim the edges of a grid (row, column) that are not wholly known, the worst first, down to the cells to keep.

    Returns the first and one past the last row, and the same of the columns; all of a grid of which nothing is known.
    """
    (bottom, top), (left, right) = (0, known.shape[0]), (0, known.shape[1])
    (keep_bottom, keep_top), (keep_left, keep_right) = keep
    while known[bottom:top, left:right].any():
        inner = known[bottom:top, left:right]
        rows, columns = inner[inner.any(1)], inner[:, inner.any(0)]  # what is kept though unknown counts against none
        gaps = {
            "bottom": bottom < keep_bottom and 1 - columns[0].mean(),
            "top": top > keep_top and 1 - columns[-1].mean(),
            "left": left < keep_left and 1 - rows[:, 0].mean(),
            "right": right > keep_right and 1 - rows[:, -1].mean(),
        }
        worst = max(gaps, key=lambda side: float(gaps[side]))
        if not gaps[worst] > 0:
            break
        bottom, top = bottom + (worst == "bottom"), top - (worst == "top")
        left, right = left + (worst == "left"), right - (worst == "right")
    return (bottom, top), (left, right)


def _colour_glaciers(axes: Any, paths: Sequence[Any], on_paths: np.ndarray, rest: xr.Dataset, limit: float) -> Any:
    """Fill outlines, and draw the glaciers without one as points; return what the colour bar stands for."""
    from matplotlib.collections import PathCollection

    look: dict[str, Any] = {"cmap": "RdBu", "edgecolors": "#1f2a36", "linewidths": 0.5, "zorder": 3}
    if paths:
        dense = sum(len(path.vertices) for path in paths) > _DENSE_VERTICES or len(paths) > DENSE_MARKS
        layer = PathCollection(paths, array=on_paths, clim=(-limit, limit), gid="outlines", rasterized=dense, **look)
        axes.add_collection(layer)
    size = (12 + 60 * np.sqrt(rest["share"].values)) / max(1, rest.sizes["glacier"] / 400) ** 0.5
    return axes.scatter(
        rest["x"].values, rest["y"].values, s=size, c=rest["mean"].values, vmin=-limit, vmax=limit, gid="points",
        rasterized=rest.sizes["glacier"] > DENSE_MARKS, **look,
    )  # fmt: skip
