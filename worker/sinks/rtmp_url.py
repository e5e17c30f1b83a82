"""Where to publish: an RTMP address taken apart. Path and key are secrets and never printed."""

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

MAX_URL_CHARS = 2048
_DEFAULT_PORTS = {"rtmp": 1935, "rtmps": 443}
_VISIBLE_ASCII = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class RtmpTarget:
    """One stream of one server."""

    scheme: str
    host: str
    port: int
    app: str = field(repr=False)
    key: str = field(repr=False)
    """Name of the stream, with the query that often authorises it."""

    @property
    def is_encrypted(self) -> bool:
        return self.scheme == "rtmps"

    @property
    def address(self) -> str:
        """What people may see: scheme and host."""
        return f"{self.scheme}://{self._bracketed}"

    @property
    def tc_url(self) -> str:
        """What the server is told it was called by. Secret."""
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.address}{port}/{self.app}"

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def parse_rtmp_url(text: str) -> RtmpTarget:
    """`rtmp[s]://host[:port]/app/key` or `…/app/instance/key`, each with an optional query.

    Raises ValueError that says what is wrong without repeating the text.
    """
    if not _VISIBLE_ASCII.fullmatch(text) or len(text) > MAX_URL_CHARS:
        raise ValueError(f"must be 1 to {MAX_URL_CHARS} visible ASCII characters")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError("is not an address") from None
    if url.scheme not in _DEFAULT_PORTS or not url.hostname or port == 0:
        raise ValueError("must be rtmp://host[:port]/app/key or rtmps://…")
    if "@" in url.netloc or "#" in text:
        raise ValueError("must not have a user name or a fragment")
    app, key = _app_and_key(url.path.lstrip("/"), url.query)
    if not app or not key:
        raise ValueError("must name an application and a stream")
    return RtmpTarget(url.scheme, url.hostname, port or _DEFAULT_PORTS[url.scheme], app, key)


def _app_and_key(path: str, query: str) -> tuple[str, str]:
    parts = path.split("/")
    if len(parts) == 1 and "/" in query:  # app?vhost=example/key
        options, _, key = query.rpartition("/")
        return f"{path}?{options}", key
    # Two parts of three or more are the application and its instance, as ffmpeg has it.
    depth = 1 if len(parts) == 2 else 2
    key = "/".join(parts[depth:])
    return "/".join(parts[:depth]), f"{key}?{query}" if key and query else key
