"""Values for the charts of a hub: options that Dask Gateway and the spawner know."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from dask_gateway_server.backends.kubernetes.backend import KubeClusterConfig
from traitlets.config import Config

from tests.deploy.manifests import DEPLOY

FOLDER = DEPLOY / "jupyterhub"
GATEWAY = yaml.safe_load((FOLDER / "dask-gateway.yaml").read_text())["gateway"]
WHOLE = yaml.safe_load((FOLDER / "hub.yaml").read_text())
HUB = WHOLE["singleuser"]
RUNBOOK = (DEPLOY / "RUNBOOK.md").read_text()


@pytest.fixture
def config() -> Any:
    """What the gateway's server reads."""
    made = Config()
    exec(GATEWAY["extraConfig"]["glacierscale"], {"c": made})  # as the chart does
    return made


def test_options_of_a_user_become_workers_of_that_size(config: Any) -> None:
    options = config.Backend.cluster_options
    asked = options.parse_options({"worker_cores": 4, "worker_memory": 16, "image": "ice/glacierscale:2"})
    given = options.get_configuration(asked, SimpleNamespace(name="ada", groups=[], admin=False))
    made = KubeClusterConfig(config=config, **given)
    assert (made.worker_cores, made.worker_threads, made.worker_memory) == (4, 4, 16 << 30)
    assert made.image == "ice/glacierscale:2"
    assert made.idle_timeout == 1800
    assert made.cluster_max_memory == 800 << 30


@pytest.mark.parametrize("asked", [{"worker_cores": 17}, {"worker_memory": 1000}, {"worker_core": 1}])
def test_what_is_too_large_or_unknown_is_refused(config: Any, asked: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match="worker_"):
        config.Backend.cluster_options.parse_options(asked)


def test_an_image_without_a_tag_is_refused(config: Any) -> None:
    options = config.Backend.cluster_options
    with pytest.raises(ValueError, match="expected name:tag"):
        options.get_configuration(options.parse_options({"image": "glacierscale"}), SimpleNamespace(name="ada"))


def test_profiles_name_one_default_and_limits_above_what_they_guarantee() -> None:
    profiles = HUB["profileList"]
    assert [profile["slug"] for profile in profiles if profile.get("default")] == ["small"]
    for profile in profiles:
        own = profile["kubespawner_override"]
        assert own["cpu_guarantee"] <= own["cpu_limit"]
        low, high = (int(re.fullmatch(r"(\d+)G", own[name])[1]) for name in ("mem_guarantee", "mem_limit"))  # type: ignore[index]
        assert low <= high


def test_notebooks_find_the_gateway_that_the_runbook_installs_and_may_reach_it() -> None:
    [(release, version, namespace)] = re.findall(
        r"--install (\S+) dask/dask-gateway --version (\S+) --namespace (\S+)", RUNBOOK
    )
    assert re.search(rf"--install hub jupyterhub/jupyterhub --namespace {namespace} ", RUNBOOK), (
        "its Secret is read there"
    )
    server = f"traefik-{release}-dask-gateway.{namespace}"  # as the chart calls it
    told = {name.removeprefix("DASK_GATEWAY__"): value for name, value in HUB["extraEnv"].items()}
    service, prefix = WHOLE["hub"]["services"]["dask-gateway"], GATEWAY["prefix"]
    assert prefix == "/services/dask-gateway", "the hub gives a service the path of its name"
    assert service["url"] == f"http://{server}"
    assert told["ADDRESS"] == f"http://{server}{prefix}"
    assert told["PROXY_ADDRESS"] == f"gateway://{server}:80"
    assert told["PUBLIC_ADDRESS"] == f"{prefix}/"
    assert told["AUTH__TYPE"] == GATEWAY["auth"]["type"] == "jupyterhub"
    [rule] = HUB["networkPolicy"]["egress"]
    assert rule["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "traefik"
    pinned = re.findall(r"^dask-gateway==(\S+)$", (DEPLOY / "image" / "requirements.txt").read_text(), re.MULTILINE)
    assert pinned == [version], "client and server of one version"


def test_notebooks_and_workers_have_the_same_image() -> None:
    assert HUB["extraEnv"]["DASK_GATEWAY__CLUSTER__OPTIONS__IMAGE"] == "{JUPYTER_IMAGE_SPEC}"
    assert f'default="{HUB["image"]["name"]}:{HUB["image"]["tag"]}"' in GATEWAY["extraConfig"]["glacierscale"]
