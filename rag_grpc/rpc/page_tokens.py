"""Where the next page begins, as a token that only its own list understands.

A token says which list it is of (kind, collection, filter) and from where on. It is
opaque and safe in URLs. The checksum keeps a mistake from being read as another
place: a token that was cut, edited or mixed up is INVALID_FIELD. It is no
signature: whoever forges a token reads no more than a request of his own would.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence

from rag_grpc.core.errors import FieldViolation, InvalidField

_SUM_BYTES = 8
_FAULT = "is no token that this server gave: leave it empty to begin anew"


def encode(kind: str, scope: Sequence[str], position: str | Sequence[int]) -> str:
    """Make the token of what follows `position` in the list that `kind` and `scope` name.

    The scope is all that decides what is in the list: collection, filter, document. Of it a digest goes in.
    """
    body = json.dumps([kind, _digest(scope), position], ensure_ascii=False, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_sum(body) + body).rstrip(b"=").decode()


def text_position(token: str, kind: str, scope: Sequence[str]) -> str | None:
    """Read a position that is a text; None for the empty token. Raises InvalidField."""
    position = _position(token, kind, scope)
    if position is None or isinstance(position, str):
        return position
    raise _invalid(_FAULT)


def number_position(token: str, kind: str, scope: Sequence[str], count: int) -> tuple[int, ...] | None:
    """Read a position of `count` numbers; None for the empty token. Raises InvalidField."""
    position = _position(token, kind, scope)
    if position is None:
        return None
    if isinstance(position, list) and len(position) == count:
        return tuple(int(number) for number in position)
    raise _invalid(_FAULT)


def fault_of(token: str) -> str | None:
    """Say what is wrong with a token, whatever list it is of; None where nothing is."""
    return _FAULT if token and _decode(token) is None else None


def _position(token: str, kind: str, scope: Sequence[str]) -> str | list[int] | None:
    if not token:
        return None
    decoded = _decode(token)
    if decoded is None:
        raise _invalid(_FAULT)
    if decoded[:2] != (kind, _digest(scope)):
        raise _invalid("is the token of another list: collection, filter and document must be as they were")
    return decoded[2]


def _decode(token: str) -> tuple[str, str, str | list[int]] | None:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        kind, digest, position = json.loads(raw[_SUM_BYTES:])
    except (ValueError, TypeError, binascii.Error, RecursionError):
        return None
    # Base64 has several spellings of one value; only ours is a token, so that an edit is always seen.
    if (
        raw[:_SUM_BYTES] != _sum(raw[_SUM_BYTES:])
        or token != base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    ):
        return None
    return kind, digest, position


def _sum(body: bytes) -> bytes:
    return hashlib.sha256(b"ragapi.v1 page token" + body).digest()[:_SUM_BYTES]


def _digest(scope: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(scope)).encode()).hexdigest()[:16]


def _invalid(description: str) -> InvalidField:
    return InvalidField.of([FieldViolation("page_token", description)])
