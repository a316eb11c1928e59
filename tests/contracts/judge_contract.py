"""What every Judge must do: each "must" of `model_ports.Judge` has a test here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest

from rag_grpc.core.answers import Statement, Support
from rag_grpc.core.model_ports import Judge
from tests.contracts.embedder_contract import TEXTS

CONTEXTS = ("nine quick jackdaws", "hello harbour full of ships", "nothing at all")
STATEMENTS = [Statement(text, CONTEXTS) for text in TEXTS]


class JudgeContract:
    """What every Judge must do. Subclasses supply `make_judge`."""

    tolerance: ClassVar[float] = 0.0
    """How far a value among others may be from the one that a statement has alone: 0, or 1e-5."""
    supported: ClassVar[str] = "hello harbour full of ships"
    unsupported: ClassVar[str] = "submarines eat volcanic glass daily"

    def make_judge(self) -> Judge:
        raise NotImplementedError

    @pytest.fixture
    def judge(self) -> Judge:
        return self.make_judge()

    def same(self, one: list[Support], two: list[Support]) -> bool:
        return [each.context for each in one] == [each.context for each in two] and all(
            abs(left.value - right.value) <= self.tolerance for left, right in zip(one, two, strict=True)
        )

    def test_one_support_a_statement(self, judge: Judge) -> None:
        assert judge.name
        assert judge.max_batch >= 1
        assert judge.weigh([]) == []
        supports = judge.weigh(STATEMENTS)
        assert len(supports) == len(STATEMENTS)
        for support in supports:
            assert 0 <= support.value <= 1
            assert 0 <= support.context < len(CONTEXTS)

    def test_what_a_passage_says_has_more_support(self, judge: Judge) -> None:
        said, other = judge.weigh(
            [Statement(self.supported, CONTEXTS), Statement(self.unsupported, CONTEXTS)]
        )
        assert said.value > other.value
        assert said.context == 1

    @pytest.mark.parametrize("contexts", [(), ("",), (" \n", "\u2028", "")], ids=["none", "empty", "blank"])
    def test_nothing_supports_without_contexts(self, judge: Judge, contexts: tuple[str, ...]) -> None:
        supports = judge.weigh([Statement(text, contexts) for text in TEXTS])
        assert [each.value for each in supports] == [0.0] * len(TEXTS)
        assert all(each.context < max(1, len(contexts)) for each in supports)

    @pytest.mark.parametrize(
        "text", ["", " ", "\0", "?", "word " * 2000], ids=["none", "blank", "nul", "?", "long"]
    )
    def test_any_statement_is_taken(self, judge: Judge, text: str) -> None:
        (support,) = judge.weigh([Statement(text, CONTEXTS, question=text, language="xx")])
        assert 0 <= support.value <= 1

    def test_any_contexts_are_taken(self, judge: Judge) -> None:
        (support,) = judge.weigh(
            [Statement(self.supported, TEXTS, question="Where are ships?", language="en")]
        )
        assert 0 <= support.value <= 1
        assert 0 <= support.context < len(TEXTS)

    def test_a_value_does_not_depend_on_the_other_statements(self, judge: Judge) -> None:
        together = judge.weigh(STATEMENTS)
        assert self.same(judge.weigh(STATEMENTS), together)
        assert self.same([judge.weigh([each])[0] for each in STATEMENTS], together)
        mixed = judge.weigh([Statement("word", ("other",)), *STATEMENTS])
        assert self.same(mixed[1:], together)

    def test_several_threads_at_once(self, judge: Judge) -> None:
        expected = judge.weigh(STATEMENTS)
        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(judge.weigh, STATEMENTS) for _ in range(12)]
            assert all(self.same(future.result(), expected) for future in futures)
