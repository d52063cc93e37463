"""Glaciers' own curves of thinning against height, from the changes of elevation of a catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from glacierscale.cube.weather import in_memory_if_small
from glacierscale.evolution.curves import HEIGHTS, POINTS, check_grids, from_dems
from glacierscale.sources import elevation_change
from glacierscale.sources.polygons import some

if TYPE_CHECKING:
    import geopandas as gpd

    from glacierscale.catalog import Entry

LEAST_SHARE = 0.5
"""Share of an outline that has to be surveyed: a part of the height range would be taken for all of it."""


def thinning(
    chosen: dict[str, list[Entry]], shapes: gpd.GeoDataFrame, everywhere: gpd.GeoDataFrame, named: Any
) -> xr.Dataset | None:
    """Curves from the entries of roles elevation_change and elevation_change_dem; None where there are none.

    A glacier's curve is that of the cells inside its outline, in the raster that covers most of it, if that is more
    than `LEAST_SHARE`. So it makes no difference whether rasters are of single glaciers or of many.

    Parameters
    ----------
    chosen : dict
        Entries by role. Metadata of the change has to state ``years``, the two that lie between.
    shapes : geopandas.GeoDataFrame
        Outlines of the region's glaciers.
    everywhere : geopandas.GeoDataFrame
        Those of all glaciers of the catalogue.
    named : callable
        Calls a function so that its errors name the entry.

    Returns
    -------
    xarray.Dataset or None
        ``thinning`` (glacier, thinning_height) float32, NaN where a glacier has none, ``thinning_height``, and the
        attribute ``thinning_left_out``: how many were left out, and why.
    """
    entries, dems = chosen["elevation_change"], chosen["elevation_change_dem"]
    if not entries:
        return None
    if len(entries) > 1 or len(dems) != 1:
        names = ", ".join(entry.name for entry in [*entries, *dems])
        raise ValueError(
            f"the catalogue has {len(entries)} entries of role elevation_change and {len(dems)} of role "
            f"elevation_change_dem ({names}); expected one of each. Add what is missing, give others another role."
        )
    return named(entries[0], _read, entries[0], dems[0], shapes, everywhere)  # type: ignore[no-any-return]


def _read(entry: Entry, dem: Entry, shapes: gpd.GeoDataFrame, everywhere: gpd.GeoDataFrame) -> xr.Dataset:
    years = _years_between(entry)
    found = elevation_change.surveys(
        _parts(entry), _parts(dem), crs=entry.metadata.get("crs"), elevation_crs=dem.metadata.get("crs")
    )
    for survey in found:
        _check_grids(survey)
    best, unused, elsewhere = _assigned(found, shapes, everywhere)
    curves, refused = np.full((len(shapes), POINTS), np.nan, np.float32), []
    for glacier, cells in best.items():
        try:
            curves[glacier] = from_dems(cells.change_m, cells.elevation_m, years=years)
        except ValueError as error:
            refused.append(f"{shapes.glacier_id.iloc[glacier]} ({str(error).split(';')[0]})")
    told = {
        "glaciers whose changes of elevation give no curve": refused,
        f"rasters that cover at most {LEAST_SHARE:.0%} of each outline, or less than others do": unused,
        "rasters of glaciers of other regions": elsewhere,
    }
    left_out = "; ".join(f"{len(names)} {what}: {some(names)}" for what, names in told.items() if names)
    variables = {
        "thinning": (("glacier", "thinning_height"), curves),
        "thinning_height": ("thinning_height", HEIGHTS),
    }
    return xr.Dataset(variables, attrs={"thinning_left_out": left_out})


def _assigned(
    found: list[elevation_change.Survey], shapes: gpd.GeoDataFrame, everywhere: gpd.GeoDataFrame
) -> tuple[dict[int, elevation_change.Cells], list[str], list[str]]:
    """Cells of each glacier that is surveyed, names of surveys that are no glacier's, and of those of other regions."""
    best: dict[int, elevation_change.Cells] = {}
    source: dict[int, str] = {}
    elsewhere = []
    in_crs: dict[str, tuple[gpd.GeoSeries, gpd.GeoSeries]] = {}
    for survey in found:
        wkt = survey.change.rio.crs.to_wkt()
        if wkt not in in_crs:
            in_crs[wkt] = (shapes.geometry.to_crs(wkt), everywhere.geometry.to_crs(wkt))
        here, all_outlines = in_crs[wkt]
        own = list(elevation_change.inside(survey, here))
        if not own:
            if next(elevation_change.inside(survey, all_outlines), None) is None:
                raise ValueError(
                    f"{survey.name} knows the change of elevation nowhere inside an outline; expected that of glaciers "
                    "of the catalogue. Check its CRS and nodata tag, or leave it out."
                )
            elsewhere.append(survey.name)
        for glacier, cells in own:
            if cells.share > max(LEAST_SHARE, best[glacier].share if glacier in best else 0.0):
                best[glacier], source[glacier] = cells, survey.name
    used = {*source.values(), *elsewhere}
    return dict(sorted(best.items())), [survey.name for survey in found if survey.name not in used], elsewhere


def _check_grids(survey: elevation_change.Survey) -> None:
    change, elevation = survey.change, survey.elevation
    try:
        check_grids(change.x.values, change.y.values, elevation.x.values, elevation.y.values)
    except ValueError as error:
        raise ValueError(f"{survey.name} and {survey.other}: {error}") from error


def _years_between(entry: Entry) -> int:
    stated = entry.metadata.get("years")
    years = stated if isinstance(stated, list) else []
    whole = [year for year in years if isinstance(year, int) and not isinstance(year, bool)]
    if len(years) != 2 or len(whole) != 2 or not whole[0] < whole[1]:
        raise ValueError(
            f"years is {stated!r}; expected those of the earlier and the later survey, such as [1979, 2011]. State "
            "them in the catalogue's entry of the change of elevation."
        )
    return whole[1] - whole[0]


def _parts(entry: Entry) -> list[tuple[str, xr.DataArray]]:
    return [(name, in_memory_if_small(part)) for name, part in entry.parts()]
