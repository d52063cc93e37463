"""What was measured on glaciers: the observations of a cube or of features, in m w.e."""

from __future__ import annotations

import numpy as np
import pandas as pd

from glacierscale import schema
from glacierscale.exploration.opening import Source, Sources
from glacierscale.exploration.reading import Floats
from glacierscale.models.periods import years_of
from glacierscale.units import convert

COLUMNS = ("first_year", "last_year", "smb", "error", "kind", "elevation")


def of_glacier(sources: Sources, glacier: int) -> pd.DataFrame:
    """Observations of the unit that a glacier belongs to, in order of years.

    Parameters
    ----------
    sources : Sources
        Those of a cube or of features are told.
    glacier : int
        Row of the atlas.

    Returns
    -------
    pandas.DataFrame
        first_year, last_year (hydrological years), smb, error (m w.e.; of a geodetic period, per year), kind (one of
        `schema.OBSERVATION_KINDS`), elevation (m, of points and bands).
    """
    source = sources.one(schema.CUBE) or sources.one(schema.FEATURES)
    position = -1 if source is None else int(source.position[glacier])
    if source is None or position < 0:
        return pd.DataFrame({name: [] for name in COLUMNS})
    data = source.data
    unit = schema.text(data.unit_id.values)[position]
    rows = np.flatnonzero(schema.text(data.obs_unit_id.values) == unit)
    first, last = years_of(data, rows)
    table = pd.DataFrame(
        {
            "first_year": first,
            "last_year": last,
            "smb": convert(data.obs_value.values[rows].astype(float), "kg m-2", "m w.e."),
            "error": convert(data.obs_sigma.values[rows].astype(float), "kg m-2", "m w.e."),
            "kind": schema.text(data.obs_kind.values)[rows],
            "elevation": data.obs_elevation.values[rows].astype(float),
        }
    )
    return table.sort_values(["last_year", "first_year", "kind"], ignore_index=True, kind="stable")


def counts(source: Source) -> Floats:
    """Number of observations of the unit of each glacier, (glacier,); NaN where there is none."""
    found = pd.Series(schema.text(source.data.obs_unit_id.values)).value_counts()
    unit = schema.text(source.data.unit_id.values)[np.maximum(source.position, 0)]
    count = pd.Series(unit).map(found).to_numpy(float)
    return np.where(source.position >= 0, count, np.nan)
