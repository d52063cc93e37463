"""The storage options that a catalogue may state for each family of locations; credentials are never among them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from glacierscale.catalog.arguments import FLAG, Rules, is_count, one_of
from glacierscale.catalog.document import Node
from glacierscale.catalog.locations import BUCKETS, Refused, check_text, check_url

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(_NAME.fullmatch(value))


_ANY: Rules = {
    "default_block_size": (is_count, "a size in bytes"),
    "default_fill_cache": FLAG,
    "default_cache_type": one_of("none", "readahead", "bytes", "first", "all", "background"),
    "use_listings_cache": FLAG,
    "skip_instance_cache": FLAG,
}
STORAGE: Mapping[str, Rules] = {
    "s3": {
        **_ANY,
        "anon": FLAG,
        "requester_pays": FLAG,
        "use_ssl": one_of(True),
        "endpoint_url": (lambda value: _is_endpoint(value), "https:// and a public host"),
        "region_name": (_is_name, "the name of a region"),
    },
    "gs": {
        **_ANY,
        "token": one_of("anon"),
        "requester_pays": FLAG,
        "access": one_of("read_only"),
        "project": (_is_name, "the name of a project"),
    },
    "abfs": {**_ANY, "anon": FLAG, "account_name": (_is_name, "the name of a public account")},
    "https": {"block_size": (is_count, "a size in bytes"), "use_listings_cache": FLAG},
    "local": {},
}
"""Storage options of each family of locations; credentials come from the environment of the caller."""


def _is_endpoint(value: object) -> bool:
    try:
        text = check_url(check_text(value))
        parts = urlsplit(text)
        return parts.scheme == "https" and parts.path in {"", "/"} and not parts.query
    except Refused:
        return False


def storage_family(location: str) -> str:
    """Return the family of storage options of a resolved location."""
    scheme = location.partition("://")[0] if "://" in location else ""
    return "https" if scheme == "https" else BUCKETS.get(scheme, "local")


def check_storage(family: str, node: Node) -> Iterator[tuple[Node, Refused]]:
    """Yield each storage option that is not allowed for a family of locations."""
    if not isinstance(node.value, dict):
        yield node, Refused(f"storage_options = {node.plain()!r:.80}", "options by name", "write a mapping")
        return
    rules, options = STORAGE[family], dict(node.value)
    client = options.pop("client_kwargs", None)
    if client is not None:
        inner = client.value if isinstance(client.value, dict) else {"client_kwargs": client}
        if family != "s3" or set(inner) - {"endpoint_url", "region_name"}:
            yield (
                client,
                Refused(f"client_kwargs = {client.plain()!r:.80}", "endpoint_url or region_name of s3", "remove it"),
            )
        else:
            options |= inner
    for name, item in options.items():
        if name not in rules:
            expected = "one of " + ", ".join(sorted(rules)) if rules else "no storage options here"
            remedy = "remove it; credentials belong in the environment of the person who runs"
            yield item, Refused(f"the storage option {name!r} for {family}", expected, remedy)
        elif not rules[name][0](item.plain()):
            yield (
                item,
                Refused(f"the value of storage option {name!r} for {family}", rules[name][1], "correct or remove it"),
            )
    if "endpoint_url" in options and not (options.get("anon") and options["anon"].value is True):
        expected = "anon: true beside endpoint_url, so that no credentials go to a server a file names"
        yield options["endpoint_url"], Refused("an endpoint_url without anon: true", expected, "add anon: true")
