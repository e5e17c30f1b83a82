"""The test room's server: the page, signalling at /ws, who is there at /rooms.

An administrator may `DELETE /rooms/{room}` and `POST /rooms/{room}/remove` {"user_ids": []}.

For local use and tests. Media goes straight from browser to browser (and to the recorder), so
the server carries names and SDP only. It listens on loopback unless told otherwise.
"""

import asyncio
import logging
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from importlib import resources
from pathlib import PurePath

from aiohttp import WSCloseCode, hdrs, web

from worker.errors import InternalError, InvalidField, RoomError, RoomRefused
from worker.testroom.access import (
    bears,
    check_exposure,
    is_local_name,
    is_same_origin,
    may_administer,
)
from worker.testroom.connection import receive_join, receive_messages, refuse
from worker.testroom.lobby import Delivery, Lobby
from worker.testroom.protocol import (
    MAX_MESSAGE_BYTES,
    Join,
    Message,
    PeerId,
    Ping,
    Publish,
    Removal,
    Signal,
    encode,
    encode_removal,
    parse_user_ids,
)
from worker.testroom.seat import Seat

log = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
CLOSING_S = 2.0
MAX_STRANGERS = 256
"""Connections that have not joined yet; each is given ten seconds."""

_MEDIA_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
        "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class RoomAddress:
    """Where a served room can be reached."""

    host: str
    port: int
    secure: bool = False

    @property
    def page_url(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self._authority}/"

    @property
    def ws_url(self) -> str:
        """What a job document names as its room."""
        return f"{'wss' if self.secure else 'ws'}://{self._authority}/ws"

    @property
    def _authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@asynccontextmanager
async def serve_room(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    token: str | None = None,
    admin_token: str | None = None,
    allow_remote: bool = False,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[RoomAddress]:
    """Serve the test room until the context is left; port 0 takes any free one.

    Beyond loopback both *allow_remote* and a *token* of at least 16 characters are required;
    browsers there give camera and microphone only to an https page, hence *tls*. Who bears
    *admin_token* may put people out.
    Raises `InvalidField` when the exposure is not allowed, `RoomError` when the port is taken.
    """
    check_exposure(host, token, admin_token=admin_token, allow_remote=allow_remote)
    # The name would be bound twice, for IPv4 and IPv6, and port 0 then means two ports.
    bind = "127.0.0.1" if host.lower() == "localhost" else host
    runner = web.AppRunner(
        room_application(token=token, admin_token=admin_token),
        access_log=None,
        shutdown_timeout=CLOSING_S,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, bind, port, ssl_context=tls)
        try:
            await site.start()
        except OSError as exc:
            raise RoomError(f"cannot listen on {bind}, port {port}: {exc.strerror}") from exc
        bound_port = runner.addresses[0][1]
        log.info("room server listens", extra={"host": bind, "port": bound_port})
        yield RoomAddress(bind, bound_port, secure=tls is not None)
    finally:
        await runner.cleanup()


def room_application(
    *, token: str | None = None, admin_token: str | None = None
) -> web.Application:
    """The server as an aiohttp application, for `serve_room` and for tests."""
    server = RoomServer(token=token, admin_token=admin_token)
    application = web.Application(middlewares=[server.guard], client_max_size=64 * 1024)
    application.router.add_get("/ws", server.signalling)
    application.router.add_get("/rooms", server.rooms)
    application.router.add_delete("/rooms/{room}", server.dismiss)
    application.router.add_post("/rooms/{room}/remove", server.remove)
    application.router.add_get("/healthz", server.health)
    application.router.add_get("/", server.page)
    application.router.add_get("/page/{name}", server.page)
    application.on_shutdown.append(server.hang_up)
    return application


class RoomServer:
    """HTTP and WebSocket handlers around one `Lobby`."""

    def __init__(self, *, token: str | None = None, admin_token: str | None = None) -> None:
        self._token = token
        self._admin_token = admin_token
        self._lobby = Lobby(token=token)
        self._seats: dict[PeerId, Seat] = {}
        self._sockets: set[web.WebSocketResponse] = set()
        self._page = _read_page()

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answers only requests that were meant for this server."""
        if self._token is None and not is_local_name(request.host):
            return _problem(HTTPStatus.FORBIDDEN, "Host: this room answers to loopback names only")
        try:
            return await handler(request)
        except web.HTTPException as exc:
            return _problem(HTTPStatus(exc.status), exc.reason)

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The page and its modules, read once at start."""
        found = self._page.get(request.match_info.get("name", "index.html"))
        if found is None:
            return _problem(HTTPStatus.NOT_FOUND, "no such file")
        body, media_type = found
        return web.Response(body=body, content_type=media_type, charset="utf-8", headers=_HEADERS)

    async def health(self, _request: web.Request) -> web.StreamResponse:
        """Alive; also tells the page whether to ask for a token."""
        return _json({"status": "ok", "token_required": self._token is not None})

    async def rooms(self, request: web.Request) -> web.StreamResponse:
        """Who is where. Behind a token only for those who bear it."""
        authorization = request.headers.get(hdrs.AUTHORIZATION)
        tokens = [token for token in (self._token, self._admin_token) if token is not None]
        if self._token is not None and not any(bears(authorization, each) for each in tokens):
            return _problem(HTTPStatus.UNAUTHORIZED, "Authorization: bearer token required")
        return _json(self._lobby.listing())

    async def dismiss(self, request: web.Request) -> web.StreamResponse:
        """Put everybody out; recorders stay and find themselves alone."""
        self._check_administrator(request)
        present = self._lobby.users(request.match_info["room"])
        if not present:
            return _problem(HTTPStatus.NOT_FOUND, "nobody is in a room of that name")
        self._put_out(present, Removal.DISMISSED)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """Put some users out; those who are not there do not matter."""
        self._check_administrator(request)
        try:
            user_ids = parse_user_ids(await request.text())
        except (InvalidField, UnicodeDecodeError) as exc:
            return _problem(HTTPStatus.BAD_REQUEST, str(exc))
        self._put_out(self._lobby.users(request.match_info["room"], user_ids), Removal.REMOVED)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def signalling(self, request: web.Request) -> web.StreamResponse:
        """One peer, from its join to its leaving."""
        if not is_same_origin(request.headers.get(hdrs.ORIGIN), request.host):
            return _problem(HTTPStatus.FORBIDDEN, "Origin: pages of other hosts may not join")
        members = sum(seat.is_taken for seat in self._seats.values())
        if len(self._sockets) - members >= MAX_STRANGERS:
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S,
            max_msg_size=MAX_MESSAGE_BYTES,
            compress=False,  # nothing to inflate, so nothing that inflates without end
            timeout=CLOSING_S,
        )
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            await self._accompany(socket, request)
        finally:
            self._sockets.discard(socket)
        return socket

    async def hang_up(self, _application: web.Application) -> None:
        """Close every connection, so that clients know at once and try again later."""
        for seat in self._seats.values():
            seat.is_kept = False
            seat.forget_expiry()
        async with asyncio.TaskGroup() as group:
            for socket in self._sockets:
                group.create_task(
                    _close(socket, WSCloseCode.GOING_AWAY, b"server is stopping"), name="hang-up"
                )

    async def _accompany(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        try:
            join = await receive_join(socket)
            if join is None:
                return
            if join.token is None:
                # Job documents have one field for a room: its address, and the token is in it.
                join = replace(join, token=request.query.get("token"))
            peer_id, seat = await self._take_seat(join, lambda: _abort(request))
        except RoomRefused as refusal:
            log.info("refused", extra={"reason": str(refusal)})
            await refuse(socket, refusal)
            return
        said_goodbye = False
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send(peer_id, seat, socket), name=f"send:{peer_id}")
                said_goodbye = await receive_messages(
                    socket, lambda m: self._handle(peer_id, m), seat.outbox.put
                )
                seat.outbox.close()
        finally:
            seat.free()
            if self._seats.get(peer_id) is not seat:
                pass  # was put out: the others know
            elif said_goodbye or not seat.is_kept:
                self._leave(peer_id)
            else:
                self._lobby.vanish(peer_id)
                seat.keep()
                log.info("vanished", extra={"room": join.room, "peer": peer_id})
        await socket.close(code=WSCloseCode.POLICY_VIOLATION)

    async def _send(self, peer_id: PeerId, seat: Seat, socket: web.WebSocketResponse) -> None:
        await seat.outbox.run(socket)
        if self._seats.get(peer_id) is not seat:  # put out, and told so
            await _close(socket, WSCloseCode.POLICY_VIOLATION, b"removed")

    async def _take_seat(self, join: Join, hang_up: Callable[[], None]) -> tuple[PeerId, Seat]:
        """The place of somebody who comes back, or a new one. Raises `RoomRefused`."""
        former = self._lobby.former(join)
        if former is not None:
            seat = self._seats[former]
            await seat.take(hang_up)
            if self._seats.get(former) is seat:  # else it said goodbye at the last moment
                first = self._lobby.resume(former)
                seat.outbox.reopen(delivery.text for delivery in first)
                log.info("resumed", extra={"room": join.room, "peer": former})
                return former, seat
        for superseded in self._lobby.superseded(join):
            self._leave(superseded)
        peer_id = PeerId(secrets.token_hex(8))
        resume = None if join.resume is None else secrets.token_urlsafe(16)
        deliveries = self._lobby.join(peer_id, join, resume=resume)
        seat = Seat(is_kept=resume is not None, on_lost=lambda: self._leave(peer_id))
        self._seats[peer_id] = seat
        await seat.take(hang_up)
        log.info("joined", extra={"room": join.room, "peer": peer_id, "role": join.role.value})
        self._deliver(deliveries)
        return peer_id, seat

    def _leave(self, peer_id: PeerId) -> None:
        seat = self._seats.pop(peer_id)
        seat.forget_expiry()
        self._deliver(self._lobby.leave(peer_id))
        log.info("left", extra={"peer": peer_id})

    def _put_out(self, peer_ids: Iterable[PeerId], removal: Removal) -> None:
        for peer_id in peer_ids:
            seat = self._seats.pop(peer_id)
            seat.forget_expiry()
            seat.outbox.put(encode_removal(removal))
            seat.outbox.close()
            self._deliver(self._lobby.remove(peer_id))
            log.info("put out", extra={"peer": peer_id, "reason": removal.name})

    def _check_administrator(self, request: web.Request) -> None:
        authorization = request.headers.get(hdrs.AUTHORIZATION)
        if not is_same_origin(request.headers.get(hdrs.ORIGIN), request.host) or not may_administer(
            authorization, admin_token=self._admin_token, join_token=self._token
        ):
            raise web.HTTPForbidden(
                reason="Authorization: bearer token of an administrator required"
            )

    def _handle(self, peer_id: PeerId, message: Message) -> None:
        if peer_id not in self._seats:
            return  # on its way when its sender was put out
        match message:
            case Signal():
                self._deliver(self._lobby.relay(peer_id, message))
            case Publish():
                self._deliver(self._lobby.publish(peer_id, message))
            case Ping():
                self._seats[peer_id].outbox.put(encode({"type": "pong"}))
            case Join():
                raise InvalidField("type", "has joined already")

    def _deliver(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            for peer_id in delivery.to:
                self._seats[peer_id].outbox.put(delivery.text, is_lasting=delivery.is_lasting)


def _read_page() -> dict[str, tuple[bytes, str]]:
    folder = resources.files("worker.testroom").joinpath("page")
    files = {
        entry.name: (entry.read_bytes(), media_type)
        for entry in folder.iterdir()
        if (media_type := _MEDIA_TYPES.get(PurePath(entry.name).suffix)) is not None
    }
    if "index.html" not in files:
        raise InternalError("the page of the test room is not installed")
    return files


def _json(document: object) -> web.Response:
    return web.json_response(document, headers=_HEADERS)


def _problem(status: HTTPStatus, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status, headers=_HEADERS)


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _close(socket: web.WebSocketResponse, code: WSCloseCode, message: bytes) -> None:
    try:
        async with asyncio.timeout(CLOSING_S):
            await socket.close(code=code, message=message)
    except TimeoutError:
        pass  # it does not read; aiohttp drops the connection when the runner is cleaned up
