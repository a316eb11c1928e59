"""`ragctl ping`, `info` and `health`: whether the server is there, what it is, and how."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from rag_client.cli.exit_codes import ExitCode
from rag_client.cli.options import DEFAULT_SERVER, Json, Server, Timeout, connect
from rag_client.cli.output import Output


def ping(*, server: Server = DEFAULT_SERVER, timeout: Timeout = None, json: Json = False) -> None:
    """Ask whether the server lives."""
    output = Output(as_json=json)
    with connect(server, timeout) as client:
        client.ping()  # opens the connection, which is not what is measured
        begin = time.perf_counter()
        pong = client.ping()
        milliseconds = (time.perf_counter() - begin) * 1000
    if json:
        output.json({"status": pong.status, "message": pong.message, "milliseconds": milliseconds})
    else:
        output.line(f"{pong.message} from {server} in {milliseconds:.2f} ms")


def info(*, server: Server = DEFAULT_SERVER, timeout: Timeout = None, json: Json = False) -> None:
    """Show what runs there and how much it takes at once."""
    output = Output(as_json=json)
    with connect(server, timeout) as client:
        found = client.get_server_info()
    if json:
        output.json(found)
        return
    rows = [["version", found.version], ["store", found.store]]
    rows += [["embedder", f"{each.name} ({each.dimension} dimensions)"] for each in found.embedders]
    for name in ("rerankers", "generators", "judges"):
        if models := getattr(found, name):
            rows.append([name, ", ".join(models)])
    rows += [[name, f"{value:,}"] for name, value in found.limits.items()]
    output.table(["what", "value"], rows)


def health(
    *,
    service: Annotated[
        str, typer.Option("--service", help="A service's full name; all unless given.", show_default=False)
    ] = "",
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Ask grpc.health.v1 whether the server serves; exit code 1 where it does not."""
    output = Output(as_json=json)
    with connect(server, timeout) as client:
        status = client.check_health(service)
    if json:
        output.json({"service": service, "status": status})
    else:
        output.line(status, style="green" if status == "serving" else "red")
    if status != "serving":
        raise typer.Exit(ExitCode.SOME_FAILED)
