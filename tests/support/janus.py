"""A real Janus in this thread's network namespace (see `namespace.py`), with one VideoRoom."""

import asyncio
import itertools
import json
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.namespace import ADDRESS

PLUGINS = Path("/usr/lib")
PORT = 8188
ADMIN_PORT = 7188
URL = f"ws://127.0.0.1:{PORT}"
READY_WITHIN_S = 10.0
ADMIN_SECRET = "admin-secret-of-a-test"  # noqa: S105

_UNUSED_PLUGINS = (
    "audiobridge,duktape,echotest,lua,nosip,recordplay,sip,streaming,textroom,videocall,voicemail"
)
_UNUSED_TRANSPORTS = "http,mqtt,nanomsg,pfunix,rabbitmq"


@dataclass(slots=True)
class JanusOptions:
    """How the server and its room are set up; rooms start as Janus's own defaults otherwise."""

    room: int | str = 1234
    pin: str | None = None
    api_secret: str | None = None
    publishers: int = 64
    reclaim_session_s: int = 30
    room_settings: Mapping[str, object] = field(default_factory=dict)


class JanusServer:
    """One Janus process that can be killed and started again."""

    def __init__(self, directory: Path, options: JanusOptions) -> None:
        self.options = options
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._process: asyncio.subprocess.Process | None = None
        self._write_configuration()

    async def start(self) -> None:
        """Start, and wait until requests are answered."""
        with (self._directory / "janus.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                "janus", "-F", str(self._directory), stdout=log, stderr=log
            )
        async with asyncio.timeout(READY_WITHIN_S):
            while True:
                try:
                    async with JanusClient.connect(api_secret=self.options.api_secret):
                        return
                except (aiohttp.ClientError, OSError):
                    await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """As a crash does."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    @property
    def log(self) -> str:
        """Everything Janus has said."""
        return (self._directory / "janus.log").read_text(errors="replace")

    def _write_configuration(self) -> None:
        libraries = next(PLUGINS.glob("*/janus"))
        options = self.options
        is_named = isinstance(options.room, str)
        room = {
            "description": "test",
            "publishers": options.publishers,
            "bitrate": 2_000_000,
            "audiocodec": "opus",
            "videocodec": "vp8,h264,vp9",
            "videoorient_ext": True,
            "transport_wide_cc_ext": True,
            "pin": options.pin,
            **options.room_settings,
        }
        files = {
            "janus.jcfg": {
                "general": {
                    "configs_folder": str(self._directory),
                    "plugins_folder": f"{libraries}/plugins",
                    "transports_folder": f"{libraries}/transports",
                    "events_folder": f"{libraries}/events",
                    "loggers_folder": f"{libraries}/loggers",
                    "interface": "127.0.0.1",
                    "debug_level": 4,
                    "debug_colors": False,
                    "admin_secret": ADMIN_SECRET,
                    "api_secret": options.api_secret,
                    "session_timeout": 20,
                    "reclaim_session_timeout": options.reclaim_session_s,
                },
                "certificates": {},
                "media": {"rtp_port_range": "20000-30000", "ipv6": False, "min_nack_queue": 500},
                # Janus skips loopback interfaces without a word.
                "nat": {"full_trickle": False, "ice_enforce_list": ADDRESS},
                "plugins": {"disable": _libraries(_UNUSED_PLUGINS)},
                "transports": {"disable": _libraries(_UNUSED_TRANSPORTS)},
                "events": {"broadcast": False},
            },
            "janus.transport.websockets.jcfg": {
                "general": {"ws": True, "ws_port": PORT, "ws_ip": "127.0.0.1", "wss": False},
                "admin": {
                    "admin_ws": True,
                    "admin_ws_port": ADMIN_PORT,
                    "admin_ws_ip": "127.0.0.1",
                    "admin_wss": False,
                },
                "certificates": {},
            },
            "janus.plugin.videoroom.jcfg": {
                "general": {"string_ids": is_named},
                f"room-{options.room}": room,
            },
        }
        for name, sections in files.items():
            (self._directory / name).write_text(_jcfg(sections))


@asynccontextmanager
async def janus_server(
    directory: Path, options: JanusOptions | None = None
) -> AsyncIterator[JanusServer]:
    """A running Janus, killed at the end; its files are in *directory*."""
    server = JanusServer(directory, options or JanusOptions())
    try:
        await server.start()
        yield server
    finally:
        await server.kill()


class JanusClient:
    """A session with Janus that knows nothing of the worker's own code."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, api_secret: str | None) -> None:
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._socket = socket
        self._secret = {} if api_secret is None else {"apisecret": api_secret}
        self._session: dict[str, int] = {}
        self._numbers = itertools.count()
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, url: str = URL, api_secret: str | None = None
    ) -> AsyncIterator["JanusClient"]:
        """Open a session; it ends with the connection."""
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(url, protocols=("janus-protocol",)) as socket,
            asyncio.TaskGroup() as tasks,
        ):
            client = cls(socket, api_secret)
            duties = [tasks.create_task(client._read()), tasks.create_task(client._stay())]
            try:
                created = await client.request("create")
                client._session = {"session_id": created["data"]["id"]}
                yield client
            finally:
                for duty in duties:
                    duty.cancel()

    async def attach(self) -> int:
        """A handle of the VideoRoom plugin."""
        reply = await self.request("attach", plugin="janus.plugin.videoroom")
        return int(reply["data"]["id"])

    async def message(self, handle: int, body: Mapping[str, object], **more: object) -> Any:
        """Ask the plugin. Raises `AssertionError` with its error."""
        reply = await self.request("message", handle_id=handle, body=body, **more)
        assert "error" not in reply.get("plugindata", {}).get("data", {}), reply
        return reply

    async def request(self, kind: str, **more: object) -> dict[str, Any]:
        """Ask Janus. Raises `AssertionError` with its error."""
        transaction = f"t{next(self._numbers)}"
        answer = asyncio.get_running_loop().create_future()
        self._waiting[transaction] = answer
        document = {"janus": kind, "transaction": transaction, **self._session, **self._secret}
        await self._socket.send_str(json.dumps(document | more))
        async with asyncio.timeout(10):
            reply: dict[str, Any] = await answer
        assert reply["janus"] != "error", reply
        return reply

    async def _read(self) -> None:
        async for received in self._socket:
            document = json.loads(received.data)
            answer = self._waiting.get(document.get("transaction"))
            if document["janus"] == "ack" and "keepalive" not in document:
                continue
            if answer is not None and not answer.done():
                answer.set_result(document)
            else:
                self.events.put_nowait(document)

    async def _stay(self) -> None:
        while True:
            await asyncio.sleep(5)
            transaction = f"k{next(self._numbers)}"
            document = {"janus": "keepalive", "transaction": transaction}
            await self._socket.send_str(json.dumps(document | self._session | self._secret))


def _libraries(names: str) -> str:
    return ",".join(f"libjanus_{name}.so" for name in names.split(","))


def _jcfg(sections: Mapping[str, Mapping[str, object]]) -> str:
    """libconfig text; values that are None are left out."""
    return "\n".join(
        f"{name}: {{\n"
        + "".join(
            f"\t{key} = {json.dumps(value)}\n"
            for key, value in entries.items()
            if value is not None
        )
        + "}"
        for name, entries in sections.items()
    )
