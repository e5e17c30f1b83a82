"""Dialling: one look-up, every address checked, nothing else called."""

import asyncio
import socket
from ipaddress import ip_address
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.support.rtmp import free_port
from worker.errors import DestinationError, DestinationRefused
from worker.net.dial import Dialer
from worker.net.lookup import MOST_AT_ONCE, Lookup
from worker.net.reach import Reach

INTERNET = Reach()
HERE = Reach.parse(["127.0.0.0/8", "::1/128"])

LOOPBACK_SPELLINGS = (
    *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7F.1", "0177.0.0.1"),
    *("017700000001", "0x7f.0x0.0x0.0x1", "127.0.0.1.", "127.00.00.01"),
    *("①②⑦.⓪.⓪.①", "１２７.０.０.１", "127。0。0。1", "１２７．１", "⑫7.1", "0ｘ7f000001"),
    *("::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:7f00:0001"),
    *("localhost", "LOCALHOST", "ｌｏｃａｌｈｏｓｔ", "0", "0.0.0.0", "::", "0x0", "00"),
)


class Names:
    """A name server that answers as told, one answer after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.asked = 0
        self._answers = answers

    async def look_up(self, host, port):
        answer = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        return [
            (socket.AF_INET6, (each, port, 0, 0)) if ":" in each else (socket.AF_INET, (each, port))
            for each in answer
        ]


@pytest.fixture
async def listening():
    """A port of this machine, and who called it."""
    callers = []

    def accept(reader, writer):
        callers.append(writer.get_extra_info("peername"))
        writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], callers
    server.close()


@pytest.mark.parametrize("host", LOOPBACK_SPELLINGS)
async def test_no_spelling_of_this_machine_gets_through(host, listening):
    port, callers = listening
    with pytest.raises(DestinationError):
        await Dialer(INTERNET).connect(host, port)
    await asyncio.sleep(0)

    assert callers == []


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "①②⑦.⓪.⓪.①", "localhost"])
async def test_a_spelling_is_refused_for_where_it_leads_not_for_how_it_looks(host, listening):
    port, _ = listening
    with pytest.raises(DestinationRefused):
        await Dialer(INTERNET).connect(host, port)
    with await Dialer(HERE).connect(host, port) as connection:
        assert connection.getpeername()[0] == "127.0.0.1"


async def test_a_name_is_looked_up_once_however_it_answers_next(listening):
    port, callers = listening
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    with await Dialer(HERE, look_up=names.look_up).connect("example.org", port) as connection:
        assert connection.getpeername() == ("127.0.0.1", port)

    assert names.asked == 1


@pytest.mark.parametrize(
    "addresses",
    [["8.8.8.8", "10.0.0.1"], ["::ffff:10.0.0.1"], ["2606:4700::1111", "fd00::1"], ["10.0.0.1"]],
)
async def test_one_forbidden_address_among_many_is_enough(addresses):
    with pytest.raises(DestinationRefused):
        await Dialer(INTERNET, look_up=Names(addresses).look_up).addresses("example.org", 1935)


@given(some.lists(some.ip_addresses().map(str), min_size=1, max_size=6))
def test_only_what_is_allowed_is_ever_handed_out(addresses):
    dialer = Dialer(INTERNET, look_up=Names(addresses).look_up)
    try:
        found = asyncio.run(dialer.addresses("example.org", 443))
    except DestinationRefused:
        return
    for _, address in found:
        assert INTERNET.includes(ip_address(address[0]))


async def test_the_second_address_gets_its_turn_when_the_first_refuses(listening):
    port, callers = listening
    names = Names(["127.0.0.2", "127.0.0.1"])
    with await Dialer(HERE, look_up=names.look_up).connect("example.org", port) as connection:
        assert connection.getpeername()[0] == "127.0.0.1"


async def test_nobody_at_home_is_an_error_that_may_pass():
    with pytest.raises(DestinationError, match="Connection refused") as caught:
        await Dialer(HERE).connect("127.0.0.1", free_port())
    assert caught.value.retryable


@pytest.mark.parametrize("port", [0, -1, 22, 25, 1023, 65536])
async def test_low_and_impossible_ports_are_refused_before_anybody_is_asked(port):
    names = Names(["8.8.8.8"])
    with pytest.raises(DestinationRefused):
        await Dialer(INTERNET, look_up=names.look_up).addresses("example.org", port)
    assert names.asked == 0


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a\0b", "x" * 70 + ".org", "a..b", ""])
async def test_a_name_that_cannot_be_found_is_an_error(host):
    with pytest.raises(DestinationError):
        await Dialer(INTERNET).addresses(host, 443)


async def test_a_name_without_addresses_is_an_error():
    with pytest.raises(DestinationError, match="no address"):
        await Dialer(INTERNET, look_up=Names([]).look_up).addresses("example.org", 443)


async def test_look_ups_that_hang_are_few_and_hold_up_nobody(monkeypatch):
    answer, asked = Event(), []
    real = socket.getaddrinfo

    def hang(host, *arguments, flags, **names):
        if flags & socket.AI_NUMERICHOST:
            return real(host, *arguments, flags=flags, **names)
        asked.append(host)
        answer.wait(5)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    lookup = Lookup()
    for _ in range(MOST_AT_ONCE + 3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await lookup.addresses("example.org", 443)
    assert len(asked) == MOST_AT_ONCE
    assert len(await lookup.addresses("127.1", 443)) == 1, "an address needs no look-up"

    answer.set()
    async with asyncio.timeout(5):
        assert await lookup.addresses("example.org", 443) == []
