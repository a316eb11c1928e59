"""A place that speaks OpenAI's protocol, asked through the openai package.

The package's own retries are off: they know no bound for all tries together, and a
server that asks for a longer pause than is left is better reported at once than waited
for. Whoever asks decides by a `Failure` whether to try again, and when.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final

import openai

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 8.0
AGAIN_IN: Final = 1.0
"""Seconds after which a caller may try again where the endpoint named no time."""

_TRY_AGAIN: Final = frozenset({408, 409, 425, 429})
_SERVER_FAULTS: Final = 500
# The texts themselves may be at fault, so each is worth a try alone.
_ABOUT_THE_TEXTS: Final = frozenset({400, 413, 422})


def make_client(base_url: str, api_key: str, *, timeout: float) -> openai.AsyncOpenAI:
    """Make a client for one event loop. `timeout` is for connecting and for each wait for bytes."""
    return openai.AsyncOpenAI(api_key=api_key or "none", base_url=base_url, timeout=timeout, max_retries=0)


def headers(api_key: str) -> dict[str, Any]:
    """Return the headers of every request.

    Without a key no header is sent, as servers of one's own want it; the package insists on some text.
    """
    return {} if api_key else {"Authorization": openai.Omit()}


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with a try: in words, whether it may pass, and the pause that was asked for."""

    what: str
    passing: bool
    pause: float | None = None
    about_the_texts: bool = False

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Say what an exception of the package means. Its text is not used: it may quote what was sent."""
        if isinstance(error, openai.APIStatusError):
            status = error.status_code
            return cls(
                f"answered with HTTP status {status}",
                passing=status in _TRY_AGAIN or status >= _SERVER_FAULTS,
                pause=_retry_after(error.response.headers.get("retry-after")),
                about_the_texts=status in _ABOUT_THE_TEXTS,
            )
        if isinstance(error, TimeoutError | openai.APITimeoutError):
            return cls("did not answer in time", passing=True)
        if isinstance(error, openai.APIConnectionError):
            return cls("could not be reached, or broke off", passing=True)
        if type(error) is openai.APIError:
            # In the middle of a stream, where there is no status any more.
            return cls("told of an error while it answered", passing=True)
        # JSON that is none, and whatever else the package stumbles over.
        return cls(f"gave an answer that is of no use ({type(error).__name__})", passing=False)

    def pause_after(self, tries: int) -> float:
        """Say how long to wait after so many tries: as asked for, or ever longer.

        Never at the same moment as others: else many servers would come back together.
        """
        if self.pause:
            return self.pause
        longest = float(min(FIRST_PAUSE * 2.0 ** (tries - 1), LONGEST_PAUSE))
        return longest * random.uniform(0.5, 1)  # noqa: S311 # no secret

    def retry_after(self) -> float | None:
        """Say when a caller may try again; None where the same texts would fail again."""
        return None if self.about_the_texts else self.pause or AGAIN_IN


def times(tries: int) -> str:
    """Say how often, where it was more than once."""
    return f" {tries} times" if tries > 1 else ""


def _retry_after(text: str | None) -> float | None:
    """Read the seconds of a Retry-After header; None where it has none, or a date."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if 0 < seconds < float("inf") else None
