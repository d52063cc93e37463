"""Notebooks as they are committed: executed in order, tidy, small, with public names only, no trace of the machine."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

import glacierscale as gs
from tests.notebooks.executing import FOLDER, NAMES, noise, outputs, tidy

MOST_BYTES, MOST_LINES, MOST_COLUMNS = 400_000, 15, 104
MACHINE = re.compile(r"(?:/tmp/|/root/|/home/|/work/|/Users/|site-packages|0x[0-9a-f]{8,})[\w./-]*")


@pytest.fixture(params=NAMES)
def path(request: pytest.FixtureRequest) -> Path:
    return FOLDER / str(request.param)


@pytest.fixture
def notebook(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text(notebook: nbformat.NotebookNode) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_there_are_notebooks_numbered_from_one() -> None:
    assert [int(name[:2]) for name in NAMES] == list(range(1, len(NAMES) + 1))


def test_it_is_valid_and_as_the_one_that_executes_it_writes_it(path: Path, notebook: nbformat.NotebookNode) -> None:
    nbformat.validate(notebook)
    tidy(notebook)
    assert nbformat.writes(notebook) + "\n" == path.read_text(encoding="utf-8"), f"run `make notebooks` on {path.name}"


def test_outputs_are_of_one_run_from_top_to_bottom_without_an_error_or_a_warning(
    notebook: nbformat.NotebookNode,
) -> None:
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    assert {output.output_type for _, output in outputs(notebook)} <= {"stream", "execute_result", "display_data"}
    assert any("image/png" in output.get("data", {}) for _, output in outputs(notebook))
    assert noise(notebook) == []


def test_cells_are_short_and_the_whole_is_small(path: Path, notebook: nbformat.NotebookNode) -> None:
    assert path.stat().st_size < MOST_BYTES
    for cell in code(notebook):
        lines = cell.source.splitlines()
        assert 1 <= len(lines) <= MOST_LINES, cell.source
        assert max(map(len, lines)) <= MOST_COLUMNS, cell.source


def test_every_cell_is_announced_by_a_sentence(notebook: nbformat.NotebookNode) -> None:
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds[0] == kinds[-1] == "markdown"
    assert ("code", "code") not in set(itertools.pairwise(kinds))


def test_it_says_what_it_needs_how_long_it_takes_and_where_to_go_on(notebook: nbformat.NotebookNode) -> None:
    first, last = notebook.cells[0].source, notebook.cells[-1].source
    assert re.match(r"# \d · \S", first)
    assert "**You will learn**" in first
    assert "**You need**" in first
    assert re.search(r"\*\*Time:\*\* about (\d+ s|a minute|\d+ minutes)\b", first)
    assert "## Where to go on" in last


def test_nothing_tells_of_the_machine_that_ran_it(path: Path) -> None:
    assert MACHINE.findall(path.read_text(encoding="utf-8")) == []


def test_links_between_notebooks_and_into_the_repository_lead_somewhere(notebook: nbformat.NotebookNode) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text(notebook))
    near = [FOLDER / link for link in links if "://" not in link]
    assert near
    assert not [link for link in links if link.startswith("https://github.com/glacierscale/")], "link to ../docs/..."
    assert [str(place) for place in near if not place.exists()] == []


def names_used(notebook: nbformat.NotebookNode) -> Iterator[tuple[ast.Attribute, ast.Call | None]]:
    """Every ``gs.name`` of the code, and the call of it where it is called."""
    tree = ast.parse("\n".join(cell.source for cell in code(notebook)))
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "gs":
            yield node, calls.get(id(node))


def test_only_public_names_are_used_with_arguments_that_they_have(notebook: nbformat.NotebookNode) -> None:
    used = list(names_used(notebook))
    assert used
    for node, call in used:
        assert node.attr in [*gs.__all__, "__version__"], node.attr
        if call is not None:
            named = {word.arg for word in call.keywords if word.arg}
            assert named <= arguments(getattr(gs, node.attr)), (node.attr, named)


def arguments(taken: Any) -> set[str]:
    """Names that a function or an options class takes; whatever is asked for where it takes any."""
    if dataclasses.is_dataclass(taken):
        return {field.name for field in dataclasses.fields(taken)}
    parameters = inspect.signature(taken).parameters.values()
    free = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return {parameter.name for parameter in parameters} | ({"data"} if free else set())


def test_nothing_else_of_the_package_is_imported(notebook: nbformat.NotebookNode) -> None:
    tree = ast.parse("\n".join(cell.source for cell in code(notebook)))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name for name in imported if name.startswith("glacierscale")} == {"glacierscale"}
