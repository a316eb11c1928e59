"""The adapters over ONNX models keep their contracts: by tiny models and, where it is there, a real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_grpc.core.model_ports import Embedder, Judge, Reranker, Tokenizer
from rag_grpc.embedders.fastembed import EmbedderOptions, FastembedEmbedder
from rag_grpc.judges.nli import NliJudge, NliOptions
from rag_grpc.onnx_models.tokens import ModelTokenizer
from rag_grpc.rerankers.cross_encoder import CrossEncoderOptions, CrossEncoderReranker
from tests.contracts.embedder_contract import EmbedderContract
from tests.contracts.judge_contract import JudgeContract
from tests.contracts.reranker_contract import RerankerContract
from tests.contracts.tiny_models import tiny_embedder, tiny_nli_model, tiny_pair_model
from tests.contracts.tokenizer_contract import TokenizerContract

MINILM = Path(__file__).parents[3] / "shared" / "models" / "all-minilm-l6-v2"


def loaded(folder: Path, **options: object) -> FastembedEmbedder:
    embedder = FastembedEmbedder("tiny", str(folder), EmbedderOptions(**options), cache=folder)  # type: ignore[arg-type] # as given
    embedder.load()
    return embedder


class TestTinyEmbedder(EmbedderContract):
    rtol = 1e-5

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tiny_embedder(tmp_path / "model")

    def make_embedder(self) -> Embedder:
        return loaded(self.folder)


class TestPrefixedEmbedder(TestTinyEmbedder):
    def make_embedder(self) -> Embedder:
        return loaded(self.folder, query_prefix="query: ", passage_prefix="passage: ", normalize=False)


class TestQuantisedEmbedder(TestTinyEmbedder):
    rtol = 0.0

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tiny_embedder(tmp_path / "model", quantised=True)


class TestMiniLM(EmbedderContract):
    @pytest.fixture(autouse=True)
    def _there(self) -> None:
        if not MINILM.is_dir():
            pytest.skip("the model all-minilm-l6-v2 is not there: ../shared/models has none")

    def make_embedder(self) -> Embedder:
        return loaded(MINILM, max_tokens=256)


class TestTinyTokenizer(TokenizerContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tiny_embedder(tmp_path / "model")

    def make_tokenizer(self) -> Tokenizer:
        return ModelTokenizer(self.folder / "tokenizer.json", max_length=16)


class TestCrossEncoder(RerankerContract):
    rtol = 1e-5

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tiny_pair_model(tmp_path / "model")

    def make_reranker(self) -> Reranker:
        reranker = CrossEncoderReranker("tiny", str(self.folder), CrossEncoderOptions(), cache=self.folder)
        reranker.load()
        return reranker


class TestNliJudge(JudgeContract):
    tolerance = 1e-5

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tiny_nli_model(tmp_path / "model")

    def make_judge(self) -> Judge:
        judge = NliJudge("tiny", str(self.folder), NliOptions(), cache=self.folder)
        judge.load()
        return judge
