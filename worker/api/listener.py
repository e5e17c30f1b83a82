"""The listening side of the API: time limits, sizes, and answers to what is not even HTTP.

aiohttp answers a request that it cannot parse by itself, in plain text that repeats the request,
and logs it, credentials included.
"""

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from worker.api.answers import REQUEST_ID_HEADER, refusal_response
from worker.api.errors import ADDRESS_TOO_LONG, BAD_REQUEST, HEADERS_TOO_LARGE, INTERNAL, Refused
from worker.errors import InvalidField

log = logging.getLogger(__name__)

HEADERS_WITHIN_S = 10.0
"""From a connection, or an answer on it, to the end of the next request's headers."""
MAX_ADDRESS_BYTES = 8190
MAX_HEADER_BYTES = 8192
"""Of one header."""
MAX_HEADERS_READ = 1000
"""What has more is not HTTP to us; fewer, and still too many, are told so."""
CLOSING_S = 5.0

_CONNECTION: Mapping[str, Any] = {
    "access_log": None,
    "auto_decompress": False,
    "keepalive_timeout": HEADERS_WITHIN_S,
    "max_line_size": MAX_ADDRESS_BYTES,
    "max_field_size": MAX_HEADER_BYTES,
    "max_headers": MAX_HEADERS_READ,
}


@asynccontextmanager
async def serve_api(
    application: web.Application, host: str, port: int, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve while inside; gives the port, *port* itself unless that is 0.

    Raises `InvalidField` when the port cannot be had.
    """
    runner = _Runner(application, shutdown_timeout=CLOSING_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, ssl_context=tls).start()
        except OSError as exc:
            why = os.strerror(exc.errno) if exc.errno else "no reason given"
            raise InvalidField("port", f"{host}:{port} cannot be had: {why}") from exc
        taken: int = runner.addresses[0][1]
        log.info("the API is served", extra={"host": host, "port": taken})
        yield taken
    finally:
        await runner.cleanup()


class _Runner(web.AppRunner):
    @property
    def server(self) -> Callable[[], RequestHandler] | None:  # type: ignore[override]
        """Makes the protocol of each connection."""
        manager = super().server
        if manager is None:
            return None
        return partial(_Connection, manager, loop=asyncio.get_running_loop(), **_CONNECTION)


class _Connection(RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """In our form, and without repeating anything."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is on its way already")
        match exc:
            case LineTooLong(args=(_, limit, *_)) if limit == MAX_ADDRESS_BYTES:
                refusal = ADDRESS_TOO_LONG
            case LineTooLong():
                refusal = HEADERS_TOO_LARGE
            case _ if status < 500:
                refusal = BAD_REQUEST
            case _:
                refusal = INTERNAL
                log.error("bug", extra={"error": type(exc).__name__})
        request_id = uuid4().hex
        answer = refusal_response(Refused(refusal), request_id)
        answer.headers[REQUEST_ID_HEADER] = request_id
        answer.force_close()
        return answer

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Texts of its errors repeat requests."""
        log.error("connection failed", extra={"error": type(kw.get("exc_info")).__name__})
