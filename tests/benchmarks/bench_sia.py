"""Shallow-ice flow of valley glaciers on 100 m cells, year by year: glacier-years a second, one member and many.

Prints one JSON line. With `--folder` the glaciers are those of a folder of 25 m rasters (`*NNNNN_thickness.tif` beside
`dem_NNNNN.asc.tif`), means of 4 x 4 cells; without, they are made. The balance rises by 0.8 m of ice in 100 m of
height, follows the surface and gains only within the first outline. The reference takes explicit steps of the same
flux at their limit of stability; the error is the difference in thickness to steps of a twentieth of a year. Rates are
per second of processor time on one thread; `wall` has the batch halved over two threads.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import pad

from glacierscale.evolution import flow, sia

MARGIN = 6
"""Cells around the ice."""


def real(folder: Path) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Thickness and surface of every glacier of a folder."""
    import rasterio

    found = []
    for file in sorted(folder.glob("*_thickness.tif")):
        number = file.stem.removesuffix("_thickness").rpartition(".")[2]
        rasters = []
        for path in (file, folder / f"dem_{number}.asc.tif"):
            with rasterio.open(path) as source:
                fine = torch.from_numpy(source.read(1).astype(float))
            rasters.append(torch.nn.functional.avg_pool2d(fine[None], 4)[0])
        found.append((rasters[0], rasters[1]))
    return found


def made(glaciers: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Thickness and surface of valley glaciers, 1.5 to 6 km long."""
    found = []
    for number in range(glaciers):
        length = 15 + 45 * number // max(glaciers - 1, 1)
        y, x = torch.meshgrid(torch.arange(length // 2).double(), torch.arange(length).double(), indexing="ij")
        across = 2 * (y + 0.5) / (length // 2) - 1
        depth = (40 + 2.5 * length) * (1 - across**2) * torch.sin(torch.pi * (x + 0.5) / length).sqrt()
        found.append((depth, 3050 + (length / 2 - x) * 100 * (0.4 - 0.004 * length) + 150 * across**2))
    return found


def stacked(glaciers: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Thickness and bed on patches of one size: (glacier, y, x) m."""
    height, width = (max(ice.shape[axis] for ice, _ in glaciers) + 2 * MARGIN for axis in (0, 1))
    ices, beds = [], []
    for ice, surface in glaciers:
        top, left = (height - ice.shape[0]) // 2, (width - ice.shape[1]) // 2
        room = (left, width - ice.shape[1] - left, top, height - ice.shape[0] - top)
        ices.append(pad(ice, room))
        beds.append(pad((surface - ice)[None], room, mode="replicate")[0])
    return torch.stack(ices), torch.stack(beds)


def run(ice: torch.Tensor, bed: torch.Tensor, years: int, **options: float) -> torch.Tensor:
    """Thickness after some years."""
    first, dx = ice > 0, torch.full((len(ice),), 100.0, dtype=torch.float64)
    for _ in range(years):
        balance = (0.008 * (ice + bed - 3050)).clamp(-6, 1.5)
        ice = sia.advance(ice, bed, torch.where(first, balance, balance.clamp_max(0)), dx, **options).thickness
    return ice


def explicit(ice: torch.Tensor, bed: torch.Tensor, years: int) -> torch.Tensor:
    """The same by explicit steps: no stages follow the flux of the beginning."""
    stages, flow.STAGES = flow.STAGES, 1
    try:
        return run(ice, bed, years)
    finally:
        flow.STAGES = stages


def halved(ice: torch.Tensor, bed: torch.Tensor, years: int) -> None:
    """The same by two threads."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda part: run(ice[part::2], bed[part::2], years), range(2)))


def rate(work: Any, ice: torch.Tensor, bed: torch.Tensor, years: int, repeats: int, clock: Any) -> int:
    """Glacier-years a second, the best of some repeats."""
    took = []
    for _ in range(repeats):
        start = clock()
        work(ice, bed, years)
        took.append(clock() - start)
    return round(len(ice) * years / min(took))


def main(folder: str, glaciers: int, years: int, members: int, repeats: int) -> dict[str, Any]:
    """Time, and compare."""
    torch.set_num_threads(1)
    ice, bed = stacked(real(Path(folder)) if folder else made(glaciers))
    many = (ice.repeat(members, 1, 1), bed.repeat(members, 1, 1), max(years // 10, 1))
    usual, fine = run(ice, bed, years), run(ice, bed, years, courant=0.25, longest_years=0.05)
    cpu = rate(run, ice, bed, years, repeats, time.process_time)
    reference = rate(explicit, ice, bed, max(years // 10, 1), repeats, time.process_time)
    return {
        "benchmark": "sia",
        "glaciers": len(ice),
        "ice_cells": int((ice > 0).sum()),
        "patch": list(ice.shape[1:]),
        "years": years,
        "members": members,
        "glacier_years_s": cpu,
        "glacier_years_s_of_members": rate(run, *many, repeats, time.process_time),
        "wall": {
            "one": rate(halved, ice, bed, years, repeats, time.perf_counter),
            "members": rate(halved, *many, repeats, time.perf_counter),
        },
        "reference": "explicit steps of the same flux at their limit of stability, a tenth of the years",
        "reference_glacier_years_s": reference,
        "ratio": round(cpu / reference, 1),
        "rms_error_m": round(float((usual - fine)[fine > 0].square().mean().sqrt()), 3),
        "volume_error": float(np.format_float_scientific(float(usual.sum() / fine.sum() - 1), 2)),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", default="")
    for name, default in (("glaciers", 19), ("years", 100), ("members", 30), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print(json.dumps(main(**vars(parser.parse_args()))))
