"""What pydantic and the parsers of the core found, said as one `InvalidField` with its path."""

from collections.abc import Callable, Collection
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from worker.api.wire.strict_json import child
from worker.errors import Fault, InvalidField

T = TypeVar("T")

_REASONS = {
    "missing": "is missing",
    "extra_forbidden": "is not a known key",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "greater_than_equal": "{input} is below {ge}",
    "greater_than": "{input} is not above {gt}",
    "less_than_equal": "{input} is above {le}",
    "string_too_long": "is longer than {max_length} characters",
    "too_long": "has {actual_length} entries, more than {max_length}",
    "union_tag_not_found": "is missing",
    "union_tag_invalid": "must be one of {expected_tags}",
}
"""Our words for pydantic's findings. Only numbers are repeated: texts may hold secrets."""

_FAULTS = {
    "missing": Fault.MISSING,
    "too_short": Fault.MISSING,
    "union_tag_not_found": Fault.MISSING,
}
_FAULTS_OF_KEYS = {"layout_template": Fault.LAYOUT_TEMPLATE, "location": Fault.REGION}
"""Keys whose bad values the API tells apart from others."""


def refuse(error: ValidationError, tagged: Collection[str]) -> InvalidField:
    """The first finding of *error*; an unknown key goes first, as it often explains the others.

    *tagged* are the paths of unions: pydantic puts the tag or type of the member behind them,
    which stands nowhere in the document.
    """
    found = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    path = ""
    parts = iter(found["loc"])
    for part in parts:
        path = child(path, part)
        if path in tagged:
            next(parts, None)
    if found["type"].startswith("union_tag"):
        path = child(path, found["ctx"]["discriminator"].strip("'"))
    return InvalidField(path or "document", _reason(found), _fault(found))


def read(path: str, parse: Callable[[str], T], text: str) -> T:
    """*text* as *parse* reads it; its ValueError becomes an `InvalidField` at *path*."""
    try:
        return parse(text)
    except ValueError as exc:
        raise InvalidField(path, str(exc)) from exc


def _reason(found: ErrorDetails) -> str:
    reason = _REASONS[found["type"]]
    return reason.format(input=found["input"], **found.get("ctx", {}))


def _fault(found: ErrorDetails) -> Fault:
    if not found["loc"]:
        return Fault.SYNTAX
    key = found["loc"][-1]
    # A key with null counts as absent; an entry of a list is there whatever it is.
    if found["input"] is None and isinstance(key, str):
        return Fault.MISSING
    return _FAULTS.get(found["type"]) or _FAULTS_OF_KEYS.get(str(key), Fault.VALUE)
