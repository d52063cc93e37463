"""All networks trained together: alone in what they learn, and blind to rows that are not theirs."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from glacierscale.models import mlp
from glacierscale.training import ensemble
from glacierscale.training.checkpoints import Watch
from glacierscale.training.ensemble import Fitting, Tables
from glacierscale.training.shares import Machine, Share, whole

FITTING = Fitting(hidden=(6,), epochs=8, batch_size=16, learning_rate=1e-2, weight_decay=1e-2, patience=100, seed=0)
TEST = slice(0, 20)  # row 0 is a test row: lists of rows are padded


def tables(folds: int = 2, members: int = 2, rows: int = 120, seed: int = 0) -> Tables:
    rng = np.random.default_rng(seed)
    scaled = rng.normal(size=(folds, rows, 3)).astype(np.float32)
    target = 2 * scaled[..., 0] - scaled[..., 1] + 0.1 * rng.normal(size=(folds, rows))
    validation = rng.uniform(size=(folds, members, rows)) < 0.25
    validation[..., TEST] = False
    training = ~validation
    training[..., TEST] = False
    return Tables(
        scaled=scaled, target=target, weight=rng.uniform(0.5, 1.5, rows), training=training, validation=validation
    )


def answers(parameters: dict[str, np.ndarray], fold: int, x: np.ndarray, hidden: tuple[int, ...] = (6,)) -> np.ndarray:
    return mlp.MLP(parameters=parameters, hidden=hidden, scale=np.ones(9)).members(fold, x)


def test_a_linear_target_is_learned_by_every_network() -> None:
    t = tables()
    found = ensemble.fit(t, dataclasses.replace(FITTING, epochs=40), accelerator="cpu")
    for fold in range(2):
        told = answers(found, fold, t.scaled[fold])[:, TEST]
        assert np.mean((told - t.target[fold, TEST]) ** 2) < 0.1 * t.target.var()


def test_whatever_the_test_rows_hold_the_networks_are_the_same() -> None:
    t = tables()
    target, scaled, weight = t.target.copy(), t.scaled.copy(), t.weight.copy()
    target[:, TEST], scaled[:, TEST], weight[TEST] = 1e30, -1e20, 1e9
    planted = dataclasses.replace(t, target=target, scaled=scaled, weight=weight)
    before, after = (ensemble.fit(x, FITTING, accelerator="cpu") for x in (t, planted))
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)


def test_a_network_among_others_takes_the_steps_it_takes_alone() -> None:
    t = tables(folds=4, members=1)
    first = np.broadcast_to(
        t.scaled[:, 30:31], t.scaled.shape
    )  # all rows of a network alike, so every draw is the same
    alike = dataclasses.replace(
        t, scaled=first, target=np.broadcast_to(t.target[:, 30:31], t.target.shape), weight=np.ones(120)
    )
    alone = Tables(
        scaled=alike.scaled[:1],
        target=alike.target[:1],
        weight=alike.weight,
        training=alike.training[:1],
        validation=alike.validation[:1],
    )
    together, single = (ensemble.fit(x, FITTING, accelerator="cpu") for x in (alike, alone))
    for name, value in single.items():
        np.testing.assert_allclose(together[name][0], value[0], rtol=1e-5, atol=1e-6)
        assert together[name].shape[:2] == (4, 1)


def test_the_epoch_with_the_least_validation_loss_is_kept() -> None:
    t = tables()
    target = np.where(t.validation[:, 0], 0, 5.0)  # all that is learned makes the validation worse
    same = dataclasses.replace(
        t, target=target, validation=t.validation[:, :1].repeat(2, 1), training=t.training[:, :1].repeat(2, 1)
    )
    found = ensemble.fit(same, FITTING, accelerator="cpu")
    np.testing.assert_array_equal(answers(found, 0, t.scaled[0]), 0)


def test_training_stops_when_nothing_improves() -> None:
    t = tables()
    target = np.where(t.validation[:, 0], 0, 5.0)
    same = dataclasses.replace(
        t, target=target, validation=t.validation[:, :1].repeat(2, 1), training=t.training[:, :1].repeat(2, 1)
    )
    hopeless = dataclasses.replace(FITTING, epochs=100_000, patience=3)
    ensemble.fit(same, hopeless, accelerator="cpu")  # would take an hour otherwise


@pytest.mark.parametrize("bounds", [[0, 1, 6], [0, 2, 3, 6]])
@pytest.mark.parametrize("patience", [3, 100])
def test_networks_trained_in_shares_are_those_trained_at_once_bit_for_bit(bounds: list[int], patience: int) -> None:
    t = tables(folds=3, members=2)
    t.training[0, :, 60:] = False  # fewer rows than others, so fewer steps would see them all
    fitting = dataclasses.replace(FITTING, epochs=12, patience=patience)
    whole, parts = (trained_in_shares(t, fitting, cut) for cut in ([0, 6], bounds))
    for name, value in whole.items():
        np.testing.assert_array_equal(parts[name], value, err_msg=name)


def trained_in_shares(t: Tables, fitting: Fitting, bounds: list[int]) -> dict[str, np.ndarray]:
    """Networks trained between bounds, one share after another."""
    found = []
    for start, stop in pairwise(bounds):
        share = Share(start=start, stop=stop, of=t.training[..., 0].size)
        watch = Watch(share, None, lambda step, loss: None)
        found.append(ensemble.train(t, fitting, share, Machine(accelerator="cpu", threads=1), watch))
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def test_a_network_whose_patience_is_used_up_keeps_its_weights_while_others_go_on() -> None:
    t = tables(folds=2, members=1)
    target = t.target.copy()
    target[0] = np.where(t.validation[0, 0], 0, 5.0)  # the first network only becomes worse
    mixed = dataclasses.replace(t, target=target)
    told: list[int] = []
    losses: list[float] = []

    def note(step: int, loss: float) -> None:
        told.append(step)
        losses.append(loss)

    found = ensemble.fit(mixed, dataclasses.replace(FITTING, epochs=30, patience=3), accelerator="cpu", on_step=note)
    np.testing.assert_array_equal(answers(found, 0, t.scaled[0]), 0)
    assert told == list(range(1, len(told) + 1))
    assert len(told) > 10 * ensemble.steps_of(mixed, FITTING)
    assert losses == sorted(losses, reverse=True)  # the best so far, on rows left out
    assert losses[-1] < losses[0]
    assert np.abs(answers(found, 1, t.scaled[1])).mean() > 0.5


def test_networks_that_are_done_take_no_more_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    t = tables(folds=2, members=2)
    target, counts, forward = t.target.copy(), [], mlp.forward
    target[0] = np.where(t.training[0].all(axis=0), 5.0, 0)  # the networks of the first fold only become worse

    def counted(parameters: dict[str, Any], hidden: tuple[int, ...], x: Any) -> Any:
        counts.append(len(x))
        return forward(parameters, hidden, x)

    monkeypatch.setattr(mlp, "forward", counted)
    mixed, fitting = dataclasses.replace(t, target=target), dataclasses.replace(FITTING, epochs=12, patience=3)
    trained_in_shares(mixed, fitting, [0, 4])
    assert counts == sorted(counts, reverse=True)
    assert (counts[0], counts[-1]) == (4, 2)


def test_random_rows_of_a_network_do_not_depend_on_its_share() -> None:
    every = ensemble.draws(3, 7, Share(start=0, stop=5, of=5), 10)
    assert every.shape == (5, 10)
    assert (every >= 0).all()
    assert (every < 1).all()
    np.testing.assert_array_equal(ensemble.draws(3, 7, Share(start=2, stop=4, of=5), 10), every[2:4])
    for other in (ensemble.draws(4, 7, Share(start=0, stop=5, of=5), 10), ensemble.draws(3, 8, whole(5), 10)):
        assert not np.intersect1d(other, every).size


def test_the_seed_decides_all() -> None:
    t = tables()
    a, b, c = (ensemble.fit(t, dataclasses.replace(FITTING, seed=s), accelerator="cpu") for s in (1, 1, 2))
    name = "layers.0.weight"
    np.testing.assert_array_equal(a[name], b[name])
    assert (a[name] != c[name]).any()


def test_rows_of_no_weight_are_not_learned() -> None:
    t = tables()
    wrong = np.arange(120) % 2 == 1
    target = np.where(wrong, -10 * t.target, t.target)
    found = ensemble.fit(
        dataclasses.replace(t, target=target, weight=np.where(wrong, 0.0, 1.0)),
        dataclasses.replace(FITTING, epochs=40),
        accelerator="cpu",
    )
    told = answers(found, 1, t.scaled[1])[:, TEST]
    assert np.corrcoef(told[0], t.target[1, TEST])[0, 1] > 0.9


def test_a_loss_that_is_not_finite_is_an_error_that_says_how_many_and_why() -> None:
    t = tables()
    scaled = t.scaled.copy()
    scaled[1, np.flatnonzero(t.validation[1, 0])[0]] = np.nan
    with pytest.raises(FloatingPointError, match=r"the loss of . networks is not finite; lower"):
        ensemble.fit(dataclasses.replace(t, scaled=scaled), FITTING, accelerator="cpu")
