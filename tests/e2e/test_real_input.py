"""Real texts through the tools that people use, and the passages that answer real questions found again."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import grpc
import pytest

from rag_grpc.app import RunningServer
from ragapi.v1 import retrieval_service_pb2 as retrieval
from tests.e2e import shared_data
from tests.e2e.bare_client import Stubs
from tests.e2e.programs import run

PARAGRAPHS = 2067
QUESTIONS = 1000
SEED = 0
"""The questions that nothing was chosen by: see benchmarks/embedder_recall.py."""
DEPTH = 5
AT_LEAST = 0.60
BATCH = 100


async def ingest(server: RunningServer, *paths: Path, root: Path | None = None) -> dict[str, Any]:
    """Run `ragctl ingest` and give its summary."""
    arguments = ["--server", server.grpc_address, "--json", *(["--root", str(root)] if root else [])]
    ended = await run("ragctl", "ingest", *arguments, *map(str, paths), timeout=100)
    assert ended.code == 0, ended.stderr
    summary: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])["summary"]
    return summary


def embedded_texts(server: RunningServer) -> float:
    """How many texts the server's embedders were given so far."""
    return server.registry.get_sample_value("rag_batch_items_sum", {"kind": "embed"}) or 0.0


async def recall(stubs: Stubs) -> float:
    """Ask SQuAD's questions; gives for how many the paragraph that answers is among the first hits."""
    questions = shared_data.squad_questions(QUESTIONS, SEED)
    found = 0
    for start in range(0, QUESTIONS, BATCH):
        batch = questions[start : start + BATCH]
        queries = [
            retrieval.QueryRequest(query=text, top_k=DEPTH, mode=retrieval.SEARCH_MODE_DENSE)
            for text, _ in batch
        ]
        answer = await stubs.retrieval.BatchQuery(retrieval.BatchQueryRequest(queries=queries))
        for (_, wanted), result in zip(batch, answer.results, strict=True):
            found += wanted in {hit.doc_id for hit in result.response.results}
    return found / QUESTIONS


@pytest.mark.slow
async def test_squad_goes_in_once_and_its_questions_are_answered(
    server: RunningServer, channel: grpc.aio.Channel
) -> None:
    corpus = shared_data.folder("squad_v1_dev") / "corpus.jsonl.gz"
    first = await ingest(server, corpus)
    assert (first["created"], first["failed"], first["skipped"]) == (PARAGRAPHS, 0, 0)
    embedded = embedded_texts(server)
    assert embedded >= PARAGRAPHS

    again = await ingest(server, corpus)
    assert (again["unchanged"], again["created"], again["replaced"]) == (PARAGRAPHS, 0, 0)
    assert embedded_texts(server) == embedded

    stubs = Stubs(channel)
    counted = await stubs.retrieval.CountDocuments(retrieval.CountDocumentsRequest())
    assert counted.count == PARAGRAPHS
    one = shared_data.rows(corpus)[7]
    read = await stubs.retrieval.GetDocument(retrieval.GetDocumentRequest(doc_id=one["doc_id"]))
    assert (read.document.text, read.document.title) == (one["text"], one["title"])

    share = await recall(stubs)
    print(f"recall@{DEPTH} {share:.3f}, ingest {first}, again {again}")  # noqa: T201 # the figures, for pytest -s
    assert share >= AT_LEAST


@pytest.mark.slow
async def test_the_rust_book_goes_in_whole(
    server: RunningServer, channel: grpc.aio.Channel, tmp_path: Path
) -> None:
    with tarfile.open(shared_data.folder("rust_book") / "rust_book_md.tar.gz") as packed:
        packed.extraction_filter = getattr(tarfile, "data_filter", None)  # from Python 3.11.4 on
        packed.extractall(tmp_path / "book")  # noqa: S202 # an archive of the project's own data
    files = sorted((tmp_path / "book").rglob("*.md"))
    assert len(files) == 112
    summary = await ingest(server, *files, root=tmp_path / "book")
    assert (summary["created"], summary["failed"], summary["skipped"]) == (len(files), 0, 0)
    print(f"ingest {summary}")  # noqa: T201 # the figures, for pytest -s

    stubs = Stubs(channel)
    listed = await every_document(stubs)
    assert listed == {file.relative_to(tmp_path / "book").as_posix(): file.read_text() for file in files}
    for question, chapter in (
        ("what is ownership and borrowing", "ch04"),
        ("how to write automated tests with cargo test", "ch11"),
        ("send and receive messages between threads with channels", "ch16"),
    ):
        answer = await stubs.retrieval.Query(retrieval.QueryRequest(query=question, top_k=5))
        assert any(chapter in hit.doc_id for hit in answer.results), question
        assert any(hit.chunk.headings for hit in answer.results), "Markdown is split at its headings"


async def every_document(stubs: Stubs) -> dict[str, str]:
    """Read all documents with their texts, page by page."""
    found: dict[str, str] = {}
    request = retrieval.ListDocumentsRequest(include_text=True, page_size=50)
    while True:
        page = await stubs.retrieval.ListDocuments(request)
        found |= {document.doc_id: document.text for document in page.documents}
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token
