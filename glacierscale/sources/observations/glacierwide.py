"""Glacier-wide balances: the French matrix, the Norwegian table, and our own."""

from __future__ import annotations

import numpy as np
import pandas as pd

from glacierscale.region import unit_of
from glacierscale.schema import OBSERVATIONS
from glacierscale.sources.observations.inventories import linked
from glacierscale.sources.observations.table import DEFAULT_SIGMA_KG_M2, table_of
from glacierscale.units import convert

REMOTE_SENSING_SIGMA_KG_M2 = 350.0
"""Standard error of an annual balance from the snow line and a geodetic sum: the published cumulative uncertainty of
the French series (1.95 m w.e. after 31 years), spread over the years in quadrature."""


def alpgm_matrix(matrix: pd.DataFrame, glaciers: pd.DataFrame, outlines: pd.DataFrame | None = None) -> pd.DataFrame:
    """Annual balances of French glaciers (Bolibar et al. 2020): one row a glacier, one column a year, m w.e.

    Parameters
    ----------
    matrix : pandas.DataFrame
        ``glims_id`` and one column per hydrological year.
    glaciers : pandas.DataFrame
        ``glims_id``, ``rgi60_id`` and ``method``, which tells glaciological series from remote-sensing ones.
    outlines : pandas.DataFrame, optional
        ``glims_id`` and ``glacier_id`` of our outlines, for glaciers whose ``rgi60_id`` is empty (la Mahure); without
        it, or where it does not know the glacier, the GLIMS id names it.
    """
    years = [name for name in matrix.columns if str(name).strip().isdigit()]
    unknown = sorted(set(matrix["glims_id"]) - set(glaciers["glims_id"]))
    if unknown:
        raise ValueError(f"no entry for {', '.join(unknown)} in the table of glaciers; add their identifiers.")
    known = glaciers.set_index("glims_id")
    long = matrix.melt(id_vars="glims_id", value_vars=years, var_name="year", value_name="balance")
    unit = long["glims_id"].map(known["rgi60_id"])
    unit = unit.where(unit != "")
    if outlines is not None:
        unit = unit.fillna(long["glims_id"].map(linked(outlines)).map(unit_of, na_action="ignore"))
    remote = long["glims_id"].map(known["method"]).astype(str).str.contains("remote sensing")
    return table_of(
        {
            "obs_unit_id": unit.fillna(long["glims_id"]),
            "obs_kind": "annual",
            "obs_year": long["year"].astype(np.int32),
            "obs_value": convert(long["balance"].to_numpy(np.float64), "m w.e.", "kg m-2"),
            "obs_sigma": np.where(remote, REMOTE_SENSING_SIGMA_KG_M2, DEFAULT_SIGMA_KG_M2["annual"]),
        }
    )


def norway_glacier_wide(table: pd.DataFrame) -> pd.DataFrame:
    """Annual, winter and summer balances of Norwegian glaciers (NVE), m w.e., with survey dates.

    Parameters
    ----------
    table : pandas.DataFrame
        ``Year``, ``RGIID``, ``BREID``, ``DateMinPrevYear``, ``DateMax``, ``DateMin`` (dd.mm.yyyy), ``Bw``, ``Bs``,
        ``Ba``. A glacier without RGI id is called ``BREID-NNNN``. Calving is not part of these balances.
    """
    dates = {name: day_month_year(table[name]) for name in ("DateMinPrevYear", "DateMax", "DateMin")}
    parts = [
        pd.DataFrame(
            {
                "obs_unit_id": _norwegian_unit(table),
                "obs_kind": kind,
                "obs_year": table["Year"],
                "obs_value": convert(table[column].to_numpy(np.float64), "m w.e.", "kg m-2"),
                "obs_start": dates[start],
                "obs_end": dates[end],
            }
        )
        for kind, column, start, end in (
            ("annual", "Ba", "DateMinPrevYear", "DateMin"),
            ("winter", "Bw", "DateMinPrevYear", "DateMax"),
            ("summer", "Bs", "DateMax", "DateMin"),
        )
    ]
    rows = pd.concat(parts, ignore_index=True)
    return table_of({str(name): rows[name] for name in rows.columns})


def glacierscale(table: pd.DataFrame, units: str | None = None, *, hemisphere: str = "north") -> pd.DataFrame:
    """Our own table: columns named as in the schema.

    Parameters
    ----------
    table : pandas.DataFrame
        At least ``obs_unit_id``, ``obs_kind``, ``obs_year``, ``obs_value``; other columns of the schema where known.
    units : str, optional
        Unit of ``obs_value`` and ``obs_sigma`` (``"mm w.e."``, ``"m w.e."``, ``"kg m-2"``); otherwise a column
        ``units`` states it for each row.
    hemisphere : str
        For default dates.
    """
    needed = ["obs_unit_id", "obs_kind", "obs_year", "obs_value"]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise ValueError(f"the observations lack {', '.join(missing)}; expected at least {', '.join(needed)}.")
    if units is None and "units" not in table.columns:
        raise ValueError("the observations state no unit; add a column 'units' or pass units, for example 'mm w.e.'.")
    columns = {name: table[name].reset_index(drop=True) for name in OBSERVATIONS if name in table.columns}
    unit = pd.Series(units, index=range(len(table))) if units is not None else table["units"].reset_index(drop=True)
    if unit.isna().any():
        raise ValueError(f"{int(unit.isna().sum())} observations state no unit; fill the column 'units'.")
    for name in ("obs_value", "obs_sigma"):
        if name in columns:
            numbers = columns[name].astype(np.float64).copy()
            for one in unit.unique():
                rows = unit == one
                numbers[rows] = convert(numbers[rows].to_numpy(), str(one), "kg m-2", name=name)
            columns[name] = numbers
    return table_of(dict(columns), hemisphere=hemisphere)


def day_month_year(text: pd.Series) -> pd.Series:
    """Dates from ``dd.mm.yyyy``, with or without a time of day; anything else is missing."""
    return pd.to_datetime(text.astype(str).str.slice(0, 10), format="%d.%m.%Y", errors="coerce")


def _norwegian_unit(table: pd.DataFrame) -> pd.Series:
    return table["RGIID"].where(table["RGIID"].notna(), "BREID-" + table["BREID"].astype(str).str.zfill(4))
