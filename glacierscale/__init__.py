r"""Distributed, cloud-native reconstruction and projection of glaciers.

The pipeline, one verb per stage, each reading stores and filling one::

    catalogue --ingest--> cube --featurize--> features --train--> model --reconstruct--> surface mass balance
                             \--rasterize--> patches ---/     \--evaluate--> scores --report--> page

    import glacierscale as gs

    alps = gs.Region("oetztal", years=gs.HydroYears(1953, 2014))
    cube = gs.ingest("catalogs/oetztal.yaml", alps, to="out/cube.zarr", options=gs.IngestOptions(climate="histalp"))
    features = gs.featurize(cube, to="out/features.zarr")
    model = gs.train(features, to="out/model")
    scores = gs.evaluate(model, features, to="out")
    smb = gs.reconstruct(model, features, to="out/smb.zarr")
    gs.report(smb, scores="out", cube=cube, to="out/report.html")

    gs.rasterize(cube, to="out")  # with ice thickness and future climates in the cube, glaciers evolve
    ice = gs.evolve(model, cube, to="out/ice.zarr", options=gs.EvolveOptions(until=2100))

Importing this package is light; each verb loads its libraries when it is first used. Every place may be a folder or a
URL (``s3://bucket/out/cube.zarr``), and inside ``with gs.use(gs.Cluster(dask="tcp://scheduler:8786", ray="auto")):``
verbs run on a cluster.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glacierscale.catalog import open_catalog
    from glacierscale.compute import Cluster, use
    from glacierscale.cube import IngestOptions, ingest
    from glacierscale.evaluation import EvaluateOptions, evaluate
    from glacierscale.evolution import EvolveOptions, Scenario, evolve
    from glacierscale.exploration import explore
    from glacierscale.features.options import FeaturizeOptions, RasterizeOptions
    from glacierscale.features.rasters import rasterize
    from glacierscale.features.tensors import featurize
    from glacierscale.models.bundle import SMBModel
    from glacierscale.pipeline import demo, run
    from glacierscale.reconstruction import ReconstructOptions, reconstruct
    from glacierscale.region import HydroYears, Region
    from glacierscale.repair import verify
    from glacierscale.reporting import ReportOptions, report
    from glacierscale.schema import placed
    from glacierscale.store import Block, Store
    from glacierscale.synthetic import SyntheticOptions
    from glacierscale.training.loop import train
    from glacierscale.training.options import TrainOptions

_HOME = {
    "Block": "store",
    "Cluster": "compute",
    "EvaluateOptions": "evaluation",
    "EvolveOptions": "evolution.options",
    "FeaturizeOptions": "features.options",
    "HydroYears": "region",
    "IngestOptions": "cube",
    "RasterizeOptions": "features.options",
    "ReconstructOptions": "reconstruction",
    "Region": "region",
    "ReportOptions": "reporting",
    "SMBModel": "models.bundle",
    "Scenario": "evolution.options",
    "Store": "store",
    "SyntheticOptions": "synthetic",
    "TrainOptions": "training.options",
    "demo": "pipeline",
    "evaluate": "evaluation",
    "evolve": "evolution",
    "explore": "exploration",
    "featurize": "features.tensors",
    "ingest": "cube",
    "open_catalog": "catalog",
    "placed": "schema",
    "rasterize": "features.rasters",
    "reconstruct": "reconstruction",
    "report": "reporting",
    "run": "pipeline",
    "train": "training.loop",
    "use": "compute",
    "verify": "repair",
}

__all__ = [
    "Block",
    "Cluster",
    "EvaluateOptions",
    "EvolveOptions",
    "FeaturizeOptions",
    "HydroYears",
    "IngestOptions",
    "RasterizeOptions",
    "ReconstructOptions",
    "Region",
    "ReportOptions",
    "SMBModel",
    "Scenario",
    "Store",
    "SyntheticOptions",
    "TrainOptions",
    "demo",
    "evaluate",
    "evolve",
    "explore",
    "featurize",
    "ingest",
    "open_catalog",
    "placed",
    "rasterize",
    "reconstruct",
    "report",
    "run",
    "train",
    "use",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"glacierscale.{_HOME[name]}"), name)
    if name == "__version__":
        from glacierscale.provenance import version

        return version()
    raise AttributeError(f"module 'glacierscale' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
