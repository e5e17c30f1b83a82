"""Reads a scenario file (TOML). `configs/scenarios/example.toml` shows every key.

Keys of `[defaults]` stand in for those a participant leaves out, key by key within a table.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from worker.core.identity import Source, UserId
from worker.errors import InvalidField
from worker.testroom.person import PEOPLE, Person
from worker.testroom.scenario import (
    Action,
    Actor,
    Cue,
    Leave,
    Rejoin,
    Scenario,
    SetMuted,
    SetNetwork,
    SetSenderReports,
    SetVoice,
    ShareScreen,
    StopScreen,
    VideoFeed,
)
from worker.testroom.scenario_tables import (
    RawTable,
    merged,
    read_feed,
    read_network,
    read_voice,
)
from worker.testroom.standard_scenario import standard_scenario
from worker.testroom.toml_table import TomlTable

__all__ = ["MAX_ACTORS", "parse_scenario", "standard_scenario"]

MAX_ACTORS = 100
_MAX_NAME_CHARS = 64
_USER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""As the test room takes them, so that every scenario can be played there."""
_DAY_S = 86_400
_MAX_RED = 4
_DEFAULTED: Final = ("camera", "screen", "microphone", "network")


class _Deed(Enum):
    """The spellings of `do` in an event."""

    MUTE_CAMERA = "mute_camera"
    UNMUTE_CAMERA = "unmute_camera"
    MUTE_MICROPHONE = "mute_microphone"
    UNMUTE_MICROPHONE = "unmute_microphone"
    SHARE_SCREEN = "share_screen"
    STOP_SCREEN = "stop_screen"
    VOICE = "voice"
    NETWORK = "network"
    REPORTS_OFF = "sender_reports_off"
    REPORTS_ON = "sender_reports_on"
    LEAVE = "leave"
    REJOIN = "rejoin"


_DEEDS: Final = {deed.value: deed for deed in _Deed}
_CAMERA_DEEDS: Final = (_Deed.MUTE_CAMERA, _Deed.UNMUTE_CAMERA)
_VOICE_DEEDS: Final = (_Deed.MUTE_MICROPHONE, _Deed.UNMUTE_MICROPHONE, _Deed.VOICE)
_PLAIN: Final[Mapping[_Deed, Action]] = {
    _Deed.MUTE_CAMERA: SetMuted(Source.CAMERA, muted=True),
    _Deed.UNMUTE_CAMERA: SetMuted(Source.CAMERA, muted=False),
    _Deed.MUTE_MICROPHONE: SetMuted(Source.MICROPHONE, muted=True),
    _Deed.UNMUTE_MICROPHONE: SetMuted(Source.MICROPHONE, muted=False),
    _Deed.STOP_SCREEN: StopScreen(),
    _Deed.REPORTS_OFF: SetSenderReports(enabled=False),
    _Deed.REPORTS_ON: SetSenderReports(enabled=True),
    _Deed.LEAVE: Leave(),
    _Deed.REJOIN: Rejoin(),
}


@dataclass(frozen=True, slots=True)
class _Casting:
    """An actor, and the microphone table that later events change key by key."""

    actor: Actor
    microphone: RawTable


def parse_scenario(text: str) -> Scenario:
    """The scenario that *text* describes. Raises `InvalidField` naming the key at fault."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise InvalidField("scenario", f"not TOML: {exc}") from exc
    root = TomlTable("", document)
    defaults = _defaults(root.table("defaults"))
    castings = _castings(root, defaults)
    cues = [_cue(table, castings, defaults) for table in root.tables("events")]
    scenario = Scenario(
        name=root.text("name", "scenario"),
        actors=tuple(casting.actor for casting in castings.values()),
        cues=tuple(sorted(cues, key=lambda cue: cue.at_s)),
        seed=root.whole("seed", 0, 2**31, 1),
        loop_s=root.whole("loop_s", 1, 60, 10),
        duration_s=root.number("duration_s", 0.1, _DAY_S) if root.has("duration_s") else None,
    )
    root.finish()
    return scenario


def _defaults(table: TomlTable) -> Mapping[str, RawTable]:
    defaults = {key: table.raw_table(key) for key in _DEFAULTED}
    table.finish()
    return defaults


def _castings(root: TomlTable, defaults: Mapping[str, RawTable]) -> Mapping[UserId, _Casting]:
    tables = root.tables("participants")
    if not 1 <= len(tables) <= MAX_ACTORS:
        raise InvalidField("participants", f"expected 1 to {MAX_ACTORS} participants")
    castings: dict[UserId, _Casting] = {}
    for position, table in enumerate(tables):
        casting = _casting(table, position, defaults)
        if casting.actor.user_id in castings:
            raise InvalidField(table.path("user_id"), "two participants with the same user_id")
        castings[casting.actor.user_id] = casting
    return castings


def _casting(table: TomlTable, position: int, defaults: Mapping[str, RawTable]) -> _Casting:
    user_id = UserId(table.matching("user_id", _USER_ID, "1 to 64 of A-Z, a-z, 0-9, _ and -"))
    has_microphone = not table.is_switched_off("microphone")
    microphone = merged(defaults["microphone"], table.raw_table("microphone"))
    actor = Actor(
        user_id=user_id,
        person=Person(
            index=table.whole("colour", 0, PEOPLE - 1, position % PEOPLE),
            name=_name(table, user_id),
        ),
        join_s=table.number("join_s", 0, _DAY_S, 0.0),
        leave_s=table.number("leave_s", 0, _DAY_S) if table.has("leave_s") else None,
        camera=_camera(table, defaults),
        voice=read_voice(table.path("microphone"), microphone) if has_microphone else None,
        clock_ppm=table.number("clock_ppm", -1000, 1000, 0.0),
        sound_lost=table.number("sound_lost", 0, 0.1, 0.0),
        start_offset_s=table.number("start_offset_s", 0, 60, 0.0),
        sender_reports=table.flag("sender_reports", default=True),
        rtx=table.flag("rtx", default=True),
        dtx=table.flag("dtx", default=False),
        red=table.whole("red", 0, _MAX_RED, 0),
        network=read_network(
            table.path("network"), merged(defaults["network"], table.raw_table("network"))
        ),
    )
    if actor.leave_s is not None and actor.leave_s <= actor.join_s:
        raise InvalidField(table.path("leave_s"), "must be after join_s")
    table.finish()
    return _Casting(actor, microphone)


def _name(table: TomlTable, default: str) -> str:
    name = table.text("name", default)
    if len(name) > _MAX_NAME_CHARS or not name.isprintable():
        raise InvalidField(
            table.path("name"), f"expected at most {_MAX_NAME_CHARS} printable characters"
        )
    return name


def _camera(table: TomlTable, defaults: Mapping[str, RawTable]) -> VideoFeed | None:
    if table.is_switched_off("camera"):
        return None
    values = merged(defaults["camera"], table.raw_table("camera"))
    return read_feed(table.path("camera"), values)


def _cue(
    table: TomlTable, castings: Mapping[UserId, _Casting], defaults: Mapping[str, RawTable]
) -> Cue:
    at_s = table.number("at_s", 0, _DAY_S)
    user_id = UserId(table.text("user_id"))
    if user_id not in castings:
        raise InvalidField(table.path("user_id"), "no participant is called that")
    deed = table.choice("do", _DEEDS)
    action = _action(deed, table, castings[user_id], defaults)
    table.finish()
    return Cue(at_s, user_id, action)


def _action(
    deed: _Deed, table: TomlTable, casting: _Casting, defaults: Mapping[str, RawTable]
) -> Action:
    if deed in _CAMERA_DEEDS and casting.actor.camera is None:
        raise InvalidField(table.path("do"), "this participant has no camera")
    if deed in _VOICE_DEEDS and casting.actor.voice is None:
        raise InvalidField(table.path("do"), "this participant has no microphone")
    match deed:
        case _Deed.SHARE_SCREEN:
            values = merged(defaults["screen"], table.raw_table("screen"))
            return ShareScreen(read_feed(table.path("screen"), _screen_shape(values)))
        case _Deed.VOICE:
            values = merged(casting.microphone, table.raw_table("microphone"))
            return SetVoice(read_voice(table.path("microphone"), values))
        case _Deed.NETWORK:
            return SetNetwork(read_network(table.path("network"), table.raw_table("network")))
        case _:
            return _PLAIN[deed]


def _screen_shape(values: RawTable) -> RawTable:
    """A screen is larger, slower and stiller than a camera, unless told otherwise."""
    usual = {"width": 1280, "height": 720, "fps": 10, "bitrate_kbps": 800, "motion": 0.1}
    return merged(usual, values)
