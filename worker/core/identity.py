"""Who and what is in a room: participants and their tracks, as plain values."""

from dataclasses import dataclass
from enum import Enum
from typing import NewType

UserId = NewType("UserId", str)
"""The name a participant is known by in job documents; stable across re-joins."""

ParticipantId = NewType("ParticipantId", str)
"""One presence in the room; a re-join of the same user gets a new one."""

TrackId = NewType("TrackId", str)
"""One published stream of one participant, unique within the job."""


class Kind(Enum):
    """What a track carries."""

    AUDIO = "audio"
    VIDEO = "video"


class Source(Enum):
    """Where a track comes from; an audio track of a screen share is `SCREEN` too."""

    CAMERA = "camera"
    MICROPHONE = "microphone"
    SCREEN = "screen"


class Codec(Enum):
    """Codecs we receive; values are the upper-case RTP encoding names."""

    OPUS = "OPUS"
    VP8 = "VP8"
    VP9 = "VP9"
    H264 = "H264"

    def __init__(self, name: str) -> None:
        self.clock_rate_hz = 48_000 if name == "OPUS" else 90_000
        """RTP clock (RFC 7587: Opus always counts at 48 kHz; video at 90 kHz)."""


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody who may publish. Pure receivers are not participants."""

    participant_id: ParticipantId
    user_id: UserId
    display_name: str


@dataclass(frozen=True, slots=True)
class Track:
    """One published stream. `codec` may be refined later by what arrives."""

    track_id: TrackId
    participant_id: ParticipantId
    kind: Kind
    source: Source
