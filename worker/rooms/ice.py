"""Which addresses and servers a peer connection may use."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server, `stun:host:port` or `turn:host:port?transport=udp`."""

    url: str
    username: str | None = None
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class IceSettings:
    """Local addresses to offer and servers to ask; by default no server is asked.

    The ICE library never offers loopback addresses by itself; tests, the demo and machines
    without a network need exactly those.
    """

    host_addresses: tuple[str, ...] | None = None
    """Local addresses to bind, or None for those of the machine (loopback when it has none)."""
    with_loopback: bool = False
    """Whether 127.0.0.1 comes in addition to the machine's addresses."""
    servers: tuple[IceServer, ...] = ()

    @classmethod
    def for_signalling(cls, url: str, servers: tuple[IceServer, ...] = ()) -> "IceSettings":
        """The machine's addresses, and loopback when the room's server at *url* is local."""
        return cls(with_loopback=_is_loopback(urlsplit(url).hostname or ""), servers=servers)

    def local_addresses(self, machine: tuple[str, ...]) -> tuple[str, ...]:
        """Addresses to bind on a machine that has *machine* besides loopback."""
        if self.host_addresses is not None:
            return self.host_addresses
        if self.with_loopback or not machine:
            return (LOOPBACK, *machine)
        return machine


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
