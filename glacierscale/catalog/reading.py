"""Checked locations, opened with Intake's own drivers and readers; Intake loads here and nowhere else."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from glacierscale.catalog.document import CatalogError
from glacierscale.catalog.fetch import check_resolved
from glacierscale.catalog.locations import BUCKETS, Refused, check_url

_ROOTS = ("zarr.json", ".zmetadata", ".zgroup", ".zarray")
_HDF5 = b"\x89HDF\r\n\x1a\n"


async def public_client(**kwargs: Any) -> Any:
    """Return an aiohttp session that follows redirects only to public https servers.

    Passed to fsspec as ``get_client``: a public server could otherwise send the reader to a private one.
    """
    import aiohttp

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_check_redirect)
    return aiohttp.ClientSession(trace_configs=[trace], **kwargs)


async def _check_redirect(session: Any, context: Any, params: Any) -> None:
    target = urljoin(str(params.url), params.response.headers.get("Location", ""))
    try:
        check_url(target.partition("?")[0])
    except Refused as fault:
        raise CatalogError(f"a redirect to {fault.came}", fault.expected, "use the final URL") from None
    check_resolved(target)


def read(driver: str, source: str | list[str], args: dict[str, Any], storage_options: dict[str, Any]) -> Any:
    """Open one checked source, or several as one dataset.

    Parameters
    ----------
    driver : str
        zarr, netcdf, rasterio, csv, parquet, geoparquet or shapefile.
    source : str or list of str
        Local path or URL.
    args, storage_options : dict
        Checked arguments of the reader and of the store.

    Returns
    -------
    xarray.Dataset, xarray.DataArray, pandas.DataFrame or geopandas.GeoDataFrame
        Arrays are on Dask.
    """
    urls = source if isinstance(source, list) else [source]
    storage_options = reaching(urls[0], storage_options)
    remote = any(url.startswith("https://") for url in urls)
    if remote:
        for url in urls:
            check_resolved(url)
        storage_options = {**storage_options, "get_client": public_client}
    if driver in {"zarr", "netcdf", "rasterio"}:
        return _read_arrays(driver, source, args, storage_options)
    if driver == "shapefile" and "://" in urls[0]:
        raise Refused(
            "a shapefile at a URL", "a local shapefile, or GeoParquet", "list its files with sha256, or convert it"
        )
    if remote and driver in {"csv", "parquet"}:
        # pandas would send storage options as headers and follow any redirect.
        import fsspec
        import pandas as pd

        with fsspec.open(urls[0], **storage_options) as file:
            return pd.read_csv(file, **args) if driver == "csv" else pd.read_parquet(file, **args)
    return _read_table(driver, urls[0], args, storage_options)


def reaching(url: str, stated: Mapping[str, Any]) -> dict[str, Any]:
    """Storage options with what the environment says of a bucket, as it does for outputs.

    Keys, profile and the server's address are read by the file systems themselves, from the environment or the profile
    that it names; here are the variables that they do not know. An entry that is ``anon`` without an endpoint means the
    public bucket at its provider, so the address of a server of one's own is not used for it.
    """
    options = {name: dict(value) if isinstance(value, Mapping) else value for name, value in stated.items()}
    if url.partition("://")[0] != "s3":
        return options
    client = options.get("client_kwargs", {})
    if options.get("anon"):
        named = "endpoint_url" in client or "endpoint_url" in options
        return options if named else options | {"config_kwargs": {"ignore_configured_endpoint_urls": True}}
    environment = os.environ
    found = {"region_name": environment.get("AWS_REGION"), "endpoint_url": environment.get("AWS_ENDPOINT")}
    if environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL"):
        del found["endpoint_url"]  # botocore reads these
    client = {name: value for name, value in found.items() if value} | client
    anonymous = environment.get("AWS_SKIP_SIGNATURE", "").lower() in ("1", "true", "yes")
    return options | ({"client_kwargs": client} if client else {}) | ({"anon": True} if anonymous else {})


def version(url: str, stated: Mapping[str, Any]) -> str:
    """What changes when data in a bucket are written again: the tags of its objects, for Zarr those of its root.

    Nothing is downloaded. Empty for places that give no reliable tags, such as web servers.
    """
    if url.partition("://")[0] not in BUCKETS:
        return ""
    import fsspec

    files, path = fsspec.core.url_to_fs(url, **reaching(url, stated))
    found = []
    for place in sorted(files.glob(path)) if "*" in path else [path, *(f"{path}/{name}" for name in _ROOTS)]:
        with contextlib.suppress(FileNotFoundError):
            about = files.info(place)
            found += [about.get("ETag") or about.get("etag") or about.get("LastModified") or ""]
            if about["type"] == "file" and place == path:
                break
    return " ".join(str(tag).strip('"') for tag in found if tag)


def _read_arrays(driver: str, source: str | list[str], args: dict[str, Any], storage_options: dict[str, Any]) -> Any:
    import intake  # noqa: F401  (registers the drivers)
    from intake.source import registry

    args.pop("path_as_pattern", None)
    arguments: dict[str, Any] = {"storage_options": storage_options or None, **args}
    if driver == "netcdf":
        arguments["engine"] = netcdf_engine(source if isinstance(source, str) else source[0], args.get("engine"))
    if driver == "rasterio":
        arguments.pop("engine", None)
        # Only GeoTIFF: other formats GDAL would sniff from the bytes can refer to further files.
        arguments["open_kwargs"] = {"driver": "GTiff"}
    if driver != "zarr":
        arguments["path_as_pattern"] = False
    with warnings.catch_warnings():
        # affine 3 announces an operator that rioxarray still uses.
        warnings.filterwarnings("ignore", message="Use `@` matmul", category=PendingDeprecationWarning)
        dataset = registry[driver](source, **arguments).to_dask()
    return dataset["band_data"] if driver == "rasterio" and "band_data" in dataset else dataset


def _read_table(driver: str, source: str, args: dict[str, Any], storage_options: dict[str, Any]) -> Any:
    import intake  # noqa: F401  (registers the drivers)
    from intake.readers import datatypes, readers
    from intake.source import registry

    if driver == "csv":
        return registry["csv"](source, storage_options=storage_options or None, **args).read()
    kind = datatypes.Shapefile if driver == "shapefile" else datatypes.Parquet
    reader = {
        "parquet": readers.PandasParquet,
        "geoparquet": readers.GeoPandasTabular,
        "shapefile": readers.GeoPandasReader,
    }[driver]
    return reader(kind(source, storage_options=storage_options or None), **args).read()


def netcdf_engine(source: str, stated: str | None) -> str:
    """Return the engine for a NetCDF file: the stated one if it can read here, else one that can.

    NetCDF 4 needs netCDF4 (local files) or h5netcdf with h5py (also remote ones); NetCDF 3 is read by SciPy.
    """
    from importlib.util import find_spec

    if "://" in source:
        return stated or "h5netcdf"
    with Path(source).open("rb") as file:
        is_hdf5 = file.read(8) == _HDF5
    if not is_hdf5:
        return stated if stated in {"netcdf4", "scipy"} else "scipy"
    usable = {"netcdf4": find_spec("netCDF4"), "h5netcdf": find_spec("h5netcdf") and find_spec("h5py")}
    return stated if stated and usable.get(stated) else "netcdf4"
