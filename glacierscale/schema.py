"""Every stored variable, spelled once: name, dimensions, units, dtype; and the check that makes a dataset trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import xarray as xr

VERSION = 1
"""Version of the store layout; a store of another version is refused."""

OBSERVATION_KINDS = ("annual", "winter", "summer", "point", "band", "geodetic")


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One stored variable."""

    dims: tuple[str, ...]
    """Dimension names in stored order."""
    units: str
    """CF unit; empty for text and identifiers."""
    long_name: str
    """What it is, in words."""
    dtype: str = "float32"
    """NumPy dtype, ``"string"`` for text, ``"datetime64[ns]"`` for dates."""
    optional: bool = False
    """True where a store may lack it."""
    cell_methods: str = ""
    """CF cell methods where they apply."""


@dataclass(frozen=True, kw_only=True)
class Schema:
    """What one kind of store holds."""

    name: str
    """Name of the kind."""
    title: str
    """CF title of a store of this kind."""
    variables: Mapping[str, Variable]
    """Its variables by name."""
    blocks: Mapping[str, int]
    """Dimensions that are written block by block, and how many entries one block has by default."""
    chunks: Mapping[str, int] = field(default_factory=dict)
    """Chunk lengths along other dimensions that are too long for one chunk."""


IDENTITY = {
    "glacier_id": Variable(dims=("glacier",), units="", dtype="string", long_name="identifier of the glacier outline"),
    "unit_id": Variable(
        dims=("glacier",), units="", dtype="string", long_name="observed glacier the outline belongs to"
    ),
    "lon": Variable(
        dims=("glacier",), units="degrees_east", dtype="float64", long_name="longitude of the outline's centre"
    ),
    "lat": Variable(
        dims=("glacier",), units="degrees_north", dtype="float64", long_name="latitude of the outline's centre"
    ),
    "area_m2": Variable(dims=("glacier",), units="m2", long_name="area of the outline"),
}

OBSERVATIONS = {
    "obs_unit_id": Variable(dims=("observation",), units="", dtype="string", long_name="observed glacier"),
    "obs_kind": Variable(
        dims=("observation",),
        units="",
        dtype="string",
        long_name="kind of observation: " + ", ".join(OBSERVATION_KINDS),
    ),
    "obs_year": Variable(
        dims=("observation",),
        units="",
        dtype="int32",
        long_name="hydrological year (the last one of a geodetic period)",
    ),
    "obs_value": Variable(
        dims=("observation",),
        units="kg m-2",
        long_name="observed mass balance over the period (per year for geodetic ones)",
    ),
    "obs_sigma": Variable(dims=("observation",), units="kg m-2", long_name="standard error of the observed value"),
    "obs_start": Variable(
        dims=("observation",), units="", dtype="datetime64[ns]", long_name="start of the observed period"
    ),
    "obs_end": Variable(
        dims=("observation",), units="", dtype="datetime64[ns]", long_name="end of the observed period"
    ),
    "obs_elevation": Variable(
        dims=("observation",), units="m", long_name="elevation of a point or centre of a band, NaN otherwise"
    ),
    "obs_lon": Variable(dims=("observation",), units="degrees_east", long_name="longitude of a point, NaN otherwise"),
    "obs_lat": Variable(dims=("observation",), units="degrees_north", long_name="latitude of a point, NaN otherwise"),
}

CUBE = Schema(
    name="cube",
    title="Outlines, terrain, climate and observations of a glacier region",
    blocks={"glacier": 512, "clim_lat": 8, "y": 512},
    chunks={"clim_lon": 8, "x": 512, "vertex": 65536},
    variables=IDENTITY
    | OBSERVATIONS
    | {
        "vertex_start": Variable(dims=("glacier",), units="", dtype="int64", long_name="first vertex of the outline"),
        "vertex_count": Variable(dims=("glacier",), units="", dtype="int32", long_name="vertices of the outline"),
        "vertex_x": Variable(dims=("vertex",), units="", dtype="float64", long_name="x in the terrain's CRS"),
        "vertex_y": Variable(dims=("vertex",), units="", dtype="float64", long_name="y in the terrain's CRS"),
        "vertex_lon": Variable(dims=("vertex",), units="degrees_east", dtype="float64", long_name="longitude"),
        "vertex_lat": Variable(dims=("vertex",), units="degrees_north", dtype="float64", long_name="latitude"),
        "vertex_ring": Variable(
            dims=("vertex",),
            units="",
            dtype="int32",
            long_name="ring inside the outline; shells counter-clockwise, holes clockwise",
        ),
        "inventory_year": Variable(dims=("inventory",), units="", dtype="int32", long_name="year of a dated inventory"),
        "inventory_area_m2": Variable(dims=("glacier", "inventory"), units="m2", long_name="area in a dated inventory"),
        "inventory_mean_elevation": Variable(
            dims=("glacier", "inventory"), units="m", long_name="mean elevation in a dated inventory"
        ),
        "inventory_max_elevation": Variable(
            dims=("glacier", "inventory"), units="m", long_name="maximum elevation in a dated inventory"
        ),
        "inventory_slope20": Variable(
            dims=("glacier", "inventory"),
            units="degree",
            long_name="slope of the lowest 20 % of the elevation range in a dated inventory",
        ),
        "time": Variable(dims=("time",), units="", dtype="datetime64[ns]", long_name="first day of the month"),
        "clim_lat": Variable(
            dims=("clim_lat",), units="degrees_north", dtype="float64", long_name="latitude of climate cells"
        ),
        "clim_lon": Variable(
            dims=("clim_lon",), units="degrees_east", dtype="float64", long_name="longitude of climate cells"
        ),
        "temp": Variable(
            dims=("time", "clim_lat", "clim_lon"),
            units="degC",
            long_name="air temperature at 2 m",
            cell_methods="time: mean",
        ),
        "precip": Variable(
            dims=("time", "clim_lat", "clim_lon"),
            units="kg m-2",
            long_name="precipitation of the month",
            cell_methods="time: sum",
        ),
        "clim_height": Variable(dims=("clim_lat", "clim_lon"), units="m", long_name="height of climate cells"),
        "x": Variable(dims=("x",), units="", dtype="float64", long_name="x of terrain cell centres"),
        "y": Variable(dims=("y",), units="", dtype="float64", long_name="y of terrain cell centres"),
        "elevation": Variable(dims=("y", "x"), units="m", long_name="surface elevation"),
        "thickness": Variable(dims=("y", "x"), units="m", long_name="ice thickness", optional=True),
    },
)

FEATURES = Schema(
    name="features",
    title="Predictors, monthly climate and hypsometry per glacier",
    blocks={"glacier": 512},
    variables=IDENTITY
    | OBSERVATIONS
    | {
        "hydro_year": Variable(dims=("hydro_year",), units="", dtype="int32", long_name="hydrological year"),
        "predictor": Variable(dims=("predictor",), units="", dtype="string", long_name="name of the predictor"),
        "predictor_units": Variable(dims=("predictor",), units="", dtype="string", long_name="unit of the predictor"),
        "month": Variable(
            dims=("month",),
            units="",
            dtype="int32",
            long_name="month of the hydrological year, 1 = October in the north",
        ),
        "predictors": Variable(
            dims=("glacier", "hydro_year", "predictor"), units="", long_name="predictor, in the unit of predictor_units"
        ),
        "temp": Variable(
            dims=("glacier", "hydro_year", "month"),
            units="degC",
            long_name="air temperature at the reference height",
            cell_methods="month: mean",
        ),
        "precip": Variable(
            dims=("glacier", "hydro_year", "month"),
            units="kg m-2",
            long_name="precipitation over the glacier",
            cell_methods="month: sum",
        ),
        "lapse_rate": Variable(dims=("glacier", "month"), units="K m-1", long_name="temperature lapse rate"),
        "ref_height": Variable(dims=("glacier",), units="m", long_name="reference height of temp"),
        "band_elevation": Variable(
            dims=("glacier", "band"),
            units="m",
            long_name="centre of the elevation band, equal steps from lowest to highest ice",
        ),
        "band_area": Variable(dims=("glacier", "band"), units="m2", long_name="area of the elevation band"),
    },
)

RECONSTRUCTION = Schema(
    name="reconstruction",
    title="Reconstructed annual glacier-wide surface mass balance",
    blocks={"glacier": 512},
    variables={
        **IDENTITY,
        "hydro_year": FEATURES.variables["hydro_year"],
        "smb": Variable(
            dims=("glacier", "hydro_year"),
            units="kg m-2",
            long_name="annual glacier-wide surface mass balance, ensemble mean",
            cell_methods="hydro_year: sum",
        ),
        "smb_std": Variable(
            dims=("glacier", "hydro_year"),
            units="kg m-2",
            long_name="predictive standard deviation of smb: ensemble spread and residual noise",
        ),
        "smb_member": Variable(
            dims=("member", "glacier", "hydro_year"),
            units="kg m-2",
            long_name="annual glacier-wide surface mass balance of one ensemble member",
            cell_methods="hydro_year: sum",
        ),
    },
)

WRITTEN_BY = {"ingest": CUBE, "featurize": FEATURES, "reconstruct": RECONSTRUCTION}
"""Schema of the store that each verb writes."""

SCHEMAS = {schema.name: schema for schema in (CUBE, FEATURES, RECONSTRUCTION)}

if TYPE_CHECKING:
    GlacierCube = NewType("GlacierCube", xr.Dataset)
    Features = NewType("Features", xr.Dataset)
    Reconstruction = NewType("Reconstruction", xr.Dataset)


def check(dataset: xr.Dataset, schema: Schema) -> xr.Dataset:
    """Return the dataset if it is what the schema says.

    Parameters
    ----------
    dataset : xarray.Dataset
        As opened or built; nothing is loaded.
    schema : Schema
        What it must hold.

    Raises
    ------
    ValueError
        Naming every variable that is missing, and every one with other dimensions, units or kind of dtype.
    """
    faults = []
    for name, wanted in schema.variables.items():
        if name not in dataset.variables:
            if not wanted.optional:
                faults.append(f"{name}: missing")
            continue
        found = dataset[name]
        if tuple(found.dims) != wanted.dims:
            faults.append(f"{name}: has dimensions {tuple(found.dims)}, expected {wanted.dims}")
        units = found.attrs.get("units", "")
        if wanted.units and units != wanted.units:
            faults.append(f"{name}: has unit {units!r}, expected {wanted.units!r}")
        kinds = {"string": "TUO", "datetime64[ns]": "M"}.get(wanted.dtype) or {"f": "f", "i": "iu"}[wanted.dtype[0]]
        if found.dtype.kind not in kinds:
            faults.append(f"{name}: has dtype {found.dtype}, expected {wanted.dtype}")
    if faults:
        raise ValueError(f"this is not a {schema.name} dataset:\n  " + "\n  ".join(faults))
    return dataset


def text(values: npt.ArrayLike) -> npt.NDArray[np.str_]:
    """Identifiers as fixed-width strings, whatever text type they were stored in."""
    import numpy as np

    return np.array(np.asarray(values).tolist(), dtype=np.str_)
