"""Training in processes that end early, and on Ray: the same parameters whoever trained them, and however often."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glacierscale import compute
from glacierscale.training import workers
from glacierscale.training.checkpoints import Watch
from glacierscale.training.shares import Machine, Share
from glacierscale.training.workers import Course

SCRIPT = str(Path(__file__).parent / "training_script.py")
NAMESPACE = ("unshare", "-n", "-p", "-f", "--kill-child=SIGKILL", "--mount-proc")
LOOPBACK = ("bash", "-c", 'ip link set lo up; exec "$@"', "_")
alone = pytest.mark.skipif(
    shutil.which("unshare") is None or os.geteuid() != 0, reason="Ray is tested in a namespace of its own, as root"
)


def started(folder: Path, *arguments: str, every_s: float = 0.0) -> subprocess.Popen[str]:
    """The script on its way."""
    folder.mkdir(exist_ok=True)
    ray = NAMESPACE + LOOPBACK if "--ray" in arguments else ()
    return subprocess.Popen(
        [*ray, sys.executable, SCRIPT, str(folder), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "GLACIERSCALE_CHECKPOINT_SECONDS": str(every_s), "RAY_AUTH_MODE": "disabled"},
    )


def trained(folder: Path, *arguments: str, every_s: float = 0.0) -> list[str]:
    """What the script printed."""
    with started(folder, *arguments, every_s=every_s) as process:
        said, _ = process.communicate()
    assert process.returncode == 0, said
    return said.splitlines()


def lines_until(process: subprocess.Popen[str], wanted: Callable[[str], bool]) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        yield line.strip()
        if wanted(line.strip()):
            return
    raise AssertionError("the script ended before it said so")


def ended_at(step: int, how: signal.Signals, folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code of the script, ended when it says that step, and what it said after."""
    with started(folder, *arguments) as process:
        list(lines_until(process, lambda line: line == f"step {step}"))
        process.send_signal(how)
        said, _ = process.communicate()
    return process.returncode, said


def assert_same(one: Path, other: Path, kind: str, atol: float = 0.0) -> None:
    """Parameters in two folders, bit for bit unless a tolerance is given."""
    found, expected = np.load(one / f"{kind}.npz"), np.load(other / f"{kind}.npz")
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=atol, err_msg=name)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parameters of every kind, trained here without a break."""
    folder = tmp_path_factory.mktemp("undisturbed")
    trained(folder, "mlp", "raster", "single")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "raster"])
def test_a_training_that_is_killed_and_then_terminated_goes_on_to_the_same_bits(
    kind: str, undisturbed: Path, tmp_path: Path
) -> None:
    folder, arguments = tmp_path / "run", (kind, "--pause-s", "0.03", "--keep", str(tmp_path / "kept"))
    code, _ = ended_at(8, signal.SIGKILL, folder, *arguments)
    assert code == -signal.SIGKILL
    with started(folder, *arguments, every_s=3600.0) as process:  # saves when asked to end, and not before
        began = beginning(next(lines_until(process, lambda line: True)))
        list(lines_until(process, lambda line: line == f"step {began + 5}"))
        process.terminate()
        said, _ = process.communicate()
    assert process.returncode == 143
    assert 7 <= began < 90
    ended = int(said.split("asked to end after step ")[1].split(";")[0])
    assert began + 5 <= ended < 100
    assert not (folder / f"{kind}.npz").exists()
    assert beginning(trained(folder, *arguments)[0]) == ended
    assert_same(folder, undisturbed, kind)


def beginning(line: str) -> int:
    """The step at which the script says that it begins."""
    return int(line.removeprefix("begins at "))


@alone
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_workers_of_ray_train_the_same_networks_as_one_process(undisturbed: Path, tmp_path: Path) -> None:
    said = trained(tmp_path, "mlp", "raster", "single", "--ray", "2")
    assert said.count("step 100") == 3
    assert_same(tmp_path, undisturbed, "mlp")
    assert_same(tmp_path, undisturbed, "raster")
    assert_same(tmp_path, undisturbed, "single", atol=2e-3)  # sums of pieces are rounded in another order


@alone
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_training_whose_driver_is_killed_goes_on_with_more_workers(undisturbed: Path, tmp_path: Path) -> None:
    keep = ("--keep", str(tmp_path / "kept"))
    code, _ = ended_at(3, signal.SIGKILL, tmp_path / "run", "raster", *keep, "--ray", "1")
    assert code == -signal.SIGKILL
    assert not (tmp_path / "run" / "raster.npz").exists()
    said = trained(tmp_path / "run", "raster", *keep, "--ray", "2")
    assert 1 <= beginning(said[0]) < 100
    assert_same(tmp_path / "run", undisturbed, "raster")


@alone
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_worker_of_ray_is_started_again_and_goes_on(undisturbed: Path, tmp_path: Path) -> None:
    keep = ("--keep", str(tmp_path / "kept"))
    said = trained(tmp_path / "run", "raster", *keep, "--ray", "2", "--kill-worker-at", "2", every_s=0.1)
    (killed,) = [line for line in said if line.startswith("killed after ")]
    assert int(killed.removeprefix("killed after ")) < 100
    assert_same(tmp_path / "run", undisturbed, "raster")


def test_a_course_runs_in_this_process_unless_told_otherwise() -> None:
    seen: list[tuple[Share, Machine]] = []
    told: list[tuple[int, float]] = []

    def train(lesson: Any, fitting: Any, share: Share, machine: Machine, watch: Watch) -> dict[str, np.ndarray]:
        seen.append((share, machine))
        for step in (1, 2, 5):  # a process that continues has taken some before
            watch.after(step, dict, done=step == 5, terminated=False, loss=step / 10)
        return {"lesson": np.array(lesson), "fitting": np.array(fitting)}

    course = Course(train=train, fitting=3, networks=4, divisible=True, accelerator="cpu", checkpoints=None)
    found = workers.run(course, [1, 2], on_step=lambda *at: told.append(at))
    assert (found["lesson"].tolist(), int(found["fitting"])) == ([1, 2], 3)
    ((share, machine),) = seen
    assert (share.start, share.stop, share.pieces) == (0, 4, 1)
    assert (machine.accelerator, machine.threads) == ("cpu", compute.cores())
    assert told == [(1, 0.1), (2, 0.2), (5, 0.5)]


@pytest.mark.parametrize(
    ("cluster", "cores", "gpus", "expected"),
    [
        ({}, 6, 0.0, (6, 0.0)),
        ({"workers": 4}, 6, 0.0, (4, 0.0)),
        ({"workers": 9}, 6, 0.0, (6, 0.0)),  # what it has no room for would be waited for
        ({"workers": 9}, 16, 2.0, (2, 1.0)),
        ({"gpus_per_worker": 0.4}, 16, 2.0, (4, 0.4)),  # a worker takes its share of one GPU
        ({"gpus_per_worker": 0.4}, 3, 2.0, (3, 0.4)),
        ({"gpus_per_worker": 2.0}, 16, 5.0, (2, 2.0)),
    ],
)
def test_there_are_as_many_workers_as_the_cluster_has_room_for(
    cluster: dict[str, Any], cores: int, gpus: float, expected: tuple[int, float]
) -> None:
    assert workers._room(compute.Cluster(**cluster), cores, gpus) == expected


def test_workers_that_want_more_gpus_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match=r"gpus_per_worker is 4, but the Ray cluster has 2 GPUs; lower it\."):
        workers._room(compute.Cluster(gpus_per_worker=4.0), 8, 2.0)


def test_progress_is_that_of_the_slowest_and_the_first_error_counts() -> None:
    desk = workers._Desk()
    first, later = Share(start=0, stop=1, of=4), Share(start=1, stop=4, of=4)
    assert desk.seen()[0] == 0
    assert not desk.tell(first, 7, 1.0)
    assert not desk.tell(later, 3, 2.0)
    assert desk.seen() == (3, 1.75)  # the mean over networks
    late, early = ValueError("late"), ValueError("early")
    desk.fail(early)
    desk.fail(late)
    assert desk.failed()
    assert desk.tell(later, 4, 2.0)  # nothing is gained by going on
    desk.take(later, {"a": np.ones(3)}, 3, 2.0)
    assert desk.seen() == (7, 1.75)  # who is through keeps nobody waiting
    desk.take(first, {"a": np.zeros(1)}, 20, 1.0)
    error, parts = desk.outcome()
    assert error is early
    assert [share.start for share, _ in parts] == [0, 1]
    assert desk.seen() == (20, 1.75)
