"""What each thing that is seen of a sentence weighs: see `rag_grpc.core.evidence`.

Written by `python -m benchmarks.answer_quality.fit`, from questions of half of SQuAD's
articles and from claims that have nothing to do with them; docs/generation.md reports
on the other half.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Weights:
    """A weighted sum of what is seen."""

    bias: float
    of: Mapping[str, float]

    def sum(self, features: Mapping[str, float]) -> float:
        """Add up."""
        return self.bias + sum(weight * features[name] for name, weight in self.of.items())


CHOICE: Final = Weights(
    0.0,
    {
        "own": 9.23,
        "own_passage": -4.37,
        "around": 4.29,
        "passage": 6.34,
        "passage_squared": -1.36,
        "pairs": 0.36,
        "own_near": 0.82,
        "names": 1.37,
        "number": 0.98,
        "no_number": -0.71,
        "no_name": -1.32,
        "length": 0.54,
        "news": -0.87,
        "first": 0.74,
        "phrases": 1.03,
        "long_phrases": 0.72,
    },
)
"""Which sentence answers best."""

TOPIC: Final = Weights(
    -2.44,
    {
        "own": 5.36,
        "around": 3.9,
        "passage": 3.82,
        "passage_squared": 2.72,
        "names": 1.85,
        "missing": -0.51,
    },
)
"""Whether a passage speaks of what is asked about."""

ANSWER: Final = Weights(
    -3.11,
    {
        "own": 2.16,
        "own_passage": -0.99,
        "around": 1.2,
        "passage": 2.03,
        "pairs": 0.28,
        "names": 0.58,
        "no_number": -0.65,
        "news": -0.32,
        "margin": -0.18,
        "phrases": 0.14,
        "long_phrases": 0.08,
        "phrase_margin": 0.28,
        "asked": -0.59,
        "margin_asked": 0.24,
    },
)
"""Whether a sentence of such a passage answers."""

ALONE: Final = 7.57
"""How far a sentence stands out where there is one source alone: as far as answers do in the mean."""
