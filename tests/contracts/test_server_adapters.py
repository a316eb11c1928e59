"""The adapters that every server runs with keep their contracts."""

from rag_grpc.core.ports import Embedder, Splitter
from rag_grpc.embedders.mock import MockEmbedder
from rag_grpc.splitters.semantic import SemanticSplitter
from tests.contracts.embedder_contract import EmbedderContract
from tests.contracts.splitter_contract import SplitterContract


class TestMockEmbedder(EmbedderContract):
    def make_embedder(self) -> Embedder:
        return MockEmbedder()


class TestSemanticSplitter(SplitterContract):
    def make_splitter(self) -> Splitter:
        return SemanticSplitter()
