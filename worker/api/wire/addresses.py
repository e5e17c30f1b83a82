"""Addresses and names in documents, checked as text only: nothing is looked up or opened.

Every function raises ValueError that says what is wrong, without repeating the text: addresses
may hold secrets.
"""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from worker.core.spec import ImageRef

MAX_ROOM_URL_CHARS = 2048
MAX_CALLBACK_URL_CHARS = 2048
MAX_RTMP_URL_CHARS = 2048
MAX_OBJECT_BYTES = 1024
"""Longest object key of S3."""
MAX_PATH_BYTES = 4096
MAX_NAME_BYTES = 200
"""File systems take 255; endings and the marks of unfinished files need room."""

_BUCKET = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]|\.(?!\.)){1,61}[A-Za-z0-9]")
_VISIBLE_ASCII = re.compile(r"[!-~]+")


def image_address(text: str) -> ImageRef:
    """`s3://bucket/object` or `file:///path`, as it was written."""
    scheme, _, rest = text.partition("://")
    if scheme == "file":
        _file_path(rest)
    elif scheme == "s3":
        bucket, _, key = rest.partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise ValueError("has no valid bucket name")
        if not 1 <= len(key.encode()) <= MAX_OBJECT_BYTES:
            raise ValueError(f"must name an object of 1 to {MAX_OBJECT_BYTES} bytes")
        _check_path(key)
        _check_path(unquote(key))
    else:
        raise ValueError("must be s3://bucket/object or file:///path")
    return ImageRef(text)


def directory(text: str) -> Path:
    """`file:///path` or a plain path; a relative one counts from the working directory."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        _check_path(text)
        return Path(text)
    if scheme != "file":
        raise ValueError("must be file:///path or a plain path")
    return Path(_file_path(rest))


def file_name(text: str) -> str:
    """A name for files, without an ending; never a hidden file or a path."""
    if not text or text.startswith(".") or "/" in text or "\\" in text or not text.isprintable():
        raise ValueError("must be a printable file name without / and \\ and a leading dot")
    if len(text.encode()) > MAX_NAME_BYTES:
        raise ValueError(f"is longer than {MAX_NAME_BYTES} bytes")
    return text


def room_url(text: str) -> str:
    """`ws://host[:port]/path` or `wss://…`."""
    return _url(text, ("ws", "wss"), MAX_ROOM_URL_CHARS)


def rtmp_url(text: str) -> str:
    """`rtmp://host[:port]/app/key` or `rtmps://…`."""
    _url(text, ("rtmp", "rtmps"), MAX_RTMP_URL_CHARS)
    if not urlsplit(text).path.strip("/"):
        raise ValueError("must name an application and a stream")
    return text


def callback_url(text: str) -> str:
    """`http://host[:port]/path` or `https://…`."""
    return _url(text, ("http", "https"), MAX_CALLBACK_URL_CHARS)


def bucket_name(text: str) -> str:
    """The name of a bucket."""
    if not _BUCKET.fullmatch(text):
        raise ValueError("is not a valid bucket name")
    return text


def store_address(text: str) -> str:
    """`s3://bucket` or `file:///directory`, as it was written."""
    scheme, _, rest = text.partition("://")
    if scheme == "file":
        _file_path(rest)
    elif scheme != "s3" or not _BUCKET.fullmatch(rest):
        raise ValueError("must be s3://bucket or file:///directory")
    return text


def _url(text: str, schemes: tuple[str, str], most_chars: int) -> str:
    if not _VISIBLE_ASCII.fullmatch(text) or len(text) > most_chars:
        raise ValueError(f"must be 1 to {most_chars} visible ASCII characters")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError("is not an address") from None
    if url.scheme not in schemes or not url.hostname or port == 0:
        raise ValueError(
            f"must be {schemes[0]}://host[:port]/path or {schemes[1]}://host[:port]/path"
        )
    if "@" in url.netloc or "#" in text:
        raise ValueError("must not have a user name or a fragment")
    return text


def _file_path(rest: str) -> str:
    """The path of a file address, from what follows `file://`."""
    path = unquote(rest)
    if not path.startswith("/"):
        raise ValueError("must be file:/// and an absolute path")
    _check_path(path)
    return path


def _check_path(path: str) -> None:
    if not path or not path.isprintable() or len(path.encode()) > MAX_PATH_BYTES:
        raise ValueError(f"must be a printable path of 1 to {MAX_PATH_BYTES} bytes")
    if any(part in (".", "..") for part in re.split(r"[/\\]", path)):
        raise ValueError("must not have the parts . or ..")
