"""The table hides nothing, the ratios are of medians, and JSON keeps all."""

from __future__ import annotations

from benchmarks.peers.results import Ingest, LoadPoint, Outcome, Results, SweepPoint


def outcome(throughput: float, ingest: float, **changes: object) -> Outcome:
    made = Outcome(
        effort=100,
        recall=0.99,
        matched=True,
        batch=200,
        writers=2,
        throughput=[throughput, throughput * 9, throughput / 9],
        latency_ms=[1.0, 2.0, 9.0],
        ingest=[Ingest(ingest, ingest / 2)],
        sweep=[SweepPoint(20, 0.9, 10.0)],
        load=[LoadPoint(1, 10.0, 1.0, 2.0)],
        memory_mb=1234.5,
        idle_share=0.012,
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def results() -> Results:
    return Results(
        count=1000,
        outcomes={
            "rag-grpc": outcome(1000, 3000),
            "Chroma": outcome(200, 1000, matched=False),
            "LanceDB": outcome(2000, 9000),
            "Milvus": Outcome(failure="it does not listen\nmore of its log"),
        },
        machine={"processor": "made up", "cores": 2},
        versions={"rag-grpc": "0.1", "peers' chromadb": "1.5", "chromadb": "not this one"},
    )


def test_every_contender_has_a_row_with_the_medians() -> None:
    rows = results().table().splitlines()
    assert len(rows) == 2 + 4
    assert rows[2] == "| rag-grpc 0.1 | 100 | 0.9900 | 1,000 | 2.00 | 3,000 | 1,500 | 1,234 | 1.2 |"
    assert rows[3].startswith("| Chroma 1.5 | 100 | 0.9900 (not equal) | 200 |")
    assert rows[5].startswith("| Milvus: it does not listen |")
    assert len({row.count("|") for row in rows}) == 1


def test_ratios_are_of_medians_and_only_promised_ones_have_floors() -> None:
    figures = {figure.what: figure for figure in results().checks()}
    chroma, lance = figures["queries, 32 in flight, to Chroma"], figures["queries, 32 in flight, to LanceDB"]
    assert (chroma.value, chroma.floor, chroma.reached) == (5.0, 4.0, True)
    assert (lance.value, lance.floor) == (0.5, None)
    assert figures["ingest until searchable, to Chroma"].value == 3.0
    assert figures["ingest until indexed, to Chroma"].floor == 2.5
    assert not any("Milvus" in what for what in figures)


def test_json_keeps_everything() -> None:
    assert Results.from_json(results().as_json()) == results()
