"""What must hold between the fields of an evaluation: the template of its queries, and its cutoffs.

"Nothing is silently ignored": a template is a query's message, much of which shapes an answer that nobody
sees here. Who sets such a field expects something of it, and is told that nothing comes of it.
"""

from __future__ import annotations

from rag_grpc.core.limits import Limits
from rag_grpc.core.measures import DEFAULT_CUTOFFS
from rag_grpc.rpc.findings import Findings
from rag_grpc.rpc.query_checks import check_query
from ragapi.v1.evaluation_service_pb2 import EvaluateRetrievalRequest
from ragapi.v1.retrieval_service_pb2 import QueryRequest

_EACH_ITS_OWN = "must be unset: each labelled query brings its own"
_NO_USE = "must be unset: of what is found, ids alone are looked at"
_MUST_BE_UNSET = {
    "query": _EACH_ITS_OWN,
    "vector": _EACH_ITS_OWN,
    "doc_id": _EACH_ITS_OWN,
    "offset": "must be unset: ranks are counted from the first hit",
    "omit": _NO_USE,
    "metadata_keys": _NO_USE,
    "include_vectors": _NO_USE,
    "highlight": _NO_USE,
    "explain": _NO_USE,
}


def check_evaluation(
    request: EvaluateRetrievalRequest, prefix: str, findings: Findings, limits: Limits
) -> None:
    """Note every contradiction of a first message; of the others there is nothing to say here."""
    cutoffs = request.cutoffs
    known: set[int] = set()
    for place, k in enumerate(cutoffs):
        if k in known:
            # The first one alone: there may be very many, and other fields are to be named too.
            findings.breaks(f"{prefix}cutoffs[{place}]", f"is {k}, which is there already")
            break
        known.add(k)
    if request.HasField("template"):
        _check_template(request.template, max(cutoffs or DEFAULT_CUTOFFS), prefix, findings, limits)


def _check_template(
    template: QueryRequest, largest: int, prefix: str, findings: Findings, limits: Limits
) -> None:
    prefix += "template."
    there = {field.name for field, _ in template.ListFields()}
    for name, words in _MUST_BE_UNSET.items():
        if name in there:
            findings.breaks(prefix + name, words)
    if template.max_hits_per_document > 1:
        findings.breaks(prefix + "max_hits_per_document", "must be 1 or unset: hits are counted by document")
    if template.top_k and template.top_k < largest:
        findings.breaks(
            prefix + "top_k", f"is {template.top_k}, below the largest cutoff, which is {largest}"
        )
    asked = QueryRequest(
        query="as each labelled query has one",
        collection=template.collection,
        top_k=template.top_k,
        mode=template.mode,
        fusion=template.fusion if "fusion" in there else None,
        rerank=template.rerank if "rerank" in there else None,
        ef=template.ef,
        exact=template.exact,
    )
    check_query(asked, prefix, findings, limits)
