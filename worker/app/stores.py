"""Which store an address means, and who may be called: what the operator's settings say."""

import ssl
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from worker.core.record.rule import RecordRule
from worker.errors import DestinationRefused
from worker.jobs.ports import Buckets
from worker.net.dial import Dialer
from worker.net.reach import Reach
from worker.net.tls import verified_tls
from worker.ports import Store
from worker.settings import Settings, StorageSettings
from worker.storage.file_store import FileStore
from worker.storage.s3_settings import S3Settings

_FILE, _S3 = "file://", "s3://"


@dataclass(frozen=True, slots=True)
class Calls:
    """How addresses of a job's author are called."""

    dialer: Dialer
    tls: ssl.SSLContext


ANYWHERE = Dialer(Reach.parse(("0.0.0.0/0", "::/0")), low_ports=frozenset(range(1, 1024)))
"""For addresses that are the operator's own."""


def calls(settings: Settings) -> Calls:
    """As the settings allow; make one for all, for reading the authorities takes 25 ms.

    Raises `InvalidField` when the settings' own are unusable.
    """
    ca_file = Path(settings.net.ca_file) if settings.net.ca_file else None
    return Calls(Dialer(Reach.parse(settings.net.allow)), verified_tls(ca_file))


def store_address(rule: RecordRule) -> str:
    """Where the files of *rule* go, as an address."""
    return rule.store or f"{_S3}{rule.address.bucket}"


def open_store(
    address: str, settings: StorageSettings, *, location: str = ""
) -> AbstractAsyncContextManager[Store]:
    """The store at `s3://bucket` or `file:///directory`; *location* is the rule's region.

    Raises `DestinationRefused` for a bucket that jobs may not use.
    """
    if address.startswith(_FILE):
        return FileStore.open(Path(unquote(urlsplit(address).path)))
    bucket = address.removeprefix(_S3)
    if settings.buckets and bucket not in settings.buckets:
        raise DestinationRefused("the settings do not allow this bucket")
    # Only who uses a bucket pays for importing the client.
    from worker.storage.s3_store import S3Store

    return S3Store.open(s3_settings(bucket, settings, location))


def browser(settings: StorageSettings) -> Buckets:
    """Shows what lies in the stores of the settings."""
    from worker.storage.browse import Browser

    return Browser(
        lambda bucket, location: s3_settings(bucket, settings, location), allowed=settings.buckets
    )


def s3_settings(bucket: str, settings: StorageSettings, location: str) -> S3Settings:
    """How *bucket* is reached: the location's own endpoint and region, else those of all."""
    place = settings.locations.get(location)
    access_key, secret_key = settings.keys()
    return S3Settings(
        bucket=bucket,
        endpoint=(place.endpoint if place else "") or settings.endpoint or None,
        region=(place.region if place else "") or settings.region or None,
        path_style=settings.path_style,
        access_key=access_key or None,
        secret_key=secret_key or None,
        encryption=settings.encryption or None,
        encryption_key_id=settings.encryption_key_id or None,
        ca_file=Path(settings.ca_file) if settings.ca_file else None,
        check_prefix=settings.check_prefix,
    )


def download_root(address: str, settings: StorageSettings, location: str) -> str:
    """What comes before a key in the address of an object; empty where only the store knows."""
    if address.startswith(_FILE):
        return ""
    place = settings.locations.get(location)
    endpoint = (place.endpoint if place else "") or settings.endpoint
    bucket = address.removeprefix(_S3)
    if not endpoint:
        return ""
    if settings.path_style:
        return f"{endpoint.rstrip('/')}/{bucket}"
    scheme, _, host = endpoint.rstrip("/").partition("://")
    return f"{scheme}://{bucket}.{host}"
