"""30 members x 32 folds on 1,000 rows: all networks together against the same trainings one after another.

Prints one JSON line. Both sides run `training.ensemble.fit` with the same rows, steps and epochs; the reference trains
some of the networks alone, one `fit` each, and its time is scaled to all of them (the trainings are alike).
`ratio_to_bare_loop` is against a harder reference: a bare loop in PyTorch without Lightning around it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time

import numpy as np
import torch

from glacierscale.models import mlp
from glacierscale.training import ensemble


def tables(rows: int, folds: int, members: int, predictors: int = 48) -> tuple[ensemble.Tables, np.ndarray]:
    """A smooth function of a few predictors with noise; fold k holds out every k-th run of rows."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, predictors)).astype(np.float32)
    truth = x[:, 0] - 0.5 * np.maximum(x[:, 1], 0) * x[:, 2] + 0.3 * x[:, 3]
    target = truth + 0.3 * rng.standard_normal(rows)
    fold = np.arange(rows) * folds // rows
    held_out = fold == np.arange(folds)[:, None]  # (fold, row)
    aside = rng.random((folds, members, rows)) < 0.25
    inside = ~held_out[:, None]
    made = ensemble.Tables(
        scaled=np.broadcast_to(x, (folds, *x.shape)),
        target=np.broadcast_to(target, (folds, rows)),
        weight=np.ones(rows),
        training=inside & ~aside,
        validation=inside & aside,
    )
    return made, held_out


def one(made: ensemble.Tables, fold: int, member: int) -> ensemble.Tables:
    """The tables of a single network."""
    return dataclasses.replace(
        made,
        scaled=made.scaled[[fold]],
        target=made.target[[fold]],
        training=made.training[[fold]][:, [member]],
        validation=made.validation[[fold]][:, [member]],
    )


def skill(
    made: ensemble.Tables, held_out: np.ndarray, parameters: dict[str, np.ndarray], hidden: tuple[int, ...]
) -> float:
    """RMSE of held-out rows, mean over the networks given."""
    folds = made.scaled.shape[0]
    net = mlp.MLP(parameters=parameters, hidden=hidden, scale=np.ones(folds))
    errors = []
    for fold in range(folds):
        error = net.members(fold, made.scaled[fold])[:, held_out[fold]] - made.target[fold][held_out[fold]]
        errors.append(np.sqrt((error**2).mean(axis=1)))
    return float(np.mean(errors))


def bare_loop(made: ensemble.Tables, fitting: ensemble.Fitting) -> None:
    """One network in plain PyTorch: the same network, optimiser, batches, epochs and choice of the best epoch."""
    x, y = torch.from_numpy(np.array(made.scaled[0])), torch.from_numpy(np.array(made.target[0], np.float32))
    train, stop = (torch.from_numpy(np.flatnonzero(mask[0, 0])) for mask in (made.training, made.validation))
    net = mlp.Network(x.shape[1], fitting.hidden)
    optimiser = torch.optim.AdamW(net.parameters(), lr=fitting.learning_rate, weight_decay=fitting.weight_decay)
    least, best = float("inf"), None
    for _ in range(fitting.epochs):
        for _ in range(-(-len(train) // fitting.batch_size)):
            rows = train[torch.randint(len(train), (fitting.batch_size,))]
            optimiser.zero_grad()
            ((net(x[rows]) - y[rows]) ** 2).mean().backward()
            optimiser.step()
        with torch.no_grad():
            loss = float(((net(x[stop]) - y[stop]) ** 2).mean())
        if loss < least:
            least, best = loss, {name: value.clone() for name, value in net.state_dict().items()}
    assert best is not None


def main(rows: int, folds: int, members: int, epochs: int, alone: int) -> dict[str, object]:
    """Time both sides and compare their skill."""
    made, held_out = tables(rows, folds, members)
    fitting = ensemble.Fitting(
        hidden=(32, 16), epochs=epochs, batch_size=32, learning_rate=3e-3, weight_decay=1e-2, patience=epochs, seed=0
    )
    ensemble.fit(one(made, 0, 0), dataclasses.replace(fitting, epochs=1))  # imports and first-call costs
    start = time.perf_counter()
    together = ensemble.fit(made, fitting)
    batched = time.perf_counter() - start

    chosen = [(k * folds // alone, k % members) for k in range(alone)]
    start = time.perf_counter()
    parts = [ensemble.fit(one(made, fold, member), fitting) for fold, member in chosen]
    one_by_one = (time.perf_counter() - start) / alone * folds * members
    start = time.perf_counter()
    for fold, member in chosen:
        bare_loop(one(made, fold, member), fitting)
    bare = (time.perf_counter() - start) / alone * folds * members

    at = [fold for fold, _ in chosen]
    own = {name: np.stack([together[name][f, m] for f, m in chosen])[:, None] for name in together}
    separate = {name: np.concatenate([part[name] for part in parts]) for name in together}
    subset = dataclasses.replace(made, scaled=made.scaled[at], target=made.target[at])
    return {
        "benchmark": "ensemble",
        "rows": rows,
        "networks": folds * members,
        "epochs": epochs,
        "batched_s": round(batched, 2),
        "reference": f"the same trainings one after another ({alone} timed, scaled to all)",
        "one_after_another_s": round(one_by_one, 2),
        "ratio": round(one_by_one / batched, 1),
        "bare_loop_s": round(bare, 2),
        "ratio_to_bare_loop": round(bare / batched, 1),
        "rmse_batched": round(skill(subset, held_out[at], own, fitting.hidden), 4),
        "rmse_one_after_another": round(skill(subset, held_out[at], separate, fitting.hidden), 4),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("rows", 1000), ("folds", 32), ("members", 30), ("epochs", 15), ("alone", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print(json.dumps(main(**vars(parser.parse_args()))))
