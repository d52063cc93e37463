"""Observations of the synthetic glaciers: the truth and noise of a known size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glacierscale.region import WINTER_MONTHS
from glacierscale.synthetic.glaciers import Forms, axis_height, forms, projected
from glacierscale.synthetic.margins import glacier_id
from glacierscale.synthetic.mass_balance import seasonal_at, truth_seasonal
from glacierscale.synthetic.options import Floats, SyntheticOptions, block, normal, uniform
from glacierscale.synthetic.projection import to_degrees

if TYPE_CHECKING:
    import pandas as pd

STAKES = (0.12, 0.3, 0.5, 0.7, 0.88)
"""Places of stakes on the axis, as fractions of the length below the head."""

SHORTEST_SERIES = 5
"""Years of the shortest annual series, where there are as many."""

GEODETIC_YEARS = 10
"""Years of one geodetic period; periods end with the last year."""

COLUMNS = (
    "obs_unit_id",
    "obs_kind",
    "obs_year",
    "obs_value",
    "obs_sigma",
    "obs_start",
    "obs_end",
    "obs_elevation",
    "obs_lon",
    "obs_lat",
    "units",
)


def _ranks(options: SyntheticOptions, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Which glaciers have annual series, spread evenly, and the how-manieth each of these is."""
    index = np.arange(start, stop)
    rank = index * options.observed // options.glaciers
    return (index + 1) * options.observed // options.glaciers > rank, rank


def _series(options: SyntheticOptions, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """First and one past the last observed year of each glacier, as positions in the years; some short, some whole."""
    years = len(options.years)
    draws = uniform(options, "series", start, stop, 2)
    shortest = min(SHORTEST_SERIES, years)
    # a third of the glaciers is observed in (nearly) all years
    length = np.minimum(np.floor(shortest + (years - shortest + 1) * np.minimum(draws[:, 0] * 1.3, 1)), years).astype(
        np.int64
    )
    first = np.floor(draws[:, 1] * (years - length + 1)).astype(np.int64)
    return first, first + length


def _table(
    options: SyntheticOptions, glacier: np.ndarray, kind: str, years: np.ndarray, values: Floats, sigma: float
) -> pd.DataFrame:
    """Rows of one kind, indexed by the glacier's number; `years` are positions in the years."""
    import pandas as pd

    year = options.first_year + np.asarray(years, dtype=np.int64)
    begins = (year - 1971) * 12 + (9 if options.hemisphere == "north" else 3)  # October or April, months since 1970
    first, after = begins + {"summer": WINTER_MONTHS, "geodetic": 12 - 12 * GEODETIC_YEARS}.get(kind, 0), begins + 12
    after = begins + WINTER_MONTHS if kind == "winter" else after
    ends = after.astype("datetime64[M]").astype("datetime64[D]") - np.timedelta64(1, "D")
    nothing = np.full(year.size, np.nan)
    return pd.DataFrame(
        {
            "obs_unit_id": [glacier_id(number) for number in glacier],
            "obs_kind": kind,
            "obs_year": year.astype(np.int32),
            "obs_value": values,
            "obs_sigma": np.full(year.size, sigma),
            "obs_start": first.astype("datetime64[M]").astype("datetime64[ns]"),
            "obs_end": ends.astype("datetime64[ns]"),
            "obs_elevation": nothing,
            "obs_lon": nothing,
            "obs_lat": nothing,
            "units": "kg m-2",
        },
        columns=list(COLUMNS),
        index=glacier,
    )


def _stakes(
    options: SyntheticOptions, form: Forms, numbers: np.ndarray, mask: np.ndarray, noise: Floats
) -> pd.DataFrame:
    """Annual balances at stakes of glaciers; `mask` (glacier, hydro_year), `noise` (glacier, hydro_year, stake)."""
    s = np.broadcast_to(np.array(STAKES), (len(numbers), len(STAKES)))
    middle = Forms(*(np.asarray(values)[:, None] for values in vars(form).values()))
    knot = np.round(np.arccos(1 - 2 * s) / np.pi * form.knots[:, None]).astype(np.int64)
    offset = (np.take_along_axis(form.left_m, knot, 1) + np.take_along_axis(form.right_m, knot, 1)) / 2
    s = 0.5 - 0.5 * np.cos(
        np.pi * knot / form.knots[:, None]
    )  # stakes stand at knots of the outline, on the middle line
    height, _ = axis_height(middle, s)
    lon, lat = to_degrees(options).transform(*projected(middle, s, offset))
    winter, summer = seasonal_at(options, form, height)
    sigma = options.process.point_sigma
    values = winter + summer + sigma * noise
    glacier, year, stake = np.nonzero(np.broadcast_to(mask[:, :, None], values.shape))
    table = _table(options, numbers[glacier], "point", year, values[glacier, year, stake], sigma)
    return table.assign(
        obs_elevation=height[glacier, stake],
        obs_lon=np.asarray(lon)[glacier, stake],
        obs_lat=np.asarray(lat)[glacier, stake],
    )


def observations(options: SyntheticOptions, start: int = 0, stop: int | None = None) -> pd.DataFrame:
    """Observations of a block of glaciers: the truth and independent Gaussian noise.

    Annual series cover 5 years to all, winter and summer balances every second of these glaciers, five stakes every
    fourth, geodetic means of ten years all glaciers. Noise of annual, winter and summer values is drawn apart, so that
    observed seasons do not add up exactly.

    Parameters
    ----------
    options : SyntheticOptions
        The range; ``options.process`` has the standard errors.
    start, stop : int
        Glaciers of the block; all by default.

    Returns
    -------
    pandas.DataFrame
        Columns ``obs_*`` as in `glacierscale.schema.OBSERVATIONS`, and ``units``; geodetic values are per year.
    """
    import pandas as pd

    start, stop = block(options, start, stop)
    process, years, count = options.process, len(options.years), stop - start
    true, numbers = truth_seasonal(options, start, stop), np.arange(start, stop)
    observed, rank = _ranks(options, start, stop)
    first, last = _series(options, start, stop)
    position = np.arange(years)
    mask = observed[:, None] & (position >= first[:, None]) & (position < last[:, None])
    noise = normal(options, "noise", start, stop, years * 4).reshape(count, 4, years)
    parts = []
    for k, (kind, sigma) in enumerate(
        (("annual", process.annual_sigma), ("winter", process.seasonal_sigma), ("summer", process.seasonal_sigma))
    ):
        chosen = mask if kind == "annual" else mask & (rank % 2 == 0)[:, None]
        glacier, year = np.nonzero(chosen)
        values = true[kind].to_numpy()[glacier, year] + sigma * noise[glacier, k, year]
        parts.append(_table(options, numbers[glacier], kind, year, values, sigma))

    staked = np.nonzero(observed & (rank % 4 == 0))[0]
    if staked.size:
        stake_noise = normal(options, "stakes", start, stop, years * len(STAKES)).reshape(count, years, len(STAKES))
        parts.append(
            _stakes(
                options, forms(options, start, stop).take(staked), numbers[staked], mask[staked], stake_noise[staked]
            )
        )

    annual = true["annual"].to_numpy()
    for end in range(years, GEODETIC_YEARS - 1, -GEODETIC_YEARS):
        mean = annual[:, end - GEODETIC_YEARS : end].mean(axis=1) + process.geodetic_sigma * noise[:, 3, end - 1]
        parts.append(_table(options, numbers, "geodetic", np.full(count, end - 1.0), mean, process.geodetic_sigma))
    table = pd.concat([part for part in parts if len(part)] or parts[:1])
    order = np.lexsort((table["obs_year"], table["obs_kind"], table.index))  # stable: stakes stay in order
    return table.iloc[order].reset_index(drop=True)
