"""H.264 and AAC as FLV tags, which are what RTMP carries (Adobe, FLV file format 10.1, annex E).

Times count from the job's first sound on, whatever connection they are sent over.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from worker.core.timing import SAMPLE_RATE_HZ
from worker.errors import InternalError
from worker.media.aac import PRIMING_SAMPLES
from worker.media.flv_amf import AmfValue, amf_bytes, amf_ecma_array
from worker.ports import AudioStream, EncodedPacket, Program, StreamKind, VideoStream


class TagKind(IntEnum):
    """What a tag holds; the numbers are those of the file format and of RTMP messages."""

    AUDIO = 8
    VIDEO = 9
    SCRIPT = 18


@dataclass(frozen=True, slots=True)
class FlvTag:
    """One tag without its file header; `timestamp_ms` is the decoding time."""

    kind: TagKind
    timestamp_ms: int
    body: bytes


_AVC_KEYFRAME, _AVC_INTER = 0x17, 0x27
_AAC_STEREO = 0xAF
"""AAC is always announced as 44 kHz stereo; players take the truth from the sequence header."""
_HEADER, _PAYLOAD = 0, 1

_START_CODE = b"\x00\x00\x01"
_SPS, _PPS = 7, 8
_PLAIN_PROFILES = (66, 77, 88)
"""Baseline, Main and Extended; the others state their sample format (ISO/IEC 14496-15, 5.3.3.1)."""


class FlvMuxer:
    """Makes the tags of one program; keeps no state of a stream."""

    def __init__(self, program: Program) -> None:
        """Raises `InternalError` for a program without a stream."""
        if program.video is None and program.audio is None:
            raise InternalError("a program without a stream")
        self._program = program
        self._rates_hz = {StreamKind.AUDIO: SAMPLE_RATE_HZ}
        if program.audio is not None:
            self._rates_hz[StreamKind.AUDIO] = program.audio.sample_rate_hz
        if program.video is not None:
            self._rates_hz[StreamKind.VIDEO] = program.video.template.fps

    def opening(self, timestamp_ms: int) -> Sequence[FlvTag]:
        """What a player must have before the first packet: metadata and sequence headers."""
        video, audio = self._program.video, self._program.audio
        script = amf_bytes("onMetaData") + amf_ecma_array(_metadata(video, audio))
        tags = [FlvTag(TagKind.SCRIPT, timestamp_ms, script)]
        if video is not None:
            body = _video(_AVC_KEYFRAME, _HEADER, 0, avc_configuration(video.extradata))
            tags.append(FlvTag(TagKind.VIDEO, timestamp_ms, body))
        if audio is not None:
            body = bytes((_AAC_STEREO, _HEADER)) + audio.extradata
            tags.append(FlvTag(TagKind.AUDIO, timestamp_ms, body))
        return tags

    def tag(self, packet: EncodedPacket) -> FlvTag:
        """*packet* as a tag, whole."""
        timestamp_ms = self.timestamp_ms(packet)
        if packet.kind is StreamKind.AUDIO:
            body = bytes((_AAC_STEREO, _PAYLOAD)) + packet.data
            return FlvTag(TagKind.AUDIO, timestamp_ms, body)
        composition_ms = self._ms(packet.kind, packet.pts) - timestamp_ms
        frame = _AVC_KEYFRAME if packet.keyframe else _AVC_INTER
        body = _video(frame, _PAYLOAD, composition_ms, length_prefixed(packet.data))
        return FlvTag(TagKind.VIDEO, timestamp_ms, body)

    def timestamp_ms(self, packet: EncodedPacket) -> int:
        """Decoding time, ms after the first sound (the encoder's priming, 21 ms before frame 0)."""
        return self._ms(packet.kind, packet.dts)

    def _ms(self, kind: StreamKind, time: int) -> int:
        # Whole samples, so that sound and pictures are rounded alike.
        samples = time * SAMPLE_RATE_HZ // self._rates_hz[kind] + PRIMING_SAMPLES
        return samples * 1000 // SAMPLE_RATE_HZ


def avc_configuration(extradata: bytes) -> bytes:
    """AVCDecoderConfigurationRecord of Annex B parameter sets (ISO/IEC 14496-15, 5.3.3.1)."""
    units = _nal_units(extradata)
    sps = next((unit for unit in units if unit[0] & 0x1F == _SPS), None)
    pps = next((unit for unit in units if unit[0] & 0x1F == _PPS), None)
    if sps is None or pps is None:
        raise InternalError("the video header has no parameter sets")
    record = b"".join(
        (
            bytes((1, sps[1], sps[2], sps[3], 0xFF, 0xE1)),
            struct.pack(">H", len(sps)) + sps,
            struct.pack(">BH", 1, len(pps)) + pps,
        )
    )
    if sps[1] in _PLAIN_PROFILES:
        return record
    return record + bytes((0xFD, 0xF8, 0xF8, 0))  # 4:2:0, 8 bits, as all we encode


def length_prefixed(data: bytes) -> bytes:
    """An Annex B access unit with lengths of four bytes instead of start codes."""
    return b"".join(struct.pack(">I", len(unit)) + unit for unit in _nal_units(data))


def _nal_units(data: bytes) -> list[bytes]:
    # Within a unit no start code can occur, and none ends with a zero byte: one that seems to
    # belongs to the longer start code after it (ISO/IEC 14496-10, 7.4.1 and annex B).
    units = [unit.rstrip(b"\0") for unit in data.split(_START_CODE)[1:]]
    if not all(units) or not units:
        raise InternalError("this is not an Annex B access unit")
    return units


def _video(frame: int, packet_type: int, composition_ms: int, payload: bytes) -> bytes:
    return bytes((frame, packet_type)) + composition_ms.to_bytes(3, "big", signed=True) + payload


def _metadata(video: VideoStream | None, audio: AudioStream | None) -> dict[str, AmfValue]:
    facts: dict[str, AmfValue] = {"encoder": "mixworker"}
    if video is not None:
        facts |= {
            "width": video.template.size.width,
            "height": video.template.size.height,
            "framerate": video.template.fps,
            "videodatarate": video.template.bitrate_kbps,
            "videocodecid": 7,
        }
    if audio is not None:
        facts |= {
            "audiosamplerate": audio.sample_rate_hz,
            "audiosamplesize": 16,
            "stereo": audio.channels == 2,
            "audiodatarate": audio.bitrate_kbps,
            "audiocodecid": 10,
        }
    return facts
