"""Thickness of glaciers that nobody has measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glacierscale.evolution.thickness import scaled_thickness
from glacierscale.features.patches import margin_distance


def disc(cells: int, radius: float) -> np.ndarray:
    row, column = np.mgrid[:cells, :cells] - (cells - 1) / 2
    return np.clip(radius - np.hypot(row, column) + 0.5, 0, 1)


def test_the_volume_is_that_of_the_area_whatever_the_cells() -> None:
    for cells, radius, side in ((32, 10.0, 100.0), (64, 20.0, 50.0)):
        fraction = disc(cells, radius)
        found = scaled_thickness(fraction, margin_distance(fraction > 0, side), side)
        area = (fraction * side**2).sum()
        assert (found * fraction * side**2).sum() == pytest.approx(0.2055 * area**1.375, rel=1e-12)
        assert area == pytest.approx(np.pi * 1e6, rel=0.01)
        mean = (found * fraction).sum() / fraction.sum()
        assert found.max() / mean == pytest.approx(15 / 8, rel=0.1)  # a cone of square roots


def test_ice_is_thickest_far_from_its_margin_and_nowhere_without_ice() -> None:
    fraction = disc(32, 12.0)
    found = scaled_thickness(fraction, margin_distance(fraction > 0, 100.0), 100.0)
    assert (found[fraction == 0] == 0).all()
    assert (found[fraction > 0] > 0).all()
    assert (np.diff(found[16, 4:16]) >= 0).all()
    np.testing.assert_allclose(found[16, 15] / found[16, 5], np.sqrt(1150 / 150), rtol=0.1)


def test_glaciers_of_several_sizes_and_patches_without_any_are_done_at_once() -> None:
    fraction = np.stack([disc(32, 12.0), disc(32, 5.0), np.full((32, 32), np.nan), np.zeros((32, 32))])
    distance = np.stack([margin_distance(np.nan_to_num(one) > 0, 100.0) for one in fraction])
    found = scaled_thickness(fraction, distance, [100.0, 200.0, 100.0, 100.0])
    assert np.isfinite(found).all()
    assert not found[2:].any()
    np.testing.assert_array_equal(found[0], scaled_thickness(fraction[0], distance[0], 100.0))


@pytest.mark.shared
def test_in_the_oetztal_it_comes_near_what_is_known(shared: Path, tmp_path: Path) -> None:
    from glacierscale.cube import IngestOptions, ingest
    from glacierscale.features.rasters import rasterize
    from glacierscale.region import HydroYears, Region

    catalog = Path(__file__).resolve().parents[2] / "catalogs" / "oetztal.yaml"
    options: Any = IngestOptions(data=str(shared / "data"), climate="histalp")
    cube = ingest(catalog, Region("o", years=HydroYears(2002, 2003)), to=tmp_path / "cube.zarr", options=options)
    known, guessed, alike = [], [], []
    for store in rasterize(cube, to=tmp_path):
        dataset = store.open().load()
        at = {name: dataset.rasters.values[:, number] for number, name in enumerate(dataset.channel.values)}
        found = scaled_thickness(at["ice_fraction"], at["margin_distance"], dataset.resolution.values)
        for one, truth, share in zip(found, at["thickness"], at["ice_fraction"], strict=True):
            known.append((truth * share).sum() * 1e4)
            guessed.append((one * share).sum() * 1e4)
            alike.append(np.corrcoef(one[share > 0.5], truth[share > 0.5])[0, 1])
    assert np.sum(guessed) == pytest.approx(np.sum(known), rel=0.15)
    assert np.median(alike) > 0.5
    assert 0.5 < (np.array(guessed) / known).min() < (np.array(guessed) / known).max() < 2
