"""Entries in buckets: the same data as local files, told by tags, reached as the environment says; on a real S3."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs
import xarray as xr
import yaml

from glacierscale.catalog import Catalog, CatalogError, open_catalog, reading
from glacierscale.cube import IngestOptions, ingest
from glacierscale.region import HydroYears, Region
from glacierscale.store.objects import Objects
from tests.servers import ACCESS_KEY, S3, SECRET_KEY, seaweed

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
"""File systems that are forgotten to have the environment read anew leave their connections to the interpreter."""

DEMO = Path(__file__).resolve().parents[2] / "catalogs" / "demo.yaml"


@pytest.fixture(scope="module")
def server(small_raw: Path) -> Iterator[S3]:
    """A server with the raw files of the small range."""
    with seaweed() as found, pytest.MonkeyPatch.context() as patch:
        for name, value in found.environment.items():
            patch.setenv(name, value)
        place = Objects(found.url("data/raw"))
        for path in small_raw.rglob("*"):
            if path.is_file():
                place.put(path.relative_to(small_raw).as_posix(), path.read_bytes())
        yield found


@pytest.fixture(autouse=True)
def environment(server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The variables of the server, read anew by every test."""
    s3fs.S3FileSystem.clear_instance_cache()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    yield
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def file(server: S3, tmp_path: Path) -> Path:
    """The demo's catalogue with its files in the bucket."""
    content = yaml.safe_load(DEMO.read_text())
    del content["metadata"]["parameters"]
    for source in content["sources"].values():
        source["args"]["urlpath"] = source["args"]["urlpath"].replace("{{ data }}", server.url("data/raw"))
    (tmp_path / "bucket.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return tmp_path / "bucket.yaml"


@pytest.fixture
def there(file: Path) -> Catalog:
    return open_catalog(file)


@pytest.mark.parametrize("name", ["climate", "dem", "thickness", "outlines", "inventories", "observations"])
def test_an_entry_in_a_bucket_holds_what_its_file_holds(name: str, there: Catalog, small_raw: Path) -> None:
    found, local = there[name].open(), open_catalog(DEMO, data=str(small_raw))[name].open()
    if isinstance(found, xr.Dataset | xr.DataArray):
        assert found.__dask_graph__() is not None
        xr.testing.assert_identical(found.load(), local.load())
    else:
        assert found.equals(local)


def test_a_cube_of_a_bucket_equals_that_of_local_files_and_is_kept(file: Path, small_raw: Path, tmp_path: Path) -> None:
    region = Region("small", years=HydroYears(2000, 2012))
    local = ingest(DEMO, region, to=tmp_path / "a.zarr", options=IngestOptions(data=str(small_raw)))
    found = ingest(file, region, to=tmp_path / "b.zarr")
    xr.testing.assert_equal(found.open().load(), local.open().load())
    assert ingest(file, region, to=tmp_path / "b.zarr").verify() == []
    for path in (tmp_path / "b.zarr").rglob("*"):
        assert not path.is_file() or SECRET_KEY.encode() not in path.read_bytes()


@pytest.mark.parametrize(("name", "key"), [("dem", "dem.tif"), ("climate", "climate.zarr/zarr.json")])
def test_an_object_that_is_written_again_changes_the_fingerprint_of_its_entry(
    name: str, key: str, there: Catalog, server: S3
) -> None:
    place, before = Objects(server.url("data/raw")), there[name].fingerprint()
    data = place.get(key) or b""
    s3fs.S3FileSystem.clear_instance_cache()
    assert there[name].fingerprint() == before
    try:
        place.put(key, data + b" ")
        s3fs.S3FileSystem.clear_instance_cache()
        assert there[name].fingerprint() != before
    finally:
        place.put(key, data)


def test_the_keys_of_a_profile_open_an_entry(
    there: Catalog, server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name)
    keys = f"aws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    (tmp_path / "credentials").write_text(f"[snow]\n{keys}")
    (tmp_path / "config").write_text(f"[profile snow]\nregion = us-east-1\nendpoint_url = {server.endpoint}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "snow")
    assert len(there["observations"].open()) > 10


def test_wrong_keys_and_none_are_named_with_the_entry_and_never_told(
    there: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-marker-that-nobody-may-see")
    for question in (there["inventories"].open, there["dem"].open, there["outlines"].fingerprint):
        with pytest.raises(
            CatalogError, match=r"bucket\.yaml, line \d+, entry '\w+': s3://.* cannot be read"
        ) as caught:
            question()
        assert "a-marker-that" not in "".join(traceback.format_exception(caught.value))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(CatalogError, match=r"(?i)cannot be read \(.*(credentials|denied|forbidden)"):
        there["inventories"].open()


@pytest.mark.parametrize(
    ("environment_of", "stated", "expected"),
    [
        ({}, {}, {}),
        ({"AWS_REGION": "eu-north-1"}, {}, {"client_kwargs": {"region_name": "eu-north-1"}}),
        ({"AWS_ENDPOINT": "https://ice.org"}, {}, {"client_kwargs": {"endpoint_url": "https://ice.org"}}),
        ({"AWS_ENDPOINT": "https://ice.org", "AWS_ENDPOINT_URL": "https://other.org"}, {}, {}),
        ({"AWS_SKIP_SIGNATURE": "true"}, {}, {"anon": True}),
        (
            {"AWS_ENDPOINT": "https://ice.org", "AWS_REGION": "eu-north-1"},
            {"anon": True},
            {"anon": True, "config_kwargs": {"ignore_configured_endpoint_urls": True}},
        ),
        (
            {"AWS_REGION": "eu-north-1"},
            {"client_kwargs": {"region_name": "eu-west-1"}},
            {"client_kwargs": {"region_name": "eu-west-1"}},
        ),
    ],
)
def test_what_an_entry_states_comes_before_what_the_environment_says(
    environment_of: dict[str, str], stated: dict[str, Any], expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_SKIP_SIGNATURE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment_of.items():
        monkeypatch.setenv(name, value)
    assert reading.reaching("s3://ice/a.tif", stated) == expected
    assert reading.reaching("gs://ice/a.tif", stated) == stated


def test_a_server_of_ones_own_is_not_asked_for_a_public_bucket(server: S3) -> None:
    own, public = (s3fs.S3FileSystem(**reading.reaching("s3://ice/a", stated)) for stated in ({}, {"anon": True}))
    for files in (own, public):
        files.connect()
    assert own.s3.meta.endpoint_url == server.endpoint
    assert public.s3.meta.endpoint_url.endswith("amazonaws.com")
