"""Batches of samples as tensors, read from stores: static rasters, and the climate of each as vectors beside them.

A sample is one glacier in one year. What is read and sent to a device are its static rasters and two dozen numbers;
temperature and precipitation of every pixel are made of them on arrival, or on the device.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from glacierscale.models.networks import Weather
from glacierscale.store.samples import Samples
from glacierscale.training.feed.holding import Buffers, Plan
from glacierscale.training.feed.order import Order

Ints = npt.NDArray[np.integer]
Position = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Some samples as tensors."""

    row: torch.Tensor
    """(sample,) rows of the store"""
    year: torch.Tensor
    """(sample,) positions of the years in the climate series; 0 where there is none"""
    rasters: torch.Tensor
    """(sample, channel, y, x) as stored; once the climate is spread, temperature and precipitation of the months too"""
    weather: Weather | None = None
    """Of each sample in its year, (sample, month); None where there is none, and once it is spread"""

    def to(self, device: torch.device | str) -> Batch:
        """The same on a device, without waiting for the copy where memory is pinned."""
        return self._each(lambda value: value.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same in pinned memory."""
        return self._each(torch.Tensor.pin_memory)

    def spread(self, elevation_channel: int) -> Batch:
        """The same with the climate spread over the pixels, where the tensors lie."""
        if self.weather is None:
            return self
        stored, months = self.rasters.shape[1], self.weather.temp.shape[1]
        whole = self.rasters.new_empty((len(self.row), stored + 2 * months, *self.rasters.shape[2:]))
        whole[:, :stored] = self.rasters
        spread(whole[:, elevation_channel], self.weather, out=whole[:, stored:])
        return replace(self, rasters=whole, weather=None)

    def _each(self, change: Any) -> Batch:
        weather = self.weather and Weather(**{name: change(value) for name, value in vars(self.weather).items()})
        return Batch(row=change(self.row), year=change(self.year), rasters=change(self.rasters), weather=weather)


def spread(elevation_m: torch.Tensor, weather: Weather, *, out: torch.Tensor) -> torch.Tensor:
    """Climate of glaciers spread over their pixels, where the tensors lie.

    Temperature follows the lapse rate from the reference height to the pixel; precipitation is that of the glacier. So
    does `networks.spread` for cells.

    Parameters
    ----------
    elevation_m : (sample, y, x)
        Of every pixel, m.
    weather : Weather
        Of each sample, (sample, month).
    out : (sample, 2 x month, y, x)
        Where to.

    Returns
    -------
    (sample, 2 x month, y, x)
        `out`: temperature of every month, degC, then precipitation of every month, kg m-2.
    """
    months = weather.temp.shape[1]
    temp, precip, lapse = (value[:, :, None, None] for value in (weather.temp, weather.precip, weather.lapse))
    rise = (elevation_m - weather.height[:, None, None])[:, None]  # (sample, 1, y, x)
    torch.addcmul(temp, lapse, rise, out=out[:, :months])  # no array between: memory is what takes time
    out[:, months:] = precip
    return out


@final
class Batches(Dataset[Batch]):
    """Every batch of every epoch, by (epoch, number).

    Parameters
    ----------
    samples : sequence of Samples
        Variables of one store, whose channels follow one another in `Batch.rasters`.
    order : Order
        Of the items. Item ``n`` is year ``n % years`` of row ``rows[n // years]``.
    rows : (row,)
        Rows of the store, ascending.
    weather : Weather
        Monthly climate of `rows`, (row, year, month); None for samples without one.
    elevation_channel : int
        Channel that the climate is spread by on arrival; None leaves that to `Batch.spread`.
    """

    def __init__(
        self,
        samples: Sequence[Samples],
        order: Order,
        *,
        rows: Ints,
        weather: Weather | None = None,
        elevation_channel: int | None = None,
    ) -> None:
        self.samples, self.order, self.rows = tuple(samples), order, rows
        self.weather, self.elevation_channel = weather, elevation_channel
        self.years = 1 if weather is None else weather.temp.shape[1]
        if order.count != len(rows) * self.years:
            raise ValueError(f"an order of {order.count} items for {len(rows)} rows and {self.years} years.")
        layouts = {(each.shards()[0].stop, len(each), each.shape[2:]) for each in samples}
        if len(layouts) != 1:
            raise ValueError(f"the variables have shards, rows and pixels of {sorted(layouts)}; expected the same.")
        self._plan: Plan | None = None
        self._buffers = Buffers()

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, position: Position) -> Batch:
        epoch, number = position
        plan = self._planned(epoch)
        item = self.order.batch_of(plan.items, number)
        place, year = torch.from_numpy(item // self.years), torch.from_numpy(item % self.years)
        rows = self.rows[item // self.years]
        weather = None
        if self.weather is not None:
            given = self.weather
            temp, precip = given.temp[place, year], given.precip[place, year]
            weather = Weather(temp=temp, precip=precip, lapse=given.lapse[place], height=given.height[place])
        rasters = self._rasters(plan, number, rows, weather)
        if self.elevation_channel is not None:
            weather = None
        return Batch(row=torch.from_numpy(rows), year=year, rasters=rasters, weather=weather)

    def _rasters(self, plan: Plan, number: int, rows: Ints, weather: Weather | None) -> torch.Tensor:
        """Read static rasters into their place in a batch, and spread the climate behind them."""
        arrives = weather is not None and self.elevation_channel is not None
        stored = sum(each.shape[1] for each in self.samples)
        channels = stored + (2 * weather.temp.shape[1] if weather is not None and arrives else 0)
        shape = (self.order.batch, channels, *self.samples[0].shape[2:])
        tensor = self._buffers.lend(shape, self.samples[0].form.dtype, len(rows))
        whole = tensor.numpy()
        first = 0
        for each in self.samples:
            target = whole[:, first : first + each.shape[1]]
            first += each.shape[1]
            if self.order.shards:
                plan.gather(each, number, rows, target)
            else:
                each.gather(rows, target)
        if weather is not None and self.elevation_channel is not None:
            spread(tensor[:, self.elevation_channel], weather, out=tensor[:, stored:])
        return tensor

    def _planned(self, epoch: int) -> Plan:
        if self._plan is None or (self._plan.epoch, self._plan.process) != (epoch, os.getpid()):
            items = self.order.items(epoch)
            step = self.samples[0].form.rows_per_shard
            self._plan = Plan(epoch, items, self.rows[items // self.years] // step, self.order.batch)
        return self._plan

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_plan": None, "_buffers": Buffers()}
