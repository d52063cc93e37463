"""Options of featurize."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
    reference_years: tuple[int, int] | None = None
    """First and last hydrological year of the reference that anomalies refer to; None takes all years."""
    bands: int = 20
    """Elevation bands of each glacier."""

    def __post_init__(self) -> None:
        for name in ("degree_day_sigma_k", "precip_factor", "precip_gradient_per_km", "lapse_rate_k_km"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} is {value}; expected a finite number.")
        if not 0 < self.degree_day_sigma_k < 20:
            raise ValueError(f"degree_day_sigma_k is {self.degree_day_sigma_k}; expected between 0 and 20 K.")
        if self.precip_factor <= 0:
            raise ValueError(f"precip_factor is {self.precip_factor}; expected above 0.")
        if self.lapse_rate_k_km is not None and not -15 <= self.lapse_rate_k_km <= 0:
            raise ValueError(f"lapse_rate_k_km is {self.lapse_rate_k_km}; expected -15 to 0 K km-1.")
        if self.bands < 1:
            raise ValueError(f"bands is {self.bands}; expected at least 1.")
