"""The workflows: right by GitHub's schema, and nothing but words of the Makefile in them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((Path(__file__).parent / "schemas/github-workflows.json").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github/workflows").iterdir())
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


def load(path: Path) -> dict[str, Any]:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    workflow["on"] = workflow.pop(True)  # YAML 1.1 reads the key `on` as true; GitHub does not
    assert isinstance(workflow, dict)
    return workflow


def errors(workflow: dict[str, Any]) -> list[str]:
    found = jsonschema.Draft7Validator(SCHEMA).iter_errors(workflow)
    return [f"{error.json_path}: {error.message}" for error in found]


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


pytestmark = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def test_fits_githubs_schema(path: Path) -> None:
    assert errors(load(path)) == []


def test_a_wrong_field_is_found(path: Path) -> None:
    for key, value in [("timeout-minute", 5), ("runs-on", 5), ("permissions", "some"), ("steps", {})]:
        wrong = load(path)
        next(iter(wrong["jobs"].values()))[key] = value
        assert errors(wrong) != [], key


def test_every_command_is_a_make_target(path: Path) -> None:
    commands = [step["run"] for step in steps(load(path)) if "run" in step]
    words = [re.fullmatch(r"make ([a-z-]+)", command.strip()) for command in commands]
    assert all(word is not None and word.group(1) in TARGETS for word in words), commands


def test_actions_are_pinned_to_a_commit(path: Path) -> None:
    used = [step["uses"] for step in steps(load(path)) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action) for action in used), used


def test_a_job_may_do_only_what_it_says(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"]["contents"] == "read"
        assert job["timeout-minutes"] <= 60
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)
