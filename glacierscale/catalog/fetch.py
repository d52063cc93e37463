"""Published files, fetched once into a cache, and kept only if their SHA-256 is the stated one."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from glacierscale.catalog.document import CatalogError
from glacierscale.catalog.locations import Refused, check_url

CACHE_VARIABLE = "GLACIERSCALE_CACHE"
"""Environment variable that names the cache folder."""
_BLOCK = 1 << 18


def cache_folder() -> Path:
    """Return the cache folder: ``GLACIERSCALE_CACHE``, or the platform's place for caches."""
    if stated := os.environ.get(CACHE_VARIABLE):
        return Path(stated).expanduser()
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "glacierscale"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "glacierscale" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "glacierscale"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of all files below a folder with their relative names."""
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(item for item in path.rglob("*") if item.is_file()):
            digest.update(f"{file.relative_to(path).as_posix()} {sha256_of(file)}\n".encode())
        return digest.hexdigest()
    with path.open("rb") as file_object:
        while block := file_object.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def check_resolved(url: str) -> None:
    """Refuse a public name that resolves to an address inside a private network.

    Names that do not resolve here (behind a proxy) are left to the opener.

    Raises
    ------
    CatalogError
        Naming the host.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        return
    try:
        answers = socket.getaddrinfo(parts.hostname, 443, type=socket.SOCK_STREAM)
    except OSError:
        return
    if any(not ip_address(str(answer[4][0]).partition("%")[0]).is_global for answer in answers):
        came = f"the host {parts.hostname!r}, which resolves to a private address"
        raise CatalogError(came, "a public server", "check the catalogue's origin")


class _PublicRedirects(urllib.request.HTTPRedirectHandler):
    """Follow a redirect of an https URL only to where the catalogue itself might have pointed."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        target = urljoin(req.full_url, newurl)
        if req.full_url.startswith("https://"):
            try:
                check_url(target.partition("?")[0])
            except Refused as fault:
                raise CatalogError(f"a redirect to {fault.came}", fault.expected, "use the final URL") from None
            check_resolved(target)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(
    url: str,
    to: Path,
    sha256: str,
    *,
    attempts: int = 3,
    timeout_s: float = 60.0,
    pause_s: float = 1.0,
    max_bytes: int = 4 << 30,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Return a local copy of a published file; an existing one with the right digest is reused.

    The bytes go to a temporary name beside the target and are renamed once their digest is right,
    so a file under the target's name is always whole.

    Parameters
    ----------
    url : str
        Where it is published. Catalogues pass only what the gate lets through.
    to : Path
        Where it shall lie.
    sha256 : str
        Its stated digest.
    attempts : int
        Tries after a dropped connection, a truncated body or a server error.
    timeout_s, pause_s : float
        Seconds to wait for the server, and before the second try (doubled after each).
    max_bytes : int
        Size at which a body is given up.
    sleep : callable
        Waits.

    Raises
    ------
    CatalogError
        If the file cannot be had, or its digest is another one; nothing is kept then.
    """
    if to.is_file() and sha256_of(to) == sha256:
        return to
    to.parent.mkdir(parents=True, exist_ok=True)
    fault = ""
    for attempt in range(attempts):
        if attempt:
            sleep(pause_s * 2 ** (attempt - 1))
        fault = _attempt(url, to, sha256, timeout_s, max_bytes)
        if not fault:
            return to
    came = f"no whole file from {url} in {attempts} attempts ({fault})"
    raise CatalogError(came, "the file", "check the network, or pass data=FOLDER with the files")


def _attempt(url: str, to: Path, sha256: str, timeout_s: float, max_bytes: int) -> str:
    """Put the file in place, or return what may be better at another try; leave nothing else behind."""
    handle, name = tempfile.mkstemp(prefix=f".{to.name}.", suffix=".part", dir=to.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            found = _download(url, file, timeout_s, max_bytes)
        if found != sha256:
            came = f"a file with SHA-256 {found} at {url}"
            raise CatalogError(
                came, f"SHA-256 {sha256}", "the publisher changed it, or it was tampered with; pass a folder"
            )
        part.replace(to)
        return ""
    except (OSError, EOFError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
            if error.code < 500 and error.code != 429:
                came = f"the answer {error.code} for {url}"
                raise CatalogError(came, "the file", "check the URL, or pass data=FOLDER") from None
        return f"{type(error).__name__}: {error}"
    finally:
        part.unlink(missing_ok=True)


def _download(url: str, file: IO[bytes], timeout_s: float, max_bytes: int) -> str:
    """Write a body to a file and return its SHA-256; a short body is an error."""
    import http.client

    check_resolved(url)
    opener = urllib.request.build_opener(_PublicRedirects)
    request = urllib.request.Request(url, headers={"User-Agent": "glacierscale", "Accept-Encoding": "identity"})
    digest, size = hashlib.sha256(), 0
    try:
        with opener.open(request, timeout=timeout_s) as response:
            stated = response.headers.get("Content-Length")
            while block := response.read(_BLOCK):
                size += len(block)
                if size > max_bytes:
                    raise CatalogError(f"more than {max_bytes} bytes at {url}", "a smaller file", "pass data=FOLDER")
                digest.update(block)
                file.write(block)
    except http.client.HTTPException as error:
        raise EOFError(f"broken answer: {type(error).__name__}") from error
    if stated is not None and stated.isdigit() and size != int(stated):
        raise EOFError(f"truncated body: {size} of {stated} bytes")
    return digest.hexdigest()
