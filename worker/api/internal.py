"""What workers of this control plane call: the line to a job, and the events of its recording.

Both ask for the token of the worker's attempt, which is good for that job alone.
"""

import hmac
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from aiohttp import WSMsgType, web

from worker.api.wire.callback import RECORDING_OVER
from worker.errors import RecordsDown
from worker.jobs.channel_messages import CHANNEL_PATH, EVENTS_PATH, MAX_MESSAGE_BYTES
from worker.jobs.lines import Lines
from worker.jobs.ports import Records
from worker.jobs.reconciler import token_of
from worker.jobs.values import JobRecord, Message
from worker.notify.signature import EVENT_ID_HEADER, is_signed

INTERNAL_PREFIX = "/internal/"
MAX_EVENT_BYTES = 64 << 10
HEARTBEAT_S = 10.0

_ENDS = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)
_ATTEMPT = re.compile(r"[1-9]\d{0,5}")
_EVENT_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class WorkersEntrance:
    """What the handlers need. *on_event* is called when a message was added."""

    records: Records
    lines: Lines
    key: bytes
    unix_ms: Callable[[], int]
    on_event: Callable[[], None]

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.get(CHANNEL_PATH, self._channel),
            web.post(EVENTS_PATH, self._event),
        ]

    async def _channel(self, request: web.Request) -> web.StreamResponse:
        job_id, attempt = _worker(request)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        wanted = token_of(self.key, job_id, attempt)
        if scheme != "Bearer" or not hmac.compare_digest(token.encode(), wanted.encode()):
            raise web.HTTPUnauthorized
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=MAX_MESSAGE_BYTES)
        await socket.prepare(request)
        try:
            await self.lines.serve(job_id, attempt, _Socket(socket))
        except RecordsDown:
            pass  # the worker dials again
        await socket.close()
        return socket

    async def _event(self, request: web.Request) -> web.Response:
        """Answered once it is on record; the worker sends it again otherwise."""
        job_id, attempt = _worker(request)
        if (request.content_length or 0) > MAX_EVENT_BYTES:
            raise web.HTTPRequestEntityTooLarge(MAX_EVENT_BYTES, request.content_length or 0)
        body = await request.read()
        token = token_of(self.key, job_id, attempt)
        event_id = request.headers.get(EVENT_ID_HEADER, "")
        if not is_signed(body, auth_key=token, headers=request.headers):
            raise web.HTTPUnauthorized
        if _EVENT_ID.fullmatch(event_id) is None or not _is_object(body):
            raise web.HTTPBadRequest
        job = await self.records.any_job(job_id)
        if job is None:
            # Removed with its application: nobody is left who could be told.
            return web.json_response({"result": "forgotten"})
        if json.loads(body).get("event_type") == RECORDING_OVER:
            # Of this worker; the job may have others.
            await self.records.change_job(job_id, lambda now: _told(now, attempt))
            self.on_event()
            return web.json_response({"result": "success"})
        await self.records.add_message(
            Message(
                number=0,
                event_id=event_id,
                job_id=job_id,
                account_id=job.account_id,
                app_id=job.app_id,
                body=body,
                created_unix_ms=self.unix_ms(),
            )
        )
        self.on_event()
        return web.json_response({"result": "success"})


class _Socket:
    """`lines.Socket` over aiohttp."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def receive(self) -> str | bytes | None:
        while True:
            message = await self._socket.receive()
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                data: str | bytes = message.data
                return data
            if message.type in _ENDS:
                return None

    async def send(self, text: str) -> None:
        await self._socket.send_str(text)

    async def close(self) -> None:
        await self._socket.close()


def _worker(request: web.Request) -> tuple[str, int]:
    attempt = request.match_info["attempt"]
    if _ATTEMPT.fullmatch(attempt) is None:
        raise web.HTTPNotFound
    return request.match_info["job_id"], int(attempt)


def _told(job: JobRecord, attempt: int) -> JobRecord:
    return replace(job, told_attempts=job.told_attempts | {attempt})


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False
