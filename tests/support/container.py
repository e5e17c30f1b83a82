"""What independent tools say of a media file: ffprobe's facts, ffmpeg's strict decode."""

import json
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """One stream as ffprobe sees it; `packets` and `size_bytes` are counted, not declared."""

    codec: str
    profile: str
    start_s: float
    duration_s: float
    packets: int
    size_bytes: int
    times_s: tuple[float, ...]
    """Presentation time of every packet, in file order."""
    keyframes_s: tuple[float, ...]
    width: int = 0
    height: int = 0
    frame_rate: Fraction = Fraction(0)
    sample_rate_hz: int = 0
    channels: int = 0

    @property
    def bitrate_kbps(self) -> float:
        """Mean over the stream's own duration."""
        return self.size_bytes * 8 / 1000 / self.duration_s if self.duration_s else 0.0


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A whole file."""

    format_name: str
    duration_s: float
    video: StreamFacts | None
    audio: StreamFacts | None


def probe(path: Path) -> FileFacts:
    """Facts of *path*. Raises `CalledProcessError` when ffprobe cannot open it."""
    document = json.loads(
        _run(
            "ffprobe",
            *("-v", "error", "-show_format", "-show_streams", "-show_packets"),
            *("-show_entries", "packet=stream_index,pts_time,dts_time,size,flags,duration_time"),
            *("-of", "json", str(path)),
        ).stdout
    )
    streams = {
        stream["codec_type"]: _stream(
            stream,
            [each for each in document["packets"] if each["stream_index"] == stream["index"]],
        )
        for stream in document["streams"]
    }
    return FileFacts(
        format_name=document["format"]["format_name"],
        duration_s=float(document["format"].get("duration", 0)),
        video=streams.get("video"),
        audio=streams.get("audio"),
    )


def decode_errors(path: Path) -> str:
    """What a full, strict decode complains about; empty for a sound file."""
    done = subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", str(path), "-f", "null", "-"],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    status = "" if done.returncode == 0 else f"exit {done.returncode}"
    return (done.stderr + done.stdout + status).strip()


def _stream(stream: dict[str, object], packets: list[dict[str, str]]) -> StreamFacts:
    def text(key: str, default: str = "0") -> str:
        return str(stream.get(key, default))

    times = tuple(float(packet["pts_time"]) for packet in packets)
    last_s = max(
        (float(each["pts_time"]) + float(each.get("duration_time", 0)) for each in packets),
        default=0.0,
    )
    start_s = float(text("start_time"))
    return StreamFacts(
        codec=text("codec_name", ""),
        profile=text("profile", ""),
        start_s=start_s,
        duration_s=float(text("duration")) or last_s - start_s,
        packets=len(packets),
        size_bytes=sum(int(packet["size"]) for packet in packets),
        times_s=times,
        keyframes_s=tuple(
            time_s for time_s, packet in zip(times, packets, strict=True) if "K" in packet["flags"]
        ),
        width=int(text("width")),
        height=int(text("height")),
        frame_rate=Fraction(text("avg_frame_rate", "0/1").replace("/0", "/1")),
        sample_rate_hz=int(text("sample_rate")),
        channels=int(text("channels")),
    )


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
