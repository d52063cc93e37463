"""Maps of single glaciers answer to their rasters."""

from __future__ import annotations

import base64
import dataclasses
import io
import re

import matplotlib.image
import numpy as np
import pytest

from glacierscale.reporting import surfaces as drawing_of


def images(svg: str) -> list[np.ndarray]:
    found = re.findall(r'href="data:image/png;base64,([^"]+)"', svg)
    return [matplotlib.image.imread(io.BytesIO(base64.b64decode(text))) for text in found]


def test_each_glacier_has_its_mean_and_its_extreme_years_with_their_balance(surfaces, drawing):
    texts = drawing.texts(drawing_of.surface_figure(surfaces))
    assert {"mean 2000–2004: −0.30", "2001, most negative: −1.50", "2003, most positive: 1.00"} <= texts
    assert {"G1", "2.0 km²", "G2", "1.0 km²"} <= texts
    assert {"2900", "3000", "3100", "0.5 km"} <= texts  # contours and scale bar


def test_all_maps_share_one_scale_that_is_centred_at_zero(surfaces):
    flat = [dataclasses.replace(s, smb=np.where(np.isfinite(s.smb), value, np.nan))
            for s, value in zip(surfaces, (-800.0, 800.0), strict=True)]  # fmt: skip
    pictures = [p for p in images(drawing_of.surface_figure(flat)) if p.shape[:2] == flat[0].ice.shape]
    assert len(pictures) == 6
    middle = tuple(size // 2 for size in flat[0].ice.shape)
    np.testing.assert_allclose(pictures[0][middle][:3], [0x67 / 255, 0, 0x1F / 255], atol=0.01)
    np.testing.assert_allclose(pictures[3][middle][:3], [0x05 / 255, 0x30 / 255, 0x61 / 255], atol=0.01)


def test_terrain_beside_the_ice_is_grey_and_clear_where_there_is_none(surfaces):
    holed = dataclasses.replace(surfaces[0], elevation=surfaces[0].elevation.copy())
    holed.elevation[0, 0] = np.nan
    picture = images(drawing_of.surface_figure([holed]))[0]
    corner, beside = picture[0, 0], picture[-1, -1]
    assert corner[3] == 0
    assert beside[3] == 1
    assert beside[0] == beside[1] == beside[2]


def test_one_year_makes_one_map_and_a_tiny_glacier_is_drawn_without_an_outline(surfaces, drawing):
    one = dataclasses.replace(
        surfaces[0], years=surfaces[0].years[:1], smb=surfaces[0].smb[:1], ice=surfaces[0].ice / 4
    )
    svg = drawing_of.surface_figure([one])
    assert "2000: −0.50" in drawing.texts(svg)
    assert "most negative" not in svg


def test_each_parameter_has_a_row_with_its_unit_and_its_own_scale(surfaces, drawing):
    assert drawing_of.parameters_of(surfaces) == ["snow_factor", "temperature_bias"]
    svg = drawing_of.parameter_figure(surfaces)
    assert {"snow factor", "kg m⁻² K⁻¹ day⁻¹", "temperature bias", "K", "4.000"} <= drawing.texts(svg)
    assert len([p for p in images(svg) if p.shape[:2] == surfaces[0].ice.shape]) == 4


def test_a_parameter_that_is_nowhere_known_has_no_row(surfaces):
    blank = [dataclasses.replace(s, parameters={**s.parameters, "snow_factor": s.ice * np.nan}) for s in surfaces]
    assert drawing_of.parameters_of(blank) == ["temperature_bias"]


@pytest.mark.parametrize(
    ("values", "low", "high", "name"),
    [([1.0, 2.0, 3.0], 1.04, 2.96, "viridis"), ([-1.0, 0.0, 3.0], -2.88, 2.88, "PuOr_r")],
)
def test_only_parameters_of_both_signs_are_centred_at_zero(values, low, high, name):
    colours = drawing_of._parameter_colours(np.array(values))
    assert colours.get_clim() == pytest.approx((low, high))
    assert colours.get_cmap().name == name
