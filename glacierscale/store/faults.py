"""What a failed request means, in words: what happened, where, and what to do."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from glacierscale.store.blocks import StoreError

if TYPE_CHECKING:
    from glacierscale.store.access import Access

RETRY, PAUSE, SILENCE, AGAIN = 0.35, 0.05, 0.2, 0.4
"""Shares of the budget: retries inside a request, the longest pause between two, how long a server may stay silent, and
until when a whole request is made again. A last request begun at the last moment still ends within the budget."""

_ADVICE = (
    (r"os error (28|122)\b", "the disk is full", "Free some space and {again}"),
    (r"os error 30\b", "the place is read-only", "Write to another place."),
    (r"os error 2\b", "a folder on the way was removed", "To repair it, {again}"),
    (r"os error (1|13)\b", "this user may not", "Check the rights of the folder."),
    (r"Expired|TokenRefreshRequired", "the access token has expired", "Renew it and {again}"),
    (r"NoSuchBucket|ContainerNotFound", "there is no such bucket", "Create it or correct the URL."),
    (r"HTTP 40[13]|AccessDenied|PermissionDenied|Unauthenticated", "access was denied", "{keys}"),
    (r"HTTP (405|501)|NotSupported|NotImplemented", "the server does not offer this",
     "Writing needs a folder, s3://, gs:// or abfs://."),
    (r"HTTP 400", "the server refused the request", "Renew an expired token, check region and endpoint, and {again}"),
    (r"HTTP (429|5\d\d)|SlowDown", "the server is overloaded or broken", "Later {again}"),
    (r"kind: Timeout", "the server did not answer in time", "Check the endpoint and the network, and {again}"),
    (r"kind: Connect", "the server cannot be reached", "Check the endpoint and the network, and {again}"),
    (r"kind: \w+|ShortBody", "the answer broke off", "Later {again}"),
)  # fmt: skip
"""Signs of an error, what they mean, and what to do; the first that fit count."""

_PASSING = (
    "a folder on the way was removed",
    "the server is overloaded or broken",
    "the server did not answer in time",
    "the answer broke off",
)
_AGAIN = "run the same command again: it continues where it stopped."


class PassingError(StoreError):
    """A request failed for a reason that passes by itself."""


class ShortBodyError(OSError):
    """An answer was shorter than it said."""


def budget_s() -> float:
    """Seconds after which a failing request is given up: ``GLACIERSCALE_IO_TIMEOUT_S``, or 60."""
    given = os.environ.get("GLACIERSCALE_IO_TIMEOUT_S", "60")
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 3600:
        raise ValueError(f"GLACIERSCALE_IO_TIMEOUT_S is {given!r}; expected seconds between 0 and 3600.")
    return seconds


def retrying(budget: float) -> dict[str, Any]:
    """How a request is repeated, for obstore's `retry_config`."""
    backoff = {
        "init_backoff": timedelta(seconds=min(0.1, PAUSE * budget)),
        "max_backoff": timedelta(seconds=PAUSE * budget),
        "base": 2,
    }
    return {"max_retries": 12, "retry_timeout": timedelta(seconds=RETRY * budget), "backoff": backoff}


def patience(budget: float) -> dict[str, Any]:
    """How long a connection may keep silent, for obstore's `client_options`.

    The whole of an answer has no limit of its own, so that a large object may come slowly.
    """
    silence = timedelta(seconds=SILENCE * budget)
    return {"connect_timeout": silence / 2, "read_timeout": silence, "timeout": timedelta(hours=1)}


def no_bucket(error: Exception) -> bool:
    """Whether the bucket itself is missing, not only an object in it."""
    return bool(re.search(r"NoSuchBucket|ContainerNotFound", str(error)))


def named(error: Exception, where: str, doing: str, known: Access | None) -> StoreError:
    """The error of a failed request, in words and without secrets; `PassingError` where another try may help."""
    from glacierscale.store import access

    said, signs = _essence(error)
    what, advice = next(
        ((what, advice) for pattern, what, advice in _ADVICE if re.search(pattern, signs)),
        ("the request failed", "Check that the place exists and its rights."),
    )
    advice = advice.format(again=_AGAIN, keys=access.check_keys(known))
    made = PassingError if what in _PASSING else StoreError
    return made(access.redact(f"{where} cannot be {doing}: {what} ({said}). {advice}"))


def _essence(error: Exception) -> tuple[str, str]:
    """The server's code and message, or else an error's first words; and signs that no name of a file can mimic."""
    first, _, innards = str(error).partition("Debug source")
    status = re.findall(r"(?:status code:?|HTTP status[^(]*\()\s*(\d{3}[^:,;)]{0,40})", first)
    codes, messages = (re.findall(rf"<{tag}>([^<]{{1,200}})<", first) for tag in ("Code", "Message"))
    words = re.sub(r" in [\d.]+[mµn]?s\b(, after \d+ retries, max_retries: \d+, retry_timeout: [\w.]+)?", "", first)
    signs = [type(error).__name__, *(f"HTTP {found}" for found in status), *codes]
    signs += re.findall(r"os error \d+", first) + re.findall(r"kind: \w+", innards)[:1]
    told = ", ".join(dict.fromkeys([*status, *codes, *messages])) or " ".join(words.split())[:300]
    return told or type(error).__name__, ", ".join(signs)
