"""The publisher's side of RTMP, byte by byte, against a server written here."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as some

from worker.errors import DestinationRefused
from worker.media.flv import FlvTag, TagKind
from worker.media.flv_amf import amf_bytes, read_amf
from worker.sinks.rtmp_chunks import (
    MAX_RECEIVED_BYTES,
    ChunkReader,
    Message,
    MessageKind,
    chunks,
)
from worker.sinks.rtmp_session import NONCE_BYTES, Phase, PublishSession
from worker.sinks.rtmp_url import parse_rtmp_url

KEY = "s3cret-key"
TARGET = parse_rtmp_url(f"rtmp://example.org/live/{KEY}?token=t0ken")
NONCE = bytes(range(256)) * 5 + bytes(NONCE_BYTES - 1280)
S1 = b"\0\0\0\7\0\0\0\0" + b"s" * NONCE_BYTES
GREETING = b"\3" + S1 + b"2" * 1536
CONNECTED = ("_result", 1, {"fmsVer": "x"}, {"code": "NetConnection.Connect.Success"})
CREATED = ("_result", 4, None, 7)
STARTED = ("onStatus", 0, None, {"level": "status", "code": "NetStream.Publish.Start"})


def session() -> PublishSession:
    return PublishSession(TARGET, nonce=NONCE, window_bytes=5000)


def command(*values) -> bytes:
    return chunks(Message(MessageKind.COMMAND, amf_bytes(*values)), 3, 128)


def control(kind: MessageKind, payload: bytes) -> bytes:
    return chunks(Message(kind, payload), 2, 128)


def live() -> PublishSession:
    made = session()
    for data in (GREETING, command(*CONNECTED), command(*CREATED), command(*STARTED)):
        made.receive(data)
    made.outgoing()
    return made


class Heard:
    """What a server makes of a publisher's bytes."""

    def __init__(self) -> None:
        self._reader = ChunkReader()

    def messages(self, data: bytes) -> list[Message]:
        return list(self._reader.feed(data))

    def commands(self, data: bytes) -> list[list[object]]:
        heard = self.messages(data)
        return [read_amf(each.payload) for each in heard if each.kind == MessageKind.COMMAND]


def test_a_stream_is_opened_with_the_commands_in_order():
    made, heard = session(), Heard()
    assert made.outgoing() == b"\3" + bytes(8) + NONCE
    made.receive(GREETING[:100])
    made.receive(GREETING[100:])
    answer = made.outgoing()
    assert answer[:1536] == S1
    size, window, connect = heard.messages(answer[1536:])
    assert (size.kind, size.payload) == (MessageKind.CHUNK_SIZE, struct.pack(">I", 4096))
    assert (window.kind, window.payload) == (MessageKind.WINDOW, struct.pack(">I", 5000))
    name, transaction, about = read_amf(connect.payload)
    assert (name, transaction) == ("connect", 1)
    assert about["app"] == "live"
    assert about["tcUrl"] == "rtmp://example.org/live"

    made.receive(command(*CONNECTED))
    play_path = f"{KEY}?token=t0ken"
    assert heard.commands(made.outgoing()) == [
        ["releaseStream", 2, None, play_path],
        ["FCPublish", 3, None, play_path],
        ["createStream", 4, None],
    ]
    made.receive(command(*CREATED))
    (publish,) = heard.messages(made.outgoing())
    assert publish.stream_id == 7
    assert read_amf(publish.payload) == ["publish", 5, None, play_path, "live"]
    assert made.phase is Phase.PUBLISH
    made.receive(command(*STARTED))
    assert made.phase is Phase.LIVE


@pytest.mark.parametrize("size", [1, 7, 200])
def test_how_the_answers_are_cut_makes_no_difference(size):
    made = session()
    everything = GREETING + command(*CONNECTED) + command(*CREATED) + command(*STARTED)
    for start in range(0, len(everything), size):
        made.receive(everything[start : start + size])

    assert made.phase is Phase.LIVE


def test_media_and_metadata_go_out_on_the_stream_that_was_created():
    made, heard = live(), Heard()
    heard._reader._chunk_bytes = 4096
    before = made.sent_bytes
    made.send(FlvTag(TagKind.SCRIPT, 5, amf_bytes("onMetaData")))
    made.send(FlvTag(TagKind.VIDEO, 40, b"\x17\1" + b"v" * 9000))
    made.send(FlvTag(TagKind.AUDIO, 41, b"\xaf\1a"))
    data = made.outgoing()
    assert made.sent_bytes - before == len(data)
    script, video, audio = heard.messages(data)

    assert read_amf(script.payload) == ["@setDataFrame", "onMetaData"]
    assert (video.kind, video.payload) == (9, b"\x17\1" + b"v" * 9000)
    assert (audio.kind, audio.payload) == (8, b"\xaf\1a")
    assert {each.stream_id for each in (script, video, audio)} == {7}


def test_the_end_is_said():
    made, heard = live(), Heard()
    heard._reader._chunk_bytes = 4096
    made.finish()

    assert [name for name, *_ in heard.commands(made.outgoing())] == ["FCUnpublish", "deleteStream"]


def test_a_ping_is_answered_and_acknowledgements_are_noted():
    made, heard = live(), Heard()
    made.receive(control(MessageKind.USER_CONTROL, struct.pack(">HI", 6, 1234)))
    (answer,) = heard.messages(made.outgoing())
    assert answer.payload == struct.pack(">HI", 7, 1234)

    assert made.acknowledged is None
    made.receive(control(MessageKind.ACKNOWLEDGEMENT, struct.pack(">I", 77_000)))
    assert made.acknowledged == 77_000


def test_what_the_server_sends_is_acknowledged_as_it_wishes():
    made, heard = live(), Heard()
    made.receive(control(MessageKind.WINDOW, struct.pack(">I", 3000)))
    (answer,) = heard.messages(made.outgoing())

    assert answer.kind == MessageKind.ACKNOWLEDGEMENT
    assert int.from_bytes(answer.payload, "big") > 3000
    made.receive(control(MessageKind.ABORT, b"\0\0\0\3"))
    assert made.outgoing() == b""


@pytest.mark.parametrize(
    ("before", "answer", "code"),
    [
        (
            [],
            ("_error", 1, None, {"code": "NetConnection.Connect.Rejected"}),
            "NetConnection.Connect.Rejected",
        ),
        (
            [CONNECTED, CREATED],
            ("onStatus", 0, None, {"level": "error", "code": "NetStream.Publish.BadName"}),
            "NetStream.Publish.BadName",
        ),
        ([CONNECTED], ("_error", 4, None, None), "no known code was given"),
        (
            [CONNECTED, CREATED, STARTED],
            ("onStatus", 0, None, {"level": "error", "code": "NetStream.Failed"}),
            "NetStream.Failed",
        ),
        ([], ("_error", 1, None, {"code": f"NetStream.{KEY}"}), "no known code was given"),
    ],
)
def test_a_refusal_tells_the_servers_code_and_nothing_the_server_may_repeat(before, answer, code):
    made = session()
    made.receive(GREETING)
    for each in before:
        made.receive(command(*each))
    answer[-1] and answer[-1].setdefault("description", f"stream {KEY} is taken")
    with pytest.raises(DestinationRefused) as caught:
        made.receive(command(*answer))

    assert str(caught.value) == f"the server refused: {code}"


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        GREETING + b"\xc3" + bytes(20),
        GREETING + b"\x43" + bytes(20),
        GREETING + b"\3\0\0\0\xff\xff\xff\x14" + bytes(200),
        GREETING + control(MessageKind.CHUNK_SIZE, bytes(4)),
        GREETING + chunks(Message(MessageKind.COMMAND, b"\x42"), 3, 128),
        GREETING + control(MessageKind.ABORT, b"\0") * 2000,
    ],
)
def test_what_is_not_rtmp_is_refused(data):
    with pytest.raises(DestinationRefused):
        session().receive(data)


@given(some.binary(max_size=400))
def test_nonsense_after_the_handshake_is_refused_or_waited_out(data):
    made = session()
    made.receive(GREETING)
    try:
        made.receive(data)
    except DestinationRefused:
        pass
    assert made.phase is Phase.CONNECT


MESSAGES = some.builds(
    Message,
    kind=some.sampled_from([8, 9, 18, 20, 99]),
    payload=some.binary(min_size=1, max_size=700),
    timestamp_ms=some.integers(0, 2**32 - 1),
    stream_id=some.integers(0, 2**32 - 1),
)


@given(some.lists(some.tuples(MESSAGES, some.integers(2, 63)), max_size=8), some.integers(1, 99))
def test_what_is_cut_into_chunks_is_put_together_again(sent, size):
    data = b"".join(chunks(message, stream, 128) for message, stream in sent)
    reader, got = ChunkReader(), []
    for start in range(0, len(data), size):
        got += reader.feed(data[start : start + size])

    assert [(m.kind, m.payload, m.stream_id) for m in got] == [
        (m.kind, m.payload, m.stream_id) for m, _ in sent
    ]


def test_short_headers_and_long_chunk_stream_numbers_are_understood():
    reader = ChunkReader()
    full = b"\3\0\0\1" + b"\0\0\2\x14" + b"\5\0\0\0" + b"ab"
    same_stream = b"\x43\0\0\1" + b"\0\0\1\x14" + b"c"
    new_time = b"\x83\0\0\1" + b"d"
    repeated = b"\xc3" + b"ef"[:1]
    two_bytes = b"\0\6\0\0\1" + b"\0\0\1\x14" + bytes(4) + b"g"
    three_bytes = b"\1\6\1\0\0\1" + b"\0\0\1\x14" + bytes(4) + b"h"
    got = reader.feed(full + same_stream + new_time + repeated + two_bytes + three_bytes)

    assert [each.payload for each in got] == [b"ab", b"c", b"d", b"e", b"g", b"h"]
    assert [each.stream_id for each in got] == [5, 5, 5, 5, 0, 0]


def test_times_of_32_bits_are_repeated_in_every_chunk():
    message = Message(9, b"v" * 300, timestamp_ms=0x01000000)
    data = chunks(message, 6, 128)

    assert data[:17] == bytes.fromhex("06 ffffff 00012c 09 00000000 01000000") + b"v"
    assert data.count(b"\xc6" + bytes.fromhex("01000000")) == 2
    assert [each.payload for each in ChunkReader().feed(data)] == [b"v" * 300]


def test_a_message_may_be_large_but_not_larger():
    whole = chunks(Message(20, b"x" * MAX_RECEIVED_BYTES), 3, 128)
    assert len(ChunkReader().feed(whole)) == 1
    with pytest.raises(DestinationRefused):
        ChunkReader().feed(chunks(Message(20, b"x" * (MAX_RECEIVED_BYTES + 1)), 3, 128))
