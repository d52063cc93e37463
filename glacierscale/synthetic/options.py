"""What the synthetic range is made of: its options, its lattice of tiles and its random streams."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from glacierscale.options import spelt

Floats = npt.NDArray[np.float64]

EPSG = 3035
"""ETRS89-extended / LAEA Europe: equal area, wide enough for 100,000 tiles."""

CENTRE_X_M, CENTRE_Y_M = 4_320_000.0, 2_650_000.0
"""Centre of the lattice in that projection (about 47 N, 10 E)."""

METRES_PER_DEGREE = 111_195.0
"""On a sphere of 6371 km."""

MARGIN_TILES = 1
"""Tiles of foreland without glaciers on every side of the lattice."""

GROUP = 64
"""Tiles that share one random stream; a block draws whole groups and keeps its own rows."""


@spelt
@dataclass(frozen=True, kw_only=True)
class TrueProcess:
    """The mass balance process behind every synthetic number, and the noise of its observations."""

    ddf_snow: float = 4.4
    """Degree-day factor of the snow fallen since the year began, kg m-2 K-1 d-1."""
    ddf_ice: float = 7.0
    """Degree-day factor of what lies below that snow, kg m-2 K-1 d-1."""
    aspect_effect: float = 0.12
    """Relative reduction of both factors on a glacier that faces north, increase on one that faces south."""
    precip_factor: float = 1.6
    """Solid precipitation on a glacier over that of the climate fields."""
    temp_bias_k: float = 0.0
    """Temperature on a glacier beyond that of the climate fields, K: with another one, the truth of a warmer world."""
    pdd_sigma_k: float = 4.5
    """Standard deviation of temperature inside a month in the degree-day integral of Calov & Greve (2005), K."""
    annual_sigma: float = 60.0
    """Standard error of an observed annual balance, kg m-2."""
    seasonal_sigma: float = 60.0
    """Standard error of an observed winter or summer balance, kg m-2."""
    point_sigma: float = 100.0
    """Standard error of a stake's annual balance, kg m-2."""
    geodetic_sigma: float = 60.0
    """Standard error of a geodetic balance, kg m-2 per year."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not math.isfinite(value) or (value < 0 and name != "temp_bias_k"):
                raise ValueError(f"{name} is {value}; expected a finite number of at least 0.")
        if self.ddf_snow == 0 or self.pdd_sigma_k == 0:
            raise ValueError("ddf_snow and pdd_sigma_k must be above 0: both divide in the true process.")


@spelt
@dataclass(frozen=True, kw_only=True)
class SyntheticOptions:
    """A synthetic mountain range: how many glaciers, which years, which seed."""

    glaciers: int = 60
    """Number of glaciers, one per tile of the lattice."""
    seed: int = 0
    """Seed of every random stream."""
    first_year: int = 1975
    """First hydrological year with a true mass balance."""
    last_year: int = 2015
    """Last hydrological year with a true mass balance."""
    resolution_m: float = 100.0
    """Size of a terrain cell, m."""
    tile_cells: int = 48
    """Terrain cells along one side of a glacier's tile."""
    observed: int = 24
    """Glaciers with glacier-wide annual series; every second of them has seasons, every fourth has stakes."""
    climate_degrees: float = 0.1
    """Spacing of the climate grid, degrees."""
    centre: tuple[float, float] | None = None
    """Longitude and latitude of the middle of the range; left out 10 E, 47 N. In the south, seasons turn round."""
    projection: str = ""
    """Projection of the terrain round a centre: a code such as EPSG:3994, or utm; empty is equal-area there."""
    process: TrueProcess = field(default_factory=TrueProcess)
    """The true mass balance process and the noise of its observations."""

    def __post_init__(self) -> None:
        if not 1 <= self.glaciers <= 250_000:
            raise ValueError(f"glaciers is {self.glaciers}; expected 1 to 250000, what the projection has room for.")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; expected an integer of at least 0.")
        if not 1700 <= self.first_year <= self.last_year <= 2200:
            raise ValueError(
                f"years {self.first_year}..{self.last_year} are not a span between 1700 and 2200 in order; "
                "give the first year, then the last."
            )
        if not 25 <= self.resolution_m <= 500:
            raise ValueError(f"resolution_m is {self.resolution_m}; expected 25 to 500 m.")
        if not 3_200 <= self.tile_m <= 6_500:
            raise ValueError(
                f"{self.tile_cells} tile_cells of {self.resolution_m} m are {self.tile_m:.0f} m; "
                "expected tiles of 3200 to 6500 m, wide enough for a valley glacier."
            )
        if not 0 <= self.observed <= self.glaciers:
            raise ValueError(f"observed is {self.observed}; expected 0 to {self.glaciers}, the number of glaciers.")
        if not 0.05 <= self.climate_degrees <= 1:
            raise ValueError(f"climate_degrees is {self.climate_degrees}; expected 0.05 to 1 degree.")
        self._check_place()

    def _check_place(self) -> None:
        if self.centre is None:
            if self.projection:
                raise ValueError(
                    f"projection is {self.projection!r} but no centre is given; give both, or leave both out."
                )
            return
        lon, lat = self.centre
        if not (-180 <= lon <= 180 and -90 <= lat <= 90):
            raise ValueError(f"centre is {self.centre}; expected a longitude from -180 to 180, then a latitude.")
        reach = math.hypot(*self.shape) / 2 * self.resolution_m / METRES_PER_DEGREE
        if not reach < abs(lat) < 85 - reach:
            raise ValueError(
                f"centre is {self.centre}: {self.glaciers} glaciers reach {reach:.1f} degrees around it, over the "
                "equator, where hydrological years change, or to the pole. Move the centre, or make fewer glaciers."
            )

    @property
    def hemisphere(self) -> Literal["north", "south"]:
        """Where the range lies, which decides the months of its hydrological years."""
        return "south" if self.place[1] < 0 else "north"

    @property
    def place(self) -> tuple[float, float]:
        """Longitude and latitude of the middle, degrees."""
        return self.centre or (10.0, 47.0)

    @property
    def middle_m(self) -> tuple[float, float]:
        """Middle of the lattice in the terrain's projection."""
        if self.centre is None:
            return CENTRE_X_M, CENTRE_Y_M
        from glacierscale.synthetic import projection

        return projection.middle_m(self)

    @property
    def tile_m(self) -> float:
        """Side of a tile, m."""
        return self.tile_cells * self.resolution_m

    @property
    def columns(self) -> int:
        """Tiles from west to east; the range is longer than it is wide."""
        return math.ceil(math.sqrt(1.6 * self.glaciers))

    @property
    def rows(self) -> int:
        """Tiles from north to south; the last row may be partly empty."""
        return math.ceil(self.glaciers / self.columns)

    @property
    def shape(self) -> tuple[int, int]:
        """Terrain cells (y, x), margin included."""
        return (self.rows + 2 * MARGIN_TILES) * self.tile_cells, (self.columns + 2 * MARGIN_TILES) * self.tile_cells

    @property
    def west_m(self) -> float:
        """Western edge of the terrain."""
        return self.middle_m[0] - self.resolution_m * (self.shape[1] // 2)

    @property
    def north_m(self) -> float:
        """Northern edge of the terrain."""
        return self.middle_m[1] + self.resolution_m * (self.shape[0] // 2)

    @property
    def years(self) -> range:
        """Hydrological years in order."""
        return range(self.first_year, self.last_year + 1)


def block(options: SyntheticOptions, start: int, stop: int | None) -> tuple[int, int]:
    """Check a run of glaciers and return its ends."""
    stop = options.glaciers if stop is None else stop
    if not 0 <= start <= stop <= options.glaciers:
        raise ValueError(f"glaciers {start}:{stop} are not a block of the {options.glaciers} there are.")
    return start, stop


def span(rows: slice | None, size: int, what: str) -> tuple[int, int]:
    """Check a slab of rows and return its ends."""
    first, last, step = (slice(None) if rows is None else rows).indices(size)
    if step != 1 or last < first:
        raise ValueError(f"{what} {rows} is not a slab; expected a slice in order with step 1.")
    return first, last


def generator(options: SyntheticOptions, purpose: str, *key: int) -> np.random.Generator:
    """Return the random stream of a purpose and a place; its draws never depend on other places."""
    seed = np.random.SeedSequence([options.seed, zlib.crc32(purpose.encode()), *key])
    return np.random.Generator(np.random.Philox(seed))


def _draw(options: SyntheticOptions, purpose: str, start: int, stop: int, count: int, kind: str) -> Floats:
    if stop <= start:
        return np.empty((0, count))
    first = start // GROUP
    groups = [
        getattr(generator(options, purpose, group), kind)(size=(GROUP, count))
        for group in range(first, -(-stop // GROUP))
    ]
    return np.concatenate(groups)[start - first * GROUP : stop - first * GROUP]


def uniform(options: SyntheticOptions, purpose: str, start: int, stop: int, count: int) -> Floats:
    """Uniform numbers in [0, 1) per glacier of a block, (glacier, count)."""
    return _draw(options, purpose, start, stop, count, "random")


def normal(options: SyntheticOptions, purpose: str, start: int, stop: int, count: int) -> Floats:
    """Standard normal numbers per glacier of a block, (glacier, count)."""
    return _draw(options, purpose, start, stop, count, "standard_normal")
