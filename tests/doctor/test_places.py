"""What the doctor says of object stores and clusters: a real server, a real scheduler, and neither."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from glacierscale.compute import Cluster, on_dask
from glacierscale.doctor import places
from glacierscale.store import Files
from tests import servers
from tests.servers import S3, FaultProxy, clean_environment, fault_proxy, s3, s3_server

__all__ = ["clean_environment", "fault_proxy", "s3", "s3_server"]

NOBODY = "127.0.0.1:1"


@pytest.fixture
def listener() -> Iterator[str]:
    """The address of something that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_bucket_is_listed_written_and_left_as_it_was(s3: S3) -> None:
    found = places.output(s3.url("doctor"))
    assert (found.state, found.said) == (
        "ok",
        f"{s3.url('doctor')} can be listed, written and read; it is empty",
    )
    assert Files.at(s3.url("doctor")).names() == []
    assert [one.state for one in places.credentials()] == ["ok", "ok"]
    assert places.output(f"icechunk+{s3.url('doctor')}").state == "ok"


def test_data_in_a_bucket_is_read_and_an_empty_place_is_a_fault(s3: S3) -> None:
    assert places.data(s3.url("raw")).state == "fault"
    Files.at(s3.url("raw")).write("a", b"a")
    assert places.data(s3.url("raw")).state == "ok"


def test_a_bucket_that_is_not_there_is_a_fault(s3: S3) -> None:
    found = places.output("s3://nobodys/out")
    assert found.state == "fault"
    assert "there is no such bucket" in found.said
    assert found.advice == "Create it or correct the URL."


def test_wrong_keys_are_a_fault_and_no_secret_is_told(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret-of-anyone")
    found = places.output(s3.url("out"))
    assert found.state == "fault"
    assert "access was denied" in found.said
    assert "not-the-secret" not in found.said + found.advice


def test_a_wrong_endpoint_is_a_fault_within_seconds(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{NOBODY}")
    monkeypatch.setattr(places, "_WAIT_S", 2.0)
    keys, endpoint = places.credentials()
    assert (keys.state, endpoint.state) == ("ok", "fault")
    assert endpoint.said == f"http://{NOBODY} does not answer: Connection refused"
    assert "AWS_ENDPOINT_URL" in endpoint.advice
    assert "the server cannot be reached" in places.output(s3.url("out")).said


def test_a_server_that_says_nothing_is_given_up(fault_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_WAIT_S", 2.0)
    fault_proxy.inject("hang")
    found = places.output(fault_proxy.server.url("out"))
    assert found.state == "fault"
    assert "did not answer in time" in found.said
    assert found.advice == "Check the endpoint and the network, and try again."


def test_no_credentials_are_noted_and_half_of_them_are_a_fault(
    clean_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = places.credentials()
    assert (found.state, found.said) == ("note", "none for s3: requests go unsigned")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "glacier")
    (found,) = places.credentials()
    assert found.state == "fault"
    assert found.said.endswith("but AWS_SECRET_ACCESS_KEY is not set")


def test_a_profile_that_is_not_there_is_a_fault(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    (found,) = places.credentials()
    assert found.state == "fault"
    assert "there is no AWS profile nobody" in found.said


def test_folders_and_files_of_a_web_server_are_looked_for(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    assert places.data(str(tmp_path / "a")).state == "ok"
    assert places.data(str(tmp_path / "b")).said == f"{tmp_path / 'b'} is not there"
    assert places.output(str(tmp_path / "new" / "out")).state == "ok"
    assert not (tmp_path / "new").exists()
    with servers.web(tmp_path) as url:
        assert places.data(f"{url}/a").state == "ok"
        assert places.data(f"{url}/b").said == f"{url}/b is not there"


def test_a_dask_scheduler_is_asked_for_its_workers() -> None:
    with on_dask.client("local:1") as client:
        address = client.scheduler.address
        (found,) = places.clusters(Cluster(dask=address))
        assert found.state == "ok"
        assert f"{address} has 1 workers with " in found.said
        client.retire_workers()
        (found,) = places.clusters(Cluster(dask=address))
    assert found.state == "fault"
    assert "has no workers" in found.said


def test_clusters_that_do_not_answer_are_faults() -> None:
    dask, ray = places.clusters(Cluster(dask=f"tcp://{NOBODY}", ray=NOBODY))
    assert dask.state == ray.state == "fault"
    assert dask.said == f"no Dask scheduler answers at tcp://{NOBODY}: Connection refused"
    assert ray.said == f"no Ray cluster answers at {NOBODY}: Connection refused"
    assert "GLACIERSCALE_RAY" in ray.advice


def test_something_that_is_no_scheduler_is_a_fault(listener: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_ASK_S", 4.0)
    (found,) = places.clusters(Cluster(dask=f"tcp://{listener}"))
    assert found.state == "fault"
    assert found.said == f"no Dask scheduler answers at tcp://{listener}: nothing came within 4 s"


def test_a_head_of_ray_that_answers_is_found(listener: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = places.clusters(Cluster(ray=listener))
    assert found.state == "ok"
    monkeypatch.setenv("RAY_ADDRESS", listener)
    (found,) = places.clusters(Cluster(ray="auto"))
    assert found.said == f"auto: {listener} answers"


def test_without_a_cluster_the_threads_are_told() -> None:
    (found,) = places.clusters(Cluster(workers=3))
    assert found.said == "none named: work runs on 3 threads of this process"
    assert [one.state for one in places.clusters(Cluster(dask="local:2", ray="local:2"))] == ["ok", "ok"]
