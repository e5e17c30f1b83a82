"""The recurring tables of a scenario file: camera or screen, microphone, network."""

from collections.abc import Mapping
from typing import Final

from worker.core.identity import Codec
from worker.core.layout.geometry import Size
from worker.errors import InvalidField
from worker.testroom.faults import NetworkFaults
from worker.testroom.scenario import VideoFeed
from worker.testroom.toml_table import TomlTable
from worker.testroom.voice import LevelUnit, Voice, VoiceMode

_CODECS: Final = {"vp8": Codec.VP8, "vp9": Codec.VP9, "h264": Codec.H264}
_MODES: Final = {mode.value: mode for mode in VoiceMode}
_MIN_SIDE_PX = 64
_MAX_SIDE_PX = 4096
_MAX_DELAY_MS = 10_000
_LEVEL_KEYS: Final = ("level_db", "level_lufs")

RawTable = Mapping[str, object]


def merged(base: RawTable, over: RawTable) -> RawTable:
    """*base* with the keys of *over* instead of its own; the two level keys displace each other."""
    displaced = _LEVEL_KEYS if any(key in over for key in _LEVEL_KEYS) else ()
    return {key: value for key, value in base.items() if key not in displaced} | dict(over)


def read_feed(path: str, values: RawTable) -> VideoFeed:
    """A camera or a screen. Raises `InvalidField`."""
    table = TomlTable(path, values)
    feed = VideoFeed(
        codec=table.choice("codec", _CODECS, Codec.VP8),
        size=Size(_side(table, "width", 640), _side(table, "height", 360)),
        fps=table.whole("fps", 1, 60, 30),
        bitrate_kbps=table.whole("bitrate_kbps", 10, 50_000, 500),
        motion=table.number("motion", 0, 1, 0.3),
        live=table.flag("live", default=False),
        h264_profile=table.text("h264_profile", "baseline"),
    )
    if feed.h264_profile not in ("baseline", "high"):
        raise InvalidField(table.path("h264_profile"), "expected one of baseline, high")
    table.finish()
    return feed


def read_voice(path: str, values: RawTable) -> Voice:
    """A microphone. Raises `InvalidField`."""
    table = TomlTable(path, values)
    if all(table.has(key) for key in _LEVEL_KEYS):
        raise InvalidField(table.path("level_lufs"), "level_db is given too: choose one")
    mode = table.choice("mode", _MODES, VoiceMode.SPEECH)
    unit = LevelUnit.LUFS if table.has("level_lufs") else LevelUnit.DBFS
    key = "level_lufs" if unit is LevelUnit.LUFS else "level_db"
    voice = Voice(
        mode=mode,
        level=table.number(key, -100, 0, -23.0),
        unit=unit,
        beep=table.flag("beep", default=True),
    )
    if mode is VoiceMode.BEEP and unit is LevelUnit.LUFS:
        raise InvalidField(table.path("level_lufs"), "a beep alone is set by level_db")
    table.finish()
    return voice


def read_network(path: str, values: RawTable) -> NetworkFaults:
    """Network faults. Raises `InvalidField`."""
    table = TomlTable(path, values)
    faults = NetworkFaults(
        loss=table.number("loss", 0, 1, 0.0),
        burst_ms=table.whole("burst_ms", 0, 60_000, 0),
        burst_every_s=table.number("burst_every_s", 0.1, 3600, 10.0),
        delay_ms=table.number("delay_ms", 0, _MAX_DELAY_MS, 0.0),
        jitter_ms=table.number("jitter_ms", 0, _MAX_DELAY_MS, 0.0),
        reorder=table.number("reorder", 0, 1, 0.0),
        reorder_ms=table.number("reorder_ms", 0, _MAX_DELAY_MS, 25.0),
        duplicate=table.number("duplicate", 0, 1, 0.0),
        blocks_rtcp=table.flag("blocks_rtcp", default=False),
    )
    if faults.burst_ms > faults.burst_every_s * 1000:
        raise InvalidField(table.path("burst_ms"), "longer than burst_every_s")
    table.finish()
    return faults


def _side(table: TomlTable, key: str, default: int) -> int:
    side = table.whole(key, _MIN_SIDE_PX, _MAX_SIDE_PX, default)
    if side % 2:
        raise InvalidField(table.path(key), "must be even")
    return side
