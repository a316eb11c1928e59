"""Measuring through the production server: what the referee says of the same rankings; and it stops."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Any

import grpc
import ir_measures
import numpy as np
import pytest
from ir_measures import AP, RR, P, R, Success, nDCG
from numpy.typing import NDArray

from rag_grpc import model_set
from rag_grpc.app import RunningServer, running_server
from rag_grpc.core.errors import ModelUnavailable
from rag_grpc.core.precedence import LONGEST_WAIT
from rag_grpc.settings import Settings
from ragapi.v1 import evaluation_service_pb2 as pb
from ragapi.v1 import retrieval_service_pb2 as retrieval
from ragapi.v1.collection_service_pb2 import Collection, CreateCollectionRequest
from ragapi.v1.ingestion_service_pb2 import BatchIngestDocumentsRequest, IngestItem
from ragapi.v1.types_pb2 import Chunk, Document, Vector
from tests.contracts.fakes import LetterEmbedder
from tests.e2e import http, shared_data
from tests.e2e.bare_client import RPCS, Stubs, send

CUTOFFS = (1, 3, 5, 10, 100)
A_MESSAGE = 30
DENSE = retrieval.SEARCH_MODE_DENSE
MODES = (retrieval.SEARCH_MODE_UNSPECIFIED, retrieval.SEARCH_MODE_LEXICAL, DENSE)


def labelled(name: str) -> list[pb.LabelledQuery]:
    folder = shared_data.folder(name)
    labels: dict[str, dict[str, int]] = {}
    for query_id, doc_id, grade in shared_data.judgements(folder / "qrels.tsv.gz"):
        labels.setdefault(query_id, {})[doc_id] = grade
    return [
        pb.LabelledQuery(query_id=each["query_id"], text=each["text"], relevance=labels[each["query_id"]])
        for each in shared_data.rows(folder / "queries.jsonl.gz")
    ]


def messages(
    template: retrieval.QueryRequest, queries: Sequence[pb.LabelledQuery]
) -> Iterable[pb.EvaluateRetrievalRequest]:
    yield pb.EvaluateRetrievalRequest(template=template)
    for begin in range(0, len(queries), A_MESSAGE):
        yield pb.EvaluateRetrievalRequest(queries=queries[begin : begin + A_MESSAGE])


async def fill(stubs: Stubs, collection: str, documents: Sequence[Document], **of: Any) -> None:
    made = Collection(name=collection, **of)
    await stubs.collections.CreateCollection(CreateCollectionRequest(collection=made))
    for begin in range(0, len(documents), 200):
        items = [IngestItem(document=each) for each in documents[begin : begin + 200]]
        request = BatchIngestDocumentsRequest(collection=collection, items=items)
        stored = await stubs.ingestion.BatchIngestDocuments(request)
        assert not [each for each in stored.results if each.HasField("problem")]


def refereed(queries: Sequence[pb.LabelledQuery], found: dict[str, list[str]]) -> dict[str, float]:
    """What ir-measures makes of these rankings."""
    measures = [AP, *(measure @ k for k in CUTOFFS for measure in (R, P, nDCG, RR, Success))]
    labels = {each.query_id: dict(each.relevance) for each in queries}
    runs = {
        query_id: {doc_id: -float(rank) for rank, doc_id in enumerate(ids)} for query_id, ids in found.items()
    }
    return {str(name): value for name, value in ir_measures.calc_aggregate(measures, labels, runs).items()}


def reported(report: pb.RetrievalReport) -> dict[str, float]:
    """A report under the names that ir-measures gives."""
    values = {"AP": report.mean_average_precision}
    for at in report.cutoffs:
        values |= {
            f"R@{at.k}": at.recall,
            f"P@{at.k}": at.precision,
            f"nDCG@{at.k}": at.ndcg,
            f"RR@{at.k}": at.reciprocal_rank,
            f"Success@{at.k}": at.hit_rate,
        }
    return values


async def test_a_report_is_what_ir_measures_makes_of_the_same_rankings(
    channel: grpc.aio.Channel, server: RunningServer
) -> None:
    stubs, queries = Stubs(channel), labelled("anthropic_docs")
    corpus = shared_data.rows(shared_data.folder("anthropic_docs") / "corpus.jsonl.gz")
    documents = [Document(doc_id=each["doc_id"], title=each["title"], text=each["text"]) for each in corpus]
    await fill(stubs, "docs", documents, language="en")
    for mode in MODES:
        template = retrieval.QueryRequest(collection="docs", mode=mode)
        events = [each async for each in stubs.evaluation.EvaluateRetrieval(messages(template, queries))]
        found = {each.query.query_id: list(each.query.doc_ids) for each in events if each.HasField("query")}
        assert found.keys() == {each.query_id for each in queries}
        report = events[-1].report
        assert report.query_count == len(queries)
        assert reported(report) == pytest.approx(refereed(queries, found), abs=1e-9)
        asked = retrieval.QueryRequest(
            collection="docs", mode=mode, query=queries[7].text, top_k=100, max_hits_per_document=1
        )
        answer = await stubs.retrieval.Query(asked)
        assert found[queries[7].query_id] == [hit.doc_id for hit in answer.results]
        assert 0 < report.latency_p50.ToNanoseconds() <= report.latency_p99.ToNanoseconds()
    page = (await http.get(server, "/metrics")).text
    ndcg = next(at.ndcg for at in report.cutoffs if at.k == 10)
    assert f'rag_quality_score{{collection="docs",measure="ndcg@10",origin="evaluation"}} {ndcg}' in page


# ---------------------------------------------------------------------------- the index


async def test_what_the_graph_misses_is_measured(settings: Settings) -> None:
    """A graph of few links over clusters misses neighbours; a broad search finds them."""
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(40, 48))
    rows = (centres[rng.integers(0, 40, 3000)] + rng.normal(scale=0.3, size=(3000, 48))).astype("<f4")
    documents = [
        Document(doc_id=f"d{place}", chunks=[Chunk(text="x", vector=Vector(packed=row.tobytes()))])
        for place, row in enumerate(rows)
    ]
    poor = replace(settings, graph_from=100, hnsw_m=4, hnsw_ef_construction=10)
    async with running_server(poor) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
        stubs = Stubs(channel)
        await fill(stubs, "rows", documents, embedder="none", dimension=48)
        narrow = await _settled_recall(stubs, server, ef=11)
        assert narrow.sample_size == 400
        assert narrow == await stubs.evaluation.MeasureIndexRecall(_asked(ef=11))
        broad = await stubs.evaluation.MeasureIndexRecall(_asked(ef=2000))
        truth = await _recall_by_hand(stubs, rows, ef=11)
        page = (await http.get(server, "/metrics")).text
    if settings.store == "memory":
        assert (narrow.recall, narrow.recall_p5) == (1.0, 1.0)
    else:
        assert narrow.recall_p5 <= narrow.recall < broad.recall <= 1
        assert narrow.recall == pytest.approx(truth, abs=0.05)
    assert f'measure="index_recall",origin="evaluation"}} {broad.recall}' in page


def _asked(ef: int) -> pb.MeasureIndexRecallRequest:
    return pb.MeasureIndexRecallRequest(collection="rows", sample_size=400, ef=ef)


async def _settled_recall(stubs: Stubs, server: RunningServer, ef: int) -> pb.MeasureIndexRecallResponse:
    """Measure when all vectors are in the graph."""
    async with asyncio.timeout(60):
        while any(each.tail for each in server.store.stats().collections):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
    measured: pb.MeasureIndexRecallResponse = await stubs.evaluation.MeasureIndexRecall(_asked(ef=ef))
    return measured


async def _recall_by_hand(stubs: Stubs, rows: NDArray[np.float32], ef: int) -> float:
    """Ask some stored vectors as a user would, exactly and not."""
    found = 0
    asked = range(0, len(rows), 10)
    for place in asked:
        vector = Vector(packed=rows[place].tobytes())
        ids = []
        for knobs in ({"ef": ef}, {"exact": True}):
            request = retrieval.QueryRequest(collection="rows", vector=vector, top_k=11, **knobs)
            answer = await stubs.retrieval.Query(request)
            ids.append([hit.doc_id for hit in answer.results if hit.doc_id != f"d{place}"][:10])
        found += len({*ids[0]} & {*ids[1]})
    return found / (10 * len(asked))


# ---------------------------------------------------------------------------- trouble


class Stubborn(LetterEmbedder):
    """Fails, or waits to be let go, for a text that says so."""

    let_go = threading.Event()

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if any("fail" in text for text in texts):
            raise ModelUnavailable("it will not")
        if any("hold" in text for text in texts):
            self.let_go.wait(30)
        return super().embed_queries(texts)


@pytest.fixture
async def stubborn(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stubs]:
    """A server with an embedder that fails, and 20 documents."""
    monkeypatch.setitem(model_set.EMBEDDERS, "stubborn", lambda: Stubborn(name="stubborn"))
    changed = replace(settings, embedders=("stubborn",))
    async with running_server(changed) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
        stubs = Stubs(channel)
        await fill(stubs, "few", [Document(doc_id=f"d{n}", text=f"text {n}") for n in range(20)])
        yield stubs


def query(name: str, text: str = "text") -> pb.LabelledQuery:
    return pb.LabelledQuery(query_id=name, text=text, relevance={"d1": 1})


FEW = retrieval.QueryRequest(collection="few")


async def test_an_error_in_the_middle_names_its_query(stubborn: Stubs) -> None:
    queries = [query(f"q{n}", "fail" if n == 40 else "text") for n in range(60)]
    call = stubborn.evaluation.EvaluateRetrieval(messages(FEW, queries))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await _to_its_end(call)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert (raised.value.details() or "").startswith("query 'q40': ")


async def _to_its_end(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:  # type: ignore[attr-defined] # the type stubs lack it
        pass


async def test_a_caller_who_leaves_or_is_late_stops_the_run(stubborn: Stubs) -> None:
    for ended in (grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED):
        late = ended is grpc.StatusCode.DEADLINE_EXCEEDED
        call = stubborn.evaluation.EvaluateRetrieval(timeout=0.5 if late else None)
        await call.write(pb.EvaluateRetrievalRequest(template=FEW, queries=[query("a")]))
        assert (await call.read()).query.query_id == "a"
        if not late:
            call.cancel()
        with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
            await _to_its_end(call)
        assert await call.code() is ended


async def test_a_run_waits_while_a_user_does(stubborn: Stubs) -> None:
    """Beside a user's query that lasts, one labelled query begins every tenth of a second; then all do."""
    Stubborn.let_go.clear()
    held = asyncio.ensure_future(
        stubborn.retrieval.Query(retrieval.QueryRequest(collection="few", query="hold", mode=DENSE))
    )
    words = retrieval.QueryRequest(collection="few", mode=retrieval.SEARCH_MODE_LEXICAL)
    run = stubborn.evaluation.EvaluateRetrieval(messages(words, [query(f"q{n}") for n in range(50)]))
    try:
        begun = time.monotonic()
        while (await run.read()).query.query_id != "q2":
            assert not held.done()
        assert time.monotonic() - begun > 2 * LONGEST_WAIT
    finally:
        Stubborn.let_go.set()
    await asyncio.wait_for(_to_its_end(run), 10)
    assert (await held).results


@pytest.mark.asyncio(loop_scope="module")
async def test_a_run_of_another_collection_is_refused_at_once(served: grpc.aio.Channel) -> None:
    nowhere = pb.EvaluateRetrievalRequest(template=retrieval.QueryRequest(collection="nowhere"))
    answer = await send(served, RPCS["EvaluateRetrieval"], nowhere)
    assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND")
    answer = await send(
        served, RPCS["MeasureIndexRecall"], pb.MeasureIndexRecallRequest(collection="nowhere")
    )
    assert answer.reason == "COLLECTION_NOT_FOUND"
