"""What users hold on to: public names, options, documents that run, run files, catalogues, and the wheel."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

import glacierscale
from glacierscale import pipeline, repair
from glacierscale.cli import main
from glacierscale.region import HydroYears, Region
from glacierscale.synthetic.options import TrueProcess

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
OPTIONS = sorted(name for name in glacierscale.__all__ if name.endswith("Options"))
RUN_FILES = sorted((ROOT / "deploy" / "runs").glob("*.yaml"))
IN_DOCSTRING = (
    "import glacierscale as gs" + str(glacierscale.__doc__).split("import glacierscale as gs")[1].split("\nImp")[0]
)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(
    r"^\s*(?:\$ )?glacierscale ([a-z].*)$", "\n".join(re.findall(r"```.*?```", README, re.DOTALL)), re.M
)


@pytest.mark.parametrize("name", glacierscale.__all__)
def test_every_public_name_exists_and_explains_itself(name: str) -> None:
    thing = getattr(glacierscale, name)
    text = inspect.getdoc(thing)
    assert text
    assert len(text.split("\n")[0]) > 15
    assert not text.startswith(f"{name}("), "the docstring is the one that dataclasses makes"
    assert name in dir(glacierscale)


def test_what_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'glacierscale' has no attribute 'melt'"):
        glacierscale.melt  # noqa: B018
    assert re.match(r"\d+\.\d+", glacierscale.__version__)


@pytest.mark.parametrize(
    "kind", [*(getattr(glacierscale, name) for name in OPTIONS), pipeline.RunPlan, TrueProcess, HydroYears, Region]
)
def test_every_option_has_a_sentence_below_it_and_cannot_be_changed(kind: type) -> None:
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(tree, ast.ClassDef)
    said = {}
    for line, below in zip(tree.body, [*tree.body[1:], ast.Pass()], strict=True):
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            assert isinstance(below, ast.Expr), line.target.id
            assert isinstance(below.value, ast.Constant), line.target.id
            said[line.target.id] = str(below.value.value)
    assert set(said) == {field.name for field in dataclasses.fields(kind)}
    for name, text in said.items():
        assert re.search(r"^[A-Z].{10,}\.$", text, re.DOTALL), name
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", OPTIONS)
def test_every_verbs_options_stand_where_its_verb_looks_for_them(name: str) -> None:
    verb = {"SyntheticOptions": "demo"}.get(name, name.removesuffix("Options").lower())
    home = importlib.import_module(f"glacierscale.{glacierscale._HOME[verb]}")
    parameter = inspect.signature(getattr(home, verb)).parameters["options"]
    assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
    assert parameter.default == getattr(glacierscale, name)()


# Documents


def test_the_program_in_the_docstring_uses_public_names_only() -> None:
    tree = ast.parse(
        "import glacierscale as gs" + textwrap.dedent(IN_DOCSTRING.removeprefix("import glacierscale as gs"))
    )
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_gs(node.value)}
    assert used >= {"ingest", "featurize", "train", "evaluate", "reconstruct", "report"}
    assert used <= set(glacierscale.__all__)


def _is_gs(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "gs"


def test_the_readme_has_a_program() -> None:
    assert PYTHON


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_python_in_the_readme_runs(code: str, small_raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "import glacierscale as gs" in code
    monkeypatch.chdir(tmp_path)
    for asked in set(re.findall(r'"([^"]+\.yaml)"', code)):
        shutil.copytree(small_raw, Path(asked).parent, dirs_exist_ok=True)
        shutil.copy(ROOT / "catalogs" / "demo.yaml", asked)
    # The same program on the small range: its years, its climate, few members.
    code = re.sub(r"HydroYears\(\d+, \d+", "HydroYears(2000, 2012", code)
    code = re.sub(r'climate="\w+"', 'climate="era5_like"', code)
    code = re.sub(r'data="[^"]+"', f'data="{small_raw}"', code)
    code = re.sub(r'"s3://[\w-]+/', '"out/', code)
    quick = 'options=gs.TrainOptions(nets=("lasso",), members=2, hold_out=("loyo",))'
    code, trained = re.subn(r'gs\.train\((\w+), to=("[^"]+")[^\n]*\)', rf"gs.train(\1, to=\2, {quick})", code)
    assert trained == 1
    # In a process of its own: as a reader would, with nothing imported before.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = tmp_path.rglob("smb.zarr")
    assert repair.verify(made) == []
    pages = list(tmp_path.rglob("*.html"))
    assert [len(page.read_text()) > 10_000 for page in pages] == [True]


def test_commands_in_the_readme_exist_with_the_options_they_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shlex

    monkeypatch.chdir(tmp_path)
    for line in COMMANDS:
        words = shlex.split(line, comments=True)
        verb = words[:2] if words[0] == "catalog" else words[:1]
        with pytest.raises(SystemExit) as left:
            main([*verb, "--help"])
        assert left.value.code == 0, line
        told = capsys.readouterr().out
        assert all(word.split("=")[0] in told for word in words if word.startswith("--")), line
        named = [ROOT / word for word in words if re.fullmatch(r"(catalogs|deploy|docs)/\S+", word)]
        assert all(path.exists() for path in named), line
    linked = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", README)
    assert [path for path in linked if not (ROOT / path).exists()] == []
    assert "glacierscale" in README


# Files that come along


def test_there_are_run_files_and_each_one_is_shipped() -> None:
    assert {file.stem for file in RUN_FILES} >= {"demo", "oetztal", "oetztal_hybrid", "south_glacier", "iceland"}
    assert all(pipeline.shipped(f"deploy/runs/{file.name}").read_bytes() == file.read_bytes() for file in RUN_FILES)
    with pytest.raises(FileNotFoundError, match="does not come with this installation"):
        pipeline.shipped("deploy/runs/melt.yaml")


@pytest.mark.parametrize("file", RUN_FILES, ids=lambda file: file.stem)
def test_every_run_file_parses_and_asks_for_what_its_catalogue_holds(file: Path) -> None:
    from glacierscale.catalog import check_catalog, open_catalog
    from glacierscale.cube import reading

    plan = pipeline.read_plan(file)
    catalog = file.parent / plan.catalog
    assert check_catalog(catalog) == []
    chosen = reading.choose(open_catalog(catalog), plan.ingest)
    assert chosen["climate"]
    assert chosen["observations"]
    assert len(plan.region.years) >= 10


@pytest.mark.parametrize("file", sorted((ROOT / "catalogs").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_catalogue_passes_the_check(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "check", str(file)]) == 0
    assert "accepted" in capsys.readouterr().out


def test_the_wheel_holds_the_package_its_template_and_what_is_shipped(tmp_path: Path) -> None:
    source = tmp_path / "source"
    kept = ("glacierscale", "catalogs", "deploy")
    for name in kept:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "constraints.txt"):
        shutil.copy(ROOT / name, source / name)
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(words, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "glacierscale").rglob("*.py")}
    assert modules <= names
    assert {
        "glacierscale/reporting/template.html.j2",
        "glacierscale/_shipped/catalogs/demo.yaml",
        "glacierscale/_shipped/deploy/runs/demo.yaml",
    } <= names
    assert not [name for name in names if name.startswith("tests/")]
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(wheel).extractall(unpacked)
    plan = pipeline.read_plan(unpacked / "glacierscale" / "_shipped" / "deploy" / "runs" / "demo.yaml")
    catalog = unpacked / "glacierscale" / "_shipped" / "deploy" / "runs" / plan.catalog
    assert catalog.resolve() == unpacked.resolve() / "glacierscale" / "_shipped" / "catalogs" / "demo.yaml"
    assert catalog.exists()
