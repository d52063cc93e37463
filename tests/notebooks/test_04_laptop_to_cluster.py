"""The notebook on clusters: the same bytes everywhere, after a kill and in a bucket."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

import glacierscale as gs
from tests.notebooks.executing import outputs, printed, rerun

NAME = "04-laptop-to-cluster.ipynb"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_runs_from_nothing_and_all_places_write_the_same_bytes(tmp_path: Path) -> None:
    notebook = rerun(NAME, tmp_path)
    out = tmp_path / "notebooks" / "out" / "04-laptop-to-cluster"
    for name in ("first", "features", "patches_032"):
        found = {gs.Store.at(out / place / f"{name}.zarr").fingerprint() for place in ("threads", "dask", "ray")}
        assert len(found) == 1
    told = "\n".join(output.get("data", {}).get("text/plain", "") for _, output in outputs(notebook))
    assert "exit code -9" in told
    assert "False" not in told
    assert "Run `glacierscale rasterize` as before, it continues" in printed(notebook)
    assert "same bytes: True" in printed(notebook)
    weed = shutil.which("weed") or shutil.which("weed", path=str(Path(sys.executable).parent))
    assert (out / "instead-of-a-bucket").exists() == (weed is None)
    assert not (out / "server").exists()
