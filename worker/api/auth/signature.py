"""SDK-HMAC-SHA256: whether a request was signed with a secret key.

Pure, and on bytes as they came over the wire: two requests that differ must not look alike here.
Source: API reference 11.2, whose steps are named below.
"""

import hashlib
import hmac
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote_from_bytes, unquote_to_bytes

ALGORITHM = "SDK-HMAC-SHA256"
WINDOW_MS = 15 * 60 * 1000
"""How far a request's date may be from ours, either way."""

Headers = Sequence[tuple[bytes, bytes]]
"""Names in any case, in the order of the request."""

_AUTHORIZATION = re.compile(
    ALGORITHM + r" +Access=(?P<access>[!-+\--~]{1,128}), *"
    r"SignedHeaders=(?P<signed>[!-+\--~]+), *"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
_DATE = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_MUST_BE_SIGNED = {"host", "x-sdk-date"}
_UNSIGNED_PAYLOAD = b"UNSIGNED-PAYLOAD"
"""The SDK says so instead of a digest when a body is not JSON."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a request's headers say about its signature; nothing of it is verified yet."""

    access_key: str
    """1 to 128 visible characters."""
    date: str
    date_unix_ms: int
    signed: Sequence[tuple[str, bytes]] = field(repr=False)
    """Names in lower case, sorted, with their values."""
    payload: bytes | None = field(repr=False)
    """What X-Sdk-Content-Sha256 says."""
    hexadecimal: str = field(repr=False)
    """64 digits, in lower case."""


def read_signature(headers: Headers) -> Signature:
    """Steps 1, 3 and 4. Raises ValueError, which says nothing, for anything out of order.

    Headers that are signed, or say how to verify, must not be there twice: another reader of the
    request might take the other one. A temporary access key, which X-Security-Token comes with,
    is not known here.
    """
    values = defaultdict[str, list[bytes]](list)
    for name, value in headers:
        values[name.decode("ascii").lower()].append(value.strip())
    parts = _AUTHORIZATION.fullmatch(_only(values["authorization"]).decode("ascii"))
    if parts is None or "x-security-token" in values:
        raise ValueError
    names = parts["signed"].split(";")
    if names != sorted(set(names)) or not _MUST_BE_SIGNED.issubset(names):
        raise ValueError
    date = _only(values["x-sdk-date"]).decode("ascii")
    payload = values["x-sdk-content-sha256"]
    return Signature(
        access_key=parts["access"],
        date=date,
        date_unix_ms=_unix_ms(date),
        signed=tuple((name, _only(values[name])) for name in names),
        payload=_only(payload) if payload else None,
        hexadecimal=parts["signature"],
    )


def is_signed(signature: Signature, secret: str, method: str, target: bytes, body: bytes) -> bool:
    """Steps 5 to 11, in a time that depends on the request only.

    *target* is the raw request target: path and query, as sent. An encoded slash in it counts as
    a slash here, so what is routed by it must be routed by the raw target too.
    """
    digest = hashlib.sha256(body).hexdigest()
    payload = digest
    if body and signature.payload is not None:
        if signature.payload not in (digest.encode(), _UNSIGNED_PAYLOAD):
            return False
        payload = signature.payload.decode()
    path, _, query = target.partition(b"?")
    headers = b"".join(b"%s:%s\n" % (name.encode(), value) for name, value in signature.signed)
    request = b"\n".join(
        (
            method.encode(),
            _canonical_path(path).encode(),
            _canonical_query(query).encode(),
            headers,
            ";".join(name for name, _ in signature.signed).encode(),
            payload.encode(),
        )
    )
    text = f"{ALGORITHM}\n{signature.date}\n{hashlib.sha256(request).hexdigest()}"
    expected = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, signature.hexadecimal)


def _only(values: Sequence[bytes]) -> bytes:
    [value] = values
    return value


def _unix_ms(date: str) -> int:
    if not _DATE.fullmatch(date):
        raise ValueError
    # strptime alone takes shorter numbers too; it refuses 31 February.
    return int(datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()) * 1000


def _canonical_path(path: bytes) -> str:
    text = _quoted(unquote_to_bytes(path), "/~")
    return text if text.endswith("/") else text + "/"


def _canonical_query(query: bytes) -> str:
    pairs = (pair.partition(b"=") for pair in query.split(b"&") if pair)
    # UTF-8 sorts as the characters do, which is how the SDK sorts.
    sorted_pairs = sorted(
        (unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in pairs
    )
    return "&".join(f"{_quoted(name, '~')}={_quoted(value, '~')}" for name, value in sorted_pairs)


def _quoted(text: bytes, safe: str) -> str:
    return quote_from_bytes(text, safe=safe)
