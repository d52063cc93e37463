"""Declared parameters: their types, their allowed values, and what a value may put into a location."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from glacierscale.catalog.document import Node
from glacierscale.catalog.locations import Refused, check_relative

TYPES = ("bool", "datetime", "float", "int", "str")
"""Types a parameter may have."""
FOLDER = "data"
"""The one parameter whose value is a folder, or ``public`` for the published files."""
PUBLIC = "public"
_KEYS = {"type", "default", "allowed", "min", "max", "description"}
_V2_KEYS = {"cls", "dtype", "default", "options", "min", "max", "min_value", "max_value", "description"}
_V2_CLASSES = {
    "intake.readers.user_parameters:" + name: name
    for name in ("SimpleUserParameter", "OptionsUserParameter", "BoundedNumberUserParameter")
}
_TEXT = re.compile(r"[A-Za-z0-9_+=,. -]{1,128}")

Value = bool | int | float | str


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A declared parameter."""

    name: str
    """Name in templates."""
    kind: str
    """One of `TYPES`."""
    default: Value
    """Value when the caller gives none."""
    allowed: tuple[Value, ...] = ()
    """The only values, if any are listed."""
    low: Value | None = None
    """Smallest value."""
    high: Value | None = None
    """Largest value."""
    description: str = ""
    """What it is for."""

    @property
    def is_folder(self) -> bool:
        """Whether its value is a folder."""
        return self.name == FOLDER and self.kind == "str"

    def validate(self, value: object) -> Value:
        """Return a value of this parameter's type that it allows.

        Raises
        ------
        Refused
            Naming the type, the allowed values or the bounds.
        """
        checked = coerce(self.kind, value)
        if self.is_folder and checked != PUBLIC:
            check_relative(str(checked).removeprefix("./") or ".") if checked != "." else None
        elif isinstance(checked, str) and self.kind == "str":
            check_fragment(checked)
        if self.allowed and checked not in self.allowed:
            raise Refused(
                f"{self.name} = {value!r:.80}", "one of " + ", ".join(map(str, self.allowed)), "choose one of these"
            )
        if self.low is not None and checked < self.low:  # type: ignore[operator]
            raise Refused(f"{self.name} = {value!r:.80}", f"at least {self.low}", "choose a larger value")
        if self.high is not None and checked > self.high:  # type: ignore[operator]
            raise Refused(f"{self.name} = {value!r:.80}", f"at most {self.high}", "choose a smaller value")
        return checked


def coerce(kind: str, value: object) -> Value:
    """Return a value as the declared type; text is read, nothing is guessed.

    Parameters
    ----------
    kind : str
        One of `TYPES`.
    value : object
        A scalar of the file or of the caller.
    """
    refusal = Refused(f"the value {value!r:.80}", f"a value of type {kind}", "correct the value or the type")
    if isinstance(value, bool):
        if kind != "bool":
            raise refusal
        return value
    try:
        if kind == "str" and isinstance(value, str | int | float):
            return str(value)
        if kind == "int" and isinstance(value, int | str):
            return int(value)
        if kind == "float" and isinstance(value, int | float | str):
            number = float(value)
            if math.isfinite(number):
                return number
        if kind == "datetime" and isinstance(value, str | dt.date):
            moment = value if isinstance(value, dt.date) else dt.datetime.fromisoformat(value)
            midnight = not isinstance(moment, dt.datetime) or moment.time() == dt.time()
            return moment.isoformat()[:10] if midnight else moment.strftime("%Y-%m-%dT%H%M%S")
    except (ValueError, OverflowError):
        raise refusal from None
    raise refusal


def check_fragment(value: str) -> str:
    """Return a text that fills one place of a location and cannot begin another part of it."""
    if not _TEXT.fullmatch(value) or ".." in value or value.startswith(".") or value != value.strip():
        expected = "letters, digits and _ + = , . - without '..', '/', ':' or brackets"
        raise Refused(f"the parameter value {value!r:.80}", expected, "choose a plain word")
    return value


def declare(declarations: Node, version: int) -> Iterator[Parameter | tuple[Node, Refused]]:
    """Yield each declared parameter, or what is wrong with it.

    Parameters
    ----------
    declarations : Node
        Mapping of names to declarations.
    version : int
        1 or 2: they spell them differently.
    """
    if not isinstance(declarations.value, dict):
        yield (
            declarations,
            Refused("parameters that are not a mapping", "declarations by name", "write name: {type: ...}"),
        )
        return
    for name, node in declarations.value.items():
        try:
            yield _declared(name, node, version)
        except Refused as fault:
            yield node, Refused(f"parameter {name!r}: {fault.came}", fault.expected, fault.remedy)


def _declared(name: str, node: Node, version: int) -> Parameter:
    known = _KEYS if version == 1 else _V2_KEYS
    remedy = "write {type: str, default: ..., description: ...}" if version == 1 else "use a SimpleUserParameter"
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name) or name == "CATALOG_DIR" or name.startswith("__"):
        raise Refused("that name", "letters, digits and _", "rename it")
    if not isinstance(node.value, dict) or set(node.value) - known:
        raise Refused(f"{node.plain()!r:.100}", "only " + ", ".join(sorted(known)), remedy)
    spec = {key: item.plain() for key, item in node.value.items()}
    kind = spec.get("type")
    if version == 2:
        if not isinstance(spec.get("cls"), str) or spec["cls"] not in _V2_CLASSES:
            raise Refused(f"the class {spec.get('cls')!r:.80}", "one of " + ", ".join(_V2_CLASSES), remedy)
        kind = spec.get("dtype", "float" if str(spec["cls"]).endswith("BoundedNumberUserParameter") else None)
    kind = "str" if kind == "unicode" else kind
    if kind not in TYPES:
        raise Refused(f"the type {kind!r:.80}", "one of " + ", ".join(TYPES), "declare its type")
    if "default" not in spec:
        raise Refused("no default", "a default", "add `default:`")
    choices = spec.get("allowed" if version == 1 else "options") or []
    if not isinstance(choices, list):
        raise Refused(f"allowed = {choices!r:.80}", "a list of values", "write [a, b]")
    if not isinstance(spec.get("description") or "", str):
        raise Refused("a description that is not text", "text", "put it in quotes")
    low, high = spec.get("min", spec.get("min_value")), spec.get("max", spec.get("max_value"))
    bare = Parameter(name=name, kind=kind, default=0)
    parameter = Parameter(
        name=name,
        kind=kind,
        default=coerce(kind, spec["default"]),
        allowed=tuple(bare.validate(choice) for choice in choices),
        low=None if low is None else coerce(kind, low),
        high=None if high is None else coerce(kind, high),
        description=spec.get("description") or "",
    )
    parameter.validate(parameter.default)
    return parameter


@dataclass(frozen=True)
class Values:
    """The values of one call, and the folder it trusts."""

    given: Mapping[str, object]
    """As the caller passed them."""
    folder: Path | None = None
    """Folder passed as ``data``."""

    def of(self, parameter: Parameter) -> Value:
        """Return the value of a declared parameter in this call."""
        if parameter.name not in self.given:
            return parameter.default
        if parameter.is_folder and self.folder is not None:
            return str(self.folder)
        return parameter.validate(self.given[parameter.name])


def gather(given: Mapping[str, object]) -> Values:
    """Return the caller's values; a folder passed as ``data`` must exist.

    Raises
    ------
    Refused
        If it does not.
    """
    folder = given.get(FOLDER)
    if folder is None or folder == PUBLIC:
        return Values(dict(given))
    if not isinstance(folder, str | Path) or "\0" in str(folder):
        raise Refused(f"{FOLDER} = {folder!r:.80}", "a folder", "pass the path of a folder")
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise Refused(f"{FOLDER} = {str(folder)!r:.200}, which is no folder", "an existing folder", "check the path")
    return Values(dict(given), root.resolve())
