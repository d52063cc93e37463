"""Sums over the glaciers of the region and of each subregion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from glacierscale import provenance, schema
from glacierscale.store import Block, Files, Store

Floats = npt.NDArray[np.floating]

NAME = "ice_totals.parquet"
_SUMMED = ("area", "volume", "runoff", "sea_level")


def write(ice: Store, *, to: str | Path) -> pd.DataFrame:
    """Write what becomes of all glaciers of the region, and of each subregion where they are known.

    Parameters
    ----------
    ice : Store
        An evolution.
    to : str or Path
        Folder or URL for ``ice_totals.parquet``.

    Returns
    -------
    pandas.DataFrame
        subregion (empty for the whole region), scenario, member, hydro_year, glaciers (those that are left), area (m2),
        volume (m3), smb (kg m-2, mean over the area at the start of the year), runoff (kg), sea_level (m).
    """
    stamp = provenance.Stamp(
        verb="evolve", options={}, inputs={"ice": provenance.Input(url="ice", fingerprint=ice.fingerprint())}
    )
    files = Files.at(to)
    found = files.read(NAME)
    if found is not None:
        provenance.refuse_other_table(found, stamp, f"{files.url}/{NAME}")
        return provenance.read_table(found)  # type: ignore[no-any-return]
    table = table_of(ice.open(), ice.blocks())
    provenance.write_table(table, files, NAME, stamp)
    return table


def table_of(opened: xr.Dataset, blocks: Sequence[Block]) -> pd.DataFrame:
    """The table, see `write`, of a (lazy) evolution, summed block by block."""
    subregion = schema.text(opened.subregion.values)
    names = ["", *np.unique(subregion[subregion != ""]).tolist()]
    sums: dict[str, Floats] = {}
    for block in blocks:
        part = opened.isel(glacier=block.slice).load()
        own = subregion[block.slice]
        belongs = np.stack([np.ones(len(own)) if not name else (own == name).astype(float) for name in names])
        for name, values in _of_block(part, belongs).items():
            sums[name] = sums[name] + values if name in sums else values
    return _tidy(sums, opened, names)


def _of_block(part: xr.Dataset, belongs: Floats) -> dict[str, Floats]:
    """Sums over some glaciers: (subregion, member, hydro_year)."""

    def over(values: Floats) -> Floats:
        total: Floats = np.einsum("sg,mgy->smy", belongs, np.nan_to_num(values.astype(float)))
        return total

    area = part.area.values.astype(float)
    before = np.concatenate([area[..., :1], area[..., :-1]], axis=-1)  # what the balance of a year is of
    return {name: over(part[name].values) for name in _SUMMED} | {
        "glaciers": over(area > 0),
        "weight": over(before),
        "balance": over(before * part.smb.values),
    }


def _tidy(sums: dict[str, Floats], opened: xr.Dataset, names: list[str]) -> pd.DataFrame:
    shape = sums["area"].shape  # (subregion, member, hydro_year)
    weight = np.where(sums["weight"] > 0, sums["weight"], np.inf)
    of_member = {"scenario": schema.text(opened.scenario.values), "member": opened.model_member.values}
    columns: dict[str, Any] = {"subregion": np.broadcast_to(np.array(names)[:, None, None], shape)}
    columns |= {name: np.broadcast_to(values[None, :, None], shape) for name, values in of_member.items()}
    columns["hydro_year"] = np.broadcast_to(opened.hydro_year.values, shape)
    columns["glaciers"] = sums["glaciers"].astype(np.int32)
    columns |= {name: sums[name] for name in ("area", "volume")}
    columns["smb"] = sums["balance"] / weight
    columns |= {name: sums[name] for name in ("runoff", "sea_level")}
    return pd.DataFrame({name: np.ravel(values) for name, values in columns.items()})
