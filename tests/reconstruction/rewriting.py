"""Features stores with other values than featurize gave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from glacierscale import schema
from glacierscale.store import Store


def rewritten(features: Store, folder: Path, attrs: dict[str, Any] | None = None, **values: Any) -> Store:
    """The features once more in a folder, four glaciers to a block, some attributes or values of glaciers changed."""
    dataset = features.open().load()
    for name, own in values.items():
        dataset[name] = (dataset[name].dims, np.asarray(own))
    static = dataset.drop_vars([name for name in dataset.variables if "glacier" in dataset[name].dims])
    target = Store(str(folder / "features.zarr"), schema.FEATURES)
    sizes = {str(dim): size for dim, size in dataset.sizes.items() if dim not in static.dims}
    without = [name for name, entry in schema.FEATURES.variables.items() if entry.optional and name not in dataset]
    declared = static.assign_attrs(attrs or {})
    target.declare(declared, features.stamp, sizes=sizes, chunks={"glacier": 4}, without=without)
    for block in target.unfinished():
        part = dataset.isel(glacier=block.slice)
        target.write(block, {str(n): part[n].values for n in part.variables if "glacier" in part[n].dims})
    return target
