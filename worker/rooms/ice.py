"""Which addresses and servers a peer connection may use."""

from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server, `stun:host:port`, `turn:host:port?transport=udp` (or `tcp`), or
    `turns:host:port?transport=tcp` (RFC 7064, RFC 7065).
    """

    url: str
    username: str | None = None
    credential: str | None = field(default=None, repr=False)

    @property
    def is_relay(self) -> bool:
        """Whether this is a TURN server."""
        return self.url.startswith("turn")


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
    """Of STUN and of TURN servers one is asked at a time: see `attempt`."""
    relay_only: bool = False
    """Whether all media goes through TURN, so that nobody learns the machine's addresses."""

    @classmethod
    def for_signalling(cls, url: str, servers: tuple[IceServer, ...] = ()) -> "IceSettings":
        """The machine's addresses, and loopback when the room's server at *url* is local."""
        return cls(with_loopback=_is_loopback(urlsplit(url).hostname or ""), servers=servers)

    def attempt(self, number: int) -> "IceSettings":
        """The settings for the next attempt after *number* failures: with another TURN server.

        The ICE library asks the first one only; over TCP another may work where UDP is blocked.
        """
        relays = [server for server in self.servers if server.is_relay]
        if len(relays) < 2:
            return self
        others = [server for server in self.servers if not server.is_relay]
        at = number % len(relays)
        return replace(self, servers=(*others, *relays[at:], *relays[:at]))

    def local_addresses(self, machine: tuple[str, ...]) -> tuple[str, ...]:
        """Addresses to bind on a machine that has *machine* besides loopback."""
        if self.relay_only:
            return ()
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
