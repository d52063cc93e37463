"""Execute a notebook in a copy, so that the checkout stays clean; ``make notebooks`` stores what the copies show."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat

from tests import loopback

FOLDER = loopback.ROOT / "notebooks"
NAMES = sorted(path.name for path in FOLDER.glob("*.ipynb"))
CELL_S, WHOLE_S = 900, 1100
_PLAIN = {"JUPYTER_NO_CONFIG": "1", "GLACIERSCALE_QUIET": "1"}  # slow machines show what fast ones do


def execute(name: str, folder: Path) -> nbformat.NotebookNode:
    """Restart and run all, where only loopback is reachable; the executed notebook.

    Parameters
    ----------
    name : str
        File name below ``notebooks``.
    folder : Path
        Where the copy lies, beside copies of what notebooks name: ``../catalogs`` and ``../deploy/runs``.
    """
    for needed in ("catalogs", "deploy/runs"):
        shutil.copytree(loopback.ROOT / needed, folder / needed)
    (folder / "notebooks").mkdir()
    copy = Path(shutil.copy(FOLDER / name, folder / "notebooks"))
    quiet = ["-q", "--color=no", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(copy.parent)]
    command = [sys.executable, "-m", "pytest", "--nbmake", "--overwrite", f"--nbmake-timeout={CELL_S}", *quiet]
    shared = {"GLACIERSCALE_SHARED": os.environ.get("GLACIERSCALE_SHARED", str(loopback.ROOT.parent / "shared"))}
    done = subprocess.run(
        [*loopback.prefix(), *command, copy.name],
        capture_output=True,
        text=True,
        check=False,
        timeout=WHOLE_S,
        cwd=copy.parent,
        env=loopback.environment() | shared | {"IPYTHONDIR": str(folder / "ipython")} | _PLAIN,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    notebook = nbformat.read(copy, as_version=4)
    for cell in notebook.cells:
        if "remove-output" in cell.metadata.get("tags", ()):  # a dashboard's scripts
            cell.outputs = []
    return notebook


def outputs(notebook: nbformat.NotebookNode) -> Iterator[tuple[int, nbformat.NotebookNode]]:
    """Each output, with the number of its cell among all cells."""
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            yield number, output


def shown(notebook: nbformat.NotebookNode) -> list[tuple[int, str]]:
    """What kind of output each cell has: a stream, or the richest kind of its data."""
    ranks = ("image/png", "text/html", "text/plain")
    return [
        (cell, output.get("name") or next((kind for kind in ranks if kind in output.get("data", {})), "error"))
        for cell, output in outputs(notebook)
    ]


def noise(notebook: nbformat.NotebookNode) -> list[str]:
    """What a cell said on standard error: warnings, bars, logs."""
    return [f"cell {cell}: {output.text}" for cell, output in outputs(notebook) if output.get("name") == "stderr"]


def printed(notebook: nbformat.NotebookNode) -> str:
    """Everything that cells printed."""
    return "".join(output.text for _, output in outputs(notebook) if output.get("name") == "stdout")


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Drop what differs from one execution to the next without saying anything."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.metadata.pop("execution", None)
        cell.id = f"cell-{number:02d}"


def rerun(name: str, folder: Path) -> nbformat.NotebookNode:
    """Execute a notebook, and check that it shows what the committed one shows, without noise."""
    notebook = execute(name, folder)
    assert noise(notebook) == []
    assert shown(notebook) == shown(nbformat.read(FOLDER / name, as_version=4))
    return notebook


def main(names: list[str]) -> None:
    """Execute the named notebooks, or all, and store their outputs in the checkout."""
    for name in names or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            notebook = execute(Path(name).name, Path(folder))
        tidy(notebook)
        nbformat.write(notebook, FOLDER / Path(name).name)
        print(f"{name}: {(FOLDER / Path(name).name).stat().st_size / 1000:.0f} kB", *noise(notebook), sep="\n  ")


if __name__ == "__main__":
    main(sys.argv[1:])
