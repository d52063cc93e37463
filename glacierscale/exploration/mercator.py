"""Degrees to metres of the spherical Mercator projection and back: shapes are true at every latitude and zoom."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glacierscale.units import WGS84_RADIUS_M

Floats = npt.NDArray[np.float64]

LATITUDE_LIMIT_DEG = 85.0
"""Mercator has no poles; what lies beyond is drawn here."""


def centre_of(lon_deg: npt.ArrayLike) -> float:
    """Longitude in the middle of places, with the widest gap between them at the back of the globe.

    Parameters
    ----------
    lon_deg : array_like
        Longitudes; NaN are left out.

    Returns
    -------
    float
        In [-180, 180); 0 without places.
    """
    lon = np.sort(np.asarray(lon_deg, float)[np.isfinite(lon_deg)] % 360.0)
    if not lon.size:
        return 0.0
    gaps = np.diff(np.append(lon, lon[0] + 360.0))
    widest = int(np.argmax(gaps))
    middle = lon[widest] + gaps[widest] / 2 + 180.0
    return float((middle + 180.0) % 360.0 - 180.0)


def to_metres(lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike, centre_deg: float) -> tuple[Floats, Floats]:
    """Project; x does not jump within 180 degrees of the centre.

    Parameters
    ----------
    lon_deg, lat_deg : array_like
        Of one shape.
    centre_deg : float
        Longitude in the middle of the map.

    Returns
    -------
    tuple of numpy.ndarray
        x and y in metres at the equator, of the same shape.
    """
    lon = (np.asarray(lon_deg, float) - centre_deg + 180.0) % 360.0 - 180.0 + centre_deg
    lat = np.clip(np.asarray(lat_deg, float), -LATITUDE_LIMIT_DEG, LATITUDE_LIMIT_DEG)
    return WGS84_RADIUS_M * np.radians(lon), WGS84_RADIUS_M * np.arctanh(np.sin(np.radians(lat)))


def to_degrees(x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Inverse of `to_metres`; longitude in [-180, 180).

    Parameters
    ----------
    x_m, y_m : array_like
        Metres at the equator.

    Returns
    -------
    tuple of numpy.ndarray
        Longitude and latitude in degrees.
    """
    lon = np.degrees(np.asarray(x_m, float) / WGS84_RADIUS_M)
    lat = np.degrees(np.arcsin(np.tanh(np.asarray(y_m, float) / WGS84_RADIUS_M)))
    return (lon + 180.0) % 360.0 - 180.0, lat


def stretch(y_m: npt.ArrayLike) -> Floats:
    """How much longer distances are on the map than on the ground, at a northing."""
    return np.cosh(np.asarray(y_m, float) / WGS84_RADIUS_M)
