"""What glaciers cannot do, as penalties on a network while it learns, and as measures of it afterwards.

With B the annual surface mass balance of a cell in kg m-2, the sum of its twelve months b:

=========================== ======================================== ===================
constraint                  excess, 0 where it holds                 unit
=========================== ======================================== ===================
``cooler_is_not_worse``     max(dB/dT, 0), uniform warming           kg m-2 K-1
``wetter_is_not_worse``     max(-dB/d(log P), 0), all months         kg m-2
``gradient_with_elevation`` max(-g, 0) + max(g - 25, 0) where B < 0, kg m-2 m-1
                            g = dB/dz, climate moving with z
``melt_is_not_negative``    sum of max(b - a, 0) over months, a the  kg m-2
                            most that the month can accumulate
=========================== ======================================== ===================

The first two are the signs of seasonal sensitivity (Oerlemans & Reichert 2000, Journal of Glaciology 46, 1-6). The
bounds of the gradient are wide on purpose: melt on every day of the year with 10 kg m-2 K-1 day-1, a large degree-day
factor of ice (Hock 2003, doi 10.1016/S0022-1694(03)00257-9), falls by 24 kg m-2 m-1 at a lapse rate of -6.5 K km-1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

GRADIENT_LIMIT_KG_M2_M = 25.0
"""Steepest plausible increase of the annual balance with elevation in an ablation area."""

TOLERANCE = 1e-3
"""Excess that still counts as none, in the unit of the constraint: rounding of sums in single precision."""

Floats = npt.NDArray[np.floating]
Balance = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
ClimateAt = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """Annual balance of cells and how it answers to climate, by network."""

    annual: torch.Tensor
    """(network, ...) kg m-2"""
    per_kelvin: torch.Tensor
    """(network, ...) kg m-2 K-1, all months warmer by the same"""
    per_log_precip: torch.Tensor
    """(network, ...) kg m-2, all months wetter by the same factor"""
    per_metre: torch.Tensor
    """(network, ...) kg m-2 m-1, all cells higher by the same, their climate with them"""
    negative_melt: torch.Tensor
    """(network, ...) kg m-2 that months gain beyond what they can accumulate"""


def along_lapse(lapse_k_m: torch.Tensor | float) -> ClimateAt:
    """Climate at another elevation: temperature follows a lapse rate (K m-1, broadcasts), precipitation stays."""
    return lambda temp_degc, precip_kg_m2, rise_m: (temp_degc + lapse_k_m * rise_m, precip_kg_m2)


def sensitivity(
    balance: Balance,
    temp_degc: torch.Tensor,
    precip_kg_m2: torch.Tensor,
    elevation_m: torch.Tensor,
    *,
    climate_at: ClimateAt | None = None,
    accumulation_kg_m2: torch.Tensor | None = None,
) -> Sensitivity:
    """Differentiate a balance by climate, by automatic differentiation.

    Each derivative is along one number shared by all that the balance is given, so that climate may be common to cells
    and networks, and cells may see each other. The results carry gradients to the parameters of the balance; under
    ``torch.no_grad()`` they do not. Costs about seven evaluations of the balance.

    Parameters
    ----------
    balance : callable
        (temp_degc, precip_kg_m2, elevation_m) -> (network, ..., 12) kg m-2 per month, of operations that can be
        differentiated twice.
    temp_degc, precip_kg_m2 : (..., 12) degC, kg m-2
        Of any shape that the balance takes.
    elevation_m : (...) m
        Likewise.
    climate_at : callable, optional
        (temp_degc, precip_kg_m2, rise_m) -> the climate `rise_m` (a scalar) higher up, such as `along_lapse` makes.
        None where the balance itself brings climate to `elevation_m`.
    accumulation_kg_m2 : (network, ..., 12), optional
        The most that each month can add; broadcasts. All precipitation where left out.

    Returns
    -------
    Sensitivity

    Raises
    ------
    ValueError
        If the balance does not end in twelve months.
    """
    learning = torch.is_grad_enabled()
    with torch.enable_grad():
        change = torch.zeros(3, dtype=temp_degc.dtype, device=temp_degc.device, requires_grad=True)
        warming, wetting, rise = change.unbind()
        temp, precip = (temp_degc, precip_kg_m2) if climate_at is None else climate_at(temp_degc, precip_kg_m2, rise)
        monthly = balance(temp + warming, precip * torch.exp(wetting), elevation_m + rise)
        if monthly.ndim < 2 or monthly.shape[-1] != 12:
            raise ValueError(f"the balance has the shape {tuple(monthly.shape)}; expected (network, ..., 12 months).")
        annual = monthly.sum(-1) + 0 * change.sum()  # a balance that ignores climate has slopes too
        # The derivative weighted by v and summed over cells is linear in v: its slope by v is that of every cell.
        v = torch.zeros_like(annual, requires_grad=True)
        (pulled,) = torch.autograd.grad(annual, change, v, create_graph=True)
        slopes = [torch.autograd.grad(one, v, create_graph=learning, retain_graph=True)[0] for one in pulled.unbind()]
        most = precip_kg_m2 if accumulation_kg_m2 is None else accumulation_kg_m2
        found = (annual, *slopes, torch.relu(monthly - most).sum(-1))
    names = ("annual", "per_kelvin", "per_log_precip", "per_metre", "negative_melt")
    return Sensitivity(**{n: x if learning else x.detach() for n, x in zip(names, found, strict=True)})


def penalties(found: Sensitivity, weight: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """Mean excess over each constraint, one number for each network.

    Parameters
    ----------
    found : Sensitivity
    weight : (network, ...), optional
        Weight of each cell, such as the ice in it; broadcasts.

    Returns
    -------
    dict of (network,) tensors
        At least 0, and 0 where the constraint holds in all cells; units in the description of this module. The gradient
        is averaged over ablation cells only, 0 where there are none.
    """
    return {name: _mean(excess, share)[0] for name, (excess, share) in _excesses(found, weight).items()}


def satisfied(
    found: Sensitivity, weight: torch.Tensor | None = None, *, tolerance: float = TOLERANCE
) -> dict[str, Floats]:
    """Share of cells that obey each constraint, for each network.

    Parameters
    ----------
    found, weight
        As in `penalties`.
    tolerance : float
        Excess that still counts as none, in the unit of the constraint.

    Returns
    -------
    dict of (network,) arrays
        0 to 1; the gradient among ablation cells only. NaN where no cell can tell.
    """
    shares = {}
    for name, (excess, share) in _excesses(found, weight).items():
        obeys, total = _mean((excess <= tolerance).to(excess.dtype), share)
        shares[name] = torch.where(total > 0, obeys, torch.nan).detach().cpu().numpy()
    return shares


def closure(
    pixel_kg_m2: npt.ArrayLike,
    area_m2: npt.ArrayLike,
    in_band: npt.ArrayLike,
    band_kg_m2: npt.ArrayLike,
    glacier_kg_m2: npt.ArrayLike,
) -> float:
    """Largest relative difference between balances of pixels, bands and a glacier that should be means of each other.

    Bands are compared with the area-weighted means of their pixels, the glacier with that of its bands and with that of
    all its pixels. Differences are relative to the mean absolute balance of the pixels concerned, so that a glacier in
    balance does not divide by zero.

    Parameters
    ----------
    pixel_kg_m2 : (..., cell) kg m-2
    area_m2 : (cell,) m2
        Ice in each cell.
    in_band : (cell,) int
        Band of each cell.
    band_kg_m2 : (..., band) kg m-2
        Means of the bands; not read for a band without ice.
    glacier_kg_m2 : (...) kg m-2

    Returns
    -------
    float
        0 where all close exactly; computed in double precision.
    """
    pixel, band, glacier = (np.asarray(v, np.float64) for v in (pixel_kg_m2, band_kg_m2, glacier_kg_m2))
    area = np.asarray(area_m2, np.float64)
    belongs = np.asarray(in_band)[:, None] == np.arange(band.shape[-1])  # (cell, band)
    of_band = area[:, None] * belongs
    band_area = of_band.sum(axis=0)
    iced = band_area > 0
    of_band, band, band_area = of_band[:, iced], band[..., iced], band_area[iced]
    size = np.abs(pixel) @ area / area.sum()
    differences = (
        (band - pixel @ of_band / band_area, np.abs(pixel) @ of_band / band_area),
        (glacier - band @ band_area / band_area.sum(), size),
        (glacier - pixel @ area / area.sum(), size),
    )
    return max(float((np.abs(d) / np.maximum(s, np.finfo(np.float64).tiny)).max()) for d, s in differences)


def _excesses(found: Sensitivity, weight: torch.Tensor | None) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Excess over each constraint and the weight of each cell in it, both (network, ...)."""
    share = torch.ones_like(found.annual) if weight is None else weight.to(found.annual.dtype).expand_as(found.annual)
    steep = torch.relu(-found.per_metre) + torch.relu(found.per_metre - GRADIENT_LIMIT_KG_M2_M)
    return {
        "cooler_is_not_worse": (torch.relu(found.per_kelvin), share),
        "wetter_is_not_worse": (torch.relu(-found.per_log_precip), share),
        "gradient_with_elevation": (steep, share * (found.annual < 0)),
        "melt_is_not_negative": (found.negative_melt, share),
    }


def _mean(values: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted mean and total weight by network, (network,) each; mean 0 where the weight is 0."""
    networks = len(values)
    total = weight.reshape(networks, -1).sum(1)
    counted = (values * weight).reshape(networks, -1).sum(1)
    return counted / torch.where(total > 0, total, 1.0), total
