"""A model that reads two texts as one pair: a re-ranker, or one that says whether one implies the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rag_grpc.onnx_models.folder import ModelFault, ModelFolder
from rag_grpc.onnx_models.session import Computed, ModelSession
from rag_grpc.onnx_models.tokens import ModelTokenizer


@dataclass(frozen=True, slots=True)
class PairModel:
    """A session and its tokenizer, loaded."""

    session: ModelSession
    tokenizer: ModelTokenizer

    @classmethod
    def load(cls, folder: ModelFolder, *, threads: int, max_tokens: int | None) -> PairModel:
        """Load a model. `max_tokens` counts both texts and the model's own tokens. Raises ModelFault."""
        length = max_tokens or folder.max_tokens
        if folder.positions and length > folder.positions:
            raise ModelFault(f"max_tokens={length}: the model has places for {folder.positions}")
        tokenizer = ModelTokenizer(folder.tokenizer, max_length=length, pairs=True)
        session = ModelSession(
            folder.model, threads=threads, padding_id=folder.padding_id, outputs=("logits",)
        )
        return cls(session, tokenizer)

    def run(self, pairs: Sequence[tuple[str, str]]) -> Iterator[Computed]:
        """Compute pairs, in batches; see ModelSession.run."""
        return self.session.run(self.tokenizer.rows_of_pairs(pairs))

    def shape(self) -> tuple[int, ...]:
        """Say what shape the output for one pair has. Raises ModelFault."""
        try:
            (part,) = self.run([("a question", "an answer")])
        except Exception as error:
            raise ModelFault(f"the model cannot be run: {type(error).__name__}") from error
        return part.output.shape
