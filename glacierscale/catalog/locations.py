"""Where an entry may point: public hosts, buckets, and files below a folder that the caller trusts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl, unquote, urlsplit

BUCKETS = {"s3": "s3", "gs": "gs", "gcs": "gs", "abfs": "abfs", "az": "abfs"}
"""URL scheme of a bucket to the family of its storage options."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}\.)+[a-z]{{2,63}}")
# Names that no public resolver answers (RFC 6761, 6762, 8375, 9476 and the ICANN reservation of .internal).
_PRIVATE_ENDINGS = frozenset(
    {
        *("alt", "arpa", "corp", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain"),
        *("localhost", "mail", "onion", "private", "svc", "test"),
    }
)
_EMBEDDED_ADDRESS = re.compile(r"(?:^|[.-])\d{1,3}[.-]\d{1,3}[.-]\d{1,3}[.-]\d{1,3}(?=[.-]|$)")
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,220}[a-z0-9])?")
_AZURE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?@[a-z0-9]{3,24}\.(?:dfs|blob)\.core\.windows\.net")
_PLAIN_QUERY = frozenset({"download", "format", "raw", "version", "versionid"})
_WEB_PATH = re.compile(r"[A-Za-z0-9/._~!$'()*+,;=:@%-]*")
_BUCKET_PATH = re.compile(r"[A-Za-z0-9/._~!$'()*+,;=@ :-]*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class Refused(Exception):
    """What is wrong with a value, without the place where it stands."""

    def __init__(self, came: str, expected: str, remedy: str) -> None:
        super().__init__(came)
        self.came, self.expected, self.remedy = came, expected, remedy


def check_host(host: str) -> str:
    """Return a host name if it is one that the public Internet resolves.

    Addresses in any notation, local names and names with an address inside them are refused.

    Raises
    ------
    Refused
        Otherwise.
    """
    expected, remedy = "a public host name such as data.example.org", "name the server by its public name"
    name = host.lower()
    last = name.rpartition(".")[2]
    if len(name) > 253 or not _HOST.fullmatch(name):
        raise Refused(f"the host {host!r}", expected, remedy)
    if any(label.startswith("xn--") for label in name.split(".")):
        raise Refused(f"the encoded host {host!r}", expected, remedy)
    private_service = name.startswith("metadata.") or ".svc.cluster." in f".{name}"
    if last in _PRIVATE_ENDINGS or "localhost" in name.split(".") or private_service:
        raise Refused(f"the private host {host!r}", expected, remedy)
    if _EMBEDDED_ADDRESS.search(name):
        raise Refused(f"an address inside the host {host!r}", expected, remedy)
    return name


def check_text(text: object) -> str:
    """Return a location's text if no character in it can mislead a reader or a parser."""
    if not isinstance(text, str) or not text or len(text) > 2048:
        raise Refused(f"{text!r:.80}", "a path or URL of 1 to 2048 characters", "write it as text")
    if unicodedata.normalize("NFKC", text) != text or any(unicodedata.category(char)[0] == "C" for char in text):
        raise Refused(f"look-alike or control characters in {text!r:.120}", "plain characters", "retype it in ASCII")
    if "\\" in text or "::" in text or text != text.strip() or text.startswith("~"):
        came = f"{text!r:.120}"
        raise Refused(
            came, "one URL or one relative path, not a chain, a home or a Windows path", "write the plain URL"
        )
    return text


def check_url(url: str) -> str:
    """Return an https or bucket URL if it names public data and nothing else.

    Raises
    ------
    Refused
        For any other scheme, a private host, credentials, ports, traversal, or a query that could carry a token.
    """
    text = check_text(url)
    scheme = text.partition("://")[0]
    if scheme == "https":
        try:
            return _check_web(text)
        except ValueError:  # brackets or bytes that urllib cannot split or decode
            raise Refused(f"the URL {text!r:.120}", "a well-formed URL", "correct it") from None
    if scheme in BUCKETS:
        return _check_bucket(text, scheme)
    expected = "https://, " + ", ".join(f"{name}://" for name in BUCKETS) + " or a relative path"
    raise Refused(f"the location {text!r:.120}", expected, "publish the data under one of these")


def _check_web(text: str) -> str:
    parts = urlsplit(text)
    host, _, port = parts.netloc.partition(":")
    if "@" in parts.netloc:
        raise Refused("a user name or password in the URL", "a URL without credentials", "remove what is before '@'")
    if port not in {"", "443"} or parts.netloc.endswith(":"):
        raise Refused(f"the host {parts.netloc!r}", "port 443", "serve the data on the standard port")
    check_host(host)
    if not _WEB_PATH.fullmatch(parts.path) or "*" in parts.path:
        raise Refused(f"the path {parts.path!r:.120}", "letters, digits and ordinary marks", "encode or rename it")
    decoded = unquote(parts.path, errors="strict") if "%" in parts.path else parts.path
    if "%" in decoded or re.search(r"%(?:2[ef]|5c|[01]|7f|3[af]|40|23)", parts.path, re.IGNORECASE):
        raise Refused(f"the encoding in {parts.path!r:.120}", "a path with nothing hidden in it", "write it plainly")
    _check_segments(decoded)
    if parts.fragment or "#" in text:
        raise Refused("a fragment (#...)", "a plain URL", "remove it")
    for key, value in parse_qsl(parts.query, keep_blank_values=True, strict_parsing=False):
        if key.lower() not in _PLAIN_QUERY or not re.fullmatch(r"[A-Za-z0-9._-]{0,64}", value):
            raise Refused(f"the query {key!r}", "no query, or one of " + ", ".join(sorted(_PLAIN_QUERY)), "remove it")
    return text


def _check_bucket(text: str, scheme: str) -> str:
    bucket, _, key = text.partition("://")[2].partition("/")
    named = _BUCKET.fullmatch(bucket) or (BUCKETS[scheme] == "abfs" and _AZURE.fullmatch(bucket))
    if not named or re.fullmatch(r"[\d.]+", bucket):
        raise Refused(
            f"the bucket {bucket!r}", "a bucket name without credentials or port", "write scheme://bucket/key"
        )
    if not _BUCKET_PATH.fullmatch(key):
        raise Refused(f"the key {key!r:.120}", "letters, digits and ordinary marks", "rename the object")
    _check_segments(key)
    return text


def _check_segments(path: str) -> None:
    parts = path.split("/")
    if any(part in {".", ".."} for part in parts) or any(part == "" for part in parts[1:-1]):
        raise Refused(f"the path {path!r:.120}", "a path without '..', '.' and empty parts", "write the path out")


def check_relative(text: str) -> PurePosixPath:
    """Return a path that can only lead downwards.

    Raises
    ------
    Refused
        For absolute paths, ``..``, drive letters, archives inside paths and GDAL prefixes.
    """
    check_text(text)
    if text.startswith("/") or _SCHEME.match(text):
        raise Refused(f"the absolute path {text!r:.120}", "a path below the folder", "move the file below it")
    _check_segments(text)
    if any(char in text for char in ':!?#|<>"{}[]') or "**" in text:
        raise Refused(f"the path {text!r:.120}", "a plain relative path (and '*')", "rename the file")
    return PurePosixPath(text)


def below(root: Path, relative: str) -> Path:
    """Return the real path of a file below a folder; links that leave the folder are refused.

    Parameters
    ----------
    root : Path
        The trusted folder.
    relative : str
        Path below it; may contain ``*``.
    """
    real_root = root.resolve()
    plain = check_relative(relative)
    target = real_root / plain
    try:
        inside = target.resolve().is_relative_to(real_root)
    except (OSError, RuntimeError) as fault:  # a name too long, or links in a circle
        raise Refused(
            f"{relative!r:.120} ({type(fault).__name__})", "a file below the folder", "correct the path"
        ) from None
    if not inside:
        raise Refused(
            f"{relative!r}, which leaves {real_root}", "a file below the folder", "copy the file into the folder"
        )
    return target


def expand(root: Path, pattern: str) -> list[Path]:
    """Return the files below a folder that a path or a pattern with ``*`` names, sorted."""
    target = below(root, pattern)
    if "*" not in pattern:
        return [target]
    found = sorted(root.resolve().glob(str(check_relative(pattern))))
    return [below(root, str(path.relative_to(root.resolve()))) for path in found]


TEMPLATES: dict[int, re.Pattern[str]] = {
    1: re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]{0,63})\s*\}\}"),
    2: re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})\}"),
}
"""The only template of each catalogue version: one name."""


def render(text: str, version: int, value_of: Callable[[str], str]) -> str:
    """Replace each declared name; whatever brace is then left was an expression and is refused.

    Parameters
    ----------
    text : str
        As written in the file.
    version : int
        1 for ``{{ name }}``, 2 for ``{name}``.
    value_of : callable
        Gives the value of a name, or raises `Refused`.
    """
    pattern = TEMPLATES[version]
    rest = pattern.sub("", text)
    if any(mark in rest for mark in ("{", "}", "{%", "{#")):
        spelling = "{{ name }}" if version == 1 else "{name}"
        raise Refused(
            f"the template {text!r:.120}", f"{spelling} with a declared name", "use a parameter, not an expression"
        )
    return pattern.sub(lambda match: value_of(match[1]), text)
