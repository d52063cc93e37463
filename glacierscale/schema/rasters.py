"""Stores of rasters: patches that go into the networks and maps that come out, glaciers of one size bucket each."""

from __future__ import annotations

from glacierscale.schema.common import IDENTITY, SET_ASIDE
from glacierscale.schema.form import Schema, Variable
from glacierscale.schema.tables import COURSE, FEATURES

PLACEMENT = {
    "centre_lon": Variable(
        dims=("glacier",), units="degrees_east", dtype="float64", long_name="longitude of the patch's centre"
    ),
    "centre_lat": Variable(
        dims=("glacier",), units="degrees_north", dtype="float64", long_name="latitude of the patch's centre"
    ),
    "resolution": Variable(dims=("glacier",), units="m", long_name="side of a cell of the patch"),
}
"""Where a patch lies: a square of cells in the transverse Mercator projection of its centre, row 0 in the north."""

# Bits of the mantissa that are kept, so that bit-shuffled rasters compress: what is dropped is far below what is known.
_TERRAIN_BITS = 16  # 0.03 m at 8000 m, where elevation models err by metres; 8 millionths of an angle, a share, a speed
_BALANCE_BITS = 13  # 0.25 kg m-2 at 8 m w.e. a year, 0.016 kg m-2 at 0.5; the error of a stake is about 100 kg m-2
_RADIATION_BITS = 12  # 0.03 W m-2 at 400 W m-2; the clear-sky model errs by per cents

PATCHES = Schema(
    name="patches",
    title="Static rasters of glaciers, patches of one size",
    blocks={"glacier": 64},
    variables=IDENTITY
    | PLACEMENT
    | {
        "feature_row": Variable(
            dims=("glacier",), units="", dtype="int32", long_name="position of the glacier in the cube and the features"
        ),
        "channel": Variable(dims=("channel",), units="", dtype="string", long_name="name of the raster"),
        "channel_units": Variable(dims=("channel",), units="", dtype="string", long_name="unit of the raster"),
        "month": FEATURES.variables["month"],
        "rasters": Variable(
            dims=("glacier", "channel", "y", "x"),
            units="",
            long_name="raster, in the unit of channel_units",
            sharded=True,
            mantissa_bits=_TERRAIN_BITS,
        ),
        "radiation": Variable(
            dims=("glacier", "month", "y", "x"),
            units="W m-2",
            long_name="potential direct clear-sky radiation on the slope, terrain shading included",
            cell_methods="month: mean",
            sharded=True,
            mantissa_bits=_RADIATION_BITS,
        ),
        "set_aside": SET_ASIDE,
    },
)

MAPS = Schema(
    name="maps",
    title="Reconstructed surface mass balance maps, patches of one size",
    blocks={"glacier": 16},
    variables=IDENTITY
    | PLACEMENT
    | {
        "hydro_year": FEATURES.variables["hydro_year"],
        "elevation": Variable(
            dims=("glacier", "y", "x"),
            units="m",
            long_name="surface elevation",
            sharded=True,
            mantissa_bits=_TERRAIN_BITS,
        ),
        "ice_fraction": Variable(
            dims=("glacier", "y", "x"),
            units="1",
            long_name="share of the cell that is glacier",
            sharded=True,
            mantissa_bits=_TERRAIN_BITS,
        ),
        "smb_map": Variable(
            dims=("glacier", "hydro_year", "y", "x"),
            units="kg m-2",
            long_name="annual surface mass balance, ensemble mean; NaN off the glacier",
            cell_methods="hydro_year: sum",
            sharded=True,
            mantissa_bits=_BALANCE_BITS,
        ),
        "smb_map_std": Variable(
            dims=("glacier", "y", "x"),
            units="kg m-2",
            long_name="ensemble spread of the annual surface mass balance, root mean square over years",
            sharded=True,
            mantissa_bits=_BALANCE_BITS,
        ),
        "winter_map": Variable(
            dims=("glacier", "hydro_year", "y", "x"),
            units="kg m-2",
            long_name="winter surface mass balance, ensemble mean; NaN off the glacier",
            cell_methods="hydro_year: sum",
            optional=True,
            sharded=True,
            mantissa_bits=_BALANCE_BITS,
        ),
        "parameter": Variable(dims=("parameter",), units="", dtype="string", long_name="name of the learned parameter"),
        "parameter_units": Variable(
            dims=("parameter",), units="", dtype="string", long_name="unit of the learned parameter"
        ),
        "parameters": Variable(
            dims=("glacier", "parameter", "y", "x"),
            units="",
            long_name="learned parameter, ensemble mean, in the unit of parameter_units; degree-day factors hold at "
            "200 W m-2 of potential radiation; NaN off the glacier",
            sharded=True,
            mantissa_bits=_BALANCE_BITS,
        ),
        "set_aside": SET_ASIDE,
    },
)

ICE_MAPS = Schema(
    name="ice_maps",
    title="Ice thickness under future climates, patches of one size",
    blocks={"glacier": 16},
    variables=IDENTITY
    | PLACEMENT
    | COURSE
    | {
        "feature_row": PATCHES.variables["feature_row"],
        "snapshot_year": Variable(
            dims=("snapshot",), units="", dtype="int32", long_name="hydrological year of the snapshot, at its end"
        ),
        "snapshot_scenario": Variable(
            dims=("snapshot",), units="", dtype="string", long_name="scenario of the snapshot"
        ),
        "surface": Variable(
            dims=("glacier", "y", "x"),
            units="m",
            long_name="surface elevation at the start",
            sharded=True,
            mantissa_bits=_TERRAIN_BITS,
        ),
        "bed": Variable(
            dims=("glacier", "y", "x"),
            units="m",
            long_name="elevation of the ground, below the ice where there is some",
            sharded=True,
            mantissa_bits=_TERRAIN_BITS,
        ),
        "thickness": Variable(
            dims=("snapshot", "glacier", "y", "x"),
            units="m",
            long_name="ice thickness over the ice-covered part of the cell: ensemble mean, by that part",
        ),
        "ice_fraction": Variable(
            dims=("snapshot", "glacier", "y", "x"),
            units="1",
            long_name="share of the cell that is ice, ensemble mean",
        ),
        "set_aside": SET_ASIDE,
    },
)
