"""LlamaIndex against the production server: the documented behaviour of a vector store, by either client.

LlamaIndex ships no standard tests of vector stores. What its own SimpleVectorStore does is taken as the rule.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from llama_index.core import Document as LlamaDocument
from llama_index.core import MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

from rag_client import AsyncRagClient, Document, RagClient, errors
from rag_client.integrations.llamaindex import RagRetriever, RagVectorStore
from tests.e2e.threaded_server import quick_settings, serving

VECTORS = {"red": [1.0, 0.0, 0.0], "orange": [0.8, 0.6, 0.0], "blue": [0.0, 0.0, 1.0]}


@pytest.fixture(scope="module", params=["memory", "embedded"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(quick_settings(request.param, tmp_path_factory.mktemp("llamaindex"))) as target:
        yield target


@pytest.fixture
def client(address: str) -> Iterator[RagClient]:
    with RagClient(address) as opened:
        yield opened


@pytest.fixture
async def async_client(address: str) -> AsyncIterator[AsyncRagClient]:
    async with AsyncRagClient(address) as opened:
        yield opened


@pytest.fixture
def collection() -> str:
    return f"c-{uuid.uuid4().hex}"


def colours() -> list[TextNode]:
    """Three nodes of two documents, with all that a node can carry."""
    nodes = []
    for name, vector in VECTORS.items():
        source = "cold" if name == "blue" else "warm"
        nodes.append(
            TextNode(
                id_=name,
                text=f"the colour {name}",
                embedding=vector,
                metadata={"length": len(name), "tags": [source], "nothing": None, "none": []},
                excluded_llm_metadata_keys=["length"],
                start_char_idx=2,
                end_char_idx=9,
                relationships={
                    NodeRelationship.SOURCE: RelatedNodeInfo(node_id=source, metadata={"of": 1}),
                    NodeRelationship.NEXT: RelatedNodeInfo(node_id="next"),
                },
            )
        )
    return nodes


@pytest.fixture(params=["server", "own"])
def store(request: pytest.FixtureRequest, client: RagClient, collection: str) -> RagVectorStore:
    made = RagVectorStore(client, collection=collection, own_embeddings=request.param == "own")
    assert made.add(colours()) == ["red", "orange", "blue"]
    return made


def near(name: str, k: int = 3, **fields: Any) -> VectorStoreQuery:
    return VectorStoreQuery(
        query_str=f"the colour {name}", query_embedding=VECTORS[name], similarity_top_k=k, **fields
    )


def where(key: str, value: Any, operator: FilterOperator = FilterOperator.EQ) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=operator)])


def test_nodes_come_back_as_they_went(store: RagVectorStore) -> None:
    result = store.query(near("orange"))
    assert result.nodes is not None
    assert result.ids is not None
    assert result.similarities is not None
    assert result.ids[0] == result.nodes[0].node_id == "orange"
    assert result.similarities == sorted(result.similarities, reverse=True)
    sent = colours()[1]
    sent.embedding = None
    assert result.nodes[0] == sent
    assert store.get_nodes(["orange"]) == [sent]


def test_adding_makes_the_collection(store: RagVectorStore, client: RagClient, collection: str) -> None:
    made = client.get_collection(collection)
    kind = ("none", 3) if store.own_embeddings else ("mock", 384)
    assert (made.embedder, made.dimension, made.document_count) == (*kind, 3)
    assert store.is_embedding_query == store.own_embeddings
    assert store.client is client


def test_adding_again_replaces(store: RagVectorStore) -> None:
    store.add([TextNode(id_="red", text="now green", embedding=[0.0, 1.0, 0.0])])
    (node,) = store.get_nodes(["red"])
    assert node.get_content() == "now green"
    assert len(store.get_nodes()) == 3


def test_an_index_over_the_store_finds_and_forgets_documents(client: RagClient, collection: str) -> None:
    store = RagVectorStore(client, collection=collection)
    context = StorageContext.from_defaults(vector_store=store)
    documents = [LlamaDocument(text=f"a text about {name}", doc_id=name) for name in VECTORS]
    index = VectorStoreIndex.from_documents(documents, context, embed_model=MockEmbedding(1))
    retriever = index.as_retriever(similarity_top_k=2)
    assert retriever.retrieve("a text about blue")[0].node.ref_doc_id == "blue"
    index.delete_ref_doc("blue")
    assert {each.node.ref_doc_id for each in retriever.retrieve("a text about blue")} == {"red", "orange"}
    again = VectorStoreIndex.from_vector_store(store, embed_model=MockEmbedding(1))
    assert again.as_retriever(similarity_top_k=1).retrieve("red")[0].node.ref_doc_id == "red"


class ByFirstWord(BaseEmbedding):
    """An embedding model that knows three words."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return VECTORS[text.split(maxsplit=1)[0]]

    def _get_query_embedding(self, query: str) -> list[float]:
        return VECTORS[query.split(maxsplit=1)[0]]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return VECTORS[query.split(maxsplit=1)[0]]


async def test_an_index_with_a_model_of_its_own(
    client: RagClient, async_client: AsyncRagClient, collection: str
) -> None:
    store = RagVectorStore(client, async_client=async_client, collection=collection, own_embeddings=True)
    context = StorageContext.from_defaults(vector_store=store)
    documents = [LlamaDocument(text=f"{name} it is", doc_id=name) for name in VECTORS]
    index = VectorStoreIndex.from_documents(documents, context, embed_model=ByFirstWord())
    retriever = index.as_retriever(similarity_top_k=1)
    (found,) = retriever.retrieve("orange")
    assert found.node.ref_doc_id == "orange"
    assert found.score == pytest.approx(1, abs=1e-5)
    assert (await retriever.aretrieve("blue"))[0].node.ref_doc_id == "blue"


def test_nodes_are_read_and_removed_by_ids_and_filters(store: RagVectorStore) -> None:
    warm = where("tags", "warm", FilterOperator.CONTAINS)
    assert [node.node_id for node in store.get_nodes(filters=warm)] == ["orange", "red"]
    assert [node.node_id for node in store.get_nodes(["red", "blue"], warm)] == ["red"]
    store.delete_nodes(["red", "blue"], warm)
    assert [node.node_id for node in store.get_nodes()] == ["blue", "orange"]
    store.delete_nodes([])
    store.delete_nodes(["blue"])
    assert [node.node_id for node in store.get_nodes()] == ["orange"]
    with pytest.raises(ValueError, match="`clear` removes all"):
        store.delete_nodes()
    store.clear()
    assert store.get_nodes() == []


def test_the_nodes_of_a_document_are_removed(store: RagVectorStore) -> None:
    store.delete("warm")
    store.delete('nobody" OR doc_id = "blue')
    assert [node.node_id for node in store.get_nodes()] == ["blue"]


async def test_everything_is_done_by_the_asyncio_client_alone(
    async_client: AsyncRagClient, collection: str
) -> None:
    store = RagVectorStore(async_client=async_client, collection=collection)
    assert await store.async_add(colours()) == ["red", "orange", "blue"]
    result: VectorStoreQueryResult = await store.aquery(near("blue", 1))
    assert result.ids == ["blue"]
    await store.adelete("cold")
    assert [node.node_id for node in await store.aget_nodes()] == ["orange", "red"]
    await store.adelete_nodes(["red"])
    assert [node.node_id for node in await store.aget_nodes(["red", "orange"])] == ["orange"]
    await store.aclear()
    assert await store.aget_nodes() == []
    with pytest.raises(ValueError, match="needs a RagClient"):
        store.clear()


async def test_without_an_asyncio_client_the_other_works_in_a_thread(store: RagVectorStore) -> None:
    assert (await store.aquery(near("blue", 1))).ids == ["blue"]
    await store.adelete("warm")
    assert [node.node_id for node in await store.aget_nodes()] == ["blue"]
    await store.adelete_nodes(["blue"])
    await store.async_add(colours()[:1])
    assert [node.node_id for node in await store.aget_nodes(["red"])] == ["red"]
    await store.aclear()
    assert await store.aget_nodes() == []


def test_what_cannot_be_is_refused(client: RagClient, collection: str) -> None:
    with pytest.raises(ValueError, match="a collection of their own"):
        RagVectorStore(client, own_embeddings=True)
    with pytest.raises(ValueError, match="a client is needed"):
        RagVectorStore()
    client.create_collection(collection)
    store = RagVectorStore(client, collection=collection, own_embeddings=True)
    with pytest.raises(errors.CollectionExistsError):
        store.add(colours())
    with pytest.raises(TypeError, match="no option topk"):
        store.add(colours(), topk=3)
    with pytest.raises(ValueError, match="no mode SVM"):
        store.query(near("red", mode=VectorStoreQueryMode.SVM))


async def test_the_retriever_makes_nodes_of_any_document(
    client: RagClient, async_client: AsyncRagClient, collection: str
) -> None:
    client.create_collection(collection)
    text = "# Guide\n\n## Start\n\nStart the server."
    guide = Document("guide.md", text, title="The guide", media_type="text/markdown", metadata={"lang": "en"})
    client.ingest_document(guide, collection=collection)
    retriever = RagRetriever(client, collection=collection, similarity_top_k=1, options={"exact": True})
    (found,) = retriever.retrieve("how do I start the server?")
    node: Any = found.node
    assert (node.node_id, node.ref_doc_id) == ("guide.md#0", "guide.md")
    assert node.text == text[node.start_char_idx : node.end_char_idx]
    assert {"title": "The guide", "lang": "en"}.items() <= node.metadata.items()
    other = RagRetriever(async_client=async_client, collection=collection)
    assert [each.node.node_id for each in await other.aretrieve("server")] == ["guide.md#0"]
    store = RagVectorStore(client, collection=collection)
    assert store.get_nodes(["guide.md"])[0].get_content() == text


def test_variety_is_asked_for(store: RagVectorStore) -> None:
    store.add([TextNode(id_=f"red {n}", text="the colour red", embedding=VECTORS["red"]) for n in range(3)])
    mmr = VectorStoreQueryMode.MMR
    assert all(
        "red" in node_id for node_id in store.query(near("red", mode=mmr), mmr_threshold=1.0).ids or []
    )
    varied = store.query(near("red", mode=mmr, mmr_threshold=0.1), mmr_prefetch_k=6).ids or []
    assert {"orange", "blue"} <= set(varied)


def test_filters_and_ids_bound_what_is_found(store: RagVectorStore) -> None:
    def ids(**fields: Any) -> list[str]:
        return sorted(store.query(near("red", **fields)).ids or [])

    assert ids(filters=where("length", 4)) == ["blue"]
    assert ids(filters=where("length", 4, FilterOperator.LTE)) == ["blue", "red"]
    assert ids(filters=where("tags", "warm", FilterOperator.CONTAINS)) == ["orange", "red"]
    assert ids(filters=where("nothing", None, FilterOperator.IS_EMPTY)) == ["blue", "orange", "red"]
    assert ids(filters=where("none", None, FilterOperator.IS_EMPTY)) == ["blue", "orange", "red"]
    assert ids(doc_ids=["warm"]) == ["orange", "red"]
    assert ids(node_ids=["blue", "red"], filters=where("length", 3)) == ["red"]
    assert ids(node_ids=[], doc_ids=[]) == ["blue", "orange", "red"]


@pytest.mark.parametrize("mode", ["sparse", "text_search", "hybrid", "semantic_hybrid", "default", "mmr"])
def test_every_mode_finds_the_best(store: RagVectorStore, mode: str) -> None:
    query = near("orange", 1, mode=VectorStoreQueryMode(mode))
    assert store.query(query).ids == ["orange"]
