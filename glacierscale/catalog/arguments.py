"""The drivers, reader arguments and storage options that a catalogue may name; everything else is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from glacierscale.catalog.document import Node
from glacierscale.catalog.locations import Refused

DRIVERS = {
    "zarr": "zarr",
    "netcdf": "netcdf",
    "rasterio": "rasterio",
    "csv": "csv",
    "parquet": "parquet",
    "shapefile": "shapefile",
    "geoparquet": "geoparquet",
    "geopandas": "geoparquet",
    "intake_xarray.xzarr.ZarrSource": "zarr",
    "intake_xarray.netcdf.NetCDFSource": "netcdf",
    "intake_xarray.raster.RasterIOSource": "rasterio",
    "intake.source.csv.CSVSource": "csv",
}
"""Driver as a version 1 file spells it, to the name used here."""

_DATATYPES = "intake.readers.datatypes:"
_READERS = "intake.readers.readers:"
READERS = {
    (_DATATYPES + datatype, _READERS + reader): driver
    for datatype, readers, driver in (
        ("Zarr", ("XArrayDatasetReader",), "zarr"),
        ("NetCDF3", ("XArrayDatasetReader",), "netcdf"),
        ("HDF5", ("XArrayDatasetReader",), "netcdf"),
        ("TIFF", ("XArrayDatasetReader", "RasterIOXarrayReader"), "rasterio"),
        ("CSV", ("PandasCSV", "DaskCSV"), "csv"),
        ("Parquet", ("PandasParquet", "DaskParquet"), "parquet"),
        ("Parquet", ("GeoPandasTabular",), "geoparquet"),
        ("Shapefile", ("GeoPandasReader",), "shapefile"),
    )
    for reader in readers
}
"""Datatype and reader of a version 2 entry, to the name of the driver that opens the same."""
DATATYPES = frozenset(datatype for datatype, _ in READERS)
OUTPUTS = frozenset(
    {
        "xarray:Dataset",
        "xarray:DataArray",
        "pandas:DataFrame",
        "dask.dataframe:DataFrame",
        "geopandas:GeoDataFrame",
    }
)
"""What a version 2 entry may claim to produce."""

ENGINES = {
    "zarr": {"zarr"},
    "netcdf": {"netcdf4", "h5netcdf", "scipy"},
    "rasterio": {"rasterio"},
    "csv": {"c", "python", "pyarrow"},
    "parquet": {"pyarrow"},
    "geoparquet": set(),
    "shapefile": {"pyogrio"},
}
SUFFIXES = {"rasterio": (".tif", ".tiff"), "shapefile": (".shp", ".dbf")}
"""Endings that keep GDAL from guessing a format that can point elsewhere (a VRT)."""

Check = Callable[[object], bool]
Rules = Mapping[str, tuple[Check, str]]


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_flag_or_none(value: object) -> bool:
    return value is None or isinstance(value, bool)


def is_count(value: object) -> bool:
    """Whether a value is a whole number from 0 up."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1 << 40


def _is_label(value: object) -> bool:
    return (
        isinstance(value, str)
        and 0 < len(value) <= 200
        and not any(mark in value for mark in "{}")
        and value.isprintable()
    )


def _is_labels(value: object) -> bool:
    return isinstance(value, list) and all(_is_label(item) or is_count(item) for item in value)


def _is_label_or_labels(value: object) -> bool:
    return _is_label(value) or _is_labels(value)


def _is_group(value: object) -> bool:
    return (
        isinstance(value, str) and bool(re.fullmatch(r"/?[\w.-]+(/[\w.-]+)*/?", value)) and ".." not in value.split("/")
    )


def _is_chunk(value: object) -> bool:
    if isinstance(value, list):
        return all(is_count(item) for item in value)
    return value is None or value == "auto" or value == -1 or is_count(value)


def _is_chunks(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_label(key) and _is_chunk(item) for key, item in value.items())
    return not isinstance(value, list) and _is_chunk(value)


def _is_short(value: object) -> bool:
    return isinstance(value, str) and (0 < len(value) <= 1 or value in {r"\s+", "\\t"})


def _is_encoding(value: object) -> bool:
    return isinstance(value, str) and bool(
        re.fullmatch(r"(?i)utf[-_]?8([-_]sig)?|ascii|latin[-_]?1|iso-?8859-\d{1,2}|cp125\d", value)
    )


_DTYPES = re.compile(r"str|string|object|category|boolean|bool|u?int(8|16|32|64)|U?Int(8|16|32|64)|float(32|64)?|int")


def _is_dtype(value: object) -> bool:
    if isinstance(value, dict):
        return all(
            _is_label(key) and isinstance(item, str) and bool(_DTYPES.fullmatch(item)) for key, item in value.items()
        )
    return isinstance(value, str) and bool(_DTYPES.fullmatch(value))


def _is_header(value: object) -> bool:
    return value is None or value == "infer" or is_count(value)


def _is_missing(value: object) -> bool:
    items = value if isinstance(value, list) else [value]
    return all(isinstance(item, int | float) or _is_label(item) or item == "" for item in items)


def _is_rows(value: object) -> bool:
    return is_count(value) or (isinstance(value, list) and all(is_count(item) for item in value))


def _is_index(value: object) -> bool:
    return value is None or value is False or _is_label(value) or is_count(value) or _is_labels(value)


def one_of(*words: object) -> tuple[Check, str]:
    """Return the rule that a value is one of these, of the same type."""
    return (
        lambda value: any(value is word or (value == word and type(value) is type(word)) for word in words)
    ), "one of " + ", ".join(map(str, words))


FLAG = (_is_flag, "true or false")
_FLAG_OR_NONE = (_is_flag_or_none, "true, false or null")
_LABELS = (_is_label_or_labels, "a name or a list of names")
_XARRAY: Rules = {
    "chunks": (_is_chunks, "null, 'auto', a size, or sizes by dimension"),
    "decode_times": FLAG,
    "decode_cf": FLAG,
    "decode_coords": (
        lambda value: _is_flag(value) or value in ("all", "coordinates"),
        "true, false, 'all' or 'coordinates'",
    ),
    "decode_timedelta": _FLAG_OR_NONE,
    "mask_and_scale": _FLAG_OR_NONE,
    "use_cftime": _FLAG_OR_NONE,
    "drop_variables": _LABELS,
    "combine": one_of("by_coords", "nested"),
    "concat_dim": _LABELS,
    "compat": one_of("no_conflicts", "equals", "identical", "override", "broadcast_equals"),
    "join": one_of("outer", "inner", "left", "right", "exact", "override"),
    "data_vars": one_of("minimal", "different", "all"),
    "coords": one_of("minimal", "different", "all"),
    "parallel": FLAG,
    "path_as_pattern": one_of(False, True),
}
_GROUP: Rules = {"group": (_is_group, "the name of a group inside the store")}
RULES: Mapping[str, Rules] = {
    "zarr": {**_XARRAY, **_GROUP, "consolidated": _FLAG_OR_NONE, "zarr_format": one_of(2, 3)},
    "netcdf": {**_XARRAY, **_GROUP},
    "rasterio": {**_XARRAY, "masked": FLAG, "band_as_variable": FLAG},
    "csv": {
        "sep": (_is_short, r"one character or '\s+'"),
        "delimiter": (_is_short, r"one character or '\s+'"),
        "decimal": (_is_short, "one character"),
        "thousands": (_is_short, "one character"),
        "comment": (_is_short, "one character"),
        "quotechar": (_is_short, "one character"),
        "encoding": (_is_encoding, "a text encoding such as utf-8 or latin-1"),
        "encoding_errors": one_of("strict", "replace", "ignore"),
        "header": (_is_header, "null, 'infer' or a row number"),
        "names": (_is_labels, "a list of names"),
        "index_col": (_is_index, "a column, a list of columns, false or null"),
        "usecols": (_is_labels, "a list of columns"),
        "dtype": (_is_dtype, "a type, or types by column, such as str, float64"),
        "na_values": (_is_missing, "a value or a list of values"),
        "keep_default_na": FLAG,
        "skiprows": (_is_rows, "a count or a list of row numbers"),
        "skipfooter": (is_count, "a count"),
        "nrows": (is_count, "a count"),
        "skipinitialspace": FLAG,
        "skip_blank_lines": FLAG,
        "parse_dates": (lambda value: _is_flag(value) or _is_labels(value), "true, false or a list of columns"),
        "dayfirst": FLAG,
        "low_memory": FLAG,
    },
    "parquet": {"columns": (_is_labels, "a list of columns")},
    "geoparquet": {"columns": (_is_labels, "a list of columns")},
    "shapefile": {
        "encoding": (_is_encoding, "a text encoding such as utf-8 or latin-1"),
        "columns": (_is_labels, "a list of columns"),
    },
}
"""Reader arguments of each driver: what they may be and the words for it."""
NESTED = {"csv": "csv_kwargs", "zarr": "xarray_kwargs", "netcdf": "xarray_kwargs", "rasterio": "xarray_kwargs"}
"""Argument of older catalogues that holds reader arguments; the same rules hold inside."""


def check_arguments(driver: str, args: Mapping[str, Node]) -> Iterator[tuple[Node, Refused]]:
    """Yield each reader argument that is not allowed, with the node where it stands.

    Parameters
    ----------
    driver : str
        One of the values of `DRIVERS`.
    args : mapping of str to Node
        Arguments without location and storage options.
    """
    rules = RULES[driver]
    for name, node in args.items():
        if name == NESTED.get(driver) and isinstance(node.value, dict):
            yield from check_arguments(
                driver, {key: item for key, item in node.value.items() if key != "backend_kwargs"}
            )
            inner = node.value.get("backend_kwargs")
            if inner is not None:
                yield from _check_backend(driver, inner)
        elif name == "backend_kwargs":
            yield from _check_backend(driver, node)
        elif name == "engine":
            if not isinstance(node.value, str) or node.value not in ENGINES[driver]:
                known = ", ".join(sorted(ENGINES[driver])) or "no engine"
                yield node, Refused(f"engine {node.plain()!r:.80}", known, "name one of these or leave it out")
        elif name not in rules:
            known = ", ".join(sorted(rules)) + ", engine"
            yield node, Refused(f"the argument {name!r} of driver {driver!r}", f"one of {known}", "remove it")
        elif not rules[name][0](node.plain()):
            came = f"{name} = {node.plain()!r:.80}"
            yield node, Refused(came, rules[name][1], "correct the value")


def _check_backend(driver: str, node: Node) -> Iterator[tuple[Node, Refused]]:
    """Check xarray's ``backend_kwargs``, of which only Zarr's own switches are needed."""
    allowed = {"consolidated", "group", "zarr_format"} if driver == "zarr" else set()
    if not isinstance(node.value, dict) or set(node.value) - allowed:
        expected = ", ".join(sorted(allowed)) or "no backend_kwargs"
        yield node, Refused(f"backend_kwargs = {node.plain()!r:.80}", expected, "write storage_options beside urlpath")
    else:
        yield from check_arguments(driver, node.value)


def flatten(driver: str, args: Mapping[str, object]) -> dict[str, object]:
    """Return checked arguments with the nested ones lifted out."""
    out: dict[str, object] = {}
    for name, value in args.items():
        if name in {NESTED.get(driver), "backend_kwargs"} and isinstance(value, dict):
            out |= flatten(driver, value)
        else:
            out[name] = value
    return out
