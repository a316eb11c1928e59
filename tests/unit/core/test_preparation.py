"""From a draft to a document that can be stored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rag_grpc.core.errors import (
    DimensionMismatch,
    EmbedderMismatch,
    InvalidField,
    LimitExceeded,
    NotConfigured,
    RagError,
)
from rag_grpc.core.limits import Limits
from rag_grpc.core.models import (
    ChunkDraft,
    Chunking,
    Collection,
    DocumentDraft,
    Metric,
    PreparedChunk,
    PreparedDocument,
)
from rag_grpc.core.preparation import (
    Workshop,
    has_ready_vectors,
    identify,
    make_chunks,
    prepare_ready,
    texts_to_embed,
)
from tests.contracts.fakes import JsonCodec, LetterEmbedder, LineSplitter, WordTokenizer

BARE = Collection(
    id=1,
    uid="u",
    name="bare",
    embedder="none",
    embedder_fingerprint="",
    dimension=3,
    metric=Metric.COSINE,
    chunking=Chunking(),
    language="",
    create_time=1,
)
WORDS = replace(BARE, name="words", embedder="letters", embedder_fingerprint="letters/1", dimension=8)
LIMITS = Limits(max_document_characters=100, max_document_chunks=3, max_metadata_bytes=60)
WORKSHOP = Workshop({"letters": LetterEmbedder()}, LineSplitter(), JsonCodec(), LIMITS)


def chunk(*values: float, text: str = "chunk") -> ChunkDraft:
    return ChunkDraft(text, vector=np.array(values, np.float32) if values else None)


def draft(*chunks: ChunkDraft, **fields: Any) -> DocumentDraft:
    return DocumentDraft("a", chunks=chunks, **fields)


def ready(document: DocumentDraft, collection: Collection = BARE) -> PreparedDocument:
    (prepared,) = prepare_ready([document], collection, WORKSHOP)
    if isinstance(prepared, RagError):
        raise prepared
    return prepared


def fields_of(error: RagError) -> list[str]:
    return [each.field for each in error.violations]


class TestReadyVectors:
    def test_only_a_document_with_every_vector_is_ready(self) -> None:
        assert has_ready_vectors(draft(chunk(1, 0, 0), chunk(0, 1, 0)))
        assert not has_ready_vectors(draft(chunk(1, 0, 0), chunk()))
        assert not has_ready_vectors(draft(chunk()))
        assert not has_ready_vectors(draft(text="text"))

    def test_it_becomes_a_document(self) -> None:
        made = ready(
            draft(
                ChunkDraft("one", 0, 3, np.array([1, 0, 0], np.float32)),
                chunk(0, 1, 0, text="two"),
                text="one two",
                title="Title",
                media_type="text/markdown",
                metadata={"n": 1.0, "dropped": None, "kept": {"null": None}},
            )
        )
        assert (made.doc_id, made.text, made.title, made.media_type) == (
            "a",
            "one two",
            "Title",
            "text/markdown",
        )
        assert JsonCodec().unpack(made.packed_metadata) == {"n": 1.0, "kept": {"null": None}}
        assert made.chunks == (PreparedChunk("one", 0, 3), PreparedChunk("two", None, None))
        assert made.vectors is not None
        assert made.vectors.dtype == np.float32
        assert made.vectors.flags.c_contiguous
        np.testing.assert_array_equal(made.vectors, [[1, 0, 0], [0, 1, 0]])

    def test_its_hashes_are_those_of_its_content(self) -> None:
        first = ready(draft(chunk(1, 0, 0), metadata={"a": 1.0, "b": 2.0}))
        same = ready(draft(chunk(1, -0.0, 0), metadata={"b": 2.0, "a": 1.0, "c": None}))
        assert (first.content_hash, first.embedding_key) == (same.content_hash, same.embedding_key)
        described = ready(draft(chunk(1, 0, 0), text="text"))
        assert described.embedding_key == first.embedding_key
        assert described.content_hash != first.content_hash
        other = ready(draft(chunk(1, 1, 0)))
        assert other.embedding_key != first.embedding_key

    def test_each_draft_fails_by_itself_and_names_its_fields(self) -> None:
        drafts = [
            draft(chunk(1, 0, 0)),
            draft(chunk(1, 0, 0), chunk(0, 0, 0), chunk(1, np.nan, 0)),
            draft(chunk(1, 0, 0), chunk(1, 0)),
            draft(chunk(0, 0, 1)),
            draft(*[chunk(1, 0, 0)] * 4),
        ]
        good, bad, short, also_good, many = prepare_ready(drafts, BARE, WORKSHOP)
        assert isinstance(good, PreparedDocument)
        assert isinstance(also_good, PreparedDocument)
        assert isinstance(bad, InvalidField)
        assert fields_of(bad) == ["document.chunks[1].vector", "document.chunks[2].vector"]
        assert isinstance(short, DimensionMismatch)
        assert fields_of(short) == ["document.chunks[1].vector"]
        assert isinstance(many, LimitExceeded)

    def test_nothing_is_prepared_from_nothing(self) -> None:
        assert prepare_ready([], BARE, WORKSHOP) == []

    def test_vectors_beside_an_embedder_need_its_fingerprint(self) -> None:
        document = draft(chunk(*[1.0] * 8))
        with pytest.raises(InvalidField) as caught:
            ready(document, WORDS)
        assert fields_of(caught.value) == ["document.embedder_fingerprint"]
        with pytest.raises(EmbedderMismatch):
            ready(document._replace(embedder_fingerprint="letters/0"), WORDS)
        made = ready(document._replace(embedder_fingerprint="letters/1"), WORDS)
        assert made.vectors is not None

    def test_no_embedder_is_needed_where_the_vectors_are_there(self) -> None:
        document = draft(chunk(*[1.0] * 8), embedder_fingerprint="gone/1")
        collection = replace(WORDS, embedder="gone", embedder_fingerprint="gone/1")
        assert isinstance(ready(document, collection), PreparedDocument)


class TestTexts:
    def test_a_text_is_identified_without_being_split(self) -> None:
        made = identify(draft(text="one\ntwo"), WORDS, WORKSHOP)
        assert (made.chunks, made.vectors) == ((), None)
        assert identify(draft(text="one\ntwo"), WORDS, WORKSHOP) == made
        other = replace(WORDS, embedder_fingerprint="letters/1", chunking=Chunking(max_characters=9))
        assert identify(draft(text="one\ntwo"), other, WORKSHOP).embedding_key != made.embedding_key

    def test_a_text_is_split_into_its_spans(self) -> None:
        document = draft(text="# Top\none\ntwo\n", media_type="text/markdown")
        chunks = make_chunks(document, WORDS, WORKSHOP)
        assert chunks == (
            PreparedChunk("# Top\n", 0, 6, ("Top",)),
            PreparedChunk("one\n", 6, 10, ("Top",)),
            PreparedChunk("two\n", 10, 14, ("Top",)),
        )

    def test_a_text_is_split_to_what_the_embedder_reads(self) -> None:
        reader = LetterEmbedder(max_tokens=20, tokenizer=WordTokenizer())
        workshop = replace(WORKSHOP, embedders={"letters": reader})
        document = draft(title="Two words", text="a b c d e f g h i j k l m n o p q r s t")
        chunks = make_chunks(document, WORDS, workshop)
        assert [len(each.text.split()) for each in chunks] == [17, 3]
        assert [len(each.split()) for each in texts_to_embed(document, chunks, WORDS, workshop)] == [19, 5]
        shorter = replace(WORDS, chunking=Chunking(max_tokens=10))
        assert [len(each.text.split()) for each in make_chunks(document, shorter, workshop)] == [10, 10]

    def test_tokens_are_no_bound_where_they_cannot_be_counted(self) -> None:
        with pytest.raises(NotConfigured, match="cannot be counted"):
            make_chunks(draft(text="a b"), replace(WORDS, chunking=Chunking(max_tokens=10)), WORKSHOP)

    def test_the_caller_s_chunks_are_taken_as_they_are(self) -> None:
        document = draft(chunk(text="one"), ChunkDraft("two", 4, 7), text="one\ntwo")
        assert make_chunks(document, WORDS, WORKSHOP) == (
            PreparedChunk("one", None, None),
            PreparedChunk("two", 4, 7),
        )

    def test_title_and_headings_stand_above_the_text(self) -> None:
        chunks = [PreparedChunk("text", 0, 4, ("Top", "Deeper"))]
        assert texts_to_embed(draft(title="Title"), chunks, WORDS, WORKSHOP) == ["Title\nTop\nDeeper\ntext"]
        assert texts_to_embed(draft(), [PreparedChunk("text", 0, 4)], WORDS, WORKSHOP) == ["text"]
        said_already = [PreparedChunk("# Top text", 0, 10, ("Title", "Top"))]
        assert texts_to_embed(draft(title="Title"), said_already, WORDS, WORKSHOP) == ["Title\n# Top text"]
        alone = replace(WORDS, chunking=Chunking(without_context=True))
        assert texts_to_embed(draft(title="Title"), chunks, alone, WORKSHOP) == ["text"]

    def test_a_collection_without_embedder_wants_chunks_with_vectors(self) -> None:
        with pytest.raises(InvalidField) as caught:
            identify(draft(text="text"), BARE, WORKSHOP)
        assert fields_of(caught.value) == ["document.chunks"]
        with pytest.raises(InvalidField) as caught:
            identify(draft(chunk(), chunk(1, 0, 0), chunk()), BARE, WORKSHOP)
        assert fields_of(caught.value) == ["document.chunks[0].vector", "document.chunks[2].vector"]

    def test_all_chunks_have_a_vector_or_none(self) -> None:
        with pytest.raises(InvalidField) as caught:
            identify(draft(chunk(), chunk(*[1.0] * 8), chunk()), WORDS, WORKSHOP)
        assert fields_of(caught.value) == ["document.chunks[0].vector", "document.chunks[2].vector"]

    def test_the_server_must_have_the_collection_s_embedder(self) -> None:
        with pytest.raises(NotConfigured):
            identify(draft(text="text"), replace(WORDS, embedder="gone"), WORKSHOP)
        with pytest.raises(EmbedderMismatch):
            identify(draft(text="text"), replace(WORDS, embedder_fingerprint="letters/0"), WORKSHOP)

    def test_white_space_alone_is_no_text(self) -> None:
        with pytest.raises(InvalidField) as caught:
            make_chunks(draft(text=" \n\t"), WORDS, WORKSHOP)
        assert fields_of(caught.value) == ["document.text"]

    def test_too_much_at_once(self) -> None:
        with pytest.raises(LimitExceeded, match="101 characters"):
            identify(draft(text="x" * 101), WORDS, WORKSHOP)
        with pytest.raises(LimitExceeded, match="4 chunks"):
            make_chunks(draft(text="a\nb\nc\nd"), WORDS, WORKSHOP)
        with pytest.raises(LimitExceeded, match="4 chunks"):
            identify(draft(*[chunk()] * 4), WORDS, WORKSHOP)
        with pytest.raises(LimitExceeded, match="metadata"):
            identify(draft(text="a", metadata={"k": "x" * 60}), WORDS, WORKSHOP)
