"""Copies the committed notebooks to where Sphinx reads them, each with its largest picture for the page of cards."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

if TYPE_CHECKING:
    from sphinx.application import Sphinx

LINKS = {"../docs/": "../", "../deploy/": "https://github.com/glacierscale/glacierscale/blob/main/deploy/"}
"""Links of a notebook as it lies in the repository, and what they are in the site"""


def _picture(notebook: Path) -> bytes:
    cells = nbformat.read(notebook, as_version=4).cells
    drawn = (output.get("data", {}).get("image/png", "") for cell in cells for output in cell.get("outputs", []))
    return base64.b64decode(max(drawn, key=len, default=""))


def _bring(app: Sphinx) -> None:
    folder = Path(app.srcdir) / "notebooks"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for picture in Path(app.srcdir).parent.glob("notebooks/*.png"):
        shutil.copy2(picture, folder)
    for notebook in sorted(Path(app.srcdir).parent.glob("notebooks/*.ipynb")):
        text = notebook.read_text(encoding="utf-8")
        for there, here in LINKS.items():
            text = text.replace(f"]({there}", f"]({here}")
        (folder / notebook.name).write_text(text, encoding="utf-8")
        shutil.copystat(notebook, folder / notebook.name)  # only what changed is read again
        (folder / f"{notebook.stem}.png").write_bytes(_picture(notebook))


def setup(app: Sphinx) -> dict[str, Any]:
    """Run before the pages are looked for."""
    app.connect("builder-inited", _bring)
    return {"parallel_read_safe": True}
