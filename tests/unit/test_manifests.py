"""The files in docker/: people copy them, so they are linted, schema-checked and held to promises.

No engine and no cluster is needed: hadolint, shellcheck and the schemas of Compose and Kubernetes
come as Python packages.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from scheduler.study.config_file import load_config
from tests.fixtures.kuberay import SCHEMAS

TOP = Path(__file__).resolve().parents[2]
DOCKER = TOP / "docker"
KUBERNETES = DOCKER / "kubernetes"
VERSIONS = ("1.33", kubernetes_validate.latest_version())
"""Of Kubernetes: the oldest one for which strict.yaml is meant, and the newest that is known."""


def tool(name: str) -> str:
    """A program that a package of the development environment brought."""
    return str(Path(sys.executable).parent / name)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def cluster() -> dict[str, Any]:
    found: dict[str, Any] = load(KUBERNETES / "raycluster.yaml")
    return found


def job() -> dict[str, Any]:
    found: dict[str, Any] = load(KUBERNETES / "rayjob.yaml")
    return found


def strict_cluster() -> dict[str, Any]:
    """raycluster.yaml with the patch laid over it. Raises KeyError where that leads nowhere."""
    patched: dict[str, Any] = json.loads(json.dumps(cluster()))  # YAML's anchors share objects
    for change in load(KUBERNETES / "strict.yaml"):
        assert change["op"] == "add"
        *way, last = change["path"].lstrip("/").split("/")
        place: Any = patched
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        place[last] = change["value"]
    return patched


def pods(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the pod template of each group of a cluster."""
    yield "head", spec["headGroupSpec"]["template"]
    for group in spec["workerGroupSpecs"]:
        yield group["groupName"], group["template"]


def constraint(package: str) -> str:
    found = re.search(rf"^{package}==(.+)$", (TOP / "constraints.txt").read_text("utf-8"), re.M)
    assert found
    return found[1]


def longest_trial() -> int:
    """Seconds that a trial of the cluster's preset may take, all phases at their limits."""
    budget = load(TOP / "configs" / "cluster.yaml")["budget"]
    return int(budget["startup_seconds"] + budget["seconds"] + budget["eval_seconds"])


@pytest.fixture(scope="module")
def rehearse() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rehearse", DOCKER / "rehearse.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["rehearse"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


# --- the image -------------------------------------------------------------------------------


def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run(
        [tool("hadolint"), str(DOCKER / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == ""


def test_the_image_runs_as_a_number_that_is_not_root(rehearse: ModuleType) -> None:
    users = [rest for name, rest in rehearse.instructions(DOCKER / "Dockerfile") if name == "USER"]
    assert users == ["1000:1000"]


def test_the_base_is_a_dated_release(rehearse: ModuleType) -> None:
    steps = rehearse.instructions(DOCKER / "Dockerfile")
    bases = [rest for name, rest in steps if name == "ARG" and rest.startswith("BASE=")]
    assert len(bases) == 1
    assert re.fullmatch(r"BASE=debian:[a-z]+-\d{8}-slim", bases[0])


def test_no_secret_is_baked_in(rehearse: ModuleType) -> None:
    for name, rest in rehearse.instructions(DOCKER / "Dockerfile"):
        if name in ("ENV", "ARG"):
            assert not re.search(r"KEY|PASSWORD|SECRET|TOKEN=(?!$)", rest), rest


def test_every_layer_of_packages_leaves_no_lists_behind(rehearse: ModuleType) -> None:
    for name, rest in rehearse.instructions(DOCKER / "Dockerfile"):
        if name == "RUN" and "apt-get install" in rest:
            assert "--no-install-recommends" in rest
            assert "rm -rf /var/lib/apt/lists/*" in rest
        if name == "RUN" and re.search(r"\bpip (install|wheel)", rest):
            assert rest.count("--no-cache-dir") == len(re.findall(r"\bpip (?:install|wheel)", rest))


def test_both_variants_are_stages_of_the_file(rehearse: ModuleType) -> None:
    steps = rehearse.instructions(DOCKER / "Dockerfile")
    stages = {rest.split()[-1] for name, rest in steps if name == "FROM"}
    assert {"cpu", "cuda"} <= stages


def test_what_the_image_copies_is_in_the_build_context(rehearse: ModuleType) -> None:
    patterns = (TOP / ".dockerignore").read_text("utf-8").splitlines()
    patterns = [line for line in patterns if line and not line.startswith("#")]
    for name, rest in rehearse.instructions(DOCKER / "Dockerfile"):
        if name == "COPY":
            for source in rest.split()[:-1]:
                assert (TOP / source).exists(), source
                assert not rehearse.ignored(source, patterns), source
    for path in (
        ".git/config",
        ".venv/bin/python",
        "studies/a/study.db",
        "docker/secrets/ray_token",
        "tests/unit/test_manifests.py",
        "agent/__pycache__/x.pyc",
        ".env",
    ):
        assert rehearse.ignored(path, patterns), path


def test_every_package_of_the_project_is_in_the_image(rehearse: ModuleType) -> None:
    copied = " ".join(
        rest for name, rest in rehearse.instructions(DOCKER / "Dockerfile") if name == "COPY"
    ).split()
    declared = re.search(r"packages = \[(.+)\]", (TOP / "pyproject.toml").read_text("utf-8"))
    assert declared
    assert set(re.findall(r'"(\w+)"', declared[1])) <= set(copied)


def test_the_token_of_the_compose_file_is_never_committed() -> None:
    done = subprocess.run(
        ["git", "-C", str(TOP), "check-ignore", "-q", "docker/secrets/ray_token"], check=False
    )
    assert done.returncode == 0


# --- Compose ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["compose.yaml", "compose.gpu.yaml"])
def test_compose_files_fit_the_compose_specification(name: str) -> None:
    done = subprocess.run(
        [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(DOCKER / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_compose_publishes_on_loopback_alone() -> None:
    services = load(DOCKER / "compose.yaml")["services"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize("service", ["head", "worker"])
def test_each_service_has_the_token_and_no_rights(service: str) -> None:
    found = load(DOCKER / "compose.yaml")["services"][service]
    assert found["environment"]["RAY_AUTH_MODE"] == "token"
    assert found["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"
    assert found["secrets"] == ["ray_token"]
    assert found["cap_drop"] == ["ALL"]
    assert "privileged" not in found
    assert "no-new-privileges:true" in found["security_opt"]


def test_only_the_head_gets_keys_of_models() -> None:
    services = load(DOCKER / "compose.yaml")["services"]
    assert any(name.endswith("_API_KEY") for name in services["head"]["environment"])
    assert not any("KEY" in name for name in services["worker"]["environment"])


def test_the_gpu_file_changes_services_that_exist() -> None:
    services = load(DOCKER / "compose.yaml")["services"]
    assert set(load(DOCKER / "compose.gpu.yaml")["services"]) <= set(services)


def test_the_seccomp_profile_lets_bubblewrap_work_and_keeps_the_kernel_closed() -> None:
    refused = {
        name
        for rule in json.loads((DOCKER / "seccomp.json").read_text("utf-8"))["syscalls"]
        for name in rule["names"]
        if rule["action"] == "SCMP_ACT_ERRNO"
    }
    assert not refused & {"clone", "clone3", "unshare", "mount", "umount2", "pivot_root", "setns"}
    assert {"bpf", "init_module", "kexec_load", "open_by_handle_at", "perf_event_open"} <= refused


# --- Kubernetes ------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["storage.yaml", "network.yaml"])
def test_plain_resources_fit_kubernetes(name: str, version: str) -> None:
    kubernetes_validate.validate(load(KUBERNETES / name), version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("make", [cluster, job, strict_cluster])
def test_every_pod_of_the_ray_resources_fits_kubernetes(make: Any, version: str) -> None:
    found = make()
    spec = found["spec"].get("rayClusterSpec", found["spec"])
    templates = dict(pods(spec))
    if submitter := found["spec"].get("submitterPodTemplate"):
        templates["submitter"] = submitter
    for name, template in templates.items():
        whole = {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "metadata": {"name": name},
            "template": template,
        }
        kubernetes_validate.validate(whole, version, strict=True)


@pytest.mark.parametrize("make", [cluster, job, strict_cluster])
def test_ray_resources_have_the_fields_that_kuberay_knows(make: Any) -> None:
    found = make()
    jsonschema.Draft202012Validator(SCHEMAS[found["kind"]]).validate(found)


@pytest.mark.skipif("KUBERAY_CRDS" not in os.environ, reason="KUBERAY_CRDS names no folder")
@pytest.mark.parametrize("make", [cluster, job, strict_cluster])
def test_ray_resources_fit_the_operators_own_schemas(make: Any) -> None:
    found = make()
    path = Path(os.environ["KUBERAY_CRDS"]) / f"ray.io_{found['kind'].lower()}s.yaml"
    versions = load(path)["spec"]["versions"]
    schema = next(each["schema"]["openAPIV3Schema"] for each in versions if each["name"] == "v1")
    jsonschema.Draft7Validator(_as_the_server_reads(schema)).validate(found)


def _as_the_server_reads(schema: Any, *, top: bool = True) -> Any:
    """OpenAPI's dialect as JSON schema, with unknown fields as errors."""
    if isinstance(schema, list):
        return [_as_the_server_reads(each, top=False) for each in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: _as_the_server_reads(value, top=False) for key, value in schema.items()}
    if out.get("x-kubernetes-int-or-string") is True:
        return {}
    if "properties" in out and out.get("type") == "object" and "additionalProperties" not in out:
        out["additionalProperties"] = False
    if top:
        out["properties"]["metadata"] = {"type": "object"}
    return out


def test_pods_keep_the_labels_by_which_kuberay_finds_them() -> None:
    for _, template in pods(cluster()["spec"]):
        own = set(template["metadata"]["labels"])
        assert not own & {"app.kubernetes.io/name", "app.kubernetes.io/created-by"}
        assert not any(label.startswith("ray.io/") for label in own)


def test_the_job_runs_the_same_cluster_as_the_one_that_stays() -> None:
    assert job()["spec"]["rayClusterSpec"] == cluster()["spec"]


def test_the_manifests_name_the_version_of_ray_that_is_in_the_image() -> None:
    assert cluster()["spec"]["rayVersion"] == constraint("ray")


@pytest.mark.parametrize("make", [cluster, job])
def test_pods_run_with_no_more_than_they_need(make: Any) -> None:
    found = make()
    spec = found["spec"].get("rayClusterSpec", found["spec"])
    templates = [template for _, template in pods(spec)]
    if "submitterPodTemplate" in found["spec"]:
        templates.append(found["spec"]["submitterPodTemplate"])
    for template in templates:
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 1000
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert {"requests", "limits"} <= set(container["resources"])


def test_workers_hold_no_key_and_no_volume_of_the_studies() -> None:
    for name, template in pods(cluster()["spec"]):
        container = template["spec"]["containers"][0]
        volumes = {volume["name"] for volume in template["spec"]["volumes"]}
        if name == "head":
            assert container["envFrom"]
            assert "studies" in volumes
            continue
        assert "envFrom" not in container
        assert "studies" not in volumes
        assert template["spec"]["automountServiceAccountToken"] is False


def test_the_head_runs_no_trials_and_never_stands_on_a_spot_node() -> None:
    head = cluster()["spec"]["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert head["template"]["spec"]["nodeSelector"] == {"autoresearch/pool": "head"}
    assert "tolerations" not in head["template"]["spec"]


def test_the_spot_pool_is_optional_and_tolerates_what_spot_nodes_are_tainted_with() -> None:
    groups = {group["groupName"]: group for group in cluster()["spec"]["workerGroupSpecs"]}
    spot = groups["gpu-spot"]
    assert spot["minReplicas"] == 0
    assert {each["key"] for each in spot["template"]["spec"]["tolerations"]} >= {
        "nvidia.com/gpu",
        "cloud.google.com/gke-spot",
        "kubernetes.azure.com/scalesetpriority",
    }
    # What a cloud gives is 30 s at the least; the pod must be gone by then.
    assert spot["template"]["spec"]["terminationGracePeriodSeconds"] <= 25


def test_ray_gets_to_say_goodbye_within_the_grace_of_its_pod() -> None:
    for _, template in pods(cluster()["spec"]):
        command = template["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        assert command[:3] == ["ray", "stop", "--grace-period"]
        assert int(command[3]) < template["spec"]["terminationGracePeriodSeconds"]


def test_the_jobs_study_lies_on_the_volume() -> None:
    words = job()["spec"]["entrypoint"].split()
    assert words[:2] == ["autoresearch", "run"]
    head = cluster()["spec"]["headGroupSpec"]["template"]["spec"]
    mounts = {mount["name"]: mount for mount in head["containers"][0]["volumeMounts"]}
    assert words[2].startswith(mounts["studies"]["mountPath"] + "/")
    assert words[words.index("--program") + 1].startswith(mounts["program"]["mountPath"] + "/")
    claims = [each["persistentVolumeClaim"]["claimName"] for each in head["volumes"]
              if "persistentVolumeClaim" in each]  # fmt: skip
    assert claims == [load(KUBERNETES / "storage.yaml")["metadata"]["name"]]


def test_a_stopped_job_has_time_for_its_longest_trial() -> None:
    variables = yaml.safe_load(job()["spec"]["runtimeEnvYAML"])["env_vars"]
    assert int(variables["RAY_JOB_STOP_WAIT_TIME_S"]) > longest_trial()


def test_the_network_policy_selects_the_workers_of_both_manifests() -> None:
    wanted = load(KUBERNETES / "network.yaml")["spec"]["podSelector"]["matchLabels"]
    for name, template in pods(cluster()["spec"]):
        selected = wanted.items() <= template["metadata"]["labels"].items()
        assert selected == (name != "head")


def test_the_strict_patch_reaches_every_pod() -> None:
    for _, template in pods(strict_cluster()["spec"]):
        pod = template["spec"]
        assert pod["hostUsers"] is False
        assert pod["containers"][0]["securityContext"]["procMount"] == "Unmasked"
        assert pod["securityContext"]["seccompProfile"] == {"type": "Unconfined"}
        assert pod["securityContext"]["appArmorProfile"] == {"type": "Unconfined"}
        assert pod["securityContext"]["runAsNonRoot"] is True


# --- Slurm -----------------------------------------------------------------------------------

SCRIPTS = sorted([*DOCKER.rglob("*.sh"), *DOCKER.rglob("*.sbatch")])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts_are_clean(path: Path) -> None:
    for argv in (["bash", "-n", str(path)], [tool("shellcheck"), str(path)]):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_slurm_gives_notice_before_the_longest_trial_could_not_end() -> None:
    script = (DOCKER / "slurm" / "autoresearch.sbatch").read_text("utf-8")
    notice = re.search(r"^#SBATCH --signal=B:USR1@(\d+)$", script, re.M)
    assert notice
    assert int(notice[1]) > longest_trial()


def test_options_of_slurm_stand_before_the_first_command() -> None:
    """Slurm stops to read them there, without a word."""
    lines = (DOCKER / "slurm" / "autoresearch.sbatch").read_text("utf-8").splitlines()
    commands = [n for n, line in enumerate(lines) if line and not line.startswith("#")]
    options = [n for n, line in enumerate(lines) if line.startswith("#SBATCH")]
    assert options
    assert options[-1] < commands[0]


# ---- the object store -----------------------------------------------------------------------

SHARD_TOKENS, TOKEN_BYTES = 43_000_000, 2  # of the GPU presets, as docs/data.md reckons them
STORE = re.compile(r"object-store-memory(?:=|: \")(\d+)|OBJECT_STORE=(\d+)")


@pytest.mark.parametrize(
    ("path", "stores"),
    [
        ("docker/kubernetes/raycluster.yaml", 2),
        ("docker/kubernetes/rayjob.yaml", 2),
        ("docker/slurm/autoresearch.sbatch", 2),
        ("docker/compose.gpu.yaml", 1),
        ("docs/cluster.md", 3),
    ],
)
def test_object_stores_hold_what_the_gpu_presets_pack(path: str, stores: int) -> None:
    shards = 16
    assert load_config("cluster", [], {}).data.files == (
        f"shard_{{00000..{shards - 1:05}}}.parquet",
    )
    found = [int(one or other) for one, other in STORE.findall((TOP / path).read_text("utf-8"))]
    assert len(found) == stores
    assert min(found) > 1.25 * shards * SHARD_TOKENS * TOKEN_BYTES


def test_the_gpu_compose_file_names_what_the_other_reads() -> None:
    for service in ("head", "worker"):
        command = load(DOCKER / "compose.yaml")["services"][service]["command"]
        assert any(each.startswith("--object-store-memory=${OBJECT_STORE:-") for each in command)
