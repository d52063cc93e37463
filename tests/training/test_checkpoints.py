"""Checkpoints: found whoever saved them, refused when damaged, and gone when the model is there."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glacierscale import compute, provenance
from glacierscale.training import checkpoints, ensemble, loop, raster_task
from glacierscale.training.checkpoints import Checkpoints, Pace, State, Watch
from glacierscale.training.options import TrainOptions
from glacierscale.training.shares import Share, deal, whole

STAMP = provenance.Stamp(verb="train", options={"seed": 1}, inputs={}, version="1")
NAMES = ("cpdd_anomaly", "winter_snow_anomaly", "slope20", "area")
QUICK = TrainOptions(hold_out=("logo",), members=2, epochs=4, hidden=(4,), predictors=NAMES)


def kept(folder: Path, **given: Any) -> Checkpoints:
    return dataclasses.replace(Checkpoints.below(folder, STAMP, "mlp"), **given)


def state_of(share: Share, step: int, *, done: bool = False) -> State:
    """Numbers that tell network and step."""
    number = np.arange(share.start, share.stop)
    return State(step=step, arrays={"a": number * 1000 + step, "b": np.stack([number, number], 1) / 7}, done=done)


@settings(deadline=None, max_examples=40)
@given(networks=st.integers(1, 9), before=st.integers(1, 9), after=st.integers(1, 9), late=st.integers(0, 8))
def test_however_networks_were_dealt_out_before_all_are_found_at_one_step(
    networks: int, before: int, after: int, late: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = kept(tmp_path_factory.mktemp("kept"))
    shares = [share for share in deal(networks, before, divisible=False) if share.count]
    for number, share in enumerate(shares):
        place.save(share, state_of(share, 4))
        if number != late % len(shares):  # one process is behind
            place.save(share, state_of(share, 8))
    for share in deal(networks, after, divisible=False):
        if not share.count:
            continue
        found = place.load(share)
        assert found is not None
        behind = shares[late % len(shares)]
        ahead = behind.start >= share.stop or behind.stop <= share.start
        expected = state_of(share, 8 if ahead else 4)
        assert found.step == expected.step
        np.testing.assert_array_equal(found.arrays["a"], expected.arrays["a"])
        np.testing.assert_array_equal(found.arrays["b"], expected.arrays["b"])


def test_networks_that_are_done_stand_for_any_later_step(tmp_path: Path) -> None:
    place, (first, second) = kept(tmp_path), deal(4, 2, divisible=False)
    place.save(first, state_of(first, 3, done=True))
    place.save(second, state_of(second, 16))
    found = place.load(whole(4))
    assert found is not None
    assert (found.step, found.done) == (16, False)
    assert found.arrays["a"].tolist() == [3, 1003, 2016, 3016]
    place.save(second, state_of(second, 20, done=True))
    found = place.load(whole(4))
    assert found is not None
    assert (found.step, found.done) == (20, True)


def test_what_all_networks_have_left_behind_is_removed(tmp_path: Path) -> None:
    place, (first, second) = kept(tmp_path), deal(4, 2, divisible=False)
    for step in (2, 4, 6):
        place.save(first, state_of(first, step))
    assert len(list(tmp_path.rglob("*.json"))) == 3  # the other process may still ask for any of them
    for step in (4, 6):
        place.save(second, state_of(second, step))
    place.save(first, state_of(first, 8))
    steps = sorted(path.name[7:-5] for path in tmp_path.rglob("*.json"))
    assert steps == ["04-0-2", "04-2-4", "06-0-2", "06-2-4", "08-0-2"]


def test_a_process_by_itself_keeps_the_last_checkpoint_but_one_should_the_last_be_damaged(tmp_path: Path) -> None:
    for step in (2, 4, 6):
        kept(tmp_path).save(whole(3), state_of(whole(3), step))
    assert len(list(tmp_path.rglob("*.json"))) == 2
    (tensors,) = tmp_path.rglob("000000006*.safetensors")
    tensors.write_bytes(b"")
    found = kept(tmp_path).load(whole(3))
    assert found is not None
    assert found.step == 4


def test_what_a_killed_write_left_is_removed_with_the_checkpoints(tmp_path: Path) -> None:
    kept(tmp_path).save(whole(2), state_of(whole(2), 4))
    (file,) = tmp_path.rglob("*.json")
    file.with_name(file.name + "#1").write_bytes(b"half")
    checkpoints.clear(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["flip", "truncate", "no json", "half a json", "other networks"])
def test_a_damaged_checkpoint_is_told_and_the_one_before_is_taken(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = kept(tmp_path)
    one, other = deal(4, 2, divisible=False)
    place.save(one, state_of(one, 4))
    place.save(one, state_of(one, 8))
    (json_file,), (tensors,) = tmp_path.rglob("000000008*.json"), tmp_path.rglob("000000008*.safetensors")
    data = tensors.read_bytes()
    if damage == "flip":
        tensors.write_bytes(data[:-3] + bytes([data[-3] ^ 4]) + data[-2:])
    elif damage == "truncate":
        tensors.write_bytes(data[:-8])
    elif damage == "no json":
        json_file.unlink()  # the process ended between the two
    elif damage == "half a json":
        json_file.write_text(json_file.read_text()[:-9])
    else:
        json_file.write_text(json.dumps({**json.loads(json_file.read_text()), "networks": 5}))
    found = place.load(one)
    assert found is not None
    assert found.step == 4
    assert ("does not have the checksum" in caplog.text) == (damage != "no json")
    assert place.load(other) is None


def test_checkpoints_of_another_training_are_not_seen_but_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = provenance.Stamp(verb="train", options={"seed": 2}, inputs={}, version="1")
    checkpoints.tell_of_others(tmp_path, STAMP)
    kept(tmp_path).save(whole(2), state_of(whole(2), 4))
    checkpoints.tell_of_others(tmp_path, STAMP)
    assert caplog.text == ""
    assert Checkpoints.below(tmp_path, other, "mlp").load(whole(2)) is None
    assert kept(tmp_path, net="hybrid").load(whole(2)) is None
    checkpoints.tell_of_others(tmp_path, other)
    assert (
        "holds checkpoints of an unfinished training with other options or inputs; they are left alone" in caplog.text
    )
    checkpoints.clear(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_steps_to_save_at_are_common_to_fast_and_slow_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    due = {}
    for each in (0.9, 2.5, 40.0):
        clock = iter(np.arange(0, 1e5, each))
        monkeypatch.setattr("glacierscale.training.checkpoints.time.monotonic", lambda clock=clock: float(next(clock)))
        pace = Pace(0)
        due[each] = [step for step in range(1, 129) if pace.due(step)]
    assert due[0.9] == [64, 128]  # 30 s, rounded up to a power of two
    assert due[2.5] == list(range(16, 129, 16))
    assert due[40.0] == list(range(1, 129))


def test_only_the_first_of_those_that_share_networks_saves(tmp_path: Path) -> None:
    for share in deal(1, 2, divisible=True):
        Watch(share, kept(tmp_path), lambda step, loss: None).after(
            5, lambda: {"a": np.ones(1)}, done=True, terminated=False
        )
        assert len(list(tmp_path.rglob("*.json"))) == 1


def test_a_request_to_end_saves_first_and_says_how_to_go_on(tmp_path: Path) -> None:
    watch = Watch(whole(2), kept(tmp_path), lambda step, loss: None)
    with pytest.raises(compute.Terminated, match="asked to end after step 5; run the command again"):
        watch.after(5, lambda: state_of(whole(2), 5).arrays, done=False, terminated=True)
    found = watch.resume()
    assert found is not None
    assert (found.step, found.done) == (5, False)


def test_a_training_interrupted_between_nets_keeps_those_that_are_done_and_ends_with_the_same_files(
    features: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.train(features, to=tmp_path / "whole", options=QUICK)
    with monkeypatch.context() as patched:
        patched.setattr(ensemble, "train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            loop.train(features, to=tmp_path / "model", options=QUICK)
    assert not (tmp_path / "model" / "model.json").exists()
    assert (tmp_path / "model" / "checkpoints").is_dir()
    with monkeypatch.context() as patched:
        patched.setattr("glacierscale.models.lasso.fit", interrupted)  # it is known
        loop.train(features, to=tmp_path / "model", options=QUICK)
    files = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == files
    assert set(files) == {"model.json", "weights.safetensors"}


def test_raster_networks_that_are_done_are_not_trained_again(
    features: Any, patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = dataclasses.replace(
        QUICK, nets=("hybrid",), hold_out=("logo",), raster_members=1, steps=2, kernel=1, cell_years=2000
    )
    loop.train(features, to=tmp_path / "whole", patches=patches, options=options)
    with monkeypatch.context() as patched:
        patched.setattr("glacierscale.models.bundle.SMBModel.save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            loop.train(features, to=tmp_path / "model", patches=patches, options=options)
    with monkeypatch.context() as patched:
        patched.setattr(raster_task.RasterTask, "training_step", interrupted)
        loop.train(features, to=tmp_path / "model", patches=patches, options=options)
    for name in ("model.json", "weights.safetensors"):
        assert (tmp_path / "model" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def interrupted(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt
