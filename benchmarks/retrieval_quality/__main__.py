"""`make eval-retrieval`: measure, print a table, and fail where a floor is not reached."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.retrieval_quality.checks import MODEL, Figure, Quality
from benchmarks.retrieval_quality.kept_vectors import KeptVectors
from rag_grpc import model_set
from rag_grpc.embedders.fastembed import EmbedderOptions, FastembedEmbedder
from rag_grpc.logs import set_up_logs

SHARED = Path(__file__).parents[2].parent / "shared"


def main() -> int:
    """Measure retrieval quality on the collections in ../shared/data."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--model", type=Path, default=SHARED / "models" / "all-minilm-l6-v2")
    parser.add_argument("--kept", type=Path, default=Path.home() / ".cache" / "rag-grpc-eval")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        print(f"There are no collections in {arguments.data}; name the folder with --data.")
        return 1
    set_up_logs("console", "warning")
    model = arguments.model.is_dir()
    if model:
        # Its files say 512; it was trained on no more than 256.
        options = EmbedderOptions(max_tokens=256)
        embedder = FastembedEmbedder(MODEL, str(arguments.model), options, cache=arguments.kept)
        embedder.load()
        kept = KeptVectors(embedder, arguments.kept)
        model_set.EMBEDDERS[MODEL] = lambda: kept
    with tempfile.TemporaryDirectory() as scratch:
        table = _Table()
        asyncio.run(Quality(arguments.data, Path(scratch), table.add, model=model).measure())
    figures = table.figures
    if arguments.json:
        arguments.json.write_text(
            json.dumps([[each.what, each.measure, each.value, each.floor] for each in figures], indent=1)
        )
    missed = [each for each in figures if not each.reached]
    print(f"\n{len(figures) - len(missed)} of {len(figures)} figures as they must be.")
    return 1 if missed else 0


class _Table:
    """Prints figures as they come, and keeps them."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []
        self._began = time.perf_counter()

    def add(self, figure: Figure) -> None:
        """Take a figure."""
        self.figures.append(figure)
        verdict = "yes" if figure.reached else "NO"
        bound = "" if figure.floor is None else f"  at least {figure.floor:.4f}: {verdict}"
        seconds = time.perf_counter() - self._began
        print(f"{seconds:5.0f} s  {figure.value:.4f} {figure.measure:8} {figure.what}{bound}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
