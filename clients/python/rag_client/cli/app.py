"""The commands of ragctl under one roof, and what becomes of their errors."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rag_client.cli import (
    asking,
    collection_commands,
    document_commands,
    ingest,
    reembedding,
    search,
    server_commands,
)
from rag_client.cli.evaluation import commands as evaluation_commands
from rag_client.cli.exit_codes import ExitCode, exit_code
from rag_client.cli.options import (
    DEFAULT_SERVER,
    ApiKey,
    CaFile,
    Credentials,
    Server,
    Timeout,
    Tls,
    credentials,
)
from rag_client.cli.output import printable
from rag_client.errors import RagClientError
from rag_client.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

EPILOG = "Exit codes: " + "; ".join(f"{code.value} {code.meaning}" for code in ExitCode) + "."

app = typer.Typer(
    name="ragctl",
    help="Put documents into a rag-grpc server, and find them again.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("ingest", epilog=EPILOG)(ingest.ingest)
app.command("query", epilog=EPILOG)(search.query)
app.command("ask", epilog=EPILOG)(asking.ask)
app.command("get")(document_commands.get)
app.command("list")(document_commands.list_documents)
app.command("count")(document_commands.count)
app.command("update-metadata")(document_commands.update_metadata)
app.command("delete")(document_commands.delete)
app.command("reembed")(reembedding.reembed)
app.add_typer(collection_commands.app, name="collections")
app.add_typer(evaluation_commands.app, name="eval", epilog=EPILOG)
app.command("ping")(server_commands.ping)
app.command("info")(server_commands.info)
app.command("health")(server_commands.health)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ragctl {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    tls: Tls = False,
    ca_file: CaFile = None,
    api_key: ApiKey = "",
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the release.")
    ] = False,
) -> None:
    """Put documents into a rag-grpc server, and find them again."""
    del version  # its callback has answered
    # --server and --timeout may stand before the command or behind it, where they win. The command is
    # parsed after this, and takes from the environment what it was not given.
    credentials.set(Credentials(tls, ca_file, api_key))
    os.environ["RAG_SERVER"] = server
    if timeout is not None:
        os.environ["RAG_TIMEOUT"] = str(timeout)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. Errors become one line on stderr."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name="ragctl")
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(bool(ending.code))
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - nobody at a shell is helped by a traceback
        code = _complain(error)
    else:
        code = ExitCode.OK
    return code if _flushed() else ExitCode.OK


def _complain(error: Exception) -> int:
    match error:
        case RagClientError():
            message, code = str(error), exit_code(error)
        case ValueError():  # what the request builders refuse before anything is sent
            message, code = str(error), ExitCode.USAGE
        case OSError():
            message, code = str(error), ExitCode.FAULT
        case _:
            message, code = f"a fault of ragctl: {type(error).__name__}: {error}", ExitCode.FAULT
    print("ragctl: " + " ".join(printable(message).split()), file=sys.stderr)
    return code


def _flushed() -> bool:
    """Flush stdout; return false where nobody reads it any more, as after `ragctl list | head`."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at exit, and must not fail there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
