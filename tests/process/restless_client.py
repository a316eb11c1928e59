"""A client that has calls of every method in flight until it is killed: `python -m ... ADDRESS CALLS`.

It says "busy" as soon as so many calls of each method are begun, and goes on.
"""

from __future__ import annotations

import sys
import threading

import grpc

from tests.process.every_call import EVERY, Called, Caller, code_of


def go_on(caller: Caller, called: Called, calls: int, begun: threading.Barrier) -> None:
    """Have `calls` calls in flight, and again when they ended."""
    first = True
    while True:
        these = [caller.begin(called, hold=True) for _ in range(calls)]
        if first:
            begun.wait()
        first = False
        for call in these:
            code_of(called, call)


def main(address: str, calls: int) -> None:
    """Call on until killed."""
    with grpc.insecure_channel(address) as channel:
        caller, begun = Caller(channel, seed=0), threading.Barrier(len(EVERY) + 1)
        threads = [threading.Thread(target=go_on, args=(caller, called, calls, begun)) for called in EVERY]
        for thread in threads:
            thread.start()
        begun.wait()
        print("busy", flush=True)  # noqa: T201 # whoever kills it waits for this
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
