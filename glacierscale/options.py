"""Options of verbs: what all their classes share."""

from __future__ import annotations

import difflib
import functools
from dataclasses import fields
from typing import Any, TypeVar

C = TypeVar("C", bound=type)


def spelt(options: C) -> C:
    """Let a dataclass of options answer a name that it does not know with those it knows.

    Raises
    ------
    TypeError
        On making one with another name, with the nearest names.
    """
    known = [field.name for field in fields(options)]
    kind: Any = options
    made = kind.__init__

    @functools.wraps(made)
    def checked(self: Any, *values: Any, **given: Any) -> None:
        unknown = [name for name in given if name not in known]
        if unknown:
            near = difflib.get_close_matches(unknown[0], known, n=3, cutoff=0.6)
            meant = f"did you mean {' or '.join(near)}?" if near else f"expected some of {', '.join(known)}."
            raise TypeError(f"{options.__name__} has no option {unknown[0]!r}; {meant}")
        made(self, *values, **given)

    kind.__init__ = checked
    return options
