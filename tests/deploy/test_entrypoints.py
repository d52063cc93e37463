"""Programs of the image, run as its pods run them: a clean root, no rights, only /tmp to write to, no network."""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.manifests import DEPLOY, ROOT

JOB = DEPLOY / "image" / "glacierscale-job"
_OUTER = ("unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child")
_USER = "setpriv --reuid 1000 --regid 1000 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all"
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")
_DEVICES = ("null", "zero", "random", "urandom")


@functools.cache
def permitted() -> str:
    """Why no clean root can be made here; empty where it can."""
    missing = [tool for tool in ("unshare", "setpriv", "chroot", "mount", "ip") if shutil.which(tool) is None]
    if missing:
        return f"needs {', '.join(missing)}"
    tried = subprocess.run(
        [*_OUTER, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True, check=False
    )
    return tried.stderr.strip()


@dataclass(frozen=True)
class Image:
    """What the image has, as folders: the unpacked wheel, and what is copied beside it."""

    files: Path
    """Becomes /opt/glacierscale."""
    environment: dict[str, str]
    """That of the ConfigMap."""

    def run(self, words: Sequence[str], *, root: Path, mounts: dict[Path, str], **more: str) -> Any:
        """Run a program as a pod would; `mounts` are folders that it may write to."""
        root.mkdir()
        place = shlex.quote(str(root))
        binds = {path: path for path in (*_SYSTEM, sys.prefix, sys.base_prefix) if Path(path).exists()}
        binds |= {str(self.files): "/opt/glacierscale"}
        lines = ["set -e", "ip link set lo up", "mount --make-rprivate /"]
        lines += [f"mount -t tmpfs -o mode=755 none {place}", f"cd {place}"]
        lines += ["mkdir -p tmp proc dev etc opt", "mount -t tmpfs -o mode=1777 none tmp", "mount -t proc none proc"]
        lines += ["echo 'jovyan:x:1000:1000::/home/jovyan:/bin/sh' > etc/passwd", "echo 'jovyan:x:1000:' > etc/group"]
        lines += ["echo '127.0.0.1 localhost features-scheduler' > etc/hosts"]
        lines += [_bind(source, target, "ro") for source, target in sorted(binds.items(), key=lambda pair: pair[1])]
        lines += [_bind(f"/dev/{name}", f"/dev/{name}", "rw") for name in _DEVICES]
        lines += [_bind(str(source), target, "rw") for source, target in mounts.items()]
        lines += ["mkdir dev/shm", "mount -t tmpfs -o mode=1777,size=64m none dev/shm", "mount -o remount,ro,bind ."]
        given = {**self.environment, "PATH": f"/opt/glacierscale/bin:{sys.prefix}/bin:/usr/bin:/bin", **more}
        given |= {"PYTHONPATH": "/opt/glacierscale/site", "OMP_NUM_THREADS": "1"}
        inner = shlex.join(["env", "-i", *(f"{name}={value}" for name, value in given.items()), *words])
        lines += [f"exec chroot . {_USER} sh -c {shlex.quote(f'cd /opt/glacierscale; exec {inner}')}"]
        return subprocess.run([*_OUTER, "sh", "-c", "\n".join(lines)], capture_output=True, text=True, check=False)


def _bind(source: str, target: str, how: str) -> str:
    path = shlex.quote(target.lstrip("/"))
    made = f"mkdir -p {path}" if Path(source).is_dir() else f"mkdir -p $(dirname {path}); touch {path}"
    # A link of the system, such as /bin to /usr/bin, is followed: what it leads to is mounted in its place.
    return f"{made}; mount --bind {shlex.quote(source)} {path}; mount -o remount,bind,{how} {path}"


def copy(recipe: str, folder: Path) -> None:
    """Copy what a stage of a recipe copies, to below a folder."""
    for *sources, target in (line.split() for line in re.findall(r"^COPY (?:--\S+ )*(.*)$", recipe, re.MULTILINE)):
        for source in sources:
            place = folder / target.lstrip("/") / (source if target.endswith("/") else "")
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, place)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image's own files, from a wheel built as the recipe builds it."""
    if permitted():
        pytest.skip(f"a clean root is made with rights that are missing here: {permitted()}")
    folder = tmp_path_factory.mktemp("image")
    build, final = re.split(r"^FROM .*", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    source, files = folder / "source", folder / "opt" / "glacierscale"
    copy(build, source)
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(words, cwd=source, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(files / "site")
    copy(final, folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    lines = (DEPLOY / "k8s" / "base" / "environment.env").read_text().splitlines()
    return Image(files, dict(line.split("=", 1) for line in lines if line and line[0] != "#"))


@pytest.fixture
def data(tmp_path: Path, cube: Any) -> Path:
    """A folder that the user of the image may write to, with a cube, and above it only folders that all may enter."""
    folder = tmp_path / "data"
    shutil.copytree(cube.url, folder / "cube.zarr")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 1000, 1000)
    return folder


def table(folder: Path, *lines: str) -> str:
    """Write a table of commands below /data; its path there."""
    (folder / "table.txt").write_text("# a comment\n\n" + "\n".join(lines) + "\n")
    return "/data/table.txt"


def test_a_stage_runs_without_rights_from_a_read_only_image(image: Image, data: Path, tmp_path: Path) -> None:
    words = ["glacierscale-job", table(data, "featurize ${OUT}/cube.zarr --to ${OUT}/features.zarr")]
    ended = image.run(words, root=tmp_path / "root", mounts={data: "/data"}, OUT="/data")
    assert ended.returncode == 0, ended.stderr
    assert "+ glacierscale featurize /data/cube.zarr --to /data/features.zarr" in ended.stderr
    assert (data / "features.zarr").stat().st_uid == 1000
    assert sorted(path.name for path in data.iterdir()) == ["cube.zarr", "features.zarr", "table.txt"]


def test_the_root_is_as_confined_as_it_claims(image: Image, data: Path, tmp_path: Path) -> None:
    script = (
        "import os, glacierscale, pathlib; print(os.getuid(), os.getgroups(), glacierscale.__file__);"
        "status = pathlib.Path('/proc/self/status').read_text(); print(status[status.index('CapEff'):][8:24]);"
        "print([p for p in ('/', '/opt/glacierscale', '/usr', '/etc', '/tmp', '/data') if os.access(p, os.W_OK)]);"
        f"print(os.path.exists({str(ROOT / 'pyproject.toml')!r}))"
    )
    ended = image.run(["python", "-c", script], root=tmp_path / "root", mounts={data: "/data"})
    assert ended.returncode == 0, ended.stderr
    who, rights, writable, seen = ended.stdout.splitlines()
    assert who == "1000 [] /opt/glacierscale/site/glacierscale/__init__.py"
    assert int(rights, 16) == 0
    assert writable == "['/tmp', '/data']"
    assert seen == "False"


def test_the_dask_job_does_its_work_with_the_commands_of_its_pods(image: Image, data: Path, tmp_path: Path) -> None:
    [job] = yaml.safe_load_all((DEPLOY / "k8s" / "dask" / "features.yaml").read_text())
    cluster = job["spec"]["cluster"]["spec"]
    pods = [cluster["scheduler"]["spec"], cluster["worker"]["spec"], job["spec"]["job"]["spec"]]
    containers = [one for pod in pods for one in (*pod.get("initContainers", []), *pod["containers"])]
    words = [shlex.join([*one.get("command", []), *one.get("args", [])]) for one in containers]
    scheduler, worker, wait, runner = words
    for name in ("scandinavia", "iceland"):
        shutil.copytree(data / "cube.zarr", data / name / "cube.zarr")
        for path in (data / name, *(data / name).rglob("*")):
            os.chown(path, 1000, 1000)
    worker = worker.replace("'$(DASK_WORKER_NAME)'", "one")
    script = f"{scheduler} >/tmp/s 2>&1 & {worker} >/tmp/w 2>&1 & {wait} && {runner} || {{ cat /tmp/?; exit 1; }}"
    mounts = {data: "/data", DEPLOY / "k8s" / "base" / "commands": "/etc/glacierscale"}
    told = {"OUT": "/data", "DASK_SCHEDULER_ADDRESS": "tcp://features-scheduler:8786"}  # the latter by the operator
    ended = image.run(["sh", "-c", script], root=tmp_path / "root", mounts=mounts, **told)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "--dask tcp://features-scheduler:8786" in ended.stderr
    for made in ("scandinavia/features.zarr", "iceland/features.zarr", "iceland/patches_*.zarr"):
        assert any(data.glob(made)), made


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_training_runs_on_ray_with_the_parameters_of_its_pods(image: Image, data: Path, tmp_path: Path) -> None:
    [job] = yaml.safe_load_all((DEPLOY / "k8s" / "ray" / "train.yaml").read_text())
    cluster = job["spec"]["rayClusterSpec"]
    head = cluster["headGroupSpec"]["rayStartParams"]
    worker = {**cluster["workerGroupSpecs"][0]["rayStartParams"], "num-cpus": "2"}  # KubeRay takes it from the requests
    small = "--options.nets [mlp] --options.hold_out [loyo] --options.members 2 --options.epochs 2"
    words = table(
        data,
        "featurize ${OUT}/cube.zarr --to ${OUT}/features.zarr",
        f"train ${{OUT}}/features.zarr --to ${{OUT}}/model {small} --ray auto --workers 2",
    )
    started = [f"ray start --head {flags(head)}", f"ray start --address 127.0.0.1:6379 {flags(worker)}"]
    script = " && ".join([f"{line} >>/tmp/ray.log 2>&1" for line in started]) + f" && glacierscale-job {words}"
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a-token-as-the-operator-makes-it"}
    ended = image.run(
        ["sh", "-c", f"{script} || {{ cat /tmp/ray.log; exit 1; }}"],
        root=tmp_path / "root",
        mounts={data: "/data"},
        OUT="/data",
        **token,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (data / "model" / "model.json").is_file()
    assert "--ray auto --workers 2" in ended.stderr


def flags(parameters: dict[str, str]) -> str:
    """Parameters of `ray start` as KubeRay hands them on."""
    return " ".join(f"--{name}={value}" for name, value in parameters.items())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_smoke_test_of_the_cluster_passes_on_a_smaller_range(image: Image, data: Path, tmp_path: Path) -> None:
    [job] = yaml.safe_load_all((DEPLOY / "k8s" / "batch" / "smoke.yaml").read_text())
    [container] = job["spec"]["template"]["spec"]["containers"]
    words = [word.replace("$(OUT)", "/data") for word in container["command"]]
    words += ["--options.glaciers", "8", "--options.observed", "5", "--options.first_year", "2004"]
    ended = image.run(words, root=tmp_path / "root", mounts={data: "/data"})
    assert ended.returncode == 0, ended.stderr
    assert (data / "demo" / "report.html").stat().st_size > 100_000


def job(*words: str, **environment: str) -> Any:
    """Run the program of batch jobs here."""
    given = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, str(JOB), *words], capture_output=True, text=True, check=False, env=given)


def test_an_index_runs_its_own_line(tmp_path: Path) -> None:
    file = tmp_path / "table.txt"
    file.write_text("--help\n# not counted\n--version\n")
    ended = job("--indexed", str(file), JOB_COMPLETION_INDEX="1")
    assert ended.returncode == 0
    assert ended.stdout.startswith("glacierscale ")
    assert "usage" not in ended.stdout


def test_without_an_index_all_lines_run_until_one_fails(tmp_path: Path) -> None:
    file = tmp_path / "table.txt"
    file.write_text("--version\nverify ${WHERE}/none.zarr\n--help\n")
    ended = job(str(file), WHERE=str(tmp_path))
    assert ended.returncode in (2, 4)
    assert ended.stdout.startswith("glacierscale ")
    assert str(tmp_path / "none.zarr") in ended.stderr
    assert "usage" not in ended.stdout


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (["--indexed", "TABLE"], {"JOB_COMPLETION_INDEX": "2"}, r"INDEX is 2, but \S+ has 2 commands; set completions"),
        (["--indexed", "TABLE"], {}, "JOB_COMPLETION_INDEX is not set; an indexed job sets it"),
        (["TABLE"], {}, r"asks for \$\{WHERE\}, which the environment lacks; set it"),
        (["none.txt"], {}, "No such file"),
        ([], {}, "expected one table"),
    ],
)
def test_what_cannot_be_run_is_wrong_input(
    tmp_path: Path, words: list[str], environment: dict[str, str], said: str
) -> None:
    file = tmp_path / "table.txt"
    file.write_text("--version\nverify ${WHERE}\n")
    ended = job(*(str(file) if word == "TABLE" else word for word in words), **environment)
    assert ended.returncode == 2
    assert re.search(said, ended.stderr)
    assert "Traceback" not in ended.stderr


def test_glaciers_that_were_set_aside_are_told_and_are_no_failure(tmp_path: Path, cube: Any) -> None:
    file = tmp_path / "table.txt"
    small = "--options.buckets [8,10] --options.coarsest_m 100 --options.azimuths 4"
    file.write_text(f"rasterize ${{CUBE}} --to ${{OUT}} {small}\n--version\n")
    ended = job(str(file), OUT=str(tmp_path), CUBE=cube.url)
    assert ended.returncode == 0, ended.stderr
    assert "the outline spans" in ended.stderr
    assert "glacierscale-job: done; the glaciers named above were set aside." in ended.stderr
    assert ended.stdout.splitlines()[-1].startswith("glacierscale "), "the next line is run"
