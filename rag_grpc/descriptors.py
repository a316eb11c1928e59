"""How many files and sockets the process may have open at a time.

A collection keeps one open, a connection another; the soft limit of most systems is 1,024,
for the sake of programs that use select(), which this one does not. The hard limit is what
whoever runs the machine allows.
"""

from __future__ import annotations

import resource


def raise_descriptor_limit() -> int:
    """Raise the soft limit to the hard one where that is allowed, and return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        # Some systems say "unlimited" and then refuse it.
        return soft
    return hard
