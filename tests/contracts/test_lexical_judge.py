"""The judge that compares words keeps the contract, in every language."""

from __future__ import annotations

from rag_grpc.analyzers.snowball import SnowballAnalyzer
from rag_grpc.core.analysis import PlainAnalyzer
from rag_grpc.core.model_ports import Judge
from rag_grpc.judges.lexical import LexicalJudge
from tests.contracts.judge_contract import JudgeContract


class TestLexicalJudge(JudgeContract):
    def make_judge(self) -> Judge:
        return LexicalJudge("lexical", SnowballAnalyzer())


class TestGermanLexicalJudge(JudgeContract):
    def make_judge(self) -> Judge:
        return LexicalJudge("german", SnowballAnalyzer(), language="de")


class TestLexicalJudgeWithoutALanguage(JudgeContract):
    def make_judge(self) -> Judge:
        return LexicalJudge("plain", PlainAnalyzer(), language="")
