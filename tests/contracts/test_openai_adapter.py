"""The adapter over endpoints of OpenAI's protocol keeps its contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rag_grpc.core.model_ports import Embedder
from rag_grpc.embedders.caching import CachingEmbedder
from rag_grpc.embedders.openai import OpenAIEmbedder, OpenAIOptions
from tests.contracts.embedder_contract import EmbedderContract
from tests.contracts.embeddings_server import DIMENSION, embeddings_server


class TestOpenAIEmbedder(EmbedderContract):
    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        self.made: list[OpenAIEmbedder] = []
        with embeddings_server() as server:
            self.options = OpenAIOptions(base_url=server.url, dimension=DIMENSION, max_batch=3)
            yield
            for each in self.made:
                each.close()

    def make_embedder(self) -> Embedder:
        self.made.append(OpenAIEmbedder("letters", "letters", self.options))
        return self.made[-1]


class TestCachedOpenAIEmbedder(TestOpenAIEmbedder):
    def make_embedder(self) -> Embedder:
        return CachingEmbedder(super().make_embedder(), max_bytes=10_000)
