"""Where the synthetic range lies: the projection of its terrain, and longitudes that run on over the antimeridian."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyproj

from glacierscale.synthetic.options import EPSG, Floats, SyntheticOptions

LARGEST_DISTORTION = 0.1
"""Scale of a projection may differ from 1 by this much in the range: glaciers are drawn in its metres."""


@cache
def crs(options: SyntheticOptions) -> pyproj.CRS:
    """Projection of the terrain.

    Raises
    ------
    ValueError
        If there is no such projection, or its unit is not the metre.
    """
    if options.centre is None:
        return pyproj.CRS.from_epsg(EPSG)
    lon, lat = options.centre
    name = options.projection or f"+proj=laea +lon_0={lon!r} +lat_0={lat!r} +datum=WGS84 +units=m"
    if name == "utm":
        zone = int((lon + 180) // 6) % 60 + 1
        name = f"EPSG:{(32600 if lat > 0 else 32700) + zone}"
    try:
        found = pyproj.CRS(name)
    except pyproj.exceptions.CRSError as error:
        raise ValueError(
            f"projection is {name!r}, which PROJ does not know ({error}); name one such as EPSG:3994, or utm."
        ) from error
    if not found.is_projected or any(axis.unit_name != "metre" for axis in found.axis_info):
        raise ValueError(f"projection {name} is not one in metres; name one such as EPSG:3994, or utm.")
    return found


@cache
def to_degrees(options: SyntheticOptions) -> pyproj.Transformer:
    """Transformer from the terrain's projection to longitude and latitude."""
    return pyproj.Transformer.from_crs(crs(options), 4326, always_xy=True)


@cache
def middle_m(options: SyntheticOptions) -> tuple[float, float]:
    """Middle of the lattice in the projection, a whole number of cells from its origin.

    Raises
    ------
    ValueError
        If the projection stretches the range, or breaks inside it.
    """
    lon, lat = options.place
    x, y = to_degrees(options).transform(lon, lat, direction="INVERSE")
    cell = options.resolution_m
    x, y = float(np.round(x / cell) * cell), float(np.round(y / cell) * cell)
    half_y, half_x = (cell * size / 2 for size in options.shape)
    across, up = (part.ravel() for part in np.meshgrid([x - half_x, x, x + half_x], [y - half_y, y, y + half_y]))
    lons, lats = to_degrees(options).transform(across, up)
    back = to_degrees(options).transform(lons, lats, direction="INVERSE")
    broken = not np.allclose(back, [across, up], rtol=0, atol=1.0)
    found = pyproj.Proj(crs(options)).get_factors(lons, lats) if not broken else None
    scales = [] if found is None else [found.meridional_scale, found.parallel_scale]
    if broken or not np.allclose(scales, 1, rtol=0, atol=LARGEST_DISTORTION):
        fault = "breaks" if broken else "stretches lengths by more than a tenth"
        raise ValueError(
            f"projection {crs(options).name} does not fit a range at {lon:g}, {lat:g}: it {fault} there. Leave the "
            "projection out (equal area around the centre), or name one that is meant for that place."
        )
    return x, y


def degrees(options: SyntheticOptions, x_m: Floats, y_m: Floats) -> tuple[Floats, Floats]:
    """Longitude, beyond 180 where the range runs on over the antimeridian, and latitude of points."""
    lon, lat = (np.asarray(values) for values in to_degrees(options).transform(x_m, y_m))
    return lon if options.centre is None else lon + 360 * np.round((options.centre[0] - lon) / 360), lat
