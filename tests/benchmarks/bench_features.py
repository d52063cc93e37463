"""Features of 1,000 glaciers x 40 years against a clip-and-select loop; growth from 1,000 to 8,000; peak memory.

Prints one JSON line. The reference is what the field's scripts do, with everything already in memory: for each glacier
clip the elevation model to the outline, select the nearest climate cell, and compute the same predictors year by year.
It is timed on a sample of glaciers and scaled. Ours is `features.tensors.compute_block` over all blocks, in memory too,
on all cores. Memory is the peak resident set of `featurize` from store to store in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from glacierscale import compute, provenance, schema, synthetic
from glacierscale.cube import IngestOptions, writing
from glacierscale.cube.reading import Sources
from glacierscale.cube.weather import in_years
from glacierscale.features import climate as kernels
from glacierscale.features import tensors, zonal
from glacierscale.features.options import FeaturizeOptions
from glacierscale.region import HydroYears, Region
from glacierscale.sources import climate, outlines, terrain
from glacierscale.sources.observations.table import empty
from glacierscale.store import Store

YEARS = HydroYears(1976, 2015)


def make_cube(glaciers: int, folder: Path) -> Store:
    """A cube of the synthetic range."""
    options = synthetic.SyntheticOptions(glaciers=glaciers, first_year=YEARS.first, last_year=YEARS.last, observed=0)
    shapes = outlines.normalize(synthetic.outlines(options), "rgi6")
    fields = climate.normalize([synthetic.climate(options)], "era5")
    elevation = terrain.normalize_dem(synthetic.terrain(options))
    sources = Sources(
        outlines=shapes,
        crs_wkt=elevation.attrs["crs_wkt"],
        elevation=elevation,
        climate=in_years(fields, YEARS, "synthetic")[0],
        last_year_with_climate=YEARS.last,
        observations=empty(),
        inventories=None,
    )
    store = Store(str(folder / f"cube{glaciers}.zarr"), schema.CUBE)
    stamp = provenance.Stamp(verb="ingest", options={"glaciers": glaciers}, inputs={})
    writing.write(store, sources, Region("synthetic", years=YEARS), stamp, IngestOptions(glaciers_per_block=128))
    return store


def ours(cube: xr.Dataset) -> float:
    """Seconds for all blocks, inputs in memory."""
    options, frame = FeaturizeOptions(), zonal.Frame.of(cube)
    size = cube.sizes["glacier"]
    blocks = [slice(start, min(start + 256, size)) for start in range(0, size, 256)]

    def work(block: slice) -> None:
        tensors.compute_block(cube, frame, tensors.load_block(cube, block), options)

    start = time.perf_counter()
    compute.map_items(work, blocks, label="features")
    return time.perf_counter() - start


def naive(cube: xr.Dataset, sample: int) -> float:
    """Seconds per glacier of the clip-and-select loop."""
    import rioxarray  # noqa: F401
    import shapely

    dem = cube.elevation.rio.write_crs(cube.attrs["terrain_crs_wkt"])
    size = cube.sizes["glacier"]
    chosen = np.linspace(0, size - 1, sample).astype(int)
    shapes = []
    for g in chosen:
        part = slice(int(cube.vertex_start[g]), int(cube.vertex_start[g] + cube.vertex_count[g]))
        shapes.append(shapely.Polygon(np.column_stack([cube.vertex_x[part], cube.vertex_y[part]])))
    start = time.perf_counter()
    for g, shape in zip(chosen, shapes, strict=True):
        one_glacier(cube, dem, int(g), shape)
    return (time.perf_counter() - start) / sample


def one_glacier(cube: xr.Dataset, dem: xr.DataArray, g: int, shape: Any) -> dict[str, Any]:
    """Predictors of one glacier, the plain way."""
    west, south, east, north = shape.bounds
    window = dem.rio.clip_box(west - 200, south - 200, east + 200, north + 200)
    rise_y, rise_x = np.gradient(window.values, 100.0)
    slope = np.degrees(np.arctan(np.hypot(rise_x, rise_y)))
    clipped = window.rio.clip([shape], drop=False).values
    inside = np.isfinite(clipped)
    z = clipped[inside]
    low = inside & (clipped <= z.min() + 0.2 * (z.max() - z.min()))
    found: dict[str, Any] = {
        "mean_elevation": z.mean(),
        "max_elevation": z.max(),
        "slope20": slope[low].mean(),
        "area": inside.sum() * 1e4,
        "aspect": np.arctan2(-rise_x[inside].mean(), rise_y[inside].mean()),
        "bands": np.histogram(z, 20),
    }
    cell = cube[["temp", "precip", "clim_height"]].sel(
        clim_lat=float(cube.lat[g]), clim_lon=float(cube.lon[g]), method="nearest"
    )
    temp = cell.temp.values - 0.0065 * (found["mean_elevation"] - float(cell.clim_height))
    precip = cell.precip.values
    rows = []
    for year in range(len(YEARS)):
        t, p = temp[12 * year : 12 * year + 12], precip[12 * year : 12 * year + 12]
        snow = p * kernels.solid_fraction(t)
        seasonal = [kernels.degree_days(t, 5.0).sum(), snow[:7].sum(), snow[7:].sum()]
        rows.append(np.concatenate([seasonal, t, snow]))
    found["climate"] = np.stack(rows)
    found["anomalies"] = found["climate"] - found["climate"].mean(axis=0)
    return found


def peak_memory_mb(cube: Store, folder: Path) -> float:
    """Peak resident set of `featurize` from store to store, in its own process."""
    program = (
        "import pathlib, re, sys\n"
        "from glacierscale.features.tensors import featurize\n"
        "featurize(sys.argv[1], to=sys.argv[2])\n"
        # getrusage would still count the process that forked this one
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1]) / 1024)"
    )
    made = folder / (Path(cube.url).stem + "_features.zarr")
    done = subprocess.run(
        [sys.executable, "-c", program, cube.url, str(made)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main(glaciers: int, growth: int, sample: int, repeats: int) -> dict[str, Any]:
    """Time and weigh."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, half = make_cube(glaciers, folder), make_cube(max(glaciers // 2, 2), folder)
        large = make_cube(glaciers * growth, folder)
        memory = {Path(s.url).stem: round(peak_memory_mb(s, folder)) for s in (half, small, large)}
        loaded = small.open().load()
        ours(loaded)
        took = statistics.median(ours(loaded) for _ in range(repeats))
        each = statistics.median(naive(loaded, sample) for _ in range(repeats))
        wide = large.open().load()
        took_large = statistics.median(ours(wide) for _ in range(repeats))
    return {
        "benchmark": "features",
        "glaciers": glaciers,
        "years": len(YEARS),
        "seconds": round(took, 4),
        "reference": f"clip-and-select loop, inputs in memory ({sample} glaciers timed, scaled)",
        "reference_seconds": round(each * glaciers, 2),
        "ratio": round(each * glaciers / took, 1),
        "glaciers_per_s": round(glaciers / took),
        "growth": growth,
        "time_per_glacier_ratio": round(took_large / took / growth, 2),
        "peak_memory_mb": memory,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("glaciers", 1000), ("growth", 8), ("sample", 40), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print(json.dumps(main(**vars(parser.parse_args()))))
