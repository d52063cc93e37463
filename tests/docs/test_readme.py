"""The README: short, its map complete, its comparison that of the page, its picture small; and what a run writes."""

from __future__ import annotations

import re
import runpy
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()
COMPARISON = (DOCS / "comparison.md").read_text()
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
NOT_MAPPED = {".git", ".ci", "binder", "demo", "dist", "build"}
"""Folders that are no part of what a reader looks for, or are made by the Makefile"""


def section(text: str, title: str) -> str:
    """A section of a page, without its heading."""
    found = re.search(rf"^(#+) {re.escape(title)}\n", text, re.MULTILINE)
    assert found, title
    return re.split(rf"^#{{1,{len(found[1])}}} ", text[found.end() :], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """Cells of the rows of all tables of a text, without heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    ruled = [number for number, line in enumerate(lines) if set(line) <= set("|-")]
    heads = {number - 1 for number in ruled} | set(ruled)
    return [[cell.strip() for cell in line.strip("|").split("|")] for n, line in enumerate(lines) if n not in heads]


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len(README.splitlines()) <= 150


def test_the_map_names_every_folder_and_nothing_that_is_not_there() -> None:
    mapped = section(README, "Map of the repository")
    named = {path.strip("/") for _, path in LINK.findall(mapped) if not path.startswith("https:")}
    there = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert [path for path in named if not (ROOT / path).exists()] == []
    assert {path for path in there - NOT_MAPPED if any((ROOT / path).iterdir())} <= named
    stages = {path.parent.name for path in (ROOT / "glacierscale").glob("*/__init__.py")}
    assert {path.split("/")[1] for path in named if path.startswith("glacierscale/")} <= stages


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))], ids=str)
def test_links_to_files_of_the_repository_resolve(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    inside = [path.split("#")[0] for _, path in LINK.findall(text) if not re.match(r"https?:|mailto:|#", path)]
    assert [path for path in inside if not (page.parent / path).exists()] == []


# Beside other tools


def test_both_tables_of_tools_name_the_same_tools_by_the_same_links() -> None:
    short, full = (
        [LINK.match(cells[0]) for cells in rows(text)]
        for text in (section(README, "Beside other tools"), section(COMPARISON, "In one table"))
    )
    tools = [link.groups() for link in short if link]
    assert len(tools) >= 8
    assert tools == [link.groups() for link in full if link]


def test_every_tool_has_its_say_and_what_is_said_has_a_source() -> None:
    better = section(COMPARISON, "Where each is better")
    said = dict(re.findall(r"^\* \*\*(.+?)\*\*(.*?)(?=^\* |\Z)", better, re.MULTILINE | re.DOTALL))
    table = {match[1]: cells for cells in rows(section(COMPARISON, "In one table")) if (match := LINK.match(cells[0]))}
    assert set(said) == set(table)
    for tool, words in said.items():
        assert len(words) > 100
        assert any(url.startswith("https://") for _, url in LINK.findall(words + " ".join(table[tool]))), tool


def test_skill_in_the_readme_is_that_of_the_full_comparison() -> None:
    full = section(COMPARISON, "Skill")
    told = re.findall(r"\d\.\d{3}", section(README, "Does learning pay?"))
    assert len(told) > 10
    assert set(told) <= set(re.findall(r"\d\.\d{3}", full))
    assert all(
        re.search(rf"^glacierscale run deploy/runs/{name}", full, re.MULTILINE)
        for name in ("oetztal", "french", "scan")
    )


def test_scores_that_a_learned_model_loses_are_not_in_bold() -> None:
    for _, learned, *references in rows(section(COMPARISON, "Skill")):
        beaten = min(float(value) for value in references if value)
        bold = [float(value) for value in re.findall(r"\*\*(\d\.\d{3})\*\*", learned)]
        assert all(value < beaten for value in bold)


# What a run writes


def test_the_page_of_outputs_names_every_file_that_a_run_leaves(small_run: Path) -> None:
    told = [row[0] for row in rows((DOCS / "outputs.md").read_text())]
    named = {name.strip("/") for cell in told for name in re.findall(r"`([^`]+)`", cell)} - {".parquet"}
    tables = {f"{name}.parquet" for cell in told if "` `.parquet`" in cell for name in re.findall(r"`(\w+)`", cell)}
    left = [path.name for path in small_run.iterdir() if path.name != "raw" and not path.name.startswith(".")]
    assert len(left) > 8
    assert [name for name in left if not any(fnmatch(name, pattern) for pattern in named | tables)] == []


# The picture


def test_the_picture_is_sharp_and_small_and_its_program_fits_the_package() -> None:
    image = pytest.importorskip("PIL.Image")
    with image.open(DOCS / "picture.png") as picture:
        assert picture.width >= 1400
    assert (DOCS / "picture.png").stat().st_size < 300_000
    made = runpy.run_path(str(DOCS / "make_picture.py"))
    wanted = re.search(r"glacierscale run (\S+) ", made["__doc__"])
    assert wanted
    assert (ROOT / wanted[1]).exists()
    assert f"`{wanted[1]}`" in README
