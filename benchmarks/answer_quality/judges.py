"""How well each judge tells supported answers from others, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.answer_quality.labelled import (
    Labelled,
    among_foreign,
    begin,
    scifact,
    with_foreign_evidence,
)
from benchmarks.answer_quality.swaps import swapped
from benchmarks.figures import Figure
from rag_client import AsyncRagClient
from rag_client.evaluation import AnswerWithContext

AUC_FLOOR: Final = 0.952
"""Of the lexical judge on BEGIN; the share of an answer's stems in its context has 0.9475."""
FALL_FLOOR: Final = 0.9
SWAPS: Final = 500
CROWDS: Final = (8, 40)
_A_CALL: Final = 64
_PATIENCE: Final = 3600.0


class JudgeQuality:
    """Measures a server's judges on the data sets in `data`; reports figures as they come."""

    def __init__(self, data: Path, client: AsyncRagClient, report: Callable[[Figure], None]) -> None:
        self._data = data
        self._client = client
        self._report = report

    async def measure(self) -> None:
        """Measure all of them, through EvaluateFaithfulness."""
        answers, claims = begin(self._data / "begin"), scifact(self._data / "scifact")
        for name in (await self._client.get_server_info()).judges:
            await self._on_begin(name, answers)
            await self._on_swaps(name, answers)
            await self._on_claims(name, claims)

    async def _on_begin(self, name: str, answers: Sequence[Labelled]) -> None:
        began = time.perf_counter()
        values = await self._values(name, answers)
        seconds = time.perf_counter() - began
        floor = AUC_FLOOR if name == "lexical" else None
        self._auc(f"{name}: BEGIN, all {len(answers)} answers", answers, values, floor=floor)
        for chosen_on, what in ((True, "the half that parameters were chosen on"), (False, "the other half")):
            self._part(
                f"{name}: BEGIN, {what}", answers, values, [each.chosen_on == chosen_on for each in answers]
            )
        for part in sorted({each.part for each in answers}):
            self._part(f"{name}: BEGIN, {part}", answers, values, [each.part == part for each in answers])
        self._report(Figure(f"{name}: an answer of BEGIN", "ms", 1000 * seconds / len(answers)))
        for count in CROWDS:
            crowded = among_foreign(answers, count)
            values = await self._values(name, crowded)
            self._auc(f"{name}: BEGIN, among {count} foreign contexts", crowded, values)

    async def _on_swaps(self, name: str, answers: Sequence[Labelled]) -> None:
        for own_context in (False, True):
            pairs = swapped(answers, SWAPS, own_context=own_context)
            before = await self._values(name, [one for one, _ in pairs])
            after = await self._values(name, [two for _, two in pairs])
            source = "one of its own context" if own_context else "any other one"
            self._report(
                Figure(
                    f"{name}: falls with a number or name swapped for {source}, {len(pairs)} swaps",
                    "share",
                    float((after < before - 1e-9).mean()),
                    FALL_FLOOR if name == "lexical" and not own_context else None,
                )
            )

    async def _on_claims(self, name: str, claims: Sequence[Labelled]) -> None:
        pairs = with_foreign_evidence(claims)
        values = await self._values(name, pairs)
        self._auc(f"{name}: SciFact, own evidence against another claim's", pairs, values)
        values = await self._values(name, claims)
        self._auc(f"{name}: SciFact, supported against contradicted", claims, values)

    async def _values(self, name: str, answers: Sequence[Labelled]) -> NDArray[np.float64]:
        values: list[float] = []
        for start in range(0, len(answers), _A_CALL):
            asked = [
                AnswerWithContext(each.answer, each.contexts, each.question)
                for each in answers[start : start + _A_CALL]
            ]
            report = await self._client.evaluate_faithfulness(asked, judge=name, timeout=_PATIENCE)
            values += [each.faithfulness for each in report.results]
        return np.array(values)

    def _part(
        self, what: str, answers: Sequence[Labelled], values: NDArray[np.float64], chosen: Sequence[bool]
    ) -> None:
        kept = [each for each, keep in zip(answers, chosen, strict=True) if keep]
        self._auc(f"{what}, {len(kept)}", kept, values[np.array(chosen)])

    def _auc(
        self,
        what: str,
        answers: Sequence[Labelled],
        values: NDArray[np.float64],
        *,
        floor: float | None = None,
    ) -> None:
        supported = np.array([each.supported for each in answers])
        self._report(Figure(what, "AUC", roc_auc(supported, values), floor))


def roc_auc(positive: NDArray[np.bool_], values: NDArray[np.float64]) -> float:
    """Return how often a positive has the larger value than a negative; a tie is half."""
    good, bad = values[positive], np.sort(values[~positive])
    below = np.searchsorted(bad, good, side="left")
    ties = np.searchsorted(bad, good, side="right") - below
    return float((below + ties / 2).mean() / len(bad))
