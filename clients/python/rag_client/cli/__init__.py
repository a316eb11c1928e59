"""ragctl: rag-grpc from a shell.

Typer and rich come with the extra "cli"; whoever runs ragctl without them gets one line that says so.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

EXTRA = ("typer", "rich")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ragctl and return its exit code; `arguments` are those of the command line unless given."""
    # gRPC's C core writes lines of its own to stderr, where ours are one to an error.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from rag_client.cli.app import run  # noqa: PLC0415 - without the extra there is no app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        print('ragctl needs its extra: pip install "rag-grpc-client[cli]"', file=sys.stderr)
        return 2
    return run(arguments)
