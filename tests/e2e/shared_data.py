"""Real texts and vectors beside the project, in ../shared/data; each set's SOURCE.md says where it is from.

They are no part of the project: a test that needs one skips where it is missing.
"""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

DATA = Path(__file__).parents[3] / "shared" / "data"


def folder(name: str) -> Path:
    """Find a set, or skip the test."""
    found = DATA / name
    if not found.is_dir():
        pytest.skip(f"the data set {name} is not there: ../shared/data has none")
    return found


def rows(file: Path) -> list[dict[str, Any]]:
    """Read the JSON lines of a packed file; lines end at "\\n" alone."""
    with gzip.open(file, "rt", encoding="utf-8", newline="\n") as lines:
        return [json.loads(line) for line in lines]


def vectors(file: Path) -> NDArray[np.float32]:
    """Read a packed array of vectors, shape (rows, dimension), as float32."""
    with gzip.open(file) as packed:
        array: NDArray[np.float32] = np.ascontiguousarray(np.load(packed), dtype=np.float32)
    return array


def judgements(file: Path) -> list[tuple[str, str, int]]:
    """Read the labels of a packed table: (query_id, doc_id, relevance)."""
    with gzip.open(file, "rt", encoding="utf-8", newline="\n") as lines:
        _, *labels = [line.rstrip("\n").split("\t") for line in lines]
    return [(query_id, doc_id, int(grade)) for query_id, doc_id, grade in labels]


def squad_questions(count: int, seed: int) -> list[tuple[str, str]]:
    """Draw questions of SQuAD, each with the one paragraph that answers it: (text, doc_id)."""
    squad = folder("squad_v1_dev")
    relevant = {query_id: doc_id for query_id, doc_id, _ in judgements(squad / "qrels.tsv.gz")}
    questions = rows(squad / "queries.jsonl.gz")
    chosen = random.Random(seed).sample(range(len(questions)), count)
    return [(questions[place]["text"], relevant[questions[place]["query_id"]]) for place in sorted(chosen)]
