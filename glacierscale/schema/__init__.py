"""Every stored variable, spelled once: name, dimensions, units, dtype; and the check that makes a dataset trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, NewType

from glacierscale.schema.common import IDENTITY, LABELS, OBSERVATION_KINDS, OBSERVATIONS, SET_ASIDE
from glacierscale.schema.form import Schema, Variable
from glacierscale.schema.placing import placed
from glacierscale.schema.rasters import ICE_MAPS, MAPS, PATCHES, PLACEMENT
from glacierscale.schema.tables import CUBE, EVOLUTION, FEATURES, RECONSTRUCTION

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import xarray as xr

__all__ = [
    "CUBE",
    "EVOLUTION",
    "FEATURES",
    "ICE_MAPS",
    "IDENTITY",
    "LABELS",
    "MAPS",
    "OBSERVATIONS",
    "OBSERVATION_KINDS",
    "PATCHES",
    "PLACEMENT",
    "RECONSTRUCTION",
    "SCHEMAS",
    "SET_ASIDE",
    "VERSION",
    "WRITTEN_BY",
    "Schema",
    "Variable",
    "check",
    "identity",
    "made_by",
    "placed",
    "text",
]

VERSION = 5
"""Version of the store layout; a store of another version is refused."""

WRITTEN_BY = {
    "ingest": CUBE,
    "featurize": FEATURES,
    "rasterize": PATCHES,
    "reconstruct": RECONSTRUCTION,
    "map": MAPS,
    "evolve": EVOLUTION,
    "map_ice": ICE_MAPS,
}
"""Schema of the store that each verb writes."""

_MADE_WITH = {"map": "reconstruct", "map_ice": "evolve"}  # maps come with the stores that they belong to

SCHEMAS = {schema.name: schema for schema in (CUBE, FEATURES, PATCHES, RECONSTRUCTION, MAPS, EVOLUTION, ICE_MAPS)}

if TYPE_CHECKING:
    GlacierCube = NewType("GlacierCube", xr.Dataset)
    Features = NewType("Features", xr.Dataset)
    Reconstruction = NewType("Reconstruction", xr.Dataset)
    Evolution = NewType("Evolution", xr.Dataset)


def check(dataset: xr.Dataset, schema: Schema) -> xr.Dataset:
    """Return the dataset if it is what the schema says.

    Parameters
    ----------
    dataset : xarray.Dataset
        As opened or built; nothing is loaded.
    schema : Schema
        What it must hold.

    Raises
    ------
    ValueError
        Naming every variable that is missing, and every one with other dimensions, units or kind of dtype.
    """
    faults = []
    for name, wanted in schema.variables.items():
        if name not in dataset.variables:
            if not wanted.optional:
                faults.append(f"{name}: missing")
            continue
        found = dataset[name]
        if tuple(found.dims) != wanted.dims:
            faults.append(f"{name}: has dimensions {tuple(found.dims)}, expected {wanted.dims}")
        units = found.attrs.get("units", "")
        if wanted.units and units != wanted.units:
            faults.append(f"{name}: has unit {units!r}, expected {wanted.units!r}")
        kinds = {"string": "TUO", "datetime64[ns]": "M"}.get(wanted.dtype) or {"f": "f", "i": "iu"}[wanted.dtype[0]]
        if found.dtype.kind not in kinds:
            faults.append(f"{name}: has dtype {found.dtype}, expected {wanted.dtype}")
    if faults:
        raise ValueError(f"this is not a {schema.name} dataset:\n  " + "\n  ".join(faults))
    return dataset


def identity(dataset: xr.Dataset) -> list[str]:
    """Variables that tell who a glacier is, those that a dataset has: stores of earlier versions lack names."""
    return [name for name in IDENTITY if name in dataset.variables]


def made_by(kind: Schema) -> str:
    """The command that makes stores of a kind."""
    verb = next(verb for verb, written in WRITTEN_BY.items() if written.name == kind.name)
    return f"`glacierscale {_MADE_WITH.get(verb, verb)}`"


def text(values: npt.ArrayLike) -> npt.NDArray[np.str_]:
    """Identifiers as fixed-width strings, whatever text type they were stored in."""
    import numpy as np

    return np.array(np.asarray(values).tolist(), dtype=np.str_)
