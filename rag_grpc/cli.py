"""The command `rag-grpc`: arguments in, settings made, the rest is elsewhere."""
# ruff: noqa: T201 # a command speaks by printing

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from rag_grpc import __version__
from rag_grpc.environment import SettingsFault, together, variable
from rag_grpc.garbage import no_collection
from rag_grpc.settings import Settings, load

OK = 0
FAULT = 1
NO_ANSWER = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        settings, unknown = load(env_file=parsed.env_file)
        if parsed.command == "check-config":
            return _check_config(settings, unknown)
    except SettingsFault as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        return FAULT
    if parsed.command == "health":
        return _health(parsed.address or settings.listen, parsed.service, parsed.timeout)
    with no_collection():
        from rag_grpc.process import serve  # noqa: PLC0415 # the other commands need none of what it imports

    return serve(settings, unknown)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rag-grpc",
        description="Retrieval-augmented generation as one gRPC service.",
        epilog="Settings come from variables named RAG_..., and from .env; docs/settings.md lists them.",
    )
    parser.add_argument("--version", action="version", version=f"rag-grpc {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--env-file", type=Path, metavar="FILE", help="read this in place of .env")
    commands.add_parser("serve", parents=[shared], help="run the server until it is told to stop")
    commands.add_parser("check-config", parents=[shared], help="show the settings, or all that is wrong")
    health = commands.add_parser(
        "health", parents=[shared], help="ask a running server; exit code 0 only where it is SERVING"
    )
    health.add_argument("--address", metavar="HOST:PORT", help="the server; RAG_LISTEN by default")
    health.add_argument("--service", default="", help="one service by its full name; all by default")
    health.add_argument("--timeout", type=float, default=2.0, metavar="SECONDS", help="2 by default")
    return parser


def _check_config(settings: Settings, unknown: Sequence[str]) -> int:
    from rag_grpc.canary_file import canary_file  # noqa: PLC0415 # `health` needs none of what these import
    from rag_grpc.model_set import check_settings  # noqa: PLC0415

    together(lambda: check_settings(settings), lambda: canary_file(settings))
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.metadata["secret"]:
            value = "***" if value else ""
        elif isinstance(value, tuple):
            value = ",".join(value)
        elif value is None:
            value = ""
        print(f"{variable(field)}={value}")
    for name in unknown:
        print(f"{name}: there is no such setting; it is ignored", file=sys.stderr)
    return OK


def _health(address: str, service: str, timeout: float) -> int:
    from rag_grpc.rpc.probe import SERVING, probe  # noqa: PLC0415 # check-config needs no gRPC

    try:
        status = probe(address, service, timeout)
    except OSError as error:
        print(f"{address} does not answer: {error}", file=sys.stderr)
        return NO_ANSWER
    print(status)
    return OK if status == SERVING else FAULT
