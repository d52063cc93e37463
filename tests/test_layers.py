"""The map of the package: who may import whom, who owns which library, what stays light, and how long things are."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "glacierscale"
LIGHT = ("torch", "pytorch_lightning", "ray", "xarray", "zarr", "pandas", "geopandas")

GROUPS = {
    "vocabulary": ("units", "region", "schema", "provenance", "options"),
    "options": (
        "cube.options",
        "features.options",
        "training.options",
        "reporting.options",
        "synthetic.options",
        "evaluation.options",
        "reconstruction.options",
        "evolution.options",
    ),
    "edges": ("catalog", "store", "compute"),
    "science": (
        "sources",
        "synthetic",
        "features.climate",
        "features.terrain",
        "features.coverage",
        "features.dated",
        "features.windows",
        "features.zonal",
        "features.sampling",
        "features.ice",
        "features.patches",
        "features.radiation",
        "folds",
        "metrics",
        "models",
        "evolution.curves",
        "evolution.delta_h",
        "evolution.sia",
        "evolution.flow",
        "evolution.scenario",
        "evolution.thickness",
        "evolution.geometry",
        "evolution.coupling",
        "evolution.site",
    ),
    "stages": ("cube", "features", "training", "reconstruction", "evolution", "evaluation", "reporting", "exploration"),
    "cli": ("cli", "pipeline", "repair", "results", "headlines", "stac", "demonstration", "doctor", "__main__", ""),
}
"""Modules and packages of each group; the longest match counts, and a package holds all below it."""

MAY_IMPORT = {
    "vocabulary": {"vocabulary"},
    "options": {"vocabulary"},
    "edges": {"vocabulary"},
    "science": {"vocabulary"},
    "stages": {"vocabulary", "options", "edges", "science"},
    "cli": {"vocabulary", "options", "edges", "science", "stages", "cli"},
}
"""Beside modules of the own folder, which all may import."""

BESIDES = {
    # degree days; metres of patches; the plan kept, and distances between glaciers
    "models": {"features.climate", "features.sampling", "folds", "folds.places"},
    "training.options": {"folds"},  # names of the schemes
    # climate at the surface of the day; the rows that a model predicts
    "evolution": {
        "features.climate",
        "features.terrain",
        "models.rows",
        "models.physics",
        "models.bundle",
        "models.mlp",
    },
}
"""What some modules may import that their group may not."""

OWNERS = {
    "intake": ("catalog",),
    "intake_xarray": ("catalog",),
    "zarr": ("store",),
    "obstore": ("store",),
    "icechunk": ("store",),
    "tensorstore": ("store",),
    "numcodecs": ("store",),
    "torch": ("models", "training", "evolution"),
    "pytorch_lightning": ("training",),
    "pint": ("units",),
    "matplotlib": ("reporting",),
    "jinja2": ("reporting",),
    "panel": ("exploration",),
    "holoviews": ("exploration",),
    "hvplot": ("exploration",),
    "bokeh": ("exploration",),
    "datashader": ("exploration",),
    "ray": ("compute", "training.workers"),
    "dask": ("compute",),
    "distributed": ("compute",),
    "safetensors": ("models.storing", "training.checkpoints"),
    "jsonargparse": ("cli", "pipeline"),
}


def modules() -> dict[str, Path]:
    """Every module by its name below the package; a package is its ``__init__``."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def below(name: str, place: str) -> bool:
    return name == place or (place != "" and name.startswith(f"{place}."))


def group_of(name: str) -> str:
    places = [(len(place), group) for group, members in GROUPS.items() for place in members if below(name, place)]
    assert places, f"glacierscale.{name} belongs to no group; add it to GROUPS"
    return max(places)[1]


def imports(path: Path, name: str) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a file imports, inside functions and for type checking too."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = ["glacierscale", *filter(None, package.split("."))]
                base = ".".join([*above[: len(above) - node.level + 1], *filter(None, [base])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def own_module(imported: str) -> str | None:
    """Module of this package that an import names, or None for another library."""
    if imported.split(".")[0] != "glacierscale":
        return None
    name = imported.removeprefix("glacierscale").lstrip(".")
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def direction_faults(name: str, found: Iterator[tuple[int, str]]) -> list[str]:
    group, faults = group_of(name), []
    besides = set().union(*(allowed for place, allowed in BESIDES.items() if below(name, place)))
    for line, imported in found:
        other = own_module(imported)
        if other is None:
            continue
        # Stages and science of one folder belong together; single modules stand for themselves.
        folder = name.split(".")[0] if (ROOT / name.split(".")[0]).is_dir() else ""
        if (folder and below(other, folder)) or other in besides or group_of(other) in MAY_IMPORT[group]:
            continue
        if other == "" and imported.rpartition(".")[2] == "annotations":
            continue
        faults.append(
            f"glacierscale.{name}:{line} ({group}) imports glacierscale.{other} ({group_of(other)}); "
            f"{group} may import {', '.join(sorted(MAY_IMPORT[group] | besides))} and its own folder"
        )
    return faults


def owner_faults(name: str, found: Iterator[tuple[int, str]]) -> list[str]:
    return [
        f"glacierscale.{name}:{line} imports {imported}; {library} belongs to {', '.join(OWNERS[library])}"
        for line, imported in found
        if (library := imported.split(".")[0]) in OWNERS and not any(below(name, place) for place in OWNERS[library])
    ]


def test_imports_point_down() -> None:
    faults = [fault for name, path in MODULES.items() for fault in direction_faults(name, imports(path, name))]
    assert not faults, "\n" + "\n".join(faults)


def test_every_heavy_library_has_one_owner() -> None:
    faults = [fault for name, path in MODULES.items() for fault in owner_faults(name, imports(path, name))]
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize(
    ("name", "imported"),
    [
        ("units", "glacierscale.store.Store"),
        ("features.climate", "glacierscale.store.Store"),
        ("features.terrain", "glacierscale.folds"),
        ("models.rows", "glacierscale.features.zonal"),
        ("cube.reading", "glacierscale.features.tensors.featurize"),
        ("store", "glacierscale.compute"),
        ("catalog.gate", "glacierscale.sources.climate"),
        ("reconstruction", "glacierscale.training.loop.train"),
        ("evaluation", "glacierscale.pipeline"),
        ("training.options", "glacierscale.models.mlp"),
    ],
)
def test_a_planted_import_that_points_up_or_aside_is_found(name: str, imported: str) -> None:
    faults = direction_faults(name, iter([(7, imported)]))
    assert len(faults) == 1
    assert f"glacierscale.{name}:7" in faults[0]


def test_a_planted_use_of_another_owner_s_library_is_found() -> None:
    for name, library in (
        ("evaluation", "torch"),
        ("cube", "zarr.codecs"),
        ("store", "intake"),
        ("reporting", "ray.train"),
    ):
        assert len(owner_faults(name, iter([(1, library)]))) == 1


def test_imports_inside_functions_and_for_type_checking_are_seen(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\ndef f():\n    from . import store\n"
    )
    assert [name for _, name in imports(file, "evaluation")] == ["typing.TYPE_CHECKING", "torch", "glacierscale.store"]


@pytest.mark.parametrize("command", ["import glacierscale", "help", "import glacierscale; glacierscale.TrainOptions()"])
def test_importing_the_package_and_asking_for_help_load_nothing_heavy(command: str) -> None:
    if command == "help":
        command = "from glacierscale.cli import main; main(['--help'])"
    code = f"import sys; {command}; print('LOADED', *sorted(set({LIGHT!r}) & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "LOADED"


def test_the_installed_command_answers_help() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "glacierscale.cli", "--help"], capture_output=True, text=True, check=True
    )
    assert "usage: glacierscale COMMAND" in done.stdout


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    first = node.body[0]
    documented = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    text = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (node.end_lineno or 0) - node.lineno + 1 - text


def test_modules_stay_below_three_hundred_lines() -> None:
    long = {name: count for name, path in MODULES.items() if (count := len(path.read_text().splitlines())) > 300}
    assert not long, f"split these modules: {long}"


def test_functions_stay_below_sixty_lines() -> None:
    long = {
        f"{name}.{node.name}": count
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (count := lines_of(node)) > 60
    }
    assert not long, f"split these functions: {long}"
