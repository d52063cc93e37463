"""The reference of `bench_evolution.py`: OGGM moves the glaciers of the Oetztal Alps for so many years.

Runs in an environment of its own with OGGM 1.6.3 and imports nothing of this project; see there for the commands.
Nothing is downloaded: outlines, DEM and climate are files of the data folder, and what OGGM and salem look for besides
is written into the working folder, which is their home. The two parts of Vernagtferner are one glacier, so there are
19.

Glaciers are prepared once, on elevation-band flowlines: one line a glacier, which OGGM's delta-h demands. The balance
is its temperature-index model on the current surface, calibrated to the same loss on all glaciers, under years of
recent climate in random order. Then, for each line of standard input, every model is timed and one line of JSON is
printed, with glacier-years a second of

* `alone`: stepping the model, on flowlines and with a balance that are in memory, and nothing else;
* `processes`: making the model and stepping it, glaciers spread over processes;
* `task`: OGGM's own task, which also reads from disk and stores the diagnostics of every year there;
* `task_processes`: the same spread over processes;
* `alone_cpu`, `task_cpu`: those of one process, a second of processor time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
import warnings
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Any

SALEM = ".salem_cache/salem-sample-data-454bf696324000d198f574a1bf5bc56e3e489051"
OGGM = ".oggm/oggm-sample-data-8af40f89620c6bd72f3485a777a018dcacb99d94"
HOME = {
    f"{SALEM}/shapes/world_borders/world_borders.shp": "",
    f"{OGGM}/rgi_regions.csv": ",full_name\n11,Central Europe\n",
    f"{OGGM}/rgi_subregions_V6.csv": "O1,O2,Full_name\n11,1,Alps\n",
}
"""What salem (borders, for maps) and OGGM (names of regions) look for at home and would fetch otherwise"""

MODELS = {"delta_h": "MassRedistributionCurveModel", "flowline": "SemiImplicitModel", "flowline_flux": "FluxBasedModel"}
LOSS_KG_M2 = -600.0
CALIBRATED = (1985, 2013)
"""From the first to before the last year"""
RANDOM = {"y0": 1998, "halfsize": 15, "seed": 0}
"""Years of climate are drawn from 1983 to 2013"""


def settle(work: Path) -> None:
    """Make the working folder the home of OGGM and salem; before they are imported."""
    for name, content in HOME.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(content)
    os.environ["HOME"] = str(work)
    os.environ["OMP_NUM_THREADS"] = "1"


def outlines(data: Path) -> Any:
    """The 19 outlines, named as in RGI 6."""
    import geopandas

    found = geopandas.read_file(data / "oetztal" / "rgi" / "rgi_oetztal.shp")
    found["RGIId"] = found.RGIId.str.replace("RGI50", "RGI60").str.slice(0, 14)
    area = found.groupby("RGIId").Area.sum()
    found = found.dissolve("RGIId", as_index=False)
    found["Area"] = area.loc[found.RGIId].to_numpy()
    found["Name"] = ""
    return found


def prepare(data: Path, work: Path) -> list[Any]:
    """Glacier directories that are ready to evolve."""
    from oggm import cfg, tasks, workflow

    cfg.initialize_minimal(logging_level="CRITICAL")
    cfg.PATHS["working_dir"] = str(work)
    cfg.PATHS["dem_file"] = str(data / "oetztal" / "srtm_oetztal.tif")
    cfg.PATHS["climate_file"] = str(data / "oetztal" / "HISTALP_oetztal.nc")
    settings = {"has_internet": False, "use_intersects": False, "baseline_climate": "CUSTOM", "prcp_fac": 1.75}
    cfg.PARAMS.update(settings | {"border": 40, "use_multiprocessing": False})
    glaciers = workflow.init_glacier_directories(outlines(data))
    loss = {"ref_mb": LOSS_KG_M2, "ref_mb_years": CALIBRATED, "calibrate_param2": "temp_bias", "overwrite_gdir": True}
    steps = [
        (tasks.define_glacier_region, {"source": "USER"}),
        (tasks.simple_glacier_masks, {}),
        (tasks.elevation_band_flowline, {}),
        (tasks.fixed_dx_elevation_band_flowline, {}),
        (tasks.compute_downstream_line, {}),
        (tasks.compute_downstream_bedshape, {}),
        (tasks.process_custom_climate_data, {}),
        (tasks.mb_calibration_from_scalar_mb, loss),
        (tasks.apparent_mb_from_any_mb, {"mb_years": CALIBRATED}),
        (tasks.prepare_for_inversion, {}),
        (tasks.mass_conservation_inversion, {}),
        (tasks.filter_inversion_output, {}),
        (tasks.init_present_time_glacier, {}),
    ]
    for step in steps:
        workflow.execute_entity_task([step], glaciers)
    return glaciers


def moving(glacier: Any, model: str) -> Any:
    """OGGM's model of a glacier with its balance, at the beginning."""
    from oggm import cfg
    from oggm.core import flowline, massbalance

    random = massbalance.RandomMassBalance
    balance = massbalance.MultipleFlowlineMassBalance(glacier, mb_model_class=random, **RANDOM)
    known = glacier.get_diagnostics()
    ice = {name: known.get(f"inversion_{name}", cfg.PARAMS[name]) for name in ("glen_a", "fs")}
    lines = glacier.read_pickle("model_flowlines")
    return getattr(flowline, model)(lines, mb_model=balance, y0=0, inplace=True, **ice)


def step(glacier: Any, model: str, years: int) -> None:
    """The model made and stepped."""
    moving(glacier, model).run_until(years)


def task(glacier: Any, model: str, years: int) -> None:
    """OGGM's own task."""
    from oggm import tasks
    from oggm.core import flowline

    tasks.run_random_climate(glacier, nyears=years, evolution_model=getattr(flowline, model), **RANDOM)


def rates(glaciers: list[Any], model: str, years: int, pool: Any) -> dict[str, float]:
    """Glacier-years a second of every way, and the share of the volume that is left in the end."""
    steps = len(glaciers) * years
    models = [moving(glacier, model) for glacier in glaciers]
    before = sum(one.volume_km3 for one in models)
    spread = partial(pool.map, chunksize=1)
    found = {}
    for name, how, what, over in (
        ("alone", map, lambda one: one.run_until(years), models),
        ("processes", spread, partial(step, model=model, years=years), glaciers),
        ("task", map, partial(task, model=model, years=years), glaciers),
        ("task_processes", spread, partial(task, model=model, years=years), glaciers),
    ):
        cpu, start = time.process_time(), time.perf_counter()
        list(how(what, over))
        found[name] = steps / (time.perf_counter() - start)
        if how is map:
            found[f"{name}_cpu"] = steps / (time.process_time() - cpu)
    return found | {"volume_left": sum(one.volume_km3 for one in models) / before}


def main(data: Path, work: Path, years: int, processes: int) -> None:
    """Prepare, then time everything for each line that comes in."""
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        glaciers = prepare(data, work)
        with Pool(processes) as pool:
            print(json.dumps({"glaciers": len(glaciers)}), file=out, flush=True)
            for _ in sys.stdin:
                found = {name: rates(glaciers, model, years, pool) for name, model in MODELS.items()}
                print(json.dumps(found), file=out, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--years", type=int, default=100)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    settle(given.work.resolve())
    main(given.data.resolve(), given.work.resolve(), given.years, given.processes)
