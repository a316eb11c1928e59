"""The fakes keep the contracts of what they stand for."""

from rag_grpc.core.metadata import without_nulls
from rag_grpc.core.model_ports import Embedder, Judge, Reranker, Splitter, Tokenizer
from rag_grpc.core.models import MetadataDict
from tests.contracts.embedder_contract import EmbedderContract
from tests.contracts.fakes import (
    JsonCodec,
    LetterEmbedder,
    LineSplitter,
    WordJudge,
    WordReranker,
    WordTokenizer,
)
from tests.contracts.judge_contract import JudgeContract
from tests.contracts.reranker_contract import RerankerContract
from tests.contracts.splitter_contract import SplitterContract
from tests.contracts.tokenizer_contract import TokenizerContract


class TestLetterEmbedder(EmbedderContract):
    def make_embedder(self) -> Embedder:
        return LetterEmbedder()


class TestWordTokenizer(TokenizerContract):
    def make_tokenizer(self) -> Tokenizer:
        return WordTokenizer()


class TestWordReranker(RerankerContract):
    def make_reranker(self) -> Reranker:
        return WordReranker()


class TestWordJudge(JudgeContract):
    def make_judge(self) -> Judge:
        return WordJudge()


class TestLineSplitter(SplitterContract):
    def make_splitter(self) -> Splitter:
        return LineSplitter()


def test_the_codec_gives_back_what_it_packed() -> None:
    metadata: MetadataDict = {"a": [1.5, None, True, {"b": "ä\0"}], "c": -0.0, "d": {}, "e": None}
    codec = JsonCodec()
    assert codec.unpack(codec.pack(without_nulls(metadata))) == without_nulls(metadata)
