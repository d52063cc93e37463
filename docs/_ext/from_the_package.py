"""Pages from the package itself: store schemas, commands, and who made the data; and formulas as MathML."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from pygments.lexers.special import TextLexer
from sphinx.util.docutils import SphinxDirective

from glacierscale import cli, schema
from glacierscale.catalog import open_catalog
from glacierscale.schema import Schema, Variable

CATALOGS = Path(__file__).resolve().parents[2] / "catalogs"
COLUMNS = "86"
"""Width of the help texts"""


def store_tables() -> Iterator[str]:
    """One section a kind of store: its title, how it is cut into blocks, and a row for each variable."""
    verbs = {kind.name: verb for verb, kind in schema.WRITTEN_BY.items()}
    for kind in schema.SCHEMAS.values():
        yield f"## {kind.name}\n\n{_of_store(kind, verbs[kind.name])}\n\n{_table(kind)}\n"


def _of_store(kind: Schema, verb: str) -> str:
    verb = {"map": "reconstruct", "map_ice": "evolve"}.get(verb, verb)
    cut = ", ".join(f"{number} of `{name}`" for name, number in kind.blocks.items())
    return f"{kind.title}. Written by {{py:func}}`glacierscale.{verb}`, in blocks of at most {cut}."


def _table(kind: Schema) -> str:
    head = "| variable | what it is | dimensions | unit | type |\n|---|---|---|---|---|\n"
    return head + "\n".join(_row(name, variable) for name, variable in kind.variables.items())


def _row(name: str, variable: Variable) -> str:
    words = variable.long_name.replace("|", "\\|") + (" *(optional)*" if variable.optional else "")
    words += f"; `{variable.cell_methods}`" if variable.cell_methods else ""
    unit = f"`{variable.units}`" if variable.units else ""
    return f"| `{name}` | {words} | {', '.join(variable.dims)} | {unit} | {variable.dtype.split('[')[0]} |"


def commands() -> Iterator[str]:
    """One section for all, one a command, with its help as the command line prints it."""
    yield f"## glacierscale\n\n```text\n{_said()}\n```\n"
    for name in cli.COMMANDS:
        subcommands = [(name, verb) for verb in ("check", "show")] if name == "catalog" else [(name,)]
        for words in subcommands:
            yield f"## {' '.join(words)}\n\n```text\n{_said(*words)}\n```\n"


@cache
def _said(*words: str) -> str:
    """What the command line says to ``--help``."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = COLUMNS
    heard = io.StringIO()
    try:
        with contextlib.redirect_stdout(heard), contextlib.suppress(SystemExit):
            cli.main([*words, "--help"])
    finally:
        os.environ.pop("COLUMNS")
        os.environ.update({} if before is None else {"COLUMNS": before})
    return re.sub(r"\x1b\[[0-9;]*m| \x08", "", heard.getvalue()).strip()


def credits() -> Iterator[str]:
    """One section a catalogue: what its data are, whom to cite, and on which terms they are given."""
    for file in sorted(CATALOGS.glob("*.yaml")):
        about = yaml.safe_load(file.read_text())
        head = f"## {about['metadata']['title']}\n\n`catalogs/{file.name}`: {about['description']}."
        yield f"{head}\n\n{_credited(open_catalog(file).describe())}\n"


def _credited(rows: list[dict[str, Any]]) -> str:
    """A row for each source that is cited in the same words under the same terms."""
    used: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        used.setdefault((row["citation"], row["license"]), {})[str(row["role"]).replace("_", " ")] = None
    lines = [f"| {', '.join(roles)} | {linked(cited)} | {terms} |" for (cited, terms), roles in used.items()]
    return "| used as | please cite | terms |\n|---|---|---|\n" + "\n".join(lines)


def linked(citation: str) -> str:
    """A citation whose DOIs are links."""
    return re.sub(r"\b(10\.\d{4,}/[^\s,;]*[^\s,;.])", r"[\1](https://doi.org/\1)", citation)


def directive(write: Callable[[], Iterator[str]]) -> type[SphinxDirective]:
    """A directive that stands for the MyST text that a function writes."""

    class Written(SphinxDirective):
        def run(self) -> list[nodes.Node]:
            return self.parse_text_to_nodes("\n".join(write()), allow_section_headings=True)

    return Written


def write_math(self: Any, node: nodes.math | nodes.math_block) -> None:
    """Formulas as MathML, which browsers draw themselves."""
    block = isinstance(node, nodes.math_block)
    formula = tex2mathml(node.astext(), as_block=block)
    self.body.append(f'<div class="formula">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
    app.add_lexer("csv", TextLexer)
    # Before autodoc replaces the defaults in signatures, which the command line reads, by their source.
    app.connect("builder-inited", lambda _: deque(commands(), maxlen=0))
    for name, write in {"store-tables": store_tables, "commands": commands, "data-credits": credits}.items():
        app.add_directive(name, directive(write))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
