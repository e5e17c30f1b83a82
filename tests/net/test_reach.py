"""Which addresses may be called, against the registries and against every wrapping."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as some

from worker.net.reach import Reach

INTERNET = Reach()
IPV4 = some.integers(0, 2**32 - 1).map(IPv4Address)
IPV6 = some.integers(0, 2**128 - 1).map(IPv6Address)

OPEN = ("8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.0", "2606:4700::1111", "2a00:1450::1")
CLOSED = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1"),
    *("192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
    *("224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::7f00:1", "::8.8.8.8", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8"),
    *("2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "2002:7f00:1::"),
    *("2002:808:808::1", "3fff::1", "100::1", "5f00::1", "fc00::1", "fd00::1", "fe80::1"),
    *("fe80::1%eth0", "fec0::1", "ff02::1", "4000::1"),
)


@pytest.mark.parametrize("address", OPEN)
def test_the_public_internet_may_be_called(address):
    assert INTERNET.includes(ip_address(address))


@pytest.mark.parametrize("address", CLOSED)
def test_everything_special_may_not(address):
    assert not INTERNET.includes(ip_address(address))


@given(IPV4 | IPV6)
def test_what_python_knows_to_be_special_is_never_called(address):
    if INTERNET.includes(address):
        embedded = getattr(address, "ipv4_mapped", None)
        in_nat64 = address in IPv6Network("64:ff9b::/96")
        assert (embedded or address).is_global or in_nat64
        assert not (address.is_multicast or address.is_loopback or address.is_link_local)


@given(IPV4)
def test_a_wrapping_decides_as_what_is_inside(address):
    expected = INTERNET.includes(address)

    assert INTERNET.includes(IPv6Address(0xFFFF << 32 | int(address))) == expected
    assert INTERNET.includes(IPv6Address(0x64FF9B << 96 | int(address))) == expected
    assert not INTERNET.includes(IPv6Address(0x2002 << 112 | int(address) << 80))
    assert not INTERNET.includes(IPv6Address(0x20010000 << 96 | int(address) ^ 0xFFFF_FFFF))


@given(IPV4, some.integers(8, 32))
def test_an_operator_adds_networks_and_nothing_beside_them(address, length):
    network = ip_network((address, length), strict=False)
    reach = Reach.parse([str(network)])

    assert reach.includes(address)
    assert reach.includes(IPv6Address(0xFFFF << 32 | int(address)))
    for outside in (int(network[0]) - 1, int(network[-1]) + 1):
        if 0 <= outside < 2**32:
            assert reach.includes(IPv4Address(outside)) == INTERNET.includes(IPv4Address(outside))


@pytest.mark.parametrize("text", ["10.0.0.1/8", "example.org", "", "10.0.0.0/33"])
def test_what_is_no_network_is_a_value_error(text):
    with pytest.raises(ValueError):
        Reach.parse([text])
