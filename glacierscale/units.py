"""Physical constants with their references, and unit conversion at the edges.

Between ingest and plot every number is in the unit that `glacierscale.schema` states, so `convert` is called once per
variable, where data enter.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

GRAVITY_M_S2 = 9.80665
"""Standard gravity (BIPM 2019); divides ECMWF geopotential into height."""

WGS84_RADIUS_M, WGS84_ECCENTRICITY2 = 6378137.0, 0.00669437999014
"""Semi-major axis and squared first eccentricity of the WGS 84 ellipsoid (NIMA TR8350.2, 2000)."""

ICE_DENSITY_KG_M3 = 900.0
"""Density of glacier ice (Cuffey & Paterson 2010)."""

WATER_DENSITY_KG_M3 = 1000.0
"""Density of the water that ice becomes; IPCC sea-level equivalents count so too."""

OCEAN_AREA_M2 = 3.625e14
"""Area of the ocean that water spreads over (Cogley 2012, doi 10.1080/01490419.2012.709476)."""

VOLUME_TO_MASS_KG_M3 = 850.0
"""Density that turns geodetic volume change into mass change (Huss 2013, doi 10.5194/tc-7-877-2013), +/- 60."""

VOLUME_TO_MASS_SIGMA_KG_M3 = 60.0

LAPSE_RATE_K_M = -6.5e-3
"""Temperature lapse rate of the ICAO standard atmosphere, the fallback where data cannot give one."""

LAPSE_RATE_LIMITS_K_M = (-9.8e-3, -3.0e-3)
"""Bounds of an estimated lapse rate: dry adiabatic, and the weak end of monthly alpine rates (Rolland 2003)."""

SNOW_BELOW_DEGC, RAIN_ABOVE_DEGC = 0.0, 2.0
"""All precipitation is solid below the first and liquid above the second, linear between."""

_ALIASES = {
    "degc": "degC",
    "celsius": "degC",
    "deg_c": "degC",
    "c": "degC",
    "k": "kelvin",
    "mm w.e.": "kg m-2",
    "mm": "kg m-2",
    "mm month-1": "kg m-2",
    "mm/month": "kg m-2",
    "kg m**-2": "kg m-2",
    "kg/m2": "kg m-2",
    "m w.e.": "m_we",
    "mm day-1": "kg m-2 day-1",
    "mm/day": "kg m-2 day-1",
    "mm d-1": "kg m-2 day-1",
    "m day-1": "m_we day-1",
    "m d-1": "m_we day-1",
    "(0 - 1)": "1",
}

_BARE_EXPONENT = re.compile(r"([A-Za-z_]+)(-?\d+)")


@cache
def _registry() -> Any:
    import pint  # takes 0.3 s to import: only where data enter

    registry: Any = pint.UnitRegistry(autoconvert_offset_to_baseunit=True)
    registry.define("m_we = 1000 * kilogram / meter ** 2")  # metres of water of 1000 kg m-3
    return registry


def _parse(unit: str) -> Any:
    text = _ALIASES.get(unit.strip().lower(), unit.strip()).replace("**", "")
    # CF writes exponents bare ("kg m-2 s-1") and products as blanks; pint wants both marked.
    return _registry().parse_units(" * ".join(_BARE_EXPONENT.sub(r"\1**(\2)", text).split()))


def convert(values: npt.ArrayLike, unit: str, to: str, *, name: str = "the variable") -> np.ndarray:
    """Convert numbers from one unit to another.

    Parameters
    ----------
    values : array_like, any shape
        Numbers in `unit`.
    unit, to : str
        Units as publishers and CF write them (``"K"``, ``"m**2 s**-2"``, ``"mm w.e."``, ``"kg m-2"``).
    name : str
        What the values are, for the message.

    Returns
    -------
    numpy.ndarray
        The same shape, in `to`.

    Raises
    ------
    ValueError
        If a unit is missing or unknown, or the two do not measure the same thing.
    """
    import numpy as np

    if not unit or not unit.strip():
        raise ValueError(f"{name} has no unit; expected one that converts to {to!r}. Set its 'units' attribute.")
    try:
        source, target = _parse(unit), _parse(to)
    except Exception as error:
        raise ValueError(f"{name} has the unknown unit {unit!r}; expected one that converts to {to!r}.") from error
    if source.dimensionality != target.dimensionality:
        raise ValueError(
            f"{name} is in {unit!r}, which does not convert to {to!r}. Check which variable was catalogued."
        )
    return np.asarray(_registry().Quantity(np.asarray(values), source).to(target).magnitude)
