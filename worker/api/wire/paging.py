"""offset and limit of lists. offset is the number of a page, from 0 (API reference section 10)."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from worker.api.wire.mix_param import WireModel

MAX_PAGE = 2**31 - 1
MAX_PAGE_SIZE = 100

_NUMBER = re.compile(r"-?[0-9]{1,18}")


def _number(text: object) -> object:
    return int(text) if isinstance(text, str) and _NUMBER.fullmatch(text) else text


class Paging(WireModel):
    """A query for one page."""

    offset: Annotated[
        Annotated[int, Field(ge=0, le=MAX_PAGE)],
        BeforeValidator(_number),
        WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_PAGE}),
    ] = 0
    """Which page, from 0."""
    limit: Annotated[
        Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE)],
        BeforeValidator(_number),
        WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE}),
    ] = MAX_PAGE_SIZE
    """How many a page has."""
