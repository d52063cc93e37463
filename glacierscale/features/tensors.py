"""Stage 2, featurize: cube -> predictors per glacier and year, built over blocks of glaciers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale import compute, provenance, schema
from glacierscale.features import climate, zonal
from glacierscale.features.dated import dated_topography
from glacierscale.features.options import FeaturizeOptions
from glacierscale.region import beside, months
from glacierscale.store import Block, Store

_BYTES_OF_MONTH, _BYTES_OF_PREDICTOR, _BYTES_OF_CELL, _BYTES_OF_CLIMATE = 60, 20, 20, 30
"""Peak bytes of a glacier's month, of its predictor in a year, of a cell of terrain, of a month of a climate cell.

At least 13 % above the growth of a process's peak (VmHWM) over blocks of 128, 512 and 1,300 glaciers of 40 years, 69 kB
a glacier at most, and over windows of terrain and climate: 13 and 24 bytes.
"""

Floats = npt.NDArray[np.floating]
NO_TERRAIN = (
    "no terrain: every cell below lacks an elevation, and no inventory tells its elevations and slope; catalogue one "
    "that covers it, or narrow the region's bounds"
)
NO_CLIMATE = (
    "no climate: every cell there lacks temperature, precipitation or height; catalogue a climate that covers it, pool "
    "its neighbours (climate_radius_km), or narrow the region's bounds"
)
NO_REFERENCE = (
    "no climate of reference: every year of {}..{} lacks months; name reference_years that have all their months"
)
_SEASONAL = {"cpdd": "K day", "winter_snow": "kg m-2", "summer_snow": "kg m-2"}
_TOPOGRAPHY = {
    "mean_elevation": "m",
    "max_elevation": "m",
    "slope20": "degree",
    "area": "m2",
    "lat": "degrees_north",
    "lon": "degrees_east",
    "cos_aspect": "1",
    "sin_aspect": "1",
}


def featurize(cube: str | Path | Store, *, to: str | Path, options: FeaturizeOptions = FeaturizeOptions()) -> Store:
    """Compute the predictors of every glacier and hydrological year.

    Parameters
    ----------
    cube : str, Path or Store
        A cube.
    to : str or Path
        Folder or URL of the features.
    options : FeaturizeOptions
        How.

    Returns
    -------
    Store
        The features. Blocks that exist are kept. A glacier without terrain or climate is stored with NaN and the
        reason in ``set_aside``; the climate's predictors of years that lack a month are NaN.

    Raises
    ------
    ValueError
        If no glacier is left, or the reference years lie outside the cube's.
    """
    source = Store.at(cube, schema.CUBE)
    stamp = provenance.Stamp(
        verb="featurize",
        options=provenance.options_dict(options),
        inputs={"cube": provenance.Input(url=provenance.relative(source.url, to), fingerprint=source.fingerprint())},
    )
    store = Store(str(to), schema.FEATURES)
    if store.is_complete(stamp):
        return _refuse_if_none_left(store)
    dataset = source.open()
    years = hydro_years(dataset)
    units = predictor_units(dataset.attrs["hemisphere"])
    reference = reference_mask(years, options)
    static = dataset[[*schema.identity(dataset), *schema.OBSERVATIONS]].load()
    static = static.assign(
        hydro_year=("hydro_year", years),
        month=("month", np.arange(1, 13)),
        predictor=("predictor", np.array(list(units))),
        predictor_units=("predictor", np.array(list(units.values()))),
    )
    kept = ("region", "first_hydro_year", "last_hydro_year", "last_year_with_climate", "hemisphere")
    recipe = provenance.options_dict(options) | {
        "reference_years": [int(years[reference][0]), int(years[reference][-1])],
        "hemisphere": dataset.attrs["hemisphere"],
    }
    frame = zonal.Frame.of(dataset)
    if frame.over_antimeridian:
        recipe["longitudes"] = "from 0 to 360"
    static.attrs = {name: dataset.attrs[name] for name in kept if name in dataset.attrs} | {
        "degree_day_sigma_k": options.degree_day_sigma_k,
        "recipe": recipe,
    }
    per_block = source.blocks()[0].stop if source.blocks() else 1
    sizes = {"glacier": dataset.sizes["glacier"], "band": options.bands}
    blocks = _Blocks(dataset, frame, options)
    with store.hold() as held:
        store.declare(static, stamp, sizes=sizes, chunks={"glacier": per_block})
        job = compute.Job(blocks.load, blocks.compute, store.write)
        needs = block_bytes(dataset, per_block)
        compute.run(job, store.missing(), label="featurize, blocks", bytes_each=needs, check=held.check)
    return _refuse_if_none_left(store)


@dataclass(frozen=True)
class Loaded:
    """What is stored of some glaciers, in memory."""

    identity: xr.Dataset
    """(glacier,)"""
    dated: xr.Dataset
    """(glacier, inventory)"""
    outlines: zonal.Outlines


@dataclass(frozen=True)
class _Blocks:
    """Steps of the work on a block of glaciers."""

    cube: xr.Dataset
    frame: zonal.Frame
    options: FeaturizeOptions

    def load(self, block: Block) -> Loaded:
        return load_block(self.cube, block.slice)

    def compute(self, block: Block, loaded: Loaded) -> dict[str, npt.NDArray[Any]]:
        return compute_block(self.cube, self.frame, loaded, self.options)


def block_bytes(cube: xr.Dataset, glaciers: int) -> int:
    """Peak memory of one block of a number of glaciers in work, about."""
    years = len(hydro_years(cube))
    series = glaciers * years * (12 * _BYTES_OF_MONTH + len(predictor_units("north")) * _BYTES_OF_PREDICTOR)
    terrain = min(cube.sizes["y"] * cube.sizes["x"], zonal.MAX_WINDOW_CELLS) * _BYTES_OF_CELL
    return series + terrain + _climate_bytes(cube, glaciers)


def _climate_bytes(cube: xr.Dataset, glaciers: int) -> int:
    """Memory of the climate around the block of glaciers that spans most of its grid, halved where that is large."""
    cells = np.ones(1)
    starts = np.arange(0, cube.sizes["glacier"], glaciers)
    lon = beside(cube.lon.values, np.repeat(cube.lon.values[starts], glaciers)[: cube.sizes["glacier"]])
    for dim, along in (("clim_lat", cube.lat.values), ("clim_lon", lon)):
        step = abs(np.diff(cube[dim].values)).min(initial=360.0)
        span = np.maximum.reduceat(along, starts) - np.minimum.reduceat(along, starts)
        cells = cells * np.minimum(cube.sizes[dim], np.ceil(span / step) + 3)
    return min(int(cells.max()) * cube.sizes["time"], zonal.MAX_CLIMATE_VALUES) * _BYTES_OF_CLIMATE


def _refuse_if_none_left(features: Store) -> Store:
    """The store itself, if it has a glacier that was not set aside."""
    reasons = features.open().set_aside.values
    if len(reasons) and (reasons != "").all():
        found, count = np.unique(reasons, return_counts=True)
        said = "; ".join(f"{reason} ({number} glaciers)" for reason, number in zip(found, count, strict=True))
        raise ValueError(f"all {len(reasons)} glaciers of {features.url} were set aside: {said}.")
    return features


def predictor_units(hemisphere: str) -> dict[str, str]:
    """Unit of every predictor by name, in stored order (Bolibar et al. 2020)."""
    names = months(hemisphere)
    monthly = {f"temp_{m}": "degC" for m in names} | {f"snow_{m}": "kg m-2" for m in names}
    of_climate = _SEASONAL | monthly
    return of_climate | {f"{name}_anomaly": unit for name, unit in of_climate.items()} | _TOPOGRAPHY


def hydro_years(cube: xr.Dataset) -> npt.NDArray[np.int32]:
    """Hydrological years of a cube: (hydro_year,)."""
    return np.arange(cube.attrs["first_hydro_year"], cube.attrs["last_hydro_year"] + 1, dtype=np.int32)


def reference_mask(years: npt.NDArray[np.int32], options: FeaturizeOptions) -> npt.NDArray[np.bool_]:
    """Years of the reference period: (hydro_year,) bool."""
    first, last = options.reference_years or (years[0], years[-1])
    if not years[0] <= first <= last <= years[-1]:
        raise ValueError(
            f"reference_years {first}..{last} are not a span inside the cube's hydrological years "
            f"{years[0]}..{years[-1]}."
        )
    return (years >= first) & (years <= last)


def load_block(cube: xr.Dataset, glaciers: slice) -> Loaded:
    """Read a run of glaciers."""
    some = cube[[*schema.identity(cube), "vertex_start", "vertex_count"]]
    some = some.isel(glacier=glaciers).load()
    dated = cube[[name for name in cube.variables if str(name).startswith("inventory_")]].isel(glacier=glaciers).load()
    return Loaded(some, dated, zonal.Outlines.of(cube, some))


def compute_block(
    cube: xr.Dataset, frame: zonal.Frame, loaded: Loaded, options: FeaturizeOptions
) -> dict[str, npt.NDArray[Any]]:
    """Every stored variable of a run of glaciers; windows of the grids are read as they are reduced."""
    some, dated, outlines = loaded.identity, loaded.dated, loaded.outlines
    years = hydro_years(cube)

    topography = zonal.topography(frame, outlines, bands=options.bands)
    weather = zonal.climate(
        frame, outlines, lapse_rate_k_km=options.lapse_rate_k_km, radius_km=options.climate_radius_km
    )
    shape = (len(some.glacier_id), len(years), 12)
    temp, precip = weather["temp"].reshape(shape), weather["precip"].reshape(shape)

    over_years, known = dated_topography(topography, dated, years, some.area_m2.values)
    rise = over_years["mean_elevation"] - weather["ref_height"][:, None]
    wetter = climate.precipitation_factor(
        rise, precip_factor=options.precip_factor, gradient_per_km=options.precip_gradient_per_km
    )
    precip = (precip * wetter[:, :, None]).astype(np.float32)
    at_glacier = climate.at_height(temp, weather["lapse_rate"], rise)
    annual = climate.annual_predictors(at_glacier, precip, options.degree_day_sigma_k)

    fixed = {
        "lat": some.lat.values,
        "lon": some.lon.values % 360 if frame.over_antimeridian else some.lon.values,
        "cos_aspect": known["cos_aspect"],
        "sin_aspect": known["sin_aspect"],
    }
    over_years |= {name: np.broadcast_to(values[:, None], shape[:2]) for name, values in fixed.items()}
    computed = {
        "predictors": stacked(annual, over_years, reference_mask(years, options)),
        "temp": temp,
        "precip": precip,
        "lapse_rate": weather["lapse_rate"],
        "ref_height": weather["ref_height"],
        "band_elevation": known["band_elevation"],
        "band_area": known["band_area"],
    }
    reasons = set_aside(computed, years[reference_mask(years, options)])
    for values in computed.values():
        values[reasons != ""] = np.nan
    identity = {name: some[name].values for name in schema.identity(some)}
    return {**identity, **computed, "set_aside": reasons}


def set_aside(computed: dict[str, Floats], reference: npt.NDArray[np.int32]) -> npt.NDArray[np.str_]:
    """Why glaciers are set aside, empty for those that are not: (glacier,).

    Parameters
    ----------
    computed : dict
        Variables of the features store, (glacier, ...).
    reference : (hydro_year,) int
        Years that anomalies refer to.
    """
    no_terrain, no_climate = (
        ~np.isfinite(computed[name]).reshape(len(computed[name]), -1).all(axis=1)
        for name in ("band_elevation", "ref_height")
    )
    finite = np.isfinite(computed["predictors"])
    no_terrain |= ~finite[:, :, -len(_TOPOGRAPHY) :].all(axis=(1, 2))
    known = np.asarray(finite.all(axis=2))
    return np.select(
        [no_terrain & no_climate, no_terrain, no_climate, ~known.any(axis=1)],
        [f"{NO_TERRAIN}; {NO_CLIMATE}", NO_TERRAIN, NO_CLIMATE, NO_REFERENCE.format(reference[0], reference[-1])],
        "",
    )


def stacked(annual: dict[str, Floats], over_years: dict[str, Floats], reference: npt.NDArray[np.bool_]) -> Floats:
    """Predictors in stored order, anomalies against the reference years: (glacier, hydro_year, predictor) float32.

    Climate of a year that lacks a month is NaN altogether, so that all anomalies refer to the same years.
    """
    seasonal = np.stack([annual[name] for name in _SEASONAL], axis=-1)
    raw = np.concatenate([seasonal, annual["temp"], annual["snow"]], axis=-1)
    raw[~np.isfinite(raw).all(axis=-1)] = np.nan
    years = np.isfinite(raw[:, reference]).sum(axis=1, keepdims=True).astype(raw.dtype)
    with np.errstate(invalid="ignore"):  # 0 / 0 where no year of the reference is known
        anomaly = raw - np.nansum(raw[:, reference], axis=1, keepdims=True) / years
    place = np.stack([over_years[name] for name in _TOPOGRAPHY], axis=-1)
    return np.concatenate([raw, anomaly, place], axis=-1, dtype=np.float32)
