"""Shallow-ice flow: exact solutions, closed mass on any bed, and results that do not depend on company."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glacierscale.evolution import sia
from glacierscale.units import GRAVITY_M_S2, ICE_DENSITY_KG_M3

Floats = npt.NDArray[np.floating]

YEAR_S = 365.2425 * 86400
EISMINT = 1e-16 / YEAR_S  # rate factor of the exact solutions, s-1 Pa-3


def mobility(rate_factor: float, n: int = 3) -> float:
    return 2 * rate_factor * YEAR_S * (ICE_DENSITY_KG_M3 * GRAVITY_M_S2) ** n / (n + 2)


def one(values: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(values, float))[None]


def side(dx: float) -> torch.Tensor:
    return torch.tensor([dx], dtype=torch.float64)


def halfar(r: Floats, years: float, start: float, n: int) -> Floats:
    """Dome of 3600 m and 750 km at time `start`, `years` later (Halfar 1983)."""
    age = (start + years) / start
    alpha, beta = 2 / (5 * n + 3), 1 / (5 * n + 3)
    inside = np.maximum(1 - (age**-beta * r / 750e3) ** ((n + 1) / n), 0)
    return np.asarray(3600 * age**-alpha * inside ** (n / (2 * n + 1)))


def dome(cells: int, n: int = 3, **options: float) -> tuple[float, float, float]:
    """Relative error at the dome, mean error (m) and relative error of the volume after 1,000 years."""
    dx = 2400e3 / cells
    start = 437.0
    factor = ((2 * n + 1) / (n + 1)) ** n * 750e3 ** (n + 1) / 3600.0 ** (2 * n + 1) / (5 * n + 3) / start
    x = (np.arange(cells + 1) - cells / 2) * dx
    r = np.hypot(x, x[:, None])
    first, truth = halfar(r, 0, start, n), halfar(r, 1000, start, n)
    flat = torch.zeros(1, *r.shape, dtype=torch.float64)
    rate_factor = factor / mobility(1.0, n)
    last = sia.advance(one(first), flat, flat, side(dx), 1000.0, rate_factor=rate_factor, exponent=n, **options)
    ice = last.thickness[0].numpy()
    middle = cells // 2
    return (
        abs(ice[middle, middle] / truth[middle, middle] - 1),
        float(np.abs(ice - truth)[truth > 0].mean()),
        abs(ice.sum() / first.sum() - 1),
    )


def test_a_spreading_dome_is_right_within_a_percent_and_better_with_finer_cells() -> None:
    found = [dome(cells, longest_years=50.0) for cells in (20, 40, 80, 160)]
    at_dome, mean, volume = (np.array(values) for values in zip(*found, strict=True))
    assert (at_dome < 0.006).all()
    assert (at_dome[:-1] > at_dome[1:]).all()
    assert (volume < 1e-12).all()
    assert (mean[:-1] > 1.9 * mean[1:]).all()
    assert np.log2(mean[0] / mean[-1]) / 3 > 1  # order


def test_with_steps_of_a_year_the_dome_is_right_within_half_a_per_mille() -> None:
    assert dome(40)[0] < 0.0005


@pytest.mark.parametrize("n", [1, 2, 4])
def test_other_exponents_spread_their_own_domes(n: int) -> None:
    at_dome, mean, volume = dome(40, n, longest_years=20.0)
    assert at_dome < 0.01
    assert mean < 30
    assert volume < 1e-12


def cliff(x: Floats) -> tuple[Floats, Floats, Floats]:
    """Bed with a step of 500 m, balance, and the steady thickness (Jarosch et al. 2013)."""
    peak, end, edge, height = 2.0, 20e3, 7e3, 500.0
    rate = (peak / mobility(EISMINT)) ** (1 / 3) / end ** (5 / 3)

    def below(x: Floats | float) -> Any:
        return 8 / 3 * rate * (end**3 / 6 - (end * np.square(x) / 2 - np.power(x, 3) / 3))

    right = np.maximum(below(np.minimum(x, end)), 0) ** (3 / 8)
    over = max(below(edge) ** (3 / 8) - height, 0) ** (8 / 3)
    left = (over + np.maximum(below(x) - below(edge), 0)) ** (3 / 8)
    balance = 3 * peak / end**5 * (x * np.abs(end - x)) ** 2 * (end - 2 * x)
    return np.where(x < edge, height, 0.0), balance, np.where(x < edge, left, right)


def test_ice_falls_over_a_cliff_as_fast_as_it_comes_and_none_is_created() -> None:
    dx = 1000.0
    x = (np.arange(28) + 0.5) * dx
    bed, balance, steady = (one(np.tile(row, (3, 1))) for row in cliff(x))
    found = sia.advance(steady, bed, balance, side(dx), 2000.0, rate_factor=EISMINT, longest_years=20.0)
    assert found.thickness.min() >= 0
    gained = found.thickness.sum() - steady.sum() - found.applied.sum()
    assert abs(gained) < 1e-12 * steady.sum()
    assert found.thickness.sum() == pytest.approx(float(steady.sum()), rel=2e-3)
    assert (found.thickness - steady).square().mean().sqrt() < 16
    assert (found.thickness[0, 1] - found.thickness[0, 0]).abs().max() < 1e-9  # nothing happens across


def mountain(size: int = 24, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Steep walls, cliffs and holes of hundreds of metres, with ice of up to 120 m here and there: bed, thickness."""
    drawn = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    bed = 3000 - 60 * x + 150 * np.sin(y / 2) + 300 * (x % 7 == 3) + drawn.normal(0, 40, (size, size))
    ice = 120 * drawn.random((size, size)) * (np.hypot(x - size / 2, y - size / 2) < size / 3)
    return one(bed), one(ice)


def clipped(ice: Floats, bed: Floats, dx: float, years: float) -> Floats:
    """The usual scheme: mean thickness at faces, explicit steps, what falls below zero set to zero."""
    left = years
    while left > 0:
        surface = ice + bed
        down, right = np.gradient(surface, dx)
        faces = []
        for axis, across in ((0, right), (1, down)):
            near, far = np.s_[:-1], np.s_[1:]
            mean = [0.5 * (f.swapaxes(0, axis)[near] + f.swapaxes(0, axis)[far]) for f in (ice, across)]
            along = np.diff(surface.swapaxes(0, axis), axis=0) / dx
            faces.append((mobility(sia.RATE_FACTOR) * mean[0] ** 5 * (along**2 + mean[1] ** 2), along))
        step = min(left, 0.1 * dx**2 / max(d.max() for d, _ in faces))
        change = np.zeros_like(ice)
        for axis, (d, along) in enumerate(faces):
            view, flux = change.swapaxes(0, axis), d * along * step / dx
            view[:-1] += flux
            view[1:] -= flux
        ice = np.maximum(ice + change, 0)
        left -= step
    return ice


def test_on_steep_beds_no_ice_is_made_where_the_usual_scheme_makes_many_times_more() -> None:
    bed, ice = mountain()
    usual = clipped(ice[0].numpy(), bed[0].numpy(), 100.0, 0.5)
    assert usual.sum() > 5 * float(ice.sum())
    found = sia.advance(ice, bed, torch.zeros_like(bed), side(100.0), 0.5)
    assert found.thickness.min() >= 0
    assert abs(found.thickness.sum() / ice.sum() - 1) < 1e-12
    assert (found.applied == 0).all()
    assert (found.thickness - ice).abs().max() > 20


@given(seed=st.integers(0, 10**6), melt=st.floats(-20, 5), years=st.floats(0.1, 2))
@settings(max_examples=15, deadline=None)
def test_volume_changes_by_the_balance_that_was_applied_and_no_cell_falls_below_zero(
    seed: int, melt: float, years: float
) -> None:
    bed, ice = mountain(14, seed)
    balance = melt + (bed - bed.mean()) * 0.01
    found = sia.advance(ice, bed, balance, side(60.0), years)
    assert found.thickness.min() >= 0
    change = found.thickness.sum() - ice.sum()
    assert abs(change - found.applied.sum()) < 1e-10 * max(float(ice.sum()), float(found.thickness.sum()))
    assert (found.unmet >= 0).all()
    bare = (ice == 0) & (balance <= 0)
    assert (found.applied[bare] <= 0).all()  # what flowed there may melt
    full = (balance > 0) & (found.applied > 0)
    torch.testing.assert_close(found.applied[full], balance[full] * years)


def test_melt_takes_what_there_is_and_the_rest_is_told() -> None:
    flat = torch.zeros(1, 5, 5, dtype=torch.float64)
    ice = flat.clone()
    ice[0, 2, 1:4] = torch.tensor([0.5, 2.0, 8.0])  # too thin to flow
    found = sia.advance(ice, flat, flat - 3.0, side(1e5))
    torch.testing.assert_close(found.thickness[0, 2, 1:4], torch.tensor([0.0, 0.0, 5.0], dtype=torch.float64))
    torch.testing.assert_close(found.applied[0, 2], torch.tensor([0.0, -0.5, -2.0, -3.0, 0.0], dtype=torch.float64))
    torch.testing.assert_close(found.unmet[0, 2], torch.tensor([0.0, 2.5, 1.0, 0.0, 0.0], dtype=torch.float64))
    assert found.unmet.sum() == pytest.approx(3.5)


def test_balance_acts_on_bare_ground_where_it_is_positive_and_ice_may_be() -> None:
    flat = torch.zeros(1, 6, 6, dtype=torch.float64)
    balance = flat - 1.0
    balance[0, 2:4] = 0.25
    mask = torch.ones(1, 6, 6, dtype=torch.bool)
    mask[..., 3:] = False
    found = sia.advance(flat, flat, balance, side(100.0), 2.0, mask=mask)
    assert (found.thickness[0, 2:4, :3] == 0.5).all()
    assert found.thickness.sum() == pytest.approx(3.0)


def test_ice_stays_within_its_mask_and_its_patch() -> None:
    bed, ice = mountain()
    mask = torch.zeros_like(bed, dtype=torch.bool)
    mask[..., 6:17, 4:15] = True
    ice = torch.where(mask, ice, 0.0)
    found = sia.advance(ice, bed, torch.zeros_like(bed), side(100.0), 30.0, mask=mask)
    assert (found.thickness[~mask] == 0).all()
    assert abs(found.thickness.sum() / ice.sum() - 1) < 1e-12
    alone = [values[..., 6:17, 4:15] for values in (ice, bed, torch.zeros_like(bed))]
    torch.testing.assert_close(
        sia.advance(*alone, side(100.0), 30.0).thickness, found.thickness[..., 6:17, 4:15], rtol=0, atol=0
    )


def valley(dx: float = 100.0) -> tuple[torch.Tensor, torch.Tensor]:
    """A straight valley of 4 km, and a balance that falls by 0.8 m of ice in 100 m of height along it."""
    y, x = np.mgrid[: round(1200 / dx), : round(4000 / dx)] * dx + dx / 2
    bed = 3400 - 0.2 * x + ((y - 600) / 40) ** 2
    return one(bed), one(0.008 * (300 - 0.2 * x) - 0.001 * np.abs(y - 600))


def test_in_a_steady_state_the_flux_through_the_equilibrium_line_is_the_balance_above_it() -> None:
    dx = 100.0
    bed = one(np.tile(3400 - 0.2 * (np.arange(50) + 0.5) * dx, (5, 1)))  # as wide as it is, the same all over
    balance = 0.008 * (bed - 2920)
    steady = sia.advance(torch.zeros_like(bed), bed, balance, side(dx), 800.0)
    later = sia.advance(steady.thickness, bed, balance, side(dx), 10.0)
    assert (later.thickness - steady.thickness).abs().max() < 1e-3

    ice, ground = steady.thickness[0, 2].numpy(), bed[0, 2].numpy()
    line = int(np.argmax(balance[0, 2].numpy() < 0))  # first cell below
    above = float(balance[0, 2, :line].sum()) * dx
    # Flux through the face in cubic interpolation of the thickness, quite another way than that of the scheme.
    between = (9 * (ice[line - 1] + ice[line]) - ice[line - 2] - ice[line + 1]) / 16
    slope = (ice[line - 1] + ground[line - 1] - ice[line] - ground[line]) / dx
    assert mobility(sia.RATE_FACTOR) * between**5 * slope**3 == pytest.approx(above, rel=0.02)
    assert float(later.applied.sum()) == pytest.approx(0, abs=1e-3 * above / dx * 50)


def test_a_steady_state_does_not_depend_on_the_length_of_steps() -> None:
    bed, balance = valley()
    coarse, fine = (
        sia.advance(torch.zeros_like(bed), bed, balance, side(100.0), 300.0, courant=courant, longest_years=longest)
        for courant, longest in ((2.0, 1.0), (0.7, 0.25))
    )
    assert coarse.thickness.max() > 40
    assert (coarse.thickness - fine.thickness).abs().max() < 0.05


def test_mirrored_and_turned_glaciers_do_the_same() -> None:
    bed, ice = mountain()
    balance = 0.01 * (bed - bed.mean())
    straight = sia.advance(ice, bed, balance, side(100.0), 5.0).thickness

    def turned(values: torch.Tensor) -> torch.Tensor:
        return torch.cat([values.flip(1), values.flip(2), values.mT, values.rot90(1, (1, 2))]).contiguous()

    others = sia.advance(turned(ice), turned(bed), turned(balance), side(100.0).repeat(4), 5.0).thickness
    torch.testing.assert_close(others, turned(straight), rtol=1e-9, atol=1e-9)


def test_a_glacier_does_the_same_alone_and_in_any_company_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = [mountain(24, seed) for seed in range(7)]
    bed, ice = (torch.cat(values) for values in zip(*fields, strict=True))
    for number, gone in enumerate((24, 9, 20, 14, 24, 24, 24)):  # small and large, one without any ice
        ice[number, gone:] = 0
        ice[number, :, gone:] = 0
    ice[6] = 0
    balance = torch.where(ice > 0, 0.02 * (bed - 2600), -1.0)
    dx = torch.tensor([100.0, 25.0, 60.0, 100.0, 200.0, 100.0, 100.0], dtype=torch.float64)
    found = sia.advance(ice, bed, balance, dx, 3.0)
    assert (found.thickness[:6].flatten(1).max(1).values > 0).all()

    for order in ([6, 3, 0, 1, 5, 2, 4], [5], [2, 1]):
        other = sia.advance(ice[order], bed[order], balance[order], dx[order], 3.0)
        for mine, theirs in zip(other, found, strict=True):
            assert torch.equal(mine, theirs[order])
    monkeypatch.setattr(sia, "CANVAS_CELLS", 700)
    assert torch.equal(sia.advance(ice, bed, balance, dx, 3.0).thickness, found.thickness)


def test_threads_and_repetition_change_nothing() -> None:
    bed, ice = mountain(190)  # more cells than torch leaves to one thread
    balance = 0.01 * (bed - bed.mean()) - 2.0
    threads = torch.get_num_threads()
    try:
        found = []
        for number in (1, 2, 2):
            torch.set_num_threads(number)
            found.append(sia.advance(ice, bed, balance, side(100.0), 0.2).thickness)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[1], found[2])


def test_inputs_are_left_as_they_are_and_glaciers_that_are_gone_stay_so() -> None:
    bed, ice = mountain()
    before = ice.clone()
    gone = sia.advance(ice, bed, torch.full_like(bed, -500.0), side(100.0)).thickness
    assert torch.equal(ice, before)
    assert (gone == 0).all()
    again = sia.advance(gone, bed, torch.full_like(bed, -1.0), side(100.0))
    assert all((values == 0).all() for values in again)


def test_members_of_one_glacier_may_share_their_bed_in_memory() -> None:
    bed, ice = mountain()
    balance = torch.cat([torch.full_like(bed, -1.0), torch.full_like(bed, -3.0)])
    shared = sia.advance(ice.expand(2, -1, -1), bed.expand(2, -1, -1), balance, side(100.0).expand(2))
    own = sia.advance(ice.repeat(2, 1, 1), bed.repeat(2, 1, 1), balance, side(100.0).repeat(2))
    assert torch.equal(shared.thickness, own.thickness)
    assert not torch.equal(own.thickness[0], own.thickness[1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"thickness_m": -1.0}, "thickness_m comes down to -1 m; expected none below 0"),
        ({"bed_m": float("nan")}, "bed_m is not finite everywhere; expected numbers in all cells"),
        ({"balance_m": float("inf")}, "balance_m is not finite everywhere"),
        ({"thickness_m": float("nan")}, "thickness_m is not finite everywhere"),
        ({"dx_m": torch.zeros(1, dtype=torch.float64)}, "dx_m comes down to 0 m; expected sides of cells above 0"),
        ({"dx_m": torch.ones(2, dtype=torch.float64)}, r"dx_m has the shape \(2,\); expected \(1,\)"),
        (
            {"bed_m": torch.zeros(1, 4, 5, dtype=torch.float64)},
            r"bed_m has the shape \(1, 4, 5\); expected \(1, 5, 5\)",
        ),
        ({"balance_m": torch.zeros(1, 5, 5)}, "balance_m is of torch.float32; expected torch.float64"),
        ({"mask": torch.ones(1, 5, 5)}, "mask is of torch.float32; expected torch.bool"),
        ({"mask": torch.zeros(1, 5, 5, dtype=torch.bool)}, "thickness_m has ice where mask is False"),
        ({"thickness_m": torch.zeros(5, 5, dtype=torch.float64)}, r"shape \(5, 5\); expected \(batch, y, x\)"),
        ({"years": 0.0}, "years is 0.0; expected a positive number"),
        ({"rate_factor": float("nan")}, "rate_factor is nan; expected a positive number"),
        ({"courant": -1.0}, "courant is -1.0; expected a positive number"),
        ({"exponent": 0}, "exponent is 0 and longest_years 1.0; expected 1 to 7 and above 0"),
        ({"longest_years": 0.0}, "longest_years 0.0; expected 1 to 7 and above 0"),
    ],
)
def test_bad_input_is_refused_in_words(change: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {
        "thickness_m": torch.full((1, 5, 5), 10.0, dtype=torch.float64),
        "bed_m": torch.zeros(1, 5, 5, dtype=torch.float64),
        "balance_m": torch.zeros(1, 5, 5, dtype=torch.float64),
        "dx_m": side(100.0),
        "years": 1.0,
    }
    for name, value in change.items():
        if isinstance(value, float) and name in ("thickness_m", "bed_m", "balance_m"):
            given[name][0, 2, 3] = value
        else:
            given[name] = value
    with pytest.raises(ValueError, match=words):
        sia.advance(**given)


def test_ice_that_would_need_steps_without_end_is_refused() -> None:
    bed, ice = mountain()
    with pytest.raises(ValueError, match=r"ice moves so fast that steps of .* years are needed"):
        sia.advance(ice * 100, bed * 3, torch.zeros_like(bed), side(20.0))


def test_no_glaciers_are_no_work() -> None:
    none = torch.zeros(0, 5, 5, dtype=torch.float64)
    assert sia.advance(none, none, none, torch.zeros(0, dtype=torch.float64)).thickness.shape == (0, 5, 5)


@pytest.mark.shared
def test_real_glaciers_end_a_decade_where_fifty_times_finer_steps_bring_them(shared: Path) -> None:
    import rasterio

    folder = shared / "data" / "oetztal" / "ice_thickness"
    for number in ("00897", "00687"):
        rasters = []
        for name in (f"RGI60-11.{number}_thickness.tif", f"dem_{number}.asc.tif"):
            with rasterio.open(folder / name) as file:
                band = file.read(1).astype(float)
            rows, columns = (size // 4 for size in band.shape)
            rasters.append(band[: 4 * rows, : 4 * columns].reshape(rows, 4, columns, 4).mean(axis=(1, 3)))
        ice, bed = one(rasters[0]), one(rasters[1] - rasters[0])
        balance = (0.008 * (bed + ice - 3050)).clamp(-6, 1.5)
        balance = torch.where(ice > 0, balance, balance.clamp_max(0))
        usual = sia.advance(ice, bed, balance, side(100.0), 10.0)
        fine = sia.advance(ice, bed, balance, side(100.0), 10.0, courant=0.25, longest_years=0.05)
        error = (usual.thickness - fine.thickness)[fine.thickness > 0].square().mean().sqrt()
        assert error < 0.6
        assert float(usual.thickness.sum()) == pytest.approx(float(fine.thickness.sum()), rel=5e-4)
        assert (usual.thickness - ice).abs().max() > 20
