"""What a failed S3 call means: ask again, give up, or something the caller treats by itself.

Texts say what failed and the store's own code, nothing else: the library's texts hold addresses
with their queries, and a server's message may hold anything.
"""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from worker.errors import DestinationError, DestinationRefused, KeyTaken, UploadGone

_ASK_AGAIN_CODES = {
    "BadDigest",
    "InvalidDigest",
    "IncompleteBody",
    "RequestTimeout",
    "SlowDown",
    "ThrottlingException",
    "XAmzContentChecksumMismatch",
    "XAmzContentSHA256Mismatch",
}
"""4xx all the same: damaged or slowed down on the way."""
_ASK_AGAIN_STATUSES = {408, 409, 425, 429}
_FULL_STATUS = 507
_NOT_IMPLEMENTED_STATUS = 501
_CONNECTION_ERRORS = (
    boto.ConnectionError,
    boto.HTTPClientError,
    boto.IncompleteReadError,
    boto.ResponseStreamingError,
    boto.ReadTimeoutError,
    aiohttp.ClientError,
    TimeoutError,
    OSError,
)
_SECONDS = re.compile(r"\d{1,6}")


class NotImplementedByStore(DestinationRefused):
    """The store does not know a header or a call."""


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise `DestinationError` and its kin for what the S3 library raises. *doing* names a key."""
    try:
        yield
    except boto.ClientError as exc:
        raise _of_answer(doing, exc) from None
    except boto.SSLError as exc:
        if _is_bad_certificate(exc):
            raise DestinationRefused(f"{doing}: the server's certificate is not trusted") from None
        raise DestinationError(f"{doing}: no TLS connection") from None
    except ResponseParserError:
        raise DestinationError(f"{doing}: the answer is not understood") from None
    except _CONNECTION_ERRORS as exc:
        raise DestinationError(f"{doing}: the connection failed ({_kind(exc)})") from None
    except (boto.BotoCoreError, ValueError) as exc:
        # No keys to be found, a bucket name that is none, an endpoint that is no address.
        raise DestinationRefused(f"{doing}: it cannot be asked ({_kind(exc)})") from None


def status_of(exc: boto.ClientError) -> int:
    return int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _of_answer(doing: str, exc: boto.ClientError) -> DestinationError:
    status = status_of(exc)
    code = re.sub(r"[^A-Za-z0-9]", "", str(exc.response.get("Error", {}).get("Code", "")))[:64]
    text = f"{doing}: the store answered {status} {code}".rstrip()
    if status == 412:
        return KeyTaken(f"{doing}: there is such an object already")
    if code == "NoSuchUpload":
        return UploadGone(f"{doing}: the upload is not open")
    if status == _NOT_IMPLEMENTED_STATUS:
        return NotImplementedByStore(text)
    if status == _FULL_STATUS:
        return DestinationRefused(text)
    if status >= 500 or status in _ASK_AGAIN_STATUSES or code in _ASK_AGAIN_CODES:
        error = DestinationError(text)
        error.retry_after_s = _retry_after_s(exc.response)
        return error
    return DestinationRefused(text)


def _retry_after_s(response: Any) -> float | None:
    """Of a header in seconds; the other form, a date, would need the server's clock."""
    value = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after", "")
    return float(value) if _SECONDS.fullmatch(value) else None


def _is_bad_certificate(exc: boto.SSLError) -> bool:
    cause: object = exc.kwargs.get("error")
    return isinstance(cause, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError)


def _kind(exc: BaseException) -> str:
    return type(exc).__name__
