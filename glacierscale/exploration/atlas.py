"""Everything that a dashboard asks of the stores of a run, in the units that people read.

No store is loaded whole. Series and maps of one glacier read its own chunks; values of all glaciers are read block by
block, reduced as they come and kept as float32 tables of glacier and year, bounded in bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from glacierscale import schema
from glacierscale.exploration import finding, ground, observed, patches, quantities, series, tables, totals
from glacierscale.exploration.ground import Hillshade
from glacierscale.exploration.opening import LeftOut, Source, Sources, open_sources
from glacierscale.exploration.quantities import Quantity, members_of, named, one_of, scenarios_of
from glacierscale.exploration.reading import Cache, Floats, Progress
from glacierscale.store import Store

if TYPE_CHECKING:
    import geopandas as gpd
    import xarray as xr

__all__ = ["Atlas", "Hillshade", "LeftOut", "Quantity", "open_atlas"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Atlas:
    """The stores of a run as a dashboard reads them; glaciers are told by their row in `glaciers`."""

    glaciers: pd.DataFrame
    """glacier_id, name (or, of a part without one, the observed glacier that it belongs to), subregion, lon, lat
    (degrees; longitudes next to each other, up to 360 where a region lies on both sides of the antimeridian), area_km2,
    set_aside (why, or empty)"""
    quantities: tuple[Quantity, ...]
    """What glaciers can be coloured by."""
    courses: tuple[Quantity, ...]
    """What `evolution` and `region` tell of the future; none without a store of it."""
    rasters: tuple[Quantity, ...]
    """What can be mapped on one glacier."""
    title: str
    """Name of the region."""
    places: tuple[str, ...]
    """Folders and URLs of the stores."""
    left_out: tuple[LeftOut, ...] = ()
    """Unfinished stores of the folders, which are not shown."""
    sources: Sources = field(repr=False)
    """The stores."""
    cache: Cache = field(repr=False, default_factory=Cache)
    """Tables that were read."""

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east and north edge of the centres of all glaciers, degrees."""
        lon, lat = self.glaciers["lon"], self.glaciers["lat"]
        return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())

    @property
    def balances(self) -> tuple[str, ...]:
        """Variables that `balance` tells: smb, and smb_gapfilled where gaps were filled; none without a balance."""
        names = {quantity.name for quantity in self.quantities}
        return tuple(name for name in ("smb", "smb_gapfilled") if name in names)

    def values(
        self,
        name: str,
        *,
        year: int | None = None,
        scenario: str = "",
        member: int | None = None,
        progress: Progress | None = None,
    ) -> Floats:
        """What glaciers are coloured by.

        Parameters
        ----------
        name : str
            Name of one of `quantities`.
        year, scenario : int, str
            Hydrological year and future climate; None for the last one, and empty for the first one.
        member : int
            Member of the ensemble; None for the mean of all (of a year in which a glacier is gone, the median).
        progress : callable
            Told the share that is read, 0 to 1, where the stores must be read first.

        Returns
        -------
        numpy.ndarray
            (glacier,) in the unit of the quantity, NaN where there is none.

        Raises
        ------
        ValueError
            If there is no such quantity, year, scenario or member; it names those there are.
        """
        wanted = named(self.quantities, name, "quantity")
        one_of(year, wanted.years, f"year of {name}")
        one_of(scenario or None, wanted.scenarios, f"scenario of {name}")
        one_of(member, wanted.members, f"member of {name}")
        if name == "area_km2":
            return self.glaciers["area_km2"].to_numpy(float)
        return tables.values(
            self.sources, self.cache, wanted, year=year, scenario=scenario, member=member, progress=progress
        )

    def find(self, text: str) -> list[int]:
        """Rows of glaciers whose id or name holds a text, 50 at most, those that end in it as a number first."""
        return finding.find(self._words, text)

    def nearest(self, lon: float, lat: float) -> int:
        """Row of the glacier whose centre is nearest, over the antimeridian too."""
        return finding.nearest(self.glaciers["lon"].to_numpy(), self.glaciers["lat"].to_numpy(), lon, lat)

    def balance(self, glacier: int, member: int | None = None, *, variable: str = "smb") -> pd.DataFrame:
        """Balance of one glacier, by its row, in every year and its running sum.

        Parameters
        ----------
        member : int
            Member of the ensemble, told with its own noise; None for the mean of all.
        variable : str
            One of `balances`.

        Returns
        -------
        pandas.DataFrame
            hydro_year, smb, low, high, cumulative, cumulative_low, cumulative_high; m w.e., intervals of 90 %.
        """
        source = self.sources.needed(schema.RECONSTRUCTION)
        one_of(variable, self.balances, "balance")
        one_of(member, members_of(source), "member")
        return series.balance(source, self._row(glacier), member, variable)

    def observations(self, glacier: int) -> pd.DataFrame:
        """What was measured on one glacier.

        Returns
        -------
        pandas.DataFrame
            first_year, last_year, smb, error (m w.e.; of a geodetic period, per year), kind (annual, winter, summer,
            point, band, geodetic), elevation (m, of points and bands).
        """
        return observed.of_glacier(self.sources, self._row(glacier))

    def evolution(
        self, glacier: int, name: str, scenarios: Sequence[str] = (), *, member: int | None = None
    ) -> pd.DataFrame:
        """What becomes of one glacier, by its row, under future climates.

        Parameters
        ----------
        name : str
            Name of one of `courses`.
        scenarios : sequence of str
            Future climates; none for all.
        member : int
            Member of the model, told alone; None for the mean of all.

        Returns
        -------
        pandas.DataFrame
            scenario, hydro_year, mean, low, high (5 and 95 % of the members; NaN of one), in the unit of the course.
        """
        return series.evolution(self._future(name, scenarios, member), self._row(glacier), name, scenarios, member)

    def region(
        self,
        name: str,
        *,
        glaciers: Sequence[int] | npt.NDArray[np.integer] | None = None,
        scenarios: Sequence[str] = (),
        member: int | None = None,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Series of all glaciers together, or of some.

        Parameters
        ----------
        name : str
            ``"smb"``, weighted by area, or one of `courses`, summed or of the sums.
        glaciers : sequence of int
            Rows; None for all.
        scenarios, member, progress
            As of `balance`, `evolution` and `values`.

        Returns
        -------
        pandas.DataFrame
            As `balance` tells it, with shared_low and shared_high where the noise of a year is shared by all
            glaciers; or as `evolution` does.
        """
        rows = np.arange(len(self.glaciers)) if glaciers is None else np.unique(np.asarray(glaciers, np.int64))
        if not len(rows):
            raise ValueError("no glacier was chosen; give one row at least, or None for all.")
        if name == "smb":
            source = self.sources.needed(schema.RECONSTRUCTION)
            one_of(member, members_of(source), "member")
            return totals.balance(source, self.cache, rows, member, progress)
        source = self._future(name, scenarios, member)
        return totals.evolution(source, self.cache, name, rows, scenarios, member, progress)

    def raster(self, glacier: int, name: str, *, year: int | None = None, scenario: str = "") -> xr.DataArray | None:
        """A map of one glacier, by its row.

        Parameters
        ----------
        name : str
            Name of one of `rasters`.
        year, scenario
            As of `values`.

        Returns
        -------
        xarray.DataArray or None
            (y, x) with metres east and north of the patch's centre, row 0 in the north, NaN off the ice (terrain goes
            on); its attributes tell label, units and CRS. None where the glacier has no patch.
        """
        wanted = named(self.rasters, name, "raster")
        one_of(year, wanted.years, f"year of {name}")
        one_of(scenario or None, wanted.scenarios, f"scenario of {name}")
        return patches.raster(self.sources, wanted, self._row(glacier), year, scenario)

    def outlines(
        self, glaciers: Sequence[int] | None = None, *, tolerance_m: float | None = None
    ) -> gpd.GeoDataFrame | None:
        """Outlines for a map; None without a cube and without the ``glaciers.parquet`` of a run.

        Parameters
        ----------
        glaciers : sequence of int
            Rows; None for all.
        tolerance_m : float
            How far a simplified line may lie off; None for what is not seen on a map of all that is asked for, 0 for
            the outlines as they are.

        Returns
        -------
        geopandas.GeoDataFrame
            glacier (row) and geometry in EPSG:4326, with longitudes next to those of `glaciers`.
        """
        rows = np.arange(len(self.glaciers)) if glaciers is None else np.unique(np.asarray(glaciers, np.int64))
        return ground.outlines(self.sources, self.glaciers["lon"].to_numpy(), rows, tolerance_m)

    def hillshade(self, most: int = 800) -> Hillshade | None:
        """Shaded terrain under the glaciers, `most` cells wide or high at most; None where there is none."""
        cube = self.sources.one(schema.CUBE)
        return None if cube is None else ground.hillshade(cube, self.glaciers["lon"].to_numpy(), most)

    @cached_property
    def _words(self) -> list[tuple[str, str]]:
        return list(zip(*(self.glaciers[name].str.casefold() for name in ("glacier_id", "name")), strict=True))

    def _future(self, name: str, scenarios: Sequence[str], member: int | None) -> Source:
        source = self.sources.needed(schema.EVOLUTION)
        one_of(member, named(self.courses, name, "course").members, "member")
        for scenario in scenarios:
            one_of(scenario, scenarios_of(source), "scenario")
        return source

    def _row(self, glacier: int) -> int:
        if not 0 <= glacier < len(self.glaciers):
            raise ValueError(f"there is no glacier in row {glacier}; rows go from 0 to {len(self.glaciers) - 1}.")
        return int(glacier)


def open_atlas(*places: str | Path | Store) -> Atlas:
    """Open the stores of a run for a dashboard; only their metadata and who the glaciers are is read.

    Parameters
    ----------
    *places : str, Path or Store
        Stores, or folders and URLs of a run, whose finished stores are all taken. One store is enough.

    Raises
    ------
    StoreError
        If there is no store, or one that is named is unfinished.
    ValueError
        If stores do not belong together: other glaciers, another model, or two that tell the same.
    """
    sources = open_sources(places)
    leading = next(iter(sources))
    return Atlas(
        glaciers=finding.glaciers(sources),
        quantities=quantities.quantities(sources),
        courses=quantities.courses(sources),
        rasters=quantities.rasters(sources),
        title=str(leading.data.attrs.get("region") or "Glaciers"),
        places=tuple(source.store.url for source in sources),
        left_out=sources.left_out,
        sources=sources,
    )
