"""The raster networks: surface and monthly climate -> monthly balance of every ice cell, many networks side by side.

The convolution sees the neighbourhood of each ice cell and draws fields on the glacier; a small network turns the
climate of a month into the weights of residual patterns. ``hybrid`` lets the fields move the parameters of a degree-day
model, each inside its prior range, and adds the residual; ``cnn`` is the residual alone. Climate stays a series per
glacier and is spread over the cells here, on the device.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch.nn.functional import leaky_relu

from glacierscale.models import degree_day
from glacierscale.models.constraints import Sensitivity, sensitivity
from glacierscale.models.form import EFFECTS, FIELDS, GLOBAL, LOOSENED, RESIDUAL_KG_M2, SPAN_M, Form, Tensors
from glacierscale.region import WINTER_MONTHS

_CNN_WIDTH = 4.0  # a cnn's residual is the whole balance of a month: some 100 kg m-2
CNN_ACCUMULATES = 3.0
"""Most that a cell may gain in a month, in precipitation of the climate's cell, where no snowfall is modelled."""


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Ice cells of some outlines."""

    context: torch.Tensor
    """(cell, input) scaled neighbourhood"""
    elevation: torch.Tensor
    """(cell,) m"""
    mean_elevation: torch.Tensor
    """(cell,) m, of the outline the cell belongs to"""
    radiation: torch.Tensor
    """(cell, month) potential radiation relative to `surface.RADIATION_W_M2`, minus 1"""
    outline: torch.Tensor
    """(cell,) int, into the weather"""
    unit: torch.Tensor
    """(cell,) int, into the effects; the last one for glaciers that were not observed"""

    def to(self, device: torch.device) -> Cells:
        """The same on a device."""
        return Cells(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})

    def take(self, which: torch.Tensor) -> Cells:
        """Some of the cells."""
        return Cells(**{f.name: getattr(self, f.name)[which] for f in fields(self)})


@dataclass(frozen=True, kw_only=True)
class Weather:
    """Monthly climate of some outlines."""

    temp: torch.Tensor
    """(outline, year, month) degC at the reference height"""
    precip: torch.Tensor
    """(outline, year, month) kg m-2"""
    lapse: torch.Tensor
    """(outline, month) K m-1"""
    height: torch.Tensor
    """(outline,) m, reference height"""

    def to(self, device: torch.device) -> Weather:
        """The same on a device."""
        return Weather(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})

    def filled(self) -> Weather:
        """The same with zeros where it is unknown, so that one glacier's gaps spoil no other's sums."""
        return Weather(**{f.name: getattr(self, f.name).nan_to_num() for f in fields(self)})

    def take(self, outlines: Any, years: Any) -> Weather:
        """Some of the outlines and years, by slices or ascending numbers."""
        temp, precip = self.temp[outlines][:, years], self.precip[outlines][:, years]
        return Weather(temp=temp, precip=precip, lapse=self.lapse[outlines], height=self.height[outlines])


@dataclass(frozen=True, kw_only=True)
class Balances:
    """What the networks say of cells."""

    monthly: torch.Tensor
    """(network, cell, year, month) kg m-2"""
    melt: torch.Tensor | None
    """(network, cell, year, month) kg m-2 melted by the degree-day model; None for a cnn"""
    residual: torch.Tensor
    """(network, cell, year, month) kg m-2"""
    fields: torch.Tensor
    """(network, cell, field) raw output of the convolution, between -1 and 1"""
    snow: torch.Tensor | None
    """(network, cell, year, month) kg m-2 of this year's snow at the month's end; None for a cnn"""


def balances(own: Tensors, form: Form, cells: Cells, weather: Weather) -> Balances:
    """Monthly balance of every cell and year by every network.

    Parameters
    ----------
    own : dict of tensors
        Parameters, each (network, ...).
    form : Form
    cells : Cells
    weather : Weather
        Of the outlines that the cells name, in the years wanted.
    """
    drawn, latent = _convolve(own, form, cells.context)
    weights = _monthly_weights(own, form, cells, weather)  # (network, outline, year, month, latent)
    residual = torch.zeros(())
    for pattern in range(form.latents):
        of_cell = weights[..., pattern][:, cells.outline]
        residual = residual + latent[:, :, pattern, None, None] * of_cell
    residual = residual * (RESIDUAL_KG_M2 * (form.freedom if form.kind == "hybrid" else _CNN_WIDTH))
    if form.kind == "cnn":
        return Balances(monthly=residual, melt=None, residual=residual, fields=drawn, snow=None)
    temp, precip = spread(cells, weather)
    snowfall, warmth, ddf_snow, ddf_ice = forcing(own, form, cells, drawn, temp, precip)
    monthly, snow = degree_day.monthly_balance(snowfall, warmth, ddf_snow[..., None], ddf_ice[..., None])
    return Balances(monthly=monthly + residual, melt=snowfall - monthly, residual=residual, fields=drawn, snow=snow)


def answer(own: Tensors, form: Form, cells: Cells, weather: Weather) -> Sensitivity:
    """Annual balance of every cell and year, and how it answers to warmth, precipitation and height.

    Parameters
    ----------
    own, form, cells, weather
        As in `balances`.

    Returns
    -------
    Sensitivity
        (network, cell, year) each.
    """

    def monthly(temp: torch.Tensor, precip: torch.Tensor, elevation: torch.Tensor) -> torch.Tensor:
        found = balances(own, form, replace(cells, elevation=elevation), replace(weather, temp=temp, precip=precip))
        return found.monthly

    with torch.no_grad():
        found = balances(own, form, cells, weather)
        most = CNN_ACCUMULATES * weather.precip[cells.outline][None]
        if found.melt is not None:
            most = found.melt + found.monthly - found.residual  # the snowfall
    return sensitivity(monthly, weather.temp, weather.precip, cells.elevation, accumulation_kg_m2=most)


def spread(cells: Cells, weather: Weather) -> tuple[torch.Tensor, torch.Tensor]:
    """Climate of the outlines spread over their cells: degC and kg m-2, each (cell, year, month)."""
    rise = cells.elevation - weather.height[cells.outline]
    temp = weather.temp[cells.outline] + (weather.lapse[cells.outline] * rise[:, None])[:, None, :]
    return temp, weather.precip[cells.outline]


def forcing(
    own: Tensors, form: Form, cells: Cells, drawn: torch.Tensor, temp: torch.Tensor, precip: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Snowfall, degree days and factors of the degree-day model of every network.

    Parameters
    ----------
    temp, precip : (cell, year, month)
        degC, kg m-2.

    Returns
    -------
    snowfall, warmth : (network, cell, year, month) kg m-2, K day
    ddf_snow, ddf_ice : (network, cell) kg m-2 K-1 day-1
    """
    p = parameters(own, form, cells, drawn)
    warmer = temp[None] + p["temp_bias"][:, :, None, None]
    sigma = form.sigma_k * torch.exp(loosened(own, form, "sigma"))[:, None, None, None]
    share = loosened(own, form, "radiation")[:, None, None] * cells.radiation[None]
    warmth = degree_day.degree_days(warmer, sigma) * (1 + share).clamp_min(0.1)[:, :, None, :]
    seasonal = torch.exp(loosened(own, form, "winter_precip"))[:, None].repeat(1, 12)
    seasonal = torch.where(torch.arange(12, device=temp.device) < WINTER_MONTHS, seasonal, 1.0)
    wetter = p["precip_factor"][:, :, None, None] * seasonal[:, None, None]
    snowfall = degree_day.solid_fraction(warmer) * precip[None] * wetter
    return snowfall, warmth, p["ddf_snow"], p["ddf_ice"]


def parameters(own: Tensors, form: Form, cells: Cells, drawn: torch.Tensor) -> Tensors:
    """Parameters of the degree-day model on every cell: (network, cell) each.

    Returns
    -------
    dict
        ``ddf_snow``, ``ddf_ice`` kg m-2 K-1 day-1, ``precip_factor`` 1, ``temp_bias`` K.
    """
    level = {}
    for name, (centre, width, how) in GLOBAL.items():
        raw = width * own[f"global.{name}"][:, None]
        level[name] = centre * torch.exp(raw) if how == "log" else centre + raw
    shift = {name: drawn[:, :, i] * (width * form.freedom) for i, (name, width) in enumerate(FIELDS.items())}
    along = ((cells.elevation - cells.mean_elevation) / SPAN_M)[None]
    for name, width in EFFECTS.items():
        effect = own[f"effect.{name}"][:, cells.unit] * (width * form.freedom)
        shift[name] = shift[name] + effect[..., 0] + effect[..., 1] * along
    above_km = ((cells.elevation - form.reference_elevation) / 1000)[None]
    mean_above_km = ((cells.mean_elevation - form.reference_elevation) / 1000)[None]
    warmer = (
        loosened(own, form, "lapse")[:, None] * above_km + loosened(own, form, "equilibrium")[:, None] * mean_above_km
    )
    wetter = loosened(own, form, "precip_gradient")[:, None] * above_km
    melts = torch.exp(shift["melt"])
    return {
        "ddf_snow": level["ddf_snow"] * melts,
        "ddf_ice": level["ddf_snow"] * level["ddf_ratio"] * melts,
        "precip_factor": level["precip_factor"] * torch.exp(shift["precipitation"] + wetter),
        "temp_bias": level["temp_bias"] + shift["temperature"] + warmer,
    }


def loosened(own: Tensors, form: Form, name: str) -> torch.Tensor:
    """One of `LOOSENED` for every network, zero at slack 0: (network,)."""
    centre, width = LOOSENED[name]
    return min(form.freedom, 1.0) * centre + form.freedom * width * own[f"global.{name}"]


def fields_of(own: Tensors, form: Form, cells: Cells) -> torch.Tensor:
    """Fields that the convolution draws on the cells: (network, cell, field), between -1 and 1."""
    return _convolve(own, form, cells.context)[0]


def _convolve(own: Tensors, form: Form, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Fields and residual patterns of every cell: (network, cell, field), (network, cell, latent)."""
    hidden = leaky_relu(context @ own["conv1.weight"] + own["conv1.bias"][:, None], 0.05)
    hidden = leaky_relu(hidden @ own["conv2.weight"] + own["conv2.bias"][:, None], 0.05)
    out = hidden @ own["conv3.weight"] + own["conv3.bias"][:, None]
    split = out.shape[-1] - form.latents
    return torch.tanh(out[..., :split]), out[..., split:]


def _monthly_weights(own: Tensors, form: Form, cells: Cells, weather: Weather) -> torch.Tensor:
    """Weight of every residual pattern in every month: (network, outline, year, month, latent)."""
    given = conditioning(cells, weather).flatten(0, 2)
    hidden = torch.tanh(given @ own["month1.weight"] + own["month1.bias"][:, None])
    out = hidden @ own["month2.weight"] + own["month2.bias"][:, None]
    return out.reshape(len(out), *weather.temp.shape, form.latents)


def conditioning(cells: Cells, weather: Weather) -> torch.Tensor:
    """What the monthly network sees of an outline's climate: (outline, year, month, `MONTHLY_INPUTS`).

    Temperature at the outline's mean elevation and precipitation of the month, the year's mean temperature and
    precipitation, and the month itself, all scaled to the order of 1.
    """
    count = len(weather.height)
    mean = torch.zeros(count, device=cells.elevation.device).index_copy(0, cells.outline, cells.mean_elevation)
    temp = weather.temp + (weather.lapse * (mean - weather.height)[:, None])[:, None, :]
    angle = torch.arange(12, device=temp.device) * (2 * torch.pi / 12)
    of_year = temp.mean(-1, keepdim=True) / 5, weather.precip.sum(-1, keepdim=True) / 1000 - 1
    parts = [
        temp / 10,
        weather.precip / 100 - 1,
        torch.sin(angle).expand_as(temp),
        torch.cos(angle).expand_as(temp),
        of_year[0].expand_as(temp),
        of_year[1].expand_as(temp),
        degree_day.solid_fraction(temp) - 0.5,
    ]
    return torch.stack(parts, -1)
