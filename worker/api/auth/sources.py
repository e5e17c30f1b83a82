"""The address a request comes from, through proxies of ours.

Behind a proxy everybody has the proxy's address, so that locking out one would lock out all.
X-Forwarded-For is believed as far as proxies that the operator named wrote it, and no further.
"""

import ipaddress
from collections.abc import Sequence

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST_PREFIX = 64
"""Who has one IPv6 address usually has all of its /64."""


def through_proxies(proxies: Sequence[Network]) -> Middleware:
    """Make `request.remote` the caller's address; goes before whatever asks for it."""

    @web.middleware
    async def replace_remote(request: web.Request, handler: Handler) -> web.StreamResponse:
        forwarded = request.headers.getall("X-Forwarded-For", [])
        remote = caller_address(request.remote, forwarded, proxies)
        if remote is None or remote == request.remote:
            return await handler(request)
        moved = request.clone(remote=remote)
        try:
            return await handler(moved)
        finally:
            # What was learned inside is for those outside, too.
            request.update(moved)

    return replace_remote


def caller_address(
    peer: str | None, forwarded: Sequence[str], proxies: Sequence[Network]
) -> str | None:
    """The last address on the way here that no proxy of ours has.

    *peer* is the other end of the connection, no address for a local socket; *forwarded* are the
    X-Forwarded-For headers in order.
    """
    hops = [hop.strip() for header in forwarded for hop in header.split(",")]
    address = _address(peer)
    if address is None:
        return peer
    while hops and any(address in proxy for proxy in proxies):
        hop = _address(hops.pop())
        if hop is None:
            break
        address = hop
    return str(address)


def source(remote: str | None) -> str:
    """What requests from that address are counted by: it, or its IPv6 network."""
    address = _address(remote)
    if address is None:
        return "local"
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((int(address), _HOST_PREFIX), strict=False))


def _address(text: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
