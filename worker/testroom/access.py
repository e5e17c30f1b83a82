"""Who may talk to a room server that anybody's browser can reach.

A page from elsewhere can make a browser connect to 127.0.0.1. Two checks stop it: the page's
origin must be the server itself, and a server without a token answers only to loopback names,
because a foreign name may be pointed at 127.0.0.1 (DNS rebinding).
"""

import hmac
import ipaddress
from urllib.parse import urlsplit

from worker.errors import InvalidField

MIN_TOKEN_CHARS = 16


def check_exposure(
    host: str, token: str | None, *, admin_token: str | None = None, allow_remote: bool
) -> None:
    """Refuse to open a room to the network by accident.

    Raises `InvalidField` for a bind address beyond loopback unless that was asked for and a
    token protects it, and for a token that could be guessed.
    """
    for name, secret in (("token", token), ("admin_token", admin_token)):
        if secret is not None and len(secret) < MIN_TOKEN_CHARS:
            raise InvalidField(name, f"must have at least {MIN_TOKEN_CHARS} characters")
    if is_loopback(host):
        return
    if not allow_remote:
        raise InvalidField("host", f"{host} is not a loopback address; allow remote access first")
    if token is None:
        raise InvalidField("token", "is required when others can reach the room")


def is_loopback(host: str) -> bool:
    """Whether *host*, a name or an address without a port, can only be this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_local_name(host_header: str) -> bool:
    """Whether a Host header names this machine by a name nobody else can hand out."""
    try:
        hostname = urlsplit(f"//{host_header}").hostname
    except ValueError:
        return False
    return hostname is not None and is_loopback(hostname)


def is_same_origin(origin: str | None, host_header: str) -> bool:
    """Whether a page of *origin* was served by *host_header*; no origin: not a browser's page.

    The scheme is not compared: a proxy in front may speak TLS for us.
    """
    if origin is None:
        return True
    scheme, separator, authority = origin.lower().partition("://")
    if not separator or scheme not in ("http", "https"):
        return False
    return authority == host_header.lower()


def may_administer(
    authorization: str | None, *, admin_token: str | None, join_token: str | None
) -> bool:
    """Whether an Authorization header lets its sender put people out.

    Without any token the room is for this machine only, and so is this; a room with a token for
    joining only has no administrators.
    """
    if admin_token is None:
        return join_token is None
    return bears(authorization, admin_token)


def bears(authorization: str | None, token: str) -> bool:
    """Whether an Authorization header carries *token*, compared in constant time."""
    expected = f"Bearer {token}".encode()
    return hmac.compare_digest((authorization or "").encode("utf-8", "replace"), expected)
