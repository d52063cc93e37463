"""Named files, the same in a folder and on an S3 server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glacierscale.store.blocks import StoreError
from glacierscale.store.files import Files


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "files")
    return str(request.getfixturevalue("s3").url(f"files/{tmp_path.name}"))


def test_files_are_written_read_named_and_removed(url: str) -> None:
    files = Files.at(url)
    assert files.names() == []
    assert files.read("model.json") is None
    assert files.version("model.json") == ""
    files.delete("model.json")
    files.write("model.json", b"{}")
    files.write("members/0.safetensors", b"0")
    files.write("members/1.safetensors", b"1")
    assert files.names() == ["members/0.safetensors", "members/1.safetensors", "model.json"]
    assert files.names("mod") == ["model.json"]
    assert files.names("members/1") == ["members/1.safetensors"]
    assert files.read("members/1.safetensors") == b"1"
    files.delete("members/1.safetensors")
    assert files.names("members/") == ["members/0.safetensors"]


def test_the_version_of_a_file_changes_when_it_is_written(url: str) -> None:
    files = Files.at(url)
    files.write("table.csv", b"one")
    before = files.version("table.csv")
    assert files.version("table.csv") == before
    files.write("table.csv", b"two")
    assert files.version("table.csv") != before


def test_naming_a_place_makes_nothing(tmp_path: Path) -> None:
    assert Files.at(tmp_path / "new").names() == []
    assert not (tmp_path / "new").exists()
    assert Files.at(Files(str(tmp_path))) == Files(str(tmp_path))


@pytest.mark.parametrize("below", ["", "/inner", "/inner/deeper"])
def test_a_place_inside_a_store_is_refused(url: str, below: str) -> None:
    Files.at(url).write("cube.zarr/zarr.json", b"{}")
    with pytest.raises(ValueError, match=r"lies inside the store .*cube.zarr; write beside it"):
        Files.at(f"{url}/cube.zarr{below}")
    Files.at(f"{url}/beside").write("a", b"")


def test_files_of_a_folder_cannot_be_named_outside_of_it(url: str) -> None:
    Files.at(url).write("a", b"")
    with pytest.raises(StoreError, match=r"\.\./secret cannot be read"):
        Files.at(url).read("../secret")


@pytest.mark.parametrize("fault", ["503", "500", "half", "hang"])
def test_files_come_whole_through_passing_faults(fault_proxy: Any, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    monkeypatch.setenv("GLACIERSCALE_IO_TIMEOUT_S", "5")
    files = Files.at(fault_proxy.server.url("faults"))
    if fault != "half":
        fault_proxy.inject(fault, methods="PUT", first=1)
    files.write("a", b"content" * 1000)
    fault_proxy.inject(fault, methods="GET", first=1)
    assert files.read("a") == b"content" * 1000
    assert fault_proxy.injected[fault] == (1 if fault == "half" else 2)


@pytest.mark.parametrize(("fault", "said"), [("403", "access was denied"), ("expired", "Renew")])
def test_a_place_that_may_not_be_read_is_named(fault_proxy: Any, fault: str, said: str) -> None:
    files = Files.at(fault_proxy.server.url("denied"))
    fault_proxy.inject(fault)
    for request in (lambda: files.read("a"), lambda: files.write("a", b""), files.names, lambda: files.version("a")):
        with pytest.raises(StoreError, match=rf"s3://ice/denied.* cannot be .*{said}"):
            request()
    assert fault_proxy.injected[fault] == 4
