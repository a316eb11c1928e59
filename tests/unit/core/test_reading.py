"""Reading documents and chunks back."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest

from rag_grpc.core.errors import CollectionNotFound, DocumentNotFound, RevisionMismatch
from rag_grpc.core.limits import Limits
from rag_grpc.core.models import Collection
from rag_grpc.core.reading import Reading
from rag_grpc.stores.memory import MemoryStore
from tests.contracts.fakes import JsonCodec, prepared, put, spec


class House:
    """A reading with what it stands on: three documents in "default", five in "bare"."""

    def __init__(self) -> None:
        self.store = MemoryStore(codec=JsonCodec())
        self.reading = Reading(store=self.store, limits=Limits())
        self.bare: Collection


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    await house.store.open()
    words = await house.store.create_collection(spec("default"), "")
    house.bare = await house.store.create_collection(spec("bare"), "")
    for text in ("harbour", "lighthouse", "jackdaw"):
        await put(house.store, words, prepared(text, text=text, texts=[text]))
    for place in range(5):
        await put(house.store, house.bare, prepared(f"d{place}", [1, place, 0, 0]))
    yield house
    await house.store.close()


async def test_documents_are_read(house: House) -> None:
    document = await house.reading.document("", "harbour")
    assert (document.doc_id, document.text) == ("harbour", "harbour")
    with pytest.raises(DocumentNotFound):
        await house.reading.document("", "missing")
    found = await house.reading.documents("default", ["jackdaw", "missing", "harbour"])
    assert [each.doc_id for each in found] == ["jackdaw", "harbour"]
    assert await house.reading.count("") == 3
    with pytest.raises(CollectionNotFound):
        await house.reading.count("missing")


async def test_documents_are_listed(house: House) -> None:
    page = await house.reading.list_documents("", after=None, limit=2, include_text=True)
    assert ([each.text for each in page.documents], page.more) == (["harbour", "jackdaw"], True)
    page = await house.reading.list_documents("", after="jackdaw", limit=2, include_text=False)
    assert ([(each.doc_id, each.text) for each in page.documents], page.more) == ([("lighthouse", "")], False)


async def test_chunks_are_listed_while_the_document_stays_as_it_is(house: House) -> None:
    await put(house.store, house.bare, prepared("many", np.eye(4, dtype=np.float32)))
    page = await house.reading.list_chunks(
        "bare", "many", first=0, limit=3, include_vectors=False, revision=None
    )
    assert ([each.ordinal for each in page.chunks], page.more) == ([0, 1, 2], True)
    rest = await house.reading.list_chunks(
        "bare", "many", first=3, limit=3, include_vectors=True, revision=page.revision
    )
    assert ([each.ordinal for each in rest.chunks], rest.more) == ([3], False)
    await put(house.store, house.bare, prepared("many", np.eye(4, dtype=np.float32)[:2]))
    with pytest.raises(RevisionMismatch):
        await house.reading.list_chunks(
            "bare", "many", first=3, limit=3, include_vectors=True, revision=page.revision
        )


async def test_a_page_leaves_room_for_the_rest_of_a_response(house: House) -> None:
    limits = Limits(max_response_bytes=4000)
    reading = Reading(store=house.store, limits=limits)
    for place in range(6):
        await put(house.store, house.bare, prepared(f"d{place}", [1, place, 0, 0], text="x" * 1000))
    page = await reading.list_documents("bare", after=None, limit=100, include_text=True)
    assert 1 <= len(page.documents) <= 3
    assert page.more
