"""The vocabulary and its check."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from glacierscale import schema


def reconstruction() -> xr.Dataset:
    kinds = {"string": "U2", "float32": "float32", "float64": "float64", "int32": "int32"}
    sizes = {"glacier": 2, "hydro_year": 3, "member": 2}
    return xr.Dataset(
        {
            name: (v.dims, np.zeros([sizes[d] for d in v.dims], kinds[v.dtype]), {"units": v.units})
            for name, v in schema.RECONSTRUCTION.variables.items()
        }
    )


def test_a_dataset_that_is_what_the_schema_says_passes() -> None:
    dataset = reconstruction()
    assert schema.check(dataset, schema.RECONSTRUCTION) is dataset


def test_every_fault_is_named_at_once() -> None:
    dataset = reconstruction().drop_vars("lon").transpose(..., "glacier")
    dataset.smb_std.attrs["units"] = "m w.e."
    dataset["lat"] = ("glacier", np.array(["a", "b"]), {"units": "degrees_north"})
    with pytest.raises(ValueError, match="this is not a reconstruction dataset") as caught:
        schema.check(dataset, schema.RECONSTRUCTION)
    told = str(caught.value)
    assert "lon: missing" in told
    assert "smb: has dimensions ('hydro_year', 'glacier'), expected ('glacier', 'hydro_year')" in told
    assert "smb_std: has unit 'm w.e.', expected 'kg m-2'" in told
    assert "lat: has dtype <U1, expected float64" in told


def test_an_optional_variable_may_lack(cube: Any) -> None:
    assert "thickness" not in cube.open()


@pytest.mark.parametrize("kind", list(schema.SCHEMAS.values()), ids=list(schema.SCHEMAS))
def test_every_stored_variable_says_what_it_is_in_sound_terms(kind: schema.Schema) -> None:
    import cf_xarray.units  # noqa: F401
    import pint

    for name, variable in kind.variables.items():
        assert variable.long_name, name
        assert variable.dtype in ("string", "datetime64[ns]", "float32", "float64", "int32", "int64"), name
        along = [dim for dim in variable.dims if dim in kind.blocks]
        assert len(along) <= 1, f"{name} is written along {along}"
        if variable.units:
            assert pint.application_registry.parse_units(variable.units) is not None


@pytest.mark.parametrize("dtype", ["U5", object, "T"])
def test_text_of_any_kind_becomes_fixed_width_strings(dtype: Any) -> None:
    kept = np.dtypes.StringDType() if dtype == "T" else dtype
    found = schema.text(np.array(["ab", "abcde"]).astype(kept))
    assert found.dtype.kind == "U"
    assert found.tolist() == ["ab", "abcde"]


def test_every_kind_of_store_names_the_command_that_makes_it() -> None:
    from glacierscale.cli import COMMANDS

    made = {name: schema.made_by(kind) for name, kind in schema.SCHEMAS.items()}
    assert made["maps"] == "`glacierscale reconstruct`"
    assert made["ice_maps"] == "`glacierscale evolve`"
    assert {command.strip("`").removeprefix("glacierscale ") for command in made.values()} <= set(COMMANDS)
