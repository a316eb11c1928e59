"""Answering questions: find sources, let a generator write, check what it wrote. The use case of answers.

First come the sources, then text as it is written, last the whole answer. Only that is
checked: its citations, its support, and whether it is an answer at all. Where the sources
hold none, the answer says so, whatever was written before it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TypeAlias

from rag_grpc.core.analysis import Analyzer
from rag_grpc.core.answers import Answer, AnswerRequest, Claim, Source, Stop, WritingTask, Written
from rag_grpc.core.errors import (
    FieldViolation,
    InvalidField,
    ModelUnavailable,
    NotConfigured,
    RagError,
    WordsNotReady,
)
from rag_grpc.core.grounding import Grounding
from rag_grpc.core.model_ports import Generator
from rag_grpc.core.models import DEFAULT_COLLECTION, Collection
from rag_grpc.core.no_answer import no_answer
from rag_grpc.core.ports import Store, Telemetry
from rag_grpc.core.queries import QueryResult
from rag_grpc.core.questions import question_terms
from rag_grpc.core.retrieval import Retrieval
from rag_grpc.core.searches import Hit, HitParts, WordCounts
from rag_grpc.core.sentences import sentences

DEFAULT_SOURCES = 5


@dataclass(frozen=True, slots=True)
class _Work:
    """One answer: who writes it, from which collection, and what was found, as far as it was asked for."""

    generator: Generator
    collection: Collection
    shown: QueryResult


Event: TypeAlias = "QueryResult | str | Answer"


class Generation:
    """Answers questions with the server's generators; the first is the default."""

    def __init__(
        self,
        *,
        store: Store,
        retrieval: Retrieval,
        generators: Mapping[str, Generator],
        grounding: Grounding,
        analyzer: Analyzer,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._retrieval = retrieval
        self._generators = generators
        self._grounding = grounding
        self._analyzer = analyzer
        self._telemetry = telemetry

    async def stream(self, request: AnswerRequest) -> AsyncGenerator[Event, None]:
        """Give what was found, as far as it was asked for; then text, piece by piece; last the Answer.

        Close it to stop all work, upstream too. Raises what Retrieval.query raises, NotConfigured,
        InvalidField and ModelUnavailable.
        """
        generator = self._generator(request)
        query = request.query
        collection = self._store.collection(query.collection or DEFAULT_COLLECTION)
        found = await self._retrieval.query(query._replace(parts=replace(query.parts, text=True, title=True)))
        shown = found._replace(hits=[_without(hit, query.parts) for hit in found.hits])
        work = _Work(generator, collection, shown)
        yield shown
        if not found.hits:
            yield self._refusal(work, Written(Stop.NOT_GROUNDED))
            return
        task = await self._task(request, collection, found)
        pieces: list[str] = []
        written: Written | None = None
        async with aclosing(self._written(generator, task)) as writing:
            async for each in writing:
                if isinstance(each, Written):
                    written = each
                else:
                    pieces.append(each)
                    yield each
        if written is None:
            raise ModelUnavailable(f"generator {generator.name!r} ended without saying why")
        yield await self._checked(work, task, "".join(pieces), written)

    def _generator(self, request: AnswerRequest) -> Generator:
        has, name = self._generators, request.generator
        if not has:
            raise NotConfigured("this server has no generator")
        if name and name not in has:
            raise NotConfigured(f"this server has no generator {name!r}; it has: {', '.join(has)}")
        generator = has[name or next(iter(has))]
        if request.instructions and not generator.takes_instructions:
            violation = FieldViolation(
                "options.instructions",
                f"is of no use to generator {generator.name!r}, which quotes; leave it out",
            )
            raise InvalidField.of([violation])
        return generator

    async def _task(self, request: AnswerRequest, collection: Collection, found: QueryResult) -> WritingTask:
        language = collection.language
        return WritingTask(
            question=request.query.text,
            sources=[Source(hit.chunk.text, hit.title, hit.chunk.headings) for hit in found.hits],
            language=language,
            max_output_tokens=request.max_output_tokens,
            temperature=request.temperature,
            instructions=request.instructions,
            counts=await self._counts(
                collection, question_terms(self._analyzer, request.query.text, language)
            ),
        )

    async def _counts(self, collection: Collection, terms: list[str]) -> WordCounts | None:
        try:
            return await self._store.word_counts(collection, terms)
        except WordsNotReady:
            # They are made anew. Words weigh all the same meanwhile.
            return None

    async def _written(self, generator: Generator, task: WritingTask) -> AsyncGenerator[str | Written, None]:
        """Let it write, trust nothing that comes, and see how long it took."""
        began = perf_counter()
        first = True
        try:
            async with aclosing(generator.write(task)) as writing:
                async for each in writing:
                    if first:
                        self._telemetry.stage("first_text", perf_counter() - began)
                        first = False
                    yield each
        except RagError:
            raise
        except Exception as error:
            raise ModelUnavailable(
                f"generator {generator.name!r} failed with {type(error).__name__}"
            ) from error
        self._telemetry.stage("generate", perf_counter() - began)

    async def _checked(self, work: _Work, task: WritingTask, text: str, written: Written) -> Answer:
        """Make the answer of what was written."""
        if written.stop is Stop.NOT_GROUNDED:
            return self._refusal(work, written)
        checked = await self._grounding.check(text, task, written)
        if not checked.grounded:
            return self._refusal(work, written, removed=checked.removed)
        answer = Answer(
            text=checked.text,
            grounded=True,
            claims=checked.claims,
            found=work.shown,
            generator=work.generator.name,
            stop=written.stop,
            input_tokens=written.input_tokens,
            output_tokens=written.output_tokens,
        )
        self._telemetry.answered(answer, removed_citations=checked.removed)
        return answer

    def _refusal(self, work: _Work, written: Written, *, removed: int = 0) -> Answer:
        """Say that the sources hold no answer."""
        text = no_answer(work.collection.language)
        answer = Answer(
            text=text,
            grounded=False,
            claims=tuple(Claim(span, (), 0.0) for span in sentences(text)),
            found=work.shown,
            generator=work.generator.name,
            stop=Stop.NOT_GROUNDED,
            input_tokens=written.input_tokens,
            output_tokens=written.output_tokens,
        )
        self._telemetry.answered(answer, removed_citations=removed)
        return answer


def _without(hit: Hit, parts: HitParts) -> Hit:
    """Leave out what was read for the generator and not asked for."""
    chunk = hit.chunk if parts.text else hit.chunk._replace(text="")
    return hit._replace(chunk=chunk, title=hit.title if parts.title else "")
