"""Observation operators: what each kind of observation sees of the monthly balances of ice cells.

Every observation is linear in them,

    observed = sum over year, month and cell of time[year, month] * space[cell] * balance[cell, year, month],

with balances in kg m-2 per month. The functions here give the two sets of weights:

========================= ============================== ==============================
observation               space                          time
========================= ============================== ==============================
annual, winter, summer    `mask_mean`                    `season_weights`
elevation band            `band_mean`                    `season_weights`
point (a stake)           `bilinear`                     `month_weights`, between its dates
geodetic, per year        `mask_mean`                    `many_year_weights`
========================= ============================== ==============================
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glacierscale.region import WINTER_MONTHS, HydroYears

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

_SEASONS = {"annual": slice(None), "winter": slice(None, WINTER_MONTHS), "summer": slice(WINTER_MONTHS, None)}
_DAY = np.timedelta64(1, "D")


def mask_mean(ice_area_m2: npt.ArrayLike) -> Floats:
    """Weights of the mean over a glacier.

    Parameters
    ----------
    ice_area_m2 : array_like, any shape, m2
        Ice in each cell, 0 off the glacier. Cells of all outlines of one observed glacier come in one array.

    Returns
    -------
    numpy.ndarray
        Same shape, summing to 1.

    Raises
    ------
    ValueError
        If an area is negative or no number, or there is no ice.
    """
    area = _checked_area(ice_area_m2)
    if not area.any():
        raise ValueError(f"none of the {area.size} cells carries ice; set this glacier aside.")
    mean: Floats = area / area.sum()
    return mean


def band_mean(
    elevation_m: npt.ArrayLike, ice_area_m2: npt.ArrayLike, low_m: float, high_m: float, *, reach_m: float = 50.0
) -> Floats:
    """Weights of the mean over an elevation band, its lower edge included and its upper one not.

    A band may lie above or below every cell, for the surface is of another year than the profile. Then the nearest
    cell in elevation stands for it (all of them where several are equally near), if it is within reach.

    Parameters
    ----------
    elevation_m : array_like, any shape, m
        Surface elevation; not read where there is no ice.
    ice_area_m2 : array_like, same shape, m2
        Ice in each cell, 0 off the glacier.
    low_m, high_m : float
        Edges of the band.
    reach_m : float
        How far from the band the nearest cell may lie.

    Returns
    -------
    numpy.ndarray
        Same shape, summing to 1; all 0 where the surface has nothing in reach of the band, so that the observation
        cannot be seen on it.

    Raises
    ------
    ValueError
        If the edges are not in order, an area is negative or no number, or ice has no elevation.
    """
    if not low_m < high_m:
        raise ValueError(
            f"the band from {low_m:g} to {high_m:g} m has no extent; give its lower, then its upper edge, and set "
            "aside a band whose edges are unknown."
        )
    area = _checked_area(ice_area_m2)
    elevation = np.asarray(elevation_m, np.float64)
    if elevation.shape != area.shape:
        raise ValueError(f"elevations have the shape {elevation.shape}, ice areas {area.shape}; expected the same.")
    ice = area > 0
    if np.isnan(elevation[ice]).any():
        raise ValueError(f"{int(np.isnan(elevation[ice]).sum())} cells with ice have no elevation; fill them first.")
    chosen = ice & (elevation >= low_m) & (elevation < high_m)
    if ice.any() and not chosen.any():
        away = np.where(ice, np.maximum(low_m - elevation, elevation - high_m), np.inf)
        chosen = away == away.min() if away.min() <= reach_m else chosen
    share: Floats = np.where(chosen, area, 0.0)
    return share / share.sum() if chosen.any() else share


def bilinear(
    column: float, row: float, ice_fraction: npt.ArrayLike, *, reach_cells: float = 5.0
) -> tuple[Ints, Floats]:
    """Cells and weights of a bilinear sample over the cells that carry ice.

    Of the four cells around the point those without ice are left out and the others share their weight. Where none of
    them has ice, the nearest cell with ice stands for the point: outlines and stakes are of different years.

    Parameters
    ----------
    column, row : float
        Where the point lies; whole numbers are centres of cells.
    ice_fraction : (row, column) array_like
        Share of each cell that is glacier; NaN counts as none.
    reach_cells : float
        How far, in cells, the centre of the nearest cell with ice may lie.

    Returns
    -------
    cells : (k, 2) int
        Row and column of each cell, k from 1 to 4.
    weights : (k,)
        Summing to 1.

    Raises
    ------
    ValueError
        If the position is no number, or no ice is within reach.
    """
    ice = np.asarray(ice_fraction, np.float64) > 0
    if not (np.isfinite(column) and np.isfinite(row)):
        raise ValueError(f"a stake lies at row {row}, column {column}; expected two finite numbers.")
    corner = np.floor([row, column]).astype(np.intp)
    cells = corner + np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    weight = np.prod(1.0 - np.abs(cells - np.array([row, column])), axis=1)
    usable = (weight > 0) & (cells >= 0).all(axis=1) & (cells < ice.shape).all(axis=1)
    usable[usable] = ice[tuple(cells[usable].T)]
    if usable.any():
        return cells[usable], weight[usable] / weight[usable].sum()

    candidates = np.argwhere(ice)
    away = np.hypot(*(candidates - np.array([row, column])).T)
    if not (away <= reach_cells).any():
        nearest = f"{away.min():.1f} cells away" if len(away) else "nowhere in this patch"
        raise ValueError(
            f"a stake outside every glacier: it lies at row {row:.1f}, column {column:.1f} of {ice.shape[0]} x "
            f"{ice.shape[1]} cells, and the nearest ice is {nearest}, expected within {reach_cells:g}. Check its "
            "coordinates, or set it aside."
        )
    return candidates[[away.argmin()]], np.ones(1)


def month_weights(
    start: npt.ArrayLike, end: npt.ArrayLike, first_year: int, last_year: int, hemisphere: str = "north"
) -> Floats:
    """Share of each month that lies between two dates.

    Both dates count as whole days: a period that ends on the last day of a month has all of it. The exception is an
    end on the first of a month, which closes the month before and adds nothing: publishers write 1 October, or
    1 January, for the end of a year.

    Parameters
    ----------
    start, end : array_like of datetime64, any shape that broadcasts together
        First and last day of each observed period.
    first_year, last_year : int
        Hydrological years of the climate series, both included.
    hemisphere : str
        ``"north"`` or ``"south"``: whether hydrological years begin in October or in April.

    Returns
    -------
    numpy.ndarray
        (..., hydro_year, month), from 0 to 1.

    Raises
    ------
    ValueError
        If a date is missing, a period ends before it starts, or dates lie outside the climate series.
    """
    years = HydroYears(first_year, last_year, hemisphere)  # type: ignore[arg-type]  # it refuses other hemispheres
    edges = np.datetime64(years.first_month, "M") + np.arange(12 * len(years) + 1)
    month = edges.astype("datetime64[D]")
    begin, last = np.broadcast_arrays(np.asarray(start, "datetime64[D]"), np.asarray(end, "datetime64[D]"))
    wrong = ~(begin <= last)  # NaT compares as false
    if wrong.any():
        raise ValueError(
            f"{int(wrong.sum())} periods do not run from a first to a last day, such as {begin[wrong][0]} to "
            f"{last[wrong][0]}; give start, then end."
        )
    is_first = (last == last.astype("datetime64[M]").astype("datetime64[D]")) & (last > begin)
    after = np.where(is_first, last, last + _DAY)
    outside = (begin < month[0]) | (after > month[-1])
    if outside.any():
        raise ValueError(
            f"dates outside the climate series: {int(outside.sum())} periods, such as {begin[outside][0]} to "
            f"{last[outside][0]}, are not within {month[0]} to {month[-1] - _DAY} (hydrological years {first_year} to "
            f"{last_year}). Add years of climate, or set these observations aside."
        )
    shared = np.minimum(after[..., None], month[1:]) - np.maximum(begin[..., None], month[:-1])
    share: Floats = np.maximum(shared / _DAY, 0.0) / (np.diff(month) / _DAY)
    return share.reshape(*begin.shape, len(years), 12)


def many_year_weights(
    start: npt.ArrayLike, end: npt.ArrayLike, first_year: int, last_year: int, hemisphere: str = "north"
) -> Floats:
    """Weights of the mean balance per year between two dates, as geodetic observations have it.

    Those of `month_weights` over the length of the period in years, a year being twelve months. Sum over months, so
    that the prediction is in kg m-2 per year; volume change became mass change (850 kg m-3) where the data were read.

    Parameters
    ----------
    start, end, first_year, last_year, hemisphere
        As in `month_weights`.

    Returns
    -------
    numpy.ndarray
        (..., hydro_year, month), summing to 12 over both.

    Raises
    ------
    ValueError
        As in `month_weights`; a period longer than the climate series lies outside it.
    """
    weight = month_weights(start, end, first_year, last_year, hemisphere)
    mean: Floats = weight * 12 / weight.sum(axis=(-2, -1), keepdims=True)
    return mean


def season_weights(kind: npt.ArrayLike, hydro_year: npt.ArrayLike, first_year: int, last_year: int) -> Floats:
    """Weights of the balance of a hydrological year or one of its seasons.

    Parameters
    ----------
    kind : array_like of str, any shape that broadcasts with the years
        ``"annual"`` for all months, ``"winter"`` for the first seven, ``"summer"`` for the others.
    hydro_year : array_like of int
        Hydrological year of each observation.
    first_year, last_year : int
        Hydrological years of the climate series, both included.

    Returns
    -------
    numpy.ndarray
        (..., hydro_year, month), 0 or 1.

    Raises
    ------
    ValueError
        If a kind is no season, or a year lies outside the climate series.
    """
    kinds, year = np.broadcast_arrays(np.asarray(kind, np.str_), np.asarray(hydro_year))
    unknown = sorted(set(kinds.ravel().tolist()) - set(_SEASONS))
    if unknown:
        raise ValueError(f"unknown seasons {unknown}; expected some of {list(_SEASONS)}.")
    outside = (year < first_year) | (year > last_year)
    if outside.any():
        raise ValueError(
            f"dates outside the climate series: the hydrological years {np.unique(year[outside])[:5].tolist()} are not "
            f"within {first_year} to {last_year}. Add years of climate, or set these observations aside."
        )
    months = np.zeros((*kinds.shape, 12))
    for name, span in _SEASONS.items():
        months[kinds == name, span] = 1.0
    in_year = year[..., None] == np.arange(first_year, last_year + 1)
    weight: Floats = in_year[..., None] * months[..., None, :]
    return weight


def _checked_area(ice_area_m2: npt.ArrayLike) -> Floats:
    area = np.asarray(ice_area_m2, np.float64)
    if not (area >= 0).all() or np.isinf(area).any():
        raise ValueError(
            f"{int((~(area >= 0) | np.isinf(area)).sum())} ice areas are negative or no numbers; expected m2, 0 off "
            "the glacier."
        )
    return area
