"""The two hashes: equal for what is equal, different for all else."""

from __future__ import annotations

import numpy as np
import pytest

from rag_grpc.core.hashing import canonical_metadata, canonical_vector, content_hash, embedding_key
from rag_grpc.core.models import (
    ChunkDraft,
    Chunking,
    DocumentDraft,
    MetadataDict,
)

DRAFT = DocumentDraft("a", text="text", title="title")
CHUNKED = DRAFT._replace(chunks=(ChunkDraft("one", 0, 3, np.array([1, 0], np.float32)), ChunkDraft("two")))


KEY_OF_DRAFT = "8110a64b86f828ec5fa23a290a518cc455ccd910559ba8d89cba8d55622c429f"
KEY_OF_CHUNKED = "bf95d8502951035dc9d734ee45bc5b87b74015cc957b2ef3b97515f613a55b5b"


def key(
    draft: DocumentDraft, *, fingerprint: str = "f", splitter: str = "s", chunking: Chunking | None = None
) -> bytes:
    return embedding_key(draft, fingerprint=fingerprint, splitter=splitter, chunking=chunking or Chunking())


def test_keys_tell_apart_what_vectors_depend_on() -> None:
    one, two = CHUNKED.chunks
    keys = [
        key(DRAFT),
        key(DRAFT._replace(text="other")),
        key(DRAFT._replace(title="other")),
        key(DRAFT._replace(title="", text="titletext")),
        key(DRAFT._replace(media_type="text/markdown")),
        key(DRAFT, fingerprint="g"),
        key(DRAFT, splitter="t"),
        key(DRAFT, chunking=Chunking(max_characters=5)),
        key(DRAFT, chunking=Chunking(overlap_characters=5)),
        key(DRAFT, chunking=Chunking(max_tokens=5)),
        key(DRAFT, chunking=Chunking(without_context=True)),
        key(CHUNKED),
        key(CHUNKED, chunking=Chunking(without_context=True)),
        key(CHUNKED._replace(chunks=(one,))),
        key(CHUNKED._replace(chunks=(two, one))),
        key(CHUNKED._replace(chunks=(one._replace(text="onetwo"), two._replace(text="")))),
        key(CHUNKED._replace(chunks=(one._replace(start=1), two))),
        key(CHUNKED._replace(chunks=(one._replace(start=None, end=None), two))),
        key(CHUNKED._replace(chunks=(one._replace(vector=None), two))),
        key(CHUNKED._replace(chunks=(one._replace(vector=np.array([0, 1], np.float32)), two))),
    ]
    assert len(set(keys)) == len(keys)
    assert {len(each) for each in keys} == {32}


def test_keys_leave_out_what_vectors_do_not_depend_on() -> None:
    assert key(DRAFT._replace(doc_id="b", metadata={"n": 1.0})) == key(DRAFT)
    assert key(CHUNKED._replace(text="other", media_type="text/markdown"), splitter="t") == key(CHUNKED)


def test_content_hashes_tell_apart_all_that_is_stored() -> None:
    first = content_hash(b"k" * 32, text="t", title="u", media_type="v", metadata=b"{}")
    others = {content_hash(b"l" * 32, text="t", title="u", media_type="v", metadata=b"{}")}
    others |= {
        content_hash(b"k" * 32, text=text, title=title, media_type=media_type, metadata=metadata)
        for text, title, media_type, metadata in [
            ("x", "u", "v", b"{}"),
            ("t", "x", "v", b"{}"),
            ("t", "u", "x", b"{}"),
            ("t", "u", "v", b'{"a":1}'),
            ("tu", "", "v", b"{}"),
        ]
    }
    assert len(others) == 6
    assert first not in others


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1.0, "b": 2.0}, {"b": 2.0, "a": 1.0}),
        ({"a": -0.0}, {"a": 0.0}),
        ({"a": [{"b": -0.0, "c": None}]}, {"a": [{"c": None, "b": 0.0}]}),
    ],
)
def test_equal_metadata_has_one_form(one: MetadataDict, other: MetadataDict) -> None:
    assert canonical_metadata(one) == canonical_metadata(other)


def test_different_metadata_has_different_forms() -> None:
    values: list[MetadataDict] = [
        {},
        {"a": 1.0},
        {"a": True},
        {"a": "1.0"},
        {"a": None},
        {"a": [1.0]},
        {"a": {}},
        {"a": []},
        {"": 1.0},
        {"a": "ä"},
        {"a": "a\u0308"},
    ]
    assert len({canonical_metadata(each) for each in values}) == len(values)


def test_metadata_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_metadata({"a": float("nan")})


def test_vectors_are_little_endian_float32_with_one_zero() -> None:
    assert canonical_vector(np.array([1, -0.0], np.float32)) == b"\x00\x00\x80\x3f\x00\x00\x00\x00"
    strided = np.arange(6, dtype=np.float32)[::2]
    assert canonical_vector(strided) == canonical_vector(np.ascontiguousarray(strided))


def test_hashes_are_the_same_on_every_machine() -> None:
    assert key(DRAFT).hex() == KEY_OF_DRAFT
    assert key(CHUNKED).hex() == KEY_OF_CHUNKED
