"""The one table of field rules: by full field name, what a value must be.

It drives the validator (`rag_grpc.rpc.validation`), docs/fields.md (by
tools/document_fields.py) and tests. A field of a request without a row here fails
a test, and so does a row without a field.

Three decisions hold for all of it. Every break is reported at once, and where
fields break rules *and* exceed limits, the reason is INVALID_FIELD. Output-only
fields are ignored on input, as AIP-203 asks: whoever reads a document, changes its
title and sends it back has them set; the contract says so at each of them, so
nothing is ignored silently. What a server cannot do yet is NOT_CONFIGURED, and
that is looked at last.
"""

from __future__ import annotations

from rag_grpc.rpc.field_rules import answers, collection, documents, ingestion, retrieval
from rag_grpc.rpc.field_rules.rule import MessageRule, Rule

RULES: dict[str, Rule] = {
    **documents.RULES,
    **ingestion.RULES,
    **retrieval.RULES,
    **collection.RULES,
    **answers.RULES,
}
MESSAGE_RULES: dict[str, MessageRule] = {
    **documents.MESSAGE_RULES,
    **ingestion.MESSAGE_RULES,
    **retrieval.MESSAGE_RULES,
    **collection.MESSAGE_RULES,
    **answers.MESSAGE_RULES,
}

__all__ = ["MESSAGE_RULES", "RULES", "MessageRule", "Rule"]
