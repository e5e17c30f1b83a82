"""Instants as the API writes them, in UTC.

Source: API reference sections 1 and 4 (ObsBucket).
"""

from datetime import UTC, datetime, timedelta

NEVER = "0001-01-01T00:00:00Z"
"""What has not happened yet."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(unix_ms: int | None) -> str:
    """`2021-04-16T16:22:44Z`, with a fraction only where there is one; `NEVER` for None."""
    if unix_ms is None:
        return NEVER
    moment = _EPOCH + timedelta(milliseconds=unix_ms)
    fraction = f".{unix_ms % 1000:03d}".rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def bucket_instant(unix_ms: int) -> str:
    """`2020/07/16 07:11:55 GMT+00:00`."""
    return f"{_EPOCH + timedelta(milliseconds=unix_ms):%Y/%m/%d %H:%M:%S} GMT+00:00"
