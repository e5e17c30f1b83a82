"""The dashboard's pages and what they ask for below /dashboard/api, with a session in a cookie.

Who writes must send a header of ours: a page of somebody else cannot (it would need our leave,
CORS), and the cookie does not go with requests from elsewhere (SameSite). Errors are raised, for
the application's boundary to answer.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from importlib import resources
from pathlib import PurePath
from urllib.parse import urlsplit

from aiohttp import web

from worker.api.answers import response
from worker.api.auth.refusals import Unauthenticated
from worker.api.dashboard.sessions import LIFE_MS, Sessions
from worker.api.dashboard.told import events_told, job_told
from worker.api.errors import TOO_LARGE, Refused
from worker.api.operation import AnyOperation
from worker.api.requests import ACCOUNT, read_body, read_call
from worker.api.wire.strict_json import decode
from worker.errors import InternalError, InvalidField, NotFound
from worker.jobs.ports import Orders, Records, Watch
from worker.jobs.values import Account, JobRecord

PREFIX = "/dashboard"
WRITE_HEADER = "X-Dashboard"
MAX_JOBS_LISTED = 100
MAX_EVENTS_LISTED = 50
_MAX_LOGIN_BYTES = 8192

_MEDIA_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
_PAGE_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardContext:
    """What the dashboard works with."""

    records: Records
    orders: Orders
    watch: Watch
    check_login: Callable[[str, str, str | None], Awaitable[Account]]
    """Of name, password and address: the account. Raises as `auth.login.Login.account`, and
    limits how often it can be tried."""
    update_mix_job: AnyOperation
    """The API's operation: what it refuses is refused here."""
    unix_ms: Callable[[], int]


def dashboard_routes(context: DashboardContext) -> Sequence[web.RouteDef]:
    """Everything below `PREFIX`, and `/`. No other authentication belongs in front of them."""
    dashboard = _Dashboard(context)
    api = f"{PREFIX}/api"
    return [
        web.get("/", dashboard.page),
        web.get(f"{PREFIX}/{{name}}", dashboard.page),
        web.get(f"{api}/session", dashboard.session),
        web.post(f"{api}/session", dashboard.log_in),
        web.delete(f"{api}/session", dashboard.log_out),
        web.get(f"{api}/jobs", dashboard.jobs),
        web.get(f"{api}/jobs/{{job_id}}", dashboard.job),
        web.get(f"{api}/jobs/{{job_id}}/still", dashboard.still),
        web.post(f"{api}/jobs/{{job_id}}/stop", dashboard.stop),
        web.put(f"{api}/apps/{{app_id}}/jobs/{{job_id}}/layout", dashboard.change_layout),
    ]


class _Dashboard:
    def __init__(self, context: DashboardContext) -> None:
        self._context = context
        self._sessions = Sessions(records=context.records, unix_ms=context.unix_ms)
        self._page = _read_page()

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The page, its style and its modules, the same for everybody."""
        found = self._page.get(request.match_info.get("name", "index.html"))
        if found is None:
            raise web.HTTPNotFound
        body, media_type = found
        return web.Response(
            body=body, content_type=media_type, charset="utf-8", headers=_PAGE_HEADERS
        )

    async def session(self, request: web.Request) -> web.StreamResponse:
        """Who is logged in."""
        account = await self._account(request)
        return web.json_response({"account": account.name})

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        _check_write(request)
        name, password = await _credentials(request)
        try:
            account = await self._context.check_login(name, password, request.remote)
        except Unauthenticated as exc:
            return web.json_response({"error_msg": exc.reason}, status=HTTPStatus.UNAUTHORIZED)
        self._sessions.end(_secret(request))
        answer = web.json_response({"account": account.name})
        answer.set_cookie(
            _cookie_name(request),
            self._sessions.begin(account),
            max_age=LIFE_MS // 1000,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=not _is_local_http(request),
        )
        return answer

    async def log_out(self, request: web.Request) -> web.StreamResponse:
        _check_write(request)
        self._sessions.end(_secret(request))
        answer = web.Response(status=HTTPStatus.NO_CONTENT)
        answer.del_cookie(_cookie_name(request), path="/", secure=not _is_local_http(request))
        return answer

    async def jobs(self, request: web.Request) -> web.StreamResponse:
        """The account's newest jobs."""
        account = await self._account(request)
        jobs = await self._context.records.jobs(account.account_id, size=MAX_JOBS_LISTED)
        told = [job_told(job, self._context.watch.report(job.job_id)) for job in jobs]
        return web.json_response({"jobs": told})

    async def job(self, request: web.Request) -> web.StreamResponse:
        """One job, and what its callbacks said."""
        job = await self._job(request)
        messages = await self._context.records.messages(job.job_id, size=MAX_EVENTS_LISTED)
        report = self._context.watch.report(job.job_id)
        return web.json_response({**job_told(job, report), "events": events_told(messages)})

    async def still(self, request: web.Request) -> web.StreamResponse:
        """The canvas as it is now, a JPEG; 204 without one."""
        job = await self._job(request)
        picture = await self._context.watch.still(job.job_id)
        if picture is None:
            return web.Response(status=HTTPStatus.NO_CONTENT)
        return web.Response(body=picture, content_type="image/jpeg")

    async def stop(self, request: web.Request) -> web.StreamResponse:
        _check_write(request)
        job = await self._job(request)
        await self._context.orders.stop(job.account_id, job.app_id, job.kind, job.job_id)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def change_layout(self, request: web.Request) -> web.StreamResponse:
        """The API's update of a mix job, by whoever is logged in."""
        _check_write(request)
        request[ACCOUNT] = await self._account(request)
        operation = self._context.update_mix_job
        return response(await operation.handler(await read_call(request, operation)))

    async def _account(self, request: web.Request) -> Account:
        return await self._sessions.account(_secret(request))

    async def _job(self, request: web.Request) -> JobRecord:
        """The job of the path. Raises `NotFound` for another account's, too."""
        account = await self._account(request)
        job = await self._context.records.any_job(request.match_info["job_id"])
        if job is None or job.account_id != account.account_id:
            raise NotFound("no such job")
        return job


def _check_write(request: web.Request) -> None:
    if WRITE_HEADER not in request.headers:
        raise web.HTTPForbidden(reason=f"The header {WRITE_HEADER} is missing")


async def _credentials(request: web.Request) -> tuple[str, str]:
    """Name and password of a login. Raises `InvalidField` and `Refused`."""
    if request.content_length is None or request.content_length > _MAX_LOGIN_BYTES:
        raise Refused(TOO_LARGE)
    match decode(await read_body(request)):
        case {"name": str(name), "password": str(password)}:
            return name, password
    raise InvalidField("document", "must have name and password, both text")


def _secret(request: web.Request) -> str | None:
    return request.cookies.get(_cookie_name(request))


def _cookie_name(request: web.Request) -> str:
    # The prefix makes browsers insist on Secure, and on our host.
    return "mixworker" if _is_local_http(request) else "__Host-mixworker"


def _is_local_http(request: web.Request) -> bool:
    """Whether nothing leaves the machine, so that a cookie may do without TLS.

    By the name that the browser used: a proxy before us may be local, and its visitors not.
    """
    if request.secure:
        return False
    try:
        host = urlsplit(f"//{request.host}").hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read_page() -> Mapping[str, tuple[bytes, str]]:
    folder = resources.files("worker.api.dashboard").joinpath("page")
    files = {
        entry.name: (entry.read_bytes(), media_type)
        for entry in folder.iterdir()
        if (media_type := _MEDIA_TYPES.get(PurePath(entry.name).suffix)) is not None
    }
    if "index.html" not in files:
        raise InternalError("the dashboard's page is not installed")
    return files
