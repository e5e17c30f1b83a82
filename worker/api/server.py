"""The API as an aiohttp application, mounted at the web root: SDKs drop path prefixes.

Who calls is found out by middlewares that are given, one after the other, inside ours: they see
requests with a request id, raise `Refused` or any `WorkerError`, and set `requests.ACCOUNT`.
"""

import logging
import traceback
from collections.abc import Callable, Iterable, Sequence
from uuid import uuid4

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from worker.api.answers import REQUEST_ID_HEADER, refusal_response, response
from worker.api.errors import (
    BAD_REQUEST,
    INTERNAL,
    NO_SUCH_API,
    NO_SUCH_METHOD,
    TOO_LARGE,
    Refusal,
    Refused,
    refused,
)
from worker.api.operation import AnyOperation
from worker.api.requests import (
    ACCOUNT,
    MAX_BODY_BYTES,
    OPERATIONS,
    REQUEST_ID,
    check_head,
    operation_of,
    read_call,
)
from worker.errors import WorkerError

log = logging.getLogger(__name__)

SERVER_NAME = "mixworker"
_OF_HTTP = {404: NO_SUCH_API, 405: NO_SUCH_METHOD, 413: TOO_LARGE}


def api_application(
    operations: Iterable[AnyOperation],
    *,
    middlewares: Sequence[Middleware] = (),
    pages: Iterable[web.AbstractRouteDef] = (),
    new_request_id: Callable[[], str] = lambda: uuid4().hex,
) -> web.Application:
    """*operations* behind *middlewares*.

    *pages* are no operations: the dashboard, workers' channels; they guard themselves.
    """
    boundary = _Boundary(new_request_id)
    application = web.Application(
        middlewares=[boundary.guard, *middlewares], client_max_size=MAX_BODY_BYTES
    )
    routes = {}
    for operation in operations:
        # {name} alone would not match braces.
        path = operation.path.replace("}", ":[^/]+}")
        route = application.router.add_route(operation.method, path, _endpoint(operation))
        routes[route] = operation
    application[OPERATIONS] = routes
    application.router.add_routes(pages)
    application.on_response_prepare.append(boundary.mark)
    return application


def _endpoint(operation: AnyOperation) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        call = await read_call(request, operation)
        return response(await operation.handler(call))

    return answer


class _Boundary:
    """Every answer has a request id and, if it is a failure, our form."""

    def __init__(self, new_request_id: Callable[[], str]) -> None:
        self._new_request_id = new_request_id

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer, whatever happens inside."""
        request[REQUEST_ID] = self._new_request_id()
        try:
            if request.method == hdrs.METH_TRACE:
                raise Refused(NO_SUCH_METHOD)
            check_head(request)
            answer = await handler(request)
        except web.HTTPException as exc:
            if exc.status < 400:
                raise  # a page's redirect
            answer = self._refusal(request, _of_http(exc))
            if hdrs.ALLOW in exc.headers:
                answer.headers[hdrs.ALLOW] = exc.headers[hdrs.ALLOW]
        except (WorkerError, Refused) as exc:
            answer = self._refusal(request, exc)
        except Exception as exc:  # the request boundary
            answer = self._bug(request, exc)
        _log_call(request, answer.status)
        return answer

    async def mark(self, request: web.Request, answer: web.StreamResponse) -> None:
        """Also on what is sent before `guard` is asked, such as a refused Expect."""
        answer.headers[REQUEST_ID_HEADER] = request.get(REQUEST_ID) or self._new_request_id()
        answer.headers[hdrs.SERVER] = SERVER_NAME
        answer.headers.setdefault("Cache-Control", "no-store")
        answer.headers.setdefault("X-Content-Type-Options", "nosniff")

    def _refusal(self, request: web.Request, error: WorkerError | Refused) -> web.Response:
        if not isinstance(error, Refused):
            operation = operation_of(request)
            said = refused(error, operation.refusals if operation else {})
            if said.refusal is INTERNAL:
                return self._bug(request, error)
            if said.refusal.status >= 500:
                log.error(
                    "request failed",
                    extra={"request_id": request[REQUEST_ID], "why": str(error)},
                )
            error = said
        return refusal_response(error, request[REQUEST_ID])

    def _bug(self, request: web.Request, error: Exception) -> web.Response:
        # Without its text, which may repeat what the request said.
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error(
            "bug",
            extra={
                "request_id": request[REQUEST_ID],
                "error": type(error).__name__,
                "where": where,
            },
        )
        return refusal_response(Refused(INTERNAL), request[REQUEST_ID])


def _of_http(exc: web.HTTPException) -> Refused:
    same = Refusal(exc.status, BAD_REQUEST.code, exc.reason)
    return Refused(_OF_HTTP.get(exc.status, same))


def _log_call(request: web.Request, status: int) -> None:
    operation, account = operation_of(request), request.get(ACCOUNT)
    log.info(
        "call",
        extra={
            "request_id": request[REQUEST_ID],
            "operation": operation.name if operation else request.method,
            "account": account.account_id if account else "",
            "status": status,
        },
    )
