"""Location texts of a catalogue, with their templates, turned into public URLs or paths below a trusted folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from glacierscale.catalog import locations
from glacierscale.catalog.locations import Refused
from glacierscale.catalog.parameters import PUBLIC, Parameter, Values
from glacierscale.catalog.specs import Location

_FIRST_NAME = {
    1: re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}/*(.*)", re.DOTALL),
    2: re.compile(r"\{([A-Za-z_]\w*)\}/*(.*)", re.DOTALL),
}


@dataclass(frozen=True)
class Resolver:
    """What location texts of one catalogue mean in one call."""

    base: Path
    """Folder of the catalogue."""
    version: int
    """Version of the file's format."""
    values: Values
    """What the caller passed."""

    def place(self, text: str, known: Mapping[str, Parameter]) -> Location:
        """Return where a location text points in this call.

        Parameters
        ----------
        text : str
            As written in the file.
        known : mapping of str to Parameter
            The parameters in scope.

        Raises
        ------
        Refused
            If it may point anywhere else than to public data or below a trusted folder.
        """
        locations.check_text(text)

        def value_of(name: str) -> str:
            if name == "CATALOG_DIR" or (name in known and known[name].is_folder):
                raise Refused(f"{name} inside {text!r:.80}", f"{name} only at the start", "write it first")
            if name not in known:
                declared = ", ".join(["CATALOG_DIR", *known])
                raise Refused(f"the undeclared name {name!r}", f"one of {declared}", "declare it under parameters")
            return str(self.values.of(known[name]))

        first = _FIRST_NAME[self.version].fullmatch(text)
        if first and (first[1] == "CATALOG_DIR" or (first[1] in known and known[first[1]].is_folder)):
            root = self.base if first[1] == "CATALOG_DIR" else self._folder(known[first[1]])
            relative = locations.render(first[2], self.version, value_of)
            if root is None:
                return Location(relative=str(locations.check_relative(relative)))
            locations.below(root, relative)
            return Location(root=root, relative=relative)
        self._check_authority(text, known)
        resolved = locations.render(text, self.version, value_of)
        if "://" in resolved or ":" in text.partition("/")[0]:
            return Location(url=locations.check_url(resolved))
        locations.below(self.base, resolved)
        return Location(root=self.base, relative=resolved)

    def _folder(self, parameter: Parameter) -> Path | None:
        value = self.values.of(parameter)
        if self.values.folder is not None:
            return self.values.folder
        base = self.base
        return (
            None if value == PUBLIC else base if value == "." else locations.below(base, str(value).removeprefix("./"))
        )

    def _check_authority(self, text: str, known: Mapping[str, Parameter]) -> None:
        """Let a parameter choose a bucket only from a list, and never a scheme or a host."""
        scheme, separator, rest = text.partition("://")
        names = locations.TEMPLATES[self.version].findall(
            rest.partition("/")[0] if separator else text.partition("/")[0]
        )
        if "{" in scheme and separator:
            raise Refused(f"a template in the scheme of {text!r:.80}", "a literal scheme", "write it out")
        open_names = [name for name in names if name in known and not known[name].allowed]
        if separator and names and (scheme == "https" or open_names):
            raise Refused(f"a template in the host of {text!r:.80}", "a literal host or bucket", "write it out")
