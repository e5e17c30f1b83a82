"""What 1 to 25 participants send, as packets, and a process that sends it in real time.

    python benchmarks/receive_load.py    reads one JSON line: {"ports": …, "load": …, "seconds": …}

answers "ready", starts with the next line, and ends when everything has been sent.
"""

import json
import socket
import sys
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from pylibsrtp import Policy, Session

from worker.core.identity import Codec, Kind
from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.rooms.media import AUDIO_LEVEL_URI, MID_URI, MediaCodec, NegotiatedMedia
from worker.rooms.private import InboundSrtp, OutboundSrtp
from worker.rooms.rtp.packet import build_rtp
from worker.rooms.rtp.rtcp import SenderReportPacket, build_cname, build_sender_report, ns_to_ntp
from worker.rooms.rtp.vp8 import packetise_vp8

KEY = bytes(range(44))
PROFILE = Policy.SRTP_PROFILE_AEAD_AES_256_GCM
AUDIO = NegotiatedMedia(
    "0",
    Kind.AUDIO,
    True,
    (MediaCodec(111, Codec.OPUS),),
    ssrcs=(1,),
    extensions={MID_URI: 4, AUDIO_LEVEL_URI: 1},
)
VIDEO = NegotiatedMedia(
    "1",
    Kind.VIDEO,
    True,
    (MediaCodec(96, Codec.VP8, 97, ("nack", "nack pli")),),
    ssrcs=(2,),
    rtx_ssrcs={3: 2},
    extensions={MID_URI: 4},
)
Timed = tuple[int, bytes]
"""When to send it, in ns from the start, and the packet."""


@dataclass(frozen=True)
class Load:
    """One participant: Opus at 32 kbit/s each 20 ms, and VP8 frames of one size."""

    fps: int
    frame_bytes: int

    @property
    def packets_per_s(self) -> int:
        return 50 + self.fps * -(-self.frame_bytes // 700)


LOADS = {"180p15": Load(15, 1250), "360p30": Load(30, 2080)}


def media_of_one(load: Load, seconds: int) -> list[Timed]:
    """The RTP packets of one participant, plain."""
    sent: list[Timed] = []
    for index in range(50 * seconds):
        packet = build_rtp(
            payload_type=111,
            sequence=index,
            timestamp=960 * index,
            ssrc=1,
            payload=bytes(80),
            extensions={1: b"\x30"},
        )
        sent.append((index * 20 * NS_PER_MS, packet))
    sequence = 0
    for index in range(load.fps * seconds):
        keyframe = b"\x10\0\0\x9d\x01\x2a\x80\x02\x68\x01"
        frame = (keyframe if index == 0 else b"\x11\0\0").ljust(load.frame_bytes, b"\1")
        payloads = packetise_vp8(frame, picture_id=index, max_payload_bytes=704)
        for position, payload in enumerate(payloads):
            packet = build_rtp(
                payload_type=96,
                sequence=sequence,
                timestamp=90_000 // load.fps * index,
                ssrc=2,
                payload=payload,
                marker=position == len(payloads) - 1,
            )
            sent.append((index * NS_PER_S // load.fps + position, packet))
            sequence += 1
    return sorted(sent)


def reports_of_one(seconds: int) -> list[Timed]:
    """A sender report of each of the two tracks per second, plain."""
    return [
        (
            second * NS_PER_S + 500 * NS_PER_MS,
            build_sender_report(
                SenderReportPacket(ssrc, ns_to_ntp(second * NS_PER_S), rate_hz * second, 0, 0)
            )
            + build_cname(ssrc, "participant"),
        )
        for second in range(seconds)
        for ssrc, rate_hz in ((1, 48_000), (2, 90_000))
    ]


def transport() -> Any:
    """What the SRTP classes want to see of a DTLS transport: both directions, one key."""
    return cast(
        Any,
        SimpleNamespace(
            _tx_srtp=Session(Policy(KEY, Policy.SSRC_ANY_OUTBOUND, srtp_profile=PROFILE)),
            _rx_srtp=Session(Policy(KEY, Policy.SSRC_ANY_INBOUND, srtp_profile=PROFILE)),
        ),
    )


def inbound() -> InboundSrtp:
    """Decrypts what `protected_of_one` has made."""
    return InboundSrtp(transport())


def protected_of_one(load: Load, seconds: int) -> list[Timed]:
    """Media and reports of one participant, as they go over the wire."""
    outbound = OutboundSrtp(transport())
    sent = [(when, outbound.rtp(packet) or b"") for when, packet in media_of_one(load, seconds)]
    sent += [(when, outbound.rtcp(packet) or b"") for when, packet in reports_of_one(seconds)]
    return sorted(sent)


def main() -> None:
    order = json.loads(sys.stdin.readline())
    ports = order["ports"]
    packets = protected_of_one(LOADS[order["load"]], order["seconds"])
    # Each participant's clock starts elsewhere in the 33 ms of a frame.
    schedule = sorted(
        (when + person * 7_000_003 % 33_333_333, index, person)
        for index, (when, _) in enumerate(packets)
        for person in range(len(ports))
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        print("ready", flush=True)
        sys.stdin.readline()
        start_ns = time.monotonic_ns()
        for when, index, person in schedule:
            early_ns = start_ns + when - time.monotonic_ns()
            if early_ns > 0:
                time.sleep(early_ns / NS_PER_S)
            udp.sendto(packets[index][1], ("127.0.0.1", ports[person]))


if __name__ == "__main__":
    main()
