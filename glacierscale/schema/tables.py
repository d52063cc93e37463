"""Stores of one value per glacier: the cube, the features and the reconstruction."""

from __future__ import annotations

from glacierscale.schema.common import IDENTITY, OBSERVATIONS, SET_ASIDE
from glacierscale.schema.form import Schema, Variable

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
        "inventory_min_elevation": Variable(
            dims=("glacier", "inventory"), units="m", long_name="minimum elevation in a dated inventory"
        ),
        "inventory_slope20": Variable(
            dims=("glacier", "inventory"),
            units="degree",
            long_name="slope of the lowest 20 % of the elevation range in a dated inventory",
        ),
        "inventory_aspect": Variable(
            dims=("glacier", "inventory"),
            units="degree",
            long_name="mean aspect in a dated inventory, clockwise from north",
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
        "elevation": Variable(dims=("y", "x"), units="m", long_name="surface elevation", optional=True),
        "thickness": Variable(dims=("y", "x"), units="m", long_name="ice thickness", optional=True),
        "ice_surface": Variable(
            dims=("y", "x"), units="m", long_name="surface elevation that the ice thickness refers to", optional=True
        ),
        "velocity": Variable(dims=("y", "x"), units="m year-1", long_name="surface speed of the ice", optional=True),
        "thinning_height": Variable(
            dims=("thinning_height",),
            units="1",
            dtype="float64",
            long_name="normalised height, 0 at the top of a glacier and 1 at its terminus",
            optional=True,
        ),
        "thinning": Variable(
            dims=("glacier", "thinning_height"),
            units="1",
            long_name="thinning at a height over the most of the glacier, from two surveys; NaN where there are none",
            optional=True,
        ),
        "scenario": Variable(
            dims=("scenario",), units="", dtype="string", long_name="name of the future climate", optional=True
        ),
        "scenario_time": Variable(
            dims=("scenario_time",),
            units="",
            dtype="datetime64[ns]",
            long_name="first day of the month of future climates",
            optional=True,
        ),
        "scenario_lat": Variable(
            dims=("scenario", "scenario_cell"),
            units="degrees_north",
            dtype="float64",
            long_name="latitude of the cells of future climates",
            optional=True,
        ),
        "scenario_lon": Variable(
            dims=("scenario", "scenario_cell"),
            units="degrees_east",
            dtype="float64",
            long_name="longitude of the cells of future climates",
            optional=True,
        ),
        "scenario_temp": Variable(
            dims=("scenario", "scenario_cell", "scenario_time"),
            units="degC",
            long_name="air temperature of future climates; NaN where one has no such month or cell",
            cell_methods="scenario_time: mean",
            optional=True,
        ),
        "scenario_precip": Variable(
            dims=("scenario", "scenario_cell", "scenario_time"),
            units="kg m-2",
            long_name="precipitation of the month of future climates; NaN where one has no such month or cell",
            cell_methods="scenario_time: sum",
            optional=True,
        ),
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
        "set_aside": SET_ASIDE,
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
        "smb_winter": Variable(
            dims=("glacier", "hydro_year"),
            units="kg m-2",
            long_name="winter glacier-wide surface mass balance, ensemble mean",
            cell_methods="hydro_year: sum",
            optional=True,
        ),
        "smb_gapfilled": Variable(
            dims=("glacier", "hydro_year"),
            units="kg m-2",
            long_name="annual glacier-wide surface mass balance, ensemble mean conditioned on all observations but the "
            "annual one of the same glacier and year",
            cell_methods="hydro_year: sum",
            optional=True,
        ),
        "smb_gapfilled_std": Variable(
            dims=("glacier", "hydro_year"),
            units="kg m-2",
            long_name="predictive standard deviation of smb_gapfilled: what observations leave, and their error",
            optional=True,
        ),
        "smb_member": Variable(
            dims=("member", "glacier", "hydro_year"),
            units="kg m-2",
            long_name="annual glacier-wide surface mass balance of one ensemble member",
            cell_methods="hydro_year: sum",
        ),
        "lasting_share": Variable(
            dims=("glacier",),
            units="1",
            long_name="share of the variance of residual noise that is the same in all years of a glacier",
            optional=True,
        ),
        "set_aside": SET_ASIDE,
    },
)

_BY_MEMBER = ("member", "glacier", "hydro_year")

COURSE = {
    "hydro_year": FEATURES.variables["hydro_year"],
    "scenario": Variable(dims=("member",), units="", dtype="string", long_name="future climate of the member"),
    "model_member": Variable(
        dims=("member",), units="", dtype="int32", long_name="member of the model of surface mass balance"
    ),
    "area": Variable(dims=_BY_MEMBER, units="m2", long_name="area at the end of the year"),
    "volume": Variable(dims=_BY_MEMBER, units="m3", dtype="float64", long_name="volume of ice at the end of the year"),
    "smb": Variable(
        dims=_BY_MEMBER,
        units="kg m-2",
        long_name="annual glacier-wide surface mass balance on the geometry at the start of the year; 0 without ice",
        cell_methods="hydro_year: sum",
    ),
    "runoff": Variable(
        dims=_BY_MEMBER,
        units="kg",
        long_name="water from net loss of ice in the year",
        cell_methods="hydro_year: sum",
    ),
    "sea_level": Variable(
        dims=_BY_MEMBER,
        units="m",
        dtype="float64",
        long_name="rise of the mean sea level by the loss of ice since the first year",
    ),
    "year_gone": Variable(
        dims=("member", "glacier"),
        units="",
        dtype="int32",
        long_name="first year at whose end the glacier is gone, 0 where it is still there",
    ),
    "thickness_estimated": Variable(
        dims=("glacier",),
        units="",
        dtype="int32",
        long_name="1 where the thickness at the start is estimated from the area, 0 where it was catalogued",
    ),
}
"""What becomes of glaciers in every scenario, by every member of the model: members run inside scenarios. The first
year is that of the survey: its balance is told, but has no part in the geometry."""

EVOLUTION = Schema(
    name="evolution",
    title="Glaciers under future climates",
    blocks={"glacier": 32},
    variables={**IDENTITY, **COURSE, "set_aside": SET_ASIDE},
)
