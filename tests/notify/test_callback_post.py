"""One attempt over real sockets (fault table, C2 to C4)."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.receiver import Answering, Receiver, endless, ok, served, slow, status
from worker.core.spec import CallbackSpec
from worker.net.dial import Dialer
from worker.net.reach import Reach
from worker.net.tls import verified_tls
from worker.notify.event_store import StoredEvent
from worker.notify.post import Answer, HttpPost

KEY = "8923ab8c2dcef4538923ab8c2dcef453"
EVENT = StoredEvent(1, "e" * 32, '{"stream_name":"ü"}'.encode())
NOW_UNIX_S = 1_767_323_045.7
LOOPBACK = Dialer(Reach.parse(["127.0.0.0/8"]))


def post(url: str, key: str | None = KEY, dialer: Dialer = LOOPBACK, **options: Any) -> HttpPost:
    return HttpPost(
        CallbackSpec(url, key),
        dialer=dialer,
        tls=verified_tls(),
        unix_s=lambda: NOW_UNIX_S,
        **options,
    )


async def answered(answer: Answering, **options: Any) -> tuple[Receiver, Answer]:
    async with served(Receiver(KEY, answer)) as receiver:
        return receiver, await post(receiver.url, **options)(EVENT)


async def test_the_bytes_that_were_kept_are_sent_and_signed():
    receiver, answer = await answered(ok)

    assert answer.status == 200
    [call] = receiver.accepted
    assert call.raw == EVENT.body
    assert call.signed
    assert call.event_id == "e" * 32
    assert call.headers["X-Rtc-Timestamp"] == "1767323045"
    assert call.headers["Content-Type"] == "application/json"


async def test_each_attempt_has_its_own_random_text_and_signature():
    async with served(Receiver(KEY)) as receiver:
        attempt = post(receiver.url)
        await attempt(EVENT)
        await attempt(EVENT)

    first, second = receiver.calls
    assert first.headers["X-Rtc-Rand"] != second.headers["X-Rtc-Rand"]
    assert first.headers["X-Rtc-Signature"] != second.headers["X-Rtc-Signature"]
    assert first.event_id == second.event_id
    assert first.signed
    assert second.signed


@pytest.mark.parametrize("key", ["", None])
async def test_without_a_key_nothing_is_signed(key):
    async with served(Receiver()) as receiver:
        await post(receiver.url, key=key)(EVENT)

    [call] = receiver.accepted
    assert {name for name in call.headers if name.startswith("X-Rtc")} == {"X-Rtc-Event-Id"}


@pytest.mark.parametrize("code", [201, 202, 204, 400, 401, 403, 404, 500, 503])
async def test_only_200_is_a_success(code):
    _, answer = await answered(status(code))

    assert answer == Answer(code, f"HTTP {code}")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "where", ["/elsewhere", "http://169.254.169.254/latest", "file:///etc/passwd"]
)
async def test_a_redirect_is_never_followed(code, where):
    receiver, answer = await answered(status(code, Location=where))

    assert answer.status == code
    assert receiver.other_paths == []
    assert len(receiver.calls) == 1


async def test_a_receiver_that_thinks_too_long_is_left():
    started_s = asyncio.get_running_loop().time()

    _, answer = await answered(slow(30.0), timeout_s=0.3)

    assert answer == Answer(None, "no answer in time")
    assert asyncio.get_running_loop().time() - started_s < 2


@pytest.mark.parametrize("code", [200, 500])
async def test_an_answer_without_end_is_not_listened_to(code):
    sent: list[int] = []

    _, answer = await answered(endless(code, sent, piece=1 << 20), timeout_s=5)

    # What was taken went into the buffers of two sockets, not into this process.
    assert answer.status == code
    assert sum(sent) < 16 << 20


async def test_an_answer_that_drips_costs_no_time():
    started_s = asyncio.get_running_loop().time()

    _, answer = await answered(endless(200, [], piece=1, pause_s=0.05), timeout_s=5)

    assert answer.status == 200
    assert asyncio.get_running_loop().time() - started_s < 2


async def test_a_status_line_that_drips_is_left():
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for byte in b"HTTP/1.1 200 OK\r\n" * 100:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(drip, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        answer = await post(f"http://127.0.0.1:{port}/", timeout_s=0.5)(EVENT)

    assert answer == Answer(None, "no answer in time")


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 59.3),
        ("Fri, 02 Jan 2026 03:00:00 GMT", -245.7),
        ("soon", None),
        ("-5", None),
        ("9" * 40, None),
        ("Fri, 99 Xxx 2026 03:05:05 GMT", None),
    ],
)
async def test_retry_after_is_read_as_seconds_or_a_date(told, seconds):
    _, answer = await answered(status(429, Retry_After=told))

    assert answer.status == 429
    expected = None if seconds is None else pytest.approx(seconds, abs=0.01)
    assert answer.retry_after_s == expected


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "localhost", "[::1]"),
        *("[::ffff:127.0.0.1]", "10.0.0.1", "169.254.169.254", "[fe80::1]", "0.0.0.0"),
    ],
)
async def test_inner_addresses_are_not_called_in_any_spelling(host, monkeypatch):
    connected: list[object] = []
    monkeypatch.setattr(
        asyncio.get_running_loop(), "sock_connect", lambda *where: connected.append(where)
    )
    closed = Dialer(Reach())

    answer = await post(f"http://{host}:8080/hook", dialer=closed)(EVENT)

    assert answer.status is None
    assert answer.trouble == "the host is at an address that may not be called"
    assert connected == []


async def test_a_name_is_looked_up_once_and_its_answer_is_dialled():
    answers = iter(["127.0.0.1", "127.0.0.2"])
    asked: list[str] = []

    async def look_up(host: str, port: int) -> Sequence[tuple[socket.AddressFamily, Any]]:
        asked.append(host)
        return [(socket.AF_INET, (next(answers), port))]

    async with served(Receiver(KEY)) as receiver:
        port = receiver.url.rsplit(":", 1)[1]
        dialer = Dialer(Reach.parse(["127.0.0.1/32"]), look_up=look_up)
        answer = await post(f"http://changing.example:{port}", dialer=dialer)(EVENT)

    assert answer.status == 200
    assert asked == ["changing.example"]
    assert receiver.calls[0].headers["Host"].startswith("changing.example")


async def test_proxies_of_the_environment_are_not_used(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    _, answer = await answered(ok)

    assert answer.status == 200


async def test_troubles_do_not_repeat_the_address():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        refused = await post(f"http://127.0.0.1:{port}/?token=geheim")(EVENT)
    no_host = await post("http:///?token=geheim")(EVENT)
    not_http = await post("ftp://127.0.0.1:8080/?token=geheim")(EVENT)

    assert refused == Answer(None, "Connection refused")
    for answer in (no_host, not_http):
        assert answer.status is None
        assert "geheim" not in repr(answer)
