"""`python -m benchmarks.texts`: texts in, through the server's own splitter and embedder.

What it takes from a text that a caller sends to an answer that says it is durable and
found: checking, hashing, splitting, the mock embedder, the database, the indexes. Chunks
a second, counted from the answers; the clock runs until the last of them is there. The
load comes from another process, which sends bytes that were made beforehand.

Texts are sentences of made-up words, of which few come often and many seldom, as words
of a language do; every document has a title and metadata. There are two kinds: those of
some 270 characters, which are one chunk each, and pages of some twenty paragraphs, which
are split. Another embedder takes its own time; this measures what stands around it.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from google.protobuf import struct_pb2

from benchmarks.child_server import child_server
from benchmarks.figures import Figure, Table
from benchmarks.load import in_another_process, stream
from ragapi.v1 import ingestion_service_pb2 as pb
from ragapi.v1 import types_pb2

INGEST = "/ragapi.v1.IngestionService/StreamIngestDocuments"
FLOOR = 2_500
"""Chunks a second that the service promises on two processors."""
WORDS = 20_000
PARAGRAPH_CHARACTERS = 270
PAGE_PARAGRAPHS = 20
MESSAGE_CHARACTERS = 27_000
_SYLLABLES = tuple(first + vowel for first in "bcdfghklmnprstvwz" for vowel in "aeiou")


def _vocabulary(random: np.random.Generator) -> list[str]:
    lengths = random.integers(1, 5, WORDS)
    return ["".join(random.choice(_SYLLABLES, length)) for length in lengths]


def paragraphs(random: np.random.Generator) -> Iterator[str]:
    """Write paragraphs of three or four sentences, without end."""
    words = _vocabulary(random)
    # Zipf's law: the word of rank r comes 1/r as often as the first.
    shares = 1 / np.arange(1, WORDS + 1)
    while True:
        ranks = random.choice(WORDS, 4096, p=shares / shares.sum()).tolist()
        text, end = "", 0
        while end + 20 < len(ranks):
            length = int(random.integers(6, 16))
            sentence = " ".join(words[rank] for rank in ranks[end : end + length])
            end += length
            text += sentence.capitalize() + ". "
            if len(text) >= PARAGRAPH_CHARACTERS - 50:
                yield text.strip()
                text = ""


def messages(paragraphs_each: int, chunks: int) -> list[bytes]:
    """Serialise documents of so many paragraphs each, for about `chunks` paragraphs in all."""
    source = paragraphs(np.random.default_rng(0))
    documents = MESSAGE_CHARACTERS // (PARAGRAPH_CHARACTERS * paragraphs_each)
    made: list[bytes] = []
    number = 0
    while number * paragraphs_each < chunks:
        request = pb.StreamIngestDocumentsRequest()
        for _ in range(documents):
            metadata = struct_pb2.Struct()
            metadata.update({"number": number, "lang": "en", "source": f"file-{number % 100}.txt"})
            text = "\n\n".join(next(source) for _ in range(paragraphs_each))
            document = types_pb2.Document(
                doc_id=f"doc-{number}", title=text[:40], text=text, metadata=metadata
            )
            request.items.append(pb.IngestItem(document=document))
            number += 1
        made.append(request.SerializeToString())
    return made


def ingest(sent: list[bytes]) -> tuple[float, float]:
    """Send messages to a fresh server; return chunks and documents a second."""
    with child_server() as server:
        seconds, received = in_another_process(stream, server.grpc, INGEST, sent)
    chunks = documents = 0
    for each in received:
        for result in pb.StreamIngestDocumentsResponse.FromString(each).results:
            if result.status != pb.INGEST_STATUS_CREATED:
                raise RuntimeError(f"not taken: {result}")
            chunks += result.chunk_count
            documents += 1
    return chunks / seconds, documents / seconds


def main() -> int:
    """Measure and print; the exit code says whether the floor was reached."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--chunks", type=int, default=30_000, help="paragraphs of each kind")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    kinds = {
        f"texts of {PARAGRAPH_CHARACTERS} characters": messages(1, arguments.chunks),
        f"pages of {PAGE_PARAGRAPHS} such paragraphs": messages(PAGE_PARAGRAPHS, arguments.chunks),
    }
    rates: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for _ in range(arguments.rounds):
        for kind, sent in kinds.items():
            rates[kind].append(ingest(sent))
    table = Table()
    for kind, found in rates.items():
        print(f"{kind}: each round {[round(chunks) for chunks, _ in found]}")
        table.add(Figure(kind, "documents a second", statistics.median(each[1] for each in found)))
        table.add(Figure(kind, "chunks a second", statistics.median(each[0] for each in found), FLOOR))
    return table.end(arguments.json)


if __name__ == "__main__":
    raise SystemExit(main())
