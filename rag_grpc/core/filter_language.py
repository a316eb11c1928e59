"""Reads the filter language that proto/ragapi/v1/retrieval_service.proto defines into trees.

lark builds the table-driven parser (LALR: linear time, no recursion of its own); the
lexer is ours, for two reasons. It bounds nesting and length while it reads, so that
no text can cost more than a moment or build a tree too deep to walk. And it knows
what people write by mistake (a text without quotes, `and` in small letters), so that
an error can say what would be right.

`doc_id`, `title`, `create_time` and `update_time` at the front of a name are the
document's own, in quotes or not; `metadata.` in front always leads into the metadata.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, cast

from lark import Lark, Token, Transformer, UnexpectedToken, v_args
from lark.common import LexerConf
from lark.lexer import Lexer

from rag_grpc.core.errors import InvalidFilter
from rag_grpc.core.filters import (
    METADATA,
    OWN_FIELDS,
    And,
    Comparison,
    Contains,
    Filter,
    Name,
    Not,
    Operator,
    Or,
    Present,
    Scalar,
)

MAX_DEPTH = 64
"""Parentheses and NOTs within each other."""
MAX_TOKENS = 2_048
"""Names, signs, values and words: some 500 comparisons, which take 20 ms to read and are then kept."""

_GRAMMAR = r"""
?start: filter
?filter: term | chain_of_and | chain_of_or
chain_of_and: term (AND term)+
chain_of_or: term (OR term)+
?term: restriction | NOT term -> negation | "(" filter ")"
?restriction: name OPERATOR value -> comparison
    | name ":" value -> contains
    | name ":" "*" -> present
name: first ("." key)*
first: WORD | TEXT | TRUE | FALSE
key: WORD | TEXT | TRUE | FALSE | AND | OR | NOT
value: TEXT | NUMBER | TRUE | FALSE

%declare AND OR NOT TRUE FALSE WORD TEXT NUMBER OPERATOR
LPAR: "("
RPAR: ")"
DOT: "."
COLON: ":"
STAR: "*"
"""

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
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?", re.ASCII)
_WORDS = frozenset({"AND", "OR", "NOT"})
_BOOLEANS = {"true": "TRUE", "false": "FALSE"}
_SIGNS = {"(": "LPAR", ")": "RPAR", ".": "DOT", ":": "COLON", "*": "STAR"}
_SHOWN = 40
"""Characters of what was found that an error repeats."""

_VALUE = frozenset({"TEXT", "NUMBER", "TRUE", "FALSE"})
_KEY = frozenset({"WORD", "TEXT", "TRUE", "FALSE", "AND", "OR", "NOT"})
_EXPECTED = (
    ("a key", _KEY),
    ("a value (a text in double quotes, a number, true or false)", _VALUE),
    ("a name", frozenset({"WORD", "TEXT", "TRUE", "FALSE"})),
    ("NOT", frozenset({"NOT"})),
    ("'('", frozenset({"LPAR"})),
    ("'.'", frozenset({"DOT"})),
    ("a comparison (=, !=, <, <=, > or >=)", frozenset({"OPERATOR"})),
    ("':'", frozenset({"COLON"})),
    ("'*'", frozenset({"STAR"})),
    ("AND", frozenset({"AND"})),
    ("OR", frozenset({"OR"})),
    ("')'", frozenset({"RPAR"})),
    ("the end", frozenset({"$END"})),
)
"""What a set of tokens is called, in the order in which it is told; what was told is not told again."""


@lru_cache(maxsize=256)
def parse(text: str) -> Filter | None:
    """Read a filter; None for the empty text, which lets everything through. Raises InvalidFilter."""
    if not text:
        return None
    try:
        # Lark's own signature says Tree; with a transformer it returns what that made.
        return cast("Filter", _PARSER.parse(text))
    except UnexpectedToken as error:
        raise _unexpected(error, text) from None


class _FilterLexer(Lexer):
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
                    kind = lexeme if lexeme in _WORDS else _BOOLEANS.get(lexeme, "WORD")
                case "SIGN":
                    kind = _SIGNS[lexeme]
                case _:
                    pass
            depth.see(kind, position)
            if count >= MAX_TOKENS:
                raise _invalid(position, f"the filter has more than {MAX_TOKENS} names, signs and values")
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
            raise _invalid(position, f"the filter nests parentheses and NOTs deeper than {MAX_DEPTH} levels")


@v_args(inline=True)
class _Trees(Transformer[Token, Any]):
    """Makes our trees while lark parses, so that none of lark's own is ever built."""

    def chain_of_and(self, *terms: Filter | Token) -> Filter:
        return And(tuple(term for term in terms if not isinstance(term, Token)))

    def chain_of_or(self, *terms: Filter | Token) -> Filter:
        return Or(tuple(term for term in terms if not isinstance(term, Token)))

    def negation(self, _: Token, term: Filter) -> Filter:
        return Not(term)

    def comparison(self, name: Name, operator: Token, value: Scalar) -> Filter:
        comparator = Operator(str(operator))
        if isinstance(value, bool) and comparator not in (Operator.EQUAL, Operator.UNEQUAL):
            raise _invalid(_position(operator), "true and false know = and != alone")
        return Comparison(name, comparator, value)

    def contains(self, name: Name, value: Scalar) -> Filter:
        return Contains(name, value)

    def present(self, name: Name) -> Filter:
        return Present(name)

    def name(self, first: tuple[str, int], *keys: tuple[str, int]) -> Name:
        path = (first[0], *(key for key, _ in keys))
        if first[0] == METADATA and keys:
            return Name(path[1:])
        if first[0] not in OWN_FIELDS:
            return Name(path)
        if keys:
            raise _invalid(
                keys[0][1],
                f"{first[0]} is the document's own and holds no keys;"
                f" the metadata's is written {METADATA}.{'.'.join(path)[:_SHOWN]}",
            )
        return Name(path, own=True)

    def first(self, token: Token) -> tuple[str, int]:
        return self.key(token)

    def key(self, token: Token) -> tuple[str, int]:
        key = _text(token) if token.type == "TEXT" else str(token)
        if not key:
            raise _invalid(_position(token), "a key is never empty")
        return key, _position(token)

    def value(self, token: Token) -> Scalar:
        match token.type:
            case "TEXT":
                return _text(token)
            case "NUMBER":
                return _number(token)
            case _:
                return token.type == "TRUE"


_PARSER = Lark(_GRAMMAR, parser="lalr", lexer=_FilterLexer, transformer=_Trees(), maybe_placeholders=False)


def _text(token: Token) -> str:
    try:
        text: str = json.loads(token)
    except json.JSONDecodeError as error:
        raise _invalid(
            _position(token) + error.pos,
            f"this is no JSON string: {error.msg}; write control characters as \\n or \\u0000",
        ) from None
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise _invalid(_position(token), "the string holds half of a surrogate pair, which is no character")
    return text


def _number(token: Token) -> float:
    number = float(token) if _NUMBER.fullmatch(token) else math.nan
    if not math.isfinite(number):
        raise _invalid(
            _position(token), f"{_shown(token)} is no number as JSON writes it, within the range of a double"
        )
    return number


def _stray(character: str, position: int) -> InvalidFilter:
    if character == '"':
        return _invalid(position, "the string that begins here is not closed")
    if character == "'":
        return _invalid(position, "found '; a text stands in double quotes")
    return _invalid(
        position, f"found {character!r}, which has no meaning here; a text stands in double quotes"
    )


def _unexpected(error: UnexpectedToken, text: str) -> InvalidFilter:
    token, accepted = error.token, set(error.accepts or error.expected)
    at_end = token.type == "$END"
    position = len(text) if at_end else _position(token)
    told: list[str] = []
    for words, kinds in _EXPECTED:
        if kinds <= accepted:
            told.append(words)
            accepted -= kinds
    found = "the end of the filter" if at_end else _shown(token)
    wanted = told[0] if len(told) == 1 else f"{', '.join(told[:-1])} or {told[-1]}"
    return _invalid(position, f"found {found}, expected {wanted}{_advice(token, told)}")


def _advice(token: Token, told: list[str]) -> str:
    """What is likely to have been meant."""
    if token.type in _WORDS and {"AND", "OR"} & set(told):
        return "; a chain of AND and OR together needs parentheses"
    if token.type in _WORDS:
        return f'; a key of that name stands in double quotes: "{token}"'
    if token.type == "WORD" and token.upper() in _WORDS:
        return f"; {token.upper()} is written in capital letters"
    if token.type == "WORD" and any(words.startswith("a value") for words in told):
        return f'; a text stands in double quotes: "{token[:_SHOWN]}"'
    return ""


def _shown(token: Token) -> str:
    return repr(str(token) if len(token) <= _SHOWN else token[:_SHOWN] + "...")


def _position(token: Token) -> int:
    return token.start_pos or 0


def _invalid(position: int, what: str) -> InvalidFilter:
    return InvalidFilter(what, position=position)
