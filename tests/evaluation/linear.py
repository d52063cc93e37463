"""Rows whose balance is linear in climate and topography, with factors that are known, and models of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from glacierscale.models.physics import BIASES_K
from glacierscale.models.rows import Design, Rows
from glacierscale.provenance import Stamp
from glacierscale.training.loop import fit
from glacierscale.training.options import TrainOptions

MELT, SNOW, SLOPE = -5.0, 1.1, 120.0
"""kg m-2 per K day, per kg m-2 of snow, and per standard deviation of the slope."""
PREDICTORS = ("cpdd_anomaly", "winter_snow_anomaly", "summer_snow_anomaly", "temp_jul_anomaly", "slope20", "area")


def rows(glaciers: int = 12, years: int = 30, *, spread: float = 100.0, uneven: float = 0.0, seed: int = 0) -> Rows:
    """Observed rows.

    `spread` is the standard deviation of mean degree days over glaciers, `uneven` that of the answer to their anomaly.
    """
    rng = np.random.default_rng(seed)
    shape = (glaciers, years)
    cpdd = (rng.normal(0, 80, years) + rng.normal(0, 15, shape)).ravel()
    winter = (rng.normal(0, 150, years) + rng.normal(0, 30, shape)).ravel()
    summer = (rng.normal(0, 100, years) + rng.normal(0, 30, shape)).ravel()
    july = cpdd / 80 + rng.normal(0, 0.3, cpdd.size)
    slope, area = (np.repeat(rng.normal(of, of / 4, glaciers), years) for of in (20.0, 2e6))
    level = np.repeat(rng.normal(0, spread, glaciers), years)
    own = np.repeat(rng.normal(0, uneven, glaciers), years) * cpdd
    degree_days, snow = 600 + level + cpdd, 1500 + winter + summer
    steep = (slope - slope.mean()) / slope.std()
    observed = SNOW * snow + MELT * degree_days + own + SLOPE * steep + rng.normal(0, 30, cpdd.size)
    warmed = BIASES_K[None] * 60
    return Rows(
        unit_id=np.repeat([f"G{n:02d}" for n in range(glaciers)], years),
        hydro_year=np.tile(1981 + np.arange(years), glaciers),
        observed=observed,
        sigma=np.full(cpdd.size, 100.0),
        lon=np.repeat(10.0 + 0.1 * np.arange(glaciers), years),
        lat=np.full(cpdd.size, 46.0),
        ols_terms=np.stack([degree_days, snow], axis=1),
        design=Design(
            predictors=np.stack([cpdd, winter, summer, july, slope, area], axis=1).astype(np.float32),
            snow=np.repeat(snow[:, None], len(BIASES_K), axis=1).astype(np.float32),
            degree_days=(degree_days[:, None] + warmed).astype(np.float32),
        ),
    )


def model(of: Rows, *, predictors: tuple[str, ...] = PREDICTORS, **options: Any) -> Any:
    """A model of rows, trained in a second."""
    usual = {"nets": ("lasso",), "hold_out": ("logo",), "members": 3, "interactions": False, "epochs": 3}
    stamp = Stamp(verb="train", options={}, inputs={})
    return fit(of, predictors, TrainOptions(**{**usual, **options}), stamp)
