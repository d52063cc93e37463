"""An object store that fails: what passes by is waited out, what stays is named in time, and a rerun completes."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import xarray as xr

from glacierscale.store import Store
from glacierscale.store.files import Files
from tests import servers
from tests.faults import ranges, running
from tests.faults.conftest import Told

FAULTS = ("503", "500", "half", "hang", "403", "expired")
STAGES = ("featurize", "reconstruct")
_PASSES = ("503", "500", "half", "hang")
_NAMED = {
    "503": r"overloaded or broken|503",
    "500": r"overloaded or broken|500",
    "half": "broke off",
    "hang": "did not answer in time",
    "403": "access was denied",
    "expired": "token has expired",
}
_INPUT = {"featurize": ("cube.zarr",), "reconstruct": ("features.zarr", "model")}
_OUTPUT = {"featurize": "features.zarr", "reconstruct": "smb.zarr"}


@pytest.fixture(scope="session")
def server() -> Iterator[servers.S3]:
    """One server for the faults of object stores."""
    with servers.seaweed() as found:
        yield found


@pytest.fixture
def proxy(server: servers.S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[servers.FaultProxy]:
    """A proxy before the server; this process speaks to the server itself, with no credentials of its user."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    own = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no"), "AWS_CONFIG_FILE": str(tmp_path / "none")}
    for name, value in (own | server.environment).items():
        monkeypatch.setenv(name, value)
    with servers.faulty(server) as made:
        yield made


def upload(folder: Path, url: str) -> None:
    """Copy a folder."""
    files = Files(url)
    if not files.names():
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                files.write(path.relative_to(folder).as_posix(), path.read_bytes())


class Bench:
    """A stage that reads from and writes to the server through the proxy."""

    def __init__(
        self, given: ranges.Range, stage: str, proxy: servers.FaultProxy, folder: Path, timeout_s: float
    ) -> None:
        self.given, self.stage, self.proxy, self.folder = given, stage, proxy, folder
        inputs, self.out = proxy.server.url(f"inputs-{given.folder.name}"), proxy.server.url(folder.name)
        for name in _INPUT[stage]:
            upload(given.input(ranges.NEEDS[stage][0]) / name, f"{inputs}/{name}")
        more = ["--options.net", "mlp", "--options.maps", "false"] if stage == "reconstruct" else []
        self.words = [*given.words(stage, self.out, inputs=inputs), *more]
        self.env = {**proxy.environment, "GLACIERSCALE_IO_TIMEOUT_S": f"{timeout_s:g}", "HOME": str(folder)}
        self.env |= {"AWS_SHARED_CREDENTIALS_FILE": str(folder / "no"), "AWS_CONFIG_FILE": str(folder / "none")}
        code, said = running.run([*given.words(stage, folder / "calm"), *more], folder / "said")
        assert code == 0, said[-3000:]

    def run(self) -> tuple[int, str, float]:
        """Exit code, words and seconds of the command."""
        since = time.monotonic()
        code, said = running.run(self.words, self.folder / "said", env=self.env)
        assert servers.SECRET_KEY not in said
        assert "Signature=" not in said
        return code, said, time.monotonic() - since

    def check_values(self) -> None:
        """Compare what lies on the server with what the disk holds."""
        name = _OUTPUT[self.stage]
        there, here = Store.at(f"{self.out}/{name}"), Store.at(self.folder / "calm" / name)
        assert there.verify() == []
        assert there.stamp.fingerprint == here.stamp.fingerprint
        kept, mine = there.open().load(), here.open().load()
        xr.testing.assert_equal(kept, mine)

    def clean(self) -> None:
        """Remove the output."""
        files = Files(self.out)
        for name in files.names():
            files.delete(name)


def passing(bench: Bench, fault: str, told: Told) -> None:
    """Some requests fail; the command recovers, or, where that is no fault that passes, a rerun does."""
    since = time.monotonic()
    bench.proxy.inject(fault, every=9, first=12 if fault != "hang" else 2)
    code, said, _ = bench.run()
    fired = bench.proxy.injected[fault]
    assert fired > 0
    if fault in _PASSES:
        assert code == 0, said[-3000:]
    elif code != 0:  # nobody can know that such an answer would change
        assert code in (2, 4), said[-3000:]
        assert re.search(_NAMED[fault], said), said[-3000:]
        bench.proxy.clear()
        again, said, _ = bench.run()
        assert again == 0, said[-3000:]
    bench.check_values()
    row = {"fired": fired, "recovered": fired, "seconds": time.monotonic() - since, "exit": code}
    told(f"S3 {fault}, some requests", bench.stage, **row)


def staying(bench: Bench, fault: str, told: Told, *, seconds: float = 60.0) -> None:
    """Every request fails after a while; the command ends in time with a named error, and a rerun completes."""
    since = time.monotonic()
    # Once reading has gone well, writing fails; broken-off bodies are of answers that have one.
    which = {"path": "/inputs"} if fault == "half" else {"methods": "PUT", "path": "/c/"}
    bench.proxy.inject(fault, **which)
    code, said, took = bench.run()
    fired = bench.proxy.injected[fault]
    assert fired > 0
    assert code in (2, 4), said[-3000:]
    assert re.search(_NAMED[fault], said), said[-3000:]
    assert "Traceback" not in said
    assert took < seconds
    bench.proxy.clear()
    again, said, _ = bench.run()
    assert again == 0, said[-3000:]
    bench.check_values()
    row = {"fired": fired, "recovered": 1, "seconds": time.monotonic() - since, "exit": code}
    told(f"S3 {fault}, all requests", bench.stage, **row, named_after_s=round(took, 1))


def test_requests_that_are_refused_for_a_while_do_not_fail_featurize(
    small: ranges.Range, proxy: servers.FaultProxy, tmp_path: Path, told: Told
) -> None:
    passing(Bench(small, "featurize", proxy, tmp_path, 20), "503", told)


def test_a_server_that_stays_silent_is_named_and_a_rerun_completes(
    small: ranges.Range, proxy: servers.FaultProxy, tmp_path: Path, told: Told
) -> None:
    staying(Bench(small, "featurize", proxy, tmp_path, 6), "hang", told, seconds=30)


@pytest.mark.campaign
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_that_pass(
    small: ranges.Range, proxy: servers.FaultProxy, tmp_path: Path, told: Told, fault: str, stage: str
) -> None:
    passing(Bench(small, stage, proxy, tmp_path, 20), fault, told)


@pytest.mark.campaign
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_that_stay(
    small: ranges.Range, proxy: servers.FaultProxy, tmp_path: Path, told: Told, fault: str, stage: str
) -> None:
    # Twice with the patience that users have; the rest is as patient in proportion.
    patience = 60 if (fault, stage) in (("503", "featurize"), ("hang", "reconstruct")) else 15
    staying(Bench(small, stage, proxy, tmp_path, patience), fault, told)
