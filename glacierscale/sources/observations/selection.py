"""Which observations a region can use: those of its glaciers, in its years, at its glaciers."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from glacierscale.region import HydroYears

REACH_M = 500.0
"""How far outside every outline of its glacier a point may lie: outlines and stakes are of different years."""

_METRES_PER_DEGREE = np.pi / 180 * 6_371_000.0
_DATED = ("point", "geodetic")


def inside(
    table: pd.DataFrame, years: HydroYears, outlines: gpd.GeoDataFrame, *, reach_m: float = REACH_M, because: str = ""
) -> tuple[pd.DataFrame, list[str]]:
    """Observations that lie in the years and at the outlines of a region.

    An observation is kept if its glacier has an outline, its hydrological year is one of the years, and, for points and
    geodetic balances, whose dates are those of surveys, its whole period lies in their months. A point
    also has to lie at an outline of its glacier.

    Parameters
    ----------
    table : pandas.DataFrame
        Checked observations.
    years : HydroYears
        The years with climate.
    outlines : geopandas.GeoDataFrame
        ``unit_id`` and geometry in degrees.
    reach_m : float
        How far outside every outline of its glacier a point may lie.
    because : str
        Why the years end where they do, for the reasons.

    Returns
    -------
    kept : pandas.DataFrame
        In the order of the input.
    reasons : list of str
        How many observations of the region's glaciers were left out, by kind, and why; empty if none.
    """
    here = table[table["obs_unit_id"].isin(outlines["unit_id"])].reset_index(drop=True)
    begin = np.datetime64(years.first_month, "ns")
    after = (np.datetime64(years.last_month, "M") + 1).astype("datetime64[ns]")
    early_or_late = (here["obs_start"] < begin) | (here["obs_end"] > after)
    outside = ~here["obs_year"].between(years.first, years.last) | (here["obs_kind"].isin(_DATED) & early_or_late)
    far = ~outside & (here["obs_kind"] == "point") & (_distance_m(here, outlines) > reach_m)
    reasons = []
    for lost, why in (
        (outside, f"outside {years.first_month}..{years.last_month}" + (f" ({because})" if because else "")),
        (far, f"more than {reach_m:g} m from every outline of their glacier"),
    ):
        counts = here.loc[lost, "obs_kind"].value_counts(sort=False)
        reasons += [f"{count} {kind} observations {why}" for kind, count in counts.items()]
    return here[~(outside | far)].reset_index(drop=True), reasons


def _distance_m(table: pd.DataFrame, outlines: gpd.GeoDataFrame) -> npt.NDArray[np.float64]:
    """Distance of each observation with a position from the outlines of its glacier, else 0: (observation,) m."""
    distance = np.zeros(len(table))
    placed = table[table["obs_lon"].notna() & table["obs_lat"].notna()]
    for unit, rows in placed.groupby("obs_unit_id"):
        lon, lat = rows["obs_lon"].to_numpy(np.float64), rows["obs_lat"].to_numpy(np.float64)
        lon0, lat0 = lon[0], lat.mean()

        def plane(degrees: npt.NDArray[np.float64], lon0: float = lon0, lat0: float = lat0) -> npt.NDArray[np.float64]:
            east = (degrees[:, 0] - lon0 + 180.0) % 360.0 - 180.0  # also over the antimeridian
            scale = _METRES_PER_DEGREE * np.array([np.cos(np.radians(lat0)), 1.0])
            return np.column_stack([east, degrees[:, 1] - lat0]) * scale

        shapes = shapely.transform(outlines.geometry[outlines["unit_id"] == unit].to_numpy(), plane)
        points = shapely.points(plane(np.column_stack([lon, lat])))
        distance[rows.index] = shapely.distance(shapes[:, None], points[None, :]).min(axis=0)
    return distance
