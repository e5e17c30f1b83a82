"""Whom we believe: the system's authorities, and those an operator adds."""

import ssl
from pathlib import Path

from worker.errors import InvalidField


def verified_tls(ca_file: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or newer that checks the certificate and the name in it.

    Reads files, so call it before the job. Raises `InvalidField` when *ca_file* is unusable.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as exc:
            raise InvalidField(str(ca_file), "holds no certificates we can read") from exc
    return context
