"""Where rooms are, who administers them, and who may reach the API: what the settings say."""

from collections.abc import Callable
from ipaddress import ip_address

from worker.errors import InvalidField
from worker.jobs.ports import RoomKeeper
from worker.jobs.room_names import RoomNames
from worker.jobs.values import Json
from worker.ports import Clock
from worker.rooms.janus_link import JanusAccess
from worker.rooms.janus_roster import JanusNaming
from worker.rooms.keeper_janus import JanusKeeper
from worker.rooms.keeper_mesh import MeshKeeper
from worker.settings import ApiSettings, RoomsSettings


def check_exposure(api: ApiSettings) -> None:
    """Raises `InvalidField` when others could reach the API without TLS, unless that was asked."""
    if api.tls_certificate or api.plain_http or _is_loopback(api.host):
        return
    raise InvalidField(
        "api.host", f"{api.host} can be reached by others: give a certificate, or set plain_http"
    )


def room_document(rooms: RoomsSettings) -> Callable[[str, str], Json]:
    """The `room` of job documents, from an application's id and a room's.

    Raises `InvalidField` for a room that cannot be.
    """
    names = RoomNames(rooms.per_app)
    if rooms.kind == "testroom":
        return lambda app_id, room_id: {
            "kind": "testroom",
            "url": rooms.url,
            "room": names.at_server(app_id, room_id),
        }
    secrets = {
        key: secret
        for key in ("pin", "token", "api_secret")
        if (secret := rooms.secret(key)) is not None
    }

    def janus(app_id: str, room_id: str) -> Json:
        if not rooms.names and not room_id.isdecimal():
            raise InvalidField("mix_param.room_id", "must be a number")
        return {
            "kind": "janus",
            "url": rooms.url,
            "room": names.at_server(app_id, room_id) if rooms.names else int(room_id),
            "user_id": rooms.user_id,
            **secrets,
        }

    return janus


def room_keeper(rooms: RoomsSettings, clock: Clock) -> RoomKeeper:
    """Who dismisses rooms and removes users."""
    if rooms.kind == "testroom":
        return MeshKeeper(rooms.url, admin_token=rooms.secret("secret"))
    return JanusKeeper(
        rooms.url,
        clock_ns=clock.now_ns,
        access=JanusAccess(rooms.secret("api_secret"), rooms.secret("token")),
        room_secret=rooms.secret("secret"),
        naming=JanusNaming(user_id_is_display=rooms.user_id == "display"),
        rooms_are_named=rooms.names,
        destroys_rooms=rooms.destroy,
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
