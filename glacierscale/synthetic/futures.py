"""Future climates of the synthetic range, the way a coarse global climate model would tell them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from glacierscale.synthetic import atmosphere
from glacierscale.synthetic.options import SyntheticOptions
from glacierscale.synthetic.projection import to_degrees

FUTURES = {"stable": 0.0, "warming": 0.03}
"""Warming after the last year of the range, K per year: none, or on as before."""

UNTIL = 2100
"""Last year that the runs tell."""

CELL_DEGREES, CELL_HEIGHT_M = 1.0, 900.0
"""Side of the model's cells, and the height of its smooth ground."""

TOO_COLD_K, TOO_DRY = 1.0, 0.8
"""What is wrong with the model: it is colder than the range by so much, and has this share of its precipitation."""


def future(options: SyntheticOptions, name: str) -> xr.Dataset:
    """A run of a climate model, from the first year of the range to 2100, in the convention of CMIP6.

    It warms as the range does while the range has weather, and then as `FUTURES` says. Its weather is its own, and its
    mean is wrong, as those of models are: only its changes are of use.

    Parameters
    ----------
    options : SyntheticOptions
        The range.
    name : str
        One of `FUTURES`.

    Returns
    -------
    xarray.Dataset
        ``tas`` (time, lat, lon) K and ``pr`` kg m-2 s-1, means of months; time the first day of the month.

    Raises
    ------
    ValueError
        If there is no such future.
    """
    if name not in FUTURES:
        raise ValueError(f"there is no future {name!r}; expected one of {', '.join(FUTURES)}.")
    run = replace(options, last_year=max(UNTIL, options.last_year), seed=options.seed + 1)
    lat, lon = atmosphere.grid(replace(options, climate_degrees=CELL_DEGREES))
    east, north = (values.ravel() for values in np.meshgrid(lon, lat))
    x, y = (np.asarray(values) for values in to_degrees(options).transform(east, north, direction="INVERSE"))
    warming = _warming(options, len(atmosphere.months(run)), FUTURES[name]) - atmosphere.trend(run)
    below = atmosphere.lapse_rate(run) * (CELL_HEIGHT_M - atmosphere.REFERENCE_M)
    temp = atmosphere.temperature_at(run, x, y) + (warming + below - TOO_COLD_K + 273.15)
    precip = atmosphere.precipitation_at(run, x, y) * (TOO_DRY * 1000 / 86400)
    shape = (-1, lat.size, lon.size)
    said = {
        "tas": (temp, {"units": "K", "long_name": "air temperature", "standard_name": "air_temperature"}),
        "pr": (precip, {"units": "kg m-2 s-1", "long_name": "precipitation", "standard_name": "precipitation_flux"}),
    }
    return xr.Dataset(
        {
            key: (("time", "lat", "lon"), values.T.reshape(shape).astype(np.float32), attrs)
            for key, (values, attrs) in said.items()
        },
        coords={
            "time": ("time", atmosphere.months(run)),
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
        attrs={"source_id": "synthetic", "experiment_id": name},
    )


def _warming(options: SyntheticOptions, months: int, k_per_year: float) -> np.ndarray:
    """Warming of every month of a run: that of the range, and what comes after it, (time) K."""
    known = atmosphere.trend(options)
    after = known[-1] + k_per_year / 12 * np.arange(1, months - known.size + 1)
    return np.concatenate([known, after])
