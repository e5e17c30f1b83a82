"""What is read of a request before its operation is called, and how far we go for it."""

import asyncio
import re
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from worker.api.errors import BAD_REQUEST, CODED, HEADERS_TOO_LARGE, TOO_LARGE, TOO_SLOW, Refused
from worker.api.operation import AnyOperation, Call
from worker.api.wire.refusal import refuse
from worker.api.wire.strict_json import decode
from worker.errors import InvalidField, NotFound
from worker.jobs.values import Account

MAX_BODY_BYTES = 12 * 1024 * 1024
BODY_WITHIN_S = 30.0
MAX_HEADERS = 100

ACCOUNT = web.RequestKey("account", Account)
"""Whose request it is; set by the middleware that authenticates."""
REQUEST_ID = web.RequestKey("request_id", str)
OPERATIONS = web.AppKey("operations", dict[web.AbstractRoute, AnyOperation])

_PATH_VALUE = re.compile(r"[^\0-\x1f\x7f-\x9f\ud800-\udfff]{1,128}")
"""What no id of ours is, and no database has to look at."""

T = TypeVar("T", bound=BaseModel)


def operation_of(request: web.Request) -> AnyOperation | None:
    """None for pages, and for what does not exist."""
    return request.app[OPERATIONS].get(request.match_info.route)


def check_head(request: web.Request) -> None:
    """Raise `Refused` for what is wrong whoever asks."""
    if len(request.raw_headers) > MAX_HEADERS:
        raise Refused(HEADERS_TOO_LARGE)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refused(CODED)
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise Refused(TOO_LARGE)


async def read_body(request: web.Request) -> bytes:
    """The bytes of the body, as often as asked for. Raises `Refused`."""
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            return await request.read()
    except TimeoutError:
        raise Refused(TOO_SLOW) from None
    except web.HTTPRequestEntityTooLarge:
        raise Refused(TOO_LARGE) from None
    except (web.RequestPayloadError, ConnectionError):  # broken chunks; a caller who hung up
        raise Refused(BAD_REQUEST) from None


async def read_call(request: web.Request, operation: AnyOperation) -> Call[Any, Any]:
    """Raises `Refused`, `NotFound` and `InvalidField`."""
    path = dict(request.match_info)
    if not all(_PATH_VALUE.fullmatch(value) for value in path.values()):
        raise NotFound("no id is written so")
    query = None
    if operation.query is not None:
        query = _validated(operation.query, _single_values(request))
    # Read in any case: the connection is used again.
    data = await read_body(request)
    body = None
    if operation.request is not None:
        body = _validated(operation.request, decode(data))
    return Call(
        path=path,
        body=body,
        query=query,
        headers=request.headers,
        request_id=request[REQUEST_ID],
        remote=request.remote or "",
        caller=request.get(ACCOUNT),
    )


def _single_values(request: web.Request) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in request.query.items():
        if name in values:
            raise InvalidField(name, "is there twice")
        values[name] = value
    return values


def _validated(model: type[T], value: object) -> T:
    try:
        return model.model_validate(value, extra="ignore")
    except ValidationError as exc:
        # Not chained: pydantic's text repeats the values.
        raise refuse(exc, tagged=()) from None
