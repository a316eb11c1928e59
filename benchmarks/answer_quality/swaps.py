"""Supported answers in which one number or name is replaced by another: support must fall.

Names are words with a capital that do not begin a sentence; half of BEGIN is in small letters
and has none. A number is replaced by a number and a name by a name: one of any other answer or
its context, or, which is harder, one of the answer's own context, where the new word stands as well.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from benchmarks.answer_quality.labelled import Labelled

_NUMBER: Final = re.compile(r"\b\d[\d.,]*\d\b|\b\d\b")
_NAME: Final = re.compile(r"(?:(?<=[a-z,;:)\d] )|(?<=[a-z,] [\"(]))[A-Z][a-z]{2,}\b")
_KINDS: Final = (_NUMBER, _NAME)


def swapped(answers: Sequence[Labelled], count: int, *, own_context: bool) -> list[tuple[Labelled, Labelled]]:
    """Return so many swaps, each an answer as it was and with one word swapped.

    Some 500 answers of BEGIN hold a number or name; where that is not enough, answers come twice.
    """
    draw = random.Random(0)
    good = [each for each in answers if each.supported]
    draw.shuffle(good)
    pools = [
        _found(kind, (text for each in good for text in (each.answer, *each.contexts))) for kind in _KINDS
    ]
    pairs: list[tuple[Labelled, Labelled]] = []
    for each in 2 * good:
        places = [
            (kind, match) for kind in range(len(_KINDS)) for match in _KINDS[kind].finditer(each.answer)
        ]
        if not places or len(pairs) == count:
            continue
        kind, match = draw.choice(places)
        pool = _found(_KINDS[kind], each.contexts) if own_context else pools[kind]
        others = [word for word in pool if word.casefold() != match[0].casefold()]
        if others:
            text = each.answer[: match.start()] + draw.choice(others) + each.answer[match.end() :]
            pairs.append((each, replace(each, answer=text)))
    return pairs


def _found(kind: re.Pattern[str], texts: Iterator[str] | Sequence[str]) -> list[str]:
    return sorted({match[0] for text in texts for match in kind.finditer(text)})
