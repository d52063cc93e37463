"""Evaluate: tables written once with their stamp, those of networks of ice cells among them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from glacierscale import provenance
from glacierscale.evaluation import EvaluateOptions, evaluate
from glacierscale.store import NoStoreError

OPTIONS = EvaluateOptions(draws=300)

FEW = EvaluateOptions(draws=100)

OF_ROWS = (
    "predictions", "scores", "scores_by_group", "coefficients", "effects", "partial_effects", "contributions",
)  # fmt: skip

OF_RASTERS = {
    "predictions_by_kind": [
        "scheme", "model", "fold", "glacier_id", "kind", "hydro_year", "elevation", "observed", "predicted", "std",
    ],
    "scores_by_kind": ["scheme", "model", "kind", "metric", "value", "n"],
    "constraints": ["model", "constraint", "share_satisfied", "limit", "n"],
    "sensitivities": ["model", "glacier_id", "dsmb_dt", "dsmb_dp"],
    "importance": ["model", "scheme", "predictor", "rmse_increase"],
    "climate_range": ["variable", "unit", "training_low", "training_high", "low", "high", "share_outside"],
}  # fmt: skip


def test_tables_are_written_once_with_their_stamp(model: Any, features: Any, tmp_path: Path) -> None:
    first = evaluate(model, features, to=tmp_path, options=OPTIONS)
    names = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert set(names) == {f"{name}.parquet" for name in OF_ROWS}
    pd.testing.assert_frame_equal(evaluate(model, features, to=tmp_path, options=OPTIONS), first)
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == names
    with pytest.raises(provenance.StampMismatch, match=r"options.draws: there 300, now 400"):
        evaluate(model, features, to=tmp_path, options=EvaluateOptions(draws=400))
    retrained = dataclasses.replace(model, residual_std={name: 2 * std for name, std in model.residual_std.items()})
    with pytest.raises(provenance.StampMismatch, match=r"inputs\.model: there '[0-9a-f]{64}', now '[0-9a-f]{64}'"):
        evaluate(retrained, features, to=tmp_path, options=OPTIONS)


def test_a_lost_table_is_written_again_and_a_broken_one_is_named(model: Any, features: Any, tmp_path: Path) -> None:
    evaluate(model, features, to=tmp_path, options=FEW)
    before = (tmp_path / "predictions.parquet").read_bytes()
    (tmp_path / "predictions.parquet").unlink()
    evaluate(model, features, to=tmp_path, options=FEW)
    assert (tmp_path / "predictions.parquet").read_bytes() == before
    (tmp_path / "scores.parquet").write_bytes(b"junk")
    with pytest.raises(provenance.StampMismatch, match=r"scores\.parquet is no Parquet table"):
        evaluate(model, features, to=tmp_path, options=FEW)


def test_a_model_without_lasso_has_no_linear_tables_and_it_is_said(
    model: Any, features: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    evaluate(dataclasses.replace(model, nets={"mlp": model.nets["mlp"]}), features, to=tmp_path, options=FEW)
    assert not (tmp_path / "coefficients.parquet").exists()
    for name in ("effects", "partial_effects", "contributions"):
        assert set(pd.read_parquet(tmp_path / f"{name}.parquet").model) == {"mlp"}
    assert "no linear effects: the model has no lasso, only mlp; add it to nets" in caplog.text


def test_tables_are_not_written_into_a_store(model: Any, features: Any) -> None:
    with pytest.raises(ValueError, match=r"scores lies inside the store .*features\.zarr; write beside it"):
        evaluate(model, features, to=f"{features.url}/scores")


def test_networks_of_ice_cells_add_their_tables_once(
    raster_model_folder: Path, features: Any, patches: Path, tmp_path: Path
) -> None:
    first = evaluate(raster_model_folder, features, to=tmp_path, patches=patches, options=FEW)
    assert {p.name for p in tmp_path.iterdir()} == {f"{name}.parquet" for name in {*OF_ROWS, *OF_RASTERS}}
    for name, columns in OF_RASTERS.items():
        table = pd.read_parquet(tmp_path / f"{name}.parquet")
        assert list(table.columns) == columns
        assert len(table)
    times = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    again = evaluate(raster_model_folder, features, to=tmp_path, patches=patches, options=FEW)
    pd.testing.assert_frame_equal(again, first)
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == times


def test_a_model_with_networks_of_ice_cells_needs_its_patches(raster_model: Any, features: Any, tmp_path: Path) -> None:
    with pytest.raises(NoStoreError, match=r"holds no patches_\*\.zarr; run `glacierscale rasterize` into it first"):
        evaluate(raster_model, features, to=tmp_path / "scores", patches=tmp_path)
    assert not (tmp_path / "scores").exists()
