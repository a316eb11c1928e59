"""Cuts the text of a filter into tokens, and bounds what one may cost.

No library's lexer, for two reasons. Nesting and length are bounded while the text is
read, so that none can cost more than a moment or give a tree too deep to walk. And
what people write by mistake, quotes above all, is told in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lark import Token
from lark.common import LexerConf
from lark.lexer import Lexer

from rag_grpc.core.errors import InvalidFilter

MAX_DEPTH = 64
"""Parentheses and NOTs within each other."""
MAX_TOKENS = 4_096
"""Names, signs, values and words: some 1,000 comparisons, which take 30 ms to read and are then kept."""
WORDS = frozenset({"AND", "OR", "NOT"})
SHOWN = 40
"""Characters of what was found that an error repeats."""

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<WORD>[^\W\d]\w*)
    |(?P<TEXT>"[^"\\]*+(?:\\.[^"\\]*+)*+")
    |(?P<NUMBER>[-+]?\d[\w.+-]*)
    |(?P<OPERATOR>!=|<=|>=|=|<|>)
    |(?P<SIGN>[().:*])
    |(?P<END>$)
    |(?P<OTHER>.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_BOOLEANS = {"true": "TRUE", "false": "FALSE"}
_SIGNS = {"(": "LPAR", ")": "RPAR", ".": "DOT", ":": "COLON", "*": "STAR"}


class FilterLexer(Lexer):
    """Cuts a text into tokens, and stops it where it nests too deep or compares too much."""

    def __init__(self, _: LexerConf) -> None:
        """Take nothing of the grammar: the terminals have the names that `lex` gives."""

    def lex(self, text: str) -> Iterator[Token]:  # type: ignore[override]  # lark's older, simpler interface
        """Cut `text`. Raises InvalidFilter."""
        depth = _Depth()
        for count, found in enumerate(_TOKEN.finditer(text)):
            kind, position = found.lastgroup or "", found.start(found.lastgroup or 0)
            lexeme = found[kind]
            match kind:
                case "END":
                    return
                case "OTHER":
                    raise _stray(lexeme, position)
                case "WORD":
                    kind = lexeme if lexeme in WORDS else _BOOLEANS.get(lexeme, "WORD")
                case "SIGN":
                    kind = _SIGNS[lexeme]
                case _:
                    pass
            depth.see(kind, position)
            if count >= MAX_TOKENS:
                raise invalid(position, f"the filter has more than {MAX_TOKENS} names, signs and values")
            yield Token(kind, lexeme, position)


class _Depth:
    """How deep the tree is at the token that was seen last."""

    def __init__(self) -> None:
        self._depth = 0
        self._open: list[int] = []
        self._negations = 0

    def see(self, kind: str, position: int) -> None:
        """Go on to the next token. Raises InvalidFilter where it is too deep."""
        if kind == "NOT":
            self._negations += 1
        elif kind == "LPAR":
            self._open.append(self._negations + 1)
            self._depth += self._open[-1]
            self._negations = 0
        else:
            self._negations = 0
            if kind == "RPAR" and self._open:
                self._depth -= self._open.pop()
        if self._depth + self._negations > MAX_DEPTH:
            raise invalid(position, f"the filter nests parentheses and NOTs deeper than {MAX_DEPTH} levels")


def _stray(character: str, position: int) -> InvalidFilter:
    if character == '"':
        return invalid(position, "the string that begins here is not closed")
    if character == "'":
        return invalid(position, "found '; a text stands in double quotes")
    return invalid(
        position, f"found {character!r}, which has no meaning here; a text stands in double quotes"
    )


def shown(token: Token) -> str:
    """Write a token as an error repeats it."""
    return repr(str(token) if len(token) <= SHOWN else token[:SHOWN] + "...")


def position_of(token: Token) -> int:
    """Offset of a token's first character."""
    return token.start_pos or 0


def invalid(position: int, what: str) -> InvalidFilter:
    """Make the error that says what is wrong at `position`."""
    return InvalidFilter(what, position=position)
