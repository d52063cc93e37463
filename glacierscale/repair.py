"""Check what is stored against its checksums, and compute again what is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glacierscale import provenance
from glacierscale.cube import IngestOptions, ingest
from glacierscale.evolution import EvolveOptions, Scenario, evolve, write_map
from glacierscale.features.options import FeaturizeOptions, RasterizeOptions
from glacierscale.features.rasters import rasterize
from glacierscale.features.tensors import featurize
from glacierscale.models.bundle import SMBModel
from glacierscale.reconstruction import ReconstructOptions, reconstruct
from glacierscale.region import HydroYears, Region
from glacierscale.store import Damage, Files, Store

_REPAIRS = 3


def verify(store: str | Path | Store, *, repair: bool = False) -> list[Damage]:
    """Check every object of a store against its checksums.

    Parameters
    ----------
    store : str, Path or Store
        A cube, features, patches, reconstruction, maps, evolution or ice maps, in a folder or at a URL.
    repair : bool
        Compute damaged and missing blocks again, from the inputs and with the options that the store names.

    Returns
    -------
    list of Damage
        What was found; after a repair, what is left.

    Raises
    ------
    StampMismatch
        If the inputs have changed since, so that a repair would mix two versions. The store is as it was then, as after
        any other error.
    """
    bound = Store.at(store)
    damages = bound.verify()
    # Damaged metadata hides what else is damaged: look again after each repair.
    for _ in range(_REPAIRS if repair else 0):
        if damages:
            with bound.hold():  # what another run works on is not ours to mend
                put_back = bound.forget(damages)
            try:
                _write_again(bound)
            except BaseException:  # inputs that are gone or changed: what is sound stays readable
                put_back()
                raise
            damages = bound.verify()
    return damages


def _write_again(store: Store) -> None:
    """Run the verb that made a store once more, with its options and inputs: it writes what is missing."""
    stamp = store.stamp
    inputs = {name: provenance.found_from(store.url, entry.url) for name, entry in stamp.inputs.items()}
    options: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in stamp.options.items()}
    if stamp.verb == "ingest":
        region = options.pop("region")
        years = HydroYears(**region.pop("years"))
        bounds = tuple(region.pop("bounds") or ()) or None
        region = Region(**region, years=years, bounds=bounds)
        ingest(inputs["@catalog"], region, to=store.url, options=IngestOptions(data=inputs["@data"], **options))
    elif stamp.verb == "featurize":
        featurize(inputs["cube"], to=store.url, options=FeaturizeOptions(**options))
    elif stamp.verb == "rasterize":
        del options["bucket"]
        rasterize(inputs["cube"], to=provenance.join(store.url, ".."), options=RasterizeOptions(**options))
    elif stamp.verb == "map":
        from glacierscale.reconstruction import maps

        stores = [Store.at(inputs[name]) for name in ("features", "patches")]
        maps.write(
            SMBModel.load(Files.at(inputs["model"])), stamp.inputs["model"].url, *stores, to=store.url, **options
        )
    elif stamp.verb in ("evolve", "map_ice"):
        scenarios = tuple(Scenario(**own) for own in options.pop("scenarios"))
        evolving = EvolveOptions(scenarios=scenarios, **options)
        model, cube, features = (inputs[name] for name in ("model", "cube", "features"))
        of_patches = [place for name, place in inputs.items() if name.startswith("patches")]
        if stamp.verb == "evolve":
            folder = provenance.join(of_patches[0], "..")
            evolve(model, cube, to=store.url, features=features, patches=folder, options=evolving)
        else:
            write_map(model, cube, features, of_patches[0], to=store.url, options=evolving)
    else:
        beside = (provenance.join(place, "..") for name, place in inputs.items() if name.startswith("patches"))
        own = ReconstructOptions(**options)
        reconstruct(inputs["model"], inputs["features"], to=store.url, patches=next(beside, None), options=own)
