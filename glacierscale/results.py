"""What a run leaves for others to read, as a catalogue."""

from __future__ import annotations

from fnmatch import fnmatchcase

from glacierscale.region import Region
from glacierscale.store import Files

_RESULTS = {
    "cube.zarr": "outlines, terrain, climate and observations",
    "features.zarr": "predictors, monthly climate and hypsometry per glacier",
    "smb.zarr": "reconstructed annual surface mass balance, kg m-2",
    "massifs.parquet": "balance of massifs or other subregions in every year, kg m-2",
    "glaciers.parquet": "outlines with mean balance, its standard deviation, area and the volume left, GeoParquet",
    "region.parquet": "balance of the region in every year, kg m-2",
    "predictions.parquet": "held-out predictions of every scheme and model, kg m-2",
    "scores.parquet": "scores with bootstrap intervals",
    "scores_by_group.parquet": "scores per fold and per glacier",
    "coefficients.parquet": "standardised effects of the Lasso in every fold",
    "effects.parquet": "effects of a standard deviation of each predictor, with intervals and stability, kg m-2",
    "partial_effects.parquet": "answer of the balance to each predictor over its range, kg m-2",
    "contributions.parquet": "what temperature, snow and topography add to each decade's anomaly, kg m-2 per year",
    "predictions_by_kind.parquet": "held-out predictions of all observations",
    "block_predictions.csv": "mean balance of the glaciers and periods that the catalogue asks for, m w.e. per year",
    "scores_by_kind.parquet": "scores per kind of observation",
    "constraints.parquet": "share of held-out cells and years that obey each physical constraint",
    "sensitivities.parquet": "answer of the balance to 1 K and to 10 % more precipitation, kg m-2",
    "importance.parquet": "growth of the held-out error when one input is shuffled, kg m-2",
    "climate_range.parquet": "climate of all glaciers and years against that trained on",
    "patches_*.zarr": "static rasters of glaciers",
    "smb_map_*.zarr": "maps of the surface mass balance, kg m-2",
    "ice.zarr": "area, volume, balance, runoff and sea-level rise of every glacier under future climates",
    "ice_map_*.zarr": "maps of ice thickness under future climates, m",
    "ice_totals.parquet": "sums over all glaciers, and those of subregions, under future climates",
}
"""What a run leaves for others to read, by name."""


def write_catalog(out: str, region: Region) -> None:
    """A catalogue of all that a run made, for plain Intake as much as for us; Intake opens no stores on Icechunk."""
    import yaml

    files, opens = Files.at(out), not out.startswith("icechunk")
    found = sorted({name.partition("/")[0] for name in files.names()})
    said = {"role": "result", "license": "of the data that went in", "citation": "of the same"}
    sources = {
        name.partition(".")[0]: {
            "driver": name.rpartition(".")[2],
            "description": text,
            "args": {"urlpath": f"{{{{ CATALOG_DIR }}}}/{name}"},
            "metadata": {"dataset": name.partition(".")[0], **said},
        }
        for pattern, text in _RESULTS.items()
        for name in found
        if fnmatchcase(name, pattern) and (opens or not name.endswith(".zarr"))
    }
    content = {"metadata": {"title": f"Results of {region.name}"}, "sources": sources}
    text = yaml.safe_dump(content, sort_keys=False).encode()
    if files.read("catalog.yaml") != text:
        files.write("catalog.yaml", text)
