"""Stage 6, evaluate: model + observations -> held-out predictions and scores, nulls beside every one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from glacierscale import folds, metrics, provenance, schema
from glacierscale.models import nulls, scaling
from glacierscale.models.bundle import SMBModel, fold_weights
from glacierscale.models.rows import TOPOGRAPHY, Rows, observed_rows
from glacierscale.store import Store

if TYPE_CHECKING:
    import pandas as pd

    Scores = pd.DataFrame

Floats = npt.NDArray[np.floating]
_FEW_GLACIERS = 8


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """How scores are made."""

    draws: int = 2000
    """Resamples of the block bootstrap."""
    block_years: int = 5
    """Years that are resampled together; where glaciers are held out and there are eight or more, glaciers are."""
    seed: int = 0
    """Seed of the bootstrap."""

    def __post_init__(self) -> None:
        if self.draws < 100 or self.block_years < 1:
            raise ValueError(f"draws is {self.draws}, block_years {self.block_years}; expected at least 100 and 1.")


def evaluate(
    model: SMBModel | str | Path,
    features: str | Path | Store,
    *,
    to: str | Path,
    options: EvaluateOptions = EvaluateOptions(),
) -> Scores:
    """Score held-out predictions of every scheme and model.

    Parameters
    ----------
    model : SMBModel, str or Path
        A model or its folder.
    features : str, Path or Store
        The features it was trained on.
    to : str or Path
        Folder for ``predictions.parquet`` (scheme, model, fold, glacier_id, hydro_year, observed, predicted, std;
        kg m-2), ``scores.parquet`` (scheme, model, metric, value, low, high, n), ``scores_by_group.parquet`` (the same
        per fold and per glacier) and, for a Lasso, ``coefficients.parquet``.
    options : EvaluateOptions
        How.

    Returns
    -------
    pandas.DataFrame
        The scores.

    Raises
    ------
    ValueError
        If the features hold other observations than the model was trained on.
    LeakError
        If a fold of the model trains on what it claims to hold out.
    """
    import pandas as pd

    model = model if isinstance(model, SMBModel) else SMBModel.load(model)
    store = Store.at(features, schema.FEATURES)
    stamp = provenance.Stamp(
        verb="evaluate",
        options=provenance.options_dict(options),
        inputs={
            "model": provenance.Input(url="model", fingerprint=model.stamp.fingerprint),
            "features": provenance.Input(url="features", fingerprint=store.fingerprint()),
        },
    )
    folder = provenance.local_folder(to)
    names = ("predictions", "scores_by_group", *(("coefficients",) if "lasso" in model.nets else ()), "scores")
    there = [folder / f"{name}.parquet" for name in names if (folder / f"{name}.parquet").exists()]
    for path in reversed(there):
        provenance.refuse_other_table(path, stamp)
    if len(there) == len(names):
        return pd.read_parquet(folder / "scores.parquet")
    rows = checked_rows(model, store)
    predictions = held_out_predictions(model, rows)
    scores, groups = score(predictions, options)
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"predictions": predictions, "scores_by_group": groups, "coefficients": coefficients(model)}
    for name, table in {**tables, "scores": scores}.items():  # the scores last: they say that all is there
        if table is not None:
            provenance.write_table(table, folder / f"{name}.parquet", stamp)
    return scores


def checked_rows(model: SMBModel, features: Store) -> Rows:
    """The rows that a model was trained on, once it is sure that they are, and that no fold saw what it holds out."""
    dataset = features.open()
    model.refuse_other_recipe(dataset)
    rows = observed_rows(dataset, model.predictors)
    if not (np.array_equal(rows.unit_id, model.unit_id) and np.array_equal(rows.hydro_year, model.hydro_year)):
        raise ValueError(
            f"the features hold {len(rows)} observed rows, the model was trained on {len(model.unit_id)} others; "
            "evaluate with the features it was trained on."
        )
    for fold in model.plan.folds:
        folds.check_no_leak(fold, rows.unit_id, rows.hydro_year)
    refuse_leaking_scaler(model, rows)
    return rows


def refuse_leaking_scaler(model: SMBModel, rows: Rows) -> None:
    """Raise `LeakError` if a fold's scaler is not that of its training rows alone."""
    training = fold_weights(model.plan, np.ones(len(rows))) > 0
    bounded = np.isin(model.predictors, TOPOGRAPHY)
    own = scaling.fit(rows.design.predictors, training, bounded)
    for number, fold in enumerate(model.plan.folds):
        same = [
            np.allclose(a[number], b[number], rtol=1e-5)
            for a, b in zip(_numbers(model.scaler), _numbers(own), strict=True)
        ]
        if not all(same):
            raise folds.LeakError(
                f"{fold.scheme} without {fold.name}: the scaler was not fitted on the fold's training rows alone. "
                "Train the model again."
            )


def _numbers(scaler: scaling.Scaler) -> tuple[Floats, ...]:
    return scaler.mean, scaler.std, scaler.low, scaler.high


def held_out_predictions(model: SMBModel, rows: Rows) -> pd.DataFrame:
    """Every held-out row of every scheme, by every net and every null."""
    import pandas as pd

    parts = []
    for scheme in dict.fromkeys(fold.scheme for fold in model.plan.folds if fold.scheme != folds.ALL):
        number = model.plan.of(scheme)
        row = np.concatenate([model.plan.folds[n].test for n in number])
        name = np.concatenate([[model.plan.folds[n].name] * len(model.plan.folds[n].test) for n in number])
        common = {
            "fold": name,
            "glacier_id": rows.unit_id[row],
            "hydro_year": rows.hydro_year[row].astype(np.int32),
            "observed": rows.observed[row],
        }
        told = {net: model.held_out(rows.design, net, scheme) for net in model.nets}
        predicted = {net: (held.mean, held.std) for net, held in told.items()}
        blank = np.full(len(row), np.nan)
        predicted |= {null: (values, blank) for null, values in nulls.predict(rows, model.plan, scheme).items()}
        for who, (mean, std) in predicted.items():
            parts.append(pd.DataFrame({"scheme": scheme, "model": who, **common, "predicted": mean, "std": std}))
    if not parts:
        raise ValueError("the model has no cross-validation folds; train it with some schemes in hold_out.")
    return pd.concat(parts, ignore_index=True)


def score(predictions: pd.DataFrame, options: EvaluateOptions) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of every scheme and model with intervals, and scores per fold and per glacier without."""
    records, groups = [], []
    for scheme, table in predictions.groupby("scheme", sort=False):
        models = list(dict.fromkeys(table.model))
        of_model = {m: table[table.model == m].reset_index(drop=True) for m in models}
        sums = np.stack(
            [metrics.row_sums(*(of_model[m][c].to_numpy() for c in ("observed", "predicted", "std"))) for m in models]
        )
        first = of_model[models[0]]
        block = _blocks(str(scheme), first, options.block_years)
        drawn = metrics.from_sums(metrics.resampled(sums, block, options.draws, np.random.default_rng(options.seed)))
        whole = metrics.from_sums(sums.sum(axis=1))
        learned = [m for m in models if m not in nulls.NULLS]
        for at, model in enumerate(models):
            names = metrics.PLAIN + (metrics.PROBABILISTIC if model in learned else ())
            triples = [(name, whole[name][at], drawn[name][at]) for name in names]
            for null in nulls.NULLS if model in learned else ():
                other = models.index(null)
                triples.append(
                    (
                        f"rmse_difference_to_{null}",
                        whole["rmse"][at] - whole["rmse"][other],
                        drawn["rmse"][at] - drawn["rmse"][other],
                    )
                )
            for name, value, resamples in triples:
                low, high = np.nanpercentile(resamples, metrics.INTERVAL)
                records.append((scheme, model, name, float(value), float(low), float(high), len(first)))
            if model == "same_year_mean":
                value, resamples = _told(first, block, options)
                low, high = np.nanpercentile(resamples, metrics.INTERVAL)
                records.append((scheme, model, "rmse_told_the_year", value, float(low), float(high), len(first)))
            groups += _by_group(str(scheme), model, of_model[model], sums[at])
    import pandas as pd

    columns = ["scheme", "model", "metric", "value", "low", "high", "n"]
    by_group = ["scheme", "model", "by", "group", "metric", "value", "n"]
    return pd.DataFrame(records, columns=columns), pd.DataFrame(groups, columns=by_group)


def coefficients(model: SMBModel) -> pd.DataFrame | None:
    """Standardised effect of every predictor and interaction of the Lasso in every fold, mean over members; or None."""
    import pandas as pd

    from glacierscale.models.lasso import Lasso

    net = model.nets.get("lasso")
    if not isinstance(net, Lasso):
        return None
    names = list(model.predictors) + [f"{model.predictors[a]} x {model.predictors[b]}" for a, b in net.pairs]
    effect = net.coefficient.mean(axis=1)
    return pd.concat(
        [
            pd.DataFrame({"scheme": fold.scheme, "fold": fold.name, "predictor": names, "effect": effect[number]})
            for number, fold in enumerate(model.plan.folds)
        ],
        ignore_index=True,
    )


def _blocks(scheme: str, table: pd.DataFrame, block_years: int) -> npt.NDArray[np.integer]:
    """What is resampled together: glaciers where they are held out and many, else runs of years with all glaciers."""
    if scheme in folds.HOLDS_OUT_GLACIERS and table.glacier_id.nunique() >= _FEW_GLACIERS:
        return np.unique(table.glacier_id.to_numpy(str), return_inverse=True)[1]
    block: npt.NDArray[np.integer] = ((table.hydro_year - table.hydro_year.min()) // block_years).to_numpy()
    return block


def _told(table: pd.DataFrame, block: npt.NDArray[np.integer], options: EvaluateOptions) -> tuple[float, Floats]:
    """RMSE of the same-year mean of the other glaciers where the year is *not* hidden, whatever the scheme; resampled.

    No model can be asked to beat it in a scheme that hides the year, but a reader wants to know it. Rows whose year has
    no other glacier count with the mean of all.
    """
    observed, year, glacier = (table[name].to_numpy() for name in ("observed", "hydro_year", "glacier_id"))
    others = (year == year[:, None]) & (glacier != glacier[:, None])
    count = others.sum(axis=1)
    predicted = np.where(count > 0, others @ observed / np.maximum(count, 1), observed.mean())
    sums = metrics.row_sums(observed, predicted, np.full(len(observed), np.nan))
    drawn = metrics.resampled(sums, block, options.draws, np.random.default_rng(options.seed))
    return float(metrics.from_sums(sums.sum(axis=0))["rmse"]), metrics.from_sums(drawn)["rmse"]


def _by_group(scheme: str, model: str, table: pd.DataFrame, sums: Floats) -> list[tuple[object, ...]]:
    records: list[tuple[object, ...]] = []
    for by in ("fold", "glacier_id"):
        for group, index in table.groupby(by, sort=False).indices.items():
            found = metrics.from_sums(sums[index].sum(axis=0))
            records += [
                (scheme, model, by, str(group), name, float(found[name]), len(index))
                for name in ("rmse", "mae", "bias", "R2")
            ]
    return records
