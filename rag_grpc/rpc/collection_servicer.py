"""CollectionService: convert, call, convert."""

from __future__ import annotations

from typing import Any

import grpc

from rag_grpc.core.catalogue import Catalogue
from rag_grpc.core.limits import Limits
from rag_grpc.core.models import DEFAULT_COLLECTION, Collection
from rag_grpc.core.reembedding import Reembedding
from rag_grpc.rpc import page_tokens
from rag_grpc.rpc.convert_collection import collection_to_proto, spec_from_proto
from rag_grpc.rpc.drain import Drain
from rag_grpc.rpc.interceptors.call import about
from rag_grpc.rpc.reembed_stream import reembed
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import collection_service_pb2 as pb
from ragapi.v1.collection_service_pb2_grpc import CollectionServiceServicer

DEFAULT_PAGE_SIZE = 100


class CollectionServicer(CollectionServiceServicer):
    """Makes, shows and removes collections. A page of 1000 of them is far below a response's limit."""

    def __init__(
        self, *, catalogue: Catalogue, reembedding: Reembedding, drain: Drain, limits: Limits
    ) -> None:
        self._catalogue = catalogue
        self._reembedding = reembedding
        self._drain = drain
        self._validator = Validator(limits)

    async def CreateCollection(
        self, request: pb.CreateCollectionRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.CreateCollectionResponse:
        """Create a collection, or find it as it is asked for."""
        del context
        self._validator.check(request)
        about(collection=request.collection.name)
        collection = await self._catalogue.create(spec_from_proto(request.collection))
        return pb.CreateCollectionResponse(collection=self._counted(collection))

    async def GetCollection(
        self, request: pb.GetCollectionRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetCollectionResponse:
        """Show one collection."""
        del context
        self._validator.check(request)
        about(collection=request.name or DEFAULT_COLLECTION)
        return pb.GetCollectionResponse(collection=self._counted(self._catalogue.get(request.name)))

    async def ListCollections(
        self, request: pb.ListCollectionsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListCollectionsResponse:
        """Show a page of collections."""
        del context
        self._validator.check(request)
        after = page_tokens.text_position(request.page_token, "collections", ())
        page, more = self._catalogue.page(after, request.page_size or DEFAULT_PAGE_SIZE)
        token = page_tokens.encode("collections", (), page[-1].name) if more else ""
        return pb.ListCollectionsResponse(
            collections=[self._counted(collection) for collection in page], next_page_token=token
        )

    async def ReembedCollection(  # type: ignore[override]  # the stubs know no coroutine that writes
        self, request: pb.ReembedCollectionRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Give a collection another embedder, and say how far that is."""
        self._validator.check(request)
        about(collection=request.name, embedder=request.embedder)
        await reembed(request, context, reembedding=self._reembedding, drain=self._drain, shown=self._counted)

    async def DeleteCollection(
        self, request: pb.DeleteCollectionRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.DeleteCollectionResponse:
        """Remove a collection."""
        del context
        self._validator.check(request)
        about(collection=request.name)
        return pb.DeleteCollectionResponse(existed=await self._catalogue.delete(request.name, request.uid))

    def _counted(self, collection: Collection) -> pb.Collection:
        return collection_to_proto(collection, self._catalogue.counts(collection))
