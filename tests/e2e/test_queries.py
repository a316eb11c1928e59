"""Every knob of a query, over gRPC, on both stores; the embedded one searches by its graph here."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio

from rag_grpc.app import RunningServer, running_server
from rag_grpc.settings import Settings
from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1 import retrieval_service_pb2 as pb
from ragapi.v1.collection_service_pb2 import Collection, CreateCollectionRequest
from ragapi.v1.types_pb2 import Chunk, Document, Vector
from tests.contracts.fakes import WordReranker
from tests.e2e.bare_client import RPCS, Answer, Stubs, send

pytestmark = pytest.mark.asyncio(loop_scope="module")

WHERE = "things"
DIMENSION = 12
DOCUMENTS = 220
WORDS = [
    "harbour",
    "lighthouse",
    "jackdaw",
    "quartz",
    "sphinx",
    "lantern",
    "copper",
    "meadow",
    "violin",
    "ember",
]
RANDOM = np.random.default_rng(7)
VECTORS = {
    f"d{number:03}": RANDOM.standard_normal((1 + number % 6, DIMENSION)).astype("<f4")
    for number in range(DOCUMENTS)
}
TEXTS = {
    doc_id: [" ".join(RANDOM.choice(WORDS, 3 + place)) for place in range(len(rows))]
    for doc_id, rows in VECTORS.items()
}
QUERY = "jackdaw violin"
VECTOR = Vector(packed=RANDOM.standard_normal(DIMENSION).astype("<f4").tobytes())
MMR = pb.Rerank(mmr=pb.MaximalMarginalRelevance(diversity=0.4), candidates=60)
MODEL = pb.Rerank(cross_encoder=pb.CrossEncoder(), candidates=60)


def document(doc_id: str) -> Document:
    made = Document(doc_id=doc_id, title=doc_id.upper())
    made.metadata.update({"n": int(doc_id[1:]), "even": int(doc_id[1:]) % 2 == 0})
    for text, row in zip(TEXTS[doc_id], VECTORS[doc_id], strict=True):
        made.chunks.append(Chunk(text=text, vector=Vector(packed=row.tobytes())))
    return made


async def settled(server: RunningServer) -> None:
    """Wait until all vectors are in the graph: a list of tail and graph is not at rest yet."""
    async with asyncio.timeout(60):
        while True:
            if not any(each.tail for each in server.store.stats().collections):
                return
            await asyncio.sleep(0.01)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["memory", "embedded"])
async def channel(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server with one collection of vectors and words, a few texts, and a re-ranker."""
    settings = Settings(
        listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        data_dir=tmp_path_factory.mktemp("queries") / "data",
        store=request.param,
        drain_pause=0.0,
        disk_reserve_bytes=0,
        graph_from=200,
    )
    async with running_server(settings) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
        server.models.rerankers["words"] = WordReranker()
        stubs = Stubs(channel)
        things = Collection(name=WHERE, embedder="none", dimension=DIMENSION)
        await stubs.collections.CreateCollection(CreateCollectionRequest(collection=things))
        items = [ingestion.IngestItem(document=document(doc_id)) for doc_id in VECTORS]
        await stubs.ingestion.BatchIngestDocuments(
            ingestion.BatchIngestDocumentsRequest(collection=WHERE, items=items)
        )
        items = [ingestion.IngestItem(document=Document(doc_id=word, text=f"The {word}.")) for word in WORDS]
        await stubs.ingestion.BatchIngestDocuments(ingestion.BatchIngestDocumentsRequest(items=items))
        await settled(server)
        yield channel


async def ask(channel: grpc.aio.Channel, **fields: Any) -> pb.QueryResponse:
    answer = await send(channel, RPCS["Query"], pb.QueryRequest(**{"collection": WHERE, **fields}))
    assert answer.code is grpc.StatusCode.OK, answer
    (response,) = answer.responses
    assert isinstance(response, pb.QueryResponse)
    return response


async def refused(channel: grpc.aio.Channel, **fields: Any) -> Answer:
    answer = await send(channel, RPCS["Query"], pb.QueryRequest(**{"collection": WHERE, **fields}))
    assert answer.code is not grpc.StatusCode.OK
    return answer


def places(response: pb.QueryResponse) -> list[tuple[str, int, float]]:
    return [(hit.doc_id, hit.chunk.ordinal, hit.score) for hit in response.results]


SIDES: dict[str, dict[str, Any]] = {
    "dense": {"vector": VECTOR},
    "lexical": {"query": QUERY},
    "hybrid": {"query": QUERY, "vector": VECTOR},
}
KNOBS: dict[str, dict[str, Any]] = {
    "plain": {},
    "small ef": {"ef": 12},
    "exact": {"exact": True},
    "filter": {"filter": "n >= 40 AND even = true"},
    "cap": {"max_hits_per_document": 1},
    "least": {"min_score": 0.2},
    "varied": {"rerank": MMR},
    "varied and capped": {"rerank": MMR, "max_hits_per_document": 2},
}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("knob", KNOBS)
async def test_pages_are_one_large_answer(channel: grpc.aio.Channel, side: str, knob: str) -> None:
    fields = {**SIDES[side], **KNOBS[knob], "omit": [pb.HIT_FIELD_METADATA], "explain": True}
    if side == "lexical" and {"ef", "exact"} & set(fields):
        assert (await refused(channel, **fields, mode=pb.SEARCH_MODE_LEXICAL)).reason == "INVALID_FIELD"
        return
    large = await ask(channel, **fields, top_k=260)
    pages: list[pb.Hit] = []
    for offset in range(0, 260, 65):
        pages += (await ask(channel, **fields, top_k=65, offset=offset)).results
    assert pages == list(large.results)
    small = await ask(channel, **fields, top_k=7, offset=3)
    assert list(small.results) == pages[3:10]
    scores = [hit.score for hit in pages]
    assert scores == sorted(scores, reverse=True)
    assert len({(hit.doc_id, hit.chunk.ordinal) for hit in pages}) == len(pages)
    assert len(pages) > 20


@pytest.mark.parametrize("side", SIDES)
async def test_a_cap_leaves_room_for_other_documents(channel: grpc.aio.Channel, side: str) -> None:
    response = await ask(channel, **SIDES[side], top_k=100, max_hits_per_document=1)
    assert max(Counter(hit.doc_id for hit in response.results).values()) == 1
    assert len(response.results) == 100


@pytest.mark.parametrize("side", SIDES)
async def test_no_hit_scores_less_than_it_may(channel: grpc.aio.Channel, side: str) -> None:
    whole = await ask(channel, **SIDES[side], top_k=50)
    least = whole.results[19].score
    bounded = await ask(channel, **SIDES[side], top_k=50, min_score=least)
    assert places(bounded) == [each for each in places(whole) if each[2] >= least]


async def test_a_filter_holds_in_every_mode(channel: grpc.aio.Channel) -> None:
    for fields in SIDES.values():
        response = await ask(channel, **fields, top_k=50, filter="n < 40 AND even = false")
        assert len(response.results) > 10
        assert all(int(hit.doc_id[1:]) < 40 and int(hit.doc_id[1:]) % 2 for hit in response.results)
        chunks = sum(len(rows) for doc_id, rows in VECTORS.items() if int(doc_id[1:]) in range(1, 40, 2))
        assert response.plan.matching_chunks == chunks


async def test_more_like_a_document_is_like_its_mean(channel: grpc.aio.Channel) -> None:
    rows = VECTORS["d005"]
    mean = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(axis=0).astype("<f4")
    like = await ask(channel, doc_id="d005", top_k=20, exact=True)
    expected = await ask(channel, vector=Vector(packed=mean.tobytes()), top_k=30, exact=True)
    assert "d005" not in {hit.doc_id for hit in like.results}
    others = [each for each in places(expected) if each[0] != "d005"][:20]
    assert [each[:2] for each in places(like)] == [each[:2] for each in others]
    assert [each[2] for each in places(like)] == pytest.approx([each[2] for each in others], abs=1e-6)
    assert like.plan.mode == pb.SEARCH_MODE_DENSE
    filtered = await ask(channel, doc_id="d005", filter="n < 10", top_k=50)
    assert {hit.doc_id for hit in filtered.results} == {f"d{n:03}" for n in range(10)} - {"d005"}
    assert (await refused(channel, doc_id="missing")).reason == "DOCUMENT_NOT_FOUND"


async def test_the_plan_says_what_was_chosen_and_each_score_where_it_is_from(
    channel: grpc.aio.Channel,
) -> None:
    dense = await ask(channel, **SIDES["dense"], explain=True)
    lexical = await ask(channel, **SIDES["lexical"], explain=True)
    hybrid = await ask(channel, **SIDES["hybrid"], explain=True)
    assert dense.plan.mode == pb.SEARCH_MODE_DENSE
    assert (lexical.plan.mode, lexical.plan.strategy) == (pb.SEARCH_MODE_LEXICAL, pb.SEARCH_STRATEGY_LEXICAL)
    assert hybrid.plan.mode == pb.SEARCH_MODE_HYBRID
    for rank, hit in enumerate(dense.results, start=1):
        assert (hit.parts.dense, hit.parts.dense_rank) == (hit.score, rank)
        assert {field.name for field, _ in hit.parts.ListFields()} == {"dense", "dense_rank"}
    for rank, hit in enumerate(lexical.results, start=1):
        assert (hit.parts.lexical, hit.parts.lexical_rank) == (hit.score, rank)
    for hit in hybrid.results:
        ranks = [
            getattr(hit.parts, name) for name in ("dense_rank", "lexical_rank") if hit.parts.HasField(name)
        ]
        assert hit.score == pytest.approx(sum(0.5 * 11 / (10 + rank) for rank in ranks), rel=1e-6)
    assert {"dense", "fetch"} <= set(dense.plan.stages)
    assert {"lexical", "fetch"} <= set(lexical.plan.stages)
    assert {"dense", "lexical", "fuse", "fetch"} <= set(hybrid.plan.stages)
    varied = await ask(channel, **SIDES["dense"], explain=True, rerank=MMR, filter="even = true")
    assert {"filter", "dense", "rerank", "fetch"} <= set(varied.plan.stages)
    assert [hit.parts.rerank for hit in varied.results] == [hit.score for hit in varied.results]


async def test_texts_choose_hybrid_where_there_are_words(channel: grpc.aio.Channel) -> None:
    response = await ask(channel, collection="", query="jackdaw")
    assert response.plan.mode == pb.SEARCH_MODE_HYBRID
    assert response.results[0].doc_id == "jackdaw"
    response = await ask(channel, collection="", query="?!")
    assert response.plan.mode == pb.SEARCH_MODE_DENSE
    response = await ask(channel, collection="", query="?!", mode=pb.SEARCH_MODE_LEXICAL)
    assert (response.plan.mode, len(response.results)) == (pb.SEARCH_MODE_LEXICAL, 0)
    answer = await refused(channel, query="jackdaw", mode=pb.SEARCH_MODE_DENSE)
    assert (answer.reason, answer.fields) == ("INVALID_FIELD", ("vector",))


async def test_a_side_with_all_the_weight_decides(channel: grpc.aio.Channel) -> None:
    for weight, side in ((1.0, "dense"), (0.0, "lexical")):
        alone = await ask(channel, **SIDES[side], top_k=30)
        fused = await ask(
            channel, **SIDES["hybrid"], top_k=30, fusion=pb.Fusion(dense_weight=weight, rank_constant=5)
        )
        assert [each[:2] for each in places(fused)] == [each[:2] for each in places(alone)]
        assert fused.results[0].score == 1.0
        assert fused.results[1].score == pytest.approx(6 / 7)


async def test_variety_has_fewer_of_a_kind(channel: grpc.aio.Channel) -> None:
    def sameness(response: pb.QueryResponse) -> float:
        rows = np.array([np.frombuffer(hit.chunk.vector.packed, "<f4") for hit in response.results])
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return float((rows @ rows.T).mean())

    plain = await ask(channel, **SIDES["dense"], include_vectors=True)
    none = await ask(
        channel,
        **SIDES["dense"],
        rerank=pb.Rerank(mmr=pb.MaximalMarginalRelevance(diversity=0.0)),
        include_vectors=True,
    )
    varied = await ask(channel, **SIDES["dense"], rerank=MMR, include_vectors=True)
    assert [each[:2] for each in places(none)] == [each[:2] for each in places(plain)]
    assert sameness(varied) < sameness(plain)


async def test_a_model_puts_the_candidates_in_its_order(channel: grpc.aio.Channel) -> None:
    pool = await ask(channel, **SIDES["hybrid"], top_k=60)
    texts = [f"{hit.title}\n{hit.chunk.text}" for hit in pool.results]
    scores = WordReranker().score(QUERY, texts)
    expected = np.argsort(-scores, kind="stable")[:10]
    read = await ask(channel, **SIDES["hybrid"], rerank=MODEL, explain=True)
    assert [each[:2] for each in places(read)] == [places(pool)[place][:2] for place in expected]
    assert [hit.parts.rerank for hit in read.results] == pytest.approx(scores[expected].tolist())
    assert "rerank" in read.plan.stages
    lean = await ask(channel, **SIDES["hybrid"], rerank=MODEL, omit=[pb.HIT_FIELD_TEXT, pb.HIT_FIELD_TITLE])
    assert places(lean) == places(read)
    assert not any(hit.title or hit.chunk.text for hit in lean.results)
    pages = [await ask(channel, **SIDES["hybrid"], rerank=MODEL, top_k=5, offset=each) for each in (0, 5)]
    assert [*places(pages[0]), *places(pages[1])] == places(read)
    capped = await ask(channel, **SIDES["hybrid"], rerank=MODEL, max_hits_per_document=1, top_k=60)
    assert max(Counter(hit.doc_id for hit in capped.results).values()) == 1
    missing = pb.Rerank(cross_encoder=pb.CrossEncoder(model="missing"))
    assert (await refused(channel, **SIDES["hybrid"], rerank=missing)).reason == "NOT_CONFIGURED"


@pytest.mark.parametrize("side", ["lexical", "hybrid"])
async def test_the_words_of_the_query_are_marked(channel: grpc.aio.Channel, side: str) -> None:
    response = await ask(channel, **SIDES[side], highlight=True)
    for hit in response.results:
        marked = [hit.chunk.text[span.start : span.end] for span in hit.highlights]
        assert marked == [word for word in hit.chunk.text.split() if word in QUERY.split()]
    lean = await ask(channel, **SIDES[side], highlight=True, omit=[pb.HIT_FIELD_TEXT])
    assert [hit.highlights for hit in lean.results] == [hit.highlights for hit in response.results]
    assert not any(hit.chunk.text for hit in lean.results)


async def test_a_batch_answers_as_single_calls_do(channel: grpc.aio.Channel) -> None:
    asked = [
        pb.QueryRequest(collection=WHERE, **{**SIDES[side], **KNOBS[knob]})
        for side in SIDES
        for knob in ("plain", "filter", "cap", "varied")
    ]
    asked += [
        pb.QueryRequest(collection=WHERE, doc_id="d007"),
        pb.QueryRequest(collection=WHERE, doc_id="missing"),
        pb.QueryRequest(collection=WHERE, vector=VECTOR, top_k=150),
        pb.QueryRequest(collection=WHERE, **SIDES["hybrid"], rerank=MODEL, highlight=True),
        pb.QueryRequest(collection=WHERE, **SIDES["hybrid"], mode=pb.SEARCH_MODE_LEXICAL),
    ]
    (answer,) = (await send(channel, RPCS["BatchQuery"], pb.BatchQueryRequest(queries=asked))).responses
    assert isinstance(answer, pb.BatchQueryResponse)
    for request, result in zip(asked, answer.results, strict=True):
        single = await send(channel, RPCS["Query"], request)
        if single.responses:
            assert [result.response] == single.responses
        else:
            assert result.problem.message
