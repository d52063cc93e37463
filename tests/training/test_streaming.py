"""Training on ground that stays in its stores gives the tensors of ground in memory, bit by bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from glacierscale import schema
from glacierscale.models.functionals import table_of
from glacierscale.models.raster import predict
from glacierscale.models.scene import Scene, rows_of, scene_over
from glacierscale.models.surface import Surface
from glacierscale.store import Store
from glacierscale.training.feed import StreamedGround, scene_in
from glacierscale.training.raster_steps import Feed, Lesson, Step

FORM_OF = "hybrid"


@pytest.fixture(scope="module")
def streamed(features: Any, patches: Path, scene: Scene, raster_model: Any) -> Scene:
    dataset, stores = features.open(), Store.all_in(patches, "patches_*.zarr", schema.PATCHES)
    form = raster_model.rasters[FORM_OF].form
    table = table_of(dataset, form.targets)
    rows = rows_of(dataset, [store.open() for store in stores], np.unique(table.obs_unit_id))
    ground = StreamedGround(stores, rows, form.reference_elevation, form.kernel)
    return scene_over(dataset, table, ground, ground.outlined(), form.reference_elevation)


def steps_of(scene: Scene, form: Any, count: int) -> Sequence[Step]:
    seen = scene.functionals
    weight = np.tile(seen.counts, (2, 1)).astype(np.float32)
    lesson = Lesson(form=form, surface=scene.surface, weather=scene.weather, functionals=seen, weight=weight)
    smallest = int(scene.surface.cells.min())
    return list(islice(Feed(lesson, smallest, 0), count))


def tensors(part: Any) -> list[torch.Tensor]:
    if isinstance(part, torch.Tensor):
        return [part]
    if isinstance(part, tuple):
        return [tensor for some in part for tensor in tensors(some)]
    return [t for f in fields(part) for t in tensors(getattr(part, f.name))] if is_dataclass(part) else []


def test_steps_are_the_same_bit_by_bit(scene: Scene, streamed: Scene, raster_model: Any) -> None:
    form = raster_model.rasters[FORM_OF].form
    assert isinstance(streamed.surface, StreamedGround)
    found, expected = (steps_of(some, form, 12) for some in (streamed, scene))
    assert [step.name for step in found] == [step.name for step in expected]
    for one, two in zip(found, expected, strict=True):
        mine, theirs = tensors(one), tensors(two)
        assert len(mine) == len(theirs) > 15
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_predictions_are_the_same_bit_by_bit(scene: Scene, streamed: Scene, raster_model: Any) -> None:
    net = raster_model.rasters[FORM_OF]
    some = np.arange(len(scene.functionals))
    found, expected = (
        predict(net.own(0), net.form, each.functionals, some, each.surface, each.weather) for each in (streamed, scene)
    )
    np.testing.assert_array_equal(found, expected)


def test_a_step_holds_its_own_glaciers_only(streamed: Scene, raster_model: Any) -> None:
    ground = streamed.surface
    assert isinstance(ground, StreamedGround)
    ground.most_cells = 0
    steps = steps_of(streamed, raster_model.rasters[FORM_OF].form, 12)
    assert ground.most_cells == max(len(step.cells.elevation) for step in steps) < ground.cells.sum()


def test_rasters_stay_in_their_stores_where_they_do_not_fit(features: Any, patches: Path, raster_model: Any) -> None:
    net = raster_model.rasters[FORM_OF]
    stores = Store.all_in(patches, "patches_*.zarr", schema.PATCHES)
    within, beyond = (
        scene_in(features.open(), stores, net.form.targets, net.form.kernel, in_memory_bytes=most)
        for most in (2**31, 1000)
    )
    assert isinstance(within.surface, Surface)
    assert isinstance(beyond.surface, StreamedGround)
    some = np.arange(len(within.functionals))
    found, expected = (
        predict(net.own(0), net.form, each.functionals, some, each.surface, each.weather) for each in (beyond, within)
    )
    np.testing.assert_array_equal(found, expected)
