"""Glaciers and periods that a catalogue asks for, answered from a reconstruction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from glacierscale import schema
from glacierscale.models.held_out import spread
from glacierscale.schema import text
from glacierscale.store import Files, Store
from glacierscale.units import convert

FILE = "block_predictions.csv"
CONVENTION = "hugonnet_decades"
"""Convention of the entries of role targets that are answered."""


def write(catalog: str | Path, smb: str | Path | Store, *, to: str | Path, data: str = "") -> bool:
    """Predict every glacier and period that the catalogue's entries of role ``targets`` ask for.

    Parameters
    ----------
    catalog : str or Path
        An Intake catalogue file.
    smb : str, Path or Store
        A reconstruction.
    to : str or Path
        Folder or URL for ``block_predictions.csv``: rgi_id, period, dmdtda, std (m w.e. per year), in the order asked.
    data : str
        Folder with the catalogue's files; empty takes what the catalogue says by default.

    Returns
    -------
    bool
        Whether the catalogue asks for any.

    Raises
    ------
    ValueError
        If a glacier or a period is not in the reconstruction; the message names the entry.
    """
    from glacierscale.catalog import open_catalog

    opened = open_catalog(catalog, **({"data": data} if data else {}))
    parts = []
    for entry in opened.select("targets"):
        if entry.convention == CONVENTION:
            try:
                parts.append(means(Store.at(smb, schema.RECONSTRUCTION).open(), entry.open()))
            except ValueError as error:
                raise ValueError(f"entry {entry.name!r}: {error}") from error
    if parts:
        written = pd.concat(parts, ignore_index=True).to_csv(index=False, float_format="%.5f").encode()
        files = Files.at(to)
        if files.read(FILE) != written:
            files.write(FILE, written)
    return bool(parts)


def means(smb: xr.Dataset, wanted: pd.DataFrame) -> pd.DataFrame:
    """Mean annual balance over periods, with a standard deviation that keeps what years share.

    Parameters
    ----------
    smb : xarray.Dataset
        A checked reconstruction.
    wanted : pandas.DataFrame
        ``rgi_id`` and ``period`` (``"2000-2010"``: the hydrological years 2000 to 2009).

    Returns
    -------
    pandas.DataFrame
        rgi_id, period, dmdtda and std, m w.e. per year: a survey would find a value that differs from dmdtda by std.
        Members differ by the mean over the period; what no member explains is taken as common to its years.

    Raises
    ------
    ValueError
        If the reconstruction lacks a glacier, a year of a period, or a value.
    """
    ids = pd.Index(text(smb.glacier_id.values))
    asked = wanted[["rgi_id", "period"]].astype(str).reset_index(drop=True)
    at = ids.get_indexer(pd.Index(asked["rgi_id"]))
    if (at < 0).any():
        missing = asked["rgi_id"][at < 0]
        raise ValueError(f"the reconstruction lacks {missing.nunique()} glaciers asked for, such as {missing.iloc[0]}.")
    result = asked.assign(dmdtda=np.nan, std=np.nan)
    for period, rows in asked.groupby("period"):
        years = _years(str(period), smb.hydro_year.values)
        some = smb[["smb", "smb_std", "smb_member"]].isel(glacier=at[rows.index], hydro_year=years).load()
        members = some.smb_member.values.astype(float)
        unexplained = np.maximum(some.smb_std.values**2 - spread(members) ** 2, 0).mean(axis=1)
        std = np.hypot(spread(members.mean(axis=2)), np.sqrt(unexplained))
        result.loc[rows.index, "dmdtda"] = convert(some.smb.values.mean(axis=1), "kg m-2", "m w.e.")
        result.loc[rows.index, "std"] = convert(std, "kg m-2", "m w.e.")
    unknown = result["rgi_id"][result["dmdtda"].isna()]
    if len(unknown):
        raise ValueError(
            f"{unknown.nunique()} glaciers asked for have no balance, such as {unknown.iloc[0]}; look at set_aside."
        )
    return result


def _years(period: str, years: np.ndarray) -> slice:
    """Positions of the years of a period."""
    first, _, after = period.partition("-")
    if not (first.isdigit() and after.isdigit() and int(first) < int(after)):
        raise ValueError(f"the period {period!r} is none; expected two years, such as 2000-2010.")
    if int(first) < years[0] or int(after) - 1 > years[-1]:
        raise ValueError(f"the period {period} is not in the reconstruction's years {years[0]}..{years[-1]}.")
    return slice(int(first) - int(years[0]), int(after) - int(years[0]))
