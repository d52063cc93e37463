"""All stages in a row: what a run leaves, running again, other options, repair, SIGKILL, and the Oetztal."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from glacierscale import pipeline, repair
from glacierscale.models.nulls import NULLS
from glacierscale.store import Files, HeldError, Store, StoreError, hold
from glacierscale.store.objects import Objects, unpack_record
from tests.commands import main
from tests.servers import S3, SECRET_KEY, seaweed
from tests.trees import digests

CATALOGS = Path(__file__).resolve().parents[1] / "catalogs"
STORES = ("cube", "features", "smb")
OUTPUTS = {f"{name}.zarr" for name in STORES} | {
    "model",
    "predictions.parquet",
    "scores.parquet",
    "scores_by_group.parquet",
    "coefficients.parquet",
    "effects.parquet",
    "partial_effects.parquet",
    "contributions.parquet",
    "report.html",
    "glaciers.parquet",
    "catalog.yaml",
    "stac",
}


def times(folder: Path) -> dict[str, int]:
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def again(small_run: Path, tmp_path: Path) -> Path:
    """A copy of the run, from which the relative paths to its inputs lead to the same places."""
    return Path(shutil.copytree(small_run, tmp_path / "out"))


# What a run leaves


def test_a_run_writes_every_output_and_nothing_else(small_run: Path) -> None:
    assert {path.name for path in small_run.iterdir()} == OUTPUTS  # and no ice, which its run file does not ask for
    assert (small_run / "report.html").read_text().lstrip().lower().startswith("<!doctype html>")


def test_the_demo_writes_the_same_kinds_of_output_and_its_raw_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_range: object, small_run_file: Path
) -> None:
    shutil.copy(small_run_file.parent / "demo.yaml", tmp_path)
    lines = [line for line in small_run_file.read_text().splitlines() if not line.startswith("train:")]
    lines.append("train: {nets: [lasso], hold_out: [logo], members: 2}")
    (tmp_path / "run.yaml").write_text("\n".join(lines))
    monkeypatch.setattr(pipeline, "shipped", lambda name: tmp_path / "run.yaml")  # instead of the shipped run file
    page = pipeline.demo(to=tmp_path / "out", options=small_range)  # type: ignore[arg-type]
    assert page == tmp_path / "out" / "report.html"
    assert {path.name for path in (tmp_path / "out").iterdir()} == OUTPUTS | {"raw"}


def test_the_demo_stops_at_its_raw_files_where_only_these_are_wanted(tmp_path: Path, small_range: object) -> None:
    raw = pipeline.demo(to=tmp_path / "out", options=small_range, only_raw=True)  # type: ignore[arg-type]
    assert raw == tmp_path / "out" / "raw"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["raw"]
    assert {path.name for path in raw.iterdir()} > {"climate.zarr", "outlines.parquet", "options.json"}


def test_running_again_changes_no_file_and_says_so(
    small_run: Path, small_raw: Path, small_run_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bytes_before, times_before = digests(small_run), times(small_run)
    assert main(["run", str(small_run_file), "--to", str(small_run), "--data", str(small_raw)]) == 0
    said = capsys.readouterr()
    assert said.err.count("is already there, nothing to do") == 6
    assert "written" not in said.err
    assert said.out.strip() == str(small_run / "report.html")
    assert times(small_run) == times_before
    assert digests(small_run) == bytes_before


def test_plain_xarray_opens_the_reconstruction(small_run: Path) -> None:
    with xr.open_zarr(small_run / "smb.zarr") as smb:
        assert smb.smb.dims == smb.smb_std.dims == ("glacier", "hydro_year")
        assert smb.smb_member.dims == ("member", "glacier", "hydro_year")
        assert smb.sizes == {"glacier": 12, "hydro_year": 13, "member": 3}
        assert {smb[name].units for name in ("smb", "smb_std", "smb_member")} == {"kg m-2"}
        assert smb.smb.cell_methods == "hydro_year: sum"
        assert list(smb.hydro_year.values) == list(range(2000, 2013))
        assert {str(name) for name in smb.glacier_id.values} == {f"RGI60-99.{n:05d}" for n in range(1, 13)}
        assert {"glacier_id", "hydro_year", "lon", "lat", "area_m2"} <= set(smb.coords)
        np.testing.assert_allclose(smb.smb, smb.smb_member.mean("member"), rtol=1e-4, atol=1e-2)
        assert np.isfinite(smb.smb).all()
        assert (smb.smb_std > 0).all()
        assert 50 < float(np.abs(smb.smb).mean()) < 5000


def test_tables_have_the_promised_columns_and_every_null_stands_beside_every_scheme(
    small_run: Path, small_raw: Path
) -> None:
    predictions = pd.read_parquet(small_run / "predictions.parquet")
    scores = pd.read_parquet(small_run / "scores.parquet")
    assert list(predictions.columns) == [
        "scheme", "model", "fold", "glacier_id", "hydro_year", "observed", "predicted", "std",
    ]  # fmt: skip
    assert list(scores.columns) == ["scheme", "model", "metric", "value", "low", "high", "n"]
    for table in (predictions, scores):
        assert {s: set(rows.model) for s, rows in table.groupby("scheme")} == {
            scheme: {"lasso", "mlp", *(["gapfilled"] if scheme == "logo" else []), *NULLS}
            for scheme in ("logo", "loyo", "lsygo")
        }
    observed = pd.read_csv(small_raw / "observations.csv")
    annual = observed[(observed.obs_kind == "annual") & (observed.obs_year <= 2012)]
    for (scheme, model), rows in predictions.groupby(["scheme", "model"]):
        assert len(rows) == len(annual), (scheme, model)
        assert not rows.duplicated(["glacier_id", "hydro_year"]).any()
        wanted = annual.set_index(["obs_unit_id", "obs_year"]).obs_value
        found = rows.set_index(["glacier_id", "hydro_year"]).observed
        np.testing.assert_allclose(found.sort_index(), wanted.sort_index(), rtol=1e-5)
    told = scores[scores.metric == "rmse"].set_index(["scheme", "model"])
    for (scheme, model), rows in predictions.groupby(["scheme", "model"]):
        rmse = np.sqrt(((rows.predicted - rows.observed) ** 2).mean())
        assert told.loc[(scheme, model), "value"] == pytest.approx(rmse, rel=1e-5)
        assert told.loc[(scheme, model), "n"] == len(rows)


def test_the_catalogue_of_outputs_opens_with_ours_and_with_plain_intake(small_run: Path) -> None:
    from glacierscale.catalog import check_catalog, open_catalog

    file = small_run / "catalog.yaml"
    assert check_catalog(file) == []
    ours = open_catalog(file)
    assert set(ours.entries) >= {*STORES, "predictions", "scores"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import intake

        plain = intake.open_catalog(str(file))
        for name in STORES:
            dataset = plain[name].to_dask()
            xr.testing.assert_identical(dataset, ours[name].open())
            assert dataset.unify_chunks().chunks
    for name in ("predictions", "scores"):
        assert ours[name].open().equals(pd.read_parquet(small_run / f"{name}.parquet"))


@pytest.mark.parametrize(
    ("stage", "change", "message"),
    [
        ("ingest", "ingest: {glaciers_per_block: 4}", r"cube\.zarr was made otherwise:\n  options\.glaciers_per_block"),
        ("ingest", "region: {name: Small range, years: {first: 2001, last: 2012}}", r"first: there 2000, now 2001"),
        ("featurize", "featurize: {precip_factor: 1.5}", r"features\.zarr was.*precip_factor: there 1\.0, now 1\.5"),
        ("train", "train: {hold_out: [logo, loyo, lsygo], members: 4, epochs: 5, hidden: [8]}", r"members: there 3"),
        ("evaluate", "evaluate: {draws: 101}", r"scores\.parquet was made otherwise.*draws: there 100, now 101"),
        ("reconstruct", "reconstruct: {net: lasso}", r"smb\.zarr was made otherwise.*net: there '', now 'lasso'"),
    ],
)  # fmt: skip
def test_other_options_on_an_existing_output_are_refused_with_the_difference(
    stage: str, change: str, message: str, small_run: Path, small_raw: Path, small_run_file: Path,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    before = digests(small_run)
    key = change.split(":")[0]
    lines = [line for line in small_run_file.read_text().splitlines() if not line.startswith(f"{key}:")]
    shutil.copy(small_run_file.parent / "demo.yaml", tmp_path)
    (tmp_path / "run.yaml").write_text("\n".join([*lines, change]))
    assert main(["run", str(tmp_path / "run.yaml"), "--to", str(small_run), "--data", str(small_raw)]) == 2
    said = capsys.readouterr().err
    assert re.search(message, said, re.DOTALL), said
    assert "Write to another place" in said
    assert f"\n{stage} " not in said
    assert digests(small_run) == before


# Damage and repair


def flipped_bit(store: Path) -> str:
    chunk = next(p for p in sorted(store.rglob("c/**/*")) if p.is_file() and p.stat().st_size > 40)
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(bytes(data))
    return chunk.relative_to(store).as_posix()


def missing_block_chunk(store: Path) -> str:
    record = max((store / ".blocks").glob("glacier-*.json"))
    key = min(unpack_record(record.read_bytes()).objects)
    (store / key).unlink()
    return key


def missing_static_chunk(store: Path) -> str:
    name = {"cube": "vertex_x", "features": "predictor", "smb": "hydro_year"}[store.stem]
    (store / name / "c" / "0").unlink()
    return f"{name}/c/0"


def garbled_metadata(store: Path) -> str:
    (store / "zarr.json").write_text("{")
    return "zarr.json"


def cut_off_record(store: Path) -> str:
    record = min((store / ".blocks").glob("glacier-*.json"))
    record.write_bytes(record.read_bytes()[:100])
    return f".blocks/{record.name}"


@pytest.mark.parametrize("name", STORES)
@pytest.mark.parametrize(
    "damage", [flipped_bit, missing_block_chunk, missing_static_chunk, garbled_metadata, cut_off_record]
)
def test_verify_finds_damage_and_repair_restores_the_same_bytes(
    damage: Callable[[Path], str], name: str, small_run: Path, again: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, before = again / f"{name}.zarr", digests(again)
    assert before == digests(small_run)
    assert main(["verify", str(store)]) == 0
    assert "no fault" in capsys.readouterr().out
    key = damage(store)
    assert main(["verify", str(store)]) == 4
    said = capsys.readouterr().out
    assert re.search(
        rf"^{re.escape(key)}: (checksum differs|has 1 bytes|is missing|the completion record is damaged)", said
    )
    assert "1 faults" in said
    assert main(["verify", str(store), "--repair"]) == 0
    assert "0 left after repair" in capsys.readouterr().out
    assert main(["verify", str(store)]) == 0
    assert digests(again) == before


def test_a_repair_leaves_what_another_run_holds(again: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing_block_chunk(again / "smb.zarr")
    before = digests(again)
    with hold(again / "smb.zarr", "reconstruct"):
        assert main(["verify", str(again / "smb.zarr"), "--repair"]) == 5
    assert "smb.zarr is held by `reconstruct`" in capsys.readouterr().err
    assert digests(again) == before


def test_repair_refuses_inputs_that_have_changed(again: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = again / "model" / "model.json"
    missing_block_chunk(again / "smb.zarr")
    shutil.rmtree(model.parent)
    words = ["train", str(again / "features.zarr"), "--to", str(model.parent), "--options.nets", '["lasso"]']
    assert main([*words, "--options.members", "2", "--options.hold_out", '["loyo"]']) == 0
    assert main(["verify", str(again / "smb.zarr"), "--repair"]) == 2
    assert re.search(r"smb\.zarr was made otherwise:\n  inputs\.model", capsys.readouterr().err)


# Networks of ice cells


@pytest.fixture(scope="module")
def raster_run(small_raw: Path, small_run_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small range with a hybrid of one member and few steps, coarse patches of two sizes."""
    folder = tmp_path_factory.mktemp("raster_run")
    shutil.copy(small_run_file.parent / "demo.yaml", folder)
    lines = [line for line in small_run_file.read_text().splitlines() if not line.startswith("train:")]
    lines.append("rasterize: {resolution_m: 200.0, buckets: [16, 32, 64], azimuths: 4, glaciers_per_block: 5}")
    lines.append("train: {nets: [lasso, hybrid], hold_out: [year_blocks], members: 2, raster_members: 1, steps: 3}")
    (folder / "run.yaml").write_text("\n".join(lines))
    pipeline.run(folder / "run.yaml", to=folder / "out", data=str(small_raw))
    return folder / "out"


def test_a_run_with_a_raster_network_writes_patches_maps_and_their_tables_and_lists_them(raster_run: Path) -> None:
    made = {path.name for path in raster_run.iterdir()}
    sizes = {path.stem.removeprefix("patches_") for path in raster_run.glob("patches_*.zarr")}
    assert len(sizes) > 1
    rasters = {f"{kind}_{size}.zarr" for kind in ("patches", "smb_map") for size in sizes}
    assert made >= OUTPUTS | rasters | {"predictions_by_kind.parquet", "scores_by_kind.parquet"}
    listed = yaml.safe_load((raster_run / "catalog.yaml").read_text())["sources"]
    assert set(listed) >= {Path(name).stem for name in rasters} | {"predictions_by_kind", "scores_by_kind"}
    predictions = pd.read_parquet(raster_run / "predictions.parquet")
    assert set(predictions.model) == {"lasso", "hybrid", *NULLS}
    assert predictions.groupby("model").size().nunique() == 1
    ids = [name for path in raster_run.glob("smb_map_*.zarr") for name in xr.open_zarr(path).glacier_id.values]
    assert sorted(map(str, ids)) == [f"RGI60-99.{n:05d}" for n in range(1, 13)]


def test_a_run_with_a_raster_network_changes_nothing_when_run_again(
    raster_run: Path, small_raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = times(raster_run)
    pipeline.run(raster_run.parent / "run.yaml", to=raster_run, data=str(small_raw))
    said = capsys.readouterr().err
    assert said.count("is already there, nothing to do") == 7
    assert "rasterize" in said
    assert times(raster_run) == before


@pytest.mark.parametrize("kind", ["patches", "smb_map"])
@pytest.mark.parametrize("damage", [flipped_bit, cut_off_record])
def test_repair_restores_the_same_bytes_of_patches_and_maps(
    damage: Callable[[Path], str], kind: str, raster_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, before = next(iter(sorted(raster_run.glob(f"{kind}_*.zarr")))), digests(raster_run)
    damage(store)
    assert main(["verify", str(store)]) == 4
    assert main(["verify", str(store), "--repair"]) == 0
    assert "0 left after repair" in capsys.readouterr().out
    assert digests(raster_run) == before


# Buckets


@pytest.fixture(scope="module")
def bucket() -> Iterator[S3]:
    """A real S3 server, which the environment names."""
    with seaweed() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="module")
def bucket_run(bucket: S3, raster_run: Path, small_raw: Path) -> str:
    """The run with a raster network once more, into a bucket."""
    to = bucket.url("alps/run")
    assert pipeline.run(raster_run.parent / "run.yaml", to=to, data=str(small_raw)) == f"{to}/report.html"
    return to


def assert_same_run(to: str, local: Path) -> None:
    stores = {path.name for path in local.glob("*.zarr")}
    assert len(stores) >= 3
    for name in stores:
        mine, other = Store.at(f"{to}/{name}"), Store.at(local / name)
        xr.testing.assert_identical(mine.open().load(), other.open().load())
        assert mine.stamp == other.stamp
        assert mine.fingerprint() == other.fingerprint()
        assert mine.verify() == []
    files, whole = Files.at(to), digests(local)
    own = {*stores, "catalog.yaml", "stac"}  # what is there and how it is opened
    for name in (name for name in whole if name.split("/")[0] not in own):
        assert hashlib.sha256(files.read(name) or b"").hexdigest() == whole[name], name
    assert {name.split("/")[0] for name in files.names()} == {path.name for path in local.iterdir()}


def test_a_run_into_a_bucket_gives_what_the_local_run_gave_to_the_byte_of_every_table_and_page(
    bucket_run: str, raster_run: Path
) -> None:
    assert_same_run(bucket_run, raster_run)
    objects = Objects(bucket_run)
    assert objects.keys(".lease") == set()
    for key in objects.keys(""):
        data = objects.get(key) or b""
        assert not [word for word in (SECRET_KEY, "127.0.0.1") if word.encode() in data], key


def test_the_items_of_a_run_in_a_bucket_are_those_of_the_local_run(bucket_run: str, raster_run: Path) -> None:
    local = {path.name: path.read_bytes() for path in (raster_run / "stac").iterdir()}
    assert {f"{path.stem}.json" for path in raster_run.glob("*.zarr")} | {"collection.json"} == set(local)
    assert {name: Files.at(bucket_run).read(f"stac/{name}") for name in local} == local


def test_the_catalogue_of_a_run_in_a_bucket_opens_with_plain_intake(bucket_run: str, raster_run: Path) -> None:
    written = Files.at(bucket_run).read("catalog.yaml")
    assert written == (raster_run / "catalog.yaml").read_bytes()
    tables = {path.stem for path in raster_run.glob("*.parquet")}
    assert tables >= {"constraints", "sensitivities", "importance", "climate_range"}
    assert set(yaml.safe_load(written)["sources"]) == {path.stem for path in raster_run.glob("*.zarr")} | tables
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import intake

        plain = intake.open_catalog(f"{bucket_run}/catalog.yaml")
        xr.testing.assert_equal(plain["smb"].to_dask().load(), xr.open_zarr(raster_run / "smb.zarr").load())


def test_a_run_into_a_bucket_writes_nothing_when_run_again(
    bucket_run: str, raster_run: Path, small_raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = Objects(bucket_run)
    before = {key: objects.version(key) for key in objects.keys("")}
    pipeline.run(raster_run.parent / "run.yaml", to=bucket_run, data=str(small_raw))
    assert capsys.readouterr().err.count("is already there, nothing to do") == 7
    assert {key: objects.version(key) for key in objects.keys("")} == before


@pytest.mark.parametrize("name", ["cube", "smb", "patches", "smb_map"])
def test_repair_restores_the_same_bytes_in_a_bucket(bucket_run: str, raster_run: Path, name: str) -> None:
    store = f"{bucket_run}/{next(path.name for path in sorted(raster_run.glob(f'{name}*.zarr')))}"
    objects = Objects(store)
    chunks = sorted(key for key in objects.keys("") if "/c/" in key)
    flipped, gone = chunks[0], chunks[-1]
    whole = {key: objects.get(key) or b"" for key in (flipped, gone)}
    objects.put(flipped, whole[flipped][:-1] + bytes([whole[flipped][-1] ^ 1]))
    objects.delete(gone)
    assert {damage.key for damage in repair.verify(store)} == {flipped, gone}
    assert repair.verify(store, repair=True) == []
    assert {key: objects.get(key) for key in whole} == whole


def test_a_run_whose_folder_is_held_is_refused_and_told_by_whom(
    bucket_run: str, raster_run: Path, small_raw: Path
) -> None:
    with hold(bucket_run, "run"), pytest.raises(HeldError, match=rf"run is held by `run`, process {os.getpid()}"):
        pipeline.run(raster_run.parent / "run.yaml", to=bucket_run, data=str(small_raw))


def test_wrong_keys_are_named_and_never_told(
    bucket_run: str, raster_run: Path, small_raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-marker-that-nobody-may-see")
    with pytest.raises(StoreError, match="access was denied") as caught:
        pipeline.run(raster_run.parent / "run.yaml", to=bucket_run, data=str(small_raw))
    assert "a-marker-that" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.slow
@pytest.mark.parametrize("where", ["bucket", "folder"])
def test_a_run_on_icechunk_gives_what_the_local_run_gave(
    where: str, bucket: S3, raster_run: Path, small_run: Path, small_run_file: Path, small_raw: Path, tmp_path: Path
) -> None:
    if where == "bucket":
        to, local, file = f"icechunk+{bucket.url('ice/run')}", raster_run, raster_run.parent / "run.yaml"
    else:
        to, local, file = f"icechunk+file://{tmp_path}/run", small_run, small_run_file
    for _ in range(2):
        pipeline.run(file, to=to, data=str(small_raw))
    assert_same_run(to, local)
    listed = yaml.safe_load(Files.at(to).read("catalog.yaml") or b"")["sources"]
    assert set(listed) == {path.stem for path in local.glob("*.parquet")}


# Kill


def test_a_run_killed_again_and_again_ends_with_the_bytes_of_an_undisturbed_one(
    small_run: Path, small_raw: Path, small_run_file: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(int.from_bytes(os.urandom(4)))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "glacierscale.cli", "run", str(small_run_file)]
    command += ["--to", str(out), "--data", str(small_raw)]
    killed = []
    for stage in ("cube.zarr", "features.zarr", "smb.zarr"):
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            while process.poll() is None and not (out / stage / ".blocks").exists():
                time.sleep(0.0005)
            time.sleep(rng.uniform(0, 0.06))
            process.send_signal(signal.SIGKILL)
            killed.append(process.wait())
    assert killed == [-signal.SIGKILL] * 3, (tmp_path / "log").read_text()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert digests(out) == digests(small_run)


# The Oetztal


@pytest.fixture(scope="module")
def oetztal(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped Oetztal run with a Lasso of few members."""
    folder = tmp_path_factory.mktemp("oetztal")
    plan = (CATALOGS.parent / "deploy" / "runs" / "oetztal.yaml").read_text()
    plan = plan.replace("../../catalogs/oetztal.yaml", str(CATALOGS / "oetztal.yaml"))
    plan = plan.replace("nets: [lasso, mlp]", "nets: [lasso]\n  hold_out: [loyo, logo]")
    plan = plan.replace("members: 20", "members: 4")
    assert "[loyo, logo]" in plan
    assert "members: 4" in plan
    (folder / "run.yaml").write_text(plan + "evaluate: {draws: 200}\n")
    pipeline.run(folder / "run.yaml", to=folder / "out", data=str(shared / "data"))
    return folder / "out"


@pytest.mark.slow
@pytest.mark.shared
def test_the_oetztal_is_predicted_in_every_year_glacier_by_glacier(oetztal: Path) -> None:
    with xr.open_zarr(oetztal / "smb.zarr") as smb:
        ids = [str(name) for name in smb.glacier_id.values]
        assert len(ids) == len(set(ids)) == 20
        assert list(smb.hydro_year.values) == list(range(1953, 2015))
        of = smb.smb.assign_coords(glacier=ids)
        assert np.isfinite(of).all()
        assert "RGI50-11.00897" in ids  # Hintereisferner
        kesselwand = of.sel(glacier="RGI50-11.00787")
        assert -1500 < float(kesselwand.mean()) < 500
        parts = of.sel(glacier=["RGI50-11.00719_d01", "RGI50-11.00719_d02"])  # Vernagtferner
        assert float(np.abs(parts[0] - parts[1]).min()) > 0
        warm, cool = of.sel(hydro_year=2003), of.sel(hydro_year=1965)
        assert (warm < cool).all()
        names = dict(zip(ids, smb.glacier_name.values, strict=True))
        assert {name: number for number, name in names.items() if name} == {
            "Hintereisferner": "RGI50-11.00897", "Kesselwandferner": "RGI50-11.00787",
            "Vernagtferner": "RGI50-11.00719_d02",  # in two parts
        }  # fmt: skip
        unit = dict(zip(ids, smb.unit_id.values, strict=True))
        assert unit["RGI50-11.00719_d01"] == unit["RGI50-11.00719_d02"] == "RGI50-11.00719"


@pytest.mark.slow
@pytest.mark.shared
def test_the_oetztal_has_102_observed_years_and_the_lasso_beats_least_squares_on_unseen_years(oetztal: Path) -> None:
    predictions = pd.read_parquet(oetztal / "predictions.parquet")
    rows = predictions[(predictions.scheme == "loyo") & (predictions.model == "lasso")]
    assert rows.glacier_id.value_counts().to_dict() == {
        "RGI50-11.00897": 53, "RGI50-11.00719": 41, "RGI50-11.00929": 8,
    }  # fmt: skip
    scores = pd.read_parquet(oetztal / "scores.parquet").set_index(["scheme", "metric", "model"]).value.sort_index()
    assert set(scores["loyo", "rmse"].index) == {"lasso", *NULLS}
    assert scores["loyo", "rmse", "lasso"] <= scores["loyo", "rmse", "ols"]
    assert scores["loyo", "rmse", "training_mean"] == pytest.approx(556.4, abs=1)
    assert 250 < scores["loyo", "rmse", "lasso"] < 350


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(
    ("dataset", "first", "last", "covered", "refused", "needed"),
    [
        ("era5", 2010, 2018, "1979-01 to 2018-12", (1979, 2018), "1978-10 to 2018-09"),
        ("era5_land", 2010, 2018, "1981-01 to 2018-12", (2010, 2019), "2009-10 to 2019-09"),
        ("cera20c", 2002, 2010, "1901-01 to 2010-12", None, ""),  # read once: it lies in one chunk a month
        ("cmip5", 2002, 2100, "1870-01 to 2100-12", (1870, 1900), "1869-10 to 1900-09"),
    ],
)
def test_every_climate_of_the_oetztal_is_read_for_the_years_it_covers_and_refused_for_others(
    dataset: str, first: int, last: int, covered: str, refused: tuple[int, int] | None, needed: str,
    shared: Path, tmp_path: Path,
) -> None:  # fmt: skip
    from glacierscale.cube import IngestOptions, ingest
    from glacierscale.region import HydroYears, Region

    content = yaml.safe_load((CATALOGS / "oetztal.yaml").read_text())
    del content["sources"]["thickness"], content["sources"]["thickness_dem"]  # not what is tested, and slow
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(yaml.safe_dump(content))
    options = IngestOptions(data=str(shared / "data"), climate=dataset)
    if refused is not None:
        with pytest.raises(ValueError, match=rf"entry '{dataset}_\w+': its climate covers {covered}.* need {needed}"):
            ingest(catalog, Region("o", years=HydroYears(*refused)), to=tmp_path / "no.zarr", options=options)
        assert not (tmp_path / "no.zarr").exists()
    store = ingest(catalog, Region("o", years=HydroYears(first, last)), to=tmp_path / "cube.zarr", options=options)
    cube = store.open()
    assert cube.sizes["time"] == 12 * (last - first + 1)
    assert str(cube.time.values[0])[:7] == f"{first - 1}-10"
    assert -8 < float(cube.temp.mean()) < 12
    assert 700 < 12 * float(cube.precip.mean()) < 2500
    assert store.verify() == []
