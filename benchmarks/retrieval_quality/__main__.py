"""`make eval-retrieval`: measure, print a table, and fail where a floor is not reached."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import Table
from benchmarks.retrieval_quality.checks import MODEL, Quality
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
        table = Table()
        asyncio.run(Quality(arguments.data, Path(scratch), table.add, model=model).measure())
    return table.end(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
