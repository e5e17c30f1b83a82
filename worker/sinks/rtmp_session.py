"""The publisher's side of one RTMP connection, without a socket: bytes in, bytes out.

Adobe's RTMP 1.0 (2012): handshake 5.2, control messages 5.4, commands 7.2. The handshake is the
simple one, without digests, which every server takes from publishers.
"""

import struct
from collections.abc import Mapping
from enum import Enum

from worker.errors import DestinationRefused
from worker.media.flv import FlvTag, TagKind
from worker.media.flv_amf import AmfValue, amf_bytes, read_amf
from worker.sinks.rtmp_chunks import (
    DEFAULT_CHUNK_BYTES,
    ChunkReader,
    Message,
    MessageKind,
    chunks,
)
from worker.sinks.rtmp_url import RtmpTarget

VERSION = 3
HANDSHAKE_BYTES = 1536
NONCE_BYTES = HANDSHAKE_BYTES - 8
CHUNK_BYTES = 4096
"""Of what we send. Servers read in such pieces, and acknowledge between two of them."""

_CONTROL, _COMMAND, _AUDIO, _VIDEO = 2, 3, 4, 6
"""Chunk streams; those of media are what common encoders use."""
_PING_REQUEST, _PING_RESPONSE = 6, 7
_CONNECT, _RELEASE, _PREPARE, _CREATE, _PUBLISH = 1, 2, 3, 4, 5
"""Transaction numbers of the only commands we send."""
_REFUSALS = frozenset(
    {
        "NetConnection.Call.Failed",
        "NetConnection.Connect.AppShutdown",
        "NetConnection.Connect.Closed",
        "NetConnection.Connect.Failed",
        "NetConnection.Connect.InvalidApp",
        "NetConnection.Connect.Rejected",
        "NetStream.Failed",
        "NetStream.Publish.BadName",
        "NetStream.Publish.Denied",
        "NetStream.Publish.Failed",
        "NetStream.Publish.Rejected",
    }
)
"""Codes that are told to people. Anything else a server says might repeat the key."""
_STARTED = "NetStream.Publish.Start"


class Phase(Enum):
    """What the server owes us an answer to; the value is said to people."""

    HANDSHAKE = "handshake"
    CONNECT = "connect"
    CREATE = "createStream"
    PUBLISH = "publish"
    LIVE = "live"


class PublishSession:
    """Publishes one stream. What is to be sent gathers until it is taken by `outgoing`."""

    def __init__(self, target: RtmpTarget, *, nonce: bytes, window_bytes: int) -> None:
        """*nonce*: `NONCE_BYTES` random bytes. The server shall confirm every *window_bytes*."""
        self._target = target
        self._window_bytes = window_bytes
        self._reader = ChunkReader()
        self._greeting = bytearray()
        self._outgoing = bytearray()
        self._chunk_bytes = DEFAULT_CHUNK_BYTES
        self._stream_id = 0
        self._received_bytes = 0
        self._confirmed_bytes = 0
        self._server_window_bytes = 0
        self.phase = Phase.HANDSHAKE
        self.sent_bytes = 0
        """After the handshake, as the server counts."""
        self.acknowledged: int | None = None
        """The server's last confirmation, modulo 2^32."""
        self._outgoing += bytes((VERSION,)) + bytes(8) + nonce

    def outgoing(self) -> bytes:
        """What must be sent now; it is forgotten here."""
        taken = bytes(self._outgoing)
        self._outgoing.clear()
        return taken

    def receive(self, data: bytes) -> None:
        """Take what the server sent. Raises `DestinationRefused` when it is a no, or not RTMP."""
        self._received_bytes += len(data)
        if self.phase is Phase.HANDSHAKE:
            data = self._shake_hands(data)
        for message in self._reader.feed(data) if data else ():
            self._take(message)
        window = self._server_window_bytes
        if window and self._received_bytes - self._confirmed_bytes >= window:
            self._confirmed_bytes = self._received_bytes
            count = self._received_bytes & 0xFFFF_FFFF
            self._control(MessageKind.ACKNOWLEDGEMENT, struct.pack(">I", count))

    def send(self, tag: FlvTag) -> None:
        """Send a tag, whole. Only when live."""
        body = tag.body
        if tag.kind is TagKind.SCRIPT:
            body = amf_bytes("@setDataFrame") + body
        chunk_stream = _VIDEO if tag.kind is TagKind.VIDEO else _AUDIO
        self._put(chunk_stream, Message(tag.kind, body, tag.timestamp_ms, self._stream_id))

    def finish(self) -> None:
        """Say that the stream ends here, so that viewers are told at once."""
        self._command("FCUnpublish", 0, None, self._target.key)
        self._command("deleteStream", 0, None, self._stream_id)

    def _shake_hands(self, data: bytes) -> bytes:
        """Takes S0, S1 and S2; returns what follows them."""
        self._greeting += data
        if self._greeting and self._greeting[0] != VERSION:
            raise DestinationRefused("the server does not speak RTMP")
        if len(self._greeting) < 1 + 2 * HANDSHAKE_BYTES:
            return b""
        self._outgoing += self._greeting[1 : 1 + HANDSHAKE_BYTES]
        rest = bytes(self._greeting[1 + 2 * HANDSHAKE_BYTES :])
        self._greeting.clear()
        self._connect()
        return rest

    def _connect(self) -> None:
        self.phase = Phase.CONNECT
        self._control(MessageKind.CHUNK_SIZE, struct.pack(">I", CHUNK_BYTES))
        self._chunk_bytes = CHUNK_BYTES
        self._control(MessageKind.WINDOW, struct.pack(">I", self._window_bytes))
        about: Mapping[str, AmfValue] = {
            "app": self._target.app,
            "type": "nonprivate",
            "flashVer": "FMLE/3.0 (compatible; mixworker)",
            "tcUrl": self._target.tc_url,
        }
        self._command("connect", _CONNECT, about)

    def _take(self, message: Message) -> None:
        payload = message.payload
        match message.kind:
            case MessageKind.ACKNOWLEDGEMENT if len(payload) >= 4:
                self.acknowledged = int.from_bytes(payload[:4], "big")
            case MessageKind.WINDOW if len(payload) >= 4:
                self._server_window_bytes = int.from_bytes(payload[:4], "big")
            case MessageKind.USER_CONTROL if payload[:2] == struct.pack(">H", _PING_REQUEST):
                answer = struct.pack(">H", _PING_RESPONSE) + payload[2:6]
                self._control(MessageKind.USER_CONTROL, answer)
            case MessageKind.COMMAND:
                try:
                    values = read_amf(payload)
                except ValueError as exc:
                    raise DestinationRefused("the server breaks the RTMP protocol") from exc
                self._answer(values)

    def _answer(self, values: list[AmfValue]) -> None:
        match values:
            case ["_result", 1.0, *_] if self.phase is Phase.CONNECT:
                self.phase = Phase.CREATE
                self._command("releaseStream", _RELEASE, None, self._target.key)
                self._command("FCPublish", _PREPARE, None, self._target.key)
                self._command("createStream", _CREATE, None)
            case ["_result", 4.0, _, float() as stream_id, *_] if self.phase is Phase.CREATE:
                if not 0 <= stream_id < 1 << 32:
                    raise DestinationRefused("the server breaks the RTMP protocol")
                self.phase = Phase.PUBLISH
                self._stream_id = int(stream_id)
                self._command("publish", _PUBLISH, None, self._target.key, "live")
            case ["_error", 1.0 | 4.0 | 5.0, _, info, *_]:
                raise DestinationRefused(f"the server refused: {_code(info)}")
            case ["onStatus", _, _, {"code": str() as code}, *_] if code == _STARTED:
                self.phase = Phase.LIVE
            case ["onStatus", _, _, {"level": "error"} as info, *_]:
                raise DestinationRefused(f"the server refused: {_code(info)}")

    def _command(self, name: str, transaction: int, *values: AmfValue) -> None:
        stream_id = self._stream_id if name == "publish" else 0
        payload = amf_bytes(name, transaction, *values)
        self._put(_COMMAND, Message(MessageKind.COMMAND, payload, stream_id=stream_id))

    def _control(self, kind: MessageKind, payload: bytes) -> None:
        self._put(_CONTROL, Message(kind, payload))

    def _put(self, chunk_stream: int, message: Message) -> None:
        data = chunks(message, chunk_stream, self._chunk_bytes)
        self.sent_bytes += len(data)
        self._outgoing += data


def _code(info: AmfValue) -> str:
    """The status code of a refusal."""
    code = info.get("code") if isinstance(info, Mapping) else None
    return code if isinstance(code, str) and code in _REFUSALS else "no known code was given"
