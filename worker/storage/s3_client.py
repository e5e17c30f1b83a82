"""A client of an S3 server: one attempt a call, no secrets in logs."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from worker.errors import DestinationRefused
from worker.storage.s3_errors import translated
from worker.storage.s3_settings import S3Settings

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

CONNECT_WITHIN_S = 5.0


@asynccontextmanager
async def open_client(settings: S3Settings, session: AioSession) -> AsyncIterator["S3Client"]:
    """Raises `DestinationRefused`, asks nobody yet.

    The first client of a *session* takes 0.1 s of computing, later ones a tenth of that.
    """
    # At its finest level the library logs headers, among them session tokens.
    for name in ("botocore", "aiobotocore"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.INFO))
    if settings.ca_file is not None and not settings.ca_file.is_file():
        raise DestinationRefused(f"{settings.ca_file}: there is no such file of certificates")
    context = session.create_client(
        "s3",
        region_name=settings.region or "us-east-1",
        endpoint_url=settings.endpoint,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        aws_session_token=settings.session_token,
        verify=str(settings.ca_file) if settings.ca_file is not None else None,
        config=AioConfig(
            connect_timeout=CONNECT_WITHIN_S,
            retries={"total_max_attempts": 1, "mode": "standard"},
            s3={"addressing_style": "path" if settings.path_style else "virtual"},
            # Content-MD5 is ours on every body; not every store knows the newer headers.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    with translated(settings.bucket):
        client = await context.__aenter__()
    try:
        yield client
    finally:
        await context.__aexit__(None, None, None)
