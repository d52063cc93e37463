"""The synthetic range as files, the way publishers of real data offer theirs."""

from __future__ import annotations

import json
import os
import shutil
import uuid
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacierscale.synthetic import SyntheticOptions

if TYPE_CHECKING:
    import xarray as xr

STAMP = "options.json"
"""File beside the data that says what they were made with."""

GENERATOR = 1
"""Version of the generator; files of another version are refused."""

FILES = (
    "climate.zarr",
    "future_stable.zarr",
    "future_warming.zarr",
    "dem.tif",
    "thickness.tif",
    "outlines.parquet",
    "inventories.csv",
    "observations.csv",
    "truth.csv",
)
"""Everything `write_raw` writes beside the stamp; ``truth.csv`` is for scoring only, no stage may read it."""


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _told(options: SyntheticOptions) -> dict[str, Any]:
    """Options as the stamp tells them; the place only where one is given."""
    told = asdict(options)
    place = {"centre": told.pop("centre"), "projection": told.pop("projection")}
    return told if options.centre is None else told | place | {"centre": list(options.centre)}


def _finished(folder: Path, stamp: dict[str, Any]) -> bool:
    """Whether the folder already holds these files; refuses what it must not replace."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not (folder / STAMP).is_file():
        raise ValueError(
            f"{folder} is there but has no {STAMP}, so it was not written by the demo; name a new or an empty folder."
        )
    found, wanted = _flat(json.loads((folder / STAMP).read_text(encoding="utf-8"))), _flat(stamp)
    changed = [
        f"{name}: {found.get(name, 'nothing')} there, {wanted.get(name, 'nothing')} asked for"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    ]
    if changed:
        raise ValueError(
            f"{folder} was made with other options; name another folder or remove it.\n  " + "\n  ".join(changed)
        )
    missing = [name for name in FILES if not (folder / name).exists()]
    if missing:
        raise ValueError(f"{folder} lacks {', '.join(missing)}; remove it and write it again.")
    return True


def _write_raster(field: xr.DataArray, path: Path) -> None:
    import rioxarray  # noqa: F401  (adds .rio)

    crs = field.attrs["crs_wkt"]
    field = field.drop_attrs(deep=False).assign_attrs(units="m", long_name=field.attrs["long_name"])
    field.rio.write_crs(crs).rio.to_raster(path, tiled=True, compress="deflate", predictor=3)


def _write_climate(climate: xr.Dataset, path: Path) -> None:
    series = {name: values for name, values in climate.data_vars.items() if "time" in values.dims}
    encoding = {
        name: {"chunks": (values.shape[0], min(8, values.shape[1]), values.shape[2])} for name, values in series.items()
    }
    # In memory first: threads of Zarr outlive a write that failed, and would fill the removed folder again.
    objects: dict[str, Any] = {}
    with warnings.catch_warnings():
        # Plain readers look for consolidated metadata and warn without; Zarr 3 warns that its specification lacks them.
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        climate.to_zarr(objects, zarr_format=3, consolidated=True, encoding=encoding)
    for key, value in objects.items():
        (path / key).parent.mkdir(parents=True, exist_ok=True)
        (path / key).write_bytes(value.to_bytes())


def _write_files(options: SyntheticOptions, folder: Path) -> None:
    from glacierscale import synthetic

    _write_climate(synthetic.climate(options), folder / "climate.zarr")
    for name in synthetic.FUTURES:
        _write_climate(synthetic.future(options, name), folder / f"future_{name}.zarr")
    _write_raster(synthetic.terrain(options), folder / "dem.tif")
    _write_raster(synthetic.thickness(options), folder / "thickness.tif")
    synthetic.outlines(options).to_parquet(folder / "outlines.parquet", index=False)
    text: dict[str, Any] = {"index": False, "float_format": "%.6f", "encoding": "utf-8"}
    synthetic.inventories(options).to_csv(folder / "inventories.csv", **text)
    synthetic.observations(options).to_csv(folder / "observations.csv", date_format="%Y-%m-%d", **text)
    truth = synthetic.truth(options).swap_dims(glacier="glacier_id").to_dataframe().reset_index()
    truth[["glacier_id", "hydro_year", "smb"]].to_csv(folder / "truth.csv", **text)


def write_raw(options: SyntheticOptions, folder: Path) -> None:
    """Write the synthetic range as raw files; a folder that already holds them is left as it is.

    Parameters
    ----------
    options : SyntheticOptions
        The range.
    folder : pathlib.Path
        Where to. It appears complete or not at all: files are written beside it and renamed.

    Raises
    ------
    ValueError
        If the folder holds something else, or the range of other options; the message lists the differences.

    Notes
    -----
    ``climate.zarr`` (Zarr v3, ERA5 convention), ``future_*.zarr`` (CMIP6 convention), ``dem.tif`` and
    ``thickness.tif`` (GeoTIFF, m), ``outlines.parquet`` (GeoParquet, RGI columns), ``inventories.csv``,
    ``observations.csv`` and ``truth.csv`` (kg m-2).
    """
    folder = Path(folder).absolute()
    stamp = {"generator": GENERATOR, "options": _told(options)}
    if _finished(folder, stamp):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    partial.mkdir()
    try:
        _write_files(options, partial)
        (partial / STAMP).write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
        try:
            os.rename(partial, folder)
        except OSError:
            if not _finished(folder, stamp):  # another process may have written the same folder meanwhile
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
