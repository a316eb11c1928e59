"""The dashboards are whole, say what to do, and name nothing that the server does not have."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.repository.promql import Metrics, check

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
BOARDS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text("utf-8")) for path in FILES}
WIDTH = 24
"""Columns of Grafana's grid."""

VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
BUILT_IN = {"__rate_interval": "5m", "__range": "1h", "__interval": "1m"}
LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")
PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Every panel that shows something; what a row folds away lies in it."""
    every = [each for panel in board["panels"] for each in (panel, *panel.get("panels", ()))]
    return [panel for panel in every if panel["type"] != "row"]


def expressions(board: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Each expression with where it stands and what its legend is."""
    for panel in panels(board):
        for target in panel["targets"]:
            yield f"panel {panel['title']!r}", target["expr"], target["legendFormat"]
    for note in board["annotations"]["list"]:
        yield f"annotation {note['name']!r}", note["expr"], note["titleFormat"] + note["textFormat"]


def expanded(text: str, board: dict[str, Any]) -> str:
    """An expression as Grafana would send it with all chosen. Raises KeyError for no variable."""
    own = {each["name"]: each.get("allValue", "") for each in board["templating"]["list"]}
    return VARIABLE.sub(lambda found: {**BUILT_IN, **own}[found[1] or found[2]], text)


def faults(board: dict[str, Any], metrics: Metrics) -> list[str]:
    """What a dashboard names and the server does not have."""
    found = []
    for where, expression, legend in expressions(board):
        checked = check(expanded(expression, board), metrics)
        found += [f"{where}: {fault}" for fault in checked.faults]
        found += [
            f"{where}: the legend's {label!r} is no label of what is shown"
            for label in PLACEHOLDER.findall(legend)
            if label not in (checked.labels or ())
        ]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            asked = LABEL_VALUES.fullmatch(expanded(variable["query"]["query"], board))
            assert asked is not None, variable["name"]
            checked = check(asked[1], metrics)
            found += [f"variable {variable['name']!r}: {fault}" for fault in checked.faults]
            if asked[2] not in (checked.labels or ()):
                found.append(f"variable {variable['name']!r}: there is no label {asked[2]!r}")
    return found


NOT_SHOWN = {
    "app_requests_total": "grpc_server_handled_total is shown, which tells the same",
    "grpc_server_msg_sent_total": "what comes in is shown; what goes out follows it",
    "rag_canary_interval_seconds": "alerts look at it",
    "rag_canary_questions": "it changes with the file, and that is known to whoever changed it",
    "rag_canary_runs_total": "when the last one was is shown",
    "rag_collection_snapshot_age_seconds": "what a start would put in again is shown, which says more",
    "rag_graph_chunks": "shown by collection",
    "rag_graph_dead_chunks": "shown by collection",
    "rag_tail_chunks": "shown by collection",
}
"""Metrics of the server's own that no panel is made of, and why."""


@pytest.fixture(params=BOARDS)
def board(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each dashboard in turn."""
    return copy.deepcopy(BOARDS[request.param])


def test_there_is_one_of_the_service_and_one_of_retrieval() -> None:
    assert set(BOARDS) == {"service", "retrieval"}


def test_it_names_only_what_the_server_has(board: dict[str, Any], metrics: Metrics) -> None:
    assert faults(board, metrics) == []


def test_every_metric_is_shown_or_it_is_known_why_not(metrics: Metrics) -> None:
    every = " ".join(expression for board in BOARDS.values() for _, expression, _ in expressions(board))
    shown = set(re.findall(r"\b(?:app|grpc|rag)_\w+", every + " rag_build_info"))
    own = {name for name in metrics if name.startswith(("app_", "grpc_", "rag_"))}
    families = {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name in own}
    seen = {family for family in families if any(name.startswith(family) for name in shown)}
    assert families - seen == set(NOT_SHOWN)


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ("rate(rag_stage_secconds_sum[5m])", "there is no metric 'rag_stage_secconds_sum'"),
        ('rag_queue_depth{que="search"}', "rag_queue_depth: there is no label 'que'"),
        ('rag_queue_depth{queue="serch"}', "rag_queue_depth has no queue 'serch'"),
        ("sum by (stage) (rag_chunks)", "sum: there is no label 'stage'"),
        ("sum by (method) (rate(grpc_server_handled_total[5m]))", "sum: there is no label 'method'"),
        ('rate(grpc_server_handled_total{grpc_method=~"Query|Qeury"}[5m])', "has no grpc_method 'Qeury'"),
        ("histogram_quantile(0.9, rate(rag_stage_seconds_sum[5m]))", "there is no label 'le'"),
        ("rag_collection_chunks / rag_chunks", "never meet"),
        ("rag_chunks and on (collection) rag_collection_chunks", "there is no label 'collection'"),
        ("sum(rag_chunks", "does not parse"),
    ],
)
def test_a_panel_that_names_what_is_not_there_is_found(
    board: dict[str, Any], metrics: Metrics, wrong: str, fault: str
) -> None:
    target = panels(board)[3]["targets"][0]
    target["expr"], target["legendFormat"] = wrong, ""
    [found] = faults(board, metrics)
    assert fault in found


def test_a_legend_and_a_variable_of_what_is_not_there_are_found(
    board: dict[str, Any], metrics: Metrics
) -> None:
    panels(board)[3]["targets"][0]["legendFormat"] = "{{colour}}"
    board["templating"]["list"][1]["query"]["query"] = "label_values(rag_build_info, host)"
    assert [found.partition(":")[2] for found in faults(board, metrics)] == [
        " the legend's 'colour' is no label of what is shown",
        " there is no label 'host'",
    ]


def test_ids_are_told_apart() -> None:
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)
    for board in BOARDS.values():
        assert max(Counter(panel["id"] for panel in board["panels"]).values()) == 1
        titles = Counter(panel["title"] for panel in board["panels"])
        assert [title for title, count in titles.items() if count > 1] == []


def test_every_panel_says_what_it_shows_and_what_to_do(board: dict[str, Any]) -> None:
    for panel in panels(board):
        meaning, _, todo = panel["description"].partition("\n\n**What to do:** ")
        assert meaning.endswith("."), panel["title"]
        assert todo.endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_no_data_source_is_written_in(board: dict[str, Any]) -> None:
    variable = board["templating"]["list"][0]
    assert (variable["name"], variable["type"], variable["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    named = {"type": "prometheus", "uid": "${datasource}"}
    for part in (*panels(board), *board["annotations"]["list"], *board["templating"]["list"][1:]):
        assert part["datasource"] == named
        assert all(target["datasource"] == named for target in part.get("targets", ()))


def test_panels_lie_in_the_grid_and_on_nothing_else(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (column, row)
            for column in range(place["x"], place["x"] + place["w"])
            for row in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= WIDTH
        assert not cells & taken, panel["title"]
        taken |= cells


def test_files_are_written_as_grafana_would_export_them() -> None:
    # Else the first change made in Grafana would rewrite the whole file.
    for path in FILES:
        text = path.read_text("utf-8")
        assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n", path.name
        assert "__inputs" not in text


def test_compose_mounts_them_where_grafana_is_told_to_look() -> None:
    compose = yaml.safe_load((GRAFANA.parent / "compose.yaml").read_text("utf-8"))
    grafana = compose["services"]["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    [provider] = yaml.safe_load((GRAFANA / "provisioning/dashboards/rag-grpc.yaml").read_text("utf-8"))[
        "providers"
    ]
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (str(home.parent), home.stem) == (provider["options"]["path"], "service")
    assert home.stem in BOARDS


def test_grafana_asks_the_prometheus_of_compose_as_often_as_that_scrapes() -> None:
    compose = yaml.safe_load((GRAFANA.parent / "compose.yaml").read_text("utf-8"))
    [source] = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text("utf-8"))[
        "datasources"
    ]
    config = yaml.safe_load((GRAFANA.parent / "prometheus/prometheus.yml").read_text("utf-8"))
    host, _, port = source["url"].removeprefix("http://").partition(":")
    assert any(one.endswith(f":{port}") for one in compose["services"][host]["ports"])
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]
