"""What an evaluation of answers is on the wire, and how large it can be."""

from __future__ import annotations

from rag_grpc.core.answers import Support
from rag_grpc.core.faithfulness import AnswerWithContext, Faithfulness, FaithfulnessReport
from rag_grpc.core.limits import Limits
from rag_grpc.core.models import TextSpan
from rag_grpc.rpc import convert_evaluation as convert
from rag_grpc.rpc.evaluation_servicer import MODEL_NAME_BYTES
from ragapi.v1 import evaluation_service_pb2 as pb


def test_answers_are_taken_as_they_are() -> None:
    message = pb.AnswerWithContext(answer="a", contexts=["b", ""], question="q", language="de")
    assert convert.answer_from_proto(message) == AnswerWithContext("a", ("b", ""), "q", "de")
    assert convert.answer_from_proto(pb.AnswerWithContext(answer="a", contexts=["b"])).question == ""


def test_no_sentence_takes_more_than_was_reckoned_with() -> None:
    limits = Limits()
    longest = limits.max_document_characters
    sentence = (TextSpan(longest - 1, longest), Support(0.123456789, 999))
    for count in (1, 2, 1000, 50_000):
        report = FaithfulnessReport("j" * 128, (Faithfulness(0.3, (sentence,) * count),) * 2)
        size = convert.faithfulness_to_proto(report).ByteSize()
        assert size <= 2 * (count * convert.SENTENCE_BYTES + convert.RESULT_BYTES) + MODEL_NAME_BYTES


def test_a_report_is_said_in_order() -> None:
    sentences = ((TextSpan(0, 3), Support(1.0, 2)), (TextSpan(4, 9), Support(0.0)))
    message = convert.faithfulness_to_proto(FaithfulnessReport("lexical", (Faithfulness(0.5, sentences),)))
    assert message.judge == "lexical"
    (result,) = message.results
    assert result.faithfulness == 0.5
    assert [
        (each.span.start, each.span.end, each.support, each.context_index) for each in result.sentences
    ] == [
        (0, 3, 1.0, 2),
        (4, 9, 0.0, 0),
    ]
