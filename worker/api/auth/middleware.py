"""What stands in front of every operation: who is it, may they, and did they ask that before."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from worker.api.answers import refusal_response
from worker.api.auth.authenticator import Authenticator, Caller
from worker.api.auth.limits import Limits
from worker.api.auth.refusals import Unauthenticated
from worker.api.auth.replays import Replays
from worker.api.auth.sources import source
from worker.api.errors import Refused, refused
from worker.api.operation import AnyOperation
from worker.api.requests import ACCOUNT, REQUEST_ID, operation_of
from worker.errors import WorkerError

_SAFE_METHODS = {"GET", "HEAD"}


def authenticated(*, authenticator: Authenticator, limits: Limits, replays: Replays) -> Middleware:
    """Let requests to an operation through when their caller may, with `ACCOUNT` set.

    Public operations, pages, and addresses without anything go through as they are. Raises
    `Unauthenticated`, `TooManyRequests`, and what reading a body and `Records` raise.
    """

    async def caller_of(request: web.Request) -> Caller:
        address = source(request.remote)
        limits.check_stranger(address)
        try:
            return await authenticator.caller(request)
        except Unauthenticated:
            limits.count_stranger(address)
            raise

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        operation = operation_of(request)
        if operation is None or operation.is_public:
            return await handler(request)
        caller = await caller_of(request)
        request[ACCOUNT] = caller.account
        if operation.group is not None:
            limits.count(caller.account.account_id, operation.group)
        if caller.signature_digest is None or request.method in _SAFE_METHODS:
            return await handler(request)

        async def respond() -> web.StreamResponse:
            return await _answered(request, handler, operation)

        return await replays.answer(caller.signature_digest, respond)

    return authenticate


async def _answered(
    request: web.Request, handler: Handler, operation: AnyOperation
) -> web.StreamResponse:
    """What *handler* gives, or the answer to what it raises: a refusal is kept for replays too.

    Otherwise a create that was refused for a full quota could be played back when there is room.
    """
    try:
        return await handler(request)
    except (WorkerError, Refused) as exc:
        said = exc if isinstance(exc, Refused) else refused(exc, operation.refusals)
        if said.refusal.status >= 500:
            raise
        return refusal_response(said, request[REQUEST_ID])
