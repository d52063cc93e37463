"""Command lines in manifests, the runbook and the image are ones that our own parser takes."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import distributed.cli.dask_scheduler
import distributed.cli.dask_worker
import pytest

from glacierscale import cli
from glacierscale.cli import parsing
from glacierscale.compute import Cluster
from glacierscale.pipeline import read_plan
from tests.deploy import manifests
from tests.deploy.manifests import DEPLOY, ROOT, named, pods

Objects = list[dict[str, Any]]
ENVIRONMENT = {"OUT": "s3://ice/all", "DATA": "/data"}
TABLES = sorted((DEPLOY / "k8s").rglob("commands/*.txt"))


def parsed(words: list[str]) -> tuple[dict[str, Any], Cluster]:
    """What a command line of ours gives to its verb, or an error with what the parser said."""
    if words in (["--version"], ["--help"]):
        return {}, Cluster()
    table = cli._CATALOG if words[0] == "catalog" else cli.COMMANDS
    words = words[1:] if words[0] == "catalog" else words
    assert words[0] in table, f"no command {words[0]!r}"
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return parsing.parse(cli._load(table[words[0]][0]), words[1:], words[0])
    except SystemExit:
        raise AssertionError(f"{shlex.join(words)}: {said.getvalue()}") from None


@pytest.mark.parametrize("file", TABLES, ids=lambda file: str(file.relative_to(DEPLOY / "k8s")))
def test_every_line_of_a_table_is_a_command_and_names_files_of_the_image(file: Path) -> None:
    lines = manifests.table(file.read_text(), **ENVIRONMENT)
    assert lines
    for words in lines:
        given, _ = parsed(words)
        for name in ("catalog", "file"):
            assert (ROOT / str(given.get(name, "."))).exists()


def test_a_wrong_option_in_a_table_would_be_found() -> None:
    with pytest.raises(AssertionError, match="nots"):
        parsed(["train", "features.zarr", "--to", "model", "--options.nots", "[lasso]"])


def test_commands_of_containers_are_ours_or_of_libraries_that_know_their_options(objects: Objects) -> None:
    known = {
        "worker": {option for p in distributed.cli.dask_worker.main.params for option in (*p.opts, *p.secondary_opts)},
        "scheduler": {option for p in distributed.cli.dask_scheduler.main.params for option in p.opts},
    }
    for pod in pods(objects):
        for container in pod["containers"]:
            words = [*container.get("command", []), *container.get("args", [])]
            if words[:1] == ["dask"]:
                flags = {word for word in words[2:] if word.startswith("--")}
                assert flags <= known[words[1]]
            elif words[:1] == ["glacierscale"]:
                parsed([word.replace("$(OUT)", ENVIRONMENT["OUT"]) for word in words[1:]])
            elif words:
                assert words[0] in ("glacierscale-job", "sleep")


def test_features_are_made_on_the_scheduler_that_the_job_brings(built: dict[str, Objects]) -> None:
    for overlay in ("cpu", "gpu"):
        job = named(built[overlay], "DaskJob", "features")
        [port] = [p for p in job["spec"]["cluster"]["spec"]["scheduler"]["service"]["ports"] if p["name"] == "tcp-comm"]
        text = named(built[overlay], "ConfigMap", "glacierscale-commands")["data"]["features.txt"]
        for words in manifests.table(text, **ENVIRONMENT):
            assert parsed(words)[1].dask == f"tcp://{job['metadata']['name']}-scheduler:{port['port']}"


@pytest.mark.parametrize(("overlay", "region"), [("cpu", "scandinavia"), ("gpu", "scandinavia"), ("gpu", "iceland")])
def test_a_region_is_told_the_same_step_by_step_and_in_its_run_file(
    built: dict[str, Objects], overlay: str, region: str
) -> None:
    tables = dict(named(built[overlay], "ConfigMap", "glacierscale-commands")["data"])
    out = f"{ENVIRONMENT['OUT']}/{region}"
    [whole] = [w for w in manifests.table(tables.pop("reconstruct.txt"), **ENVIRONMENT) if w[-1] == out]
    lines = [words for text in tables.values() for words in manifests.table(text, **ENVIRONMENT)]
    steps = {words[0]: parsed(words)[0] for words in lines if any(f"{word}/".startswith(f"{out}/") for word in words)}
    file = ROOT / str(whole[1])
    plan, patches = read_plan(file), {"rasterize": out} if region == "iceland" else {}
    assert steps["ingest"]["region"] == plan.region
    assert steps["ingest"]["options"] == replace(plan.ingest, data=ENVIRONMENT["DATA"])
    assert (file.parent / plan.catalog).resolve() == ROOT / str(steps["ingest"]["catalog"])
    for verb in {"featurize", "train", "evaluate"} | set(patches):
        assert steps[verb]["options"] == getattr(plan, verb), verb
    assert {verb: str(given["to"]) for verb, given in steps.items()} == patches | {
        "ingest": f"{out}/cube.zarr",
        "featurize": f"{out}/features.zarr",
        "train": f"{out}/model",
        "evaluate": out,
    }


def test_gpus_train_only_nets_that_gain_from_them(built: dict[str, Objects]) -> None:
    gain = {"hybrid", "cnn"}
    tables = named(built["gpu"], "ConfigMap", "glacierscale-commands")["data"]
    for job in (one for one in built["gpu"] if one["kind"] == "RayJob"):
        words = manifests.table(tables[job["spec"]["entrypoint"].split("/")[-1]], **ENVIRONMENT)[0]
        given, cluster = parsed(words)
        assert set(given["options"].nets) & gain == (set(given["options"].nets) if cluster.gpus_per_worker else set())


def shell_lines(text: str) -> list[str]:
    """Lines of the blocks of code of a page, continued ones joined."""
    blocks = re.findall(r"^ *```bash\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines()]


def test_every_command_of_the_runbook_is_one_of_ours_or_names_what_exists(built: dict[str, Objects]) -> None:
    lines = shell_lines((DEPLOY / "RUNBOOK.md").read_text())
    ours = [found[1] for line in lines if (found := re.search(r"(?:^|-- |:dev )glacierscale (.*)", line))]
    assert len(ours) == 5
    for words in ours:
        parsed(shlex.split(words))
    there = {f"{one['kind'].lower()}/{one['metadata']['name']}" for one in built["gpu"]}
    there |= {"service/features-scheduler", "job/train"}  # the operators'
    for line in lines:
        for path in re.findall(r"(?<![\w/:])deploy/[\w./-]+", line):
            assert (ROOT / path).exists(), line
        for name in re.findall(r"\b(?:job|pod|service|rayjob|daskjob)/[\w-]+", line):
            assert name in there, line


def test_every_line_of_the_runbook_for_kubectl_has_options_that_it_knows(kubectl: str) -> None:
    lines = [line for line in shell_lines((DEPLOY / "RUNBOOK.md").read_text()) if line.startswith("kubectl ")]
    inner = [found for line in lines for found in re.findall(r"\$\((kubectl .*?\})\'\)", line)]
    assert (len(lines) > 30, len(inner)) == (True, 2)
    for line in [*lines, *(f"{one}'" for one in inner)]:
        words = shlex.split(re.sub(r"\$\(.*?\)", "x", line.split(" | ")[0]), comments=True)
        own = words[1 : words.index("--") if "--" in words else None]
        said = subprocess.run([kubectl, *own, "--help"], capture_output=True, text=True, check=False)
        assert said.returncode == 0, f"{line}: {said.stderr}"


def test_each_step_of_the_runbook_is_waited_for_before_the_next_is_started(built: dict[str, Objects]) -> None:
    lines = shell_lines((DEPLOY / "RUNBOOK.md").read_text().split("## Start")[1].split("## Watch")[0])
    steps = [found[1] for line in lines if (found := re.search(r"apply .*component=(\w+)", line))]
    assert steps == ["setup", "volume", "data", "smoke", "ingest", "features", "train", "reconstruct"]
    made = {
        step: [f"{o['kind']}/{o['metadata']['name']}".lower() for o in built["gpu"] if step_of(o) == step]
        for step in steps
    }
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        found = re.search(r"apply .*component=(\w+)", line)
        if found and found[1] not in ("setup", "volume"):
            waited = re.search(r" wait (\S+) --for=\S+ --timeout=\d+[mh]$|^ended (\S+)$", following)
            assert waited, line
            assert (waited[1] or waited[2]) in made[found[1]]


@pytest.mark.parametrize(
    ("kind", "status", "said", "code"),
    [
        (
            "job",
            {"conditions": [{"type": "Suspended", "status": "False"}, {"type": "Complete", "status": "True"}]},
            "Complete",
            0,
        ),
        ("job", {"conditions": [{"type": f, "status": "True"} for f in ("FailureTarget", "Failed")]}, "Failed", 1),
        ("daskjob", {"jobStatus": "Successful"}, "Successful", 0),
        ("daskjob", {"jobStatus": "Failed"}, "Failed", 1),
        ("rayjob", {"jobStatus": "SUCCEEDED", "jobDeploymentStatus": "Complete"}, "Complete", 0),
        ("rayjob", {"jobStatus": "FAILED", "jobDeploymentStatus": "Failed"}, "Failed", 1),
        ("rayjob", {"jobStatus": "FAILED", "jobDeploymentStatus": "Retrying"}, "waiting", 7),
        ("job", {}, "waiting", 7),
    ],
)
def test_the_runbook_notices_the_end_and_the_failure_of_a_job(
    kubectl: str, tmp_path: Path, kind: str, status: dict[str, Any], said: str, code: int
) -> None:
    lines = shell_lines((DEPLOY / "RUNBOOK.md").read_text())
    start = lines.index("ended() {")
    ended = "\n".join(lines[start : lines.index("}", start) + 1])
    version = {"job": "batch/v1", "daskjob": "kubernetes.dask.org/v1", "rayjob": "ray.io/v1"}[kind]
    names = {"job": "Job", "daskjob": "DaskJob", "rayjob": "RayJob"}
    one = {"apiVersion": version, "kind": names[kind], "metadata": {"name": "one"}, "status": status}
    (tmp_path / "one.json").write_text(json.dumps(one))
    # The path is evaluated by kubectl itself, on a file in place of a cluster; going to sleep ends the test.
    get = f'kubectl() {{ {shlex.quote(kubectl)} annotate --local -f one.json read=yes "${{@:5}}"; }}'
    script = f"{get}\nsleep() {{ echo waiting; exit 7; }}\n{ended}\nended {kind}/one"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[-1]) == (code, said), done.stderr


def step_of(one: dict[str, Any]) -> str:
    """The step that an object belongs to."""
    return str(one["metadata"]["labels"]["app.kubernetes.io/component"])


def test_an_overlay_of_the_runbook_has_the_steps_that_are_started_on_it(built: dict[str, Objects]) -> None:
    for overlay, step in re.findall(r"overlays/(\w+) -l \S*component=(\w+)", (DEPLOY / "RUNBOOK.md").read_text()):
        assert any(one["metadata"]["labels"]["app.kubernetes.io/component"] == step for one in built[overlay])
