"""`make eval-answers`: measure, print a table, and fail where a floor is not reached.

Other judges are named as RAG_JUDGES names them: `make eval-answers ARGS="--judges nli=nli:/srv/model"`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from benchmarks.answer_quality import grounded
from benchmarks.answer_quality.judges import JudgeQuality
from benchmarks.figures import Figure, Table
from rag_client import AsyncRagClient
from rag_grpc.app import running_server
from rag_grpc.logs import set_up_logs
from rag_grpc.model_spec import models
from rag_grpc.settings import Settings

DATA = Path(__file__).parents[2].parent / "shared" / "data"

Report = Callable[[Figure], None]


async def judges(arguments: argparse.Namespace, report: Report) -> None:
    """How well judges tell supported answers from others."""
    settings = Settings(
        listen="127.0.0.1:0", http_listen="127.0.0.1:0", store="memory", judges=models(arguments.judges)
    )
    async with running_server(settings) as server, AsyncRagClient(server.grpc_address) as client:
        await JudgeQuality(arguments.data, client, report).measure()


async def answers(arguments: argparse.Namespace, report: Report) -> None:
    """Whether answers hold what was asked for, and know when they do not."""
    await grounded.measure(arguments.data, report)


PARTS: dict[str, Callable[[argparse.Namespace, Report], Coroutine[Any, Any, None]]] = {
    "answers": answers,
    "judges": judges,
}


def main() -> int:
    """Measure how good answers are, and those who judge them, on the collections in ../shared/data."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure; all without any")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--judges", default="lexical", help="the judges, as RAG_JUDGES names them")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        print(f"There are no collections in {arguments.data}; name the folder with --data.")
        return 1
    set_up_logs("console", "warning")
    table = Table()
    for part in arguments.parts or PARTS:
        asyncio.run(PARTS[part](arguments, table.add))
    return table.end(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
