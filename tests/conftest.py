"""Fixtures shared by all tests."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

# Several processes share the cores, and networks as small as ours take four times as long on two threads as on one.
# Faults are tested on all cores: see faults/running.py.
os.environ.setdefault("GLACIERSCALE_CORES", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# How far work is, said on slow machines alone, is no part of what a command prints.
os.environ.setdefault("GLACIERSCALE_QUIET", "1")


def pytest_configure(config: pytest.Config) -> None:
    """Let several processes take files in our order, not those of most tests first."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with files that hold slow tests, so that no process is left with one when the others are through."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Have a named folder filled by the first test process that asks; every process has a copy of its own.

    Copies have the same place in the folder of each process, so that the paths from one to another hold.
    """

    def made(name: str, make: Callable[[Path], object]) -> Path:
        base = tmp_path_factory.getbasetemp()
        own, common = base / "made" / name, base.parent / "made" / name
        own.mkdir(parents=True)
        if "PYTEST_XDIST_WORKER" not in os.environ:
            make(own)
            return own
        common.parent.mkdir(exist_ok=True)
        with common.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if common.exists():
                shutil.copytree(common, own, dirs_exist_ok=True)
            else:
                make(own)
                shutil.copytree(own, common.with_suffix(".new"), dirs_exist_ok=True)
                common.with_suffix(".new").rename(common)
        return own

    return made


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real glacier data: ``GLACIERSCALE_SHARED``, or ``shared`` beside the checkout; skips without it."""
    root = Path(os.environ.get("GLACIERSCALE_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (root / "data").is_dir():
        pytest.skip(f"real data not found at {root}; set GLACIERSCALE_SHARED to the folder that holds data/")
    return root


@pytest.fixture(scope="session")
def region() -> SimpleNamespace:
    """Six outlines with a temperature-index balance of known factors, computed apart from the package.

    Temperature is linear in height everywhere and precipitation the same everywhere, so the truth does not depend on
    how climate cells are weighted. One outline has a hole, one lies inside one terrain cell, two share an observation.
    """
    import shapely
    from scipy import integrate, stats

    r = SimpleNamespace(precip_factor=1.3, degree_day_factor=5.0, noise=60.0, sigma=100.0, lapse=-6.5e-3, sigma_k=5.0)
    r.years = np.arange(1991, 2003)
    r.x, r.y = 636050.0 + 100 * np.arange(80), 5193950.0 - 100 * np.arange(70)
    east, north = np.meshgrid(r.x - r.x[0], r.y - r.y[-1])
    r.elevation = 2300 + 0.14 * north + 150 * np.sin(east / 2200) + 30 * np.sin(north / 900)

    def box(x: float, y: float, width: float, height: float, hole: tuple[float, ...] = ()) -> shapely.Polygon:
        whole = shapely.box(636000 + x, 5187000 + y, 636000 + x + width, 5187000 + y + height)
        return whole - shapely.box(*(np.array([636000, 5187000] * 2) + hole)) if hole else whole

    octagon = shapely.Point(642530, 5190570).buffer(1240, quad_segs=2)
    r.polygons = {
        "RGI60-11.00001": box(410, 1290, 830, 1920),
        "RGI60-11.00002": box(1730, 2110, 1400, 2600, hole=(2105, 2905, 2655, 3415)),
        "RGI50-11.00719_d01": box(3505, 905, 600, 1815),
        "RGI50-11.00719_d02": box(4105, 905, 420, 2215),
        "RGI60-11.00003": octagon,
        "RGI60-11.00004": shapely.Polygon([(637010, 5192020), (637080, 5192030), (637030, 5192090)]),
    }
    r.unit = {name: name.split("_d")[0] for name in r.polygons}

    rng = np.random.default_rng(7)
    n, month = len(r.years), np.arange(12)  # October first
    r.temp_2000 = -1.5 + 9 * np.cos(2 * np.pi * (month - 9.5) / 12)
    r.temp_2000 = r.temp_2000 + rng.normal(0, 1.2, (n, 1)) + rng.normal(0, 1, (n, 12))
    r.precip = rng.gamma(6, 18, (n, 12)) * rng.uniform(0.8, 1.3, (n, 1))

    def positive_part(temp: np.ndarray) -> np.ndarray:
        """Degree days of a month by brute force, from a table of integrals."""
        table = np.arange(-60, 60, 0.25)
        daily = np.linspace(0, 80, 4001)
        mean = [integrate.trapezoid(daily * stats.norm.pdf(daily, t, r.sigma_k), daily) for t in table]
        return np.interp(temp, table, mean) * 365.25 / 12

    centres = shapely.points(*np.meshgrid(r.x, r.y))
    balance, area = {}, {name: polygon.area for name, polygon in r.polygons.items()}
    for name, polygon in r.polygons.items():
        inside = shapely.contains(polygon, centres)
        if not inside.any():
            continue
        height = r.elevation[inside]  # (cell,)
        temp = r.temp_2000[..., None] + r.lapse * (height - 2000)  # (year, month, cell)
        snow = (r.precip[..., None] * np.clip(1 - temp / 2, 0, 1)).sum(axis=1).mean(axis=1)
        melt = positive_part(temp).sum(axis=1).mean(axis=1)
        balance[name] = r.precip_factor * snow - r.degree_day_factor * melt
    r.truth = {}
    for unit in dict.fromkeys(r.unit[name] for name in balance):
        parts = [name for name in balance if r.unit[name] == unit]
        r.truth[unit] = np.average([balance[p] for p in parts], axis=0, weights=[area[p] for p in parts])
    r.observed = {unit: truth + rng.normal(0, r.noise, n) for unit, truth in r.truth.items()}
    return r


@pytest.fixture(scope="session")
def cube(region: SimpleNamespace, made_once: Any) -> Any:
    """The region as a cube store, two glaciers to a block."""
    from glacierscale.store import Store

    folder = made_once("cube", lambda folder: write_cube(region, str(folder / "cube.zarr")))
    return Store.at(str(folder / "cube.zarr"))


@pytest.fixture(scope="session")
def write_cube_to(region: SimpleNamespace) -> Any:
    """Write the region's cube to a folder, some static variables or glacier arrays replaced."""
    return lambda folder, **replaced: write_cube(region, str(folder), **replaced)


def write_cube(r: SimpleNamespace, url: str, glaciers_per_block: int = 2, **replaced: Any) -> Any:
    """Declare a cube and write its blocks, as ingest does, without a catalogue."""
    import pyproj
    import xarray as xr

    from glacierscale import schema
    from glacierscale.provenance import Stamp
    from glacierscale.store import Store

    crs = pyproj.CRS("EPSG:32632")
    degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    glaciers, vertices = _outlines(r, degrees)
    clim_lat, clim_lon = 46.75 + 0.05 * np.arange(5)[::-1], 10.75 + 0.05 * np.arange(6)
    height = 1500 + np.random.default_rng(3).uniform(0, 1500, (len(clim_lat), len(clim_lon)))
    temp = r.temp_2000.reshape(-1, 1, 1) + r.lapse * (height - 2000)
    precip = np.broadcast_to(r.precip.reshape(-1, 1, 1), temp.shape)
    fields = {"temp": temp, "precip": precip, "clim_height": height}
    fields |= {name: replaced[name] for name in fields if name in replaced}
    months = np.datetime64(f"{r.years[0] - 1}-10", "M") + np.arange(12 * len(r.years))
    axes = {"x": r.x, "y": r.y, "clim_lat": clim_lat, "clim_lon": clim_lon} | {"time": months.astype("datetime64[ns]")}
    axes |= {name: replaced[name] for name in axes if name in replaced}
    static = xr.Dataset(
        {name: ("vertex", values) for name, values in vertices.items()}
        | {name: ("observation", values) for name, values in _observations(r).items()}
        | {name: (name, values) for name, values in axes.items()}
        | {"inventory_year": ("inventory", np.array([1995], np.int32))},
        attrs={
            "region": "test",
            "first_hydro_year": int(r.years[0]),
            "last_hydro_year": int(r.years[-1]),
            "hemisphere": "north",
            "terrain_crs_wkt": crs.to_wkt(),
        },
    )
    store = Store(url, schema.CUBE)
    sizes = {"glacier": len(r.polygons)}
    stamp = Stamp(verb="ingest", options={"replaced": sorted(replaced)}, inputs={})
    lacking = [name for name, entry in schema.CUBE.variables.items() if entry.optional and name != "elevation"]
    store.declare(static, stamp, sizes=sizes, chunks={"glacier": glaciers_per_block}, without=lacking)
    for block in store.unfinished():
        if block.dim == "glacier":
            arrays = {name: values[block.slice] for name, values in glaciers.items()}
        elif block.dim == "clim_lat":
            arrays = {n: v[..., block.slice, :] for n, v in fields.items()}
        else:
            arrays = {"elevation": r.elevation[block.slice]}
        store.write(block, arrays)
    return store


def _outlines(r: SimpleNamespace, degrees: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays (glacier, ...) and (vertex,): shells counter-clockwise, holes clockwise, rings not closed."""
    import shapely

    xy, ring, count, centre = [], [], [], []
    for polygon in r.polygons.values():
        oriented = shapely.orient_polygons(polygon)
        rings = [np.array(part.coords)[:-1] for part in (oriented.exterior, *oriented.interiors)]
        xy += rings
        ring += [np.full(len(part), number) for number, part in enumerate(rings)]
        count.append(sum(map(len, rings)))
        centre.append(polygon.centroid.coords[0])
    x, y = np.concatenate(xy).T
    lon, lat = degrees.transform(x, y)
    centre_lon, centre_lat = degrees.transform(*np.array(centre).T)
    blank = np.full((len(count), 1), np.nan)
    slope20 = blank.copy()
    slope20[0] = 33.0  # one glacier is in the dated inventory
    glaciers = {
        "glacier_id": np.array(list(r.polygons)),
        "unit_id": np.array(list(r.unit.values())),
        "subregion": np.full(len(r.unit), "centre"),
        "lon": centre_lon,
        "lat": centre_lat,
        "area_m2": np.array([polygon.area for polygon in r.polygons.values()]),
        "vertex_start": np.cumsum([0, *count[:-1]]),
        "vertex_count": np.array(count),
        "inventory_area_m2": blank,
        "inventory_mean_elevation": blank,
        "inventory_max_elevation": blank,
        "inventory_min_elevation": blank,
        "inventory_slope20": slope20,
        "inventory_aspect": blank,
    }
    return glaciers, {
        "vertex_x": x,
        "vertex_y": y,
        "vertex_lon": lon,
        "vertex_lat": lat,
        "vertex_ring": np.concatenate(ring),
    }


def _observations(r: SimpleNamespace) -> dict[str, Any]:
    """Every observed year of every unit, and one winter row that is no annual balance."""
    unit = [u for u in r.observed for _ in r.years] + [next(iter(r.observed))]
    year = np.array([*np.tile(r.years, len(r.observed)), r.years[0]], np.int32)
    value = np.append(np.concatenate(list(r.observed.values())), 1500.0)
    blank = np.full(len(unit), np.nan)
    days = (
        np.array([f"{y - 1}-10-01" for y in year], "datetime64[ns]"),
        np.array([f"{y}-09-30" for y in year], "datetime64[ns]"),
    )
    return {
        "obs_unit_id": np.array(unit),
        "obs_kind": np.array(["annual"] * (len(unit) - 1) + ["winter"]),
        "obs_year": year,
        "obs_value": value,
        "obs_sigma": np.full(len(unit), r.sigma),
        "obs_start": days[0],
        "obs_end": days[1],
        "obs_elevation": blank,
        "obs_lon": blank,
        "obs_lat": blank,
    }


@pytest.fixture(scope="session")
def features(cube: Any, made_once: Any) -> Any:
    """Features of the region's cube."""
    from glacierscale.features.tensors import featurize
    from glacierscale.store import Store

    folder = made_once("features", lambda folder: featurize(cube, to=folder / "features.zarr"))
    return Store.at(str(folder / "features.zarr"))


@pytest.fixture(scope="session")
def train_options() -> Any:
    """Few members and epochs, every net."""
    from glacierscale.training.options import TrainOptions

    return TrainOptions(hold_out=("logo", "lsygo"), members=3, epochs=12, hidden=(8,), block_years=6)


@pytest.fixture(scope="session")
def model_folder(features: Any, train_options: Any, made_once: Any) -> Path:
    """A trained model on disk."""
    from glacierscale.training.loop import train

    folder: Path = made_once("model", lambda folder: train(features, to=folder / "model", options=train_options))
    return folder / "model"


@pytest.fixture(scope="session")
def model(model_folder: Path) -> Any:
    """The trained model."""
    from glacierscale.models.bundle import SMBModel

    return SMBModel.load(model_folder)


@pytest.fixture(scope="session")
def rows(features: Any, model: Any) -> Any:
    """The observed rows the model was trained on."""
    from glacierscale.models.rows import observed_rows

    return observed_rows(features.open(), model.predictors)


@pytest.fixture(scope="session")
def patches(cube: Any, made_once: Any) -> Path:
    """Folder of the region's patches, coarse ones of two sizes."""
    from glacierscale.features.options import RasterizeOptions
    from glacierscale.features.rasters import rasterize

    options = RasterizeOptions(resolution_m=200.0, buckets=(16, 32), azimuths=4)
    folder: Path = made_once("patches", lambda folder: rasterize(cube, to=folder, options=options))
    return folder


@pytest.fixture(scope="session")
def raster_model_folder(features: Any, patches: Path, made_once: Any) -> Path:
    """A Lasso and a hybrid of few members and steps on disk."""
    from glacierscale.training.loop import train
    from glacierscale.training.options import TrainOptions

    options = TrainOptions(
        nets=("lasso", "hybrid"), hold_out=("logo", "year_blocks"), members=2, block_years=4, kernel=1, steps=8
    )

    def make(folder: Path) -> None:
        train(features, to=folder / "model", patches=patches, options=options)

    folder: Path = made_once("raster_model", make)
    return folder / "model"


@pytest.fixture(scope="session")
def raster_model(raster_model_folder: Path) -> Any:
    """The trained model."""
    from glacierscale.models.bundle import SMBModel

    return SMBModel.load(raster_model_folder)


@pytest.fixture(scope="session")
def scene(features: Any, patches: Path, raster_model: Any) -> Any:
    """The ice cells, climate and observations that the hybrid was trained on."""
    from glacierscale import schema
    from glacierscale.models.scene import scene_of
    from glacierscale.store import Store

    form = raster_model.rasters["hybrid"].form
    stores = [found.open() for found in Store.all_in(patches, "patches_*.zarr", schema.PATCHES)]
    return scene_of(features.open(), stores, form.targets, form.kernel, form.reference_elevation)


@pytest.fixture(scope="session")
def small_range() -> Any:
    """A synthetic range of twelve glaciers, half of them observed, over thirteen years."""
    from glacierscale.synthetic import SyntheticOptions

    return SyntheticOptions(glaciers=12, observed=6, first_year=2000, last_year=2012)


@pytest.fixture(scope="session")
def small_raw(small_range: Any, made_once: Any) -> Path:
    """Its raw files; copy them before breaking one."""
    from glacierscale.demonstration import write_raw

    folder: Path = made_once("small_raw", lambda folder: write_raw(small_range, folder / "raw"))
    return folder / "raw"


@pytest.fixture(scope="session")
def small_run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run file for the small range: three blocks of glaciers, every net, few members."""
    folder = tmp_path_factory.getbasetemp() / "made" / "small_run_file"
    folder.mkdir(parents=True)
    shutil.copy(Path(__file__).resolve().parents[1] / "catalogs" / "demo.yaml", folder)
    (folder / "run.yaml").write_text(
        "catalog: demo.yaml\n"
        "region: {name: Small range, years: {first: 2000, last: 2012}}\n"
        "ingest: {glaciers_per_block: 5}\n"
        "train: {hold_out: [logo, loyo, lsygo], members: 3, epochs: 5, hidden: [8]}\n"
        "evaluate: {draws: 100}\n"
    )
    return folder / "run.yaml"


@pytest.fixture(scope="session")
def small_run(small_raw: Path, small_run_file: Path, made_once: Any) -> Path:
    """Everything that `glacierscale run` makes of the small range; copy it before changing it."""
    from glacierscale.pipeline import run

    folder: Path = made_once("small_run", lambda folder: run(small_run_file, to=folder / "out", data=str(small_raw)))
    return folder / "out"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser without a window, which asks nobody for anything."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on PATH; install one to test pages in a browser")
    sync_api = pytest.importorskip("playwright.sync_api")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic"]
    quiet += ["--disable-background-networking", "--disable-component-update"]
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=quiet)
        yield running
        running.close()
