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


def test_a_table_carries_its_stamp_and_refuses_another(tmp_path: Path) -> None:
    table, path = pd.DataFrame({"value": [1.0, 2.0]}), tmp_path / "scores.parquet"
    provenance.write_table(table, path, stamp())
    pd.testing.assert_frame_equal(pd.read_parquet(path), table)
    provenance.refuse_other_table(path, stamp())
    with pytest.raises(StampMismatch, match="verb: there 'train', now 'evaluate'"):
        provenance.refuse_other_table(path, stamp(verb="evaluate"))
    assert [p.name for p in tmp_path.iterdir()] == ["scores.parquet"]


def test_the_same_table_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        provenance.write_table(pd.DataFrame({"v": [1.0]}), tmp_path / name, stamp())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_table_of_unknown_origin_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"value": [1.0]}).to_parquet(tmp_path / "scores.parquet")
    with pytest.raises(StampMismatch, match="verb: there 'absent'"):
        provenance.refuse_other_table(tmp_path / "scores.parquet", stamp())


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


def test_local_inputs_are_told_relative_so_that_a_moved_folder_stays_whole(tmp_path: Path) -> None:
    assert provenance.relative(tmp_path / "cube.zarr", tmp_path / "smb.zarr") == "../cube.zarr"
    assert provenance.relative("s3://ice/cube.zarr", tmp_path) == "s3://ice/cube.zarr"
    assert provenance.relative("/data/cube.zarr", "s3://ice/smb.zarr") == "/data/cube.zarr"


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
