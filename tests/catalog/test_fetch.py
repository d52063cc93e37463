"""Published files: fetched once, whole and with the stated digest, from a real HTTP server."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from glacierscale.catalog import CatalogError, cache_folder, fetch, sha256_of
from glacierscale.catalog.reading import public_client

BODY = bytes(range(256)) * 2000
DIGEST = hashlib.sha256(BODY).hexdigest()


class Server:
    """A local server with a file, faults on demand, and a count of requests."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                failing = self.path == "/flaky" and outer.requests.count("/flaky") < 3
                truncated = self.path == "/truncated" or (self.path == "/dropped" and len(outer.requests) == 1)
                if self.path == "/absent":
                    self.send_error(404)
                elif self.path == "/busy" or failing:
                    self.send_error(503)
                elif self.path == "/moved":
                    self.send_response(302)
                    self.send_header("Location", f"{outer.url}/file")
                    self.end_headers()
                else:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(BODY)))
                    self.end_headers()
                    self.wfile.write(BODY[:1000] if truncated else BODY)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    it = Server()
    thread = threading.Thread(target=it.server.serve_forever, daemon=True)
    thread.start()
    yield it
    it.server.shutdown()
    it.server.server_close()
    thread.join()


def test_a_file_is_fetched_once_and_reused_while_its_digest_matches(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.bin"
    assert fetch(f"{server.url}/file", target, DIGEST) == target
    assert target.read_bytes() == BODY
    fetch(f"{server.url}/file", target, DIGEST)
    assert server.requests == ["/file"]
    target.write_bytes(b"damaged")
    fetch(f"{server.url}/file", target, DIGEST)
    assert target.read_bytes() == BODY
    assert len(server.requests) == 2


def test_another_digest_is_an_error_and_the_file_is_not_kept(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=f"SHA-256 {DIGEST}.*expected SHA-256 000"):
        fetch(f"{server.url}/file", tmp_path / "file.bin", "0" * 64)
    assert list(tmp_path.iterdir()) == []
    assert server.requests == ["/file"]


def test_a_truncated_body_is_tried_again_and_then_an_error(server: Server, tmp_path: Path) -> None:
    waits: list[float] = []
    with pytest.raises(CatalogError, match=r"no whole file .* in 3 attempts .*1000 of 512000 bytes"):
        fetch(f"{server.url}/truncated", tmp_path / "file.bin", DIGEST, sleep=waits.append)
    assert (server.requests, waits) == (["/truncated"] * 3, [1.0, 2.0])
    assert list(tmp_path.iterdir()) == []


def test_a_dropped_or_failing_answer_is_made_good_by_a_retry(server: Server, tmp_path: Path) -> None:
    fetch(f"{server.url}/dropped", tmp_path / "a.bin", DIGEST, sleep=lambda _: None)
    fetch(f"{server.url}/flaky", tmp_path / "b.bin", DIGEST, sleep=lambda _: None)
    assert server.requests == ["/dropped"] * 2 + ["/flaky"] * 3
    assert sha256_of(tmp_path / "a.bin") == sha256_of(tmp_path / "b.bin") == DIGEST


def test_a_missing_file_is_not_tried_again(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"the answer 404 .*pass data=FOLDER"):
        fetch(f"{server.url}/absent", tmp_path / "file.bin", DIGEST)
    assert server.requests == ["/absent"]
    with pytest.raises(CatalogError, match="HTTP Error 503"):
        fetch(f"{server.url}/busy", tmp_path / "file.bin", DIGEST, attempts=2, sleep=lambda _: None)


def test_a_body_beyond_the_limit_is_given_up(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="more than 1000 bytes"):
        fetch(f"{server.url}/file", tmp_path / "file.bin", DIGEST, max_bytes=1000)
    assert list(tmp_path.iterdir()) == []


def test_streamed_reads_do_not_follow_a_redirect_to_a_private_server(server: Server) -> None:
    import fsspec

    with fsspec.open(f"{server.url}/file", get_client=public_client) as file:
        assert file.read(4) == BODY[:4]
    server.requests.clear()
    with pytest.raises(FileNotFoundError) as caught:
        fsspec.open(f"{server.url}/moved", get_client=public_client).open().read()
    assert isinstance(caught.value.__cause__, CatalogError)
    assert "/file" not in server.requests


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GLACIERSCALE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("GLACIERSCALE_CACHE")
    assert cache_folder().name in {"glacierscale", "Cache"}


def test_the_digest_of_a_folder_depends_on_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    first = sha256_of(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert sha256_of(tmp_path) != first
