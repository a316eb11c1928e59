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
        "own": 8.92,
        "own_passage": -4.16,
        "around": 4.52,
        "passage": 6.12,
        "passage_squared": -1.25,
        "pairs": 1.69,
        "own_near": 0.88,
        "names": 1.35,
        "number": 1.03,
        "no_number": -0.74,
        "no_name": -1.15,
        "length": 0.53,
        "news": -0.84,
        "first": 0.97,
    },
)
"""Which sentence answers best."""

TOPIC: Final = Weights(
    -3.4,
    {
        "own": 5.17,
        "around": 4.02,
        "passage": 4.5,
        "passage_squared": 2.67,
        "names": 1.6,
        "missing": -0.47,
    },
)
"""Whether a passage speaks of what is asked about."""

ANSWER: Final = Weights(
    -4.48,
    {
        "own": 3.39,
        "own_passage": -3.18,
        "around": 1.1,
        "passage": 2.93,
        "pairs": 1.11,
        "names": 0.62,
        "no_number": -0.69,
        "news": -0.32,
        "margin": 0.25,
    },
)
"""Whether a sentence of such a passage answers."""

ALONE: Final = 7.02
"""How far a sentence stands out where there is one source alone: as far as answers do in the mean."""
