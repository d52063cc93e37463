"""The site as it is built: without a warning, without a dead link, complete, and readable on a phone."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml

import glacierscale as gs
from glacierscale import cli, schema

for needed in ("sphinx", "myst_nb", "numpydoc", "pydata_sphinx_theme", "sphinx_copybutton", "sphinx_design"):
    pytest.importorskip(needed, reason="the site needs glacierscale[docs]")

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = sorted(name for name in gs.__all__ if inspect.isfunction(inspect.unwrap(getattr(gs, name))))
PHONE, DESK = {"width": 390, "height": 800}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built from a copy of what it is made of; any warning fails."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    leftovers = shutil.ignore_patterns("_build", "api", "out", "__pycache__")
    for name in ("docs", "catalogs", "deploy", "notebooks"):
        shutil.copytree(ROOT / name, source / name, ignore=leftovers)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "docs", str(built)]
    known = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False, env=known)
    assert done.returncode == 0, done.stderr
    return built


class _Read(HTMLParser):
    """Links, anchors and words of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {str(given[name]) for name in ("id", "name") if given.get(name)}
        self.links += [str(given[name]) for name in ("href", "src") if given.get(name)]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@dataclass(frozen=True)
class Page:
    links: list[str] = field(repr=False)
    anchors: set[str] = field(repr=False)
    text: str = field(repr=False)


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    read = {}
    for file in sorted(site.rglob("*.html")):
        if "_static" in file.parts:  # a template of the theme
            continue
        parser = _Read()
        parser.feed(file.read_text(encoding="utf-8"))
        read[file] = Page(parser.links, parser.anchors, " ".join(" ".join(parser.words).split()))
    return read


@pytest.mark.slow
def test_every_page_is_built_without_a_warning(site: Path) -> None:
    made = {file.relative_to(site).with_suffix("").as_posix() for file in site.rglob("*.html")}
    pages = (p for p in (ROOT / "docs").rglob("*.md") if not {"_build", "api"} & set(p.parts))
    assert {page.relative_to(ROOT / "docs").with_suffix("").as_posix() for page in pages} <= made


def test_no_link_inside_the_site_is_dead(site: Path, pages: dict[Path, Page]) -> None:
    dead = []
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or file.name in ("search.html", "genindex.html"):
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            anchors = pages[target].anchors if target in pages else set()
            if not target.exists() or (parts.fragment and target in pages and unquote(parts.fragment) not in anchors):
                dead.append(f"{file.relative_to(site)}: {link}")
    assert dead == []
    assert sum(len(page.links) for page in pages.values()) > 1000


def test_every_public_name_has_a_page_with_its_source(site: Path, pages: dict[Path, Page]) -> None:
    for name in gs.__all__:
        page = pages[site / "reference" / "api" / f"glacierscale.{name}.html"]
        assert f"glacierscale.{name}" in page.anchors
        assert any(link.startswith("../../_modules/glacierscale/") for link in page.links), name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_says_what_it_takes_returns_and_raises(name: str) -> None:
    from numpydoc.docscrape import FunctionDoc

    function = inspect.unwrap(getattr(gs, name))
    told = FunctionDoc(function)
    said = {one.strip("* ") for parameter in told["Parameters"] for one in parameter.name.split(",")}
    assert said == set(inspect.signature(function).parameters)
    assert all(parameter.type and parameter.desc for parameter in told["Parameters"] if "*" not in parameter.name)
    assert told["Returns"] or told["Yields"]
    assert told["Raises"] or name == "use"


METHODS = {
    f"{name}.{method}": getattr(getattr(gs, name), method)
    for name in gs.__all__
    if inspect.isclass(getattr(gs, name))
    for method, thing in vars(getattr(gs, name)).items()
    if not method.startswith("_") and (inspect.isfunction(thing) or isinstance(thing, classmethod | staticmethod))
}
ARRAYS = re.compile(r"Dataset|DataArray|ndarray|Floats|HeldOut|tuple|Store|SMBModel")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_a_public_class_says_what_it_takes_what_it_raises_and_what_arrays_it_returns(name: str) -> None:
    from numpydoc.docscrape import FunctionDoc

    method = inspect.unwrap(METHODS[name])
    told = FunctionDoc(method)
    said = {one.strip("* ") for parameter in told["Parameters"] for one in parameter.name.split(",")}
    assert said == set(inspect.signature(method).parameters) - {"self", "cls"}
    assert all(parameter.type and parameter.desc for parameter in told["Parameters"])
    assert told["Returns"] or not ARRAYS.search(str(inspect.signature(method).return_annotation))
    assert told["Raises"] or not re.search(r"^ +raise ", inspect.getsource(method), re.MULTILINE)


def test_every_option_is_on_the_page_of_its_class(site: Path, pages: dict[Path, Page]) -> None:
    import dataclasses

    for name in gs.__all__:
        if dataclasses.is_dataclass(getattr(gs, name)):
            page = pages[site / "reference" / "api" / f"glacierscale.{name}.html"]
            own = {f"glacierscale.{name}.{field.name}" for field in dataclasses.fields(getattr(gs, name))}
            assert own <= page.anchors


def test_every_stored_variable_is_on_the_page_of_stores(site: Path, pages: dict[Path, Page]) -> None:
    text = pages[site / "reference" / "stores.html"].text.replace("’", "'")
    for kind in schema.SCHEMAS.values():
        assert kind.title in text
        for name, variable in kind.variables.items():
            unit = f" {variable.units}" if variable.units else ""
            row = f"{', '.join(variable.dims)}{unit} {variable.dtype.split('[')[0]} "
            assert re.search(rf"{name} {re.escape(variable.long_name)}[^|]{{0,80}} {re.escape(row)}", text), name


def test_every_command_is_on_its_page_with_its_own_options(site: Path, pages: dict[Path, Page]) -> None:
    page = pages[site / "reference" / "commands.html"]
    assert {name for name in cli.COMMANDS if name != "catalog"} | {"catalog-check", "catalog-show"} <= page.anchors
    assert "--options.degree_day_sigma_k" in page.text
    assert page.text.index("Distributed, cloud-native") < page.text.index("usage: glacierscale demo")
    assert not set(page.text) & {chr(code) for code in range(32)} - set("\t\n")
    assert "Expected 'default'" not in page.text


def test_every_citation_and_licence_of_the_catalogues_is_credited(site: Path, pages: dict[Path, Page]) -> None:
    page = pages[site / "data-credits.html"]
    for file in (ROOT / "catalogs").glob("*.yaml"):
        for entry in yaml.safe_load(file.read_text())["sources"].values():
            about = entry["metadata"]
            assert about["license"] in page.text.replace(" ,", ","), file.name
            for doi in re.findall(r"doi (10\.\S+?)[,;.]?(?:\s|$)", about["citation"]):
                assert f"https://doi.org/{doi}" in page.links, doi


def test_formulas_are_drawn_by_the_browser_itself(site: Path) -> None:
    html = (site / "science.html").read_text(encoding="utf-8")
    assert html.count("<math") == 2
    assert not re.search("<script[^>]+mathjax", html, re.IGNORECASE)


# In a browser


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "dark"), (DESK, "light")], ids=["phone", "desk"])
def test_pages_ask_the_network_for_nothing_and_never_scroll_sideways(
    browser: Any, site: Path, size: dict[str, int], scheme: str
) -> None:
    tab = browser.new_page(viewport=size, color_scheme=scheme)
    asked: list[str] = []
    said: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: said.append(str(error)))
    shown = ["index", "tutorial", "science", "architecture", "reference/stores", "reference/commands", "data-credits"]
    for name in [*shown, "your-climate", "any-region", "reference/science", "reference/api/glacierscale.TrainOptions"]:
        tab.goto((site / f"{name}.html").as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"], name
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_of_the_drawing_stand_out_from_their_ground(browser: Any, site: Path, scheme: str) -> None:
    tab = browser.new_page(viewport=DESK, color_scheme=scheme)
    tab.goto((site / "architecture.html").as_uri())
    found = tab.evaluate(
        """() => {
          const light = colour => {
            const part = colour.match(/[0-9.]+/g).slice(0, 3).map(v => v / 255);
            const linear = part.map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
          };
          const of = (select, property) => light(getComputedStyle(document.querySelector(select))[property]);
          const against = (one, other) => (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
          const page = of('body', 'backgroundColor'), store = of('.arch .store', 'fill');
          return [against(of('.arch .name', 'fill'), store), against(of('.arch .small', 'fill'), store),
                  against(of('.arch .verb', 'fill'), page),
                  against(of('.arch .layertext', 'fill'), of('.arch .layer', 'fill'))];
        }"""
    )
    assert min(found) > 4.5  # WCAG AA
