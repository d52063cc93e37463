"""Every kind of store as one NetCDF file, as xarray writes it without being told anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from glacierscale import provenance, schema
from glacierscale.store import Store
from tests.schema.stores import RECIPE


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
@pytest.mark.parametrize("kind", list(schema.SCHEMAS))
def test_a_store_opened_by_us_or_by_xarray_goes_to_netcdf_and_back(
    kind: str, engine: str, stores: dict[str, Store], tmp_path: Path
) -> None:
    url = stores[kind].url
    for number, dataset in enumerate([Store.at(url).open(), xr.open_zarr(url)]):
        dataset.to_netcdf(tmp_path / f"{number}.nc", engine=engine)
        with xr.open_dataset(tmp_path / f"{number}.nc", engine=engine) as back:
            xr.testing.assert_equal(back.load(), dataset.load())
            assert back.attrs == dataset.attrs
            assert provenance.nested(back.attrs["recipe"]) == RECIPE
            for name in dataset.variables:
                assert back[name].attrs.keys() == dataset[name].attrs.keys()
                if dataset[name].dtype.kind in "fiM":
                    assert back[name].dtype == dataset[name].dtype


def test_attributes_become_text_and_numbers_and_are_read_back() -> None:
    given = {"text": "{no json", "number": 1.5, "flag": True, "none": None, "list": ["a"], "nested": {"a": {"b": None}}}
    flat = provenance.flat(given)
    assert {type(value) for value in flat.values()} == {str, float}
    assert flat["text"] == given["text"]
    for name in ("text", "list", "nested"):
        assert provenance.nested(flat[name]) == given[name]
    assert provenance.flat(flat) == flat
    assert provenance.nested(given["nested"]) == given["nested"]


def test_values_that_are_none_come_back_as_none(tmp_path: Path, features: Store) -> None:
    dataset = features.open().load()
    assert np.isnat(dataset.obs_start).any() or np.isnan(dataset.obs_elevation).any()
    dataset.to_netcdf(tmp_path / "features.nc")
    with xr.open_dataset(tmp_path / "features.nc") as back:
        xr.testing.assert_equal(back, dataset)
