"""What the manifests say once kustomize has built them, and schemas to hold them against."""

from __future__ import annotations

import functools
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import jsonschema
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
OVERLAYS = ("laptop", "cpu", "gpu")
CUSTOM = ("kubernetes.dask.org", "ray.io", "kueue.x-k8s.io")


def load(text: str) -> list[dict[str, Any]]:
    """Objects of a file of several documents."""
    return [found for found in yaml.load_all(text, Loader=yaml.CSafeLoader) if found]


def build(kubectl: str, folder: Path) -> list[dict[str, Any]]:
    """Objects of a kustomization, as `kubectl apply -k` would send them."""
    made = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return load(made.stdout)


def is_custom(found: dict[str, Any]) -> bool:
    """Whether an operator has to be there to know this kind."""
    return found["apiVersion"].split("/")[0] in CUSTOM


def named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The one object of a kind and name."""
    [found] = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def pods(found: Any) -> Iterator[dict[str, Any]]:
    """Every pod specification at any depth."""
    if isinstance(found, dict):
        if "containers" in found:
            yield found
        for below in found.values():
            yield from pods(below)
    elif isinstance(found, list):
        for below in found:
            yield from pods(below)


def table(text: str, **environment: str) -> list[list[str]]:
    """Words of each command of a table, read apart from the program that runs it."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [shlex.split(Template(line).substitute(environment)) for line in lines]


@functools.cache
def schema(folder: Path, group: str, version: str, kind: str) -> dict[str, Any]:
    """The schema of a custom resource, with fields that it does not name refused."""
    for file in sorted(folder.glob(f"{group}_*.yaml")):
        for definition in load(file.read_text()):
            if definition["spec"]["names"]["kind"] == kind:
                [found] = [one for one in definition["spec"]["versions"] if one["name"] == version and one["served"]]
                whole: dict[str, Any] = strict(found["schema"]["openAPIV3Schema"])
                whole["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
                return whole
    raise LookupError(f"no definition of {kind} in {folder}")


def strict(part: Any) -> Any:
    """A structural schema as JSON schema that refuses what a server would drop."""
    if not isinstance(part, dict):
        return part
    made = {key: value for key, value in part.items() if not key.startswith("x-") and key not in ("format", "default")}
    for key in ("items", "additionalProperties", "not"):
        if key in made:
            made[key] = strict(made[key])
    for key in ("anyOf", "allOf", "oneOf"):
        if key in made:
            made[key] = [dict(one) for one in made[key]]
    if part.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    if "properties" in made:
        made["properties"] = {name: strict(below) for name, below in made["properties"].items()}
        if not part.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    return made


def check(found: dict[str, Any], definition: dict[str, Any]) -> None:
    """Raise with the place of the first fault."""
    jsonschema.Draft202012Validator(definition).validate(found)
