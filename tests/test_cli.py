"""The command as a user types it: help, codes, messages, signals and targets that cannot be written."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import psutil
import pytest
import rasterio
import xarray as xr
from rasterio.features import geometry_mask

from glacierscale import cli, compute
from glacierscale.cli import COMMANDS, main, parsing, telling
from glacierscale.compute import Cluster
from glacierscale.cube import ingest
from glacierscale.pipeline import read_plan
from glacierscale.store import HeldError, Store
from tests import loopback

ROOT = Path(__file__).resolve().parents[1]
VERBS = sorted(set(COMMANDS) - {"catalog"})


def command(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "glacierscale.cli", *words], capture_output=True, text=True, check=False, cwd=cwd
    )


def sentences(options: type) -> dict[str, str]:
    """The string under each field of a dataclass, by field, nested dataclasses included."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(options))).body[0]
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, after in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(after.value.value).split())
    return found


# Help


@pytest.mark.parametrize("words", [("--help",), ("--version",)])
def test_help_and_version_load_no_heavy_library(words: tuple[str, ...]) -> None:
    code = (
        f"import sys; from glacierscale.cli import main; code = main({list(words)!r}); "
        "heavy = {'torch', 'ray', 'pytorch_lightning', 'xarray', 'zarr', 'pandas', 'intake', 'dask'}; "
        "print('heavy:', sorted(heavy & set(sys.modules)), code)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: [] 0"
    if words == ("--version",):
        assert re.match(r"glacierscale \d+\.\d+", done.stdout)
    else:
        assert all(re.search(rf"^  {name} +\S", done.stdout, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("name", VERBS)
def test_the_help_of_every_command_teaches_every_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "``" not in told
    function = cli._load(COMMANDS[name][0])
    assert str(inspect.getdoc(function)).split("\n")[0].rstrip(".") in told
    for field, text in sentences(Cluster).items():
        assert f"--{field.replace('_', '-')}" in told
        assert _told(text, told), f"{name} --help does not say of {field}: {text}"
    signature = inspect.signature(function, eval_str=name not in ("report", "evaluate"))
    default = signature.parameters["options"].default if "options" in signature.parameters else None
    if default is not None:
        kind = type(default)
        taught = sentences(kind)
        assert set(taught) == {field.name for field in dataclasses.fields(kind)}
        for field, text in taught.items():
            assert f"--options.{field}" in told
            if not dataclasses.is_dataclass(getattr(default, field)):
                assert _told(text, told), f"{name} --help does not say of {field}: {text}"


def _told(text: str, told: str) -> bool:
    """Whether help says a sentence; argparse may break a line at a hyphen."""
    squeezed = re.sub(r"[\s`]", "", text.rstrip("."))
    return squeezed in re.sub(r"[\s`]", "", told)


@pytest.mark.parametrize("name", ["check", "show"])
def test_the_help_of_the_catalogue_commands_works(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["catalog", name, "--help"])
    assert left.value.code == 0
    assert "An Intake catalogue" in capsys.readouterr().out


# Wrong usage


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "usage: glacierscale COMMAND"),
        (("melt",), "no command 'melt'; expected one of demo, run, ingest"),
        (("catalog",), "usage: glacierscale catalog COMMAND"),
        (("catalog", "melt"), "no command 'melt'; expected one of check, show"),
        (("demo", "--to", "x", "--options.colour", "red"), "--options.colour"),
        (("demo", "--to", "x", "--options.glaciers", "many"), "glaciers"),
        (("demo", "--to", "x", "--options.glaciers", "0"), "glaciers is 0; expected 1 to 250000"),
        (("demo",), "--to"),
        (("completion", "cmd"), "no completion for 'cmd'; expected one of bash"),
        (("completion", "bash", "--dask", "local:0"), "dask is 'local:0'; expected local:N, tcp://HOST:PORT"),
        (("--ray", "everywhere", "completion", "bash"), "ray is 'everywhere'; expected local:N, auto or HOST:PORT"),
        (("--workers", "-1", "completion", "bash"), "workers is -1 and gpus_per_worker 0.0; expected none below 0"),
        (("--block-timeout-s=0", "completion", "bash"), "block_timeout_s is 0.0; expected seconds above 0"),
        (("--dask", "local:2", "verify", "x", "--dask=tcp://a:1"), "--dask is given twice; expected one"),
        (("--dask", "local:2"), "usage: glacierscale COMMAND"),
    ],
)
def test_wrong_usage_ends_with_code_2_and_says_what_is_wrong(
    words: tuple[str, ...], message: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    try:
        code: object = main(words)
    except SystemExit as left:
        code = left.code
    assert code == 2
    said = capsys.readouterr()
    assert message in said.out + said.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [("melt",), ("demo", "--to", "x", "--options.colour", "red")])
def test_wrong_usage_of_a_process_ends_with_code_2_and_no_traceback(words: tuple[str, ...], tmp_path: Path) -> None:
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert words[-2 if "demo" in words else -1] in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "none.yaml", "--to", "out"), "no run file at none.yaml; examples lie in deploy/runs"),
        (("featurize", "none.zarr", "--to", "out"), "none.zarr is not a glacierscale store: there is no such folder"),
        (("rasterize", "none.zarr", "--to", "out"), "there is no such folder. Make one with `glacierscale ingest`, or"),
        (("train", "none.zarr", "--to", "out"), "there is no such folder. Make one with `glacierscale featurize`, or"),
        (("evaluate", "none", "none.zarr", "--to", "out"), "model.json is missing. Train one with `glacierscale"),
        (("reconstruct", "none", "none.zarr", "--to", "out"), "none"),
        (("report", "none.zarr", "--scores", ".", "--to", "out"), "none.zarr is not a glacierscale store"),
        (("verify", "none.zarr"), "there is no such folder. Make one with `glacierscale run`, or correct the path."),
        (("catalog", "check", "none.yaml"), "none.yaml"),
        (("catalog", "show", "none.yaml"), "none.yaml"),
        (
            ("ingest", "none.yaml", "--region.name", "a", "--region.years.first", "2000", "--region.years.last", "2001",
             "--to", "out"),
            "none.yaml",
        ),
    ],
)  # fmt: skip
def test_missing_input_ends_with_code_2_and_one_line(
    words: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_store_of_another_kind_is_refused(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(small_run / "cube.zarr"), "--to", str(tmp_path / "model")]) == 2
    said = capsys.readouterr().err
    assert "is a cube store; expected a features store. Make one with `glacierscale featurize`" in said
    assert main(["verify", str(small_run / "model")]) == 2
    assert "is not a glacierscale store" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"holds NoneType, expected a mapping with catalog and region"),
        ("[1, 2]", r"holds list, expected a mapping"),
        ("a: [", r"is no YAML"),
        ("region: {name: a, years: {first: 2000, last: 2012}}", r"catalog"),
        ("catalog: demo.yaml", r"region"),
        ("catalog: demo.yaml\nregion: {name: a, years: {first: 2000, last: 2012}}\nbake: {}", r"holds bake; expected"),
        ("catalog: demo.yaml\nregion: {name: a, years: {first: 2000, last: 2012}}\ntrain: {melt: 1}", r"melt"),
        ("catalog: demo.yaml\nregion: {name: a, years: {first: 2000, last: 2012}}\ntrain: {members: few}", r"members"),
        ("catalog: demo.yaml\nregion: {name: a, years: {first: 2000, last: 2012}}\ntrain: {members: 0}", r"members is"),
        ("catalog: demo.yaml\nregion: {name: a, years: {first: 2012, last: 2000}}", r"2012\.\.2000 are not a span"),
        ("catalog: none.yaml\nregion: {name: a, years: {first: 2000, last: 2012}}", r"none\.yaml"),
    ],
)  # fmt: skip
def test_a_wrong_run_file_ends_with_code_2_naming_the_fault(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.yaml").write_text(text)
    assert main(["run", str(tmp_path / "run.yaml"), "--to", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert re.search(message, said), said
    assert "Traceback" not in said
    assert "none.yaml" in said or "run.yaml" in said
    assert not (tmp_path / "out" / "cube.zarr").exists()


# Damage and targets


@pytest.mark.parametrize("verb", ["featurize", "report"])
def test_a_verb_on_a_damaged_store_ends_with_code_4_and_the_remedy(
    verb: str, small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(shutil.copytree(small_run, tmp_path / "out"))
    if verb == "featurize":
        (out / "cube.zarr" / "temp" / "c" / "0" / "0" / "0").unlink()
        words = ["featurize", str(out / "cube.zarr"), "--to", str(tmp_path / "new.zarr")]
    else:
        (out / "smb.zarr" / "smb" / "c" / "1" / "0").unlink()
        words = ["report", str(out / "smb.zarr"), "--scores", str(out), "--to", str(tmp_path / "new.html")]
    assert main(words) == 4
    said = capsys.readouterr().err
    assert re.search(r"chunk \w+/c/\d.* is missing; `glacierscale verify STORE --repair`", said), said
    assert "Traceback" not in said
    assert not (tmp_path / "new.html").exists()


def test_an_unfinished_store_ends_with_code_4(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cube = Path(shutil.copytree(small_run / "cube.zarr", tmp_path / "cube.zarr"))
    (cube / ".blocks" / "glacier-000000005.json").unlink()
    assert main(["featurize", str(cube), "--to", str(tmp_path / "new.zarr")]) == 4
    said = capsys.readouterr().err
    assert "is unfinished: 1 blocks are missing, the first is glacier 5..9. Run `glacierscale ingest` as before" in said


@pytest.mark.parametrize("verb", ["featurize", "train", "evaluate", "reconstruct", "report"])
def test_a_target_below_a_file_ends_with_one_message(
    verb: str, small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(_words(verb, small_run, tmp_path / "file" / "target")) in (2, 4)
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "file" in said
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize("verb", ["featurize", "train", "evaluate", "reconstruct", "report"])
def test_a_full_target_ends_with_code_4_and_goes_on_when_there_is_room(
    verb: str, small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = _words(verb, small_run, tmp_path / "target")
    if verb == "report":
        import matplotlib.pyplot  # noqa: F401  (its cache of fonts needs room)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        code = main(words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = capsys.readouterr().err
    assert code == 4, said
    assert "Traceback" not in said
    assert re.search(r"target|cannot be written|too large", said), said
    assert main(words) == 0


def _words(verb: str, run: Path, to: Path) -> list[str]:
    model, features, smb = (str(run / name) for name in ("model", "features.zarr", "smb.zarr"))
    return {
        "featurize": ["featurize", str(run / "cube.zarr")],
        "train": ["train", features, "--options.nets", '["lasso"]', "--options.members", "2",
                  "--options.hold_out", "[]"],
        "evaluate": ["evaluate", model, features, "--options.draws", "100"],
        "reconstruct": ["reconstruct", model, features],
        "report": ["report", smb, "--scores", str(run)],
    }[verb] + ["--to", str(to)]  # fmt: skip


def test_where_a_command_runs_is_said_before_or_after_its_own_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Cluster] = []

    def verb(place: str, *, repair: bool = False) -> None:
        """Do something."""
        assert (place, repair) == ("here", True)
        seen.append(compute.current())

    monkeypatch.setattr(cli, "_load", lambda _: verb)
    before = ["--dask", "tcp://127.0.0.1:1", "--block-timeout-s=9"]
    after = ["--ray", "local:2", "--workers=3", "--gpus-per-worker", "0.5"]
    for words in ([*before, *after, "verify", "here", "--repair"], ["verify", *before, "here", "--repair", *after],
                  [*before, "verify", "here", "--repair", *after]):  # fmt: skip
        assert main(words) == 0
    wanted = Cluster(dask="tcp://127.0.0.1:1", ray="local:2", workers=3, gpus_per_worker=0.5, block_timeout_s=9.0)
    assert seen == [wanted] * 3
    assert compute.current() == Cluster()


def test_the_environment_says_where_a_command_runs_unless_a_flag_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def verb() -> None:
        """Do something."""

    monkeypatch.setenv("GLACIERSCALE_RAY", "local:4")
    monkeypatch.setenv("GLACIERSCALE_WORKERS", "2")
    assert parsing.parse(verb, ["--workers", "3"], "verb")[1] == Cluster(ray="local:4", workers=3)
    monkeypatch.setenv("GLACIERSCALE_WORKERS", "two")
    with pytest.raises(ValueError, match="GLACIERSCALE_WORKERS is 'two'; expected a number"):
        parsing.parse(verb, [], "verb")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (compute.WorkerDiedError("its worker ended"), 4),
        (TimeoutError("took longer than 9 s to load"), 4),
        (HeldError("out is held by a run of another process"), 5),
        (compute.Terminated(), 143),
    ],
)
def test_each_kind_of_end_has_its_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def verb() -> None:
        """Do something."""
        raise error

    monkeypatch.setattr(cli, "_load", lambda _: verb)
    assert main(["verify"]) == code
    said = capsys.readouterr().err
    assert str(error) in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("place", ["threads", "dask", pytest.param("ray", marks=pytest.mark.slow)])
def test_sigterm_ends_with_code_143_leaves_no_process_and_the_same_command_continues(
    place: str, small_run: Path, tmp_path: Path
) -> None:
    target = tmp_path / "features.zarr"
    words = ["featurize", str(small_run / "cube.zarr"), "--to", str(target)]
    where = [] if place == "threads" else [f"--{place}", "local:2"]
    for _ in range(5):  # until it is not through before a busy machine lets us send the signal
        shutil.rmtree(target, ignore_errors=True)
        process = subprocess.Popen(
            [*(loopback.prefix() if place == "ray" else ()), sys.executable, "-m", "glacierscale.cli", *words, *where],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=loopback.environment(),
        )
        seen = family(process, target, 0 if place == "threads" else 3)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=240)
        if process.returncode:
            break
    assert process.returncode == 143, said
    assert "terminated; run the same command again to continue." in said
    assert "Traceback" not in said
    _, left = psutil.wait_procs(seen, timeout=60)
    assert not left
    assert main(words) == 0
    assert not Store.at(target).missing()


def family(process: subprocess.Popen[str], target: Path, count: int) -> set[psutil.Process]:
    """Processes below a command, so many at least, once it has begun to write."""
    parent = psutil.Process(process.pid)
    seen: set[psutil.Process] = set()
    while process.poll() is None and not (target / ".blocks").exists():
        time.sleep(0.001)
    while process.poll() is None and len(seen) < count:
        seen |= set(parent.children(recursive=True))
    return seen


def test_an_interrupt_ends_with_code_130_and_says_how_to_go_on(
    small_run_file: Path, small_raw: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ["run", str(small_run_file), "--to", str(out), "--data", str(small_raw)]
    process = subprocess.Popen(
        [sys.executable, "-m", "glacierscale.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a test run in the background hands on an ignored SIGINT
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.poll() is None and not (out / "cube.zarr" / ".blocks").exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 130, said
    assert "interrupted; run the same command again to continue." in said
    assert "Traceback" not in said
    assert not (out / "report.html").exists()


# Glaciers set aside


@pytest.fixture(scope="module")
def holed(small_raw: Path, small_run_file: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Raw files whose terrain is unknown below a glacier without annual balances, and a run of them to its features."""
    folder = tmp_path_factory.mktemp("holed")
    raw = Path(shutil.copytree(small_raw, folder / "raw"))
    shapes = gpd.read_parquet(raw / "outlines.parquet")
    observed = set(pd.read_csv(raw / "observations.csv").query("obs_kind == 'annual'").obs_unit_id)
    name = next(str(n) for n in shapes.RGIId if n not in observed)
    with rasterio.open(raw / "dem.tif") as raster:
        values, profile = raster.read(), raster.profile
        there = shapes[shapes.RGIId == name].to_crs(raster.crs).geometry
        inside = geometry_mask(there, raster.shape, raster.transform, invert=True, all_touched=True)
    values[:, inside] = np.nan
    with rasterio.open(raw / "dem.tif", "w", **profile) as raster:
        raster.write(values)
    plan = read_plan(small_run_file)
    options = dataclasses.replace(plan.ingest, data=str(raw))
    ingest(small_run_file.parent / plan.catalog, plan.region, to=folder / "cube.zarr", options=options)
    return SimpleNamespace(name=name, raw=raw, cube=folder / "cube.zarr", folder=folder)


def test_a_command_that_set_a_glacier_aside_ends_with_code_3_and_the_reason_each_time(
    holed: SimpleNamespace, small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    features = str(tmp_path / "features.zarr")
    lines = {
        "featurize": (["featurize", str(holed.cube), "--to", features], "no terrain: every cell below lacks"),
        "rasterize": (["rasterize", str(holed.cube), "--to", str(tmp_path / "patches"), "--options.azimuths", "4"],
                      "the elevation is unknown on"),
        "reconstruct": (["reconstruct", str(small_run / "model"), features, "--to", str(tmp_path / "smb.zarr")],
                        "no terrain: every cell below lacks"),
    }  # fmt: skip
    for words, reason in lines.values():
        for _ in range(2):
            assert main(words) == 3
            said = capsys.readouterr()
            told = said.err[said.err.index("glacierscale: 1 glaciers were set aside:") :].splitlines()
            assert len(told) == 3
            assert told[1].startswith(f"  {holed.name}: {reason}")
            assert told[2].startswith("All others are done. Go on with them, or mend the data")
            assert str(tmp_path) in said.out


def test_a_run_goes_on_without_a_glacier_and_ends_with_code_3(
    holed: SimpleNamespace, small_run_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", str(small_run_file), "--to", str(tmp_path / "out"), "--data", str(holed.raw)]
    assert main(words) == 3
    said = capsys.readouterr()
    assert re.search(rf"glacierscale: 1 glaciers were set aside:\n  {holed.name}: no terrain", said.err)
    assert re.search(r"Held-out root mean square error, kg m-2 .*\n +lasso +mlp .*\nlogo +\d+ +\d+ ", said.err)
    assert said.out.strip() == str(tmp_path / "out" / "report.html")


def test_of_many_glaciers_set_aside_ten_are_named_and_the_others_counted(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["rasterize", str(small_run / "cube.zarr"), "--to", str(tmp_path), "--options.buckets", "[8, 10]"]
    assert main([*words, "--options.coarsest_m", "100", "--options.azimuths", "4"]) == 3
    told = capsys.readouterr().err.splitlines()
    assert told[-13] == "glacierscale: 12 glaciers were set aside:"
    assert all(re.match(r"  RGI60-99\.\d+: the outline spans", line) for line in told[-12:-2])
    assert told[-2] == "  and 2 more"


def test_the_help_names_every_exit_code() -> None:
    for text in (cli.__doc__, cli._EXAMPLES):
        said = " ".join(str(text).split())
        assert re.search(r"3 done,? but", said)
        assert re.search(r"5 another run holds the output.* 130 interrupted.* 143 terminated", said)


# Catalogues and completion


@pytest.mark.shared
def test_catalog_check_refuses_every_hostile_catalogue(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    files = sorted((shared / "hostile_catalogs" / "hostile").glob("*.yaml"))
    assert len(files) >= 20
    for file in files:
        for verb in ("check", "show"):
            assert main(["catalog", verb, str(file)]) == 2, (verb, file.name)
            said = capsys.readouterr()
            assert file.name in said.err, (verb, file.name)
            assert "Traceback" not in said.err
    assert not list(tmp_path.iterdir())


@pytest.mark.shared
def test_catalog_check_accepts_every_benign_catalogue(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted((shared / "hostile_catalogs" / "benign").glob("*.yaml"))
    assert len(files) >= 5
    for file in [*files, *sorted((ROOT / "catalogs").glob("*.yaml"))]:
        assert main(["catalog", "check", str(file)]) == 0, file.name
        assert "accepted" in capsys.readouterr().out


def test_catalog_show_lists_every_entry_with_its_role(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "show", str(ROOT / "catalogs" / "demo.yaml")]) == 0
    told = capsys.readouterr().out
    for name in ("climate", "dem", "thickness", "outlines", "inventories", "observations"):
        assert name in told


def test_catalog_show_lists_every_file_with_its_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "show", str(ROOT / "catalogs" / "oetztal.yaml"), "--files"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    by_path = {path: (entry, address) for entry, path, address in rows}
    entry, address = by_path["oetztal/HISTALP_oetztal.nc"]
    assert entry == "histalp"
    assert address.startswith("https://")
    assert by_path["oetztal/wgms/mbdata_WGMS-00489.csv"] == ("wgms_annual", "no public address")
    assert main(["catalog", "show", str(ROOT / "catalogs" / "cloud.yaml"), "--files"]) == 0
    assert "\tgs://" in capsys.readouterr().out


def test_the_bash_completion_is_accepted_by_bash_and_knows_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "completion.sh"
    assert main(["completion", "bash"]) == 0
    script.write_text(capsys.readouterr().out)
    subprocess.run(["bash", "-n", str(script)], check=True)
    asked = f"source {script}; COMP_WORDS=(glacierscale re); COMP_CWORD=1; _shtab_glacierscale; echo ${{COMPREPLY[@]}}"
    found = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True).stdout.split()
    assert sorted(found) == ["reconstruct", "report"]


def test_an_unknown_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(**_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(cli, "_load", lambda _: bug)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["demo"])


def test_what_a_run_on_icechunk_set_aside_is_looked_for_where_the_run_was_put(tmp_path: Path) -> None:
    from glacierscale import provenance, schema

    to = f"icechunk+file://{tmp_path}/run"
    static = xr.Dataset(
        {"channel": ("channel", ["slope"]), "channel_units": ("channel", ["degree"])}
        | {"month": ("month", np.arange(1, 13))}
    )
    stamp = provenance.Stamp(verb="rasterize", options={}, inputs={})
    made = Store(f"{to}/patches_008.zarr", schema.PATCHES)
    made.declare(static, stamp, sizes={"glacier": 1, "y": 8, "x": 8})
    assert telling._stores_of(to) == telling._stores_of(f"{to}/") == (made,)
