"""Hydrological years that an observation is about."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale.schema import text

Ints = npt.NDArray[np.integer]


def years_of(features: xr.Dataset, observation: Ints) -> tuple[Ints, Ints]:
    """First and last hydrological year of observations; a geodetic period counts as the whole years nearest to it.

    Parameters
    ----------
    features : xarray.Dataset
        A checked cube or Features dataset.
    observation : (row,) int
        Which.

    Returns
    -------
    first, last : (row,)
        The same for observations of one year. A geodetic period has one year at least.
    """
    last = features.obs_year.values[observation].astype(np.int64)
    many = text(features.obs_kind.values)[observation] == "geodetic"
    begin = features.obs_start.values[observation].astype("datetime64[M]").astype(np.int64)
    year, month = 1970 + begin // 12, begin % 12 + 1
    # The survey at the start closes this year: from July on in the north, as readers count the survey at the end.
    closed = year + (month >= 10) if features.attrs.get("hemisphere") == "south" else year - (month < 7)
    return np.where(many, np.minimum(closed + 1, last), last), last
