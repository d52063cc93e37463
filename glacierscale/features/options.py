"""Options of featurize."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from glacierscale.options import spelt


@spelt
@dataclass(frozen=True, kw_only=True)
class FeaturizeOptions:
    """How predictors are computed."""

    degree_day_sigma_k: float = 5.0
    """Standard deviation of daily temperature within a month, K (Calov & Greve 2005)."""
    precip_factor: float = 1.0
    """Factor on the climate's precipitation."""
    precip_gradient_per_km: float = 0.0
    """Relative increase of precipitation per km of height above the climate's cells."""
    lapse_rate_k_km: float | None = None
    """Temperature lapse rate, K km-1 (negative); None estimates it from the climate's own cells."""
    climate_radius_km: float = 0.0
    """Radius over which climate cells are pooled, km; 0 takes the cells that the glacier covers. Station-based grids do
    not resolve the differences between neighbouring cells."""
    reference_years: tuple[int, int] | None = None
    """First and last hydrological year of the reference that anomalies refer to; None takes all years."""
    bands: int = 20
    """Elevation bands of each glacier."""

    def __post_init__(self) -> None:
        numbers = ("degree_day_sigma_k", "precip_factor", "precip_gradient_per_km", "lapse_rate_k_km")
        for name in (*numbers, "climate_radius_km"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} is {value}; expected a finite number.")
        if not 0 < self.degree_day_sigma_k < 20:
            raise ValueError(f"degree_day_sigma_k is {self.degree_day_sigma_k}; expected between 0 and 20 K.")
        if self.precip_factor <= 0:
            raise ValueError(f"precip_factor is {self.precip_factor}; expected above 0.")
        if self.lapse_rate_k_km is not None and not -15 <= self.lapse_rate_k_km <= 0:
            raise ValueError(f"lapse_rate_k_km is {self.lapse_rate_k_km}; expected -15 to 0 K km-1.")
        if self.climate_radius_km < 0:
            raise ValueError(f"climate_radius_km is {self.climate_radius_km}; expected 0 km or more.")
        if self.bands < 1:
            raise ValueError(f"bands is {self.bands}; expected at least 1.")


@spelt
@dataclass(frozen=True, kw_only=True)
class RasterizeOptions:
    """How glaciers become raster patches."""

    resolution_m: float = 100.0
    """Side of a cell, m; coarser by whole factors for outlines larger than the biggest patch."""
    buckets: tuple[int, ...] = (32, 64, 128, 256)
    """Sizes of patches, cells of a side; each glacier goes into the smallest that holds it."""
    margin_cells: int = 2
    """Cells kept free between an outline and the edges of its patch."""
    coarsest_m: float = 800.0
    """Coarsest side of a cell, m; glaciers that need a coarser one are set aside."""
    azimuths: int = 16
    """Directions in which terrain may shade."""
    shading_m: float = 5000.0
    """How far away terrain may shade, m."""
    glaciers_per_block: int = 64
    """Glaciers in one block of a store; fewer where a block of large patches would exceed 64 MB."""
    codec: Literal["", "none", "lz4"] = ""
    """How new stores are packed: none, for local disks, or lz4, for networks; empty takes none for folders and lz4 for
    URLs. The values are the same, and a store that is there keeps its own."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "buckets", tuple(sorted(self.buckets)))
        for name in ("resolution_m", "coarsest_m", "shading_m"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}; expected a finite number of metres, not below 0.")
        if not 0 < self.resolution_m <= self.coarsest_m:
            raise ValueError(
                f"resolution_m is {self.resolution_m} and coarsest_m {self.coarsest_m}; "
                "expected a resolution above 0 m that is not coarser than the coarsest."
            )
        for name, least in (("margin_cells", 0), ("azimuths", 4), ("glaciers_per_block", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least {least}.")
        if len(set(self.buckets)) < len(self.buckets) or not self.buckets:
            raise ValueError(f"buckets are {self.buckets}; expected different numbers of cells, such as 32, 64.")
        if self.buckets[0] <= 2 * self.margin_cells:
            raise ValueError(
                f"the smallest of buckets is {self.buckets[0]} cells, all of it margin ({self.margin_cells} cells on "
                "each side); expected larger patches or a smaller margin_cells."
            )
