"""The headers by which a receiver knows who sent a callback and which event it is.

Source: API reference section 8 (`X-Rtc-*`); the event id is ours.
"""

import hashlib
import hmac
from collections.abc import Mapping

EVENT_ID_HEADER = "X-Rtc-Event-Id"


def signature_headers(
    body: bytes, *, auth_key: str, random_text: str, timestamp: str
) -> Mapping[str, str]:
    """Signature over the exact bytes of *body*; *timestamp* is decimal Unix seconds.

    Hexadecimal HMAC-SHA256 of random text, timestamp and body, one after the other, keyed by the
    UTF-8 bytes of *auth_key*.
    """
    message = random_text.encode() + timestamp.encode() + body
    return {
        "X-Rtc-Rand": random_text,
        "X-Rtc-Timestamp": timestamp,
        "X-Rtc-Signature": hmac.new(auth_key.encode(), message, hashlib.sha256).hexdigest(),
    }


def is_signed(body: bytes, *, auth_key: str, headers: Mapping[str, str]) -> bool:
    """Whether whoever sent *body* with *headers* has the key; their age is not judged."""
    wanted = signature_headers(
        body,
        auth_key=auth_key,
        random_text=headers.get("X-Rtc-Rand", ""),
        timestamp=headers.get("X-Rtc-Timestamp", ""),
    )["X-Rtc-Signature"]
    given = headers.get("X-Rtc-Signature", "")
    return hmac.compare_digest(given.encode(), wanted.encode())
