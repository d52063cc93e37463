"""What tests of the schemas share."""

from __future__ import annotations

import pytest

from glacierscale import schema
from glacierscale.store import Store
from tests.schema.stores import filled


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Store]:
    """A small store of every kind, by its name."""
    folder = tmp_path_factory.mktemp("stores")
    return {name: filled(kind, str(folder / f"{name}.zarr")) for name, kind in schema.SCHEMAS.items()}
