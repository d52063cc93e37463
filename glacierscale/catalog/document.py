"""A catalogue's YAML text as plain nodes with line numbers, read by rules that no data file needs more than."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_BYTES = 1 << 20
"""Size of the largest catalogue file that is read."""
MAX_DEPTH = 12
"""Levels of lists and mappings inside one another."""
MAX_NODES = 60_000
"""Values, keys, lists and mappings of one file."""


class CatalogError(ValueError):
    """A catalogue, or a request to it, that is refused; says what came, what was expected and what to do."""

    def __init__(
        self, came: str, expected: str, remedy: str, *, path: Path | str = "", line: int = 0, entry: str = ""
    ) -> None:
        self.came, self.expected, self.remedy = came, expected, remedy
        self.path, self.line, self.entry = str(path), line, entry
        places = [str(path)] if str(path) else []
        places += [f"line {line}"] if line else []
        places += [f"entry {entry!r}"] if entry else []
        where = ", ".join(places)
        super().__init__(
            f"{where}: {came}; expected {expected}; {remedy}" if where else f"{came}; expected {expected}; {remedy}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.came, self.expected, self.remedy, self.path, self.line, self.entry)


def _rebuild(
    kind: type[CatalogError], came: str, expected: str, remedy: str, path: str, line: int, entry: str
) -> CatalogError:
    return kind(came, expected, remedy, path=path, line=line, entry=entry)


class MissingEntryError(CatalogError, KeyError):
    """A catalogue was asked for an entry that it does not have."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Node:
    """A value of the file and the line it starts on."""

    value: Any
    """A scalar, a list of nodes, or a dictionary of nodes by key."""
    line: int
    """Counted from 1."""

    def plain(self) -> Any:
        """Return the value without line numbers."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def texts(self) -> Iterator[Node]:
        """Yield every text below this node, keys included."""
        if isinstance(self.value, dict):
            for key, node in self.value.items():
                yield Node(key, node.line)
                yield from node.texts()
        elif isinstance(self.value, list):
            for node in self.value:
                yield from node.texts()
        elif isinstance(self.value, str):
            yield self


def read_text(path: Path) -> str:
    """Return the text of a catalogue file.

    Raises
    ------
    CatalogError
        If it is not a regular file, larger than ``MAX_BYTES``, or not UTF-8.
    """
    if not path.is_file():
        raise CatalogError("no such file", "a catalogue file (.yaml)", "check the path", path=path)
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise CatalogError("more than 1 MiB", "a catalogue of at most 1 MiB", "split it into several files", path=path)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise CatalogError(
            f"bytes that are not UTF-8 ({fault.reason})", "UTF-8 text", "save it as UTF-8", path=path
        ) from None


def parse(text: str, path: Path | str) -> Node:
    """Return the one document of a YAML text.

    Nothing in the text can name a Python type, refer to another part of the text or repeat a key.

    Parameters
    ----------
    text : str
        YAML.
    path : Path or str
        Name of the file for messages.

    Raises
    ------
    CatalogError
        Naming the line of the first thing that is not plain YAML data.
    """
    import yaml

    try:
        _check_events(yaml.parse(text, Loader=yaml.SafeLoader), path)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        problem = getattr(fault, "problem", None) or getattr(fault, "reason", None) or "broken YAML"
        line = mark.line + 1 if mark else 0
        raise CatalogError(
            f"broken YAML ({problem})", "valid YAML", "correct the syntax", path=path, line=line
        ) from None
    except (RecursionError, ValueError) as fault:
        if isinstance(fault, CatalogError):
            raise
        raise CatalogError(f"broken YAML ({fault})", "valid YAML", "correct the syntax", path=path) from None
    if root is None:
        raise CatalogError("an empty file", "a catalogue", "add `sources:`", path=path, line=1)
    return _node(root, path)


def _check_events(events: Iterator[Any], path: Path | str) -> None:
    """Refuse aliases, tags, depth and bulk while the text streams by, before anything is built from it."""
    import yaml

    depth = nodes = documents = 0
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise CatalogError("a second document", "one document", "split the file", path=path, line=line)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            came = f"the anchor or alias {event.anchor!r}"
            raise CatalogError(came, "plain values", "write the value out where it is used", path=path, line=line)
        if not isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            continue
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise CatalogError(f"the tag {tag!r}", "values without tags", "remove the tag", path=path, line=line)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        nodes += 1
        if depth > MAX_DEPTH:
            expected = f"at most {MAX_DEPTH} levels"
            raise CatalogError("too many nested levels", expected, "flatten it", path=path, line=line)
        if nodes > MAX_NODES:
            raise CatalogError("too many values", f"at most {MAX_NODES}", "split the file", path=path, line=line)


def _node(source: Any, path: Path | str) -> Node:
    """Turn a composed YAML node into ours."""
    import yaml

    line = source.start_mark.line + 1
    if isinstance(source, yaml.SequenceNode):
        return Node([_node(item, path) for item in source.value], line)
    if isinstance(source, yaml.ScalarNode):
        return Node(_scalar(source, path), line)
    items: dict[str, Node] = {}
    for key_node, value_node in source.value:
        at = key_node.start_mark.line + 1
        if key_node.tag == "tag:yaml.org,2002:merge":
            raise CatalogError("a merge key '<<'", "plain keys", "write the merged keys out", path=path, line=at)
        key = _scalar(key_node, path) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            came = f"the key {getattr(key_node, 'value', '')!r}"
            raise CatalogError(came, "keys that are text", "put it in quotes", path=path, line=at)
        if key in items:
            came = f"the key {key!r} a second time"
            raise CatalogError(came, "each key once", "remove one of them", path=path, line=at)
        value = _node(value_node, path)
        items[key] = Node(value.value, at)
    return Node(items, line)


def _scalar(source: Any, path: Path | str) -> Any:
    """Return text, number, truth value or nothing; a date stays the text it is."""
    text, kind, line = source.value, source.tag.rpartition(":")[2], source.start_mark.line + 1
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in {"yes", "true", "on"}
    if kind == "int" and re.fullmatch(r"[-+]?(0|[1-9][0-9]{0,17})", text):
        return int(text)
    if kind == "float" and re.fullmatch(r"[-+]?[0-9]{0,20}\.?[0-9]{0,20}([eE][-+]?[0-9]{1,3})?", text):
        return float(text)
    if kind in {"int", "float"}:
        came = f"the number {text[:40]!r}"
        raise CatalogError(came, "a finite decimal number", "write it in decimals or in quotes", path=path, line=line)
    return text
