"""A process that has imported the server, and forks one for each that is asked for.

Importing takes a start most of its processor time, and the tests of this folder start a
server more than a hundred times. `forked` starts this file and asks; a server that was forked
here differs from `python -m rag_grpc serve` in what it need not import again, and in nothing
else that `test_forked` could find.

That holds because nothing here begins what a fork would tear: no thread of Python's, no
event loop, nothing of gRPC, no handler of a signal. numpy's threads end at a fork, and come
back, by handlers of its own.

It ends when nobody can ask any more, and with it those who still serve: nobody could stop them.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass

LONGEST_ORDER = 1 << 18
"""Bytes; more than the kernel lets pass at once."""


@dataclass(frozen=True)
class Order:
    """What makes one server differ from the others."""

    folder: str
    environment: dict[str, str]

    @classmethod
    def read(cls, message: bytes) -> Order:
        """Read what `written` wrote."""
        return cls(**json.loads(message))

    def written(self) -> bytes:
        """Write it as a message."""
        return json.dumps({"folder": self.folder, "environment": self.environment}).encode()


@dataclass(frozen=True)
class _Living:
    """A server that was not seen to end, and where its exit code is awaited."""

    pid: int
    report: int


class Nursery:
    """Takes orders, forks, and says how those who were forked have ended."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._living: dict[int, _Living] = {}
        """By the descriptor that tells of their end: no signal does, which a server would inherit."""
        self._news = select.poll()
        self._news.register(orders, select.POLLIN)

    def tend(self) -> Order | None:
        """Fork until nobody asks any more. Returns in each child, with its order; None in the nursery."""
        while True:
            for descriptor, _ in self._news.poll():
                if descriptor in self._living:
                    self._report(descriptor)
                    continue
                message, descriptors, _, _ = socket.recv_fds(self._orders, LONGEST_ORDER, 3)
                if not message:
                    self._end()
                    return None
                if self._forked(*descriptors):
                    return Order.read(message)

    def _forked(self, stdout: int, stderr: int, report: int) -> bool:
        """Fork; whether this is the child, which then has its streams and nothing that is the nursery's."""
        pid = os.fork()
        if not pid:
            self._leave(report)
            for stream, descriptor in ((1, stdout), (2, stderr)):
                os.dup2(descriptor, stream)
        os.close(stdout)
        os.close(stderr)
        if not pid:
            return True
        end = os.pidfd_open(pid)
        self._living[end] = _Living(pid, report)
        self._news.register(end, select.POLLIN)
        socket.send_fds(self._orders, [str(pid).encode()], [end])
        return False

    def _leave(self, report: int) -> None:
        self._orders.close()
        os.close(report)
        for end, living in self._living.items():
            os.close(end)
            os.close(living.report)

    def _report(self, end: int) -> None:
        living = self._living.pop(end)
        self._news.unregister(end)
        code = os.waitstatus_to_exitcode(os.waitpid(living.pid, 0)[1])
        with suppress(BrokenPipeError):
            os.write(living.report, str(code).encode())
        os.close(living.report)
        os.close(end)

    def _end(self) -> None:
        for living in self._living.values():
            os.kill(living.pid, signal.SIGKILL)
        for end in list(self._living):
            self._report(end)


def main() -> None:
    """Import, take orders from the socket that the first argument names, and become what was ordered."""
    # Ctrl-C is for pytest and for servers. Held back, and not ignored, so that none is lost to a child.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    orders = socket.socket(fileno=int(sys.argv[1]))
    if not sys.flags.safe_path:
        # The folder of this file, which is no place to import from. A server has its own folder there.
        del sys.path[0]
    began_with = set(os.environ)
    gc.disable()
    import rag_grpc.cli
    import rag_grpc.process  # noqa: F401

    gc.collect()
    # So that no child's collector touches, and copies, what all share.
    gc.freeze()
    set_by_imports = {name: value for name, value in os.environ.items() if name not in began_with}
    order = Nursery(orders).tend()
    if order is not None:
        gc.enable()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _become_server(order, set_by_imports)


def _become_server(order: Order, set_by_imports: dict[str, str]) -> None:
    """Do as `python -m rag_grpc serve` does; how it ends is the end of this process."""
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(set_by_imports | order.environment)
    if not sys.flags.safe_path:
        sys.path.insert(0, order.folder)
    sys.argv[1:] = ["serve"]
    runpy.run_module("rag_grpc", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
