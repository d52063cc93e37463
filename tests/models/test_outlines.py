"""Outlines of one observed glacier stand together, by their areas."""

from __future__ import annotations

import numpy as np
import xarray as xr

from glacierscale.models.outlines import Outlines

UNITS, AREAS = ["b", "a", "b", "c", "a"], [1.0, 2.0, 3.0, 4.0, 5.0]


def features(aside: tuple[int, ...] = ()) -> xr.Dataset:
    reason = np.array(["no terrain" if number in aside else "" for number in range(len(UNITS))])
    columns = {"unit_id": np.array(UNITS), "set_aside": reason, "area_m2": np.array(AREAS)}
    return xr.Dataset({name: ("glacier", values) for name, values in columns.items()})


def test_means_weigh_the_outlines_of_a_glacier_by_area() -> None:
    outlines = Outlines.of(features(), np.array(["a", "b", "z"]))
    assert outlines.unit_id.tolist() == ["a", "b"]
    assert outlines.position.tolist() == [0, 1, 2, 4]
    values = np.arange(8.0).reshape(4, 2)  # (outline, year)
    np.testing.assert_allclose(
        outlines.mean(values), [(2 * values[1] + 5 * values[3]) / 7, (values[0] + 3 * values[2]) / 4]
    )


def test_outlines_that_were_set_aside_do_not_count() -> None:
    outlines = Outlines.of(features(aside=(1, 3)), np.array(["a", "c"]))
    assert outlines.unit_id.tolist() == ["a"]
    np.testing.assert_allclose(outlines.mean(np.array([7.0])), [7.0])
    assert Outlines.of(features(), np.array(["z"])).mean(np.zeros((0, 3))).shape == (0, 3)
