"""Stores that evolve reads, and the stamps that name them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from glacierscale import provenance, schema
from glacierscale.evolution.options import EvolveOptions
from glacierscale.models.bundle import SMBModel
from glacierscale.store import Files, Store

NO_THICKNESS = (
    "the patches {url} have no ice thickness; expected the channels thickness and ice_surface. Ingest a catalogue with "
    "an entry of role thickness, then rasterize."
)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A model and stores of one set of glaciers."""

    model: SMBModel
    place: str
    """Where the model lies, as stamps name it"""
    cube: Store
    features: Store
    patches: tuple[Store, ...]

    @classmethod
    def at(
        cls,
        model: SMBModel | str | Path,
        cube: str | Path | Store,
        features: str | Path | Store | None,
        patches: str | Path | Sequence[Store] | None,
        to: str | Path,
    ) -> Inputs:
        """Find and check them; see `evolve`.

        Raises
        ------
        ValueError
            If they are not of the same glaciers, or the patches have no thickness.
        """
        place = "" if isinstance(model, SMBModel) else provenance.relative(model, to)  # one in memory lies nowhere
        source = Store.at(cube, schema.CUBE)
        beside = provenance.join(source.url, "..")
        if patches is None or isinstance(patches, str | Path):
            patches = Store.all_in(patches or beside, "patches_*.zarr", schema.PATCHES)
        found = cls(
            model=model if isinstance(model, SMBModel) else SMBModel.load(Files.at(model)),
            place=place,
            cube=source,
            features=Store.at(features or provenance.join(beside, "features.zarr"), schema.FEATURES),
            patches=tuple(patches),
        )
        found._check()
        return found

    def stamp(self, verb: str, options: EvolveOptions, patches: Sequence[Store], to: str | Path) -> provenance.Stamp:
        """The stamp of an output made with some of the patches."""
        named = {"cube": self.cube, "features": self.features}
        named |= {PurePosixPath(store.url).stem: store for store in patches}
        inputs = {
            name: provenance.Input(url=provenance.relative(store.url, to), fingerprint=self._fingerprints[store.url])
            for name, store in named.items()
        }
        own = {"model": provenance.Input(url=self.place, fingerprint=self.model.fingerprint)}
        return provenance.Stamp(verb=verb, options=provenance.options_dict(options), inputs=own | inputs)

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        """Digest of each store by its place: several stamps name the same ones."""
        return {store.url: store.fingerprint() for store in (self.cube, self.features, *self.patches)}

    def _check(self) -> None:
        """Refuse patches without thickness, and stores of other glaciers than the cube's."""
        glaciers = schema.text(self.cube.open().glacier_id.values)
        others = [(self.features, np.arange(self.features.open().sizes["glacier"]))]
        for store in self.patches:
            opened = store.open()
            if not {"thickness", "ice_surface"} <= set(schema.text(opened.channel.values).tolist()):
                raise ValueError(NO_THICKNESS.format(url=store.url))
            others.append((store, opened.feature_row.values))
        for store, rows in others:
            own = schema.text(store.open().glacier_id.values)
            whole = store is not self.features or len(rows) == len(glaciers)
            if not whole or (rows >= len(glaciers)).any() or (glaciers[rows] != own).any():
                raise ValueError(
                    f"{store.url} is not of the glaciers of {self.cube.url}; make both of one cube, or name the right "
                    "one."
                )
