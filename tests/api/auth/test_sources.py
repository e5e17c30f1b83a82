"""Whose request it is that a proxy brings."""

from ipaddress import ip_network

import pytest

from worker.api.auth.sources import caller_address, source

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.66, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.66", "203.0.113.7, 10.9.9.9"], "203.0.113.7"),
        ("10.0.0.1", ["203.0.113.7", "10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7, _hidden, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("fd00::1%eth0", ["::ffff:203.0.113.7"], "203.0.113.7"),
        (None, ["203.0.113.7"], None),
    ],
)
def test_only_what_our_proxies_wrote_is_believed(
    peer: str | None, forwarded: list[str], address: str | None
) -> None:
    assert caller_address(peer, forwarded, PROXIES) == address


def test_without_proxies_the_header_is_nothing() -> None:
    assert caller_address("10.0.0.1", ["203.0.113.7"], []) == "10.0.0.1"


@pytest.mark.parametrize(
    ("remote", "counted_as"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, "local"),
        ("", "local"),
        ("/run/api.sock", "local"),
    ],
)
def test_addresses_are_counted_one_by_one_and_networks_of_a_host_as_one(
    remote: str | None, counted_as: str
) -> None:
    assert source(remote) == counted_as
