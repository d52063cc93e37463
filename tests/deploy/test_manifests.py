"""Manifests: what kustomize builds from them, held against schemas and against each other."""

from __future__ import annotations

import copy
import ipaddress
import re
import shutil
from pathlib import Path
from typing import Any

import dask.config
import distributed  # noqa: F401  # brings its defaults
import jsonschema
import kubernetes_validate
import pytest
import yaml

from glacierscale import cli
from tests.deploy import manifests
from tests.deploy.manifests import DEPLOY, OVERLAYS, ROOT, named, pods

Objects = list[dict[str, Any]]
RUNBOOK = (DEPLOY / "RUNBOOK.md").read_text()
RAY = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)


def test_kinds_of_kubernetes_itself_fit_their_schemas_with_unknown_fields_refused(objects: Objects) -> None:
    own = [one for one in objects if not manifests.is_custom(one)]
    assert len(own) > 10
    for one in own:
        kubernetes_validate.validate(one, "1.34", strict=True)


def test_custom_resources_fit_their_definitions_with_unknown_fields_refused(objects: Objects, crds: Path) -> None:
    for one in filter(manifests.is_custom, objects):
        group, version = one["apiVersion"].split("/")
        manifests.check(one, manifests.schema(crds, group, version, one["kind"]))


@pytest.mark.parametrize(
    ("kind", "name", "place"),
    [
        ("RayJob", "train", ("spec", "rayClusterSpec", "workerGroupSpecs", 0)),
        ("RayJob", "train", ("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "containers", 0)),
        ("DaskJob", "features", ("spec", "cluster", "spec", "worker", "spec", "containers", 0, "resources")),
        ("ClusterQueue", "glacierscale", ("spec", "resourceGroups", 0, "flavors", 0)),
    ],
)
def test_a_misspelt_field_of_a_custom_resource_is_refused(
    built: dict[str, Objects], crds: Path, kind: str, name: str, place: tuple[Any, ...]
) -> None:
    one = copy.deepcopy(named(built["gpu"], kind, name))
    part = one
    for key in place:
        part = part[key]
    part["replica"] = 1
    group, version = one["apiVersion"].split("/")
    with pytest.raises(jsonschema.ValidationError, match="'replica' was unexpected"):
        manifests.check(one, manifests.schema(crds, group, version, kind))


def test_the_laptop_needs_no_operator_and_the_clouds_have_all_steps(built: dict[str, Objects]) -> None:
    assert not [one["kind"] for one in built["laptop"] if manifests.is_custom(one)]
    kinds = {overlay: {one["kind"] for one in built[overlay] if manifests.is_custom(one)} for overlay in ("cpu", "gpu")}
    assert kinds["cpu"] == {"DaskJob", "DaskCluster", "RayJob", "RayCluster"}
    assert kinds["gpu"] > kinds["cpu"] | {"ClusterQueue", "LocalQueue"}


def test_every_object_belongs_to_a_step_that_the_runbook_starts(objects: Objects) -> None:
    told = set(re.findall(r"component=([a-z]+)", RUNBOOK))
    for one in objects:
        assert one["metadata"]["labels"]["app.kubernetes.io/component"] in told, one["metadata"]["name"]


def test_no_label_of_a_step_with_pods_selects_a_claim(objects: Objects) -> None:
    component = "app.kubernetes.io/component"
    claims = {one["metadata"]["labels"][component] for one in objects if one["kind"] == "PersistentVolumeClaim"}
    running = {one["metadata"]["labels"][component] for one in objects if any(pods(one))}
    assert claims == {"volume"}
    assert running >= {"data", "smoke", "reconstruct"}
    assert not claims & running, "deleting a step to run it again would delete the data"


def test_pods_are_confined_and_say_what_they_need(objects: Objects) -> None:
    found = list(pods(objects))
    assert len(found) >= 4
    for pod in found:
        security = pod["securityContext"]
        assert security["runAsNonRoot"]
        assert security["runAsUser"] == 1000
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            own = container["securityContext"]
            assert own == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            wanted = container["resources"]
            assert set(wanted["requests"]) == {"cpu", "memory"}
            assert "memory" in wanted["limits"]
            assert "cpu" not in wanted["limits"], "a limit of CPU slows threads down without need"
            assert re.fullmatch(r"[\w./-]+:(?!latest)[\w.-]+(@sha256:[0-9a-f]{64})?", container["image"])


def test_only_heads_of_ray_get_a_token_of_the_cluster(objects: Objects) -> None:
    accounts = {one["metadata"]["name"]: one for one in objects if one["kind"] == "ServiceAccount"}
    assert not any(one["automountServiceAccountToken"] for one in accounts.values())
    for pod in pods(objects):
        head = pod["containers"][0]["name"] == "ray-head"
        assert pod["automountServiceAccountToken"] is head
        assert pod["serviceAccountName"] == ("glacierscale-ray-head" if head else "glacierscale")
        assert pod["serviceAccountName"] in accounts


def test_rights_are_to_look_only_and_not_at_secrets(objects: Objects) -> None:
    rules = [rule for one in objects if one["kind"] == "Role" for rule in one["rules"]]
    assert rules
    for rule in rules:
        assert set(rule["verbs"]) <= {"get", "list", "watch"}
        assert not {"*", "secrets"} & {*rule["resources"], *rule["apiGroups"]}
    assert not [one for one in objects if one["kind"].startswith("ClusterRole")]


def test_a_client_of_a_dask_cluster_may_look_at_what_dask_kubernetes_asks_for(objects: Objects) -> None:
    asked = {  # by KubeCluster.from_name, once for what it shows while it connects
        *(
            ("kubernetes.dask.org", kind, verb)
            for kind in ("daskclusters", "daskworkergroups")
            for verb in ("get", "list")
        ),
        *(("", kind, verb) for kind in ("pods", "services") for verb in ("get", "list")),
    }
    [role] = [one for one in objects if one["kind"] == "Role"]
    given = {
        (g, r, v) for rule in role["rules"] for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]
    }
    assert asked <= given


def test_pods_with_which_a_run_ends_are_left_alone_by_autoscalers_of_nodes(built: dict[str, Objects]) -> None:
    dask = named(built["cpu"], "DaskJob", "features")["spec"]
    ray = named(built["cpu"], "RayJob", "train")["spec"]["rayClusterSpec"]
    alone = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}
    for one in (dask["job"], dask["cluster"]["spec"]["scheduler"], ray["headGroupSpec"]["template"]):
        assert one["metadata"]["annotations"] == alone
    for one in (dask["cluster"]["spec"]["worker"], ray["workerGroupSpecs"][0]["template"]):
        assert "annotations" not in one["metadata"], "another worker takes over, so nodes may be tidied up"


def test_what_pods_mount_and_read_exists_and_what_they_write_to_is_a_volume(objects: Objects) -> None:
    configs = {one["metadata"]["name"]: one["data"] for one in objects if one["kind"] == "ConfigMap"}
    claims = {one["metadata"]["name"] for one in objects if one["kind"] == "PersistentVolumeClaim"}
    for pod in pods(objects):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            assert set(mounts.values()) <= set(volumes)
            assert "emptyDir" in volumes[mounts["/tmp"]]
            for source in container["envFrom"]:
                assert source.get("secretRef", {"optional": True})["optional"]
                assert source.get("configMapRef", {"name": "glacierscale-env"})["name"] in configs
            for file in re.findall(r"/etc/glacierscale/(\S+)", " ".join(container.get("command", []))):
                assert volumes[mounts["/etc/glacierscale"]]["configMap"]["name"] == "glacierscale-commands"
                assert file in configs["glacierscale-commands"]
        for volume in volumes.values():
            assert volume.get("persistentVolumeClaim", {"claimName": "glacierscale-data"})["claimName"] in claims


def policy(job: dict[str, Any], code: int) -> str:
    """What becomes of a pod that ends with an exit code: the first rule that fits, as Kubernetes has it."""
    for rule in job["spec"]["podFailurePolicy"]["rules"]:
        codes = rule.get("onExitCodes")
        if codes and (code in codes["values"]) is (codes["operator"] == "In"):
            return str(rule["action"])
    return "Count"


def test_every_exit_code_of_ours_has_its_consequence(objects: Objects) -> None:
    told = " ".join(str(cli.__doc__).split("Exit codes:")[1].split())
    documented = {int(code) for code in re.findall(r"(?:^|; | )(\d+) [a-z]", told)}
    assert documented == {0, 1, 2, 3, 4, 5, 130, 143}
    jobs = [one for one in objects if one["kind"] == "Job"]
    assert {job["metadata"]["name"] for job in jobs} == {"smoke", "ingest", "reconstruct"}
    for job in jobs:
        stop = "FailIndex" if job["metadata"]["name"] == "reconstruct" else "FailJob"
        wanted = {1: stop, 2: stop, 4: "Count", 5: "Count", 130: "Ignore", 143: "Ignore", 137: "Count"}
        assert {code: policy(job, code) for code in wanted} == wanted
        disrupted = job["spec"]["podFailurePolicy"]["rules"][0]
        assert disrupted["onPodConditions"][0]["type"] == "DisruptionTarget"
        assert disrupted["action"] == "Ignore"
        assert job["spec"]["podReplacementPolicy"] == "Failed"
        assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
        names = {rule["onExitCodes"]["containerName"] for rule in job["spec"]["podFailurePolicy"]["rules"][1:]}
        assert names == {job["spec"]["template"]["spec"]["containers"][0]["name"]}


def test_an_indexed_job_has_one_index_for_each_line_and_each_line_its_own_output(objects: Objects) -> None:
    job = named(objects, "Job", "reconstruct")["spec"]
    config = named(objects, "ConfigMap", "glacierscale-commands")["data"]
    lines = manifests.table(config["reconstruct.txt"], OUT="s3://ice", DATA="/data")
    assert job["completionMode"] == "Indexed"
    assert job["completions"] == len(lines)
    assert job["parallelism"] <= job["completions"]
    assert len({line[line.index("--to") + 1] for line in lines}) == len(lines)


@pytest.mark.parametrize(("overlay", "name"), [("cpu", "train"), ("gpu", "train"), ("gpu", "train-gpu")])
def test_ray_has_the_version_of_the_image_and_as_many_workers_as_training_asks_for(
    built: dict[str, Objects], overlay: str, name: str
) -> None:
    assert RAY is not None
    job = named(built[overlay], "RayJob", name)["spec"]
    text = named(built[overlay], "ConfigMap", "glacierscale-commands")["data"][f"{name}.txt"]
    words = manifests.table(text, OUT="s3://ice", DATA="/data")[0]
    [group] = job["rayClusterSpec"]["workerGroupSpecs"]
    wanted = group["template"]["spec"]["containers"][0]["resources"]
    gpus = wanted["limits"].get("nvidia.com/gpu", 0)
    assert job["entrypoint"] == f"glacierscale-job /etc/glacierscale/{name}.txt"
    each = gpus or int(wanted["requests"]["cpu"])  # Ray puts a process on each core, as near to each other as it can
    assert int(words[words.index("--workers") + 1]) == group["replicas"] * each == group["maxReplicas"] * each
    assert bool(gpus) is ("--gpus-per-worker" in words) is (name == "train-gpu")
    for one in (job["rayClusterSpec"], named(built[overlay], "RayCluster", "glacierscale")["spec"]):
        assert one["rayVersion"] == RAY[1]
        assert one["authOptions"] == {"mode": "token"}
        assert one["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0", "no work beside the driver"


def test_pods_count_the_cores_that_they_ask_for_and_jobs_of_a_laptop_all(objects: Objects, overlay: str) -> None:
    asked = {"resourceFieldRef": {"resource": "requests.cpu"}}
    found = [one for pod in pods(objects) for one in pod["containers"] if one["name"] != "submitter"]
    ours = [one for one in found if one.get("command", [""])[0] != "dask"]  # workers of Dask are told their threads
    assert len(ours) >= 4
    for container in ours:
        told = {one["name"]: one["valueFrom"] for one in container.get("env", [])}
        alone = overlay == "laptop" and container["name"] != "data"
        assert told.get("GLACIERSCALE_CORES") == (None if alone else asked)
        assert told.get("OMP_NUM_THREADS") in (None, asked)


def test_training_sizes_itself_where_no_queue_counts_it(built: dict[str, Objects]) -> None:
    cpu, gpu = (named(built[overlay], "RayJob", "train") for overlay in ("cpu", "gpu"))
    assert cpu["spec"]["rayClusterSpec"]["enableInTreeAutoscaling"]
    assert "kueue.x-k8s.io/queue-name" not in cpu["metadata"]["labels"]
    for one in (gpu, named(built["gpu"], "RayJob", "train-gpu")):
        assert one["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "glacierscale"
        assert not one["spec"]["rayClusterSpec"]["enableInTreeAutoscaling"], "Kueue refuses it"


def tolerates(pod: dict[str, Any], taint: dict[str, str]) -> bool:
    """Whether a pod may run on nodes with a taint."""
    return any(
        one["key"] == taint["key"]
        and one.get("effect", taint["effect"]) == taint["effect"]
        and (one["operator"] == "Exists" or one.get("value") == taint["value"])
        for one in pod.get("tolerations", [])
    )


def test_only_pods_that_ask_for_gpus_get_nodes_with_gpus(built: dict[str, Objects]) -> None:
    flavors = {one["metadata"]["name"]: one["spec"] for one in built["gpu"] if one["kind"] == "ResourceFlavor"}
    [queue] = [one["spec"] for one in built["gpu"] if one["kind"] == "ClusterQueue"]
    [group] = queue["resourceGroups"]
    assert {flavor["name"] for flavor in group["flavors"]} == set(flavors)
    for flavor in group["flavors"]:
        quota = {one["name"]: one["nominalQuota"] for one in flavor["resources"]}
        assert set(quota) == set(group["coveredResources"])
        assert "tolerations" not in flavors[flavor["name"]], "Kueue adds them to any pod that it sends there"
        assert bool(quota["nvidia.com/gpu"]) is bool(flavors[flavor["name"]].get("nodeTaints"))
    [taint] = flavors["glacierscale-gpu"]["nodeTaints"]
    for pod in pods(built["gpu"]):
        gpus = any("nvidia.com/gpu" in one["resources"]["limits"] for one in pod["containers"])
        assert tolerates(pod, taint) is gpus


def test_variables_of_the_environment_are_known_to_who_reads_them(objects: Objects) -> None:
    given = named(objects, "ConfigMap", "glacierscale-env")["data"]
    ours = "".join(file.read_text() for file in (ROOT / "glacierscale").rglob("*.py"))
    for name in given:
        if name.startswith("DASK_"):
            key = name.removeprefix("DASK_").lower().replace("__", ".")
            assert dask.config.get(key, default="unknown") != "unknown", name
        elif name.startswith(("GLACIERSCALE_", "RAY_")):
            assert f'"{name}"' in ours, name
    assert set(re.findall(r"[$][({](\w+)[)}]", str(objects))) <= {*given, "DASK_WORKER_NAME"}


def test_other_namespaces_reach_nothing_but_what_operators_ask(objects: Objects) -> None:
    [network] = [one["spec"] for one in objects if one["kind"] == "NetworkPolicy"]
    assert network["podSelector"] == {}
    assert set(network["policyTypes"]) == {"Ingress", "Egress"}
    within, operators = network["ingress"]
    assert within == {"from": [{"podSelector": {}}]}
    assert [port["port"] for port in operators["ports"]] == [8265, 8786, 8787]
    assert all("namespaceSelector" in source for source in operators["from"])


def test_pods_reach_each_other_name_servers_and_https_but_not_the_identity_of_the_node(objects: Objects) -> None:
    [network] = [one["spec"] for one in objects if one["kind"] == "NetworkPolicy"]
    within, names, outside = network["egress"]
    assert within == {"to": [{"podSelector": {}}]}
    assert {(port["port"], port["protocol"]) for port in names["ports"]} == {(53, "UDP"), (53, "TCP")}
    assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in names["to"], "where names are cached on each node"
    blocks = [ipaddress.ip_network(one["ipBlock"]["cidr"]) for one in outside["to"]]
    closed = [ipaddress.ip_network(cidr) for one in outside["to"] for cidr in one["ipBlock"]["except"]]
    assert {block.version for block in blocks} == {4, 6}
    assert not any(port["port"] == 80 for port in outside["ports"])
    for identity in ("169.254.169.254", "169.254.170.23", "fd00:ec2::254", "fd00:ec2::23"):
        assert any(ipaddress.ip_address(identity) in block for block in closed), identity


def test_without_the_volume_nothing_asks_for_it(kubectl: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DEPLOY / "k8s", tmp_path / "k8s")) / "overlays" / "cpu"
    file = folder / "kustomization.yaml"
    file.write_text(f"components: [../../no-volume]\n{file.read_text()}")
    objects = manifests.build(kubectl, folder)
    assert {one["kind"] for one in objects} >= {"Job", "Pod", "RayJob"}
    assert not [one for one in objects if one["kind"] == "PersistentVolumeClaim"]
    for pod in pods(objects):
        assert not [volume for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            assert {mount["name"] for mount in container["volumeMounts"]} <= {one["name"] for one in pod["volumes"]}


def test_labels_select_the_scheduler_that_the_operator_makes(built: dict[str, Objects]) -> None:
    for name, place in (("features", "cluster"), ("glacierscale", "")):
        kind = "DaskJob" if place else "DaskCluster"
        spec = named(built["cpu"], kind, name)["spec"]
        scheduler = (spec["cluster"]["spec"] if place else spec)["scheduler"]
        assert scheduler["service"]["selector"] == {
            "dask.org/cluster-name": name,
            "dask.org/component": "scheduler",
        }
        assert scheduler["spec"]["containers"][0]["args"], "dask-kubernetes reads them when it connects by name"


def cost(objects: Objects, step: str) -> tuple[float, float, int]:
    """Cores, GiB and GPUs that the pods of a step ask for together."""
    cores, memory, gpus = 0.0, 0.0, 0
    for one in (one for one in objects if one["metadata"]["labels"]["app.kubernetes.io/component"] == step):
        for part, count in groups(one):
            for pod in pods(part):
                wanted = pod["containers"][0]["resources"]
                cores += count * float(wanted["requests"]["cpu"])
                memory += count * float(wanted["requests"]["memory"].removesuffix("Gi"))
                gpus += count * int(wanted["limits"].get("nvidia.com/gpu", 0))
    return cores, memory, gpus


def groups(found: Any) -> list[tuple[Any, int]]:
    """Parts of an object that have pods, with how many of them run at once."""
    if isinstance(found, list):
        return [one for below in found for one in groups(below)]
    if not isinstance(found, dict):
        return []
    if "containers" in found or "containers" in found.get("spec", {}) or "template" in found:
        return [(found.get("spec", found.get("template")), found.get("replicas", found.get("parallelism", 1)))]
    return [one for below in found.values() for one in groups(below)]


def test_the_runbook_tells_what_each_step_takes(built: dict[str, Objects]) -> None:
    rows = re.findall(r"^\| ([a-z]+) \| ([\d.]+) \| ([\d.]+) \| (\d+) \|", RUNBOOK, re.MULTILINE)
    assert {row[0] for row in rows} == {"data", "smoke", "ingest", "features", "train", "reconstruct", "development"}
    for step, *told in rows:
        assert cost(built["gpu"], step) == (float(told[0]), float(told[1]), int(told[2])), step


def test_every_file_of_the_manifests_is_used() -> None:
    folder = DEPLOY / "k8s"
    used = set(folder.rglob("kustomization.yaml"))
    for file in list(used):
        found = yaml.safe_load(file.read_text())
        names = [*found.get("resources", []), *found.get("components", [])]
        for generator in found.get("configMapGenerator", []):
            names += generator.get("files", []) + generator.get("envs", [])
        used |= {(file.parent / name).resolve() for name in names}
    assert {file for file in folder.rglob("*") if file.is_file()} <= used
    assert {file.parent.name for file in folder.glob("overlays/*/*.yaml")} == set(OVERLAYS)
