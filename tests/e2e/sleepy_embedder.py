"""An embedder whose time depends on the text, so that writes overtake each other if anything lets them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rag_grpc.embedders.mock import MockEmbedder

SLEEP = re.compile(r"\bsleep (\d+)\b")


class SleepyEmbedder(MockEmbedder):
    """Embeds as the mock does, after as many tenths of a millisecond as a text asks for: "sleep 25".

    One text a batch, so that each takes its own time. `begun` is called with each text, in a worker thread.
    """

    name = "sleepy"
    max_batch = 1

    def __init__(self, begun: Callable[[str], None] = lambda _: None) -> None:
        super().__init__()
        self._begun = begun

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        for text in texts:
            self._begun(text)
            if asked := SLEEP.search(text):
                time.sleep(int(asked[1]) / 10_000)
        return super().embed(texts)
