"""How an S3 bucket is reached."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class S3Settings:
    """One bucket. Without keys they come from the environment, as for every AWS tool."""

    bucket: str
    region: str | None = None
    endpoint: str | None = None
    """`https://host[:port]`; None is Amazon's own for the region."""
    path_style: bool = True
    """`endpoint/bucket/key` instead of `bucket.endpoint/key`."""
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    encryption: str | None = None
    """Server-side: `AES256` or `aws:kms`."""
    encryption_key_id: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""
    check_prefix: str = ""
    """Keys of the objects a check writes and removes begin so."""
    patience_s: float = 30.0
    """How long an answer may take, apart from the time for the bytes."""
    slowest_bytes_per_s: int = 64_000
    """A transfer slower than this is begun anew."""
