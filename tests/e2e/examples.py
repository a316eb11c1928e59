"""How many examples hypothesis draws in tests that call a server."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

TIMES = 10 if os.environ.get("RAG_SOAK") else 1


def examples(count: int) -> settings:
    """So many examples; the same ones each time, but in a soak, which goes looking."""
    return settings(
        max_examples=count * TIMES,
        deadline=None,
        derandomize=TIMES == 1,
        # What fails says itself which field was broken how: making it smaller takes long and says no more.
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
