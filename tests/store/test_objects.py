"""Objects of folders and of a real S3 server: whole or not at all, through faults, without a secret in a message."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import zarr

from glacierscale.store.blocks import NoStoreError, StoreError
from glacierscale.store.objects import Objects, Recording, Strict
from tests.servers import web

DATA = np.random.default_rng(0).bytes(300_000)
SECRET = "secret-of-the-test-server"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> float:
    """A small budget, so that what never answers is given up soon."""
    monkeypatch.setenv("GLACIERSCALE_IO_TIMEOUT_S", "5")
    return 5.0


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> float:
    """A tiny budget, for what must fail."""
    monkeypatch.setenv("GLACIERSCALE_IO_TIMEOUT_S", "2")
    return 2.0


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "folder":
        return Objects(str(tmp_path / "objects"), create=True)
    return Objects(request.getfixturevalue("s3").url(f"objects/{tmp_path.name}"), create=True)


def request(place: Objects, doing: str) -> Any:
    """One request of each kind."""
    return {
        "get": lambda: place.get("there"),
        "put": lambda: place.put("fresh", DATA),
        "create": lambda: place.create("created", DATA),
        "delete": lambda: place.delete("gone"),
        "version": lambda: bool(place.version("there")),
        "keys": lambda: place.keys(""),
    }[doing]()


def test_an_object_is_written_read_listed_told_apart_and_removed(place: Objects) -> None:
    assert place.empty()
    assert place.get("a/b") is None
    assert place.version("a/b") == ""
    place.put("a/b", b"one")
    first = place.version("a/b")
    place.put("a/b", b"second")
    assert place.get("a/b") == b"second"
    assert place.version("a/b") not in ("", first)
    assert not place.empty()
    assert place.keys("") == place.keys("a") == place.present(["a/b", "c"]) == {"a/b"}
    assert place.has(["a/b"])
    assert not place.has(["a/b", "c"])
    place.delete("a/b")
    place.delete("a/b")
    assert place.keys("") == set()


def test_only_the_first_of_two_creates_an_object(place: Objects) -> None:
    assert place.create("a", b"first")
    assert not place.create("a", b"second")
    assert place.get("a") == b"first"


def test_a_large_object_comes_back_whole(place: Objects) -> None:
    large = DATA * 70
    place.put("large", large)
    assert place.get("large") == large


def test_a_lease_is_no_part_of_what_lies_in_a_place(place: Objects) -> None:
    place.put(".lease/000001.json", b"{}")
    assert place.empty()
    place.put("inner/.lease/000001.json", b"{}")
    assert place.keys("") == set()
    assert place.keys(".lease") == {".lease/000001.json"}


def test_objects_travel_to_another_process_without_secrets(s3: Any) -> None:
    place = Objects(s3.url("travel"))
    place.put("a", DATA)
    for sent in (
        cloudpickle.dumps(place),
        cloudpickle.dumps(place.handle),
        cloudpickle.dumps(place.zarr(read_only=True)),
    ):
        assert SECRET.encode() not in sent
    code = "import pickle,sys; sys.stdout.buffer.write(pickle.load(sys.stdin.buffer).get('a'))"
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(place), capture_output=True, check=True)
    assert done.stdout == DATA


@pytest.mark.parametrize("doing", ["get", "put", "create", "delete", "version", "keys"])
@pytest.mark.parametrize(("fault", "times"), [("503", 3), ("500", 3), ("hang", 1)])
def test_a_passing_fault_of_the_server_is_overcome(
    fault_proxy: Any, quick: float, tmp_path: Path, fault: str, times: int, doing: str
) -> None:
    place = Objects(fault_proxy.server.url(f"passing/{tmp_path.name}"))
    place.put("there", DATA)
    fault_proxy.inject(fault, first=times)
    answer = request(place, doing)
    assert fault_proxy.injected[fault] == times
    expected = {"get": DATA, "create": fault != "hang" or answer, "version": True, "keys": {"there"}}
    assert answer == expected.get(doing)
    fault_proxy.clear()
    assert place.get({"put": "fresh", "create": "created"}.get(doing, "there")) == DATA


@pytest.mark.parametrize("doing", ["get", "put", "create", "delete", "version", "keys"])
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("503", "the server is overloaded or broken .*503.* Later run the same command again"),
        ("500", "the server is overloaded or broken .*500.* Later run the same command again"),
        ("hang", "the server did not answer in time .* Check the endpoint and the network"),
        ("403", "access was denied .*403.* Check the credentials"),
        ("expired", "(the access token has expired .*ExpiredToken|the server refused the request .*400).* Renew"),
    ],
)
def test_a_lasting_fault_of_the_server_ends_in_time_and_in_words(
    fault_proxy: Any, hurried: float, fault: str, said: str, doing: str
) -> None:
    place = Objects(fault_proxy.server.url("lasting"))
    fault_proxy.inject(fault)
    begun = time.monotonic()
    with pytest.raises(StoreError, match=f"s3://ice/lasting.* cannot be .*: {said}"):
        request(place, doing)
    assert time.monotonic() - begun < hurried + 20  # of the 60 that users wait
    assert fault_proxy.injected[fault] >= 1


def test_an_answer_that_breaks_off_is_asked_for_again(fault_proxy: Any, quick: float) -> None:
    place = Objects(fault_proxy.server.url("half"))
    place.put("a", DATA)
    fault_proxy.inject("half", methods="GET", first=3)
    assert place.get("a") == DATA
    assert fault_proxy.injected["half"] == 3
    fault_proxy.inject("half", methods="GET")
    with pytest.raises(StoreError, match=r"the answer broke off .* Later run the same command again"):
        place.get("a")


def test_every_third_request_may_fail(fault_proxy: Any, quick: float) -> None:
    place = Objects(fault_proxy.server.url("every"))
    fault_proxy.inject("503", every=3)
    for number in range(9):
        place.put(f"{number}", DATA)
        assert place.get(f"{number}") == DATA
    assert fault_proxy.injected["503"] >= 6


@pytest.mark.parametrize("fault", ["503", "half", "hang"])
def test_zarr_reads_and_writes_through_a_passing_fault(
    fault_proxy: Any, quick: float, tmp_path: Path, fault: str
) -> None:
    place = Objects(fault_proxy.server.url(f"zarr/{tmp_path.name}"))
    values = np.arange(1000.0).reshape(10, 100)
    recording = Recording(place.zarr(read_only=False), place)
    if fault != "half":
        fault_proxy.inject(fault, methods="PUT", first=1)
    zarr.create_array(recording, shape=values.shape, chunks=(5, 100), dtype=values.dtype)[...] = values
    fault_proxy.inject(fault, methods="GET", first=1)
    np.testing.assert_array_equal(zarr.open_array(Strict(place.zarr(read_only=True), place), mode="r")[...], values)
    assert fault_proxy.injected[fault] == (1 if fault == "half" else 2)
    assert set(recording.written) == place.keys("")


def test_an_absent_chunk_and_a_lasting_fault_are_named_to_zarr(fault_proxy: Any, hurried: float) -> None:
    place = Objects(fault_proxy.server.url("strict"))
    zarr.create_array(place.zarr(read_only=False), name="smb", shape=(2,), chunks=(2,), dtype="f4")
    array = zarr.open_array(Strict(place.zarr(read_only=True), place), path="smb", mode="r")
    with pytest.raises(StoreError, match="chunk smb/c/0 is missing"):
        array[...]
    fault_proxy.inject("503")
    with pytest.raises(StoreError, match="cannot be read: the server is overloaded"):
        array[...]


@pytest.mark.parametrize("doing", ["get", "put", "keys"])
def test_no_secret_stands_in_an_error_its_causes_or_the_log(
    fault_proxy: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, hurried: float, doing: str
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token-of-the-test-session")
    for fault in ("503", "403", "expired"):
        fault_proxy.inject(fault, first=40)
        try:
            request(Objects(fault_proxy.server.url("quoting")), doing)
        except StoreError as error:
            text = "".join(traceback.format_exception(error)) + repr(error) + repr(getattr(error, "__notes__", ""))
        else:
            pytest.fail("no error")
        fault_proxy.clear()
        for secret in (SECRET, "token-of-the-test-session", "Signature="):
            assert secret not in text + caplog.text


def test_what_is_signed_with_other_keys_is_denied(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    with pytest.raises(
        StoreError, match=r"access was denied \(403 .*SignatureDoesNotMatch.* Check the credentials"
    ) as caught:
        Objects(s3.url("denied")).put("a", b"")
    assert "another-secret" not in str(caught.value)


def test_without_credentials_requests_go_unsigned_and_writing_says_so(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreError, match=r"No credentials were found .*AWS_PROFILE"):
        Objects(s3.url("open")).put("a", b"")


def test_a_missing_bucket_a_silent_address_and_a_missing_folder_are_named(
    s3: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quick: float
) -> None:
    with pytest.raises(StoreError, match=r"there is no such bucket .* Create it"):
        Objects("s3://nowhere/a").get("b")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match=r"the server cannot be reached .* Check the endpoint"):
        Objects(s3.url("a")).get("b")
    with pytest.raises(NoStoreError, match="there is no such folder"):
        Objects(str(tmp_path / "absent"))


def test_names_of_objects_are_not_taken_for_signs(tmp_path: Path) -> None:
    place = Objects(str(tmp_path))
    with pytest.raises(StoreError, match="the request failed"):
        place.get("../NoSuchBucket/503 AccessDenied")


def test_a_web_place_is_read_object_by_object_and_never_written(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(DATA)
    with web(tmp_path) as url:
        place = Objects(f"{url}/a")
        assert place.get("b") == DATA
        assert place.get("c") is None
        assert place.present(["b", "c"]) == {"b"}
        with pytest.raises(StoreError, match="cannot be listed over https"):
            place.keys("")
        with pytest.raises(StoreError, match="read only over https"):
            place.put("d", b"")
        with pytest.raises(StoreError, match="read only over https"):
            place.create("d", b"")


def test_a_budget_that_is_no_number_of_seconds_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GLACIERSCALE_IO_TIMEOUT_S", "soon")
    with pytest.raises(ValueError, match="GLACIERSCALE_IO_TIMEOUT_S is 'soon'; expected seconds"):
        Objects(str(tmp_path))


WRITE = "from glacierscale.store.objects import Objects; Objects({0!r}, create=True).put('a', bytes(8 << 20))"


def in_own_mounts(script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount; skips where the user may not."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting in a namespace of one's own is not allowed here")
    return subprocess.run(["unshare", "-m", "bash", "-c", script], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("mount", "said"),
    [
        ("-o size=4m", "the disk is full .* Free some space"),
        ("-o ro", "the place is read-only .* Write to another place"),
    ],
)
def test_a_full_and_a_read_only_disk_are_named_and_leave_nothing(tmp_path: Path, mount: str, said: str) -> None:
    import re

    code = WRITE.format(str(tmp_path / ("disk" if "ro" in mount else "disk/new")))
    done = in_own_mounts(
        f"mkdir {tmp_path}/disk && mount -t tmpfs {mount} none {tmp_path}/disk && "
        f"{sys.executable} -c {code!r}; find {tmp_path}/disk -type f"
    )
    assert re.search(f"StoreError: .*: {said}", done.stderr), done.stderr
    assert done.stdout == ""


def test_a_killed_writer_leaves_no_half_object_under_its_name(tmp_path: Path) -> None:
    code = f"import os, glacierscale.store.objects as o; p = o.Objects({str(tmp_path)!r}); print('ready', flush=True)\n"
    code += "while True: p.put('a', bytes(64 << 20))"
    half = 0
    for number in range(30):
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.03 + 0.037 * (number % 3))
        writer.kill()
        writer.wait()
        writer.stdout.close()
        half += any("#" in name for name in os.listdir(tmp_path))
        place = Objects(str(tmp_path))
        assert place.keys("") <= {"a"}
        assert place.get("a") in (None, bytes(64 << 20))
        if number >= 2 and half:
            return
    pytest.fail("no kill hit a write")


def test_zarr_is_told_of_objects_while_other_tasks_run(place: Objects) -> None:
    async def both() -> None:
        from zarr.core.buffer import default_buffer_prototype

        recording = Recording(place.zarr(read_only=False), place)
        buffer = default_buffer_prototype().buffer
        await asyncio.gather(*(recording.set(f"c/{n}", buffer.from_bytes(DATA)) for n in range(8)))
        assert len(recording.written) == 8

    asyncio.run(both())


def test_what_fails_on_behalf_of_zarr_is_named_with_its_place(fault_proxy: Any) -> None:
    from zarr.core.buffer import default_buffer_prototype

    place, prototype = Objects(fault_proxy.server.url("named")), default_buffer_prototype()
    fault_proxy.inject("403")
    with pytest.raises(StoreError, match=rf"^{place.url}/a cannot be read: access was denied"):
        asyncio.run(Strict(place.zarr(read_only=True), place).get("a", prototype))
    with pytest.raises(StoreError, match=rf"^{place.url}/a cannot be written: access was denied"):
        asyncio.run(Recording(place.zarr(read_only=False), place).set("a", prototype.buffer.from_bytes(DATA)))
