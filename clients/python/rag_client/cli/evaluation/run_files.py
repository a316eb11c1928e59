"""A run as TREC has it, so that trec_eval and its kin can score it too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from rag_client.cli.evaluation.results import Retrieved

TAG = "rag-grpc"


def write_run(path: Path, retrieved: Retrieved) -> None:
    """Write query, "Q0", document, rank, score and tag of each hit.

    The score only falls with the rank: trec_eval takes the order from it, and breaks ties its own way.
    Spaces in ids, which its columns cannot hold, become underscores.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for query in retrieved.queries:
            for rank, doc_id in enumerate(query.doc_ids, 1):
                score = len(query.doc_ids) - rank + 1
                ids = ["_".join(each.split()) for each in (query.query_id, doc_id)]
                file.write(f"{ids[0]} Q0 {ids[1]} {rank} {score} {TAG}\n")
