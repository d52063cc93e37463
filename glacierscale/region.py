"""Where and when: a named region, its hydrological years, and what glacier identifiers mean."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

MONTHS = ("oct", "nov", "dec", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep")
"""Months of a northern hydrological year in order."""

WINTER_MONTHS = 7
"""The first seven months of the hydrological year are winter (October to April in the north, Bolibar et al. 2020)."""

_PART = re.compile(r"_d\d+$")

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, kw_only=False)
class HydroYears:
    """A run of hydrological years, both ends included.

    Year Y runs from 1 October Y-1 to 30 September Y in the north, from 1 April Y-1 to 31 March Y in the south.
    """

    first: int
    """First hydrological year."""
    last: int
    """Last hydrological year."""
    hemisphere: Literal["north", "south"] = "north"
    """Which months the year is made of."""

    def __post_init__(self) -> None:
        if not (isinstance(self.first, int) and isinstance(self.last, int)):
            raise ValueError(f"hydrological years are {self.first!r} and {self.last!r}; expected two whole numbers.")
        if not 1000 <= self.first <= self.last <= 3000:
            raise ValueError(
                f"hydrological years {self.first}..{self.last} are not a span between 1000 and 3000 in order; "
                "give the first year, then the last."
            )
        if self.hemisphere not in ("north", "south"):
            raise ValueError(f"hemisphere is {self.hemisphere!r}; expected 'north' or 'south'.")

    def __len__(self) -> int:
        return self.last - self.first + 1

    @property
    def years(self) -> range:
        """Every hydrological year in order."""
        return range(self.first, self.last + 1)

    @property
    def first_month(self) -> str:
        """First calendar month, as ``YYYY-MM``."""
        return f"{self.first - 1:04d}-{'10' if self.hemisphere == 'north' else '04'}"

    @property
    def last_month(self) -> str:
        """Last calendar month, as ``YYYY-MM``."""
        return f"{self.last:04d}-{'09' if self.hemisphere == 'north' else '03'}"


@dataclass(frozen=True, kw_only=False)
class Region:
    """A named set of glaciers over a span of hydrological years."""

    name: str
    """Name used in titles and messages."""
    years: HydroYears = field(kw_only=True)
    """Hydrological years to reconstruct."""
    bounds: tuple[float, float, float, float] | None = field(default=None, kw_only=True)
    """West, south, east, north in degrees; glaciers whose centre lies outside are left out. None keeps all."""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("a region needs a name; got an empty one.")
        if not isinstance(self.years, HydroYears):
            raise ValueError(f"years is {self.years!r}; expected HydroYears(first, last).")
        if self.bounds is not None and len(self.bounds) != 4:
            raise ValueError(f"bounds {self.bounds} are not four numbers: west, south, east, north in degrees.")
        if self.bounds is not None:
            west, south, east, north = self.bounds
            if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90):
                raise ValueError(
                    f"bounds {self.bounds} are not (west, south, east, north) in degrees; "
                    "longitudes run from -180 to 180 and south comes before north."
                )


def months(hemisphere: str) -> tuple[str, ...]:
    """Names of the months of a hydrological year in order: from October in the north, from April in the south."""
    return MONTHS if hemisphere == "north" else MONTHS[6:] + MONTHS[:6]


def seamless(lon: Floats) -> Floats:
    """Longitudes of a region, from 0 to 360 where it lies on both sides of the antimeridian, else as they are, degrees.

    Neighbours there have longitudes near each other; without that, some lie at -180 and some at 180. What lies all
    around the Earth is left as it is.
    """
    eastward = lon % 360
    return eastward if len(lon) and np.ptp(lon) > 180 >= np.ptp(eastward) else lon


def beside(lon: Floats, centre: Floats | float) -> Floats:
    """Longitudes moved by whole turns to within 180 degrees of a centre; those that are stay as they are."""
    moved: Floats = lon + 360.0 * np.round((centre - lon) / 360)
    return moved


def unit_of(glacier_id: str) -> str:
    """Identifier of the observed unit an outline belongs to: the RGI id without its part suffix.

    Outlines of one glacier split at a divide (``RGI50-11.00719_d01``, ``_d02``) share one observation.
    """
    return _PART.sub("", glacier_id)
