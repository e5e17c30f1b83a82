"""Which addresses a tenant's text may make the worker call: the public internet, and no more.

An operator may add networks. Decided on the address that is dialled, never on how it was spelled.
"""

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_CLOSED_IPV4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, where clouds keep their metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
"""IANA IPv4 special-purpose address registry, less what is anycast to the public."""

_OPEN_IPV6 = IPv6Network("2000::/3")
"""All that has been allocated of global unicast; anything else is special or unassigned."""

_CLOSED_IPV6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: leads to whatever IPv4 address is inside
        "3fff::/20",  # documentation
    )
)

_NAT64 = IPv6Network("64:ff9b::/96")
"""Well-known prefix of RFC 6052: the last 32 bits are the IPv4 address that is called."""


class Reach:
    """The public internet and the networks *allowed* on top of it."""

    def __init__(self, allowed: Iterable[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    @classmethod
    def parse(cls, networks: Iterable[str]) -> "Reach":
        """From networks such as `10.1.0.0/16` or `fd00::/8`. Raises ValueError."""
        return cls(ip_network(text) for text in networks)

    def includes(self, address: Address) -> bool:
        """Whether *address* may be called; IPv4 inside IPv6 (mapped, NAT64) counts as itself."""
        if any(address in network for network in self._allowed):
            return True
        if isinstance(address, IPv4Address):
            return not any(address in network for network in _CLOSED_IPV4)
        embedded = address.ipv4_mapped
        if address in _NAT64:
            embedded = IPv4Address(int(address) & 0xFFFF_FFFF)
        if embedded is not None:
            return self.includes(embedded)
        return address in _OPEN_IPV6 and not any(address in network for network in _CLOSED_IPV6)
