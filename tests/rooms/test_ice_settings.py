import pytest

from worker.rooms.ice import IceSettings

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
