"""RetrievalService: convert, call, convert, and keep every response below its limit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any

import grpc

from rag_grpc.core.catalogue import Catalogue
from rag_grpc.core.errors import RagError
from rag_grpc.core.limits import Limits
from rag_grpc.core.models import DEFAULT_COLLECTION
from rag_grpc.core.queries import AlikeQueries, Query, QueryResult
from rag_grpc.core.reading import Reading
from rag_grpc.core.retrieval import Retrieval
from rag_grpc.rpc import page_tokens
from rag_grpc.rpc.answer_encoding import encode_answer, encode_batch_problem, encode_batch_result, least_size
from rag_grpc.rpc.convert import chunk_to_proto, document_to_proto
from rag_grpc.rpc.interceptors.call import about
from rag_grpc.rpc.query_reader import QueryReader
from rag_grpc.rpc.response_size import FRAME_BYTES, fitting, too_large
from rag_grpc.rpc.status import problem_of
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import retrieval_service_pb2 as pb
from ragapi.v1.retrieval_service_pb2_grpc import RetrievalServiceServicer

DEFAULT_PAGE_SIZE = 100
PAGE_OVERHEAD_BYTES = 4096
"""What a page has beside its items: a token, the total count."""
PROBLEM_BYTES = 512
"""What is kept free for each query of a batch, so that those that do not fit can still be told so."""
ENCODING_SECONDS = 0.005
"""How long a batch's answers are encoded before other calls have a turn."""
HITS_TOGETHER = 16_384
"""Of a batch, how many hits may be held at once; 256 queries for ten hits each have 2,560."""
_DOCUMENTS_A_READ = 32
_ASK_FOR_LESS = "lower `top_k`, or `omit` parts of the hits"


class RetrievalServicer(RetrievalServiceServicer):
    """Finds chunks and reads documents back."""

    def __init__(
        self, *, retrieval: Retrieval, reading: Reading, catalogue: Catalogue, limits: Limits
    ) -> None:
        self._retrieval = retrieval
        self._reading = reading
        self._catalogue = catalogue
        self._max_bytes = limits.max_response_bytes
        self._validator = Validator(limits)
        self._queries = QueryReader(self._validator)

    async def Query(self, request: pb.QueryRequest, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        """Answer one query with an encoded pb.QueryResponse."""
        del context
        query = self._queries.read(request)
        if isinstance(query, RagError):
            raise query
        about(collection=query.collection or DEFAULT_COLLECTION)
        result = await self._retrieval.query(query)
        response = encode_answer(request, result, self._max_bytes)
        if response is None:
            raise too_large(self._size(request, result), self._max_bytes, _ASK_FOR_LESS)
        return response

    async def BatchQuery(
        self, request: pb.BatchQueryRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> Any:
        """Answer several queries, each by itself, with an encoded pb.BatchQueryResponse.

        One whose answer finds no more room is LIMIT_EXCEEDED.
        """
        del context
        self._validator.check(request)
        about(queries=len(request.queries))
        queries = self._queries.read_all(request.queries)
        room = self._max_bytes - PROBLEM_BYTES * len(queries)
        outcomes: list[bytes] = []
        for part in _parts(queries):
            results = await self._retrieval.query_batch(queries[part])
            room -= await self._encode(request.queries[part], results, room, outcomes)
        return b"".join(outcomes)

    async def _encode(
        self,
        queries: Sequence[pb.QueryRequest],
        results: Sequence[QueryResult | RagError],
        room: int,
        outcomes: list[bytes],
    ) -> int:
        """Encode what queries came to, and say how much of `room` it takes."""
        left = room
        begin = perf_counter()
        for query, result in zip(queries, results, strict=True):
            if perf_counter() - begin > ENCODING_SECONDS:
                await asyncio.sleep(0)
                begin = perf_counter()
            outcome, needed = self._outcome(query, result, left)
            outcomes.append(outcome)
            left -= needed
        return room - left

    def _outcome(
        self, query: pb.QueryRequest, result: QueryResult | RagError, room: int
    ) -> tuple[bytes, int]:
        """Encode one query's outcome, and say how much of `room` it takes."""
        if isinstance(result, RagError):
            problem = encode_batch_problem(problem_of(result))
            return problem, max(0, len(problem) - PROBLEM_BYTES)
        answer = encode_answer(query, result, room)
        if answer is not None:
            outcome = encode_batch_result(answer)
            if len(outcome) <= room:
                return outcome, len(outcome)
        advice = f"{_ASK_FOR_LESS}, or send fewer queries at once"
        too_much = too_large(self._size(query, result), self._max_bytes, advice)
        return encode_batch_problem(problem_of(too_much)), 0

    def _size(self, request: pb.QueryRequest, result: QueryResult) -> int:
        """Say how much a response that does not fit would have at least."""
        return max(least_size(request, result), self._max_bytes + 1)

    async def GetDocument(
        self, request: pb.GetDocumentRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetDocumentResponse:
        """Read one document."""
        del context
        self._validator.check(request)
        about(collection=request.collection or DEFAULT_COLLECTION)
        document = await self._reading.document(request.collection, request.doc_id)
        return pb.GetDocumentResponse(document=document_to_proto(document))

    async def BatchGetDocuments(
        self, request: pb.BatchGetDocumentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.BatchGetDocumentsResponse:
        """Read several documents, some at a time, so that too many are noticed before all are in memory."""
        del context
        self._validator.check(request)
        about(collection=request.collection or DEFAULT_COLLECTION)
        response = pb.BatchGetDocumentsResponse()
        size = 0
        for first in range(0, len(request.doc_ids), _DOCUMENTS_A_READ):
            ids = request.doc_ids[first : first + _DOCUMENTS_A_READ]
            for document in await self._reading.documents(request.collection, ids):
                message = document_to_proto(document)
                response.documents.append(message)
                size += message.ByteSize() + FRAME_BYTES
                if size > self._max_bytes:
                    raise too_large(size, self._max_bytes, "ask for fewer documents at once")
        return response

    async def CountDocuments(
        self, request: pb.CountDocumentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.CountDocumentsResponse:
        """Count documents."""
        del context
        self._validator.check(request)
        about(collection=request.collection or DEFAULT_COLLECTION)
        count = await self._reading.count(request.collection, request.filter)
        return pb.CountDocumentsResponse(count=count)

    async def ListChunks(
        self, request: pb.ListChunksRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListChunksResponse:
        """Read a page of a document's chunks."""
        del context
        self._validator.check(request)
        about(collection=request.collection or DEFAULT_COLLECTION)
        scope = (self._catalogue.get(request.collection).uid, request.doc_id)
        position = page_tokens.number_position(request.page_token, "chunks", scope, 2)
        first, revision = position or (0, None)
        page = await self._reading.list_chunks(
            request.collection,
            request.doc_id,
            first=first,
            limit=request.page_size or DEFAULT_PAGE_SIZE,
            include_vectors=request.include_vectors,
            revision=revision,
        )
        chunks = fitting(
            [chunk_to_proto(chunk) for chunk in page.chunks], self._max_bytes - PAGE_OVERHEAD_BYTES
        )
        response = pb.ListChunksResponse(chunks=chunks)
        if chunks and (page.more or len(chunks) < len(page.chunks)):
            following = (chunks[-1].ordinal + 1, page.revision)
            response.next_page_token = page_tokens.encode("chunks", scope, following)
        return response

    async def ListDocuments(
        self, request: pb.ListDocumentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListDocumentsResponse:
        """Read a page of a collection's documents."""
        del context
        self._validator.check(request)
        about(collection=request.collection or DEFAULT_COLLECTION)
        scope = (self._catalogue.get(request.collection).uid, request.filter)
        page = await self._reading.list_documents(
            request.collection,
            after=page_tokens.text_position(request.page_token, "documents", scope),
            limit=request.page_size or DEFAULT_PAGE_SIZE,
            include_text=request.include_text,
            filter_text=request.filter,
        )
        documents = fitting(
            [document_to_proto(document) for document in page.documents],
            self._max_bytes - PAGE_OVERHEAD_BYTES,
        )
        response = pb.ListDocumentsResponse(documents=documents)
        if documents and (page.more or len(documents) < len(page.documents)):
            response.next_page_token = page_tokens.encode("documents", scope, documents[-1].doc_id)
        if request.include_total_count:
            response.total_count = await self._reading.count(request.collection, request.filter)
        return response


def _parts(queries: Sequence[Query | RagError]) -> Iterator[slice]:
    """Cut a batch into parts that are asked and encoded one by one, so that not all is held at once."""
    if isinstance(queries, AlikeQueries):
        step = max(1, HITS_TOGETHER // queries.first.top_k)
        yield from (slice(begin, begin + step) for begin in range(0, len(queries), step))
        return
    begin = hits = 0
    for place, query in enumerate(queries):
        wanted = query.top_k if isinstance(query, Query) else 0
        if hits + wanted > HITS_TOGETHER and place > begin:
            yield slice(begin, place)
            begin, hits = place, 0
        hits += wanted
    yield slice(begin, len(queries))
