"""Cut the schema of the kinds we deploy out of Kubernetes' own API description.

The whole description is 4 MB and changes with every release of Kubernetes; the
manifests use four kinds of it. What is cut out is made stricter in one way: an
object with known fields takes no other ones. The API server itself only warns of an
unknown field, so that a misspelt `readinessProbe` would silently not be there.

    python tools/vendor_kubernetes_schema.py kubernetes/api/openapi-spec/swagger.json v1.34.1
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENDORED = ROOT / "tests" / "repository" / "schemas" / "kubernetes.json"
KINDS = {
    ("apps/v1", "StatefulSet"): "io.k8s.api.apps.v1.StatefulSet",
    ("v1", "Service"): "io.k8s.api.core.v1.Service",
    ("policy/v1", "PodDisruptionBudget"): "io.k8s.api.policy.v1.PodDisruptionBudget",
    ("networking.k8s.io/v1", "NetworkPolicy"): "io.k8s.api.networking.v1.NetworkPolicy",
}
# Prose, and what only the API server's own tools read.
DROPPED = {"description", "default", "format"}


def simplified(node: Any) -> Any:
    """Return `node` without prose and extensions, closed where its fields are known."""
    if isinstance(node, list):
        return [simplified(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("format") == "int-or-string":
        return {"type": ["integer", "string"]}
    kept = {key: simplified(value) for key, value in node.items() if key not in DROPPED and key[:2] != "x-"}
    if "properties" in node:
        # Field by field: a field may well be named "description" or "format".
        kept["properties"] = {name: simplified(field) for name, field in node["properties"].items()}
        kept["additionalProperties"] = False
    return kept


def references(node: Any) -> set[str]:
    """Name every definition that `node` refers to."""
    if isinstance(node, list):
        return {name for item in node for name in references(item)}
    if not isinstance(node, dict):
        return set()
    found = {name for value in node.values() for name in references(value)}
    if isinstance(node.get("$ref"), str):
        found.add(node["$ref"].rpartition("/")[2])
    return found


def cut(description: dict[str, Any], version: str) -> dict[str, Any]:
    """Return the schemas of the kinds, by `apiVersion/kind`, and of all that they refer to."""
    everything = description["definitions"]
    definitions: dict[str, Any] = {}
    waiting = set(KINDS.values())
    while waiting:
        name = waiting.pop()
        definitions[name] = simplified(everything[name])
        waiting |= references(definitions[name]) - definitions.keys()
    for (group, kind), name in KINDS.items():
        fields = definitions[name]["properties"]
        fields["apiVersion"] = {"const": group}
        fields["kind"] = {"const": kind}
        definitions[name]["required"] = ["apiVersion", "kind", "metadata", "spec"]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": f"From Kubernetes {version}, Apache-2.0; README.md beside this file says how.",
        "kinds": {f"{group}/{kind}": name for (group, kind), name in KINDS.items()},
        "definitions": dict(sorted(definitions.items())),
    }


def main() -> None:
    """Read the description that is named and write the vendored schema."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("swagger", type=Path, help="Kubernetes' api/openapi-spec/swagger.json")
    parser.add_argument("version", help="the release of Kubernetes that it is from, such as v1.34.1")
    arguments = parser.parse_args()
    schema = cut(json.loads(arguments.swagger.read_text(encoding="utf-8")), arguments.version)
    VENDORED.write_text(json.dumps(schema, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
