"""Stage 2, rasterize: cube -> raster patches of every glacier, one store for each size, built over blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale import compute, provenance, schema
from glacierscale.features import ice, patches
from glacierscale.features.coverage import Grid
from glacierscale.features.options import RasterizeOptions
from glacierscale.features.sampling import Lookup, is_geographic
from glacierscale.features.zonal import MAX_WINDOW_CELLS
from glacierscale.region import months
from glacierscale.store import Block, Files, Store

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]

BLOCK_BYTES = 64_000_000
"""Size of a block, about, before compression."""

_BYTES_OF_PIXEL, _BYTES_OF_LOOKUP, _BYTES_OF_CELL = 12, 24, 24
"""Peak bytes of a value of a patch, of a pixel of a padded patch and of a cell of terrain."""

_GAP_VERTICES = 65536  # a chunk of the cube: what lies between two glaciers is read along where it is less


def rasterize(
    cube: str | Path | Store, *, to: str | Path, options: RasterizeOptions = RasterizeOptions()
) -> tuple[Store, ...]:
    """Compute the raster patch of every glacier.

    Parameters
    ----------
    cube : str, Path or Store
        A cube.
    to : str or Path
        Folder or URL for the stores ``patches_032.zarr``, ``patches_064.zarr``, ..., one for each size that a glacier
        needs.
    options : RasterizeOptions
        How.

    Returns
    -------
    tuple of Store
        From small patches to large. Blocks that exist are kept. A glacier that has no patch is stored with NaN and
        the reason in ``set_aside``.

    Raises
    ------
    StampMismatch
        If a store is there that was made otherwise.
    ValueError
        If the folder holds patches of a size that no glacier needs now.
    """
    source = Store.at(cube, schema.CUBE)
    dataset = source.open()
    placement = place(dataset, source.blocks(), options)
    sizes = [int(size) for size in np.unique(placement.bucket)]
    _refuse_others(to, sizes)
    recipe = {name: value for name, value in provenance.options_dict(options).items() if name != "codec"}
    fingerprint = source.fingerprint()
    made = []
    for size in sizes:
        store = Store(provenance.join(to, f"patches_{size:03d}.zarr"), schema.PATCHES)
        cube_input = provenance.Input(url=provenance.relative(source.url, store.url), fingerprint=fingerprint)
        own = recipe | {"bucket": size}
        made.append((store, provenance.Stamp(verb="rasterize", options=own, inputs={"cube": cube_input})))
    done = [store.is_complete(stamp) for store, stamp in made]  # refuses any before it writes one
    for (store, stamp), size, complete in zip(made, sizes, done, strict=True):
        if not complete:
            _fill(store, stamp, dataset, placement, size, options)
    return tuple(store for store, _ in made)


def place(cube: xr.Dataset, blocks: Sequence[Block], options: RasterizeOptions) -> patches.Placement:
    """Where the patches of all glaciers of a cube lie."""
    return patches.Placement.concatenate(
        [
            patches.place(
                read_rings(cube, np.arange(block.start, block.stop)),
                resolution_m=options.resolution_m,
                buckets=options.buckets,
                margin_cells=options.margin_cells,
                coarsest_m=options.coarsest_m,
            )
            for block in blocks
        ]
    )


def _refuse_others(to: str | Path, sizes: Sequence[int]) -> None:
    """Raise if patches of other sizes lie where these go: a reader could not tell that they are of another run."""
    expected = {f"patches_{size:03d}.zarr" for size in sizes}
    found = set(Files.at(to).stores("patches_*.zarr"))
    if found - expected:
        raise ValueError(
            f"{to} holds {', '.join(sorted(found - expected))}, but glaciers now need only "
            f"{', '.join(sorted(expected))}; write to another folder, or remove what is no longer wanted."
        )


def _fill(
    store: Store,
    stamp: provenance.Stamp,
    cube: xr.Dataset,
    placement: patches.Placement,
    size: int,
    options: RasterizeOptions,
) -> None:
    """Declare the store of one size and write every block that is missing."""
    rows = np.flatnonzero(placement.bucket == size)
    names, placed = patches.channels(cube), placement.take(rows)
    units = np.array([patches.CHANNELS[name] for name in names])
    along: dict[str, tuple[str, Any]] = {name: ("glacier", vars(placed)[name]) for name in schema.PLACEMENT}
    along |= {"feature_row": ("glacier", rows), "channel": ("channel", np.array(names))}
    along |= {"channel_units": ("channel", units), "month": ("month", np.arange(1, 13))}
    static = cube[schema.identity(cube)].isel(glacier=rows).load().assign(along)
    static.attrs = {name: cube.attrs[name] for name in ("region", "hemisphere")}
    recipe = {name: value for name, value in stamp.options.items() if name != "bucket"}
    static = static.assign_attrs(bucket=size, recipe=recipe)
    bytes_each = (len(names) + 12) * size**2 * np.dtype(np.float32).itemsize
    per_block = max(1, min(options.glaciers_per_block, BLOCK_BYTES // bytes_each))
    blocks = _Blocks(cube, placed, rows, options)
    needs = block_bytes(cube, blocks.placement, per_block, options)
    sizes = {"glacier": len(rows), "y": size, "x": size}
    with store.hold() as held:
        store.declare(static, stamp, sizes=sizes, chunks={"glacier": per_block}, codec=options.codec or None)
        job = compute.Job(blocks.load, blocks.compute, store.write)
        left, label = store.missing(), f"rasterize {size}, blocks"
        compute.run(job, left, label=label, bytes_each=needs, check=held.check)


@dataclass(frozen=True)
class Loaded:
    """What is stored of some glaciers, in memory."""

    identity: xr.Dataset
    """(glacier,)"""
    rings: patches.Rings


@dataclass(frozen=True)
class _Blocks:
    """Steps of the work on a block of glaciers of one size."""

    cube: xr.Dataset
    placement: patches.Placement
    rows: Ints
    options: RasterizeOptions

    def load(self, block: Block) -> Loaded:
        return load_block(self.cube, self.rows[block.slice])

    def compute(self, block: Block, loaded: Loaded) -> dict[str, npt.NDArray[Any]]:
        part = block.slice
        return compute_block(self.cube, self.placement.take(part), self.rows[part], loaded, self.options)


def block_bytes(cube: xr.Dataset, placement: patches.Placement, glaciers: int, options: RasterizeOptions) -> int:
    """Peak memory of one block of a number of glaciers of one size in work, about."""
    size, finest = int(placement.bucket[0]), float(placement.resolution.min(initial=options.coarsest_m))
    padded = (size + 2 * patches.padding(finest, options.shading_m)) ** 2
    each = size**2 * (len(patches.channels(cube)) + 12) * _BYTES_OF_PIXEL + padded * _BYTES_OF_LOOKUP
    return glaciers * each + min(cube.sizes["y"] * cube.sizes["x"], MAX_WINDOW_CELLS) * _BYTES_OF_CELL


def load_block(cube: xr.Dataset, rows: Ints) -> Loaded:
    """Read some glaciers, by their positions in the cube."""
    return Loaded(cube[schema.identity(cube)].isel(glacier=rows).load(), read_rings(cube, rows))


def compute_block(
    cube: xr.Dataset, placement: patches.Placement, rows: Ints, loaded: Loaded, options: RasterizeOptions
) -> dict[str, npt.NDArray[Any]]:
    """Every stored variable of some glaciers of one size.

    Parameters
    ----------
    cube : xarray.Dataset
        Lazy; windows of the terrain are read as they are worked on.
    placement : Placement
        Of these glaciers.
    rows : (glacier,) int
        Their positions in the cube, ascending.
    loaded : Loaded
    options : RasterizeOptions
    """
    size = int(placement.bucket[0])
    identity = loaded.identity
    grid = Grid.from_centres(cube.x.values, cube.y.values)
    fractions = patches.ice_fractions(loaded.rings, placement, size)
    reason = placement.reason.copy()
    reason[(reason == "") & ~fractions.any(axis=(1, 2))] = patches.NO_ICE
    rasters = np.full((len(rows), len(patches.channels(cube)), size, size), np.nan, np.float32)
    radiation = np.full((len(rows), 12, size, size), np.nan, np.float32)
    lookups = {
        number: Lookup.of(
            placement.centre_lon[number],
            placement.centre_lat[number],
            placement.resolution[number],
            size,
            patches.padding(placement.resolution[number], options.shading_m),
            grid,
            cube.attrs["terrain_crs_wkt"],
        )
        for number in np.flatnonzero(reason == "").tolist()
    }
    for number, source, lookup in _windows(cube, lookups):
        patch = patches.build(
            source,
            lookup,
            fractions[number],
            lat_deg=placement.centre_lat[number],
            resolution_m=placement.resolution[number],
            months=months(cube.attrs["hemisphere"]),
            azimuths=options.azimuths,
            shading_m=options.shading_m,
            outline=ice.outline(loaded.rings, placement, number, size) if "thickness" in source else None,
        )
        rasters[number], radiation[number], reason[number] = patch.rasters, patch.radiation, patch.reason
    return {
        **{name: identity[name].values for name in schema.identity(identity)},
        **{name: vars(placement)[name] for name in ("centre_lon", "centre_lat", "resolution")},
        "feature_row": rows,
        "rasters": rasters,
        "radiation": radiation,
        "set_aside": schema.text(reason),
    }


def read_rings(cube: xr.Dataset, rows: Ints) -> patches.Rings:
    """Read the vertices of some glaciers, ascending positions in the cube."""
    start = cube.vertex_start.isel(glacier=rows).values.astype(np.int64)
    count = cube.vertex_count.isel(glacier=rows).values.astype(np.int64)
    stop = start + count
    part = cube[["vertex_lon", "vertex_lat", "vertex_ring"]]
    read = []
    for run in np.split(np.arange(len(rows)), np.flatnonzero(start[1:] - stop[:-1] > _GAP_VERTICES) + 1):
        first = start[run[0]]
        wanted = np.concatenate([np.arange(start[g], stop[g]) for g in run]) - first
        read.append(part.isel(vertex=slice(first, stop[run[-1]])).load().isel(vertex=wanted))
    lon, lat, ring = (np.concatenate([some[name].values for some in read]) for name in part.data_vars)
    return patches.Rings(
        polygon=np.repeat(np.arange(len(rows)), count), ring=ring, lon=lon, lat=lat, glaciers=len(rows)
    )


def _windows(cube: xr.Dataset, lookups: dict[int, Lookup]) -> Iterator[tuple[int, dict[str, Floats], Lookup]]:
    """Read the terrain around some patches, neighbours together; yield each with its window and the lookup into it."""
    if not lookups:
        return
    rows, columns, stride = _extent(cube, list(lookups.values()))
    if len(rows) * len(columns) > MAX_WINDOW_CELLS and len(lookups) > 1:
        numbers = list(lookups)
        for half in (numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]):
            yield from _windows(cube, {number: lookups[number] for number in half})
        return
    names = [name for name in ("elevation", *patches.OPTIONAL) if name in cube]
    window = cube[names].isel(y=slice(rows[0], rows[-1] + 1, stride), x=_indices(columns, cube.sizes["x"])).load()
    source = {name: window[name].values for name in names}
    for number, lookup in lookups.items():
        yield number, source, lookup.within(rows[0], columns[0], stride)


def _extent(cube: xr.Dataset, lookups: Sequence[Lookup]) -> tuple[range, range, int]:
    """Rows, columns and their stride that hold some patches; columns may leave a grid that goes around the Earth."""
    stride = max(1, int(min(lookup.cells_of_source() for lookup in lookups) / patches.MAX_PARTS))
    found = []
    for name, length, closed in (("row", cube.sizes["y"], False), ("column", cube.sizes["x"], _is_closed(cube))):
        low = int(np.floor(min(vars(lookup)[name].min() for lookup in lookups))) - stride
        high = int(np.ceil(max(vars(lookup)[name].max() for lookup in lookups))) + stride + 1
        if not closed:
            low, high = int(np.clip(low, 0, length - 1)), int(np.clip(high, 1, length))
            high = max(high, low + 1)
        found.append(range(low, high, stride))
    return found[0], found[1], stride


def _is_closed(cube: xr.Dataset) -> bool:
    """Whether the terrain's columns go around the Earth, so that the first follows the last."""
    grid = Grid.from_centres(cube.x.values, cube.y.values)
    around = abs(abs(grid.dx) * grid.shape[1] - 360) < abs(grid.dx) / 2
    return around and is_geographic(cube.attrs["terrain_crs_wkt"])


def _indices(columns: range, length: int) -> slice | Ints:
    """Columns to read: a slice, or their numbers where they run over the edge."""
    if columns[0] >= 0 and columns[-1] < length:
        return slice(columns[0], columns[-1] + 1, columns.step)
    return np.asarray(columns) % length
