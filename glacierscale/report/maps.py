"""The map of the report: mean balance over shaded terrain; kg m-2 come in, m w.e. are drawn.

Layers of many marks are rasterised: the size of a map does not grow with the number of glaciers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from glacierscale import schema

if TYPE_CHECKING:
    import xarray as xr


def _hillshade(elevation: xr.DataArray, extent: tuple[float, float, float, float], stretch: float) -> np.ndarray:
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


def _draw_relief(axes: Any, elevation: xr.DataArray, extent: tuple[float, float, float, float], stretch: float) -> None:
    from matplotlib import colormaps

    shade = _hillshade(elevation, extent, stretch)
    grey = colormaps["gray"].resampled(40)  # few levels: the image packs to a third
    look = {"cmap": grey, "vmin": -1.4, "vmax": 1.1, "interpolation": "bilinear", "aspect": "auto"}
    axes.imshow(shade, extent=extent, origin="lower", **look)


def _paths(geometries: Sequence[Any], centre: float) -> list[Any]:
    from matplotlib.path import Path
    from shapely.geometry.polygon import orient

    paths = []
    for geometry in geometries:
        rings = []
        for polygon in getattr(geometry, "geoms", [geometry]):
            turned = orient(polygon)  # holes run the other way: SVG fills by winding
            rings += [np.asarray(ring.coords)[:, :2] for ring in (turned.exterior, *turned.interiors)]
        paths.append(Path.make_compound_path(*(Path(_unwrap(ring, centre), closed=True) for ring in rings)))
    return paths


def _unwrap(lonlat: np.ndarray, centre: float) -> np.ndarray:
    """Move longitudes next to `centre`, so that a region may straddle 180 degrees; (n, 2) degrees."""
    return np.column_stack([(lonlat[:, 0] - centre + 180) % 360 - 180 + centre, lonlat[:, 1]])


def _furnish_map(axes: Any, extent: tuple[float, float, float, float], stretch: float) -> None:
    """Graticule labels, scale bar and north arrow."""
    from matplotlib.patches import Rectangle

    west, east, south, north = extent
    axes.set(xlim=(west, east), ylim=(south, north), aspect=stretch, facecolor="#e8ecf0")
    axes.locator_params(nbins=6)
    axes.xaxis.set_major_formatter(lambda x, _: f"{abs(w := (x + 180) % 360 - 180):.6g}° {'E' if w >= 0 else 'W'}")
    axes.yaxis.set_major_formatter(lambda y, _: f"{abs(y):.6g}° {'N' if y >= 0 else 'S'}")
    axes.grid(color="#ffffff", linewidth=0.5, alpha=0.6)
    width_km = (east - west) * KM_PER_DEGREE / stretch
    choices = [a * 10.0**b for b in range(-2, 4) for a in (1, 2, 5)]
    bar_km = max((c for c in choices if c <= width_km / 4), default=choices[0])
    part, black = bar_km / width_km, "#111827"
    frame = axes.transAxes
    axes.add_patch(
        Rectangle((0.015, 0.02), part + 0.03, 0.075, transform=frame, color="#ffffff", alpha=0.85, lw=0, zorder=5)
    )
    axes.plot(
        [0.03, 0.03 + part], [0.038, 0.038], transform=frame, color=black, lw=2.5, solid_capstyle="butt", zorder=6
    )
    axes.text(0.03 + part / 2, 0.052, f"{bar_km:g} km", transform=frame, ha="center", color=black, fontsize=8, zorder=6)
    axes.annotate(
        "N", (0.96, 0.975), (0.96, 0.89), xycoords=frame, textcoords=frame, ha="center", va="center", color=black,
        zorder=6, fontweight="bold", bbox={"boxstyle": "round,pad=0.25", "fc": "#ffffff", "ec": "none", "alpha": 0.85},
        arrowprops={"arrowstyle": "-|>", "color": black, "lw": 1.4},
    )  # fmt: skip


def _frame(corners: Sequence[np.ndarray]) -> tuple[tuple[float, float, float, float], float]:
    """Extent (west, east, south, north) around points with a margin, and how many degrees east one degree north is."""
    west, south = np.min([corner.min(0) for corner in corners if len(corner)], axis=0)
    east, north = np.max([corner.max(0) for corner in corners if len(corner)], axis=0)
    stretch = 1 / np.cos(np.deg2rad(min(abs(south + north) / 2, 85)))
    pad = max(0.04 * (east - west), 0.04 * (north - south) * stretch, 0.01)
    extent = (west - pad, east + pad, south - pad / stretch, north + pad / stretch)
    return tuple(map(float, extent)), float(stretch)  # type: ignore[return-value]


def _colour_glaciers(axes: Any, paths: Sequence[Any], on_paths: np.ndarray, rest: xr.Dataset, limit: float) -> Any:
    """Fill outlines, and draw the glaciers without one as points; return what the colour bar stands for."""
    from matplotlib.collections import PathCollection

    look: dict[str, Any] = {"cmap": "RdBu", "edgecolors": "#1f2a36", "linewidths": 0.5, "zorder": 3}
    if paths:
        dense = sum(len(path.vertices) for path in paths) > DENSE_VERTICES or len(paths) > DENSE_MARKS
        layer = PathCollection(paths, array=on_paths, clim=(-limit, limit), gid="outlines", rasterized=dense, **look)
        axes.add_collection(layer)
    size = (12 + 60 * np.sqrt(rest["share"].values)) / max(1, rest.sizes["glacier"] / 400) ** 0.5
    return axes.scatter(
        rest["x"].values, rest["y"].values, s=size, c=rest["mean"].values, vmin=-limit, vmax=limit, gid="points",
        rasterized=rest.sizes["glacier"] > DENSE_MARKS, **look,
    )  # fmt: skip


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
    mean = reconstruction["smb"].mean("hydro_year").values * M_WE
    ids = schema.text(reconstruction["glacier_id"].values)
    lonlat = np.column_stack([reconstruction["lon"].values, reconstruction["lat"].values]).astype(float)
    centre = float(np.rad2deg(np.angle(np.nanmean(np.exp(1j * np.deg2rad(lonlat[:, 0]))))))
    lonlat = _unwrap(lonlat, centre)
    value = dict(zip(ids.tolist(), mean, strict=True))
    shapes = None if outlines is None else outlines[outlines["glacier_id"].isin(list(value))]
    paths: list[Any] = []
    if shapes is not None and len(shapes):
        width = float(np.ptp(_unwrap(shapes.geometry.bounds.values[:, :2], centre)[:, 0]))
        paths = _paths(shapes.geometry.simplify(width / 4_000), centre)
    drawn = list(shapes["glacier_id"]) if paths and shapes is not None else []
    extent, stretch = _frame([lonlat[np.isfinite(mean)], *(path.vertices for path in paths)])
    height = 8 * (extent[3] - extent[2]) * stretch / (extent[1] - extent[0])
    figure, grid = panels(1, height=float(np.clip(height, 3.5, 10)))
    axes = grid[0, 0]
    if elevation is not None:
        _draw_relief(axes, elevation, extent, stretch)
    share = reconstruction["area_m2"].values / np.nanmax(reconstruction["area_m2"].values)
    columns = {"x": lonlat[:, 0], "y": lonlat[:, 1], "mean": mean, "share": np.nan_to_num(share)}
    keep = ~np.isin(ids, drawn) & np.isfinite(mean)
    rest = reconstruction[[]].assign({k: ("glacier", v) for k, v in columns.items()}).isel(glacier=keep)
    limit = max(float(np.nanpercentile(np.abs(mean), 98)), 0.05)
    points = _colour_glaciers(axes, paths, np.array([value[i] for i in drawn]), rest, limit)
    _furnish_map(axes, extent, stretch)
    years = reconstruction["hydro_year"].values
    bar = figure.colorbar(points, ax=axes, shrink=0.7, pad=0.015, extend="both")
    bar.solids.set_rasterized(True)
    bar.outline.set_visible(False)
    bar.set_label(f"mean SMB {years.min()}–{years.max()}, m w.e. per year")
    low, high = np.nanmin(mean), np.nanmax(mean)
    alt = f"Map of {np.isfinite(mean).sum()} glaciers coloured by mean surface mass balance"
    return figure, f"{alt}, from {low:.2f} to {high:.2f} m w.e. per year."
