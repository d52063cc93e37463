"""Variables that several kinds of store share: who a glacier is, and what was observed."""

from __future__ import annotations

from glacierscale.schema.form import Variable

OBSERVATION_KINDS = ("annual", "winter", "summer", "point", "band", "geodetic")

IDENTITY = {
    "glacier_id": Variable(dims=("glacier",), units="", dtype="string", long_name="identifier of the glacier outline"),
    "glacier_name": Variable(
        dims=("glacier",), units="", dtype="string", long_name="name of the glacier; empty where unknown", optional=True
    ),
    "unit_id": Variable(
        dims=("glacier",), units="", dtype="string", long_name="observed glacier the outline belongs to"
    ),
    "subregion": Variable(
        dims=("glacier",), units="", dtype="string", long_name="massif or other subregion; empty where unknown"
    ),
    "lon": Variable(
        dims=("glacier",), units="degrees_east", dtype="float64", long_name="longitude of the outline's centre"
    ),
    "lat": Variable(
        dims=("glacier",), units="degrees_north", dtype="float64", long_name="latitude of the outline's centre"
    ),
    "area_m2": Variable(dims=("glacier",), units="m2", long_name="area of the outline"),
}

SET_ASIDE = Variable(
    dims=("glacier",),
    units="",
    dtype="string",
    long_name="why the glacier was set aside; empty where it was not",
)

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

LABELS = {
    "glacier": tuple(IDENTITY),
    "member": ("scenario", "model_member"),
    "snapshot": ("snapshot_scenario", "snapshot_year"),
}
"""Variables along a dimension that tell its entries apart, where a store has them."""
