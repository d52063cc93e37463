"""A small mountain range, the commands of every stage on it, and what they make without any fault."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.faults import running
from tests.trees import digests

STAGES = ("ingest", "featurize", "rasterize", "train", "reconstruct", "evolve")
NEEDS: dict[str, tuple[str, ...]] = {
    "ingest": (),
    "featurize": ("ingest",),
    "rasterize": ("ingest",),
    "train": ("featurize", "rasterize"),
    "reconstruct": ("train",),
    "evolve": ("train",),
}
_LAST_FUTURE_YEAR = 2060
CHECKPOINT_S = "0.2"
"""Seconds between two checkpoints of a training."""


@dataclass(frozen=True)
class Range:
    """Inputs of every stage, and what every stage makes of them when nothing goes wrong; made when first asked for."""

    folder: Path
    """Its raw files in raw, what stages make of them in inputs for other stages, and in calm/STAGE to compare with."""

    def words(self, stage: str, to: Path | str, *, inputs: str = "") -> list[str]:
        """The command of a stage that writes into a folder or below a URL, its inputs elsewhere if told so."""
        given, out = inputs or str(self.folder / "inputs"), str(to)
        years = ("--region.years.first", "2000", "--region.years.last", "2012")
        return {
            "ingest": [
                *("ingest", str(self.folder / "range.yaml"), "--region.name", "Small range", *years),
                *("--to", f"{out}/cube.zarr", "--options.glaciers_per_block", "1"),
                *("--options.data", str(self.folder / "raw"), "--options.climate", "era5_like"),
                *("--options.scenarios", '["model"]'),
            ],
            "featurize": ["featurize", f"{given}/cube.zarr", "--to", f"{out}/features.zarr"],
            "rasterize": [
                *("rasterize", f"{given}/cube.zarr", "--to", out, "--options.resolution_m", "200"),
                *("--options.buckets", "[16, 32]", "--options.azimuths", "4", "--options.glaciers_per_block", "1"),
            ],
            "train": [
                *("train", f"{given}/features.zarr", "--to", f"{out}/model", "--options.nets", '["mlp", "hybrid"]'),
                *("--options.hold_out", '["logo", "year_blocks"]', "--options.members", "4", "--options.hidden", "[8]"),
                *("--options.epochs", "30", "--options.raster_members", "1", "--options.kernel", "1"),
                *("--options.steps", "40", "--options.cell_years", "2000"),
            ],
            "reconstruct": [
                *("reconstruct", f"{given}/model", f"{given}/features.zarr", "--to", f"{out}/smb.zarr"),
            ],
            "evolve": [
                *("evolve", f"{given}/model", f"{given}/cube.zarr", "--to", f"{out}/ice.zarr"),
                *("--options.first", "2005", "--options.until", str(_LAST_FUTURE_YEAR), "--options.net", "mlp"),
                *("--options.glaciers_per_block", "1"),
            ],
        }[stage]

    def calm(self, stage: str) -> Path:
        """What a stage makes when nothing goes wrong."""
        place = self.folder / "calm" / stage
        if not place.exists():
            for needed in NEEDS[stage]:
                self.input(needed)
            self._work(stage, place)
        return place

    def input(self, stage: str) -> Path:
        """Folder with what a stage makes, and all that it is made of, for other stages to read."""
        inputs = self.folder / "inputs"
        inputs.mkdir(exist_ok=True)
        made = inputs / f"{stage}.made"
        if not made.exists():
            for needed in NEEDS[stage]:
                self.input(needed)
            self._work(stage, inputs)
            made.touch()
        return inputs

    @cache  # noqa: B019
    def expected(self, stage: str) -> dict[str, str]:
        """Digest of every file that a stage makes."""
        return digests(self.calm(stage))

    def _work(self, stage: str, out: Path) -> None:
        code, said = running.run(self.words(stage, out), self.folder / "said", env=self.environment(stage))
        assert code == 0, f"{stage} ended with {code}:\n{said[-3000:]}"

    def environment(self, stage: str) -> dict[str, str]:
        """Variables that a stage is run with."""
        # One core: two threads would wait for each other at every step of networks as small as these.
        quick = {"GLACIERSCALE_CHECKPOINT_SECONDS": CHECKPOINT_S, "GLACIERSCALE_CORES": "1"}
        return quick if stage == "train" else {}


def written(folder: Path, glaciers: int, observed: int) -> Range:
    """Write the raw files of a range with a future climate, and a catalogue of them."""
    import warnings
    from dataclasses import replace

    import yaml

    from glacierscale import synthetic
    from glacierscale.demonstration import write_raw

    options = synthetic.SyntheticOptions(glaciers=glaciers, observed=observed, first_year=2000, last_year=2012)
    write_raw(options, folder / "raw")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        future = synthetic.climate(replace(options, last_year=_LAST_FUTURE_YEAR))
        future.to_zarr(folder / "raw" / "future.zarr", zarr_format=3)
    catalog = yaml.safe_load((running.ROOT / "catalogs" / "demo.yaml").read_text())
    entry = yaml.safe_load(yaml.safe_dump(catalog["sources"]["climate"]).replace("climate.zarr", "future.zarr"))
    entry["metadata"] |= {"dataset": "model", "scenario": "later"}
    catalog["sources"]["future"] = entry
    (folder / "range.yaml").write_text(yaml.safe_dump(catalog, sort_keys=False))
    return Range(folder)
