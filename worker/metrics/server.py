"""/metrics and /healthz on the loopback interface.

Meant for a scraper or an agent beside the worker. Nobody else is answered: a page in a browser
can reach loopback, too, under a name of its own (DNS rebinding).
"""

import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.typedefs import Handler

from worker.errors import InvalidField
from worker.metrics.exposition import CONTENT_TYPE, exposition
from worker.metrics.job import JobNumbers, job_metrics
from worker.metrics.process import process_usage

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
CLOSING_S = 0.5
_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})


@asynccontextmanager
async def serve_metrics(port: int, look: Callable[[], JobNumbers]) -> AsyncIterator[int]:
    """Serve while inside; gives the port, *port* itself unless that is 0.

    *look* is called for each answer, on the event loop. Raises `InvalidField` when the port
    cannot be had.
    """

    async def metrics(_: web.Request) -> web.Response:
        text = exposition(job_metrics(look(), process_usage()))
        return web.Response(text=text, headers={"Content-Type": CONTENT_TYPE})

    async def health(_: web.Request) -> web.Response:
        """That there is an answer is the news: the event loop turns."""
        return web.json_response({"status": "ok", "state": look().state.value})

    @web.middleware
    async def known_names_only(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.host.rpartition(":")[0] not in _NAMES and request.host not in _NAMES:
            return web.Response(status=403)
        return await handler(request)

    application = web.Application(middlewares=[known_names_only], client_max_size=1024)
    application.router.add_get("/metrics", metrics)
    application.router.add_get("/healthz", health)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSING_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, HOST, port).start()
        except OSError as exc:
            why = os.strerror(exc.errno) if exc.errno else "no reason given"
            raise InvalidField("metrics.port", f"{port} cannot be had: {why}") from exc
        taken: int = runner.addresses[0][1]
        log.info("metrics are served", extra={"port": taken})
        yield taken
    finally:
        await runner.cleanup()
