"""Where a training runs: in this process, or dealt out over processes of Ray Train."""

from __future__ import annotations

import math
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from glacierscale import compute
from glacierscale.training.checkpoints import Arrays, Checkpoints, OnStep, Watch
from glacierscale.training.shares import Machine, Share, deal, whole

Train = Callable[[Any, Any, Share, Machine, Watch], Arrays]

_KILLED_AT_MOST = 20
_STARTS_AT_MOST = 10
_LOOK_S = 0.5
_ANSWER_WITHIN_S = 60
_MOVED_WITHIN_S = 300
"""What is learned from, results and gradients"""


class _OthersFailedError(Exception):
    """Another process of the same training met an error, which the driver raises."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """One training: what every process of it needs to know."""

    train: Train
    """Trains a share: `ensemble.train` or `raster_task.train`."""
    fitting: Any
    """How long and how fast."""
    networks: int
    """How many there are."""
    divisible: bool
    """Whether steps can be cut into pieces."""
    accelerator: str
    """Lightning's name of the hardware, where the training is not on Ray."""
    checkpoints: Checkpoints | None
    """Where states are kept; None keeps none."""


def run(course: Course, lesson: Any, *, on_step: OnStep = lambda step, loss: None) -> Arrays:
    """Train all networks where `compute.current` says.

    Parameters
    ----------
    course : Course
    lesson : Any
        What the networks learn from.
    on_step : callable
        Called with the steps that all networks have taken and their loss on the rows that they leave out, NaN where
        they tell none.

    Returns
    -------
    dict
        Parameters by name, each (network, ...).

    Raises
    ------
    Exception
        What training raises, from whichever process.
    """
    cluster = compute.current()
    here = Watch(whole(course.networks), course.checkpoints, on_step)
    on_ray = cluster.ray or (cluster.workers > 1 and not cluster.dask)
    finished = here.resume() if on_ray else None
    if on_ray and not (finished is not None and finished.done):  # no processes are needed to say what is known
        with compute.ray_session():
            return _on_ray(course, lesson, cluster, on_step)
    machine = Machine(accelerator=course.accelerator, threads=compute.cores())
    return course.train(lesson, course.fitting, here.share, machine, here)


def _on_ray(course: Course, lesson: Any, cluster: compute.Cluster, tell: OnStep) -> Arrays:
    import ray
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    options: Any = ray.train  # its types are those of another version of the interface
    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    workers, each = _room(cluster, int(there.get("CPU", 1)), there.get("GPU", 0.0))
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)  # lives as long as we
    kind: Any = ray.remote(_Desk)
    desk = kind.options(num_cpus=0, scheduling_strategy=here).remote()
    config = {
        "course": ray.put(course),
        "lesson": ray.put(lesson),  # once, however many processes read it
        "desk": desk,
        "gpu": bool(each),
    }
    resources = {"CPU": 1.0, **({"GPU": each} if each else {})}
    with tempfile.TemporaryDirectory(prefix="glacierscale-train-") as folder, _told(desk, tell):
        trainer = TorchTrainer(
            _work,
            train_loop_config=config,
            torch_config=TorchConfig(
                backend="nccl" if each >= 1 else "gloo",  # which takes one process on a GPU
                timeout_s=_MOVED_WITHIN_S,
            ),
            scaling_config=options.ScalingConfig(
                num_workers=workers, use_gpu=bool(each), resources_per_worker=resources
            ),
            run_config=options.RunConfig(
                name=uuid.uuid4().hex,  # what is resumed is what `Checkpoints` kept, not a run of Ray's
                storage_path=folder,
                failure_config=options.FailureConfig(
                    max_failures=_KILLED_AT_MOST, controller_failure_limit=_STARTS_AT_MOST
                ),
            ),
        )
        trainer.fit()
    error, parts = ray.get(desk.outcome.remote(), timeout=_MOVED_WITHIN_S)
    if error is not None:
        raise error
    if sum(share.count for share, _ in parts) != course.networks:
        raise RuntimeError(f"only {len(parts)} processes of a training on Ray told a result; run the command again.")
    return {name: np.concatenate([arrays[name] for _, arrays in parts]) for name in parts[0][1]}


def _room(cluster: compute.Cluster, cores: int, gpus: float) -> tuple[int, float]:
    """How many processes to start on a Ray cluster of so many cores and GPUs, and how many GPUs each takes."""
    each = cluster.gpus_per_worker or (1.0 if gpus else 0.0)
    room = cores
    if each:  # a process has its share of one GPU, or whole ones
        room = min(cores, int(gpus * int(1 / each) if each < 1 else gpus / each))
    if not room:
        raise ValueError(f"gpus_per_worker is {each:g}, but the Ray cluster has {gpus:g} GPUs; lower it.")
    return min(cluster.workers or room, room), each


def _work(config: dict[str, Any]) -> None:
    """One process of a training."""
    import ray
    import ray.train
    import ray.train.torch

    course, lesson = ray.get([config["course"], config["lesson"]], timeout=_MOVED_WITHIN_S)
    context, desk = ray.train.get_context(), config["desk"]
    if ray.get(desk.failed.remote(), timeout=_ANSWER_WITHIN_S):
        return
    workers = context.get_world_size()
    share = deal(course.networks, workers, divisible=course.divisible)[context.get_world_rank()]
    if not share.count:
        return
    gpu = ray.train.torch.get_device().index if config["gpu"] else -1
    threads = max(1, compute.cores() // context.get_local_world_size())
    machine = Machine(accelerator="gpu" if config["gpu"] else "cpu", device=gpu, threads=threads)
    teller = _Teller(desk, share)
    watch = Watch(share, course.checkpoints, teller)
    try:
        arrays = course.train(lesson, course.fitting, share, machine, watch)
    except _OthersFailedError:
        return
    except Exception as error:
        ray.get(desk.fail.remote(_plain(error)), timeout=_ANSWER_WITHIN_S)
        if share.pieces > 1:  # the others wait for this one's gradients
            raise
        return
    if share.piece == 0:
        ray.get(desk.take.remote(share, arrays, teller.step, teller.loss), timeout=_MOVED_WITHIN_S)


class _Teller:
    """Tells the driver of steps, twice a second."""

    def __init__(self, desk: Any, share: Share) -> None:
        self.desk, self.share, self.step, self.loss, self.last = desk, share, 0, math.nan, 0.0
        self.answer: Any = None

    def __call__(self, step: int, loss: float) -> None:
        import ray

        self.step, self.loss, now = step, loss, time.monotonic()
        if now - self.last < _LOOK_S:
            return
        if self.answer is not None and ray.get(self.answer, timeout=_ANSWER_WITHIN_S):
            raise _OthersFailedError
        self.answer, self.last = self.desk.tell.remote(self.share, step, loss), now


class _Desk:
    """What processes of a training tell the driver; an actor."""

    def __init__(self) -> None:
        self.steps: dict[Share, tuple[int, float]] = {}
        self.results: dict[int, tuple[Share, Arrays]] = {}
        self.error: Exception | None = None

    def tell(self, share: Share, step: int, loss: float) -> bool:
        """Take note of a step; whether to go on is pointless."""
        self.steps[share] = step, loss
        return self.error is not None

    def fail(self, error: Exception) -> None:
        """Keep the first error."""
        self.error = self.error or error

    def failed(self) -> bool:
        """Whether there was one."""
        return self.error is not None

    def take(self, share: Share, arrays: Arrays, step: int, loss: float) -> None:
        """Keep a result."""
        self.results[share.start] = share, arrays
        self.steps = {other: seen for other, seen in self.steps.items() if other.start != share.start}
        self.steps[share] = step, loss

    def seen(self) -> tuple[int, float]:
        """Steps that all processes have taken that are not through, and the mean loss of all networks."""
        if not self.steps:
            return 0, math.nan
        steps, losses = zip(*self.steps.values(), strict=True)
        left = [step for share, (step, _) in self.steps.items() if share.start not in self.results]
        return min(left, default=max(steps)), float(np.average(losses, weights=[share.count for share in self.steps]))

    def outcome(self) -> tuple[Exception | None, list[tuple[Share, Arrays]]]:
        """The first error, and results in order of networks."""
        return self.error, [self.results[start] for start in sorted(self.results)]


@contextmanager
def _told(desk: Any, tell: OnStep) -> Iterator[None]:
    """Pass on how far all processes are."""
    import ray

    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_S):
            with suppress(ray.exceptions.RayError):  # who waits for the result says what is wrong
                step, loss = ray.get(desk.seen.remote(), timeout=_ANSWER_WITHIN_S)
                if step:
                    tell(step, loss)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
        tell(*ray.get(desk.seen.remote(), timeout=_ANSWER_WITHIN_S))
    finally:
        ended.set()
        thread.join(timeout=5)


def _plain(error: Exception) -> Exception:
    """An error without the frames it was raised in, so that it travels."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error
