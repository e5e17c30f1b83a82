"""The playlist of an HLS recording as text (RFC 8216)."""

from dataclasses import dataclass
from datetime import UTC, datetime

CONTENT_TYPE = "application/vnd.apple.mpegurl"
SEGMENT_CONTENT_TYPE = "video/mp2t"

_VERSION = 3
"""The least that has durations with fractions."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment as a playlist has it; `uri` is relative to the playlist."""

    uri: str
    start_unix_s: float
    duration_s: float
    follows_gap: bool = False
    """What lies between the segment before and this one is missing."""


def header(*, target_s: int, is_over: bool = False) -> str:
    """How a playlist begins; no segment's duration may round to more than *target_s*.

    It may grow (`EVENT`), or it *is_over* and stays as it is.
    """
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{_VERSION}",
        f"#EXT-X-TARGETDURATION:{target_s}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        f"#EXT-X-PLAYLIST-TYPE:{'VOD' if is_over else 'EVENT'}",
        "#EXT-X-INDEPENDENT-SEGMENTS",
    ]
    return "\n".join(lines) + "\n"


def entry(segment: Segment) -> str:
    """The lines of one segment."""
    lines = ["#EXT-X-DISCONTINUITY"] if segment.follows_gap else []
    lines += [
        f"#EXT-X-PROGRAM-DATE-TIME:{_date_time(segment.start_unix_s)}",
        f"#EXTINF:{segment.duration_s:.6f},",
        segment.uri,
    ]
    return "\n".join(lines) + "\n"


def end() -> str:
    """What says that nothing will be added."""
    return "#EXT-X-ENDLIST\n"


def _date_time(unix_s: float) -> str:
    instant = datetime.fromtimestamp(round(unix_s, 3), UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
