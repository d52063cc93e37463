"""Outlines with the headline results of every glacier, as GeoParquet: what a map program opens first."""

from __future__ import annotations

import io
import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from glacierscale import provenance, schema
from glacierscale.reporting.stage import outlines_of
from glacierscale.store import Files, Store, StoreError

if TYPE_CHECKING:
    import pandas as pd

NAME = "glaciers.parquet"
"""The file's name in the folder of a run."""

_STAMP = b"glacierscale_stamp"


def write_headlines(out: str) -> None:
    """Write ``glaciers.parquet`` beside the stores of a run, unless it is there and made of the same stores.

    One row for each outline: glacier_id, glacier_name (empty where unknown), unit_id, subregion, area_m2, first_year,
    last_year, smb and smb_std (kg m-2 per year: the mean over years of the balance and of its predictive standard
    deviation) and geometry (longitude and latitude, WGS 84). Where glaciers evolve also volume_m3 in their first year
    and, for each scenario, the ensemble mean of the share of it that is left in the last one, volume_left_NAME.

    Parameters
    ----------
    out : str
        Folder or URL with cube.zarr, smb.zarr and perhaps ice.zarr.
    """
    files = Files.at(out)
    places = {name: provenance.join(out, f"{name}.zarr") for name in ("cube", "smb", "ice")}
    stores = {name: Store.at(place) for name, place in places.items() if name != "ice" or finished(place)}
    stamp = provenance.Stamp(
        verb="headlines",
        options={},
        inputs={
            name: provenance.Input(url=f"{name}.zarr", fingerprint=store.fingerprint())
            for name, store in stores.items()
        },
    )
    there = files.read(NAME)
    if there is not None and _made_by(there) == stamp.fingerprint:
        return
    outlines = outlines_of(stores["cube"].open()).set_index("glacier_id")
    table = _balances(stores["smb"])
    if "ice" in stores:
        table = table.join(_left(stores["ice"]))
    whole = outlines[["geometry"]].join(table, how="inner").reset_index()
    whole = whole[[name for name in whole if name != "geometry"] + ["geometry"]]
    files.write(NAME, _packed(whole, stamp))


def finished(place: str) -> bool:
    """Whether a finished store lies somewhere; a later run may have left one out that an earlier one began."""
    try:
        return not Store.at(place).unfinished()
    except StoreError:
        return False


def _balances(store: Store) -> pd.DataFrame:
    """Who glaciers are, and their mean balance with its standard deviation: glacier_id as index."""
    import pandas as pd

    dataset = store.open()
    years = dataset.hydro_year.values
    names = [name for name in ("glacier_name", "unit_id", "subregion") if name in dataset]
    told: dict[str, Any] = {name: schema.text(dataset[name].values) for name in names}
    told |= {"area_m2": dataset.area_m2.values, "first_year": int(years[0]), "last_year": int(years[-1])}
    told |= {name: _mean(dataset[name].values) for name in ("smb", "smb_std")}
    return pd.DataFrame(told, index=pd.Index(schema.text(dataset.glacier_id.values), name="glacier_id"))


def _left(store: Store) -> pd.DataFrame:
    """Volume in the first year, and the share of it that is left in the last year of each scenario."""
    import pandas as pd

    dataset = store.open()
    volume = dataset.volume.isel(hydro_year=[0, -1]).values  # (member, glacier, first and last)
    scenario = schema.text(dataset.scenario.values)
    first = _mean(volume[..., 0].T)  # (glacier,)
    told: dict[str, Any] = {"volume_m3": first}
    for name in dict.fromkeys(scenario.tolist()):
        last = _mean(volume[scenario == name, :, 1].T)
        told[f"volume_left_{name}"] = np.divide(last, first, out=np.full(len(first), np.nan), where=first > 0)
    return pd.DataFrame(told, index=pd.Index(schema.text(dataset.glacier_id.values), name="glacier_id"))


def _mean(values: Any) -> Any:
    """Mean along the last axis of what is known; NaN where nothing is, as of glaciers that were set aside."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Mean of empty slice", category=RuntimeWarning)
        return np.nanmean(values.astype(np.float64), axis=-1)


def _packed(table: Any, stamp: provenance.Stamp) -> bytes:
    """A GeoDataFrame as GeoParquet 1.1 with a stamp in the file's metadata."""
    import pyarrow.parquet as pq

    written = io.BytesIO()
    table.to_parquet(written, index=False, schema_version="1.1.0", write_covering_bbox=True)
    arrow = pq.read_table(io.BytesIO(written.getvalue()))
    metadata = {**arrow.schema.metadata, _STAMP: json.dumps(stamp.as_dict(), sort_keys=True).encode()}
    packed = io.BytesIO()
    pq.write_table(arrow.replace_schema_metadata(metadata), packed)
    return packed.getvalue()


def _made_by(data: bytes) -> str:
    """Fingerprint of what made such a file; empty for another."""
    try:
        return provenance.stamp_of_table(data, NAME).fingerprint
    except (provenance.StampMismatch, KeyError):
        return ""
