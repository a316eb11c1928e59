"""Child servers that are gone when their test is."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.process.child import Child


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """Start children over one folder: `start(store="memory", grace="5s")`."""
    with ExitStack() as stack:

        def begin(*, inside: Sequence[str] = (), fresh: bool = False, **settings: str) -> Child:
            child = Child(tmp_path, inside=inside, fresh=fresh, **settings)
            stack.callback(child.kill)
            return child

        yield begin
