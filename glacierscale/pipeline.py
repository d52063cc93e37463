"""All stages in a row: a run file, and the embedded demonstration."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from glacierscale import headlines, provenance, results, stac
from glacierscale.cube import IngestOptions, ingest
from glacierscale.evaluation import EvaluateOptions, evaluate
from glacierscale.evolution import EvolveOptions, evolve
from glacierscale.features.options import FeaturizeOptions, RasterizeOptions
from glacierscale.features.rasters import rasterize
from glacierscale.features.tensors import featurize
from glacierscale.reconstruction import ReconstructOptions, reconstruct, targets
from glacierscale.reconstruction.subregions import subregions
from glacierscale.region import Region
from glacierscale.reporting import ReportOptions, report
from glacierscale.store import Files, Store, StoreError, hold
from glacierscale.synthetic.options import SyntheticOptions
from glacierscale.training.loop import train
from glacierscale.training.options import RASTER, TrainOptions


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """Content of a run file: every stage's options, by the name of its verb."""

    catalog: str
    """Catalogue, relative to the run file."""
    region: Region
    """Which glaciers and years."""
    ingest: IngestOptions = field(default_factory=IngestOptions)
    """Options of ingest."""
    featurize: FeaturizeOptions = field(default_factory=FeaturizeOptions)
    """Options of featurize."""
    rasterize: RasterizeOptions = field(default_factory=RasterizeOptions)
    """Options of rasterize, which runs where a raster network is trained or glaciers evolve."""
    train: TrainOptions = field(default_factory=TrainOptions)
    """Options of train."""
    evaluate: EvaluateOptions = field(default_factory=EvaluateOptions)
    """Options of evaluate."""
    reconstruct: ReconstructOptions = field(default_factory=ReconstructOptions)
    """Options of reconstruct."""
    evolve: EvolveOptions | None = None
    """Options of evolve, which runs where they are given."""
    report: ReportOptions = field(default_factory=ReportOptions)
    """Options of report."""


def run(file: str | Path, *, to: str | Path, data: str = "") -> Path | str:
    """Run every stage of a run file; what exists already is kept, so running again continues.

    Parameters
    ----------
    file : str or Path
        A run file (YAML), see ``deploy/runs``.
    to : str or Path
        Folder or URL (s3://, gs://, abfs://) for cube.zarr, features.zarr, patches_*.zarr, model, tables (parquet;
        massifs.parquet where subregions are known), smb.zarr, smb_map_*.zarr, ice.zarr, ice_map_*.zarr, report.html,
        glaciers.parquet (outlines with the headline results, GeoParquet), catalog.yaml, a catalogue of them all, and
        stac, the same as a STAC collection. One run at a time may hold it.
    data : str
        Folder with the catalogue's files, or public to fetch those that are published; empty takes what the catalogue
        says by default.

    Returns
    -------
    Path or str
        The report, a path or its URL.

    Raises
    ------
    ValueError
        If the run file is wrong; each stage raises its own errors.
    HeldError
        If another run holds the folder.
    """
    plan = read_plan(file)
    return run_plan(plan, to=to, data=data, catalog=Path(file).parent / plan.catalog)


def read_plan(file: str | Path) -> RunPlan:
    """Read and check a run file.

    Raises
    ------
    ValueError
        Naming the file and the fault.
    """
    import jsonargparse
    import yaml

    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"no run file at {path}; examples lie in deploy/runs.")
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {type(content).__name__}, expected a mapping with catalog and region.")
    known = [entry.name for entry in fields(RunPlan)]
    unknown = sorted(str(key) for key in content if key not in known)
    if unknown:
        raise ValueError(f"{path} holds {', '.join(unknown)}; expected some of {', '.join(known)}.")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(RunPlan, "plan")
    try:
        return parser.instantiate(parser.parse_object({"plan": content})).plan  # type: ignore[no-any-return]
    except (jsonargparse.ArgumentError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def run_plan(plan: RunPlan, *, to: str | Path, data: str, catalog: Path) -> Path | str:
    """Run every stage of a plan; see `run`."""
    out = str(to).rstrip("/") if "://" in str(to) else str(Path(to))
    cube, features, smb, model = (f"{out}/{name}" for name in ("cube.zarr", "features.zarr", "smb.zarr", "model"))
    files = Files.at(out)
    page = f"{files.url}/report.html"
    reading = replace(plan.ingest, data=data or plan.ingest.data)
    patching = ("rasterize", "patches_*.zarr", lambda: rasterize(cube, to=out, options=plan.rasterize))
    stages: list[tuple[str, str, Callable[[], Any]]] = [
        ("ingest", "cube.zarr", lambda: ingest(catalog, plan.region, to=cube, options=reading)),
        ("featurize", "features.zarr", lambda: featurize(cube, to=features, options=plan.featurize)),
        *([patching] if plan.evolve or any(net in RASTER for net in plan.train.nets) else []),
        ("train", "model/model.json", lambda: train(features, to=model, options=plan.train)),
        ("evaluate", "scores.parquet", lambda: evaluate(model, features, to=out, options=plan.evaluate)),
        ("reconstruct", "smb.zarr", lambda: _reconstruct(model, features, out, plan.reconstruct)),
        *_evolving(plan, model, cube, out),
        ("report", "report.html", lambda: report(smb, scores=out, cube=cube, to=page, options=plan.report)),
    ]
    with hold(files.url, "run"):
        for verb, made, work in stages:
            before, start = _state(out, made), time.perf_counter()
            work()
            took = time.perf_counter() - start
            said = "is already there, nothing to do" if _state(out, made) == before else f"written in {took:.1f} s"
            print(f"{verb:<12}{out}/{made.removesuffix('/model.json')} {said}", file=sys.stderr, flush=True)
            if verb == "reconstruct":
                targets.write(catalog, smb, to=out, data=reading.data)
        headlines.write_headlines(out)
        results.write_catalog(out, plan.region)
        stac.write_stac(out, plan.region)
    return page if "://" in out else Path(page)


def _evolving(plan: RunPlan, model: str, cube: str, out: str) -> list[tuple[str, str, Callable[[], Any]]]:
    """The stage that evolves glaciers, where it is wanted."""
    options = plan.evolve
    if options is None:
        return []
    return [("evolve", "ice.zarr", lambda: evolve(model, cube, to=f"{out}/ice.zarr", options=options))]


def _reconstruct(model: str, features: str, out: str, options: ReconstructOptions) -> None:
    """Every glacier, then every massif."""
    smb = reconstruct(model, features, to=f"{out}/smb.zarr", options=options)
    held_out = Files.at(out).read("predictions.parquet")
    assert held_out is not None  # evaluate wrote it
    subregions(smb, features, to=out, held_out=provenance.read_table(held_out))


def demo(*, to: str | Path, options: SyntheticOptions = SyntheticOptions(), only_raw: bool = False) -> Path | str:
    """Run the whole pipeline on the embedded region, a small mountain range whose true mass balance is known.

    Parameters
    ----------
    to : str or Path
        Folder or URL. The raw files of the region are written to its folder ``raw``, or, where it is a URL, to a folder
        of that name in the cache of this machine.
    options : SyntheticOptions
        The region.
    only_raw : bool
        Write the raw files and stop: what ``catalogs/demo.yaml`` needs, to try verbs and run files on.

    Returns
    -------
    Path or str
        The report, a path or its URL; the folder of the raw files where only these are wanted.

    Raises
    ------
    HeldError
        If another run holds the folder.
    """
    from glacierscale.catalog import cache_folder
    from glacierscale.demonstration import write_raw

    told = provenance.digest(repr(options))[:16]  # sources are files; only what is made of them goes to the bucket
    raw = cache_folder() / "demo" / told / "raw" if "://" in str(to) else Path(to) / "raw"
    write_raw(options, raw)
    if only_raw:
        return raw
    file = shipped("deploy/runs/demo.yaml")
    plan = read_plan(file)
    years = replace(plan.region.years, first=options.first_year, last=options.last_year)
    plan = replace(plan, region=replace(plan.region, years=years))
    return run_plan(plan, to=to, data=str(raw), catalog=file.parent / plan.catalog)


def shipped(name: str) -> Path:
    """A file that comes with the package, in a source tree or installed."""
    package = Path(__file__).parent
    for root in (package / "_shipped", package.parent):
        if (root / name).exists():
            return root / name
    raise FileNotFoundError(f"{name} does not come with this installation of glacierscale; install it again.")


def _state(out: str, made: str) -> tuple[str, ...]:
    """Something that changes when a file, or the stores that fit a pattern, are written."""
    files = Files.at(out)
    if not made.endswith(".zarr"):
        return (files.version(made),)
    found = []
    for name in files.stores(made):
        try:
            found.append(f"{name} {Store.at(f'{out}/{name}').fingerprint()}")
        except StoreError:  # begun, damaged or another thing: the stage says so
            found.append(name)
    return tuple(found)
