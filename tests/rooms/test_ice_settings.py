import pytest

from worker.rooms.ice import IceServer, IceSettings

MACHINE = ("192.0.2.2", "fd00::2")


def test_by_default_the_machines_addresses_are_offered_and_no_server_is_asked() -> None:
    settings = IceSettings()
    assert settings.local_addresses(MACHINE) == MACHINE
    assert settings.servers == ()


def test_a_machine_without_a_network_offers_loopback() -> None:
    assert IceSettings().local_addresses(()) == ("127.0.0.1",)


def test_named_addresses_are_taken_as_they_are() -> None:
    assert IceSettings(host_addresses=("127.0.0.1",)).local_addresses(MACHINE) == ("127.0.0.1",)


@pytest.mark.parametrize(
    ("url", "with_loopback"),
    [
        ("ws://127.0.0.1:8080/ws", True),
        ("ws://localhost/ws", True),
        ("ws://[::1]:1/ws", True),
        ("wss://room.example.org/ws", False),
        ("wss://10.0.0.1/ws", False),
    ],
)
def test_loopback_is_offered_when_signalling_is_local(url: str, with_loopback: bool) -> None:
    addresses = IceSettings.for_signalling(url).local_addresses(MACHINE)
    assert ("127.0.0.1" in addresses) is with_loopback
    assert set(MACHINE) <= set(addresses)


def test_only_relayed_addresses_are_offered_when_that_is_asked_for() -> None:
    settings = IceSettings(host_addresses=("10.0.0.1",), with_loopback=True, relay_only=True)
    assert settings.local_addresses(("192.0.2.1",)) == ()


def test_every_attempt_asks_another_turn_server() -> None:
    stun = IceServer("stun:s:3478")
    udp, tcp = IceServer("turn:t:3478?transport=udp"), IceServer("turn:t:3478?transport=tcp")
    settings = IceSettings(servers=(udp, stun, tcp))
    assert [settings.attempt(number).servers for number in range(3)] == [
        (stun, udp, tcp),
        (stun, tcp, udp),
        (stun, udp, tcp),
    ]
    alone = IceSettings(servers=(stun, udp))
    assert alone.attempt(7) is alone


def test_a_credential_is_not_printed() -> None:
    assert "secret" not in repr(IceServer("turn:t:3478", "user", "secret"))
