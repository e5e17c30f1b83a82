"""JSON text to plain Python values, refusing everything that two readers could read differently.

Duplicate keys, NaN and Infinity, numbers beyond 2^53, lone surrogates, NUL, deep nesting and
long documents are refused with the path of the place (API reference, bad-input rules).
"""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence

from worker.errors import Fault, InvalidField

MAX_DOCUMENT_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_NUMBER = 2**53
"""Above this, readers that know only doubles see another number."""

_ROOT = "document"
_MAX_KEY_CHARS = 64
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")
"""NUL ends texts early in C; lone surrogates cannot be written as UTF-8."""


class _Object(dict[str, object]):
    """A JSON object that remembers a key that was written twice."""

    duplicate: str | None = None

    def __init__(self, pairs: Sequence[tuple[str, object]]) -> None:
        super().__init__(pairs)
        if len(self) < len(pairs):
            [(self.duplicate, _)] = Counter(key for key, _ in pairs).most_common(1)


def decode(text: str | bytes) -> object:
    """The value in *text* (bytes: UTF-8 without a byte order mark).

    Raises `InvalidField` naming the place; the text of the document is never part of the error.
    """
    document = _characters(text)
    try:
        value = json.loads(document, object_pairs_hook=_Object, parse_int=_integer)
    except json.JSONDecodeError as exc:
        raise _unreadable(
            _ROOT, f"is not JSON: {exc.msg} (line {exc.lineno}, column {exc.colno})"
        ) from exc
    except RecursionError as exc:
        raise _too_deep(_ROOT) from exc
    _check(value, "", depth=0)
    return value


def child(path: str, key: str | int) -> str:
    """The path of the member *key* (or entry, for an int) of what is at *path*; "" is the root.

    Keys come from outside: what cannot be printed is escaped, what is long is cut.
    """
    if isinstance(key, int):
        return f"{path}[{key}]"
    name = key[:_MAX_KEY_CHARS]
    if not name or not name.isprintable():
        name = ascii(name)
    return f"{path}.{name}" if path else name


def _characters(text: str | bytes) -> str:
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if len(data) > MAX_DOCUMENT_BYTES:
        raise _unreadable(_ROOT, f"is longer than {MAX_DOCUMENT_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise _unreadable(_ROOT, "is not UTF-8") from exc


def _integer(text: str) -> int | float:
    # int() refuses, and is slow for, thousands of digits; infinity is refused with its path.
    return int(text) if len(text) < 20 else math.inf


def _check(value: object, path: str, depth: int) -> None:
    match value:
        case _Object() | list() if depth == MAX_DEPTH:
            raise _too_deep(path)
        case _Object():
            if value.duplicate is not None:
                raise _unreadable(child(path, value.duplicate), "is there twice")
            for key, member in value.items():
                _check(key, child(path, key), depth)
                _check(member, child(path, key), depth + 1)
        case list():
            for index, entry in enumerate(value):
                _check(entry, child(path, index), depth + 1)
        case str():
            if _NOT_TEXT.search(value):
                raise InvalidField(path or _ROOT, "has characters that are not text")
        case float() | int():
            if not abs(value) <= MAX_NUMBER:
                raise _unreadable(path or _ROOT, "is not a number of at most 2^53")
        case _:
            pass  # null


def _too_deep(path: str) -> InvalidField:
    return _unreadable(path, f"is nested more than {MAX_DEPTH} levels deep")


def _unreadable(path: str, reason: str) -> InvalidField:
    return InvalidField(path, reason, Fault.SYNTAX)
