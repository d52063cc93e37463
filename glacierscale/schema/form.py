"""What a stored variable is and what a store holds: the words that the schemas are written in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One stored variable."""

    dims: tuple[str, ...]
    """Dimension names in stored order."""
    units: str
    """CF unit; empty for text and identifiers."""
    long_name: str
    """What it is, in words."""
    dtype: str = "float32"
    """NumPy dtype, ``"string"`` for text, ``"datetime64[ns]"`` for dates."""
    optional: bool = False
    """True where a store may lack it."""
    cell_methods: str = ""
    """CF cell methods where they apply."""


@dataclass(frozen=True, kw_only=True)
class Schema:
    """What one kind of store holds."""

    name: str
    """Name of the kind."""
    title: str
    """CF title of a store of this kind."""
    variables: Mapping[str, Variable]
    """Its variables by name."""
    blocks: Mapping[str, int]
    """Dimensions that are written block by block, and how many entries one block has by default."""
    chunks: Mapping[str, int] = field(default_factory=dict)
    """Chunk lengths along other dimensions that are too long for one chunk."""
