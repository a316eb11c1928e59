"""`python -m benchmarks.answer_quality.fit`: fit the weights of core/evidence_weights.py, and print them.

Three small models over the same features, none of which knows a word. Which sentence answers: a softmax over
all sentences of a question's sources, the right ones being those of its own paragraph that hold an answer.
Whether a passage speaks of it: the best sentence of questions that can be answered against that of foreign
claims. Whether it answers: the same against the best sentence once the question's own paragraph is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped]

from benchmarks.answer_quality import grounded
from benchmarks.answer_quality.questions import Asked, questions
from benchmarks.retrieval_quality.service import ingest
from rag_client import AsyncRagClient
from rag_client.queries import QueryResult
from rag_grpc.analyzers.snowball import SnowballAnalyzer
from rag_grpc.app import RunningServer, running_server
from rag_grpc.core.answers import Source
from rag_grpc.core.evidence import look_at
from rag_grpc.core.evidence_weights import Weights
from rag_grpc.core.questions import question_of, question_terms
from rag_grpc.logs import set_up_logs
from rag_grpc.settings import Settings

SHARED = Path(__file__).parents[2].parent / "shared"
SOURCES = 5
LANGUAGE = "en"
PENALTY = 3.0
"""Of the squared weights, each over its feature's deviation."""

CHOICE = ("own", "own_passage", "around", "passage", "passage_squared", "pairs", "own_near", "names",
          "number", "no_number", "no_name", "length", "news", "first", "phrases", "long_phrases")  # fmt: skip
TOPIC = ("own", "around", "passage", "passage_squared", "names", "missing")
ANSWER = ("own", "own_passage", "around", "passage", "pairs", "names", "no_number", "news", "margin",
          "phrases", "long_phrases", "phrase_margin", "asked", "margin_asked")  # fmt: skip

Array = NDArray[np.float64]
Rows = list[tuple[Mapping[str, float], float]]
"""The features of each sentence of a question's sources, and 1 where it holds an answer."""


class Looks:
    """Asks a server, and looks at the sentences of what it finds as the service does."""

    def __init__(self, server: RunningServer, client: AsyncRagClient) -> None:
        self._server = server
        self._client = client
        self._analyzer = SnowballAnalyzer()

    async def at(self, asked: Sequence[Asked], choice: Weights, *, without: bool = False) -> list[Rows]:
        """Look at what is found for each question; `without` leaves its own paragraph out."""
        looks = []
        for start in range(0, len(asked), 32):
            part = asked[start : start + 32]
            fields = [
                {"query": each.text, "collection": "squad", "top_k": SOURCES}
                | ({"filter": f'id != "{each.document}"'} if without else {})
                for each in part
            ]
            results = await self._client.batch_query(fields)  # type: ignore[arg-type]
            for each, result in zip(part, results, strict=True):
                if not isinstance(result, QueryResult):
                    raise result
                looks.append(await self._look(each, result, choice))
        return looks

    async def _look(self, asked: Asked, result: QueryResult, choice: Weights) -> Rows:
        store = self._server.store
        terms = question_terms(self._analyzer, asked.text, LANGUAGE)
        counts = await store.word_counts(store.collection("squad"), terms)
        question = question_of(self._analyzer, asked.text, LANGUAGE, counts)
        sources = [Source(hit.chunk.text, hit.title, hit.chunk.headings) for hit in result.hits]
        own = [hit.doc_id == asked.document for hit in result.hits]
        return [
            (features, float(own[sentence.source] and asked.answered_by(sentence.text)))
            for sentence, features in look_at(self._analyzer, question, sources, choice)
        ]


def fitted_choice(looks: Sequence[Rows], names: Sequence[str]) -> Weights:
    """Fit the softmax, over the questions that some sentence answers."""
    kept = [rows for rows in looks if any(right for _, right in rows)]
    matrix, deviation = _scaled([features for rows in kept for features, _ in rows], names)
    right = np.array([each for rows in kept for _, each in rows])
    sizes = np.array([len(rows) for rows in kept])
    starts, of = np.r_[0, np.cumsum(sizes)[:-1]], np.repeat(np.arange(len(kept)), sizes)

    def loss(weights: Array) -> tuple[float, Array]:
        scores = matrix @ weights
        shares = np.exp(scores - np.maximum.reduceat(scores, starts)[of])
        shares /= np.add.reduceat(shares, starts)[of]
        found = np.add.reduceat(shares * right, starts)
        slope = matrix.T @ (shares - shares * right / found[of])
        return float(-np.log(found).sum() + PENALTY * weights @ weights / 2), slope + PENALTY * weights

    return _weights(0.0, minimize(loss, np.zeros(len(names)), jac=True).x / deviation, names)


def fitted_likely(
    good: Sequence[Mapping[str, float]], bad: Sequence[Mapping[str, float]], names: Sequence[str]
) -> Weights:
    """Fit a logistic regression."""
    matrix, deviation = _scaled([*good, *bad], names)
    matrix = np.c_[np.ones(len(matrix)), matrix]
    right = np.r_[np.ones(len(good)), np.zeros(len(bad))]

    def loss(weights: Array) -> tuple[float, Array]:
        sums = matrix @ weights
        ridge = np.r_[0.0, PENALTY * weights[1:]]
        slope = matrix.T @ (1 / (1 + np.exp(-sums)) - right)
        return float((np.logaddexp(0, sums) - right * sums).sum() + ridge @ weights / 2), slope + ridge

    found = minimize(loss, np.zeros(len(names) + 1), jac=True).x
    return _weights(float(found[0]), found[1:] / deviation, names)


def _scaled(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> tuple[Array, Array]:
    matrix = np.array([[row[name] for name in names] for row in rows])
    deviation = matrix.std(axis=0)
    deviation[deviation == 0] = 1
    return matrix / deviation, deviation


def _weights(bias: float, values: Array, names: Sequence[str]) -> Weights:
    return Weights(
        round(bias, 2), {name: round(float(value), 2) for name, value in zip(names, values, strict=True)}
    )


def best(looks: Sequence[Rows], choice: Weights) -> list[Mapping[str, float]]:
    """Return what is seen of the best sentence of each question."""
    return [max((features for features, _ in rows), key=choice.sum) for rows in looks if rows]


async def fit(data: Path) -> None:
    """Fit all, and print what belongs into core/evidence_weights.py."""
    asked = questions(data)
    async with _looking(data) as looks:
        nothing = Weights(0.0, {})
        choice = fitted_choice(await looks.at(asked.fitted, nothing), CHOICE)
        good = best(await looks.at(asked.fitted, choice), choice)
        other = best(await looks.at(asked.fitted, choice, without=True), choice)
        foreign = best(await looks.at(asked.foreign_fitted, choice), choice)
    print(f"CHOICE: Final = {choice.bias, choice.of}")
    print(f"TOPIC: Final = {(topic := fitted_likely(good, foreign, TOPIC)).bias, topic.of}")
    print(f"ANSWER: Final = {(answer := fitted_likely(good, other, ANSWER)).bias, answer.of}")
    print(f"ALONE: Final = {np.mean([each['margin'] for each in good]):.2f}")


@asynccontextmanager
async def _looking(data: Path) -> AsyncIterator[Looks]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(listen="127.0.0.1:0", http_listen="127.0.0.1:0", data_dir=Path(folder))
        async with running_server(settings) as server, AsyncRagClient(server.grpc_address) as client:
            await ingest(client, "squad", questions(data).squad, language=LANGUAGE)
            yield Looks(server, client)


def main() -> int:
    """Fit the weights of evidence to half of SQuAD's articles."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--thresholds", action="store_true", help="show what thresholds would do instead")
    arguments = parser.parse_args()
    set_up_logs("console", "warning")
    asyncio.run((grounded.choose if arguments.thresholds else fit)(arguments.data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
