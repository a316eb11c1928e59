"""Rules of GenerationService's and EvaluationService's requests."""

from __future__ import annotations

from rag_grpc.rpc.field_rules.rule import COLLECTION, LANGUAGE, MODEL, MessageRule, Rule

RULES = {
    "ragapi.v1.AnswerOptions.retrieval": Rule(
        required=True,
        unruled=True,
        note="its `query` is set, also in mode DENSE beside a `vector`; a `top_k` of 0 means 5",
    ),
    "ragapi.v1.AnswerOptions.generator": MODEL,
    "ragapi.v1.AnswerOptions.max_output_tokens": Rule(
        max_value=1_000_000, note="0 means the generator's default"
    ),
    "ragapi.v1.AnswerOptions.temperature": Rule(min_value=0, max_value=2, note="unset means 0"),
    "ragapi.v1.AnswerOptions.instructions": Rule(max_characters_limit="max_query_characters"),
    "ragapi.v1.GenerateAnswerRequest.options": Rule(required=True),
    "ragapi.v1.StreamAnswerRequest.options": Rule(required=True),
    "ragapi.v1.EvaluateRetrievalRequest.template": Rule(
        unruled=True, note="required in a stream's first message; what to look for is left unset"
    ),
    "ragapi.v1.EvaluateRetrievalRequest.cutoffs": Rule(
        max_items=100, min_value=1, max_value_limit="max_top_k", note="in a stream's first message"
    ),
    "ragapi.v1.EvaluateRetrievalRequest.queries": Rule(
        max_items=1000, note="in one message; a run may have any number of them"
    ),
    "ragapi.v1.LabelledQuery.query_id": Rule(required=True, max_bytes=512, no_control_characters=True),
    "ragapi.v1.LabelledQuery.text": Rule(
        required=True, not_blank=True, max_characters_limit="max_query_characters"
    ),
    "ragapi.v1.LabelledQuery.relevance": Rule(
        required=True, max_items=10_000, note="by `doc_id`; 0 is not relevant"
    ),
    "ragapi.v1.EvaluateFaithfulnessRequest.answers": Rule(required=True, max_items_limit="max_batch_queries"),
    "ragapi.v1.EvaluateFaithfulnessRequest.judge": MODEL,
    "ragapi.v1.AnswerWithContext.answer": Rule(
        required=True, not_blank=True, max_characters_limit="max_document_characters"
    ),
    "ragapi.v1.AnswerWithContext.contexts": Rule(
        required=True, max_items=1000, max_characters_limit="max_document_characters"
    ),
    "ragapi.v1.AnswerWithContext.question": Rule(max_characters_limit="max_query_characters"),
    "ragapi.v1.AnswerWithContext.language": LANGUAGE,
    "ragapi.v1.MeasureIndexRecallRequest.collection": COLLECTION,
    "ragapi.v1.MeasureIndexRecallRequest.sample_size": Rule(max_value=100_000, note="0 means 100"),
    "ragapi.v1.MeasureIndexRecallRequest.top_k": Rule(max_value_limit="max_top_k", note="0 means 10"),
    "ragapi.v1.MeasureIndexRecallRequest.ef": Rule(
        max_value_limit="max_ef", note="0 means the server's default"
    ),
}

MESSAGE_RULES = {
    "ragapi.v1.AnswerOptions": MessageRule("answer", "`retrieval.query` is set"),
    "ragapi.v1.EvaluateRetrievalRequest": MessageRule(
        "evaluation",
        "`template` is as a query with a text must be, and sets nothing that would have no effect here:"
        " `query`, `vector`, `doc_id`, `offset`, `omit`, `metadata_keys`, `include_vectors`,"
        " `highlight`, `explain`; its `max_hits_per_document` is 0 or 1, its `top_k` 0 or not below the"
        " largest of `cutoffs`; no cutoff is given twice",
    ),
}
