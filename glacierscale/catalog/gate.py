"""One pass over a parsed catalogue: what both versions of the format share, and every fault with its line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glacierscale.catalog import arguments, locations, parameters
from glacierscale.catalog import storage as storage_rules
from glacierscale.catalog.document import CatalogError, Node
from glacierscale.catalog.locations import Refused
from glacierscale.catalog.parameters import Parameter, Values
from glacierscale.catalog.resolution import Resolver
from glacierscale.catalog.specs import Location, Pinned, Spec

_ANY_TEMPLATE = {
    1: re.compile(r"\{\{|\{%|\{#"),
    2: re.compile(r"\{\{|\{%|\{#|\{[^{}]*[(.\[!:]|^\s*\{?(data|env|func|import|pickle64)\("),
}


@dataclass
class Gate:
    """One pass over one catalogue; collects faults so that all of them can be shown."""

    path: Path
    """The catalogue file."""
    values: Values
    """What the caller passed."""
    version: int = 1
    """Version of the file's format."""
    faults: list[CatalogError] = field(default_factory=list)
    """Everything that is refused, in file order."""
    declared: dict[str, Parameter] = field(default_factory=dict)
    """Every parameter any entry declares."""

    def refuse(self, node: Node, fault: Refused, entry: str = "") -> None:
        """Note a fault at a node."""
        self.faults.append(
            CatalogError(fault.came, fault.expected, fault.remedy, path=self.path, line=node.line, entry=entry)
        )

    def mapping(self, node: Node, keys: set[str] | None, what: str, entry: str = "") -> dict[str, Node]:
        """Return the items of a mapping that has no other keys than these."""
        if not isinstance(node.value, dict):
            self.refuse(node, Refused(f"{what} = {node.plain()!r:.80}", "a mapping", "write key: value lines"), entry)
            return {}
        for key, item in node.value.items():
            if keys is not None and key not in keys:
                fault = Refused(f"the key {key!r} in {what}", "only " + ", ".join(sorted(keys)), "remove it")
                self.refuse(item, fault, entry)
        return dict(node.value)

    def text(self, node: Node | None, what: str, entry: str = "") -> str:
        """Return a text, or nothing where it is left out."""
        if node is None or node.value is None:
            return ""
        if not isinstance(node.value, str):
            self.refuse(node, Refused(f"{what} = {node.plain()!r:.80}", "text", "put it in quotes"), entry)
            return ""
        return node.value

    def no_templates(self, node: Node | None, entry: str = "") -> None:
        """Refuse templates where Intake would expand them but nothing needs them."""
        for text in node.texts() if node is not None else ():
            if _ANY_TEMPLATE[self.version].search(str(text.value)):
                fault = Refused(f"the template {text.value!r:.80}", "plain text here", "remove the braces")
                self.refuse(text, fault, entry)

    def parameters(self, node: Node | None, entry: str = "") -> dict[str, Parameter]:
        """Return the parameters of a scope."""
        found: dict[str, Parameter] = {}
        for item in parameters.declare(node, self.version) if node is not None and node.value is not None else ():
            if isinstance(item, Parameter):
                found[item.name] = item
            else:
                self.refuse(*item, entry)
        self.declared |= found
        return found

    def files(self, node: Node | None, entry: str) -> tuple[Pinned, ...]:
        """Return the published files that an entry's metadata names."""
        files = []
        items = node.value.get("files") if node is not None and isinstance(node.value, dict) else None
        if items is not None and not isinstance(items.value, list):
            self.refuse(
                items, Refused("files that are no list", "a list of {path, url, sha256}", "write a list"), entry
            )
            items = None
        for item in items.value if items is not None else ():
            spec = {
                key: self.text(value, key, entry)
                for key, value in self.mapping(item, {"path", "url", "sha256"}, "files", entry).items()
            }
            try:
                relative = locations.check_relative(spec.get("path", ""))
                if "*" in str(relative):
                    raise Refused(f"the path {str(relative)!r}", "one file", "list each file")
                if spec.get("url"):
                    if not locations.check_url(spec["url"]).startswith("https://"):
                        raise Refused(f"the url {spec['url']!r:.120}", "an https URL", "publish it there")
                    if not spec.get("sha256"):
                        raise Refused("a url without sha256", "the file's SHA-256", "add sha256:")
                if spec.get("sha256") and not re.fullmatch(r"[0-9a-f]{64}", spec["sha256"]):
                    raise Refused(f"sha256 = {spec['sha256']!r:.80}", "64 hexadecimal digits", "compute it again")
                files.append(Pinned(str(relative), spec.get("url", ""), spec.get("sha256", "")))
            except Refused as fault:
                self.refuse(item, fault, entry)
        return tuple(files)

    def places(
        self, node: Node | None, driver: str, known: Mapping[str, Parameter], at: Node, entry: str
    ) -> tuple[Location, ...]:
        """Return every location of an entry."""
        items = [] if node is None else node.value if isinstance(node.value, list) else [node]
        found = []
        resolver = Resolver(self.path.resolve().parent, self.version, self.values)
        if not items:
            self.refuse(
                at, Refused("no location", "urlpath (version 1) or url (version 2)", "say where the data is"), entry
            )
        for item in items:
            try:
                place = resolver.place(item.value, known)
                name = (place.url or place.relative).partition("?")[0].lower()
                endings = arguments.SUFFIXES.get(driver)
                if endings and not name.endswith(endings):
                    raise Refused(
                        f"{name!r:.120} for driver {driver!r}",
                        "a name ending in " + ", ".join(endings),
                        "rename or convert it",
                    )
                found.append(place)
            except Refused as fault:
                self.refuse(item, fault, entry)
        if len({storage_rules.storage_family(place.url) for place in found}) > 1:
            self.refuse(
                at, Refused("locations of different kinds", "all local or all in one store", "make two entries"), entry
            )
        return tuple(found)

    def spec(
        self,
        name: str,
        driver: str,
        node: Node,
        args: dict[str, Node],
        url_key: str,
        known: Mapping[str, Parameter],
        **rest: Any,
    ) -> Spec:
        """Check arguments and locations of an entry whose driver is known."""
        places = self.places(args.pop(url_key, None), driver, known, node, name)
        storage = args.pop("storage_options", None)
        if storage is not None and storage.value is not None:
            family = storage_rules.storage_family(places[0].url) if places else "local"
            for item, fault in storage_rules.check_storage(family, storage) if places else ():
                self.refuse(item, fault, name)
        for item, fault in arguments.check_arguments(driver, args):
            self.refuse(item, fault, name)
        return Spec(
            name=name,
            driver=driver,
            places=places,
            args=arguments.flatten(driver, {key: item.plain() for key, item in args.items()}),
            storage_options=(storage.plain() or {}) if storage is not None else {},
            parameters=tuple(known),
            line=node.line,
            **rest,
        )
