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
    sharded: bool = False
    """True where a block is one object, a shard, and each entry of the block one chunk in it that is read alone."""
    mantissa_bits: int = 23
    """Bits of a sharded float32's mantissa that are kept (23: all): values are rounded to 1 part in 2^(bits + 1).

    Rounding is part of what is stored, whatever the codec: with or without compression a store has the same values.
    """


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

    def __post_init__(self) -> None:
        for name, variable in self.variables.items():
            if variable.sharded and (variable.dims[0] not in self.blocks or variable.dtype != "float32"):
                raise ValueError(
                    f"{self.name}: {name} is {variable.dtype} along {variable.dims}; a sharded variable is float32 and "
                    f"its first dimension is written by blocks, one of {tuple(self.blocks)}."
                )
            if variable.mantissa_bits != 23 and not variable.sharded:
                raise ValueError(f"{self.name}: {name} keeps {variable.mantissa_bits} bits but is not sharded.")
            if not 1 <= variable.mantissa_bits <= 23:
                raise ValueError(f"{self.name}: {name} keeps {variable.mantissa_bits} bits; expected 1 to 23.")
