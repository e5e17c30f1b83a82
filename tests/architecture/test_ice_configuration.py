"""STUN and TURN servers in the settings."""

from pathlib import Path

import pytest

from worker.app.rooms import ice_settings
from worker.errors import InvalidField
from worker.rooms.ice import IceServer
from worker.settings import load_settings

TURN = {
    "MIXWORKER_ICE__SERVERS": "stun:s:3478,turn:t:3478?transport=udp,turns:t:5349?transport=tcp",
    "MIXWORKER_ICE__USERNAME": "recorder",
}


def test_servers_reach_the_rooms_with_their_credential():
    ice = ice_settings(load_settings(None, TURN | {"MIXWORKER_ICE__CREDENTIAL": "secret"}))

    assert ice.host_addresses is None
    assert not ice.relay_only
    assert ice.servers == (
        IceServer("stun:s:3478", "recorder", "secret"),
        IceServer("turn:t:3478?transport=udp", "recorder", "secret"),
        IceServer("turns:t:5349?transport=tcp", "recorder", "secret"),
    )


def test_the_credential_may_be_in_a_file(tmp_path: Path):
    file = tmp_path / "credential"
    file.write_text("secret\n")
    ice = ice_settings(load_settings(None, TURN | {"MIXWORKER_ICE__CREDENTIAL_FILE": str(file)}))
    assert {server.credential for server in ice.servers} == {"secret"}

    missing = load_settings(None, {"MIXWORKER_ICE__CREDENTIAL_FILE": str(tmp_path / "none")})
    with pytest.raises(InvalidField) as refused:
        ice_settings(missing)
    assert refused.value.path == "ice.credential_file"


def test_by_default_no_server_is_asked():
    ice = ice_settings(load_settings(None, {}))
    assert ice.servers == ()
    assert ice.host_addresses is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"SERVERS": "turn:user:pass@t:3478"}, "ice.servers.0"),
        ({"SERVERS": "turn:t:3478?transport=sctp"}, "ice.servers.0"),
        ({"SERVERS": "stun:s:1,http://t"}, "ice.servers.1"),
        ({"SERVERS": "stun:s:3478", "RELAY_ONLY": "true"}, "ice"),
        ({"CREDENTIAL": "a", "CREDENTIAL_FILE": "b"}, "ice"),
    ],
)
def test_what_cannot_work_is_named(changes: dict[str, str], field: str):
    with pytest.raises(InvalidField) as refused:
        load_settings(None, {f"MIXWORKER_ICE__{key}": value for key, value in changes.items()})
    assert refused.value.path == field


def test_settings_do_not_print_the_credential():
    settings = load_settings(None, TURN | {"MIXWORKER_ICE__CREDENTIAL": "planted"})
    assert "planted" not in repr(settings)
