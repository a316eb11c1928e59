"""The alert rules are valid, tested, explained, and name nothing that the server does not have."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.repository.promql import Metrics, check

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
UNIT_TESTS = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text("utf-8"))["tests"]
RUNBOOKS = (ROOT / "docs" / "monitoring.md").read_text("utf-8")
ALERT = re.compile(r'alertname="(\w+)"')
TEMPLATED = re.compile(r"\$labels\.(\w+)")


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("promtool") or shutil.which(str(ROOT / ".tools" / "bin" / "promtool"))
    if found is None:
        pytest.skip("promtool is not installed; `make tools` brings it")
    return subprocess.run([found, *arguments], capture_output=True, text=True, check=False, cwd=PROMETHEUS)


def faults(rule: dict[str, Any], metrics: Metrics) -> list[str]:
    """What a rule names and the server does not have."""
    checked = check(rule["expr"], metrics)
    spoken = set(TEMPLATED.findall(" ".join(rule["annotations"].values())))
    return checked.faults + [
        f"its text names {label!r}, which its result lacks"
        for label in sorted(spoken - (checked.labels or frozenset()))
    ]


def test_promtool_takes_configuration_and_rules() -> None:
    checked = promtool("check", "config", "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(RULES)} rules found" in checked.stdout


def test_every_rule_fires_and_is_silent_as_promtool_s_tests_say() -> None:
    tested = promtool("test", "rules", "rules_test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_rule_is_seen_firing_and_silent() -> None:
    # A test that expects nothing shows that its rule can be silent; all look at all that fires.
    firing: set[str] = set()
    silent: set[str] = set()
    for test in UNIT_TESTS:
        named = [
            set(
                re.findall(r'alertname="(\w+)"', " ".join(each["labels"] for each in expected["exp_samples"]))
            )
            for expected in test["promql_expr_test"]
        ]
        assert all(each["expr"] == 'ALERTS{alertstate="firing"}' for each in test["promql_expr_test"])
        firing |= set().union(*named)
        silent |= {name for name in set().union(*named) if any(name not in each for each in named)}
    assert firing == {rule["alert"] for rule in RULES}
    # That a disk is about to be full is told from the first prediction on; another disk is silent there.
    assert silent >= firing - {"RagDiskFilling"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_it_names_only_what_the_server_has(rule: dict[str, Any], metrics: Metrics) -> None:
    assert faults(rule, metrics) == []


@pytest.mark.parametrize(
    ("key", "wrong", "fault"),
    [
        ("expr", "rag_store_readible == 0", "there is no metric 'rag_store_readible'"),
        ("expr", 'rag_store_readable{store="x"} == 0', "there is no label 'store'"),
        ("expr", "max(rag_store_readable) == 0", "its text names 'instance', which its result lacks"),
        ("annotations", {"summary": "{{ $labels.colour }}"}, "its text names 'colour'"),
    ],
)
def test_a_rule_that_names_what_is_not_there_is_found(
    metrics: Metrics, key: str, wrong: object, fault: str
) -> None:
    rule = copy.deepcopy(next(each for each in RULES if each["alert"] == "RagNotReady"))
    rule[key] = wrong
    [found] = faults(rule, metrics)
    assert fault in found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_it_says_whom_to_wake_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/monitoring.md#{rule['alert'].lower()}"
    assert "$labels.instance" in rule["annotations"]["summary"]


def test_every_rule_has_its_section_and_no_section_is_left_over() -> None:
    sections = re.findall(r"^### (Rag\w+)$", RUNBOOKS, re.MULTILINE)
    assert sections == [rule["alert"] for rule in RULES]
    for text in re.split(r"^### Rag\w+$", RUNBOOKS, flags=re.MULTILINE)[1:]:
        assert "**What to do:**" in text.partition("\n## ")[0]


def test_compose_mounts_every_rule_file() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    compose = yaml.safe_load((PROMETHEUS.parent / "compose.yaml").read_text("utf-8"))
    mounts = dict(volume.split(":")[:2] for volume in compose["services"]["prometheus"]["volumes"])
    for name in ("prometheus.yml", *config["rule_files"]):
        assert mounts[f"./prometheus/{name}"] == f"/etc/prometheus/{name}"
