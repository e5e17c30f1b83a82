"""Requests signed by the official SDK, as bytes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

HOST = "127.0.0.1:18080"
AK, SK = "AKTEST", "SKTEST-secret"


@dataclass(frozen=True, slots=True)
class Wire:
    """A request as it is sent."""

    method: str
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""

    def header(self, name: str) -> bytes:
        [value] = [value for key, value in self.headers if key.lower() == name.lower().encode()]
        return value

    def with_header(self, name: str, value: bytes | None) -> "Wire":
        """With that header instead; None: without it."""
        kept = tuple((k, v) for k, v in self.headers if k.lower() != name.lower().encode())
        added = () if value is None else ((name.encode(), value),)
        return replace(self, headers=kept + added)

    def plus(self, name: str, value: bytes) -> "Wire":
        """With one more header, whether there is one of that name or not."""
        return replace(self, headers=(*self.headers, (name.encode(), value)))


SdkSigner = Callable[..., Wire]


def sdk_signer() -> SdkSigner:
    """Imports the SDK."""
    from huaweicloudsdkcore.auth.credentials import BasicCredentials
    from huaweicloudsdkcore.sdk_request import SdkRequest
    from huaweicloudsdkcore.signer.signer import Signer

    def sign(
        method: str,
        path: str,
        *,
        unix_ms: int,
        query: Sequence[tuple[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        ak: str = AK,
        sk: str = SK,
        host: str = HOST,
    ) -> Wire:
        sdk_request = SdkRequest(
            method=method,
            schema="http",
            host=host,
            resource_path=path,
            query_params=list(query),
            header_params={
                "Content-Type": "application/json",
                "X-Sdk-Date": date_text(unix_ms),
                **(headers or {}),
            },
            body=body,
        )
        signed = Signer(BasicCredentials(ak, sk)).sign(sdk_request)
        return Wire(
            method,
            signed.uri.encode(),
            tuple((k.encode(), v.encode("latin-1")) for k, v in signed.header_params.items()),
            body,
        )

    return sign


def date_text(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
