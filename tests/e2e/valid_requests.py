"""A valid request of every method, with every part set that a request can have beside the others.

What tests break stands here whole. A method has several where some parts exclude others.
"""

from __future__ import annotations

import numpy as np
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from ragapi.v1 import collection_service_pb2 as collection
from ragapi.v1 import evaluation_service_pb2 as evaluation
from ragapi.v1 import generation_service_pb2 as generation
from ragapi.v1 import health_service_pb2 as health
from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1 import retrieval_service_pb2 as retrieval
from ragapi.v1.types_pb2 import Chunk, Document, Vector

DIMENSION = 4
"""Of the collection "vectors", which the servers of these tests have; it has no embedder."""
VECTOR = Vector(packed=np.ones(DIMENSION, "<f4").tobytes())
METADATA = Struct()
METADATA.update({"lang": "en", "author": {"name": "me"}, "tags": ["a", 1.5]})

GOOD = ingestion.IngestItem(document=Document(doc_id="good", text="hello"))
DOCUMENTS = (
    Document(doc_id="d", text="hello", title="t", media_type="text/plain", metadata=METADATA),
    Document(
        doc_id="d", chunks=[Chunk(text="hello", start=0, end=5, vector=VECTOR)], embedder_fingerprint="f"
    ),
)
ITEMS = tuple(ingestion.IngestItem(document=document, expected_revision=1) for document in DOCUMENTS)
QUERIES = (
    retrieval.QueryRequest(
        collection="c",
        query="hello",
        top_k=5,
        offset=2,
        filter="a = 1",
        mode=retrieval.SEARCH_MODE_HYBRID,
        min_score=0.5,
        fusion=retrieval.Fusion(dense_weight=0.5),
        rerank=retrieval.Rerank(mmr=retrieval.MaximalMarginalRelevance(diversity=0.5)),
        ef=50,
        omit=[retrieval.HIT_FIELD_TEXT],
        metadata_keys=["lang"],
        highlight=True,
    ),
    retrieval.QueryRequest(
        query="hello", rerank=retrieval.Rerank(cross_encoder=retrieval.CrossEncoder(model="m"), candidates=9)
    ),
    retrieval.QueryRequest(vector=VECTOR, exact=True, include_vectors=True, explain=True),
    retrieval.QueryRequest(doc_id="d"),
)
_OPTIONS = generation.AnswerOptions(
    retrieval=retrieval.QueryRequest(query="why?"), generator="g", temperature=1.0, instructions="be brief"
)
_LABELLED = evaluation.LabelledQuery(query_id="q", text="why?", relevance={"d": 1})

VALID: dict[str, tuple[Message, ...]] = {
    "Ping": (health.PingRequest(),),
    "GetServerInfo": (health.GetServerInfoRequest(),),
    "IngestDocument": tuple(
        ingestion.IngestDocumentRequest(collection="c", document=document) for document in DOCUMENTS
    ),
    "BatchIngestDocuments": (ingestion.BatchIngestDocumentsRequest(collection="c", items=ITEMS),),
    "StreamIngestDocuments": (ingestion.StreamIngestDocumentsRequest(collection="c", items=ITEMS),),
    "UpdateMetadata": (
        ingestion.UpdateMetadataRequest(collection="c", doc_id="d", metadata=METADATA, expected_revision=1),
    ),
    "DeleteDocuments": (
        ingestion.DeleteDocumentsRequest(
            collection="c", documents=[ingestion.DocumentRef(doc_id="d", expected_revision=1)]
        ),
        ingestion.DeleteDocumentsRequest(filter="a = 1"),
    ),
    "Query": QUERIES,
    "BatchQuery": (retrieval.BatchQueryRequest(queries=QUERIES),),
    "GetDocument": (retrieval.GetDocumentRequest(collection="c", doc_id="d"),),
    "BatchGetDocuments": (retrieval.BatchGetDocumentsRequest(collection="c", doc_ids=["d"]),),
    "CountDocuments": (retrieval.CountDocumentsRequest(collection="c", filter="a = 1"),),
    "ListChunks": (retrieval.ListChunksRequest(collection="c", doc_id="d", page_size=5),),
    "ListDocuments": (retrieval.ListDocumentsRequest(collection="c", filter="a = 1", page_size=5),),
    "CreateCollection": (
        collection.CreateCollectionRequest(
            collection=collection.Collection(
                name="c",
                embedder="none",
                dimension=DIMENSION,
                metric=collection.METRIC_DOT,
                chunking=collection.Chunking(max_characters=100, overlap_characters=10, max_tokens=20),
                language="en",
            )
        ),
    ),
    "GetCollection": (collection.GetCollectionRequest(name="c"),),
    "ListCollections": (collection.ListCollectionsRequest(page_size=5),),
    "ReembedCollection": (collection.ReembedCollectionRequest(name="c", embedder="mock"),),
    "DeleteCollection": (collection.DeleteCollectionRequest(name="c", uid="u"),),
    "GenerateAnswer": (generation.GenerateAnswerRequest(options=_OPTIONS),),
    "StreamAnswer": (generation.StreamAnswerRequest(options=_OPTIONS),),
    "EvaluateRetrieval": (
        evaluation.EvaluateRetrievalRequest(
            template=retrieval.QueryRequest(top_k=5), cutoffs=[1], queries=[_LABELLED]
        ),
    ),
    "EvaluateFaithfulness": (
        evaluation.EvaluateFaithfulnessRequest(
            answers=[evaluation.AnswerWithContext(answer="because", contexts=["it is"], question="why?")],
            judge="j",
        ),
    ),
    "MeasureIndexRecall": (evaluation.MeasureIndexRecallRequest(collection="c", sample_size=5, top_k=5),),
}
