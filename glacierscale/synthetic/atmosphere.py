"""Monthly climate of the synthetic range: a continuous field, and its reanalysis on a coarse grid."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import xarray as xr
from scipy.signal import lfilter

from glacierscale.synthetic.noise import forms_at
from glacierscale.synthetic.options import Floats, SyntheticOptions, generator, span
from glacierscale.synthetic.projection import to_degrees
from glacierscale.units import GRAVITY_M_S2

REFERENCE_M = 2500.0
"""Height the temperature field is stated at."""

MEAN_DEGC, AMPLITUDE_K, WARMEST_MONTH = -1.5, 8.3, 7.6
"""Annual mean, half the annual range, and month of the maximum (1 = start of January) at that height."""

LAPSE_K_M, LAPSE_AMPLITUDE_K_M = -5.7e-3, -0.9e-3
"""True lapse rate: annual mean, and how much steeper it is in the warmest month."""

WARMING_K_PER_YEAR = 0.03
"""Linear trend, zero in the middle of the years."""

TEMP_SD_K = (1.9, 1.35)
"""Standard deviation of monthly temperature anomalies in January and in July."""

PRECIP_M_PER_DAY, PRECIP_AMPLITUDE = 3.9e-3, 0.15
"""Mean precipitation, and its relative annual cycle with the maximum in the warmest month."""

PRECIP_LOG_SD, PRECIP_LOCAL_LOG_SD = 0.34, 0.15
"""Standard deviation of the logarithm of monthly precipitation in time, and of its mean in space."""

MEMORY = 0.25
"""Correlation of anomalies from month to month."""

WAVELENGTHS_M = {"temperature": (250e3, 1500e3), "precipitation": (50e3, 800e3), "wetness": (30e3, 400e3)}
"""Shortest and longest wave of the random fields."""

MODES = 8
CELL_BELOW_FORMS_M = 250.0
"""Climate cells see valleys too, so they lie below the large forms that glaciers lie on."""


def months(options: SyntheticOptions) -> np.ndarray:
    """First days of all months from the one nine months before the first hydrological year, (time).

    They run from January to December in the north and from July to June in the south, where the same weather comes half
    a year earlier.
    """
    first, last = np.datetime64(f"{options.first_year - 1:04d}-01"), np.datetime64(f"{options.last_year + 1:04d}-01")
    earlier = 6 if options.hemisphere == "south" else 0
    return np.asarray((np.arange(first, last) - earlier).astype("datetime64[ns]"))


def days_in_month(time: np.ndarray) -> np.ndarray:
    """Days of each month of the standard calendar, (time)."""
    month = time.astype("datetime64[M]")
    return np.asarray(((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(np.int64))


def season(options: SyntheticOptions) -> Floats:
    """Annual cycle from -1 in the coldest to 1 in the warmest month, (time)."""
    month = np.arange(len(months(options))) % 12  # the first is a January, or a July of the south
    return np.asarray(np.cos(2 * np.pi * (month + 1.5 - WARMEST_MONTH) / 12))


def lapse_rate(options: SyntheticOptions) -> Floats:
    """True lapse rate of every month, (time) K m-1."""
    return LAPSE_K_M + LAPSE_AMPLITUDE_K_M * season(options)


def trend(options: SyntheticOptions) -> Floats:
    """Warming of every month against the middle of the years, (time) K."""
    time = months(options)
    years = (time - time[0]) / np.timedelta64(1, "D") / 365.25
    return np.asarray(WARMING_K_PER_YEAR * (years - years.mean()))


@lru_cache(maxsize=32)
def _modes(options: SyntheticOptions, name: str, steps: int) -> tuple[Floats, Floats, Floats]:
    """Wave vectors (mode, 2) in rad m-1 and the series of both phases (mode, 2, time), each of variance 1."""
    stream = generator(options, name)
    shortest, longest = WAVELENGTHS_M[name]
    length = shortest * (longest / shortest) ** ((np.arange(MODES) + stream.random(MODES)) / MODES)
    angle = 2 * np.pi * stream.random(MODES)
    waves = 2 * np.pi / length[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    white = stream.standard_normal((MODES, 2, steps + 12))
    series = lfilter([np.sqrt(1 - MEMORY**2)], [1, -MEMORY], white, axis=-1)[..., 12:]
    return waves, series[:, 0], series[:, 1]


def _random_field(options: SyntheticOptions, name: str, x_m: Floats, y_m: Floats, steps: int) -> Floats:
    """Random field of variance 1 at points, (point, time): summed mode by mode, so that no point depends on others."""
    waves, cosines, sines = _modes(options, name, steps)
    total = np.zeros((x_m.size, steps))
    for (kx, ky), cosine, sine in zip(waves, cosines, sines, strict=True):
        phase = kx * x_m + ky * y_m
        total += np.cos(phase)[:, None] * cosine
        total += np.sin(phase)[:, None] * sine
    return np.asarray(total / np.sqrt(MODES))


def temperature_at(options: SyntheticOptions, x_m: Floats, y_m: Floats) -> Floats:
    """Temperature at the reference height over points, (point, time) degC."""
    cycle = season(options)
    sd = (TEMP_SD_K[0] + TEMP_SD_K[1]) / 2 - (TEMP_SD_K[0] - TEMP_SD_K[1]) / 2 * cycle
    anomaly = _random_field(options, "temperature", x_m, y_m, cycle.size)
    return np.asarray(anomaly * sd + (MEAN_DEGC + AMPLITUDE_K * cycle + trend(options)))


def precipitation_at(options: SyntheticOptions, x_m: Floats, y_m: Floats) -> Floats:
    """Precipitation over points, (point, time) m per day, mean of daily totals."""
    anomaly = _random_field(options, "precipitation", x_m, y_m, months(options).size)
    local = _random_field(options, "wetness", x_m, y_m, 1)
    cycle = PRECIP_M_PER_DAY * (1 + PRECIP_AMPLITUDE * season(options))
    factor = np.exp(PRECIP_LOG_SD * anomaly - PRECIP_LOG_SD**2 / 2 + PRECIP_LOCAL_LOG_SD * local)
    return np.asarray(cycle * factor)


def grid(options: SyntheticOptions) -> tuple[Floats, Floats]:
    """Latitudes from north to south and longitudes of the climate cells: the terrain and three cells around it."""
    ny, nx = options.shape
    south, east = options.north_m - ny * options.resolution_m, options.west_m + nx * options.resolution_m
    west_lon, south_lat, east_lon, north_lat = to_degrees(options).transform_bounds(
        options.west_m, south, east, options.north_m
    )
    east_lon += 360 if east_lon < west_lon else 0  # over the antimeridian
    step = options.climate_degrees
    lat = np.arange(np.floor(south_lat / step) - 3, np.ceil(north_lat / step) + 4)[::-1] * step
    lon = np.arange(np.floor(west_lon / step) - 3, np.ceil(east_lon / step) + 4) * step
    if lon[0] < -180 or lon[-1] > 180:
        lon = lon % 360  # as ECMWF counts them
    return np.round(lat, 6), np.round(lon, 6)


def _cell_height(options: SyntheticOptions, lat: Floats, lon: Floats) -> Floats:
    """Mean of the large forms over cells, (cell) m, from 4 x 4 places in each."""
    offsets = (np.arange(4) - 1.5) / 4 * options.climate_degrees
    inner_lat = (lat[:, None, None] + offsets[:, None]).repeat(4, axis=2)
    inner_lon = (lon[:, None, None] + offsets[None, :]).repeat(4, axis=1)
    x, y = to_degrees(options).transform(inner_lon.ravel(), inner_lat.ravel(), direction="INVERSE")
    heights = forms_at(options, np.asarray(x), np.asarray(y)).reshape(lat.size, 16)
    total = np.zeros(lat.size)
    for k in range(16):
        total += heights[:, k]
    return total / 16 - CELL_BELOW_FORMS_M


def _row(options: SyntheticOptions, lat: float, lon: Floats) -> tuple[np.ndarray, ...]:
    """One row of cells: temperature (time, cell) K, precipitation (time, cell) m per day, geopotential (cell)."""
    lats = np.full(lon.size, lat)
    x, y = (np.asarray(a) for a in to_degrees(options).transform(lon, lats, direction="INVERSE"))
    height = _cell_height(options, lats, lon)
    temp = temperature_at(options, x, y) + lapse_rate(options) * (height[:, None] - REFERENCE_M) + 273.15
    precip = precipitation_at(options, x, y)
    return temp.T.astype(np.float32), precip.T.astype(np.float32), (height * GRAVITY_M_S2).astype(np.float32)


def climate(options: SyntheticOptions, rows: slice | None = None) -> xr.Dataset:
    """Monthly climate on a coarse grid, in the convention of ERA5 monthly means.

    Parameters
    ----------
    options : SyntheticOptions
        The range.
    rows : slice, optional
        Slab of latitude rows; equals the same slice of the whole.

    Returns
    -------
    xarray.Dataset
        ``t2m`` (time, latitude, longitude) K, ``tp`` likewise in m as the mean of daily totals, and ``z``
        (latitude, longitude) m2 s-2; latitude from north to south, time the first day of the month.
    """
    lat, lon = grid(options)
    first, last = span(rows, lat.size, "latitude rows")
    time, lat = months(options), lat[first:last]
    shape = (time.size, lat.size, lon.size)
    temp, precip, z = np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape[1:], np.float32)
    for i, value in enumerate(lat):
        temp[:, i], precip[:, i], z[i] = _row(options, float(value), lon)
    dims = ("time", "latitude", "longitude")
    return xr.Dataset(
        {
            "t2m": (dims, temp, {"units": "K", "long_name": "2 metre temperature"}),
            "tp": (dims, precip, {"units": "m", "long_name": "Total precipitation", "comment": "mean of daily totals"}),
            "z": (
                dims[1:],
                z,
                {"units": "m**2 s**-2", "long_name": "Geopotential", "standard_name": "geopotential"},
            ),
        },
        coords={
            "time": ("time", time, {"long_name": "time"}),
            "latitude": ("latitude", lat, {"units": "degrees_north", "long_name": "latitude"}),
            "longitude": ("longitude", lon, {"units": "degrees_east", "long_name": "longitude"}),
        },
        attrs={"Conventions": "CF-1.8", "title": "Synthetic monthly climate in the convention of ERA5"},
    )
