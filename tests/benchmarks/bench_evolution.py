"""Glaciers through a century: glacier-years a second of delta-h and of shallow ice, beside OGGM in the same run.

Prints one JSON line. Alone, it moves a synthetic range by delta-h under given balances; the reference is one member
instead of many. With the output of a run that evolves glaciers, it also couples them to the learned balance, by both
methods, and with OGGM in an environment of its own it compares all that with OGGM on the Oetztal glaciers:

    glacierscale run deploy/runs/oetztal_2100.yaml --data DATA --to OUT
    python -m venv OGGM_ENV
    OGGM_ENV/bin/pip install oggm==1.6.3 salem geopandas rasterio rioxarray scikit-image
    OMP_NUM_THREADS=1 python tests/benchmarks/bench_evolution.py --runs OUT --data DATA --oggm OGGM_ENV/bin/python

`oggm_evolution.py` is what runs there and says what it times. In every turn OGGM is timed first and then we; a ratio is
the median over turns. Kernels on both sides have one core, glaciers and model in memory:

* `delta_h_N`, `sia_N`: N members of all glaciers together, under balances of years that are given or, for shallow ice,
  linear in the elevation of the surface of the day;
* `delta_h_coupled_N`, `sia_coupled_N`: the learned balance on the surface of the day, glaciers of one size of
  patch together.

`evolve_*` has all cores, goes from store to store, and stands against OGGM's own task, spread over as many processes or
not, whichever was faster. Ratios ending in `cpu` are per second of processor time, which other work on the machine
disturbs least. A glacier-year of an ensemble is one of each member: OGGM has no members, its runs follow one another.
Its glaciers are some 70 points along a line, 43 of them with ice; ours are squares of ice, some 530 at 100 m.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import glacierscale as gs
from glacierscale import compute, schema
from glacierscale.cube import IngestOptions
from glacierscale.demonstration import write_raw
from glacierscale.evolution import curves, delta_h, geometry, patchwise, sia
from glacierscale.evolution.geometry import Ice
from glacierscale.evolution.options import EvolveOptions, Scenario
from glacierscale.evolution.packing import Columns, pack
from glacierscale.evolution.setting import Setting
from glacierscale.models.bundle import SMBModel
from glacierscale.store import Files, Store
from glacierscale.synthetic import SyntheticOptions
from glacierscale.units import ICE_DENSITY_KG_M3

HERE = Path(__file__).parent
CATALOG = HERE.parents[1] / "catalogs" / "demo.yaml"
GRADIENT = 0.007
"""m of ice a year and m of elevation"""
Work = Callable[[], None]
Ways = dict[str, tuple[int, Work]]
"""Glacier-years and the work, by name"""
Turn = dict[str, dict[str, float]]


def synthetic_patches(glaciers: int, folder: Path) -> Sequence[Store]:
    """Patches of a synthetic range."""
    options = SyntheticOptions(glaciers=glaciers, observed=0, first_year=2000, last_year=2003)
    write_raw(options, folder / "raw")
    region = gs.Region("synthetic", years=gs.HydroYears(2001, 2003))
    cube = gs.ingest(CATALOG, region, to=folder / "cube.zarr", options=IngestOptions(data=str(folder / "raw")))
    return gs.rasterize(cube, to=folder)


def read_ice(patches: Sequence[Store], around: int | None = None) -> list[tuple[Ice, int]]:
    """Ice of every glacier that has some, and its position in the features."""
    found = []
    for store in patches:
        part = store.open().load()
        for number in np.flatnonzero(schema.text(part.set_aside.values) == "").tolist():
            rasters, _ = patchwise.channels(part, number)
            ice = geometry.of_patch(rasters, float(part.resolution.values[number]), around=around)
            if ice.bed.numel():
                found.append((ice, int(part.feature_row.values[number])))
    return found


def balances(years: int, members: int) -> torch.Tensor:
    """Mean balance of each year and member: (year, member, 1) m of ice."""
    drawn = np.random.default_rng(0).normal(-600.0, 700.0, (years, members, 1))
    return torch.from_numpy(drawn) / ICE_DENSITY_KG_M3


def thinning(ices: Sequence[Ice], members: int, years: int) -> None:
    """Move all glaciers together by delta-h under balances that are given."""
    ground = pack(ices)
    glacier = np.tile(np.arange(len(ices)), members)
    columns = Columns.at_start(ground, glacier)
    lines = delta_h.Lines.of(curves.class_curves(columns.total(columns.area)[: len(ices)]))
    for change_m in balances(years, members)[:, :, 0].numpy():
        change_m3 = np.repeat(change_m, len(ices)) * columns.total(columns.area)
        columns = delta_h.step(columns, lines, change_m3).columns


def flowing(patches: Sequence[Store], members: int, years: int) -> None:
    """Let all glaciers of a store flow together under a balance that is linear in the elevation of their surface."""
    for store in patches:
        part = store.open().load()
        sound = np.flatnonzero(schema.text(part.set_aside.values) == "").tolist()
        rasters = [patchwise.channels(part, number)[0] for number in sound]
        surface, depth = (
            torch.from_numpy(np.stack(values)).repeat(members, 1, 1)  # (member x glacier, y, x)
            for values in zip(*map(geometry.surface_and_depth, rasters), strict=True)
        )
        bed, side_m = surface - depth, torch.from_numpy(part.resolution.values[sound].astype(float)).repeat(members)
        iced = depth > 0
        middle = torch.where(iced, surface, torch.nan).flatten(1).nanmean(dim=1)
        thickness = depth * torch.from_numpy(np.stack([own["ice_fraction"] for own in rasters])).repeat(members, 1, 1)
        for drawn in balances(years, members):
            level = drawn[:, 0].repeat_interleave(len(sound)) - GRADIENT * middle
            balance = (level[:, None, None] + GRADIENT * (bed + thickness)).clamp(max=1.5)
            balance = torch.where(iced, balance, balance.clamp(max=0))  # snow elsewhere is not the glacier's
            thickness = sia.advance(thickness, bed, balance, side_m).thickness


def options_of(cube: Store, members: int, scenarios: int, method: str, until: int) -> EvolveOptions:
    """One scenario of the cube, or that and two that are perturbed."""
    held = str(schema.text(cube.open().scenario.values)[0])
    every = (
        Scenario(name=held),
        Scenario(name="warmer", of=held, warming_k=2.0),
        Scenario(name="drier", of=held, warming_k=1.0, precip_factor=0.9),
    )
    return EvolveOptions(scenarios=every[:scenarios], members=members, method=method, until=until)  # type: ignore[arg-type]


def coupled(runs: Path, options: EvolveOptions) -> tuple[int, Work]:
    """Glaciers with the balance of the model on the surface of the day, from memory to memory; with glacier-years."""
    model = SMBModel.load(Files.at(runs / "model"))
    features = Store.at(runs / "features.zarr", schema.FEATURES).open().load()
    setting = Setting.of(model, Store.at(runs / "cube.zarr", schema.CUBE).open(), features, options)
    around = patchwise.ROOM_CELLS if options.method == "sia" else None
    stores = [read_ice([store], around) for store in Store.all_in(runs, "patches_*.zarr", schema.PATCHES)]

    def work() -> None:
        for glaciers in stores:
            ready = [patchwise.glacier_of(setting, ice, features, row, observed=True) for ice, row in glaciers]
            patchwise.run(setting, ready)

    members = setting.members * len(options.scenarios)
    return sum(map(len, stores)) * members * (options.until - options.first), work


def kernels(patches: Sequence[Store], given: argparse.Namespace) -> Ways:
    """What has one core."""
    ices = [ice for ice, _ in read_ice(patches)]
    ways: Ways = {}
    for count in given.members:
        ways[f"delta_h_{count}"] = len(ices) * count * given.years, partial(thinning, ices, count, given.years)
    for count in given.flowing:
        ways[f"sia_{count}"] = len(ices) * count * given.years, partial(flowing, patches, count, given.years)
    if given.runs:
        cube = Store.at(given.runs / "cube.zarr", schema.CUBE)
        for method, counts in (("delta_h", given.members), ("sia", given.flowing)):
            for count in counts:
                scenarios = 1 if count % 3 or count < 90 else 3
                options = options_of(cube, count // scenarios, scenarios, method, given.until)
                ways[f"{method}_coupled_{count}"] = coupled(given.runs, options)
    return ways


def whole(runs: Path, members: int, until: int) -> Ways:
    """What has all cores: `evolve`, from store to store."""
    cube = Store.at(runs / "cube.zarr", schema.CUBE)

    def evolve(options: EvolveOptions) -> None:
        with tempfile.TemporaryDirectory() as name:
            gs.evolve(runs / "model", runs / "cube.zarr", to=Path(name) / "ice.zarr", options=options)

    ways: Ways = {}
    for method, count, scenarios in (("delta_h", members // 3, 3), ("sia", 1, 1)):
        options = options_of(cube, count, scenarios, method, until)
        ways[f"evolve_{method}_{count * scenarios}"] = (coupled(runs, options)[0], partial(evolve, options))
    return ways


def timed(ways: Ways) -> Turn:
    """Glacier-years a second, and a second of processor time."""
    found = {}
    for name, (glacier_years, work) in ways.items():
        cpu, start = time.process_time(), time.perf_counter()
        work()
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        found[name] = {"rate": glacier_years / wall, "rate_cpu": glacier_years / cpu, "seconds": wall}
    return found


@contextmanager
def oggm(python: str, data: str, years: int) -> Iterator[Callable[[], Turn]]:
    """OGGM in its environment, glaciers prepared; each call times it once."""
    with tempfile.TemporaryDirectory() as work:
        command = [python, str(HERE / "oggm_evolution.py"), "--data", data, "--work", work, "--years", str(years)]
        command += ["--processes", str(compute.cores())]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            ready, asking = process.stdout.readline(), process.stdin
            if not ready:
                raise RuntimeError("OGGM did not get ready; what it said is above.")

            def turn() -> Turn:
                print(file=asking, flush=True)
                found: Turn = json.loads(process.stdout.readline())  # type: ignore[union-attr]
                return found

            yield turn
            asking.close()


def against(turns: list[tuple[Turn, Turn]], ours: str, model: str, theirs: tuple[str, ...], kind: str) -> float:
    """Median over turns of our rate to the best of some of theirs."""
    ratios = [mine[ours][kind] / max(other[model][way] for way in theirs) for mine, other in turns]
    return round(statistics.median(ratios), 2)


def ratios(turns: list[tuple[Turn, Turn]]) -> Turn:
    """Of each of our ways to OGGM's."""
    found = {}
    for name in turns[0][0]:
        model = "flowline" if "sia" in name else "delta_h"
        compare = partial(against, turns, name, model)
        if name.startswith("evolve"):
            found[name] = {"to_task": compare(("task", "task_processes"), "rate")}
        else:
            found[name] = {"to_task": compare(("task",), "rate"), "to_model_alone": compare(("alone",), "rate")}
        found[name] |= {
            "to_task_cpu": compare(("task_cpu",), "rate_cpu"),
            "to_model_alone_cpu": compare(("alone_cpu",), "rate_cpu"),
        }
    return found


def medians(turns: list[Turn]) -> Turn:
    """Median over turns of everything that was timed."""
    return {
        name: {kind: round(statistics.median(turn[name][kind] for turn in turns), 3) for kind in kinds}
        for name, kinds in turns[0].items()
    }


def taken_in_turn(one_core: Ways, all_cores: Ways, turns: int, theirs: Callable[[], Turn]) -> list[tuple[Turn, Turn]]:
    """Ours and theirs, turn by turn."""
    found = []
    for _ in range(turns):
        other = theirs()
        found.append((timed(one_core) | timed(all_cores), other))
    return found


def main(given: argparse.Namespace) -> dict[str, Any]:
    """Time everything in turns."""
    few, many = given.members[0], given.members[-1]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        if given.runs:
            patches: Sequence[Store] = Store.all_in(given.runs, "patches_*.zarr", schema.PATCHES)
        else:
            patches = synthetic_patches(given.glaciers, Path(name))
        one_core = kernels(patches, given)
        all_cores = whole(given.runs, many, given.until) if given.runs else {}
        with oggm(given.oggm, given.data, given.years) if given.oggm else nullcontext(dict) as theirs:
            turns = taken_in_turn(one_core, all_cores, given.turns, theirs)
    mine, other = ([turn[side] for turn in turns] for side in (0, 1))
    gain = [own[f"delta_h_{many}"]["rate_cpu"] / own[f"delta_h_{few}"]["rate_cpu"] for own in mine]
    found = {
        "benchmark": "evolution",
        "glaciers": one_core[f"delta_h_{few}"][0] // few // given.years,
        "members": given.members,
        "years": given.years,
        "turns": given.turns,
        "reference": f"the same glaciers with {few} instead of {many} members",
        "ratio": round(statistics.median(gain), 2),
        "rates": medians(mine),
    }
    return found | ({"oggm": medians(other), "ratios_to_oggm": ratios(turns)} if given.oggm else {})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="output of a run that evolves glaciers")
    parser.add_argument("--data", default="", help="data folder that holds the Oetztal files")
    parser.add_argument("--oggm", default="", help="Python of the environment of OGGM")
    parser.add_argument("--members", type=int, nargs="+", default=[1, 30, 90])
    parser.add_argument("--flowing", type=int, nargs="+", default=[1, 10], help="members of shallow ice")
    for option, default in (("glaciers", 20), ("years", 100), ("until", 2100), ("turns", 3)):
        parser.add_argument(f"--{option}", type=int, default=default)
    print(json.dumps(main(parser.parse_args())))
