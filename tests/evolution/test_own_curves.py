"""A glacier thins along its own curve where the cube has one, along that of its size class elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glacierscale import schema
from glacierscale.evolution import EvolveOptions, Scenario, evolve
from glacierscale.evolution.curves import HEIGHTS, POINTS
from glacierscale.store import Store
from tests.evolution.conftest import rewritten

OPTIONS = EvolveOptions(
    first=1998,
    until=2016,
    scenarios=(Scenario(name="hot", of="warm", warming_k=20.0),),
    net="mlp",
    members=1,
    snapshots=(1998, 2008),
    glaciers_per_block=2,
)
TONGUE = np.where(HEIGHTS > 0.7, (HEIGHTS - 0.7) / 0.3, 0.0)
"""All thinning on the lowest three tenths of the height range."""


def maps(folder: Path) -> Any:
    """The ice maps of the largest glaciers, loaded."""
    return Store.all_in(folder, "ice_map_*.zarr", schema.ICE_MAPS)[0].open().load()


@pytest.fixture(scope="module")
def both(evolving: Path, model: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, int]:
    """Folders of what becomes of the small region without own curves and with one, and whose that is."""
    plain, own, given = (tmp_path_factory.mktemp(name) for name in ("plain", "own", "given"))
    evolve(model, evolving / "cube.zarr", to=plain / "ice.zarr", options=OPTIONS)
    rows = maps(plain)
    row = int(rows.feature_row.values[np.flatnonzero(rows.set_aside.values == "")[0]])
    for path in evolving.iterdir():
        if path.name != "cube.zarr":
            shutil.copytree(path, given / path.name)
    source = Store.at(evolving / "cube.zarr")
    curves = np.full((source.open().sizes["glacier"], POINTS), np.nan, np.float32)
    curves[row] = TONGUE
    changed = {"thinning": (("glacier", "thinning_height"), curves), "thinning_height": ("thinning_height", HEIGHTS)}
    rewritten(source, given / "cube.zarr", **changed)
    evolve(model, given / "cube.zarr", to=own / "ice.zarr", options=OPTIONS)
    return plain, own, row


def test_a_curve_that_thins_the_tongue_alone_shortens_the_glacier_and_keeps_its_head(
    both: tuple[Path, Path, int],
) -> None:
    plain, own, row = both
    first, second = (Store.at(folder / "ice.zarr").open().load() for folder in (plain, own))
    # The first year that moves ice loses the same volume, as the surface of the day is still the same.
    np.testing.assert_allclose(second.volume.values[:, row, :2], first.volume.values[:, row, :2], rtol=1e-12)
    assert first.volume.values[0, row, 1] < first.volume.values[0, row, 0]
    assert second.area.values[0, row, -1] < 0.98 * first.area.values[0, row, -1]
    at = [maps(folder).sel(glacier=maps(folder).feature_row.values == row).isel(glacier=0) for folder in (plain, own)]
    surface = at[0].surface.values
    iced = at[0].thickness.values[0] > 0
    head = iced & (surface > surface[iced].max() - 0.5 * np.ptp(surface[iced]))
    thinned = [(found.thickness.values[0] - found.thickness.values[1])[head] for found in at]
    assert thinned[0].max() > 0.5
    assert np.abs(thinned[1]).max() < 1e-3


def test_glaciers_without_a_curve_of_their_own_are_as_before(both: tuple[Path, Path, int]) -> None:
    plain, own, row = both
    first, second = (Store.at(folder / "ice.zarr").open().load() for folder in (plain, own))
    others = np.arange(first.sizes["glacier"]) != row
    assert np.isfinite(first.volume.values[:, others]).any()
    for name in ("area", "volume", "smb"):
        np.testing.assert_array_equal(first[name].values[:, others], second[name].values[:, others])
