"""What the pages say is true: commands parse, programs run, tables name what the code has."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import glacierscale as gs
from glacierscale import cli, schema
from glacierscale.cli import main, parsing

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
FENCED = re.compile(r"^```([^\n`]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ON_THE_RUN = (
    "tutorial.md",
    "outputs.md",
    "explore.md",
    "resume-and-repair.md",
    "store-rules.md",
    "reference/stores.md",
)
"""Pages whose programs read a finished run in the folder demo"""


def blocks(page: Path, language: str) -> list[str]:
    return [code for kind, code in FENCED.findall(page.read_text()) if kind.strip() == language]


def commands(page: Path) -> Iterator[list[str]]:
    """Words of every glacierscale command in the code of a page."""
    for kind, code in FENCED.findall(page.read_text()):
        if kind.strip() in ("", "bash", "text"):
            for line in code.replace("\\\n", " ").splitlines():
                if line.strip().startswith("glacierscale "):
                    yield shlex.split(line, comments=True)[1:]


COMMANDS = [(page, words) for page in [ROOT / "README.md", *PAGES] for words in commands(page)]


def run_blocks(page: Path, **given: Any) -> tuple[dict[str, Any], str]:
    """Run the programs of a page one after the other; what they defined and printed."""
    defined, said = dict(given), io.StringIO()
    with redirect_stdout(said):
        for code in blocks(page, "python"):
            exec(compile(code, str(page), "exec"), defined)
    return defined, said.getvalue()


# Commands


def test_the_pages_hold_commands() -> None:
    assert len(COMMANDS) > 30
    assert {page.name for page, _ in COMMANDS} >= {"README.md", "tutorial.md", "gpus.md", "resume-and-repair.md"}


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=lambda value: getattr(value, "stem", "-"))
def test_every_command_of_the_pages_is_one_that_ours_understands(page: Path, words: list[str]) -> None:
    words = [word.replace("ridge]", "kriging]") for word in words]  # the one net that a page adds
    placing = parsing.placing(words)
    rest = words[len(placing) :]
    table, rest = (cli._CATALOG, rest[1:]) if rest[0] == "catalog" else (cli.COMMANDS, rest)
    assert rest[0] in table, words
    given, _ = parsing.parse(cli._load(table[rest[0]][0]), [*rest[1:], *placing], "glacierscale")
    assert given
    named = [ROOT / word for word in words if re.fullmatch(r"(catalogs|deploy)/\S+\.yaml", word)]
    assert [path for path in named if not path.exists()] == []


# Programs


@pytest.fixture
def demo(small_run: Path, small_raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a finished run called demo, which is also the working directory."""
    shutil.copytree(small_run, tmp_path / "demo")
    shutil.copytree(small_raw, tmp_path / "demo" / "raw")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", ON_THE_RUN)
def test_programs_on_a_finished_run_run(page: str, demo: Path) -> None:
    assert blocks(DOCS / page, "python")
    _, said = run_blocks(DOCS / page)
    assert said.strip()


def test_the_tutorial_measures_the_error_and_its_command_finds_its_work_done(
    demo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    defined, said = run_blocks(DOCS / "tutorial.md")
    assert np.sqrt((defined["error"] ** 2).mean()) < 0.6 * defined["true"].to_numpy().std()
    assert {"logo", "loyo", "lsygo"} <= set(defined["rmse"].columns)
    assert {"temperature_index", "ols", "same_year_mean", "training_mean"} <= set(defined["rmse"].index)
    assert "m w.e. since the start" in said
    records = {path: path.stat().st_mtime_ns for path in (demo / "demo" / "smb_mlp.zarr" / ".blocks").iterdir()}
    done = [words for words in commands(DOCS / "tutorial.md") if words[0] in ("reconstruct", "verify")]
    assert len(done) == 2
    for words in done:
        assert main(words) == 0
    assert "no fault" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in records} == records


def test_what_the_repair_page_does_mends_a_store(demo: Path) -> None:
    chunk = next(path for path in sorted((demo / "demo" / "smb.zarr" / "smb").rglob("*")) if path.parent.name != "smb")
    chunk = chunk if chunk.is_file() else next(path for path in chunk.rglob("*") if path.is_file())
    good = chunk.read_bytes()
    chunk.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert main(["verify", "demo/smb.zarr"]) == 4
    assert main(["verify", "demo/smb.zarr", "--repair"]) == 0
    assert chunk.read_bytes() == good


@pytest.mark.parametrize("page", ["your-climate.md", "your-observations.md", "credentials.md", "gpus.md"])
def test_programs_of_the_how_to_pages_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert blocks(DOCS / page, "python")
    _, said = run_blocks(DOCS / page)
    assert said.strip()
    assert "key:secret" not in said


def test_a_net_added_as_the_page_says_is_trained_scored_stored_and_predicts(
    features: Any, train_options: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys
    import types
    from dataclasses import replace

    from glacierscale.models import packing
    from glacierscale.reporting import style
    from glacierscale.training import nets, options

    page = DOCS / "your-network.md"
    own, training, storing = blocks(page, "python")
    module = types.ModuleType("glacierscale.models.ridge")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(own, "ridge.py", "exec"), module.__dict__)
    monkeypatch.setattr("glacierscale.models.ridge", module, raising=False)
    for code, home in ((training, nets), (storing, packing)):
        before = set(vars(home))
        added = dict(vars(home))
        exec(compile("from __future__ import annotations\n" + code, str(page), "exec"), added)
        for name in set(added) - before - {"annotations"}:
            monkeypatch.setattr(home, name, added[name], raising=False)
    rows = re.findall(r"^\| `(glacierscale/\S+\.py)` \| (.+?) \| `", page.read_text(), re.MULTILINE)
    tables = [(file, table) for file, named in rows for table in re.findall(r"`(\w+)`", named)]
    assert [table for _, table in tables] == ["_FIT", "PACK", "UNPACK", "TABULAR", "MODELS"]
    assert all(re.search(rf"^{table}\b.* = ", (ROOT / file).read_text(), re.MULTILINE) for file, table in tables)
    monkeypatch.setitem(nets._FIT, "ridge", nets.fit_ridge)
    monkeypatch.setitem(packing.PACK, "ridge", packing._pack_ridge)
    monkeypatch.setitem(packing.UNPACK, "ridge", packing._unpack_ridge)
    monkeypatch.setattr(options, "NETS", (*options.NETS, "ridge"))
    monkeypatch.setitem(style.MODELS, "ridge", ("Ridge", "#7a5195"))

    chosen = replace(train_options, nets=("lasso", "ridge"))
    gs.train(features, to=tmp_path / "model", options=chosen)
    scores = gs.evaluate(tmp_path / "model", features, to=tmp_path, options=gs.EvaluateOptions(draws=100))
    assert set(scores.model) >= {"lasso", "ridge", "temperature_index"}
    rmse = scores[scores.metric == "rmse"].set_index(["scheme", "model"]).value
    assert np.isfinite(rmse.xs("ridge", level="model")).all()
    only = gs.ReconstructOptions(net="ridge")
    smb = gs.reconstruct(tmp_path / "model", features, to=tmp_path / "smb.zarr", options=only).open()
    assert np.isfinite(smb.smb).all()
    assert float(smb.smb_std.min()) > 0


# Tables


def test_the_climate_page_names_every_convention_and_every_name_that_is_found() -> None:
    from glacierscale.sources import climate

    text = (DOCS / "your-climate.md").read_text()
    for name, rules in climate._CONVENTIONS.items():
        assert all(f"`{word}`" in text for word in (name, *rules.temp, *rules.precip, *rules.height)), name


def test_the_observation_page_names_every_kind_column_default_and_convention() -> None:
    from glacierscale.sources.observations import DEFAULT_SIGMA_KG_M2

    text = (DOCS / "your-observations.md").read_text()
    assert all(f"`{column}`" in text for column in schema.OBSERVATIONS)
    stated = dict(re.findall(r"^\| `(\w+)` \|.*\| (\d+) \|$", text, re.MULTILINE))
    assert {kind: float(sigma) for kind, sigma in stated.items()} == DEFAULT_SIGMA_KG_M2
    read = re.search(r"readers: dict.*?\n    \}", (ROOT / "glacierscale/cube/reading.py").read_text(), re.DOTALL)
    assert read
    known = re.findall(r'^ +"(\w+)": lambda', read[0], re.MULTILINE)
    assert len(known) >= 10
    assert all(f"`{name}`" in text or f"convention: {name}" in text for name in known)


@pytest.mark.parametrize("page", ["your-climate.md", "your-observations.md"])
def test_entries_on_the_pages_fit_into_the_template_and_pass_the_check(
    page: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (text,) = blocks(DOCS / page, "yaml")
    catalog = yaml.safe_load((ROOT / "catalogs" / "template.yaml").read_text())
    catalog["sources"] |= yaml.safe_load(text)
    (tmp_path / "catalog.yaml").write_text(yaml.safe_dump(catalog))
    assert main(["catalog", "check", str(tmp_path / "catalog.yaml")]) == 0
    assert "accepted" in capsys.readouterr().out


def test_options_in_run_files_on_the_pages_exist() -> None:
    (text,) = blocks(DOCS / "gpus.md", "yaml")
    given = yaml.safe_load(text)["train"]
    chosen = gs.TrainOptions(**given | {"nets": tuple(given["nets"])})
    assert chosen.cell_years != gs.TrainOptions().cell_years


def test_variables_of_the_environment_on_the_pages_are_read_by_the_package_or_its_libraries() -> None:
    code = " ".join(path.read_text() for path in (ROOT / "glacierscale").rglob("*.py"))
    of_libraries = {"AWS_SECRET_ACCESS_KEY", "CUDA_VISIBLE_DEVICES"}
    for page in ("credentials.md", "gpus.md", "resume-and-repair.md"):
        named = set(re.findall(r"\b(?:AWS|AZURE|GOOGLE|GLACIERSCALE|CUDA)_[A-Z0-9_]+", (DOCS / page).read_text()))
        prefixed = {name for name in named if f"{name.split('_', 1)[1]}" in code}
        assert named - of_libraries <= {name for name in named if name in code} | prefixed, page


def test_exit_codes_on_the_page_are_those_of_the_command_line() -> None:
    text = (DOCS / "reference" / "commands.md").read_text()
    codes = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", text, re.MULTILINE) for code in row.split(",")}
    assert codes == {0, 1, 2, 3, 4, 5, 130, 143}
    assert all(re.search(rf"\b{code}\b", str(cli.__doc__)) for code in codes)


# The drawing, and the citation


def test_the_drawing_names_every_verb_and_store_and_is_well_formed() -> None:
    from xml.etree import ElementTree

    drawn = ElementTree.parse(DOCS / "architecture.svg").getroot()
    words = {str(element.text) for element in drawn.iter("{http://www.w3.org/2000/svg}text")}
    verbs = {"ingest", "featurize", "rasterize", "train", "evaluate", "reconstruct", "evolve", "report"}
    assert verbs <= words & set(gs.__all__)
    assert {"cube.zarr", "features.zarr", "patches_*.zarr", "smb.zarr", "ice.zarr"} <= words


CITATION_FORM = {
    "type": "object",
    "required": ["cff-version", "message", "title", "authors"],
    "additionalProperties": False,
    "properties": {
        "cff-version": {"const": "1.2.0"},
        "message": {"type": "string", "minLength": 1},
        "title": {"type": "string", "minLength": 1},
        "type": {"enum": ["software", "dataset"]},
        "abstract": {"type": "string"},
        "authors": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/author"}},
        "version": {"type": "string"},
        "license": {"type": "string"},
        "repository-code": {"type": "string", "pattern": "^https://"},
        "keywords": {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"type": "string"}},
        "references": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["authors", "title", "type"],
                "properties": {
                    "authors": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/author"}},
                    "type": {"enum": ["article", "book", "software", "data"]},
                    "doi": {"type": "string", "pattern": r"^10\.\d{4,9}(\.\d+)?/[A-Za-z0-9:/_;\-\.\(\)\[\]\\]+$"},
                    "year": {"type": "integer"},
                },
            },
        },
    },
    "$defs": {
        "author": {
            "anyOf": [
                {"required": ["name"], "properties": {"name": {"type": "string"}}},
                {
                    "required": ["family-names", "given-names"],
                    "properties": {"family-names": {"type": "string"}, "given-names": {"type": "string"}},
                },
            ]
        }
    },
}
"""What the Citation File Format 1.2.0 asks of the keys that ours uses"""


def test_the_citation_file_has_the_form_that_readers_expect_and_agrees_with_the_package() -> None:
    jsonschema = pytest.importorskip("jsonschema")

    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    jsonschema.validate(cited, CITATION_FORM)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert project["urls"]["Documentation"].startswith(cited["repository-code"])
    dois = re.findall(r"10\.\d{4,}/[\w.-]+\w", (ROOT / "README.md").read_text())
    assert {reference["doi"] for reference in cited["references"]} <= set(dois)
