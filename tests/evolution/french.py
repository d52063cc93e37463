"""Elevation changes of French glaciers 1979-2011, read for several tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio

from glacierscale.evolution.curves import check_grids, from_dems

YEARS = 2011 - 1979


def derived(folder: Path, glacier: str) -> np.ndarray:
    """Curve of a glacier from its two rasters; ValueError where they give none."""
    change, *change_grid = _read(folder / f"dh_{glacier}.tif")
    elevation, *elevation_grid = _read(folder / f"DEM_{glacier}.tif")
    check_grids(*change_grid, *elevation_grid)
    unknown = (change < -1e30) | (elevation <= 0)
    return from_dems(np.where(unknown, np.nan, change), elevation, years=YEARS)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with rasterio.open(path) as source:
        t = source.transform
        x, y = t.c + t.a * (np.arange(source.width) + 0.5), t.f + t.e * (np.arange(source.height) + 0.5)
        return source.read(1).astype(float), x, y
