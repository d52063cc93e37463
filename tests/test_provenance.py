"""Stamps: what made an output, and the refusal of what was made otherwise."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from glacierscale import provenance
from glacierscale.provenance import Input, Stamp, StampMismatch


def stamp(**changed: Any) -> Stamp:
    made: dict[str, Any] = {
        "verb": "train",
        "options": {"members": 3, "nested": {"a": (1, 2)}},
        "inputs": {"features": Input(url="../features.zarr", fingerprint="abc")},
    }
    return Stamp(**{**made, **changed})


def test_a_stamp_survives_the_way_through_json() -> None:
    assert Stamp.from_dict(stamp().as_dict()) == stamp()
    stamp().refuse_unless_same(stamp().as_dict(), "x")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"verb": "ingest"}, "verb: there 'ingest', now 'train'"),
        ({"options": {"members": 4, "nested": {"a": (1, 2)}}}, "options.members: there 4, now 3"),
        ({"options": {"members": 3, "nested": {"a": (1, 3)}}}, r"options.nested.a: there \[1, 3\], now \[1, 2\]"),
        ({"options": {"members": 3}}, "options.nested.a: there 'absent'"),
        ({"version": "0.0.1"}, "version: there '0.0.1'"),
        ({"schema_version": 0}, "schema_version: there 0, now"),
        (
            {"inputs": {"features": Input(url="../features.zarr", fingerprint="other")}},
            "inputs.features: there 'other'",
        ),
    ],
)
def test_every_decisive_difference_is_named_and_changes_the_fingerprint(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(StampMismatch, match=rf"(?s)out/model was made otherwise:.*{words}.*Write to another place"):
        stamp().refuse_unless_same(stamp(**changed).as_dict(), "out/model")
    assert stamp(**changed).fingerprint != stamp().fingerprint


@pytest.mark.parametrize(
    "changed", [{"commit": "123"}, {"inputs": {"features": Input(url="/moved", fingerprint="abc")}}]
)
def test_the_commit_and_the_place_of_an_input_do_not_decide(changed: dict[str, Any]) -> None:
    stamp().refuse_unless_same(stamp(**changed).as_dict(), "x")
    assert stamp(**changed).fingerprint == stamp().fingerprint


class Kept:
    """A folder of files in memory."""

    url = "memory"

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    def write(self, name: str, data: bytes) -> None:
        self.files[name] = data


def test_a_table_carries_its_stamp_and_refuses_another() -> None:
    table, folder = pd.DataFrame({"value": [1.0, 2.0]}), Kept()
    provenance.write_table(table, folder, "scores.parquet", stamp())
    data = folder.files["scores.parquet"]
    pd.testing.assert_frame_equal(provenance.read_table(data), table)
    provenance.refuse_other_table(data, stamp(), "out/scores.parquet")
    assert provenance.stamp_of_table(data, "out/scores.parquet") == stamp()
    with pytest.raises(StampMismatch, match=r"out/scores\.parquet was made .*\n  verb: there 'train', now 'evaluate'"):
        provenance.refuse_other_table(data, stamp(verb="evaluate"), "out/scores.parquet")
    assert list(folder.files) == ["scores.parquet"]


def test_the_same_table_is_the_same_bytes() -> None:
    folder = Kept()
    for name in ("a", "b"):
        provenance.write_table(pd.DataFrame({"v": [1.0]}), folder, name, stamp())
    assert folder.files["a"] == folder.files["b"]


def test_a_table_of_unknown_origin_and_what_is_no_table_are_refused(tmp_path: Path) -> None:
    pd.DataFrame({"value": [1.0]}).to_parquet(tmp_path / "scores.parquet")
    with pytest.raises(StampMismatch, match="verb: there 'absent'"):
        provenance.refuse_other_table((tmp_path / "scores.parquet").read_bytes(), stamp(), "x")
    for data in (b"", b"ice"):
        with pytest.raises(StampMismatch, match=r"out/scores\.parquet is no Parquet table \(.*\); remove it"):
            provenance.stamp_of_table(data, "out/scores.parquet")


def test_digests_are_sha256_and_a_folder_digest_sees_names_and_content(tmp_path: Path) -> None:
    assert provenance.digest("ice") == provenance.digest(b"ice") == hashlib.sha256(b"ice").hexdigest()
    (tmp_path / "a").write_text("ice")
    assert provenance.file_digest(tmp_path / "a") == provenance.digest("ice")
    seen = {provenance.file_digest(tmp_path)}
    (tmp_path / "a").write_text("snow")
    seen.add(provenance.file_digest(tmp_path))
    (tmp_path / "a").rename(tmp_path / "b")
    seen.add(provenance.file_digest(tmp_path))
    assert len(seen) == 3


def test_inputs_beside_their_output_are_told_relative_so_that_a_moved_folder_stays_whole(tmp_path: Path) -> None:
    assert provenance.relative(tmp_path / "cube.zarr", tmp_path / "smb.zarr") == "../cube.zarr"
    for bucket in ("s3://ice", "s3://ice/alps/run", "abfs://ice", "gs://ice/a b", "icechunk+s3://ice/alps"):
        assert provenance.relative(f"{bucket}/cube.zarr", f"{bucket}/smb.zarr") == "../cube.zarr"
        assert provenance.relative(f"{bucket}/model", f"{bucket}/smb.zarr") == "../model"
    assert provenance.relative("s3://ice/run/raw/x.yaml", "s3://ice/run/cube.zarr") == "../raw/x.yaml"


def test_inputs_elsewhere_are_told_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert provenance.relative("s3://ice/cube.zarr", tmp_path) == "s3://ice/cube.zarr"
    assert provenance.relative("s3://ice/cube.zarr", "s3://rock/smb.zarr") == "s3://ice/cube.zarr"
    assert provenance.relative("s3://ice/run1/cube.zarr", "s3://ice/run/smb.zarr") == "s3://ice/run1/cube.zarr"
    assert provenance.relative("s3://ice/cube.zarr", "gs://ice/smb.zarr") == "s3://ice/cube.zarr"
    assert provenance.relative("/data/cube.zarr", "s3://ice/smb.zarr") == "/data/cube.zarr"
    monkeypatch.chdir(tmp_path)
    assert provenance.relative("demo.yaml", "s3://ice/smb.zarr") == f"{tmp_path}/demo.yaml"


def test_options_become_plain_json_types() -> None:
    @dataclasses.dataclass(frozen=True)
    class Options:
        place: Path = Path("a/b")
        years: tuple[int, int] = (1, 2)

    assert provenance.options_dict(Options()) == {"place": "a/b", "years": [1, 2]}


def test_inputs_are_found_from_where_their_output_lies(tmp_path: Path) -> None:
    assert provenance.found_from(str(tmp_path / "a" / "cube.zarr"), "../x.yaml") == str(tmp_path / "a" / "x.yaml")
    assert provenance.found_from("s3://bucket/cube.zarr", "s3://bucket/x") == "s3://bucket/x"
    assert provenance.found_from(str(tmp_path), "s3://bucket/x") == "s3://bucket/x"
    assert provenance.found_from("s3://bucket/run/smb.zarr", "../model") == "s3://bucket/run/model"
    assert provenance.found_from("s3://bucket/smb.zarr", "../../../model") == "s3://bucket/model"
    assert provenance.found_from("s3://bucket/smb.zarr", "/data/raw") == "/data/raw"
    assert provenance.found_from("s3://bucket/smb.zarr", "") == ""


@pytest.mark.parametrize("folder", ["s3://ice", "s3://ice/alps/run", "icechunk+s3://ice/run", "/data/run", "/"])
@pytest.mark.parametrize("there", ["model", "raw/climate.zarr", "cube.zarr"])
def test_what_is_told_is_found_again(folder: str, there: str) -> None:
    output, place = provenance.join(folder, "smb.zarr"), provenance.join(folder, there)
    assert provenance.found_from(output, provenance.relative(place, output)) == place


def test_the_folder_of_a_place_is_found_in_a_bucket_too(tmp_path: Path) -> None:
    assert provenance.join("s3://ice/run/smb.zarr", "..") == "s3://ice/run"
    assert provenance.join("s3://ice/smb.zarr", "..") == "s3://ice"
    assert provenance.join(tmp_path / "smb.zarr", "..") == str(tmp_path)
