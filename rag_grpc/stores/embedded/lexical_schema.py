"""What tantivy is told of an index of words: its fields, how they are taken apart, and what goes in."""

from __future__ import annotations

from typing import Final, NamedTuple

import tantivy

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


def schema() -> tantivy.Schema:
    """Return the fields of a chunk."""
    builder = tantivy.SchemaBuilder()
    # No positions: there are no phrases, and they would be most of the index.
    builder.add_text_field(WORDS, stored=False, tokenizer_name=WORDS, index_option="freq")
    builder.add_integer_field(CHUNK, indexed=True, fast=True)
    builder.add_integer_field(CONTENT, indexed=True)
    return builder.build()


def prepare(index: tantivy.Index) -> None:
    """Have terms split at spaces alone, and commits seen when they are asked for."""
    index.register_tokenizer(WORDS, tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build())
    index.config_reader("manual")
    index.reload()
