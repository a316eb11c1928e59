"""LangChain's own standard tests against the production server, with either client and either embedder."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.indexing import InMemoryRecordManager, aindex, index
from langchain_tests.integration_tests import RetrieversIntegrationTests, VectorStoreIntegrationTests
from langchain_tests.integration_tests.vectorstores import EMBEDDING_SIZE

import rag_client
from rag_client import AsyncRagClient, RagClient, errors
from rag_client.integrations.langchain import RagRetriever, RagVectorStore
from tests.e2e.threaded_server import quick_settings, serving


@pytest.fixture(scope="module", params=["memory", "embedded"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(quick_settings(request.param, tmp_path_factory.mktemp("langchain"))) as target:
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
def collection(client: RagClient) -> str:
    return f"c-{uuid.uuid4().hex}"


class TestWithTheServersEmbedder(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, client: RagClient, collection: str) -> Iterator[RagVectorStore]:
        client.create_collection(collection)
        yield RagVectorStore(client, collection=collection)
        client.delete_collection(collection)


class TestWithTheCallersEmbeddings(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(
        self, client: RagClient, async_client: AsyncRagClient, collection: str
    ) -> Iterator[RagVectorStore]:
        client.create_collection(collection, embedder="none", dimension=EMBEDDING_SIZE)
        yield RagVectorStore(
            client, async_client=async_client, collection=collection, embedding=self.get_embeddings()
        )
        client.delete_collection(collection)


class TestStandardRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def corpus(self, client: RagClient, async_client: AsyncRagClient, collection: str) -> Iterator[None]:
        self.params = {"client": client, "async_client": async_client, "collection": collection}
        client.create_collection(collection)
        list(
            client.ingest_stream(
                [rag_client.Document(f"d{number}", f"hello {number}") for number in range(5)],
                collection=collection,
            )
        )
        yield
        client.delete_collection(collection)

    @property
    def retriever_constructor(self) -> type[RagRetriever]:
        return RagRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return self.params

    @property
    def retriever_query_example(self) -> str:
        return "hello"


def texts(documents: list[Document]) -> list[str]:
    return [document.page_content for document in documents]


EMBEDDINGS = DeterministicFakeEmbedding(size=8)


@pytest.fixture
def store(client: RagClient, collection: str) -> RagVectorStore:
    """Three texts with vectors of their own, in a collection that adding them made."""
    return RagVectorStore.from_texts(
        ["apple", "banana", "cherry"],
        EMBEDDINGS,
        [{"n": n} for n in range(3)],
        ids=["a", "b", "c"],
        client=client,
        collection=collection,
    )


def test_adding_makes_the_collection(store: RagVectorStore, client: RagClient, collection: str) -> None:
    made = client.get_collection(collection)
    assert (made.embedder, made.dimension, made.document_count) == ("none", 8, 3)
    assert store.embeddings is EMBEDDINGS
    served = RagVectorStore(client, collection=f"{collection}-2")
    assert len(served.add_texts(["one", "two"])) == 2
    assert client.get_collection(f"{collection}-2").embedder == "mock"
    assert texts(served.similarity_search("one", k=1)) == ["one"]


def test_a_collection_of_another_kind_is_refused(client: RagClient, collection: str) -> None:
    client.create_collection(collection)
    with pytest.raises(errors.CollectionExistsError):
        RagVectorStore(client, collection=collection, embedding=EMBEDDINGS).add_texts(["x"])


def test_searching_makes_no_collection(client: RagClient, collection: str) -> None:
    with pytest.raises(errors.CollectionNotFoundError):
        RagVectorStore(client, collection=collection).similarity_search("x")


def test_scores_are_larger_for_nearer(store: RagVectorStore) -> None:
    found = store.similarity_search_with_score("banana", k=3)
    assert found[0][0].page_content == "banana"
    assert found[0][1] == pytest.approx(1, abs=1e-4)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert len(store.similarity_search("banana", k=3, min_score=0.99)) == 1


def test_relevance_is_between_0_and_1(store: RagVectorStore) -> None:
    scores = [score for _, score in store.similarity_search_with_relevance_scores("banana", k=3)]
    assert scores[0] == pytest.approx(1, abs=1e-4)
    assert all(0 <= score <= 1 for score in scores)
    retriever = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.99}
    )
    assert texts(retriever.invoke("cherry")) == ["cherry"]


async def test_an_embedding_is_searched_for_by_either_client(
    store: RagVectorStore, async_client: AsyncRagClient, collection: str
) -> None:
    embedding = EMBEDDINGS.embed_query("cherry")
    alone = RagVectorStore(async_client=async_client, collection=collection, embedding=EMBEDDINGS)
    assert texts(await alone.asimilarity_search_by_vector(embedding, k=1)) == ["cherry"]
    assert texts(await store.asimilarity_search_by_vector(embedding, k=1)) == ["cherry"]
    assert await alone.asimilarity_search_with_relevance_scores("cherry", k=1) == (
        await store.asimilarity_search_with_relevance_scores("cherry", k=1)
    )
    with pytest.raises(ValueError, match="a method that blocks needs a RagClient"):
        alone.similarity_search("cherry")


async def test_everything_is_done_by_the_asyncio_client_alone(
    async_client: AsyncRagClient, collection: str
) -> None:
    store = await RagVectorStore.afrom_texts(
        ["apple", "banana"], ids=["a", "b"], async_client=async_client, collection=collection
    )
    assert [each.id for each in await store.aget_by_ids(["b", "none", "a"])] == ["b", "a"]
    await store.adelete(["a"])
    assert texts(await store.asimilarity_search("apple")) == ["banana"]
    await store.adelete()
    assert await store.asimilarity_search("apple") == []


def test_deleting_nothing_deletes_nothing(store: RagVectorStore) -> None:
    assert store.delete([])
    assert len(store.get_by_ids(["a", "b", "c"])) == 3
    assert store.delete()
    assert store.get_by_ids(["a", "b", "c"]) == []


def test_many_documents_are_read_in_several_calls(store: RagVectorStore) -> None:
    ids = [f"n{number}" for number in range(250)]
    store.add_texts([f"text {number}" for number in range(250)], ids=ids)
    assert [each.id for each in store.get_by_ids(ids)] == ids


async def test_langchains_index_keeps_the_store_in_step(
    client: RagClient, async_client: AsyncRagClient, collection: str
) -> None:
    store = RagVectorStore(client, async_client=async_client, collection=collection)
    records = InMemoryRecordManager(namespace=collection)
    records.create_schema()
    options: Any = {"cleanup": "full", "source_id_key": "source", "key_encoder": "sha256"}

    def documents(*names: str) -> list[Document]:
        return [Document(f"about {name}", metadata={"source": name}) for name in names]

    first = index(documents("a", "b"), records, store, **options)
    assert (first["num_added"], first["num_deleted"]) == (2, 0)
    second = await aindex(documents("b", "c"), records, store, **options)
    assert (second["num_added"], second["num_skipped"], second["num_deleted"]) == (1, 1, 1)
    assert sorted(texts(store.similarity_search("about"))) == ["about b", "about c"]


def test_one_that_fails_is_named_and_the_others_are_stored(client: RagClient, collection: str) -> None:
    store = RagVectorStore(client, collection=collection)
    with pytest.raises(errors.InvalidFieldError) as caught:
        store.add_texts(["good", " ", "fine"], ids=["a", "b", "c"])
    assert caught.value.__notes__ == ["document 'b'; 1 of 3 documents failed"]
    assert len(store.get_by_ids(["a", "b", "c"])) == 2


def test_with_split_the_server_splits(client: RagClient, collection: str) -> None:
    long = "\n\n".join(f"Paragraph {number}. " + "word " * 150 for number in range(20))
    whole = RagVectorStore(client, collection=collection)
    whole.add_texts([long], ids=["whole"])
    assert texts(whole.similarity_search("Paragraph 7")) == [long]
    split = RagVectorStore(client, collection=collection, split=True)
    split.add_texts([long], ids=["whole"])
    found = split.similarity_search("Paragraph 7")
    assert len(found) > 1
    assert {each.id for each in found} == {"whole"}
    assert all(each.page_content in long and len(each.page_content) < 3000 for each in found)
    assert texts(split.get_by_ids(["whole"])) == [long]


def test_what_cannot_be_is_refused(client: RagClient) -> None:
    with pytest.raises(ValueError, match="a client is needed"):
        RagVectorStore()
    with pytest.raises(ValueError, match="a collection of their own"):
        RagVectorStore(client, embedding=EMBEDDINGS)
    with pytest.raises(ValueError, match="leave out `embedding` or `split`"):
        RagVectorStore(client, collection="c", embedding=EMBEDDINGS, split=True)
    store = RagVectorStore(client)
    with pytest.raises(ValueError, match="k is 0"):
        store.similarity_search("x", k=0)
    with pytest.raises(TypeError, match="no option 'topk'"):
        store.similarity_search("x", topk=3)
    with pytest.raises(TypeError, match="no option chunk_size"):
        store.add_texts(["x"], chunk_size=3)
    with pytest.raises(ValueError, match="a client is needed"):
        RagRetriever(collection="c")
    with pytest.raises(ValueError, match="2 ids for 1 documents"):
        store.add_documents([Document("x")], ids=["a", "b"])
    with pytest.raises(ValueError, match="by ids or by a filter"):
        store.delete(["a"], filter="a = 1")
    with pytest.raises(ValueError, match="no scale of 0 to 1"):
        store.similarity_search_with_relevance_scores("x", rerank=rag_client.Rerank("mmr"))


async def test_a_retriever_tells_what_is_known_of_a_hit(
    client: RagClient, async_client: AsyncRagClient, collection: str
) -> None:
    client.create_collection(collection)
    text = "# Guide\n\n## Start\n\nStart the server."
    guide = rag_client.Document(
        "guide.md", text, title="The guide", media_type="text/markdown", metadata={"lang": "en", "end": "x"}
    )
    client.ingest_document(guide, collection=collection)
    retriever = RagRetriever(client=client, collection=collection, k=1, options={"exact": True})
    (found,) = retriever.invoke("how do I start the server?")
    assert found.id == "guide.md"
    assert found.metadata["relevance_score"] > 0
    assert found.metadata["end"] == "x"
    assert found.page_content == text[found.metadata["start"] :][: len(found.page_content)]
    assert {"title": "The guide", "lang": "en", "ordinal": 0}.items() <= found.metadata.items()
    other = RagRetriever(async_client=async_client, collection=collection)
    assert (await other.ainvoke("start the server", k=1, exact=True))[0].id == "guide.md"
    with pytest.raises(TypeError, match="no option 'topk'"):
        retriever.invoke("x", topk=3)


async def test_variety_is_asked_for_by_either_client(
    store: RagVectorStore, async_client: AsyncRagClient, collection: str
) -> None:
    alone = RagVectorStore(async_client=async_client, collection=collection, embedding=EMBEDDINGS)
    store.add_texts(["apple", "apple"], ids=["a2", "a3"])
    apple = EMBEDDINGS.embed_query("apple")
    assert texts(store.similarity_search("apple", k=3)) == ["apple"] * 3
    for found in (
        store.max_marginal_relevance_search("apple", k=3, fetch_k=5, lambda_mult=0.1),
        store.max_marginal_relevance_search_by_vector(apple, k=3, fetch_k=5, lambda_mult=0.1),
        await alone.amax_marginal_relevance_search("apple", k=3, fetch_k=5, lambda_mult=0.1),
        await alone.amax_marginal_relevance_search_by_vector(apple, k=3, fetch_k=5, lambda_mult=0.1),
        store.as_retriever(search_type="mmr", search_kwargs={"k": 3, "lambda_mult": 0.1}).invoke("apple"),
    ):
        assert sorted(texts(found)) == ["apple", "banana", "cherry"]
    nearest = store.max_marginal_relevance_search("apple", k=3, lambda_mult=1.0)
    assert texts(nearest) == ["apple"] * 3


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        ("n >= 1", ["b", "c"]),
        ({"n": {"$gte": 1}}, ["b", "c"]),
        ({"$or": [{"n": 0}, {"n": {"$in": [2]}}]}, ["a", "c"]),
        ({"n": {"$nin": [0]}, "m": None}, ["b", "c"]),
        (rag_client.Field("n") == 1, ["b"]),
        ({}, ["a", "b", "c"]),
    ],
)
def test_filters_are_texts_conditions_or_dicts(store: RagVectorStore, given: Any, ids: list[str]) -> None:
    assert sorted(each.id or "" for each in store.similarity_search("apple", filter=given)) == ids
    retriever = store.as_retriever(search_kwargs={"filter": given, "k": 9})
    assert len(retriever.invoke("apple")) == len(ids)
    if given != {}:  # a Condition has no truth to ask for
        store.delete(filter=given)
        assert store.similarity_search("apple", filter=given) == []


def test_words_count_beside_vectors_of_ones_own(store: RagVectorStore, client: RagClient) -> None:
    assert texts(store.similarity_search("a cherry, please", k=1, mode="hybrid")) == ["cherry"]
    assert texts(store.similarity_search("a cherry, please", mode="lexical")) == ["cherry"]
    (best, *_) = store.similarity_search_with_relevance_scores("cherry", mode="hybrid")
    assert best[0].page_content == "cherry"
    assert best[1] == pytest.approx(1)
    with pytest.raises(ValueError, match=r"mode 'lexical' .* have no scale of 0 to 1"):
        store.similarity_search_with_relevance_scores("cherry", mode="lexical")
