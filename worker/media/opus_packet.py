"""What an Opus packet says about itself: RFC 6716, section 3."""

from dataclasses import dataclass

from worker.errors import MediaError

MAX_PACKET_BYTES = 7680
"""120 ms at 512 kbit/s; nobody sends more, and RTP payloads seldom exceed 1500."""

MAX_PACKET_SAMPLES = 5760
"""120 ms at 48 kHz (requirement R5)."""

_FRAME_SAMPLES = (
    *((480, 960, 1920, 2880) * 3),  # SILK: 10, 20, 40, 60 ms
    *((480, 960) * 2),  # hybrid: 10, 20 ms
    *((120, 240, 480, 960) * 4),  # CELT: 2.5, 5, 10, 20 ms
)
"""By configuration number (RFC 6716, section 3.1, table 2)."""


@dataclass(frozen=True, slots=True)
class OpusPacket:
    """Duration at 48 kHz, and whether the packet was coded in stereo."""

    samples: int
    is_stereo: bool


def describe(data: bytes) -> OpusPacket:
    """Read the table-of-contents byte of *data* and count its frames.

    The frames themselves are checked by the decoder. Raises `MediaError`.
    """
    if not 0 < len(data) <= MAX_PACKET_BYTES:
        raise MediaError(f"an Opus packet of {len(data)} bytes is refused")
    toc = data[0]
    samples = _FRAME_SAMPLES[toc >> 3] * _frame_count(data)
    if not 0 < samples <= MAX_PACKET_SAMPLES:
        raise MediaError(f"an Opus packet of {samples} samples is refused")
    return OpusPacket(samples, is_stereo=bool(toc & 0x04))


def _frame_count(data: bytes) -> int:
    code = data[0] & 0x03
    if code == 0:
        return 1
    if code < 3:
        return 2
    if len(data) < 2:
        raise MediaError("an Opus packet ends before its frame count")
    return data[1] & 0x3F
