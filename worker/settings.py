"""Process settings: one frozen tree from one TOML file and the environment.

`configs/worker.toml` is the manual; a test compares it with these classes. An environment
variable `MIXWORKER_<SECTION>__<KEY>` overrides the file; lists are separated by commas.
"""

import os
import tomllib
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from worker.errors import InvalidField

ENVIRONMENT_PREFIX = "MIXWORKER_"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _secret_text(path: str, key: str) -> str:
    """What the file that *key* names holds. Raises `InvalidField`."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidField(key, "cannot be read") from exc


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for text in value:
        ip_network(text)
    return value


class LogSettings(_Section):
    level: Literal["debug", "info", "warning", "error"] = "warning"


ServerUrl = Annotated[
    str, Field(pattern=r"^(stun:[^\s?@/]+|turns?:[^\s?@/]+(\?transport=(udp|tcp))?)$")
]


class IceSettingsSection(_Section):
    host_addresses: tuple[str, ...] = ()
    servers: tuple[ServerUrl, ...] = ()
    username: str = ""
    credential: str = Field("", repr=False)
    credential_file: str = ""
    relay_only: bool = False

    @model_validator(mode="after")
    def _has_a_relay(self) -> Self:
        if self.relay_only and not any(url.startswith("turn") for url in self.servers):
            raise ValueError("relay_only needs a TURN server")
        if self.credential and self.credential_file:
            raise ValueError("credential and credential_file exclude each other")
        return self

    def secret(self) -> str:
        """The TURN servers' credential. Raises `InvalidField` when its file cannot be read."""
        if not self.credential_file:
            return self.credential
        return _secret_text(self.credential_file, "ice.credential_file")


class RoomSettings(_Section):
    connect_timeout_s: float = Field(30.0, gt=0, le=600)
    max_playout_delay_ms: int = Field(1600, ge=100, le=2000)


class VideoSettings(_Section):
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"] = (
        "superfast"
    )
    encoder_threads: int = Field(0, ge=0, le=64)
    decoder_threads: int = Field(2, ge=1, le=16)


class StopSettings(_Section):
    grace_s: float = Field(25.0, gt=0, le=600)


class SpoolSettings(_Section):
    directory: str = "spool"
    floor_mb: int = Field(2048, ge=0)


Endpoint = Annotated[str, Field(pattern=r"^(https?://[^\s/?#@]+/?)?$")]


class StoreLocation(_Section):
    """Where the buckets of one of the API's locations are."""

    endpoint: Endpoint = ""
    region: str = ""


class StorageSettings(_Section):
    endpoint: Endpoint = ""
    region: str = ""
    locations: dict[str, StoreLocation] = Field(default_factory=dict)
    buckets: tuple[str, ...] = ()
    path_style: bool = True
    access_key: str = Field("", repr=False)
    secret_key: str = Field("", repr=False)
    keys_file: str = ""
    encryption: Literal["", "AES256", "aws:kms"] = ""
    encryption_key_id: str = Field("", repr=False)
    ca_file: str = ""
    check_prefix: str = ""

    def keys(self) -> tuple[str, str]:
        """Access key and secret key; empty where the environment has them.

        Raises `InvalidField` when their file cannot be read.
        """
        if not self.keys_file:
            return self.access_key, self.secret_key
        text = _secret_text(self.keys_file, "storage.keys_file")
        keys = text.split()
        if len(keys) != 2:
            raise InvalidField("storage.keys_file", "must hold an access key and a secret key")
        return keys[0], keys[1]


class NetSettings(_Section):
    allow: tuple[str, ...] = ()
    ca_file: str = ""

    @field_validator("allow")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _networks(value)


class MetricsSettings(_Section):
    port: int = Field(0, ge=0, le=65535)


class ApiSettings(_Section):
    host: str = "127.0.0.1"
    port: int = Field(8090, ge=0, le=65535)
    tls_certificate: str = ""
    tls_key: str = ""
    plain_http: bool = False
    trusted_proxies: tuple[str, ...] = ()
    apps_per_account: int = Field(20, ge=1)
    bucket_grants: bool = False

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key belong together")
        return self

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _networks(value)


class RoomsSettings(_Section):
    """Where the rooms of the API's applications are."""

    kind: Literal["testroom", "janus"] = "testroom"
    url: str = "ws://127.0.0.1:8080/ws"
    names: bool = False
    per_app: bool = False
    pin_file: str = ""
    token_file: str = ""
    api_secret_file: str = ""
    secret_file: str = ""
    user_id: Literal["id", "display"] = "id"
    destroy: bool = False

    @model_validator(mode="after")
    def _can_be_named(self) -> Self:
        if self.per_app and self.kind == "janus" and not self.names:
            raise ValueError("per_app needs rooms with names")
        return self

    def secret(self, key: Literal["pin", "token", "api_secret", "secret"]) -> str | None:
        """What the file of that name holds. Raises `InvalidField` when it cannot be read."""
        path: str = getattr(self, f"{key}_file")
        return _secret_text(path, f"rooms.{key}_file") if path else None


class ControlSettings(_Section):
    directory: str = "control"
    database: str = Field("", repr=False)
    database_file: str = ""
    keys_file: str = ""
    worker_url: str = ""
    launcher: Literal["subprocess", "docker", "kubernetes"] = "subprocess"
    worker_config: str = ""
    image: str = "mixworker"
    spool: str = "mixworker-spool"
    network: str = "host"
    docker_url: str = "unix:///var/run/docker.sock"
    docker_mounts: tuple[str, ...] = ()
    namespace: str = "mixworker"
    kubeconfig: str = ""
    settings_map: str = "mixworker-worker"
    keys_secret: str = "mixworker-storage"
    jobs_per_account: int = Field(100, ge=1)
    cores: float = Field(0.0, ge=0)
    memory_mb: float = Field(0.0, ge=0)
    participants: int = Field(9, ge=1, le=500)
    keep_jobs_days: float = Field(7.0, gt=0)
    over_event: Literal["CLOUD_RECORD_SERVER_OVER", "CLOUD_RECORD_OVER"] = (
        "CLOUD_RECORD_SERVER_OVER"
    )

    @model_validator(mode="after")
    def _has_one_database(self) -> Self:
        if self.database and self.database_file:
            raise ValueError("database and database_file exclude each other")
        return self

    def database_url(self) -> str:
        """The database's; empty: one of our own. Raises `InvalidField` for an unreadable file."""
        if not self.database_file:
            return self.database
        return _secret_text(self.database_file, "control.database_file")


class Settings(_Section):
    """Everything an operator can set."""

    log: LogSettings = LogSettings()
    ice: IceSettingsSection = IceSettingsSection()
    room: RoomSettings = RoomSettings()
    video: VideoSettings = VideoSettings()
    stop: StopSettings = StopSettings()
    spool: SpoolSettings = SpoolSettings()
    storage: StorageSettings = StorageSettings()
    net: NetSettings = NetSettings()
    metrics: MetricsSettings = MetricsSettings()
    api: ApiSettings = ApiSettings()
    rooms: RoomsSettings = RoomsSettings()
    control: ControlSettings = ControlSettings()


def load_settings(path: Path | None, environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from *path* (defaults when None), overridden by *environment* (the process's).

    Raises `InvalidField` that names the key, for unknown keys too.
    """
    tree: dict[str, Any] = {}
    if path is not None:
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as exc:
            raise InvalidField(str(path), exc.strerror or "cannot be read") from exc
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
            raise InvalidField(str(path), f"is not TOML: {exc}") from exc
    for name, value in (os.environ if environment is None else environment).items():
        if not name.startswith(ENVIRONMENT_PREFIX) or "__" not in name:
            continue
        section, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__", 1)
        field = getattr(Settings.model_fields.get(section), "annotation", None)
        is_list = field is not None and "tuple" in str(
            getattr(field.model_fields.get(key), "annotation", "")
        )
        table = tree.setdefault(section, {})
        if not isinstance(table, dict):
            raise InvalidField(section, "must be a table")
        table[key] = [item for item in value.split(",") if item] if is_list else value
    try:
        return Settings.model_validate(tree)
    except ValidationError as exc:
        error = exc.errors()[0]
        raise InvalidField(".".join(map(str, error["loc"])), error["msg"]) from exc
