"""What deploy/ and the Dockerfile promise, held against vendored schemas and each other.

A schema says whether a field exists; the rest here says whether the files agree: on
ports, user, folder, version, and on how long a stop may take.
"""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import rag_grpc
from rag_grpc.settings import load

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = Path(__file__).parent / "schemas"
KUBERNETES = sorted((ROOT / "deploy/kubernetes").rglob("*.yaml"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def kubernetes_errors(manifest: dict[str, Any]) -> list[str]:
    schema = json.loads((SCHEMAS / "kubernetes.json").read_text(encoding="utf-8"))
    kind = f"{manifest['apiVersion']}/{manifest['kind']}"
    assert kind in schema["kinds"], f"{kind} has no schema yet: see tools/vendor_kubernetes_schema.py"
    schema["$ref"] = f"#/definitions/{schema['kinds'][kind]}"
    found = jsonschema.Draft7Validator(schema).iter_errors(manifest)
    return [f"{error.json_path}: {error.message}" for error in found]


def compose_errors(compose: dict[str, Any]) -> list[str]:
    schema = json.loads((SCHEMAS / "compose-spec.json").read_text(encoding="utf-8"))
    found = jsonschema.Draft202012Validator(schema).iter_errors(compose)
    return [f"{error.json_path}: {error.message}" for error in found]


def manifests() -> list[dict[str, Any]]:
    return [one for path in KUBERNETES for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


def the(kind: str, name: str = "rag-grpc") -> dict[str, Any]:
    [found] = [one for one in manifests() if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def container(stateful_set: dict[str, Any]) -> dict[str, Any]:
    [only] = stateful_set["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def image_environment() -> dict[str, str]:
    return dict(re.findall(r"^ +(RAG_[A-Z_]+)=(\S+?)(?: \\)?$", DOCKERFILE, flags=re.MULTILINE))


@pytest.mark.parametrize("manifest", manifests(), ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_every_manifest_fits_kubernetes_schema(manifest: dict[str, Any]) -> None:
    assert kubernetes_errors(manifest) == []


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        ((), "statsu", {}),
        (("spec",), "replicas", "one"),
        (("spec",), "serviceNam", "rag-grpc-headless"),
        (("spec", "template", "spec"), "terminationGracePeriod", 60),
        (("spec", "template", "spec", "containers", 0), "readynessProbe", {}),
        (("spec", "template", "spec", "containers", 0, "livenessProbe", "grpc"), "port", "grpc"),
        (("spec", "template", "spec", "containers", 0, "securityContext"), "readOnlyRootFileSystem", True),
        (("spec", "volumeClaimTemplates", 0, "spec", "resources"), "request", {"storage": "1Gi"}),
    ],
)
def test_a_wrong_field_in_the_stateful_set_is_found(
    where: tuple[str | int, ...], key: str, value: object
) -> None:
    wrong = copy.deepcopy(the("StatefulSet"))
    place: Any = wrong
    for step in where:
        place = place[step]
    place[key] = value
    assert kubernetes_errors(wrong) != []


@pytest.mark.parametrize("kind", ["StatefulSet", "Service", "PodDisruptionBudget", "NetworkPolicy"])
def test_a_manifest_without_its_spec_is_found(kind: str) -> None:
    wrong = the(kind)
    del wrong["spec"]
    assert kubernetes_errors(wrong) != []


def test_selectors_and_names_meet() -> None:
    stateful_set = the("StatefulSet")
    labels = stateful_set["spec"]["template"]["metadata"]["labels"]
    selectors = [
        stateful_set["spec"]["selector"]["matchLabels"],
        the("Service")["spec"]["selector"],
        the("Service", "rag-grpc-headless")["spec"]["selector"],
        the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        the("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    headless = the("Service", stateful_set["spec"]["serviceName"])
    assert headless["spec"]["clusterIP"] == "None"


def test_one_replica_on_a_volume_of_its_own() -> None:
    spec = the("StatefulSet")["spec"]
    [claim] = spec["volumeClaimTemplates"]
    [mount] = container(the("StatefulSet"))["volumeMounts"]
    assert spec["replicas"] == 1
    assert mount["name"] == claim["metadata"]["name"]
    assert mount["mountPath"] == image_environment()["RAG_DATA_DIR"]


def test_ports_are_those_of_the_image() -> None:
    environment = image_environment()
    listening = {int(environment[name].rpartition(":")[2]) for name in ("RAG_LISTEN", "RAG_HTTP_LISTEN")}
    only = container(the("StatefulSet"))
    named = {port["name"]: port["containerPort"] for port in only["ports"]}
    assert set(named.values()) == listening
    exposed = re.findall(r"^EXPOSE (.*)$", DOCKERFILE, flags=re.MULTILINE)
    assert {int(port) for port in exposed[0].split()} == listening
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert only[probe]["grpc"]["port"] == named["grpc"]
    annotations = the("StatefulSet")["spec"]["template"]["metadata"]["annotations"]
    assert int(annotations["prometheus.io/port"]) == named["http"]
    for service in ("rag-grpc", "rag-grpc-headless"):
        assert {port["targetPort"] for port in the("Service", service)["spec"]["ports"]} == named.keys()


def test_a_loading_server_is_kept_out_of_service_but_not_killed() -> None:
    only = container(the("StatefulSet"))
    protos = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "proto").rglob("*.proto"))
    alive = only["livenessProbe"]["grpc"]["service"]
    assert f"service {alive.removeprefix('ragapi.v1.')} {{" in protos
    assert only["startupProbe"]["grpc"]["service"] == alive
    assert only["readinessProbe"]["grpc"]["service"] == ""


def test_the_pod_may_do_as_little_as_the_image_needs() -> None:
    pod = the("StatefulSet")["spec"]["template"]["spec"]
    [user] = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, flags=re.MULTILINE)
    assert (str(pod["securityContext"]["runAsUser"]), str(pod["securityContext"]["runAsGroup"])) == user
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container(the("StatefulSet"))["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def pod_settings() -> dict[str, str]:
    own = {one["name"]: one["value"] for one in container(the("StatefulSet"))["env"]}
    return {**image_environment(), **own}


def test_the_settings_of_image_and_pod_exist_and_are_valid() -> None:
    assert image_environment().keys() >= {"RAG_LISTEN", "RAG_HTTP_LISTEN", "RAG_DATA_DIR", "RAG_LOG_FORMAT"}
    _, unknown = load(pod_settings())
    assert unknown == []


def test_a_pod_may_take_longer_to_stop_than_its_drain() -> None:
    settings, _ = load(pod_settings())
    allowed = the("StatefulSet")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    # Half of it is left for saving the graphs.
    assert (settings.drain_pause + settings.grace) * 2 <= allowed


def test_kubernetes_own_variables_cannot_be_taken_for_settings() -> None:
    assert the("StatefulSet")["spec"]["template"]["spec"]["enableServiceLinks"] is False


def test_the_image_is_of_this_version() -> None:
    assert container(the("StatefulSet"))["image"] == f"rag-grpc:{rag_grpc.__version__}"


def test_compose_fits_its_schema() -> None:
    assert compose_errors(compose()) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("read-only", True), ("stop_grace_period", ["1m"]), ("ports", "50051"), ("capdrop", ["ALL"])],
)
def test_a_wrong_field_in_compose_is_found(key: str, value: object) -> None:
    wrong = compose()
    wrong["services"]["rag-grpc"][key] = value
    assert compose_errors(wrong) != []


def test_compose_publishes_on_this_machine_alone() -> None:
    published = [port for service in compose()["services"].values() for port in service["ports"]]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_compose_runs_the_server_as_kubernetes_does() -> None:
    server = compose()["services"]["rag-grpc"]
    pod = the("StatefulSet")["spec"]["template"]["spec"]
    assert server["read_only"] is True
    assert server["cap_drop"] == ["ALL"]
    assert server["stop_grace_period"] == f"{pod['terminationGracePeriodSeconds']}s"


MONITORING = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8").split("## In Kubernetes", 1)[1]


def test_the_rules_are_what_the_operator_gets_by_the_shown_commands(tmp_path: Path) -> None:
    [commands] = re.findall(r"```sh\n(.*?)```", MONITORING, flags=re.DOTALL)
    # A kubectl that keeps what it is told to apply.
    kubectl = tmp_path / "kubectl"
    kubectl.write_text('#!/bin/sh\nif [ "$1" = apply ]; then cat >"$(dirname "$0")/applied"; fi\n')
    kubectl.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["bash", "-euo", "pipefail", "-c", commands], check=True, cwd=ROOT, env={"PATH": path})
    applied = yaml.safe_load((tmp_path / "applied").read_text("utf-8"))
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text("utf-8"))
    assert applied == {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "rag-grpc"},
        "spec": rules,
    }


def test_the_shown_canary_fits_into_the_pod() -> None:
    [shown] = re.findall(r"```yaml\n(.*?)```", MONITORING, flags=re.DOTALL)
    fragment = yaml.safe_load(shown)
    stateful_set = copy.deepcopy(the("StatefulSet"))
    only = container(stateful_set)
    [added] = fragment["containers"]
    assert added["name"] == only["name"]
    only["env"] += added["env"]
    only["volumeMounts"] += added["volumeMounts"]
    stateful_set["spec"]["template"]["spec"].setdefault("volumes", []).extend(fragment["volumes"])
    assert kubernetes_errors(stateful_set) == []
    [mount], [volume] = added["volumeMounts"], fragment["volumes"]
    assert mount["name"] == volume["name"]
    settings, unknown = load({one["name"]: one["value"] for one in added["env"]})
    assert (settings.canary_file, unknown) == (Path(mount["mountPath"]) / "canary.jsonl", [])


def test_prometheus_scrapes_the_server_of_compose() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    [job] = config["scrape_configs"]
    [[target]] = [static["targets"] for static in job["static_configs"]]
    host, _, port = target.partition(":")
    published = compose()["services"][host]["ports"]
    assert any(one.endswith(f":{port}") for one in published)


def test_the_image_starts_its_programs_without_a_shell() -> None:
    # A shell in between would take SIGTERM and not hand it on.
    started = re.findall(r"^(?:ENTRYPOINT|CMD|HEALTHCHECK .*CMD) (.*)$", DOCKERFILE, flags=re.MULTILINE)
    assert [json.loads(one) for one in started] == [["rag-grpc", "health"], ["rag-grpc"], ["serve"]]


def test_the_build_context_holds_what_the_image_copies() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, flags=re.MULTILINE)
    assert {name for line in copied for name in line.split()[:-1]} == sent
    assert all((ROOT / name).exists() for name in sent)
