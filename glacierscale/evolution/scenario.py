"""Climate of future years: observed where it is known, else that of a climate model as anomalies on what was observed.

Arrays end in (..., hydro_year, month), month 0 being the first of the hydrological year.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glacierscale.evolution.adjustment import adjusted_precipitation, adjusted_temperature, on_years

LEAST_REFERENCE_YEARS = 10
"""Years of reference below which standard deviations mean little."""

WARMED_BY = 2100
"""Hydrological year in which extra warming and the extra factor on precipitation are reached."""

Floats = npt.NDArray[np.floating]
Years = npt.NDArray[np.integer]
Flags = npt.NDArray[np.bool_]


def forcing(
    observed_temp_degc: Floats,
    observed_precip_kg_m2: Floats,
    observed_years: Years,
    series_time: npt.NDArray[np.datetime64],
    series_temp_degc: Floats,
    series_precip_kg_m2: Floats,
    years_wanted: Years,
    hemisphere: str,
    *,
    reference_years: tuple[int, int] | None = None,
    warming_k: float = 0.0,
    precip_factor: float = 1.0,
) -> tuple[Floats, Floats]:
    """Climate of glaciers in every year that is wanted: observed where it is known, a scenario's elsewhere.

    Parameters
    ----------
    observed_temp_degc, observed_precip_kg_m2 : (glacier, year, month)
        Observed climate by hydrological year, at any height. A year with a NaN month counts as not observed; leave out
        years that are filled with a climatology.
    observed_years : (year,) int
    series_time : (series_month,) datetime64
        First day of each month, ascending.
    series_temp_degc, series_precip_kg_m2 : (glacier, series_month)
        The scenario at each glacier's cell, from before the end of the observations on; NaN where it has no such month.
    years_wanted : (wanted,) int
    hemisphere : {"north", "south"}
        Which months make a hydrological year.
    reference_years : tuple of int, optional
        First and last hydrological year of the reference; None takes all that both know.
    warming_k : float
        Warming on top of the scenario, 0 in the last observed year of a glacier, this in `WARMED_BY`, linear and going
        on after.
    precip_factor : float
        Factor on the scenario's precipitation, growing from 1 likewise.

    Returns
    -------
    temp, precip : (glacier, wanted, month)
        degC and kg m-2.

    Raises
    ------
    ValueError
        If the scenario is shorter than asked or lacks months, or the reference has fewer than `LEAST_REFERENCE_YEARS`.
    """
    years_modelled, modelled_temp = by_hydro_year(series_time, series_temp_degc, hemisphere)
    modelled_precip = by_hydro_year(series_time, series_precip_kg_m2, hemisphere)[1]
    wanted = np.asarray(years_wanted)
    every = np.concatenate([observed_years, years_modelled, wanted])
    years = np.arange(every.min(), every.max() + 1)
    observed = on_years(observed_temp_degc, observed_precip_kg_m2, observed_years, years)
    modelled = on_years(modelled_temp, modelled_precip, years_modelled, years)
    reference = _reference(observed.known, modelled.known, years, reference_years)

    at = wanted - years[0]
    from_observed = observed.known[:, at]
    _check_covered(wanted, ~from_observed & ~modelled.known[:, at], modelled.known, years)
    last = np.where(observed.known, years, 0).max(axis=1)
    share = np.maximum(wanted - last[:, None], 0) / np.maximum(WARMED_BY - last[:, None], 1)  # (glacier, wanted)
    temp = adjusted_temperature(observed, modelled, reference)[:, at] + (warming_k * share)[..., None]
    factor = np.maximum(1 + (precip_factor - 1) * share, 0)
    precip = adjusted_precipitation(observed, modelled, reference)[:, at] * factor[..., None]
    kept = from_observed[..., None]
    return np.where(kept, observed.temp[:, at], temp), np.where(kept, observed.precip[:, at], precip)


def nearest_cell(lon: Floats, lat: Floats, cell_lon: Floats, cell_lat: Floats) -> npt.NDArray[np.intp]:
    """Nearest climate cell of each glacier on the sphere.

    Parameters
    ----------
    lon, lat : (glacier,) degrees
    cell_lon, cell_lat : (cell,) degrees
        NaN where there is no cell. Longitudes may be counted from 0 or from -180, each in its own way.

    Returns
    -------
    numpy.ndarray
        (glacier,) int, the first of cells that are equally far.

    Raises
    ------
    ValueError
        If there is no cell at all.
    """
    known = np.flatnonzero(np.isfinite(cell_lon) & np.isfinite(cell_lat))
    if not len(known):
        raise ValueError("the scenario has no cell with a place; expected at least one. Ingest the cube again.")
    cosine = _on_sphere(lon, lat) @ _on_sphere(cell_lon[known], cell_lat[known]).T
    nearest: npt.NDArray[np.intp] = known[np.round(cosine, 12).argmax(axis=1)]  # longitudes from 0 or -180 differ less
    return nearest


def _on_sphere(lon: Floats, lat: Floats) -> Floats:
    east, north = np.deg2rad(np.asarray(lon, float)), np.deg2rad(np.asarray(lat, float))
    return np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=-1)


def by_hydro_year(series_time: npt.NDArray[np.datetime64], series: Floats, hemisphere: str) -> tuple[Years, Floats]:
    """Monthly series by hydrological year.

    Parameters
    ----------
    series_time : (series_month,) datetime64
        Ascending; months may be missing.
    series : (glacier, series_month)
    hemisphere : {"north", "south"}

    Returns
    -------
    years : (year,) int
        Every hydrological year from the first to the last that has a month.
    values : (glacier, year, month)
        NaN where the series has no such month.
    """
    months = np.asarray(series_time).astype("datetime64[M]").astype(np.int64)
    if not len(months) or (np.diff(months) <= 0).any():
        raise ValueError(
            f"the scenario has {len(months)} months that do not ascend one by one; expected each month once, in order. "
            "Ingest the cube again."
        )
    counted = months + (3 if hemisphere == "north" else 9)  # months since the start of hydrological year 1970
    first = counted[0] // 12
    count = int(counted[-1] // 12 - first + 1)
    values = np.full((len(series), 12 * count), np.nan)
    values[:, counted - 12 * first] = series
    return 1970 + first + np.arange(count), values.reshape(len(series), count, 12)


def _reference(observed: Flags, modelled: Flags, years: Years, asked: tuple[int, int] | None) -> Flags:
    """Years of the reference that observed and modelled climate both know: (glacier, year)."""
    first, last = asked or (years[0], years[-1])
    both = observed & modelled & (years >= first) & (years <= last)
    count = both.sum(axis=1)
    if count.min() < LEAST_REFERENCE_YEARS:
        few = int(count.argmin())
        raise ValueError(
            f"the reference {f'{first}..{last}' if asked else 'of all years'} has {count.min()} hydrological years "
            f"that both the observed climate ({_span(observed[few], years)}) and the scenario "
            f"({_span(modelled[few], years)}) know, at {(count < LEAST_REFERENCE_YEARS).sum()} of {len(count)} "
            f"glaciers; expected at least {LEAST_REFERENCE_YEARS}. Choose reference_years inside both, or take a "
            "scenario with its historical years."
        )
    return both


def _check_covered(wanted: Years, lacking: Flags, modelled: Flags, years: Years) -> None:
    if not lacking.any():
        return
    gone = wanted[lacking.any(axis=0)]
    known = modelled[int(lacking.any(axis=1).argmax())]
    span, end = _span(known, years), int(years[known].max())
    if (gone > end).all():
        raise ValueError(
            f"the scenario is shorter than asked: its last whole hydrological year is {end}, expected "
            f"{gone.max()}. Take a scenario that goes on, or set `until` to {end}."
        )
    raise ValueError(
        f"{len(gone)} of the years {wanted[0]}..{wanted[-1]} are neither observed nor whole in the scenario ({span}): "
        f"{_some(gone)}. Expected every month; add the missing files, or choose other years."
    )


def _span(known: Flags, years: Years) -> str:
    return f"{years[known].min()}..{years[known].max()}" if known.any() else "no year"


def _some(years: Years) -> str:
    return ", ".join(map(str, years[:6])) + (f" and {len(years) - 6} more" if len(years) > 6 else "")
