"""Every knob of a query through the client, by threads and by asyncio, and through ragctl."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rag_client import AsyncRagClient, Document, Field, Fusion, RagClient, Rerank, errors
from rag_client.filters import DOC_ID
from tests.e2e.threaded_server import quick_settings, serving

Ask = Callable[..., Any]

DOCUMENTS = [
    Document(
        "cats", "Cats sleep. The cat naps in the sun.", title="On cats", metadata={"legs": 4, "wild": False}
    ),
    Document(
        "lions", "The lion sleeps under a tree.", metadata={"legs": 4, "wild": True, "tags": ["big", "cat"]}
    ),
    Document("birds", "Birds sing in the morning.", metadata={"legs": 2, "wild": True}),
    Document("fish", "Fish swim at night.", metadata={"legs": 0}),
    Document(
        "long", "\n\n".join(f"Paragraph {number} tells of whales. " + "sea " * 300 for number in range(6))
    ),
]


@pytest.fixture(scope="module", params=["memory", "embedded"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(quick_settings(request.param, tmp_path_factory.mktemp("queries"))) as target:
        with RagClient(target) as client:
            client.create_collection("zoo", language="en")
            statuses = [each.status for each in client.ingest_stream(DOCUMENTS, collection="zoo")]
        assert statuses == ["created"] * len(DOCUMENTS)
        yield target


@pytest.fixture(params=["sync", "asyncio"])
def ask(request: pytest.FixtureRequest, address: str) -> Ask:
    async def asked(query: str, options: dict[str, Any]) -> Any:
        async with AsyncRagClient(address) as client:
            return await client.query(query, collection="zoo", **options)

    def answer(query: str = "", **options: Any) -> Any:
        if request.param == "asyncio":
            return asyncio.run(asked(query, options))
        with RagClient(address) as client:
            return client.query(query, collection="zoo", **options)

    return answer


@pytest.fixture
def client(address: str) -> Iterator[RagClient]:
    with RagClient(address) as opened:
        yield opened


def ids(result: Any) -> list[str]:
    return [hit.doc_id for hit in result.hits]


def test_words_are_found_by_their_stem_and_marked(ask: Ask) -> None:
    result = ask("sleeping cat", mode="lexical", highlight=True)
    assert ids(result) == ["cats", "lions"]
    assert result.plan.mode == result.plan.strategy == "lexical"
    first = result.hits[0]
    assert [first.chunk.text[start:end] for start, end in first.highlights] == ["Cats", "sleep", "cat"]


def test_both_sides_are_fused_and_explained(ask: Ask) -> None:
    result = ask(
        "the cat naps", mode="hybrid", explain=True, fusion=Fusion(dense_weight=0.5, rank_constant=10)
    )
    best = result.hits[0]
    assert (best.doc_id, best.score) == ("cats", pytest.approx(1))
    assert (best.parts.dense_rank, best.parts.lexical_rank) == (1, 1)
    assert best.parts.dense > 0
    assert best.parts.lexical > 0
    assert best.parts.rerank is None
    assert {"embed", "dense", "lexical", "fuse", "fetch"} <= set(result.plan.stages)
    assert result.plan.mode == "hybrid"
    words_alone = ask("sing", mode="hybrid", fusion=Fusion(dense_weight=0.0), explain=True)
    assert ids(words_alone)[0] == "birds"


@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        ("legs = 4", {"cats", "lions"}),
        (Field("legs") == 4, {"cats", "lions"}),
        ((Field("legs") >= 2) & ~(Field("wild") == False), {"lions", "birds"}),  # noqa: E712 - makes a Condition
        (Field("tags").contains("cat") | (DOC_ID == "fish"), {"lions", "fish"}),
        (Field("legs").is_in([]), set()),
    ],
)
def test_filters_are_texts_or_conditions(ask: Ask, filter_: str, found: set[str]) -> None:
    result = ask("animals", filter=filter_, mode="dense")
    assert set(ids(result)) == found
    assert result.plan.matching_chunks == len(found)


def test_filters_bound_what_is_counted_listed_and_deleted(client: RagClient) -> None:
    four = Field("legs") == 4
    assert client.count_documents(collection="zoo", filter=four) == 2
    assert client.list_documents(collection="zoo", filter=four, include_total_count=True).total_count == 2
    assert [each.doc_id for each in client.iter_documents(collection="zoo", filter=four)] == ["cats", "lions"]
    deleted = client.delete_documents(collection="zoo", filter=four, validate_only=True)
    assert (deleted.matched_count, deleted.deleted_count) == (2, 0)


def test_a_wrong_filter_says_where(ask: Ask) -> None:
    with pytest.raises(errors.InvalidFilterError) as caught:
        ask("x", filter="legs = ")
    assert int(caught.value.metadata["position"]) == 7


def test_a_document_has_its_share_and_no_more(ask: Ask) -> None:
    assert ids(ask("whales in the sea", top_k=3, mode="dense")) == ["long"] * 3
    assert ids(ask("whales in the sea", top_k=3, mode="dense", max_hits_per_document=2)).count("long") == 2


def test_more_like_a_document_without_itself(ask: Ask) -> None:
    result = ask(doc_id="lions")
    assert len(result.hits) > 0
    assert "lions" not in ids(result)


def test_the_best_are_looked_at_again_for_variety(ask: Ask) -> None:
    options: dict[str, Any] = {"mode": "dense", "top_k": 3}
    varied = ask("whales in the sea", rerank=Rerank("mmr", diversity=1.0, candidates=100), **options)
    assert len(set(ids(varied))) > len(set(ids(ask("whales in the sea", **options))))
    explained = ask("whales", rerank=Rerank("mmr"), explain=True, **options)
    assert all(hit.parts.rerank is not None for hit in explained.hits)


def test_a_reranker_that_is_not_there_is_said_to_be_missing(ask: Ask) -> None:
    with pytest.raises(errors.NotConfiguredError):
        ask("x", rerank=Rerank("cross_encoder", model="none-such"))


def test_a_batch_takes_every_knob(client: RagClient) -> None:
    first, second, third = client.batch_query(
        [
            {"query": "cat", "collection": "zoo", "mode": "lexical", "filter": Field("wild") == False},  # noqa: E712 - makes a Condition
            {"query": "cat", "collection": "zoo", "filter": "legs ="},
            {"doc_id": "lions", "collection": "zoo", "top_k": 1},
        ]
    )
    assert ids(first) == ["cats"]
    assert isinstance(second, errors.InvalidFilterError)
    assert len(third.hits) == 1  # type: ignore[union-attr]  # an answer


def test_ragctl_asks_and_shows_it_all(address: str) -> None:
    def ragctl(*words: str) -> list[str]:
        # A process of its own: the server of these tests logs to this one's stdout.
        program = "import sys; from rag_client.cli import main; sys.exit(main(sys.argv[1:]))"
        command = [sys.executable, "-c", program, "--server", address, "query", "-c", "zoo", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    shown = ragctl(
        "sleeping cat", "--mode", "lexical", "--filter", "wild = false", "--highlight", "--explain"
    )
    assert shown[1] == "   On cats"
    assert shown[2] == "   **Cats** **sleep**. The **cat** naps in the sun."
    assert shown[3].startswith("   lexical ")
    assert shown[3].endswith(" (rank 1)")
    assert "(lexical, lexical, 1 chunks pass the filter)" in shown[4]
    (answer,) = ragctl("--like", "lions", "--json", "--top-k", "1")
    assert json.loads(answer)["plan"]["mode"] == "dense"
    assert ragctl("cat", "--mode", "hybrid", "--rerank", "mmr", "--diversity", "0.2", "--dense-weight", "0.3")
