"""What goes into an index of words, what tantivy is told of it, and what a search is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import tantivy

from rag_grpc.core.analysis import Analyzer

FORMAT: Final = 1
"""Changes when what is in the index does, so that older ones are made anew."""

WORDS, CHUNK, CONTENT = "words", "chunk", "content"


class ChunkText(NamedTuple):
    """What the words of a chunk are taken from."""

    chunk: int
    content: int
    title: str
    headings: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class LexicalView:
    """What a search sees of a collection's words. `searcher` is None while there are none.

    `whole` says whether that is all that the view has: if not, a commit is due first, or the index sleeps.
    """

    whole: bool
    searcher: tantivy.Searcher | None
    schema: tantivy.Schema
    analyzer: Analyzer
    language: str


def schema() -> tantivy.Schema:
    """Return the fields of a chunk."""
    builder = tantivy.SchemaBuilder()
    # No positions: there are no phrases, and they would be most of the index.
    builder.add_text_field(WORDS, stored=False, tokenizer_name=WORDS, index_option="freq")
    builder.add_integer_field(CHUNK, indexed=True, fast=True)
    builder.add_integer_field(CONTENT, indexed=True)
    return builder.build()


def document(chunk: ChunkText, terms: str) -> tantivy.Document:
    """Make what is indexed of a chunk: its `terms`, joined by spaces, and its numbers."""
    made = tantivy.Document()
    made.add_text(WORDS, terms)
    made.add_integer(CHUNK, chunk.chunk)
    made.add_integer(CONTENT, chunk.content)
    return made


def prepare(index: tantivy.Index) -> None:
    """Have terms split at spaces alone, and commits seen when they are asked for."""
    index.register_tokenizer(WORDS, tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build())
    index.config_reader("manual")
    index.reload()
