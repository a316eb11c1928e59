"""What answers are worth: whether they hold what was asked for, and know when they do not.

Everything is measured on questions that nothing was fitted to or chosen on, over a server with its
defaults; supports are taken from one that lets every answer pass.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmarks.answer_quality.measured import COLLECTION, Outcome, answered, area_under_curve
from benchmarks.answer_quality.questions import Questions, questions
from benchmarks.figures import Figure
from benchmarks.retrieval_quality.service import ingest
from rag_client import AsyncRagClient
from rag_grpc.app import running_server
from rag_grpc.settings import Settings

REFUSAL_WORDS = 7
SET = "SQuAD dev, 1,000 questions of half of its articles"


async def measure(data: Path, add: Callable[[Figure], None]) -> None:
    """Measure, and fail where a floor is not reached."""
    asked = questions(data)
    async with _served(asked) as client:
        own = await answered(client, asked.reported)
        foreign = await answered(client, asked.foreign_reported)
    _add_answers(add, own)
    grounded = fmean(each.answer.grounded for each in own)
    add(Figure(f"{SET}: answered", "share", grounded, 0.9))
    refused = fmean(not each.answer.grounded for each in foreign)
    add(Figure("foreign questions (SciFact, anthropic_docs): not answered", "share", refused, 0.97))
    async with _served(asked, threshold=0.0) as client:
        support = [each.support for each in await answered(client, asked.reported)]
        without = [each.support for each in await answered(client, asked.reported, without_own=True)]
    curve = area_under_curve(support, without)
    add(Figure(f"{SET}: support, against their paragraph left out", "AUC", curve, 0.85))


def _add_answers(add: Callable[[Figure], None], own: list[Outcome]) -> None:
    add(Figure(f"{SET}: the gold answer stands in the text", "share", fmean(each.right for each in own), 0.8))
    words = fmean(each.words for each in own)
    add(Figure(f"{SET}: words of an answer, at most 50", "words", words))
    add(Figure(f"{SET}: 50 words, of those it has", "ratio", 50 / words, 1.0))
    faithful = fmean(each.faithful for each in own if each.answer.grounded)
    add(Figure(f"{SET}: every sentence stands in a source that it cites", "share", faithful, 1.0))


async def choose(data: Path) -> None:
    """Print what each threshold would do to questions that no figure is reported on."""
    asked = questions(data)
    async with _served(asked, threshold=0.0) as client:
        own = await answered(client, asked.fitted[:1000])
        foreign = await answered(client, asked.foreign_fitted)
        without = await answered(client, asked.fitted[:1000], without_own=True)
    supports = {name: np.array([each.support for each in them]) for name, them in
                (("own", own), ("foreign", foreign), ("without", without))}  # fmt: skip
    right = np.array([each.right for each in own])
    words = np.array([each.words for each in own])
    print(f"words {words.mean():.1f}, right {right.mean():.4f}")
    print("threshold   answered    right   words   foreign refused   without their paragraph refused")
    for threshold in (0.05, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2, 0.22, 0.25, 0.3, 0.35, 0.4):
        passed = supports["own"] >= threshold
        print(
            f"{threshold:9.2f}   {passed.mean():8.4f}   {(right & passed).mean():.4f}"
            f"    {np.where(passed, words, REFUSAL_WORDS).mean():.1f}"
            f"   {(supports['foreign'] < threshold).mean():15.4f}"
            f"   {(supports['without'] < threshold).mean():.4f}"
        )


@asynccontextmanager
async def _served(asked: Questions, threshold: float | None = None) -> AsyncIterator[AsyncRagClient]:
    """Serve the paragraphs with the defaults of a server, but for the threshold where one is given."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            listen="127.0.0.1:0",
            http_listen="127.0.0.1:0",
            data_dir=Path(folder),
            **({} if threshold is None else {"grounding_threshold": threshold}),  # type: ignore[arg-type]
        )
        async with running_server(settings) as server, AsyncRagClient(server.grpc_address) as client:
            await ingest(client, COLLECTION, asked.squad, language="en")
            yield client
