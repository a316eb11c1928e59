"""What must hold between the fields of a query: evidence, mode and knobs.

The table stands in `rag_grpc.rpc.field_rules.retrieval`. "A knob that the mode
cannot use is INVALID_FIELD, not ignored": the contract's own words.
"""

from __future__ import annotations

from rag_grpc.core.limits import Limits
from rag_grpc.core.queries import DEFAULT_TOP_K
from rag_grpc.rpc.findings import Findings
from ragapi.v1 import retrieval_service_pb2
from ragapi.v1.retrieval_service_pb2 import QueryRequest

_UNSPECIFIED = retrieval_service_pb2.SEARCH_MODE_UNSPECIFIED
_DENSE = retrieval_service_pb2.SEARCH_MODE_DENSE
_LEXICAL = retrieval_service_pb2.SEARCH_MODE_LEXICAL
_HYBRID = retrieval_service_pb2.SEARCH_MODE_HYBRID
_METADATA = retrieval_service_pb2.HIT_FIELD_METADATA
_NAMES = {_DENSE: "DENSE", _LEXICAL: "LEXICAL", _HYBRID: "HYBRID"}


def check_query(
    request: QueryRequest, prefix: str, findings: Findings, limits: Limits, *, is_question: bool = False
) -> None:
    """Note every contradiction of a query. The text of a question is of use whatever it is found by."""
    text = bool(request.query)
    vector = request.HasField("vector") and bool(request.vector.packed or request.vector.values)
    by_document = bool(request.doc_id)
    mode = request.mode
    if mode in (_LEXICAL, _HYBRID):
        if not text:
            findings.breaks(prefix + "query", f"is required in mode {_NAMES[mode]}")
    elif not (text or vector or by_document):
        findings.breaks(prefix + "query", "is unset, and so are `vector` and `doc_id`; set at least one")
    if by_document and (text or vector):
        findings.breaks(prefix + "doc_id", "stands alone; leave `query` and `vector` out")
    if mode == _LEXICAL:
        _check_lexical(request, vector, by_document, prefix, findings)
    elif mode == _HYBRID and by_document:
        findings.breaks(prefix + "doc_id", "serves DENSE alone; it has no words for HYBRID")
    elif mode == _DENSE:
        _check_dense(request, text and vector and not is_question, prefix, findings)
    elif mode == _UNSPECIFIED and request.HasField("fusion") and not text:
        findings.breaks(prefix + "fusion", "needs a `query`, whose words are the other side")
    _check_knobs(request, text, prefix, findings)
    if (request.top_k or DEFAULT_TOP_K) + request.offset > limits.max_top_k and request.offset:
        findings.exceeds(
            prefix + "offset", f"and `top_k` together must be at most {limits.max_top_k}", "max_top_k"
        )


def _check_lexical(
    request: QueryRequest, vector: bool, by_document: bool, prefix: str, findings: Findings
) -> None:
    unused = {
        "vector": vector,
        "doc_id": by_document,
        "fusion": request.HasField("fusion"),
        "ef": request.ef,
        "exact": request.exact,
    }
    for name, value in unused.items():
        if value:
            findings.breaks(prefix + name, "is of no use in mode LEXICAL; leave it out")


def _check_dense(request: QueryRequest, text_and_vector: bool, prefix: str, findings: Findings) -> None:
    if request.HasField("fusion"):
        findings.breaks(prefix + "fusion", "is of no use in mode DENSE; leave it out, or ask for HYBRID")
    if text_and_vector and not (request.HasField("rerank") or request.highlight):
        findings.breaks(
            prefix + "query",
            "is of no use beside a `vector` in mode DENSE, without `rerank` or `highlight`; set one of them",
        )


def _check_knobs(request: QueryRequest, text: bool, prefix: str, findings: Findings) -> None:
    if request.ef and request.exact:
        findings.breaks(prefix + "ef", "is of no use beside `exact`, which compares every vector")
    if request.rerank.HasField("cross_encoder") and not text:
        findings.breaks(prefix + "rerank.cross_encoder", "reads the `query`, which is unset")
    if request.highlight and not text:
        findings.breaks(prefix + "highlight", "marks the words of `query`, which is unset")
    if request.metadata_keys and _METADATA in request.omit:
        findings.breaks(prefix + "metadata_keys", "is of no use while `omit` leaves all metadata out")
