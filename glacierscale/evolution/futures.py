"""Future climates of a cube, and the weather of one glacier under each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale.evolution.options import Scenario
from glacierscale.evolution.scenario import forcing, nearest_cell
from glacierscale.evolution.site import Weather, unraised
from glacierscale.schema import text

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Futures:
    """Scenarios as they are wanted, and what the cube holds of them."""

    wanted: tuple[Scenario, ...]
    """In the order of the output"""
    held: tuple[int, ...]
    """Number in the cube of what each is made of"""
    time: npt.NDArray[np.datetime64]
    """(scenario_month,) first day of each month"""
    lon: Floats
    """(held scenario, cell) degrees; NaN beyond its cells"""
    lat: Floats
    """(held scenario, cell) degrees"""
    temp_degc: Floats
    """(held scenario, cell, scenario_month) degC"""
    precip_kg_m2: Floats
    """(held scenario, cell, scenario_month) kg m-2"""

    @classmethod
    def of(cls, cube: xr.Dataset, wanted: Sequence[Scenario]) -> Futures:
        """Scenarios that are wanted; none asks for all of the cube as they are.

        Raises
        ------
        ValueError
            If the cube has no scenario, or not one that is wanted.
        """
        if "scenario" not in cube:
            raise ValueError(
                "the cube holds no scenario; expected at least one future climate. Ingest with the option `scenarios`, "
                "which names climate data sets of the catalogue."
            )
        names = text(cube.scenario.values).tolist()
        chosen = tuple(wanted) or tuple(Scenario(name=name) for name in names)
        absent = sorted({own.of or own.name for own in chosen} - set(names))
        if absent:
            raise ValueError(
                f"the cube holds no scenario {', '.join(absent)}; it has {', '.join(names)}. Ingest those that are "
                "wanted, or say with `of` which of the cube's one is made of."
            )
        return cls(
            wanted=chosen,
            held=tuple(names.index(own.of or own.name) for own in chosen),
            time=cube.scenario_time.values,
            lon=cube.scenario_lon.values,
            lat=cube.scenario_lat.values,
            temp_degc=cube.scenario_temp.values,
            precip_kg_m2=cube.scenario_precip.values,
        )

    def weather(self, features: xr.Dataset, glacier: int, years: Ints) -> Weather:
        """Climate of one glacier of a (loaded) block of features: observed while it was, each scenario's after.

        Raises
        ------
        ValueError
            If a scenario lacks a year that is wanted; see `scenario.forcing`.
        """
        temp, precip = unraised(features, glacier)
        observed = features.hydro_year.values <= features.attrs.get("last_year_with_climate", np.inf)
        found = []
        for own, number in zip(self.wanted, self.held, strict=True):
            place = features.lon.values[[glacier]], features.lat.values[[glacier]]
            cell = nearest_cell(*place, self.lon[number], self.lat[number])
            found.append(
                forcing(
                    temp[None, observed],
                    precip[None, observed],
                    features.hydro_year.values[observed],
                    self.time,
                    self.temp_degc[number, cell].astype(float),
                    self.precip_kg_m2[number, cell].astype(float),
                    years,
                    features.attrs["hemisphere"],
                    warming_k=own.warming_k,
                    precip_factor=own.precip_factor,
                )
            )
        temps, precips = (np.concatenate(values) for values in zip(*found, strict=True))
        return Weather(temp_degc=temps, precip_kg_m2=precips)
