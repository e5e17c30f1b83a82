"""Which adapter a room's spec means."""

from worker.core.spec import JanusSpec, JobSpec, RehearsalSpec, TestRoomSpec
from worker.ports import Clock, Room
from worker.rooms.ice import IceServer, IceSettings
from worker.rooms.janus import JanusEntry, JanusRoom
from worker.rooms.janus_link import JanusAccess
from worker.rooms.janus_roster import JanusNaming
from worker.rooms.mesh import MeshRoom
from worker.settings import Settings


def room_of(spec: JobSpec, settings: Settings, clock: Clock) -> Room:
    """The room of *spec*, not joined yet."""
    match spec.room:
        case TestRoomSpec(url, room):
            return MeshRoom(
                url=url,
                room_id=room or spec.mix.room_id,
                user_id=_recorder_id(spec),
                clock_ns=clock.now_ns,
                ice=ice_settings(settings),
            )
        case JanusSpec() as janus:
            return JanusRoom(
                url=janus.url,
                entry=JanusEntry(janus.room, janus.pin, janus.token, janus.display_name),
                clock_ns=clock.now_ns,
                access=JanusAccess(janus.api_secret, janus.token),
                naming=JanusNaming(janus.user_id_is_display, janus.screen_pattern),
                ice=ice_settings(settings),
            )
        case RehearsalSpec(scenario):
            # Only rehearsals pay for importing the synthetic people.
            from worker.testroom.rehearsal import RehearsalRoom
            from worker.testroom.scenario_file import parse_scenario

            return RehearsalRoom(parse_scenario(scenario), clock)


def _recorder_id(spec: JobSpec) -> str:
    """Who we are in the room; another worker of the same job is somebody else."""
    attempt = f"-{spec.control.attempt}" if spec.control is not None else ""
    return f"mixworker-{spec.job_id}"[: 64 - len(attempt)] + attempt


def ice_settings(settings: Settings) -> IceSettings:
    """Without addresses the choice is left to the room."""
    ice = settings.ice
    secret = ice.secret() or None
    return IceSettings(
        host_addresses=ice.host_addresses or None,
        servers=tuple(IceServer(url, ice.username or None, secret) for url in ice.servers),
        relay_only=ice.relay_only,
    )
