"""The feed: every item once, in an order that seed and epoch settle, from wherever it starts, however it is read."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import Crc32cCodec

from glacierscale import schema
from glacierscale.models import networks
from glacierscale.models.networks import Cells, Weather
from glacierscale.store import Store
from glacierscale.store.samples import Samples
from glacierscale.training.feed import Batch, Batches, Loader, Order, StreamedGround, ahead, feed, spread
from glacierscale.training.feed.holding import SHARDS_AHEAD

ROWS, PER_SHARD, YEARS, MONTHS = 50, 8, 3, 12
SIDE = 4


def values(channels: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (ROWS, channels, SIDE, SIDE)).astype(np.float32)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two variables."""
    folder = tmp_path_factory.mktemp("samples")
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    for name, channels in (("rasters", 3), ("radiation", 2)):
        array = group.create_array(
            name,
            shape=(ROWS, channels, SIDE, SIDE),
            dtype="float32",
            chunks=(1, channels, SIDE, SIDE),
            shards=(PER_SHARD, channels, SIDE, SIDE),
            compressors=[Crc32cCodec()],
        )
        array[...] = values(channels, channels)
    return folder


@pytest.fixture
def samples(place: Path) -> list[Samples]:
    return [Samples(place, "rasters"), Samples(place, "radiation")]


def weather(rows: int = ROWS) -> Weather:
    draw = torch.Generator().manual_seed(0)
    return Weather(
        temp=torch.randn(rows, YEARS, MONTHS, generator=draw),
        precip=100 * torch.rand(rows, YEARS, MONTHS, generator=draw),
        lapse=-6.5e-3 + 1e-3 * torch.randn(rows, MONTHS, generator=draw),
        height=1500 + 100 * torch.randn(rows, generator=draw),
    )


def same(some: Sequence[Batch], other: Sequence[Batch]) -> None:
    assert len(some) == len(other)
    for one, two in zip(some, other, strict=True):
        for name in ("row", "year", "rasters"):
            torch.testing.assert_close(getattr(one, name), getattr(two, name), rtol=0, atol=0)


def items_of(batches: Sequence[Batch]) -> list[tuple[int, int]]:
    return [item for batch in batches for item in zip(batch.row.tolist(), batch.year.tolist(), strict=True)]


# The order


@settings(deadline=None)
@given(
    count=st.integers(1, 200),
    ranks=st.integers(1, 5),
    batch=st.integers(1, 70),
    seed=st.integers(0, 3),
    shard=st.integers(0, 40),
)
def test_ranks_share_the_items_of_an_epoch_evenly_and_without_overlap(
    count: int, ranks: int, batch: int, seed: int, shard: int
) -> None:
    shards = tuple(range(0, count, shard)) if shard else ()
    orders = [
        Order(count=count, ranks=ranks, rank=rank, batch=batch, seed=seed, shards=shards) for rank in range(ranks)
    ]
    parts = [order.items(1) for order in orders]
    together = np.concatenate(parts)
    each = -(-count // ranks)
    assert {len(part) for part in parts} == {each}
    times = np.bincount(together, minlength=count)
    assert times.min() >= 1
    assert times.sum() - count == each * ranks - count < ranks
    for order, part in zip(orders, parts, strict=True):
        cut = [order.batch_of(part, number) for number in range(len(order))]
        np.testing.assert_array_equal(np.concatenate(cut), part)
        assert all(len(some) == batch for some in cut[:-1])
        assert 1 <= len(cut[-1]) <= batch
        np.testing.assert_array_equal(part, order.items(1))


@pytest.mark.parametrize("shards", [(), tuple(range(0, 1000, 50))], ids=["exact", "shards"])
def test_epochs_and_seeds_differ_and_the_same_ones_do_not(shards: tuple[int, ...]) -> None:
    orders = [Order(count=1000, seed=seed, shards=shards).items(epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order.tolist()) for order in orders}) == 4
    np.testing.assert_array_equal(orders[3], Order(count=1000, seed=1, shards=shards).items(1))


def test_the_first_rank_mixes_with_other_numbers_than_those_that_order_the_shards() -> None:
    shards = tuple(range(0, 1000, 10))
    order = np.array([Order(count=1000, seed=seed, shards=shards).items(0) for seed in range(300)])
    generators = [np.random.default_rng([seed, 0]) for seed in range(300)]
    runs = [np.concatenate([np.arange(10 * n, 10 * n + 10) for n in rng.permutation(100)]) for rng in generators]
    late = [np.random.default_rng([seed, 0]).uniform(0, 40, 1000) for seed in range(300)]
    padded = [run[np.argsort(np.arange(1000) + away, kind="stable")] for run, away in zip(runs, late, strict=True)]
    assert (order == np.array(padded)).all(axis=1).sum() == 0


def test_an_exact_shuffle_puts_every_item_anywhere() -> None:
    at = np.array([np.argsort(Order(count=40, seed=seed).items(0)) for seed in range(2000)])  # (draw, item)
    assert abs(at.mean(axis=0) - 19.5).max() < 1.2  # four standard errors
    assert np.corrcoef(at[:, 3], at[:, 4])[0, 1] < 0.1  # neighbours do not stay together


def test_with_shards_items_of_a_few_shards_mix_and_each_shard_is_passed_once() -> None:
    starts = tuple(range(0, 4000, 100))
    order = Order(count=4000, shards=starts, buffer_shards=4)
    shard = order.items(0) // 100
    first, last = (np.array([found[number] for number in range(40)]) for found in _uses(shard))
    assert (last - first).max() < 6 * 100  # as long as the shard itself, what it mixes with, and no longer
    held = [int(((first <= at) & (at <= last)).sum()) for at in range(0, 4000, 50)]
    assert max(held) <= 7
    assert np.mean(shard[1:] != shard[:-1]) > 0.6  # neighbours come from different shards


def _uses(shard: np.ndarray) -> tuple[dict[int, int], dict[int, int]]:
    last = {int(number): at for at, number in enumerate(shard)}
    return {int(number): len(shard) - 1 - at for at, number in enumerate(shard[::-1])}, last


def test_ranks_read_shards_of_their_own_but_for_those_on_their_borders() -> None:
    starts = tuple(range(0, 3900, 100))
    own = [set((Order(count=3900, shards=starts, rank=r, ranks=3).items(5) // 100).tolist()) for r in range(3)]
    shared = [len(a & b) for a, b in ((own[0], own[1]), (own[1], own[2]), (own[0], own[2]))]
    assert max(shared) <= 1
    assert sum(map(len, own)) <= 39 + 2


def test_nonsense_is_refused() -> None:
    for wrong, words in (
        ({"rank": 2, "ranks": 2}, "rank 2 of 2 ranks; expected 0 to 1"),
        ({"batch": 0}, "at least one of each"),
        ({"shards": (0, 30, 20)}, "expected ascending numbers from 0 to 100"),
        ({"shards": (10, 30)}, "expected ascending numbers from 0 to 100"),
    ):
        with pytest.raises(ValueError, match=words):
            Order(count=100, **wrong)  # type: ignore[arg-type]


# Batches


@pytest.mark.parametrize("in_shards", [False, True])
def test_batches_hold_what_is_stored_variables_one_after_the_other(samples: list[Samples], in_shards: bool) -> None:
    batches = list(feed(samples, batch=16, in_shards=in_shards))
    stored = np.concatenate([values(3, 3), values(2, 2)], axis=1)
    assert sorted(row for row, _ in items_of(batches)) == list(range(ROWS))
    assert [len(batch.row) for batch in batches] == [16, 16, 16, 2]
    for batch in batches:  # all are held, so that none may share memory with another
        np.testing.assert_array_equal(batch.rasters.numpy(), stored[batch.row.numpy()])


def test_memory_of_batches_is_used_again_when_they_are_gone_and_never_before(samples: list[Samples]) -> None:
    loader = feed(samples[:1], batch=5, ahead=0)
    seen, kept = set(), None
    for number, batch in enumerate(loader):
        seen.add(batch.rasters.data_ptr())
        if number == 2:
            kept, expected = batch.rasters[1:3, 0].numpy(), batch.rasters[1:3, 0].clone()
    assert number == 9
    assert len(seen) <= 4
    assert kept is not None
    np.testing.assert_array_equal(kept, expected.numpy())  # a slice keeps the whole batch alive


@pytest.mark.parametrize("in_shards", [False, True])
def test_only_the_wanted_rows_come_with_the_climate_of_their_year(samples: list[Samples], in_shards: bool) -> None:
    rows = np.array([1, 2, 9, 30, 31, 44, 49])
    climate = weather(len(rows))
    batches = list(feed(samples, batch=4, rows=rows, weather=climate, in_shards=in_shards))
    assert sorted(items_of(batches)) == [(row, year) for row in rows.tolist() for year in range(YEARS)]
    for batch in batches:
        place = np.searchsorted(rows, batch.row.numpy())
        assert batch.weather is not None
        torch.testing.assert_close(batch.weather.temp, climate.temp[place, batch.year], rtol=0, atol=0)
        torch.testing.assert_close(batch.weather.precip, climate.precip[place, batch.year], rtol=0, atol=0)
        torch.testing.assert_close(batch.weather.lapse, climate.lapse[place], rtol=0, atol=0)
        torch.testing.assert_close(batch.weather.height, climate.height[place], rtol=0, atol=0)


def test_climate_spread_on_arrival_and_on_the_device_is_that_of_the_networks(samples: list[Samples]) -> None:
    climate = weather()
    late = [batch.spread(1) for batch in feed(samples, batch=16, weather=climate)]
    early = list(feed(samples, batch=16, weather=climate, elevation_channel=1))
    same(early, late)
    batch, stored = early[0], values(3, 3)
    assert batch.rasters.shape == (16, 5 + 2 * MONTHS, SIDE, SIDE)
    assert batch.weather is None
    for number, (row, year) in enumerate(items_of([batch])):
        height = torch.from_numpy(stored[row, 1].reshape(-1))
        none = torch.zeros(len(height))
        cells = Cells(
            context=none, elevation=height, mean_elevation=none, radiation=none, outline=none.long(), unit=none.long()
        )
        one = climate.take([row], [year])
        temp, precip = networks.spread(cells, one)  # (cell, year, month)
        found = batch.rasters[number, 5:].reshape(2, MONTHS, -1)
        torch.testing.assert_close(found[0], temp[:, 0].T, rtol=3e-7, atol=2e-6)  # rounded once, not twice
        torch.testing.assert_close(found[1], precip[:, 0].T, rtol=0, atol=0)


def test_spread_climate_cools_by_the_lapse_rate_above_the_reference_height() -> None:
    found = spread(
        torch.tensor([[[1000.0, 2000.0]]]),
        Weather(
            temp=torch.tensor([[10.0, 5.0]]),
            precip=torch.tensor([[80.0, 20.0]]),
            lapse=torch.tensor([[-6e-3, -5e-3]]),
            height=torch.tensor([1500.0]),
        ),
        out=torch.empty(1, 4, 1, 2),
    )
    torch.testing.assert_close(found[0, :, 0], torch.tensor([[13.0, 7.0], [7.5, 2.5], [80.0, 80.0], [20.0, 20.0]]))


# Loading


@pytest.mark.parametrize(
    ("workers", "context", "in_shards"), [(1, "fork", True), (2, "fork", False), (2, "fork", True), (2, "spawn", False)]
)
def test_batches_do_not_depend_on_how_many_processes_make_them(
    samples: list[Samples], workers: int, context: Any, in_shards: bool
) -> None:
    given = {"batch": 7, "weather": weather(), "in_shards": in_shards, "seed": 3}
    expected = list(feed(samples, **given))  # files and threads of this process are in use before the others start
    same(list(feed(samples, workers=workers, context=context, **given)), expected)


@pytest.mark.parametrize("in_shards", [False, True])
@pytest.mark.parametrize("ahead_of_it", [0, 3])
def test_a_feed_continues_inside_an_epoch_as_if_nothing_had_happened(
    samples: list[Samples], in_shards: bool, ahead_of_it: int
) -> None:
    given: dict[str, Any] = {"batch": 9, "in_shards": in_shards, "ahead": ahead_of_it}
    whole = feed(samples, **given)
    expected = [*whole, *whole]
    stopped = feed(samples, **given)
    begun = iter(stopped)
    first = [next(begun) for _ in range(4)]
    state = stopped.state_dict()
    assert state == {"epoch": 0, "batch": 4}
    begun.close()  # type: ignore[attr-defined]
    later = feed(samples, **given)
    later.load_state_dict(state)
    same([*first, *later, *later], expected)
    assert later.state_dict() == {"epoch": 2, "batch": 0}
    same(list(feed(samples, start=(1, 5), **given)), expected[6 + 5 :])
    same(list(stopped), expected[4:6])  # the stopped one too goes on where it was left


def test_a_feed_continues_with_workers(samples: list[Samples]) -> None:
    expected = list(feed(samples, batch=9))
    same(list(feed(samples, batch=9, workers=2, start=(0, 3))), expected[3:])


def test_with_shards_only_a_few_are_in_memory_and_each_is_fetched_once(
    samples: list[Samples], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[int] = []
    monkeypatch.setattr(Samples, "fetch", _counting(Samples.fetch, fetched))
    rows = np.arange(ROWS)
    order = Order(count=ROWS, batch=4, shards=tuple(range(0, ROWS, PER_SHARD)), buffer_shards=1)
    batches = Batches(samples[:1], order, rows=rows)
    assert len(list(Loader(batches))) == 13
    assert sorted(fetched) == list(range(7))
    plan = batches._planned(0)
    assert plan.most <= 3 + SHARDS_AHEAD
    assert plan.most < 7


def _counting(original: Any, calls: list[int]) -> Any:
    def counted(self: Samples, number: int) -> Any:
        calls.append(number)
        return original(self, number)

    return counted


def test_what_is_made_ahead_ends_and_fails_where_the_original_does() -> None:
    assert list(ahead(iter(range(7)), 3)) == list(range(7))
    assert list(ahead(iter([]), 3)) == []

    def broken() -> Any:
        yield 1
        raise OSError("the disk is gone")

    made = ahead(broken(), 2)
    assert next(made) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(made)


def test_batches_move_to_a_device_with_all_they_hold(samples: list[Samples]) -> None:
    batch = next(iter(feed(samples, weather=weather(), batch=3)))
    moved = batch.to("meta")
    assert moved.weather is not None
    found = [moved.row, moved.year, moved.rasters, *vars(moved.weather).values()]
    assert {value.device.type for value in found} == {"meta"}


def test_memory_is_pinned_only_where_there_is_a_gpu(samples: list[Samples]) -> None:
    assert feed(samples, pin_memory=True).pin_memory == torch.cuda.is_available()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_pinned_batches_reach_the_gpu_unchanged(samples: list[Samples]) -> None:
    plain = list(feed(samples, weather=weather(), batch=7))
    pinned = list(feed(samples, weather=weather(), batch=7))
    assert all(batch.rasters.is_pinned() for batch in pinned)
    same([batch.to("cuda").spread(1).to("cpu") for batch in pinned], [batch.spread(1) for batch in plain])


def test_variables_that_do_not_fit_together_are_refused(samples: list[Samples]) -> None:
    with pytest.raises(ValueError, match="an order of 49 items for 50 rows and 1 years"):
        Batches(samples, Order(count=49), rows=np.arange(ROWS))


# Ground that stays in its stores


@pytest.fixture(scope="module")
def streamed(patches: Path, scene: Any) -> StreamedGround:
    stores = Store.all_in(patches, "patches_*.zarr", schema.PATCHES)
    rows = [np.flatnonzero(np.isin(store.open().feature_row.values, scene.surface.feature_row)) for store in stores]
    return StreamedGround(stores, rows, scene.reference_elevation, kernel=1)


def test_cells_read_from_stores_are_those_in_memory_bit_by_bit(streamed: StreamedGround, scene: Any) -> None:
    surface, count = scene.surface, len(scene.surface.unit_id)
    assert count >= 3
    np.testing.assert_array_equal(streamed.unit_id, surface.unit_id)
    np.testing.assert_array_equal(streamed.feature_row, surface.feature_row)
    np.testing.assert_array_equal(streamed.cells, np.bincount(surface.outline, minlength=count))
    for outlines in ([0], [count - 1], [0, count - 1], range(count)):
        found, expected = streamed.take(np.array(outlines)), surface.take(np.array(outlines))
        for field in dataclasses.fields(expected):
            np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name), err_msg=field.name)
            assert getattr(found, field.name).dtype == getattr(expected, field.name).dtype


def test_observations_find_their_cells_without_what_is_heavy_in_them(
    streamed: StreamedGround, scene: Any, features: Any
) -> None:
    from glacierscale.models.functionals import functionals_of, table_of

    dataset = features.open()
    bare = streamed.outlined()
    assert bare.context.nbytes == bare.radiation.nbytes == 0
    table = table_of(dataset, tuple(np.unique(scene.functionals.kind)))
    years, hemisphere = dataset.hydro_year.values, dataset.attrs["hemisphere"]
    found, expected = (functionals_of(table, ice, years, hemisphere) for ice in (bare, scene.surface))
    assert len(found) > 10
    np.testing.assert_array_equal(found.space.toarray(), expected.space.toarray())
    np.testing.assert_array_equal(found.place, expected.place)


def test_what_is_in_memory_grows_with_the_step_and_not_with_the_glaciers(streamed: StreamedGround) -> None:
    count = len(streamed.unit_id)
    streamed.most_cells = 0
    for outline in range(count):
        streamed.take(np.array([outline]))
    assert streamed.most_cells == streamed.cells.max() < streamed.cells.sum()
    held = [value for value in vars(streamed).values() if isinstance(value, np.ndarray)]
    assert all(len(value) == count for value in held)  # nothing else grows, and this by some bytes for each glacier
    rest = [stored.rest for stored in streamed._stored]
    assert all(set(part.dims) & {"y", "x"} == set() for part in rest)
    copy = pickle.loads(pickle.dumps(streamed))
    np.testing.assert_array_equal(copy.take(np.array([0])).context, streamed.take(np.array([0])).context)
