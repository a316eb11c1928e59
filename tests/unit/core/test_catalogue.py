"""Making, showing, listing and removing collections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rag_grpc.core.catalogue import Catalogue
from rag_grpc.core.errors import (
    CollectionExists,
    CollectionNotFound,
    InvalidField,
    LimitExceeded,
    NotConfigured,
)
from rag_grpc.core.lanes import Lanes
from rag_grpc.core.limits import Limits
from rag_grpc.core.models import (
    Chunking,
    CollectionCounts,
    CollectionSpec,
    Metric,
)
from rag_grpc.stores.memory import MemoryStore
from tests.contracts.fakes import JsonCodec, LetterEmbedder, prepared, put

EMBEDDERS = {"letters": LetterEmbedder(), "more": LetterEmbedder(name="more", dimension=5, fingerprint="m/1")}


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    store = MemoryStore(codec=JsonCodec())
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def lanes() -> Lanes:
    return Lanes()


@pytest.fixture
def catalogue(store: MemoryStore, lanes: Lanes) -> Catalogue:
    return Catalogue(store, EMBEDDERS, Limits(max_collections=3), lanes=lanes)


async def test_what_is_left_open_is_the_server_s_choice(catalogue: Catalogue) -> None:
    made = await catalogue.create(CollectionSpec("a"))
    assert (made.embedder, made.embedder_fingerprint, made.dimension) == ("letters", "letters/1", 8)
    assert (made.metric, made.chunking, made.language) == (Metric.COSINE, Chunking(), "")
    other = await catalogue.create(CollectionSpec("b", embedder="more", metric=Metric.DOT, language="de"))
    assert (other.embedder, other.dimension, other.metric, other.language) == ("more", 5, Metric.DOT, "de")


async def test_without_embedders_the_caller_brings_every_vector(store: MemoryStore, lanes: Lanes) -> None:
    catalogue = Catalogue(store, {}, Limits(), lanes=lanes)
    made = await catalogue.create(CollectionSpec("a", dimension=3))
    assert (made.embedder, made.embedder_fingerprint, made.dimension) == ("none", "", 3)


@pytest.mark.parametrize("dimension", [0, 4097])
async def test_a_collection_without_embedder_needs_a_dimension(catalogue: Catalogue, dimension: int) -> None:
    with pytest.raises(InvalidField) as caught:
        await catalogue.create(CollectionSpec("a", embedder="none", dimension=dimension))
    assert [each.field for each in caught.value.violations] == ["collection.dimension"]


async def test_a_dimension_beside_an_embedder_must_be_its_own(catalogue: Catalogue) -> None:
    with pytest.raises(InvalidField) as caught:
        await catalogue.create(CollectionSpec("a", embedder="more", dimension=8))
    assert [each.field for each in caught.value.violations] == ["collection.dimension"]
    assert (await catalogue.create(CollectionSpec("a", embedder="more", dimension=5))).dimension == 5


async def test_an_unknown_embedder_is_not_configured(catalogue: Catalogue) -> None:
    with pytest.raises(NotConfigured, match="letters, more"):
        await catalogue.create(CollectionSpec("a", embedder="other"))


async def test_a_bound_of_tokens_needs_an_embedder_that_counts_them(catalogue: Catalogue) -> None:
    spec = CollectionSpec("a", embedder="letters", chunking=Chunking(max_tokens=8))
    with pytest.raises(NotConfigured, match=r"chunking\.max_tokens .* 'letters' cannot be counted"):
        await catalogue.create(spec)


FULL: dict[str, Any] = {
    "embedder": "more",
    "dimension": 5,
    "metric": Metric.DOT,
    "chunking": Chunking(max_characters=100, without_context=True),
    "language": "de",
}


@pytest.mark.parametrize(
    "again",
    [
        {},
        FULL,
        {"dimension": 5},
        {"metric": Metric.DOT},
        {"chunking": Chunking()},
        {"chunking": Chunking(max_characters=100)},
    ],
)
async def test_making_it_again_compares_what_is_set_alone(
    catalogue: Catalogue, again: dict[str, Any]
) -> None:
    made = await catalogue.create(CollectionSpec("a", **FULL))
    assert await catalogue.create(CollectionSpec("a", **again)) == made


@pytest.mark.parametrize(
    ("again", "named"),
    [
        ({"embedder": "letters"}, "embedder"),
        ({"embedder": "other"}, "embedder"),
        ({"dimension": 8}, "dimension"),
        ({"metric": Metric.COSINE}, "metric"),
        ({"chunking": Chunking(max_characters=99)}, "chunking.max_characters"),
        ({"chunking": Chunking(overlap_characters=9)}, "chunking.overlap_characters"),
        ({"chunking": Chunking(max_tokens=9)}, "chunking.max_tokens"),
        ({"language": "en"}, "language"),
    ],
)
async def test_another_configuration_exists_already(
    catalogue: Catalogue, again: dict[str, Any], named: str
) -> None:
    await catalogue.create(CollectionSpec("a", **FULL))
    with pytest.raises(CollectionExists, match=named):
        await catalogue.create(CollectionSpec("a", **again))


async def test_making_it_twice_at_once_makes_one(catalogue: Catalogue) -> None:
    one, other = await asyncio.gather(*(catalogue.create(CollectionSpec("a")) for _ in range(2)))
    assert one == other


async def test_more_collections_than_allowed(catalogue: Catalogue) -> None:
    for name in "abc":
        await catalogue.create(CollectionSpec(name))
    with pytest.raises(LimitExceeded):
        await catalogue.create(CollectionSpec("d"))
    assert (await catalogue.create(CollectionSpec("a"))).name == "a"


async def test_no_name_means_default(catalogue: Catalogue) -> None:
    with pytest.raises(CollectionNotFound):
        catalogue.get("")
    await catalogue.ensure_default()
    await catalogue.ensure_default()
    assert catalogue.get("") == catalogue.get("default")


async def test_pages_are_by_name(catalogue: Catalogue) -> None:
    for name in ("b", "a", "c"):
        await catalogue.create(CollectionSpec(name))
    first, more = catalogue.page(None, 2)
    assert ([each.name for each in first], more) == (["a", "b"], True)
    rest, more = catalogue.page("b", 2)
    assert ([each.name for each in rest], more) == (["c"], False)
    assert catalogue.page("aa", 1) == (catalogue.page("a", 1)[0], True)
    assert catalogue.page("c", 2) == ([], False)


async def test_counts(catalogue: Catalogue, store: MemoryStore) -> None:
    made = await catalogue.create(CollectionSpec("a", embedder="none", dimension=4))
    await put(store, made, prepared("d"))
    assert catalogue.counts(made) == CollectionCounts(1, 1)


async def test_removing_says_whether_it_was_there(catalogue: Catalogue) -> None:
    made = await catalogue.create(CollectionSpec("a"))
    assert not await catalogue.delete("a", "another uid")
    assert catalogue.get("a") == made
    assert await catalogue.delete("a", made.uid)
    assert not await catalogue.delete("a", "")
    await catalogue.create(CollectionSpec("a"))
    assert await catalogue.delete("a", "")


async def test_default_cannot_be_removed(catalogue: Catalogue) -> None:
    await catalogue.ensure_default()
    with pytest.raises(InvalidField) as caught:
        await catalogue.delete("default", "")
    assert [each.field for each in caught.value.violations] == ["name"]
    assert catalogue.get("default").name == "default"


async def test_removing_waits_for_writes_that_came_before(catalogue: Catalogue, lanes: Lanes) -> None:
    made = await catalogue.create(CollectionSpec("a"))
    ticket = lanes.ticket(made.id, "d")
    removing = asyncio.create_task(catalogue.delete("a", ""))
    racing = asyncio.create_task(catalogue.delete("a", ""))
    for _ in range(5):
        await asyncio.sleep(0)
    assert catalogue.get("a") == made
    ticket.release()
    assert [await removing, await racing] == [True, False]
    assert lanes.idle
