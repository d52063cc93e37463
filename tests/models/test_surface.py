"""Ice cells of patches: what each is told of its surroundings, and which glaciers have none."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch.nn.functional import conv2d, leaky_relu, pad

from glacierscale.features.options import RasterizeOptions
from glacierscale.features.rasters import rasterize
from glacierscale.models.form import Form, draw
from glacierscale.models.networks import Weather, balances
from glacierscale.models.raster import cells_of
from glacierscale.models.surface import INPUTS, RADIATION_W_M2, Surface, surface_of

CHANNELS = (
    "elevation",
    "slope",
    "sin_aspect",
    "cos_aspect",
    "curvature",
    "ice_fraction",
    "margin_distance",
    "thickness",
)
REFERENCE = 2900.0


def patches_of(glaciers: int = 3, size: int = 6, resolution: float = 100.0, seed: int = 0) -> xr.Dataset:
    """Patches with ice in an irregular middle, every channel known everywhere."""
    rng = np.random.default_rng(seed)
    shape = (glaciers, size, size)
    angle = rng.uniform(0, 2 * np.pi, shape)
    fraction = np.clip(rng.uniform(-0.5, 1.5, shape), 0, 1)
    fraction[:, 0], fraction[:, :, 0], fraction[:, 2, 2] = 0, 0, 0.25
    raster = {
        "elevation": 2800 + 100 * rng.normal(0, 1, shape),
        "slope": rng.uniform(0, 40, shape),
        "sin_aspect": np.sin(angle),
        "cos_aspect": np.cos(angle),
        "curvature": rng.normal(0, 5e-3, shape),
        "ice_fraction": fraction,
        "margin_distance": rng.uniform(0, 500, shape),
        "thickness": rng.uniform(0, 120, shape),
    }
    ids = np.array([f"G{number}" for number in range(glaciers)])
    along = {
        "glacier_id": ids,
        "unit_id": np.array([f"U{number // 2}" for number in range(glaciers)]),
        "subregion": np.full(glaciers, ""),
        "set_aside": np.full(glaciers, "", "U20"),
        "feature_row": np.arange(glaciers) * 10,
        "centre_lon": 10.0 + np.arange(glaciers),
        "centre_lat": 46.0 + np.arange(glaciers),
        "resolution": np.full(glaciers, resolution, np.float32),
    }
    return xr.Dataset(
        {name: ("glacier", values) for name, values in along.items()}
        | {
            "channel": ("channel", np.array(CHANNELS)),
            "rasters": (
                ("glacier", "channel", "y", "x"),
                np.stack([raster[name] for name in CHANNELS], 1).astype(np.float32),
            ),
            "radiation": (
                ("glacier", "month", "y", "x"),
                rng.uniform(20, 380, (glaciers, 12, size, size)).astype(np.float32),
            ),
        }
    )


def channel(patches: xr.Dataset, name: str) -> np.ndarray:
    return np.asarray(patches.rasters.values[:, CHANNELS.index(name)])


def set_channel(patches: xr.Dataset, name: str, at: tuple[int, int, int], value: float) -> xr.Dataset:
    changed = patches.copy(deep=True)
    changed.rasters.values[at[0], CHANNELS.index(name), at[1], at[2]] = value
    return changed


def centre_of(surface: Surface, name: str) -> np.ndarray:
    """Scaled value of an input on the cells themselves."""
    window = surface.context.shape[1] // len(INPUTS)
    return surface.context[:, INPUTS.index(name) * window + window // 2]


def test_every_ice_cell_has_its_height_area_and_place() -> None:
    patches = patches_of()
    surface = surface_of(patches, REFERENCE, 3)
    fraction, elevation = channel(patches, "ice_fraction").astype(float), channel(patches, "elevation").astype(float)
    glacier, row, column = np.nonzero(fraction > 0)
    for name, expected in (("outline", glacier), ("row", row), ("column", column)):
        np.testing.assert_array_equal(getattr(surface, name), expected)
    np.testing.assert_allclose(surface.area, fraction[glacier, row, column] * 1e4, rtol=1e-6)
    np.testing.assert_allclose(surface.elevation, elevation[glacier, row, column], rtol=1e-6)
    for number in range(3):
        mean = np.average(elevation[number], weights=fraction[number])
        np.testing.assert_allclose(surface.mean_elevation[glacier == number], mean, rtol=1e-6)
    month = np.moveaxis(patches.radiation.values, 1, -1)[glacier, row, column]
    np.testing.assert_allclose(surface.radiation, month / RADIATION_W_M2 - 1, atol=1e-6)
    assert surface.unit_id.tolist() == ["U0", "U0", "U1"]
    assert surface.feature_row.tolist() == [0, 10, 20]
    assert surface.size.tolist() == [6, 6, 6]
    assert surface.resolution.tolist() == [100, 100, 100]


def test_inputs_are_scaled_by_fixed_numbers() -> None:
    patches = patches_of()
    surface = surface_of(patches, REFERENCE, 3)
    glacier, row, column = surface.outline, surface.row, surface.column
    at = {name: channel(patches, name).astype(float)[glacier, row, column] for name in CHANNELS}
    monthly = np.moveaxis(patches.radiation.values.astype(float), 1, -1)[glacier, row, column]
    winter = (monthly[:, :7].sum(1) - monthly[:, 7:].sum(1)) / monthly.sum(1)
    expected = {
        "height": (at["elevation"] - surface.mean_elevation) / 300,
        "elevation": (at["elevation"] - REFERENCE) / 500,
        "slope": (at["slope"] - 15) / 15,
        "sin_aspect": at["sin_aspect"],
        "cos_aspect": at["cos_aspect"],
        "ice_fraction": at["ice_fraction"] * 2 - 1,
        "thickness": (at["thickness"] - 50) / 50,
        "margin_distance": (at["margin_distance"] - 200) / 300,
        "radiation": (monthly.mean(1) - 200) / 60,
        "shade": (winter + 0.3) / 0.5,
        "velocity": np.zeros(len(row)),  # not in these patches
    }
    for name, values in expected.items():
        np.testing.assert_allclose(centre_of(surface, name), np.clip(values, -4, 4), atol=2e-4, err_msg=name)
    assert np.abs(surface.context).max() <= 4


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_the_convolution_over_ice_cells_equals_one_over_the_whole_patch(kernel: int) -> None:
    patches = patches_of()
    surface = surface_of(patches, REFERENCE, kernel)
    # The same patches with ice everywhere and no neighbourhood tell the scaled inputs of every cell, but for two.
    everywhere = patches.copy(deep=True)
    everywhere.rasters.values[:, CHANNELS.index("ice_fraction")] = 1
    full = surface_of(everywhere, REFERENCE, 1)
    images = torch.from_numpy(full.context.reshape(3, 6, 6, len(INPUTS))).movedim(-1, 1).clone()
    images[:, INPUTS.index("ice_fraction")] = torch.from_numpy(channel(patches, "ice_fraction") * 2 - 1)
    mean = np.array([surface.mean_elevation[surface.outline == number][0] for number in range(3)])
    height = (channel(patches, "elevation") - mean[:, None, None]) / 300
    images[:, INPUTS.index("height")] = torch.from_numpy(height)

    form = Form(
        kind="hybrid",
        slack=0.5,
        sigma_k=4.0,
        units=(),
        kinds=("annual",),
        targets=("annual",),
        channels=INPUTS,
        reference_elevation=REFERENCE,
        kernel=kernel,
    )
    own = {name: value * (10 if name == "conv3.weight" else 1) for name, value in draw(form, 2, seed=1).items()}
    weather = Weather(
        temp=torch.zeros(3, 1, 12),
        precip=torch.zeros(3, 1, 12),
        lapse=torch.full((3, 12), -6e-3),
        height=torch.full((3,), 2500.0),
    )
    found = balances(own, form, cells_of(surface, form), weather).fields
    wide = pad(images, (kernel // 2,) * 4, mode="replicate")
    for number in range(2):
        layer = {name: value[number] for name, value in own.items()}
        weight = layer["conv1.weight"].T.reshape(form.hidden[0], len(INPUTS), kernel, kernel)
        hidden = leaky_relu(conv2d(wide, weight, layer["conv1.bias"]), 0.05)
        hidden = leaky_relu(conv2d(hidden, layer["conv2.weight"].T[..., None, None], layer["conv2.bias"]), 0.05)
        out = conv2d(hidden, layer["conv3.weight"].T[..., None, None], layer["conv3.bias"])
        on_ice = out.movedim(1, -1)[surface.outline, surface.row, surface.column]
        expected = torch.tanh(on_ice[:, : found.shape[-1]])
        np.testing.assert_allclose(found[number], expected, atol=1e-5)
        assert expected.std() > 0.05


def test_glaciers_set_aside_have_no_cells_and_keep_their_place_in_the_features() -> None:
    patches = patches_of()
    whole = surface_of(patches, REFERENCE, 3)
    patches["set_aside"] = ("glacier", np.array(["", "no terrain", ""]))
    patches.rasters.values[1] = np.nan
    surface = surface_of(patches, REFERENCE, 3)
    assert surface.unit_id.tolist() == ["U0", "U1"]
    assert surface.feature_row.tolist() == [0, 20]
    kept = whole.take(np.array([0, 2]))
    for field in fields(Surface):
        np.testing.assert_array_equal(getattr(surface, field.name), getattr(kept, field.name), err_msg=field.name)


def test_patches_that_are_all_set_aside_are_an_empty_surface() -> None:
    patches = patches_of()
    patches["set_aside"] = ("glacier", np.array(["no ice"] * 3))
    surface = surface_of(patches, REFERENCE, 3)
    assert len(surface.unit_id) == len(surface.area) == 0
    other = surface_of(patches_of(), REFERENCE, 3)
    both = Surface.concatenate([surface, other])
    for field in fields(Surface):
        np.testing.assert_array_equal(getattr(both, field.name), getattr(other, field.name), err_msg=field.name)


@pytest.mark.parametrize("name", ["elevation", "slope", "sin_aspect", "curvature", "margin_distance"])
def test_a_channel_that_is_nan_on_ice_is_refused_by_its_name(name: str) -> None:
    broken = set_channel(patches_of(), name, (1, 2, 2), np.nan)
    with pytest.raises(ValueError, match=rf"channel '{name}' is NaN on 1 ice cells, the first of G1; expected numbers"):
        surface_of(broken, REFERENCE, 3)


def test_radiation_that_is_nan_on_ice_is_refused_even_in_one_month() -> None:
    patches = patches_of()
    patches.radiation.values[2, 5, 2, 2] = np.nan
    with pytest.raises(ValueError, match="channel 'radiation' is NaN on 1 ice cells, the first of G2"):
        surface_of(patches, REFERENCE, 3)


def test_an_ice_fraction_that_is_nan_is_refused() -> None:
    broken = set_channel(patches_of(), "ice_fraction", (1, 2, 2), np.nan)
    with pytest.raises(ValueError, match=r"channel 'ice_fraction' is NaN on 1 .*cells, the first of G1"):
        surface_of(broken, REFERENCE, 3)


def test_nan_off_the_ice_is_no_fault_and_counts_as_the_usual() -> None:
    patches = patches_of()
    for name in ("elevation", "slope", "curvature", "margin_distance"):
        patches = set_channel(patches, name, (0, 0, 1), np.nan)
    patches.radiation.values[0, :, 0, 1] = np.nan
    surface = surface_of(patches, REFERENCE, 3)
    assert np.isfinite(surface.context).all()
    beside = (surface.outline == 0) & (surface.row == 1) & (surface.column == 1)
    assert beside.sum() == (channel(patches, "ice_fraction")[0, 1, 1] > 0)
    window = surface.context.reshape(-1, len(INPUTS), 3, 3)
    for name in ("slope", "radiation", "height"):
        assert (window[beside, INPUTS.index(name), 0, 1] == 0).all()


def test_unknown_thickness_is_tolerated_and_stands_at_its_centre() -> None:
    surface = surface_of(set_channel(patches_of(), "thickness", (1, 2, 2), np.nan), REFERENCE, 3)
    there = (surface.outline == 1) & (surface.row == 2) & (surface.column == 2)
    assert centre_of(surface, "thickness")[there] == 0
    assert np.isfinite(surface.context).all()
    without = patches_of().isel(channel=slice(None, -1))
    assert (centre_of(surface_of(without, REFERENCE, 3), "thickness") == 0).all()


def test_patches_that_lack_a_channel_are_refused() -> None:
    lacking = patches_of().isel(channel=[0, 1, 2, 3, 5])
    with pytest.raises(ValueError, match=r"the patches lack the channels \['curvature', 'margin_distance'\]"):
        surface_of(lacking, REFERENCE, 3)


def test_taking_from_a_concatenation_gives_the_parts_back() -> None:
    small, large = surface_of(patches_of(3, 6), REFERENCE, 3), surface_of(patches_of(2, 9, 50.0, 4), REFERENCE, 3)
    both = Surface.concatenate([small, large])
    assert both.size.tolist() == [6, 6, 6, 9, 9]
    assert both.area.sum() == pytest.approx(small.area.sum() + large.area.sum())
    assert (np.diff(both.outline) >= 0).all()
    for part, outlines in ((small, [0, 1, 2]), (large, [3, 4])):
        again = both.take(np.array(outlines))
        for field in fields(Surface):
            np.testing.assert_array_equal(getattr(again, field.name), getattr(part, field.name), err_msg=field.name)
    mixed = both.take(np.array([1, 4]))
    assert mixed.centre_lon.tolist() == [11.0, 11.0]
    assert mixed.resolution.tolist() == [100.0, 50.0]
    np.testing.assert_array_equal(mixed.context[mixed.outline == 1], large.context[large.outline == 1])
    np.testing.assert_array_equal(mixed.row[mixed.outline == 0], small.row[small.outline == 1])


@pytest.fixture(scope="module")
def stores(cube: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    options = RasterizeOptions(buckets=(8, 24, 32), shading_m=2000.0)
    return rasterize(cube, to=tmp_path_factory.mktemp("patches") / "patches", options=options)


def test_rasterized_glaciers_have_the_area_and_height_of_their_outlines(stores: Any, region: SimpleNamespace) -> None:
    opened = [store.open().load() for store in stores]
    surface = Surface.concatenate([surface_of(patches, REFERENCE, 3) for patches in opened])
    ids = list(region.polygons)
    assert sorted(surface.feature_row) == list(range(len(ids)))
    for number, row in enumerate(surface.feature_row):
        mine = surface.outline == number
        polygon = region.polygons[ids[row]]
        assert surface.unit_id[number] == region.unit[ids[row]]
        assert surface.area[mine].sum() == pytest.approx(polygon.area, rel=2e-3)
        if polygon.area > 1e5:
            low, high = region.elevation.min(), region.elevation.max()
            assert ((surface.elevation[mine] > low) & (surface.elevation[mine] < high)).all()
            mean = np.average(surface.elevation[mine], weights=surface.area[mine])
            assert surface.mean_elevation[mine][0] == pytest.approx(mean, abs=0.01)
    assert isinstance(stores, tuple)
    assert all(Path(store.url).name.startswith("patches_") for store in stores)
