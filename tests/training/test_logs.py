"""Losses while networks learn, as files that others read."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from glacierscale.training import logs
from glacierscale.training.loop import train
from glacierscale.training.options import TrainOptions

QUICK = TrainOptions(nets=("mlp",), hold_out=("logo",), members=2, epochs=4, hidden=(4,))


def test_a_perceptron_logs_each_epoch_as_csv_and_for_tensorboard_and_is_the_same_model(
    features: Any, tmp_path: Path
) -> None:
    plain = train(features, to=tmp_path / "plain", options=QUICK)
    logged = train(features, to=tmp_path / "logged", options=dataclasses.replace(QUICK, log=("csv", "tensorboard")))
    assert logged.fingerprint == plain.fingerprint
    assert logged.stamp == plain.stamp
    folder = tmp_path / "logged" / logs.FOLDER / "mlp" / "from_000000"
    table = pd.read_csv(folder / "metrics.csv")
    assert len(table) == 5
    assert table.step.is_monotonic_increasing
    assert {"validation_loss", "best_validation_loss", "learning"} <= set(table.columns)
    assert table.best_validation_loss.is_monotonic_decreasing
    (events,) = folder.glob("events.out.tfevents.*")
    assert b"validation_loss" in events.read_bytes()
    assert not (tmp_path / "plain" / logs.FOLDER).exists()
    again = train(features, to=tmp_path / "logged", options=QUICK)  # to log decides nothing
    assert again.fingerprint == plain.fingerprint


def test_a_raster_network_logs_each_step(features: Any, patches: Path, tmp_path: Path) -> None:
    options = TrainOptions(
        nets=("hybrid",), hold_out=("logo",), members=2, raster_members=1, kernel=1, steps=3, log=("csv",)
    )
    train(features, to=tmp_path / "model", patches=patches, options=options)
    table = pd.read_csv(tmp_path / "model" / logs.FOLDER / "hybrid" / "from_000000" / "metrics.csv")
    assert table.step.tolist() == [1, 2, 3]
    assert table.loss.notna().all()


def test_a_log_that_cannot_be_written_is_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ValueError, match=r"s3://ice/model is no folder of this machine, where csv would write\. Train"):
        logs.refuse(("csv",), "s3://ice/model")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"pip install 'glacierscale\[mlflow\]'"):
        logs.refuse(("mlflow",), "model")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    with pytest.raises(ValueError, match="MLFLOW_TRACKING_URI is not set; set it to the URL of the server"):
        logs.refuse(("mlflow",), "model")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    logs.refuse(("mlflow",), "s3://ice/model")


@pytest.mark.parametrize(
    ("log", "message"), [("csv", r"log is the text 'csv'; expected a list"), (("wandb",), "expected some of")]
)
def test_another_kind_of_log_is_refused(log: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainOptions(log=log)


def test_mlflow_is_told_where_it_is_installed(features: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path / 'mlflow'}")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    train(features, to=tmp_path / "model", options=dataclasses.replace(QUICK, log=("mlflow",)))
    (found,) = (tmp_path / "mlflow").rglob("metrics/validation_loss")
    assert len(found.read_text().splitlines()) == 5
