"""The two versions of Intake's format, key by key: a parsed catalogue in, checked entries out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from glacierscale.catalog import arguments
from glacierscale.catalog.document import Node
from glacierscale.catalog.gate import Gate
from glacierscale.catalog.locations import Refused
from glacierscale.catalog.parameters import Parameter
from glacierscale.catalog.specs import Spec

_TOP = {
    1: {"sources", "metadata", "name", "description", "version"},
    2: {"version", "data", "entries", "aliases", "metadata", "user_parameters", "name", "description"},
}
_SOURCE = {"driver", "args", "description", "metadata", "parameters", "direct_access", "name"}
_DATA = {"datatype", "kwargs", "metadata", "user_parameters"}
_READER = {"reader", "kwargs", "metadata", "output_instance", "user_parameters"}


def check_source(gate: Gate, name: str, node: Node, shared: Mapping[str, Parameter]) -> Spec | None:
    """Check one version 1 source."""
    keys = gate.mapping(node, _SOURCE, f"source {name!r}", name)
    for key in set(keys) - {"args"}:
        gate.no_templates(keys[key], name)
    known = {**shared, **gate.parameters(keys.get("parameters"), name)}
    access = keys.get("direct_access")
    if access is not None and access.value not in ("forbid", "allow", "force", True, False):
        gate.refuse(
            access, Refused(f"direct_access = {access.plain()!r:.80}", "forbid, allow or force", "remove it"), name
        )
    driver = keys.get("driver", Node(None, node.line))
    spelling = driver.value if isinstance(driver.value, str) else None
    if spelling not in arguments.DRIVERS:
        drivers = ", ".join(key for key in arguments.DRIVERS if "." not in key)
        gate.refuse(
            driver,
            Refused(f"driver {driver.plain()!r:.80}", f"one of {drivers}", "name one of these drivers"),
            name,
        )
        return None
    args = gate.mapping(keys.get("args", Node({}, node.line)), None, "args", name)
    metadata = keys.get("metadata")
    if metadata is not None and metadata.value is not None:
        gate.mapping(metadata, None, "metadata", name)
    return gate.spec(
        name, arguments.DRIVERS[spelling], node, args, "urlpath", known,
        description=gate.text(keys.get("description"), "description", name),
        metadata=_plain(metadata),
        files=gate.files(metadata, name),
    )  # fmt: skip


def check_reader(
    gate: Gate, name: str, node: Node, data: Mapping[str, Node], shared: Mapping[str, Parameter]
) -> Spec | None:
    """Check one version 2 entry together with the data it reads."""
    keys = gate.mapping(node, _READER, f"entry {name!r}", name)
    for key in set(keys) - {"kwargs"}:
        gate.no_templates(keys[key], name)
    args = gate.mapping(keys.get("kwargs", Node({}, node.line)), None, "kwargs", name)
    reference = args.pop("data", Node(None, node.line))
    match = re.fullmatch(r"\{data\(([^(){},]+)\)\}", reference.value) if isinstance(reference.value, str) else None
    if match is None or match[1] not in data:
        expected = "{data(NAME)} of a declared data"
        gate.refuse(reference, Refused(f"data = {reference.plain()!r:.80}", expected, "name an item of `data`"), name)
        return None
    source = data[match[1]].value if isinstance(data[match[1]].value, dict) else {}
    pair = (_value(source.get("datatype")), _value(keys.get("reader")))
    driver = arguments.READERS.get(pair)
    output = keys.get("output_instance")
    if output is not None and output.value is not None and _value(output) not in arguments.OUTPUTS:
        expected = "one of " + ", ".join(sorted(arguments.OUTPUTS))
        gate.refuse(output, Refused(f"output_instance {output.plain()!r:.80}", expected, "remove it"), name)
    if driver is None:
        expected = "one of " + ", ".join(
            f"{a.rpartition(':')[2]} with {b.rpartition(':')[2]}" for a, b in arguments.READERS
        )
        fault = Refused(f"datatype and reader {pair!r:.200}", expected, "use one of these pairs")
        gate.refuse(keys.get("reader", node), fault, name)
        return None
    known = {**shared, **gate.parameters(source.get("user_parameters"), name)}
    known |= gate.parameters(keys.get("user_parameters"), name)
    inner = source.get("kwargs", Node({}, node.line)).value
    more = dict(inner) if isinstance(inner, dict) else {}
    for old in ("root", "path"):
        if old in more:
            more["group"] = more.pop(old)
    metadata = keys.get("metadata")
    return gate.spec(
        name, driver, node, {**args, **more}, "url", known,
        description=str(_plain(metadata).get("description", "")),
        metadata={**_plain(source.get("metadata")), **_plain(metadata)},
        files=gate.files(metadata, name) or gate.files(source.get("metadata"), name),
    )  # fmt: skip


def version_2(gate: Gate, keys: dict[str, Node], shared: Mapping[str, Parameter]) -> Iterator[Spec]:
    """Check a version 2 file."""
    sections = {key: gate.mapping(keys.get(key, Node({}, 1)), None, key) for key in ("data", "entries", "aliases")}
    for name, node in sections["data"].items():
        parts = gate.mapping(node, _DATA, f"data {name!r}", name)
        gate.parameters(parts.get("user_parameters"), name)
        for key in set(parts) - {"kwargs"}:
            gate.no_templates(parts[key], name)
        if _value(parts.get("datatype")) not in arguments.DATATYPES:
            expected = "one of " + ", ".join(sorted(arguments.DATATYPES))
            fault = Refused(f"datatype {_value(parts.get('datatype'))!r:.80}", expected, "use one of these")
            gate.refuse(parts.get("datatype", node), fault, name)
    names: dict[str, list[str]] = {}
    for alias, node in sections["aliases"].items():
        if not isinstance(node.value, str) or node.value not in sections["entries"]:
            gate.refuse(
                node,
                Refused(f"alias {alias!r} of {node.plain()!r:.80}", "the name of an entry", "correct it"),
                alias,
            )
        else:
            names.setdefault(node.value, []).append(alias)
    for token, node in sections["entries"].items():
        for name in names.get(token, [token]):
            spec = check_reader(gate, name, node, sections["data"], shared)
            if spec is not None:
                yield spec


def run_gate(gate: Gate, root: Node) -> tuple[list[Spec], dict[str, Any]]:
    """Check a whole catalogue; faults are in `faults` afterwards."""
    keys = root.value if isinstance(root.value, dict) else {}
    stated = _value(keys.get("version"))
    gate.version = 2 if stated == 2 else 1
    if stated not in (None, 1, 2) or isinstance(stated, bool):
        gate.refuse(keys["version"], Refused(f"version {stated!r:.80}", "1 or 2", "write the version of the format"))
    gate.mapping(root, _TOP[gate.version], f"a version {gate.version} catalogue")
    for key in ("metadata", "name", "description", "user_parameters"):
        gate.no_templates(keys.get(key))
    for key in ("name", "description"):
        gate.text(keys.get(key), key)
    metadata = keys.get("metadata", Node({}, 1))
    shared_node = keys.get("user_parameters") if gate.version == 2 else _item(metadata, "parameters")
    shared = gate.parameters(shared_node)
    if gate.version == 2:
        specs = list(version_2(gate, keys, shared))
    else:
        if "sources" not in keys:
            gate.refuse(root, Refused("no `sources`", "`sources:` with entries, or version: 2", "add it"))
        sources = gate.mapping(keys.get("sources", Node({}, 1)), None, "sources")
        checked = (check_source(gate, name, node, shared) for name, node in sources.items())
        specs = [spec for spec in checked if spec is not None]
    return specs, {"name": _value(keys.get("name")), **_plain(metadata)}


def _value(node: Node | None) -> Any:
    """Return a scalar, or None for anything that is not one."""
    return None if node is None or isinstance(node.value, dict | list) else node.value


def _item(node: Node, key: str) -> Node | None:
    return node.value.get(key) if isinstance(node.value, dict) else None


def _plain(node: Node | None) -> dict[str, Any]:
    return node.plain() if node is not None and isinstance(node.value, dict) else {}
