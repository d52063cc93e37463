"""Potential direct clear-sky radiation on slopes (Hock 1999, doi 10.3189/S0022143000003087), shaded by terrain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from glacierscale.region import MONTHS

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

SOLAR_CONSTANT_W_M2 = 1361.0
"""Kopp and Lean 2011, doi 10.1029/2010GL045777."""

TRANSMISSIVITY = 0.75
"""psi of Hock 1999: what a clear atmosphere lets through of a vertical beam at sea level."""

DAYS = 3
"""Days that stand for a month: the middle of each third of it."""

_YEAR = "2022-01-01"  # in the middle between leap years, so that its calendar runs with the sun
_LENGTH = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])  # days of each month, no leap year
_CELLS_AT_ONCE = 8192  # keeps a month's work in the cache
_UNKNOWN_M = -1e5  # so deep that it shades nothing


@dataclass(frozen=True, kw_only=True)
class Sun:
    """Where the sun stands over a year, daylight only."""

    month: Ints
    """(step,) position of the month in the hydrological year, ascending"""
    direction: Floats
    """(step, 3) unit vector to the sun: east, north, up"""
    weight: Floats
    """(step,) W m-2 normal to the beam above the atmosphere, times the step's share of the month"""


def sun(lat_deg: float, months: Sequence[str], *, step_hours: float = 1.0) -> Sun:
    """Positions of the sun in local solar time.

    Each of the `DAYS` of a month is cut, from sunrise to sunset, into equal steps of at most `step_hours`; the sun
    stands where it is in the middle of a step.

    Parameters
    ----------
    lat_deg : float
    months : sequence of str
        Names of the months in the wanted order (`region.months`).
    step_hours : float
        Longest step.
    """
    declination, beam_w_m2 = _days(tuple(months))  # (day,)
    latitude = np.radians(lat_deg)
    half = np.arccos(np.clip(-np.tan(latitude) * np.tan(declination), -1, 1))  # hour angle of sunset
    steps = np.ceil(2 * half / np.radians(15 * step_hours) - 1e-9).astype(np.int64)
    day = np.repeat(np.arange(len(steps)), steps)
    nth = np.arange(len(day)) - np.repeat(np.cumsum(steps) - steps, steps)
    width = (2 * half / np.maximum(steps, 1))[day]
    hour = (nth + 0.5) * width - half[day]
    decl = declination[day]
    # As a vector, because an azimuth taken from a zenith angle has no sign at noon.
    direction = np.stack(
        [
            -np.cos(decl) * np.sin(hour),
            np.cos(latitude) * np.sin(decl) - np.sin(latitude) * np.cos(decl) * np.cos(hour),
            np.sin(latitude) * np.sin(decl) + np.cos(latitude) * np.cos(decl) * np.cos(hour),
        ],
        axis=-1,
    )
    return Sun(month=day // DAYS, direction=direction, weight=beam_w_m2[day] * width / (2 * np.pi) / DAYS)


@lru_cache
def _days(months: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Declination (rad) and beam above the atmosphere (W m-2) on the days that stand for the months: (day,)."""
    import pandas as pd
    from pvlib import irradiance, solarposition

    month = [(MONTHS.index(name) + 9) % 12 for name in months]
    start = (np.cumsum(_LENGTH) - _LENGTH)[month]
    middle = start[:, None] + _LENGTH[month][:, None] * (np.arange(DAYS) + 0.5) / DAYS
    times = pd.Timestamp(_YEAR, tz="UTC") + pd.to_timedelta(middle.ravel(), unit="D")
    # At the pole the sun stands as high as its declination. pvlib's series by day of year (Spencer 1971) is a day late.
    declination = np.radians(solarposition.get_solarposition(times, 90, 0).elevation.to_numpy())
    beam = irradiance.get_extra_radiation(times, solar_constant=SOLAR_CONSTANT_W_M2, method="nrel")
    return declination, beam.to_numpy()


def horizon(elevation_m: Floats, cells: int, *, resolution_m: float, azimuths: int, distance_m: float) -> Floats:
    """Tangent of the angle at which terrain rises above each cell, in directions clockwise from north.

    A kernel of its own, because topocalc, the library for it, comes without wheels and does not build without NumPy
    installed beforehand; a walk along shifted copies of the raster takes milliseconds.

    Parameters
    ----------
    elevation_m : (y, x) m
        Terrain, the wanted cells in its middle; row 0 in the north. Unknown terrain (NaN) shades nothing.
    cells : int
        Wanted rows and columns.
    resolution_m : float
        Side of a cell.
    azimuths : int
        Directions.
    distance_m : float
        How far terrain is looked at, at most; every cell up to 32 cells away, then every sixteenth of the distance.

    Returns
    -------
    numpy.ndarray
        (azimuth, y, x), at least 0.
    """
    terrain = np.where(np.isfinite(elevation_m), elevation_m, _UNKNOWN_M).astype(np.float32)
    pad = (terrain.shape[0] - cells) // 2
    foot = terrain[pad : pad + cells, pad : pad + cells]
    best = np.zeros((azimuths, cells, cells), np.float32)
    for number, angle in enumerate(2 * np.pi * np.arange(azimuths) / azimuths):
        major = max(abs(np.sin(angle)), abs(np.cos(angle)))
        down, right = -np.cos(angle) / major, np.sin(angle) / major  # one of them is a whole cell
        away = 1
        while away <= pad and away * resolution_m / major <= distance_m + 1e-6:
            rise = _shifted(terrain, pad, cells, away * down, away * right) - foot
            rise *= major / (away * resolution_m)
            np.maximum(best[number], rise, out=best[number])
            away += max(1, away // 16)
    return best


def _shifted(terrain: Floats, pad: int, cells: int, down: float, right: float) -> Floats:
    """The terrain as seen some rows below and columns to the right of every wanted cell; between two cells linear."""
    row, column = int(np.floor(down + 1e-9)), int(np.floor(right + 1e-9))
    share = max(down - row, right - column)
    near = terrain[pad + row : pad + row + cells, pad + column : pad + column + cells]
    if share < 1e-6:
        return near
    row, column = row + (down - row > 1e-6), column + (right - column > 1e-6)
    far = terrain[pad + row : pad + row + cells, pad + column : pad + column + cells]
    return near + np.float32(share) * (far - near)


def clear_sky(
    elevation_m: Floats,
    east: Floats,
    north: Floats,
    horizon: Floats,
    sun: Sun,
    *,
    transmissivity: float = TRANSMISSIVITY,
) -> Floats:
    """Monthly mean potential direct radiation on the inclined surface.

    ``I0 (Rm/R)^2 psi^(P / (P0 cos Z)) cos(incidence)``, eq. 2 of Hock (1999), nothing where the sun stands below the
    terrain.

    Parameters
    ----------
    elevation_m : (y, x) m
    east, north : (y, x) m m-1
        Surface gradient.
    horizon : (azimuth, y, x)
        Tangent of the horizon's angle (see `horizon`).
    sun : Sun
        Of one year.
    transmissivity : float
        psi; 1 leaves the atmosphere out.

    Returns
    -------
    numpy.ndarray
        (month, y, x) W m-2 float32; NaN where elevation or gradient is unknown.
    """
    from pvlib import atmosphere

    result = np.full((12, elevation_m.size), np.nan, np.float32)
    known = np.flatnonzero(np.isfinite(elevation_m + east + north))
    pressure = (atmosphere.alt2pres(elevation_m.ravel()[known].astype(float)) / 101325).astype(np.float32)
    normal = np.stack([-east.ravel()[known], -north.ravel()[known], np.ones(len(known))])
    normal = (normal / np.sqrt((normal**2).sum(axis=0))).astype(np.float32)  # (3, cell)
    up = sun.direction[:, 2]
    depth = (np.log(transmissivity) / up).astype(np.float32)  # (step,)
    height = (up / np.maximum(np.hypot(sun.direction[:, 0], sun.direction[:, 1]), 1e-9)).astype(np.float32)
    between = _between(sun.direction, len(horizon))
    flat_horizon = horizon.reshape(len(horizon), -1)
    direction, weight = sun.direction.astype(np.float32), sun.weight.astype(np.float32)
    bounds = np.searchsorted(sun.month, np.arange(13))
    for start in range(0, len(known), _CELLS_AT_ONCE):
        some = slice(start, start + _CELLS_AT_ONCE)
        skyline = flat_horizon[:, known[some]]  # (azimuth, cell)
        for month in range(12):
            at = slice(bounds[month], bounds[month + 1])  # (step, cell) from here
            beam = np.maximum(direction[at] @ normal[:, some], 0)
            beam *= height[at, None] > between[at] @ skyline
            beam *= np.exp(depth[at, None] * pressure[some])
            result[month, known[some]] = weight[at] @ beam
    return result.reshape(12, *elevation_m.shape)


def _between(direction: Floats, azimuths: int) -> Floats:
    """Weights that interpolate between the horizon's directions at the sun's azimuth: (step, azimuth) float32."""
    at = np.arctan2(direction[:, 0], direction[:, 1]) / (2 * np.pi) * azimuths % azimuths
    low = np.floor(at).astype(np.int64) % azimuths
    weights = np.zeros((len(at), azimuths), np.float32)
    steps = np.arange(len(at))
    weights[steps, low] = 1 - at % 1
    weights[steps, (low + 1) % azimuths] += at % 1
    return weights
