"""What the CF conventions have a word for in our variables, and where the method behind each is described.

These attributes decide nothing: stores with and without them are the same to every reader and every fingerprint.

CF has no standard name for an accumulated surface mass balance: ``land_ice_surface_specific_mass_balance_flux`` is a
rate per second, and ``change_in_land_ice_amount`` counts calving too. CF's ``air_temperature_lapse_rate`` is positive
where it gets colder with height; ours is the gradient.
"""

from __future__ import annotations

from collections.abc import Mapping

_STANDARD_NAMES = {
    **dict.fromkeys(("lon", "obs_lon", "vertex_lon", "clim_lon", "scenario_lon", "centre_lon"), "longitude"),
    **dict.fromkeys(("lat", "obs_lat", "vertex_lat", "clim_lat", "scenario_lat", "centre_lat"), "latitude"),
    **dict.fromkeys(("time", "scenario_time"), "time"),
    **dict.fromkeys(("temp", "scenario_temp"), "air_temperature"),
    **dict.fromkeys(("precip", "scenario_precip"), "precipitation_amount"),
    **dict.fromkeys(("elevation", "ice_surface", "surface", "clim_height", "obs_elevation"), "surface_altitude"),
    **dict.fromkeys((f"inventory_{which}_elevation" for which in ("mean", "max", "min")), "surface_altitude"),
    "band_elevation": "surface_altitude",
    "bed": "bedrock_altitude",
    "ref_height": "altitude",
    "inventory_slope20": "ground_slope_angle",
    "inventory_aspect": "ground_slope_direction",
    "thickness": "land_ice_thickness",
    "ice_fraction": "land_ice_area_fraction",
    "sea_level": "global_average_sea_level_change_due_to_change_in_ocean_mass",
}
"""CF standard names by variable."""

_MORE = {
    "time": {"axis": "T", "units_metadata": "leap_seconds: none"},
    "scenario_time": {"units_metadata": "leap_seconds: none"},
    "hydro_year": {
        "comment": "north: October of the year before to September; south: April of the year before to March"
    },
    "clim_lat": {"axis": "Y"},
    "clim_lon": {"axis": "X"},
    "ref_height": {"positive": "up"},
    "temp": {"units_metadata": "temperature: on_scale"},
    "scenario_temp": {"units_metadata": "temperature: on_scale"},
    "lapse_rate": {"units_metadata": "temperature: difference"},
}
"""Other attributes of CF by variable."""

_CATALOGUE = "as published by the data set of the catalogue that the stamp names"
_OUTLINE = "outlines of the inventory in the catalogue that the stamp names"
_OBSERVED = (
    "glaciological, geodetic and point balances (Cogley et al. 2011, Glossary of glacier mass balance, IHP-VII 86)"
)
_HUSS = "Huss et al. 2010, doi 10.5194/hess-14-815-2010"
_COVERAGE = "means over the exact area of the outline in each cell"
_TERRAIN = (
    f"{_COVERAGE}; slope of the lowest 20 % of the elevation range as Bolibar et al. 2020, doi 10.5194/tc-14-565-2020"
)
_PATCH = "transverse Mercator projection about the centre of each patch, WGS 84"
_LAPSE = "regression on the heights of a climate cell and its neighbours; ICAO's standard atmosphere where these fail"
_ENSEMBLE = (
    "ensemble of cross-validated models beside a temperature-index model: Bolibar et al. 2020, doi "
    "10.5194/tc-14-565-2020; Hock 2003, doi 10.1016/S0022-1694(03)00257-9"
)
_INDEX = (
    "temperature-index model with learned parameters: Hock 1999, doi 10.3189/S0022143000003087; Hock 2003, doi "
    "10.1016/S0022-1694(03)00257-9"
)
_GAPFILL = (
    "conditional mean of a Gaussian field: Cressie 1993, doi 10.1002/9781119115151; Hengl et al. 2007, doi "
    "10.1016/j.cageo.2007.05.001"
)
_FLOW = f"delta-h: {_HUSS}; shallow ice: Jarosch et al. 2013, doi 10.5194/tc-7-229-2013; which one, the stamp says"
_OCEAN = f"{_FLOW}; area of the ocean: Cogley 2012, doi 10.1080/01490419.2012.709476"

_REFERENCES = {
    **dict.fromkeys(("glacier_id", "glacier_name", "unit_id", "subregion", "lon", "lat", "area_m2"), _OUTLINE),
    **dict.fromkeys(("time", "clim_lat", "clim_lon", "clim_height", "x", "y", "elevation", "velocity"), _CATALOGUE),
    **dict.fromkeys(("temp", "precip", "thickness", "ice_surface"), _CATALOGUE),
    **dict.fromkeys((f"scenario_{of}" for of in ("time", "lat", "lon", "temp", "precip")), _CATALOGUE),
    "scenario": "scenarios of the catalogue, as the options of the stamp name them",
    **dict.fromkeys(("thinning", "thinning_height"), f"elevation change between two surveys, normalised as {_HUSS}"),
    **dict.fromkeys(("hydro_year", "month"), "Cogley et al. 2011, Glossary of glacier mass balance, IHP-VII 86"),
    **dict.fromkeys(
        ("predictor", "predictor_units", "predictors"), f"Bolibar et al. 2020, doi 10.5194/tc-14-565-2020; {_COVERAGE}"
    ),
    "lapse_rate": _LAPSE,
    "ref_height": _COVERAGE,
    **dict.fromkeys(("band_elevation", "band_area"), f"hypsometry; {_COVERAGE}"),
    "set_aside": "checks of the stage that the stamp names",
    **dict.fromkeys(("centre_lon", "centre_lat", "resolution", "feature_row"), _PATCH),
    **dict.fromkeys(("channel", "channel_units", "rasters"), f"{_TERRAIN}; {_PATCH}"),
    "radiation": "Hock 1999, doi 10.3189/S0022143000003087; Kopp and Lean 2011, doi 10.1029/2010GL045777",
    **dict.fromkeys(("smb", "smb_std", "smb_member", "smb_winter"), _ENSEMBLE),
    "lasting_share": "Searle, Casella and McCulloch 1992, chapter 3, doi 10.1002/9780470316856",
    **dict.fromkeys(("smb_gapfilled", "smb_gapfilled_std"), _GAPFILL),
    **dict.fromkeys(("smb_map", "smb_map_std", "winter_map"), _INDEX),
    **dict.fromkeys(("parameter", "parameter_units", "parameters"), _INDEX),
    **dict.fromkeys(("model_member", "snapshot_year", "snapshot_scenario"), "options of evolve, which the stamp holds"),
    **dict.fromkeys(("area", "volume", "runoff", "year_gone"), _FLOW),
    "sea_level": _OCEAN,
    "thickness_estimated": (
        "volume by area: Bahr et al. 1997, doi 10.1029/97JB01696; Radic and Hock 2010, doi 10.1029/2009JF001373"
    ),
    **dict.fromkeys(("bed", "surface", "ice_fraction"), f"{_CATALOGUE}; {_PATCH}"),
}
"""Where the method behind a variable is described, by variable; those of one name mean the same in most stores."""

_REFERENCES_IN = {
    "features": {
        "temp": f"{_CATALOGUE}; at the reference height by lapse_rate",
        "precip": f"{_CATALOGUE}; {_COVERAGE}",
    },
    "maps": {"elevation": f"{_CATALOGUE}; {_PATCH}", "ice_fraction": f"{_OUTLINE}; {_PATCH}"},
    "evolution": {"smb": _ENSEMBLE, "scenario": _CATALOGUE},
    "ice_maps": {"thickness": _FLOW, "ice_fraction": _FLOW, "smb": _ENSEMBLE},
}
"""The same where one kind of store differs."""


def attributes_of(kind: str, name: str) -> Mapping[str, str]:
    """Attributes that a variable has beside its long name, units and cell methods.

    Parameters
    ----------
    kind : str
        Name of the schema.
    name : str
        Name of the variable.

    Returns
    -------
    mapping
        ``references`` and, where CF has them, ``standard_name`` and more.
    """
    found = {"standard_name": _STANDARD_NAMES.get(name, ""), "references": references_of(kind, name)}
    return {key: value for key, value in found.items() if value} | _MORE.get(name, {})


def references_of(kind: str, name: str) -> str:
    """Where the method behind a variable is described; empty for a variable that nothing is known of."""
    shared = {"obs": _OBSERVED, "inventory": _CATALOGUE, "vertex": _OUTLINE}.get(name.partition("_")[0], "")
    return _REFERENCES_IN.get(kind, {}).get(name) or _REFERENCES.get(name, shared)
