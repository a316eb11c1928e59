"""The collections: making, showing, listing and removing them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

from rag_grpc.core.chunking import check_countable
from rag_grpc.core.embedder_choice import embedder_named
from rag_grpc.core.errors import (
    CollectionExists,
    CollectionNotFound,
    FieldViolation,
    InvalidField,
    LimitExceeded,
)
from rag_grpc.core.lanes import Lanes
from rag_grpc.core.limits import Limits
from rag_grpc.core.model_ports import Embedder
from rag_grpc.core.models import (
    DEFAULT_COLLECTION,
    NO_EMBEDDER,
    Chunking,
    Collection,
    CollectionCounts,
    CollectionSpec,
    Metric,
)
from rag_grpc.core.ports import Store

MAX_DIMENSION = 4096


class Catalogue:
    """What collections there are. The first of `embedders` serves those that name none."""

    def __init__(
        self, store: Store, embedders: Mapping[str, Embedder], limits: Limits, *, lanes: Lanes
    ) -> None:
        self._store = store
        self._embedders = embedders
        self._limits = limits
        self._lanes = lanes

    async def create(self, spec: CollectionSpec) -> Collection:
        """Make a collection, or return the one that is there where all that `spec` sets agrees with it.

        Raises CollectionExists where something differs, NotConfigured for an embedder that this server lacks
        or whose tokens it cannot count where `spec` bounds them, InvalidField for a dimension that is missing
        or not the embedder's, LimitExceeded.
        """
        try:
            return _agreeing(self._store.collection(spec.name), spec)
        except CollectionNotFound:
            pass
        whole, fingerprint = self._completed(spec)
        if len(self._store.collections()) >= self._limits.max_collections:
            raise LimitExceeded(f"there are {self._limits.max_collections} collections already: remove one")
        try:
            return await self._store.create_collection(whole, fingerprint)
        except CollectionExists:
            # Somebody was faster.
            return _agreeing(self._store.collection(spec.name), spec)

    def get(self, name: str) -> Collection:
        """Look a collection up; "" means "default". Raises CollectionNotFound."""
        return self._store.collection(name or DEFAULT_COLLECTION)

    def counts(self, collection: Collection) -> CollectionCounts:
        """How much is in it. Raises CollectionNotFound."""
        return self._store.counts(collection)

    def page(self, after: str | None, limit: int) -> tuple[list[Collection], bool]:
        """Up to `limit` collections whose names follow `after`, by name, and whether more follow."""
        everything = self._store.collections()
        begin = 0 if after is None else bisect_right(everything, after, key=lambda each: each.name)
        return everything[begin : begin + limit], begin + limit < len(everything)

    async def delete(self, name: str, uid: str) -> bool:
        """Remove a collection, if `uid` is its own or empty; say whether there was one to remove.

        Writes that came before are answered first, those that come meanwhile find it gone.
        """
        if name == DEFAULT_COLLECTION:
            raise InvalidField.of(
                [FieldViolation("name", f"{name!r} can be emptied, by DeleteDocuments(all), but not removed")]
            )
        try:
            collection = self._store.collection(name)
            if uid and uid != collection.uid:
                return False
            async with self._lanes.barrier(collection.id):
                await self._store.delete_collection(collection)
        except CollectionNotFound:
            return False
        return True

    async def ensure_default(self) -> None:
        """Make the collection "default" where there is none."""
        await self.create(CollectionSpec(DEFAULT_COLLECTION))

    def _completed(self, spec: CollectionSpec) -> tuple[CollectionSpec, str]:
        """Set what `spec` leaves open; return it with the embedder's fingerprint."""
        name = spec.embedder or next(iter(self._embedders), NO_EMBEDDER)
        dimension, fingerprint = spec.dimension, ""
        if name != NO_EMBEDDER:
            embedder = embedder_named(name, self._embedders)
            dimension, fingerprint = embedder.dimension, embedder.fingerprint
            check_countable(spec.chunking or Chunking(), embedder)
            if spec.dimension not in (0, dimension):
                raise _bad_dimension(f"the embedder {name!r} makes {dimension}; leave it out, or say so")
        elif not 1 <= dimension <= MAX_DIMENSION:
            raise _bad_dimension(f"is required with the embedder {name!r}: 1 to {MAX_DIMENSION}")
        whole = CollectionSpec(
            name=spec.name,
            embedder=name,
            dimension=dimension,
            metric=spec.metric or Metric.COSINE,
            chunking=spec.chunking or Chunking(),
            language=spec.language,
        )
        return whole, fingerprint


def _bad_dimension(description: str) -> InvalidField:
    return InvalidField.of([FieldViolation("collection.dimension", description)])


def _agreeing(collection: Collection, spec: CollectionSpec) -> Collection:
    """Return `collection` where it is as `spec` asks, in all that `spec` sets. Raises CollectionExists."""
    wanted = spec.chunking or Chunking()
    has = collection.chunking
    pairs = {
        "embedder": (spec.embedder, collection.embedder),
        "dimension": (spec.dimension, collection.dimension),
        "metric": (spec.metric and spec.metric.value, collection.metric.value),
        "language": (spec.language, collection.language),
        "chunking.max_characters": (wanted.max_characters, has.max_characters),
        "chunking.overlap_characters": (wanted.overlap_characters, has.overlap_characters),
        "chunking.max_tokens": (wanted.max_tokens, has.max_tokens),
        "chunking.without_context": (wanted.without_context, has.without_context),
    }
    differing = [
        f"{field} is {stored!r}, not {asked!r}"
        for field, (asked, stored) in pairs.items()
        if asked and asked != stored
    ]
    if differing:
        raise CollectionExists(
            f"there is a collection {collection.name!r} already, and its {'; '.join(differing)}",
            metadata={"collection": collection.name},
        )
    return collection
