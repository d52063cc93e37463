"""Training on ground that stays in its stores gives the tensors of ground in memory, bit by bit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
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


def lesson_of(scene: Scene, form: Any) -> Lesson:
    seen = scene.functionals
    weight = np.tile(seen.counts, (2, 1)).astype(np.float32)
    return Lesson(form=form, surface=scene.surface, weather=scene.weather, functionals=seen, weight=weight)


def steps_of(scene: Scene, form: Any, count: int, **given: int) -> Sequence[Step]:
    smallest = int(scene.surface.cells.min())
    return list(islice(Feed(lesson_of(scene, form), smallest, 0, **given), count))


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


def test_more_pieces_than_glaciers_leave_some_empty_and_are_the_same_bit_by_bit(
    scene: Scene, streamed: Scene, raster_model: Any
) -> None:
    form, empty = raster_model.rasters[FORM_OF].form, 0
    seen = scene.functionals
    periods = replace(seen, first_year=seen.first_year - 1)  # whose years stay together: steps are cut by glaciers
    for piece in range(3):
        both = (replace(some, functionals=periods) for some in (streamed, scene))
        found, expected = (steps_of(some, form, 12, piece=piece, pieces=3) for some in both)
        for one, two in zip(found, expected, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(two), strict=True))
            empty += len(one.cells.elevation) == 0
    assert empty


def test_steps_are_read_by_a_thread_that_ends_with_them(streamed: Scene, raster_model: Any) -> None:
    steps = iter(Feed(lesson_of(streamed, raster_model.rasters[FORM_OF].form), 100, 0))
    next(steps)
    assert sum(thread.name.startswith("ahead") for thread in threading.enumerate()) == 1
    del steps
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


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


def test_what_is_held_in_memory_is_never_more_than_the_limit(features: Any, patches: Path, raster_model: Any) -> None:
    form, stores = raster_model.rasters[FORM_OF].form, Store.all_in(patches, "patches_*.zarr", schema.PATCHES)
    whole = scene_in(features.open(), stores, form.targets, 5).surface
    assert isinstance(whole, Surface)
    held = sum(getattr(whole, f.name).nbytes for f in fields(whole))
    scene = scene_in(features.open(), stores, form.targets, 5, in_memory_bytes=held - 1)
    assert isinstance(scene.surface, StreamedGround)


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
