"""The adapters that every server runs with keep their contracts."""

from rag_grpc.core.model_ports import Embedder, Splitter, Tokenizer
from rag_grpc.embedders.mock import MockEmbedder
from rag_grpc.splitters.structure import StructureSplitter
from tests.contracts.embedder_contract import EmbedderContract
from tests.contracts.splitter_contract import SplitterContract
from tests.contracts.tokenizer_contract import TokenizerContract


class TestMockEmbedder(EmbedderContract):
    def make_embedder(self) -> Embedder:
        return MockEmbedder()


class TestMockTokenizer(TokenizerContract):
    def make_tokenizer(self) -> Tokenizer:
        return MockEmbedder.tokenizer


class TestStructureSplitter(SplitterContract):
    def make_splitter(self) -> Splitter:
        return StructureSplitter()
