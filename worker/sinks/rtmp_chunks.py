"""RTMP's chunk stream: messages cut into chunks and put together again (RTMP 1.0, 5.3). Pure."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from worker.errors import DestinationRefused

DEFAULT_CHUNK_BYTES = 128
MAX_RECEIVED_BYTES = 64 << 10
"""A server only sends us short answers; whoever sends more is no RTMP server."""
MAX_RECEIVED_STREAMS = 64
MAX_RECEIVED_MESSAGES = 1000
"""In one read: more would keep the event loop busy for longer than it may pause."""

_FULL, _SAME_STREAM, _NEW_TIME, _SAME = range(4)
"""The four forms of a chunk's header, and how long each is."""
_HEADER_BYTES = (11, 7, 3, 0)
_EXTENDED = 0xFFFFFF
"""Timestamps from here on are written once more behind the header, in 32 bits."""


class MessageKind(IntEnum):
    """RTMP 1.0, 5.4, 6.2 and 7.1; media have the numbers of FLV tags."""

    CHUNK_SIZE = 1
    ABORT = 2
    ACKNOWLEDGEMENT = 3
    USER_CONTROL = 4
    WINDOW = 5
    PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    DATA = 18
    COMMAND = 20


@dataclass(frozen=True, slots=True)
class Message:
    """One RTMP message. `kind` is a number, as servers may send what we don't know."""

    kind: int
    payload: bytes
    timestamp_ms: int = 0
    stream_id: int = 0


def chunks(message: Message, chunk_stream: int, chunk_bytes: int) -> bytes:
    """*message* as chunks with a full header, so that each can be understood by itself."""
    timestamp_ms = message.timestamp_ms & 0xFFFF_FFFF
    is_extended = timestamp_ms >= _EXTENDED
    extension = struct.pack(">I", timestamp_ms) if is_extended else b""
    head = b"".join(
        (
            bytes((chunk_stream,)),
            min(timestamp_ms, _EXTENDED).to_bytes(3, "big"),
            len(message.payload).to_bytes(3, "big"),
            bytes((message.kind,)),
            message.stream_id.to_bytes(4, "little"),
            extension,
        )
    )
    pieces = [
        message.payload[start : start + chunk_bytes]
        for start in range(0, len(message.payload), chunk_bytes)
    ]
    return head + (bytes((0xC0 | chunk_stream,)) + extension).join(pieces)


@dataclass(slots=True)
class _Incoming:
    """A chunk stream: the header that its chunks repeat, and the message it is in the middle of."""

    kind: int
    length: int
    stream_id: int
    is_extended: bool
    received: bytearray


class ChunkReader:
    """Puts received bytes together. Bounded in message size, chunk streams and messages a call.

    Times are skipped: nothing that a server sends to a publisher has one that matters.
    """

    def __init__(self) -> None:
        self._chunk_bytes = DEFAULT_CHUNK_BYTES
        self._waiting = bytearray()
        self._streams: dict[int, _Incoming] = {}

    def feed(self, data: bytes) -> Sequence[Message]:
        """The messages that *data* completes. Raises `DestinationRefused` when it is not RTMP."""
        self._waiting += data
        messages: list[Message] = []
        position = 0
        while (end := self._read_chunk(position, messages)) is not None:
            position = end
            if len(messages) > MAX_RECEIVED_MESSAGES:
                raise _breach()
        del self._waiting[:position]
        return messages

    def _read_chunk(self, start: int, messages: list[Message]) -> int | None:
        """Take the chunk at *start*; its end, or None while it is not whole."""
        data = self._waiting
        if len(data) < start + 3:  # any basic header; a chunk with a payload is no shorter
            return None
        form, number, position = data[start] >> 6, data[start] & 0x3F, start + 1
        if number < 2:
            position += 1 + number
            number = 64 + int.from_bytes(data[start + 1 : position], "little")
        fields = bytes(data[position : position + _HEADER_BYTES[form]])
        position += _HEADER_BYTES[form]
        if len(data) < position:
            return None
        stream = self._stream(form, number, fields)
        if stream.is_extended:
            position += 4
        size = min(stream.length - len(stream.received), self._chunk_bytes)
        if len(data) < position + size:
            return None
        self._streams[number] = stream
        stream.received += data[position : position + size]
        if len(stream.received) == stream.length:
            message = Message(stream.kind, bytes(stream.received), stream_id=stream.stream_id)
            stream.received = bytearray()
            self._obey(message)
            messages.append(message)
        return position + size

    def _stream(self, form: int, number: int, fields: bytes) -> _Incoming:
        """The chunk stream as it is with this header; nothing is kept before the chunk is whole."""
        before = self._streams.get(number)
        if form == _SAME:
            if before is None:
                raise _breach()
            return before
        is_extended = int.from_bytes(fields[:3], "big") == _EXTENDED
        if form == _FULL:
            stream_id = int.from_bytes(fields[7:11], "little")
        elif before is None:
            raise _breach()
        else:
            stream_id = before.stream_id
        if form == _NEW_TIME:
            assert before is not None
            return replace(before, is_extended=is_extended)
        length = int.from_bytes(fields[3:6], "big")
        is_new = before is None or not before.received
        if not is_new or not 0 < length <= MAX_RECEIVED_BYTES:
            raise _breach()
        if before is None and len(self._streams) >= MAX_RECEIVED_STREAMS:
            raise _breach()
        return _Incoming(fields[6], length, stream_id, is_extended, bytearray())

    def _obey(self, message: Message) -> None:
        if len(message.payload) < 4:
            return
        value = int.from_bytes(message.payload[:4], "big")
        if message.kind == MessageKind.CHUNK_SIZE:
            if value < DEFAULT_CHUNK_BYTES:
                raise _breach()
            self._chunk_bytes = value
        elif message.kind == MessageKind.ABORT and value in self._streams:
            self._streams[value].received = bytearray()


def _breach() -> DestinationRefused:
    return DestinationRefused("the server breaks the RTMP protocol")
