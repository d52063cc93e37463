"""What glaciers can be coloured by, and what can be mapped on one, in words and in the units that people read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from glacierscale import schema
from glacierscale.exploration.opening import Source, Sources
from glacierscale.units import WATER_DENSITY_KG_M3, convert

SHOWN_IN = {"kg m-2": "m w.e.", "m2": "km2", "m3": "km3"}
"""Unit that is shown for one that is stored; others are shown as they are."""

BALANCES = {"smb": "balance", "smb_gapfilled": "gap-filled balance", "smb_winter": "winter balance"}
"""Variables of a reconstruction that are drawn, in words."""

COURSES = {
    "volume": ("Volume of ice", "km3"),
    "volume_left": ("Volume left of that of the first year", "%"),
    "area": ("Area", "km2"),
    "area_left": ("Area left of that of the first year", "%"),
    "thickness": ("Mean thickness", "m"),
    "future_smb": ("Balance on the geometry of the day", "m w.e."),
    "runoff": ("Water from net loss of ice", "million m3"),
    "sea_level": ("Rise of the sea level since the first year", "mm"),
}
"""What becomes of glaciers, with label and unit as shown."""

_CHANNELS = {
    "sin_aspect": "Facing east (sine of the aspect)",
    "cos_aspect": "Facing north (cosine of the aspect)",
    "ice_fraction": "Share of the cell that is ice",
    "thickness": "Ice thickness",
    "margin_distance": "Distance to the margin",
    "ice_surface": "Surface that the ice thickness refers to",
    "velocity": "Speed of the ice",
}
"""Rasters of patches that are not told by their names."""

STORED_IN = {
    "volume_left": ("volume",),
    "area_left": ("area",),
    "thickness": ("volume", "area"),
    "future_smb": ("smb", "area"),
}
"""Variables of an evolution that a course is made of, where they are not the one of its name."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What glaciers can be coloured by, or what can be mapped on one."""

    name: str
    """Name to ask for."""
    label: str
    """What it is, in words."""
    units: str
    """Unit of the values, as shown; empty for years and counts."""
    years: tuple[int, ...] = ()
    """Hydrological years, or years of snapshots, to choose from; empty where there is none to choose."""
    scenarios: tuple[str, ...] = ()
    """Future climates to choose from."""
    members: tuple[int, ...] = ()
    """Ensemble members to choose from; empty where only their mean is there."""
    diverging: bool = False
    """Whether colours should part at zero."""


def factor(units: str, name: str) -> tuple[float, str]:
    """Number that turns a stored unit into the one that is shown, and the latter."""
    shown = SHOWN_IN.get(units, units)
    return (1.0 if shown == units else float(convert(1.0, units, shown, name=name))), shown


def scale_of(course: str) -> float:
    """Number that turns a stored course of an evolution into the unit that is shown."""
    units = schema.EVOLUTION.variables[course].units
    if course == "runoff":  # a million m3 of water
        return 1e-6 / WATER_DENSITY_KG_M3
    return float(convert(1.0, units, "millimeter" if course == "sea_level" else SHOWN_IN[units], name=course))


def years_of(source: Source) -> tuple[int, ...]:
    """Hydrological years of a store."""
    return tuple(int(year) for year in source.data.hydro_year.values)


def scenarios_of(source: Source) -> tuple[str, ...]:
    """Future climates of a store, in stored order."""
    return tuple(dict.fromkeys(schema.text(source.data.scenario.values).tolist()))


def members_of(source: Source) -> tuple[int, ...]:
    """Members that one can choose, of the reconstruction or inside each future climate."""
    if source.store.schema is schema.RECONSTRUCTION:
        return tuple(range(source.data.sizes["member"]))
    return tuple(dict.fromkeys(int(member) for member in source.data.model_member.values))


def quantities(sources: Sources) -> tuple[Quantity, ...]:
    """Everything that glaciers can be coloured by."""
    found: list[Quantity] = []
    balance = sources.one(schema.RECONSTRUCTION)
    if balance is not None:
        found += _of_balance(balance)
    found += _of_future(sources)
    found.append(Quantity(name="area_km2", label="Area of the outline", units="km2"))
    if sources.one(schema.FEATURES) or _inventories(sources.one(schema.CUBE)):
        found.append(Quantity(name="elevation", label="Mean elevation", units="m"))
    if sources.one(schema.CUBE) or sources.one(schema.FEATURES):
        found.append(Quantity(name="observations", label="Number of observations", units=""))
    return tuple(found)


def _inventories(cube: Source | None) -> bool:
    return cube is not None and cube.data.sizes["inventory"] > 0


def _of_balance(source: Source) -> Iterator[Quantity]:
    years = years_of(source)
    span = _span(years)
    for variable, title in BALANCES.items():
        if variable not in source.data:
            continue
        members = members_of(source) if variable == "smb" else ()
        yield Quantity(
            name=f"{variable}_mean",
            label=f"Mean {title}, {span}",
            units="m w.e. per year",
            members=members,
            diverging=True,
        )
        yield Quantity(
            name=variable,
            label=f"{title.capitalize()} of a year",
            units="m w.e.",
            years=years,
            members=members,
            diverging=True,
        )
        if variable != "smb_winter":
            yield Quantity(
                name=f"{variable}_cumulative",
                label=f"Sum of the {title} since {years[0]}",
                units="m w.e.",
                years=years,
                members=members,
                diverging=True,
            )
            yield Quantity(
                name=f"{variable}_std", label=f"Standard error of the yearly {title}, mean of {span}", units="m w.e."
            )


def courses(sources: Sources) -> tuple[Quantity, ...]:
    """What is told of the future of glaciers, alone and together."""
    source = sources.one(schema.EVOLUTION)
    if source is None:
        return ()
    years, scenarios, members = years_of(source), scenarios_of(source), members_of(source)
    return tuple(
        Quantity(
            name=name,
            label=label.replace("the first year", str(years[0])),
            units=units,
            years=years,
            scenarios=scenarios,
            members=members,
            diverging=name == "future_smb",
        )
        for name, (label, units) in COURSES.items()
    )


def _of_future(sources: Sources) -> Iterator[Quantity]:
    """Courses that a glacier alone has a part in, and the year in which it is gone."""
    told = courses(sources)
    yield from (quantity for quantity in told if quantity.name != "sea_level")
    if told:
        yield Quantity(
            name="year_gone",
            label="Year when the glacier is gone",
            units="",
            scenarios=told[0].scenarios,
            members=told[0].members,
        )


def rasters(sources: Sources) -> tuple[Quantity, ...]:
    """Everything that can be mapped on single glaciers."""
    found: dict[str, Quantity] = {}
    for kind, of in ((schema.MAPS, _of_maps), (schema.ICE_MAPS, _of_ice_maps), (schema.PATCHES, _of_patches)):
        for source in sources.all(kind):
            for raster in of(source):
                found.setdefault(raster.name, raster)
    return tuple(found.values())


def _of_maps(source: Source) -> Iterator[Quantity]:
    years, we = years_of(source), "m w.e."
    per_year = f"{we} per year"
    yield Quantity(name="smb_map_mean", label=f"Mean balance, {_span(years)}", units=per_year, diverging=True)
    yield Quantity(name="smb_map", label="Balance of a year", units=we, years=years, diverging=True)
    yield Quantity(name="smb_map_std", label="Spread of the ensemble's balance", units=we)
    if "winter_map" in source.data:
        yield Quantity(name="winter_map", label="Winter balance of a year", units=we, years=years, diverging=True)
    yield Quantity(name="elevation", label="Elevation", units="m")
    units = schema.text(source.data.parameter_units.values).tolist()
    for name, unit in zip(schema.text(source.data.parameter.values).tolist(), units, strict=True):
        yield Quantity(name=f"parameter:{name}", label=f"Learned {_words(name)}", units=unit)


def _of_ice_maps(source: Source) -> Iterator[Quantity]:
    years = tuple(int(year) for year in np.unique(source.data.snapshot_year.values))
    scenarios = tuple(dict.fromkeys(schema.text(source.data.snapshot_scenario.values).tolist()))
    chosen = {"years": years, "scenarios": scenarios}
    yield Quantity(name="ice_thickness", label="Ice thickness", units="m", **chosen)  # type: ignore[arg-type]
    yield Quantity(name="ice_share", label="Share of the cell that is ice", units="%", **chosen)  # type: ignore[arg-type]
    yield Quantity(name="ice_surface", label="Surface at the start", units="m")
    yield Quantity(name="ice_bed", label="Bed of the ice and ground beside it", units="m")


def _of_patches(source: Source) -> Iterator[Quantity]:
    units = schema.text(source.data.channel_units.values).tolist()
    for name, unit in zip(schema.text(source.data.channel.values).tolist(), units, strict=True):
        label = _CHANNELS.get(name, _words(name).capitalize())
        yield Quantity(name=f"patch:{name}", label=label, units="" if unit == "1" else unit)
    yield Quantity(name="patch:radiation", label="Potential radiation, mean of the year", units="W m-2")


def _span(years: tuple[int, ...]) -> str:
    return f"{years[0]}–{years[-1]}" if len(years) > 1 else f"{years[0]}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def named(known: tuple[Quantity, ...], name: str, what: str) -> Quantity:
    """One of those by its name, or `ValueError` that tells those there are."""
    found = next((each for each in known if each.name == name), None)
    if found is None:
        there = ", ".join(each.name for each in known) or "none"
        raise ValueError(f"there is no {what} {name!r}; there are {there}.")
    return found


def one_of(value: object, known: Sequence[object], what: str) -> None:
    """Raise `ValueError` unless nothing was asked for, or something that is there."""
    if value is not None and value not in known:
        some = f"{known[0]} to {known[-1]}" if len(known) > 12 else ", ".join(map(str, known)) or "none"
        raise ValueError(f"there is no {what} {value!r}; there are {some}.")
