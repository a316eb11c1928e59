"""What title and headings in the embedding are worth: exact search, no index, no server.

    python -m benchmarks.chunk_context [--data ../shared/data] [--model ../shared/models/all-minilm-l6-v2]

Passages are put together again to the documents that they were taken from, split as
the server does it, and embedded with and without what each chunk stands under. A hit
counts for the passage that most of the chunk lies in. SQuAD's questions are those to
choose by, without the 1,000 that embedder_recall.py keeps for reporting.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import ir_measures
import numpy as np
from ir_measures import RR, R, nDCG
from numpy.typing import NDArray

from benchmarks.embedder_recall import load, squad
from rag_grpc.core.chunking import Context
from rag_grpc.core.model_ports import Embedder
from rag_grpc.core.models import Chunking
from rag_grpc.embedders.fastembed import EmbedderOptions, FastembedEmbedder
from rag_grpc.embedders.mock import MockEmbedder
from rag_grpc.splitters.structure import StructureSplitter

DEPTH = 10
CANDIDATES = 100
"""Chunks that are looked at for each question: several may be of one passage."""

MEASURES = {"recall@5": R @ 5, "nDCG@10": nDCG @ 10, "MRR@10": RR @ 10}
VARIANTS = ("text alone", "title", "headings", "title and headings")


@dataclass(slots=True)
class Page:
    """A whole document, and where its passages stand in it: start, end, number of the passage."""

    title: str
    media_type: str
    text: str = ""
    passages: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, passage: int, text: str) -> None:
        """Put a passage at the end."""
        self.text += "\n\n" if self.text else ""
        self.passages.append((len(self.text), len(self.text) + len(text), passage))
        self.text += text

    def passage(self, start: int, end: int) -> int:
        """Say which passage most of `text[start:end]` is of."""
        return max((min(end, b) - max(start, a), number) for a, b, number in self.passages)[1]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents, and questions with the numbers of the passages that answer each."""

    pages: list[Page]
    questions: list[str]
    relevant: list[set[int]]


def documentation(folder: Path) -> Corpus:
    """Sections of a site, by their pages: Markdown, the sections' titles as headings."""
    pages: dict[str, Page] = {}
    for number, section in enumerate(_corpus(folder)):
        path = section["doc_id"].split("#")[0].rstrip("/").rsplit("/", 1)[-1]
        page = pages.setdefault(path, Page(path.replace("-", " ").capitalize(), "text/markdown"))
        body = section["text"].strip().removeprefix(section["title"]).strip()
        page.add(number, f"## {section['title']}\n\n{body}")
    task = load(folder)
    return Corpus(list(pages.values()), task.questions, task.relevant)


def articles(folder: Path) -> Corpus:
    """Paragraphs of Wikipedia, by their articles: plain text under a title."""
    pages: dict[str, Page] = {}
    for number, paragraph in enumerate(_corpus(folder)):
        page = pages.setdefault(paragraph["title"], Page(paragraph["title"], "text/plain"))
        page.add(number, paragraph["text"])
    task = squad(folder, test=False)
    return Corpus(list(pages.values()), task.questions, task.relevant)


def abstracts(folder: Path) -> Corpus:
    """Abstracts of papers, each under its title; questions are the train claims."""
    pages: list[Page] = []
    for number, abstract in enumerate(_corpus(folder)):
        pages.append(Page(abstract["title"], "text/plain"))
        pages[-1].add(number, abstract["text"])
    task = load(folder, "_train")
    return Corpus(pages, task.questions, task.relevant)


def _corpus(folder: Path) -> Iterator[dict[str, str]]:
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8", newline="\n") as file:
        yield from map(json.loads, file)


def measure(corpus: Corpus, embedder: Embedder, variant: str) -> tuple[dict[str, float], int]:
    """Split, embed and search: means over the questions, and how many chunks there are."""
    texts: list[str] = []
    owners: list[int] = []
    chunking = Chunking(without_context=variant == "text alone")
    for page in corpus.pages:
        context = Context("" if variant == "headings" else page.title, chunking, embedder)
        for span in StructureSplitter().split(page.text, page.media_type, chunking, context.budget()):
            headings = () if variant == "title" else span.headings
            texts.append(context.embedding_text(headings, page.text[span.start : span.end]))
            owners.append(page.passage(span.start, span.end))
    scores = _embedded(embedder.embed_queries, corpus.questions) @ _embedded(embedder.embed, texts).T
    found = np.argsort(-scores, axis=1, kind="stable")[:, :CANDIDATES].tolist()
    run: list[ir_measures.ScoredDoc] = []
    for question, places in enumerate(found):
        ranking = list(dict.fromkeys(owners[place] for place in places))[:DEPTH]
        run += [
            ir_measures.ScoredDoc(str(question), str(owner), -float(rank))
            for rank, owner in enumerate(ranking)
        ]
    judged = [
        ir_measures.Qrel(str(question), str(owner), 1)
        for question, owners in enumerate(corpus.relevant)
        for owner in owners
    ]
    means = ir_measures.calc_aggregate(list(MEASURES.values()), judged, run)
    return {name: float(means[each]) for name, each in MEASURES.items()}, len(texts)


def _embedded(
    embed: Callable[[list[str]], NDArray[np.float32]], texts: list[str], batch: int = 64
) -> NDArray[np.float32]:
    parts = [embed(texts[start : start + batch]) for start in range(0, len(texts), batch)]
    vectors = np.concatenate(parts)
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def report(name: str, corpus: Corpus, embedders: Iterable[Embedder]) -> None:
    """Print a line for each embedder and variant that differs."""
    has_headings = any(page.media_type == "text/markdown" for page in corpus.pages)
    for embedder in embedders:
        for variant in VARIANTS if has_headings else VARIANTS[:2]:
            means, chunks = measure(corpus, embedder, variant)
            figures = "   ".join(f"{measured} {value:.3f}" for measured, value in means.items())
            print(f"{name:14} {embedder.name:8} {variant:20} {figures}   {chunks} chunks", flush=True)


def main() -> None:
    """Print a line for each collection, embedder and variant."""
    shared = Path(__file__).parents[2] / "shared"
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, default=shared / "data")
    parser.add_argument("--model", type=Path, default=shared / "models" / "all-minilm-l6-v2")
    parser.add_argument("--scifact", action="store_true", help="also 5,183 abstracts, which take long")
    arguments = parser.parse_args()
    data: Path = arguments.data
    embedders: list[Embedder] = [MockEmbedder()]
    if arguments.model.is_dir():
        model = FastembedEmbedder(
            "minilm", str(arguments.model), EmbedderOptions(max_tokens=256), cache=arguments.model
        )
        model.load()
        embedders.append(model)
    report("documentation", documentation(data / "anthropic_docs"), embedders)
    report("squad", articles(data / "squad_v1_dev"), embedders)
    if arguments.scifact:
        report("scifact", abstracts(data / "scifact"), embedders)


if __name__ == "__main__":
    main()
