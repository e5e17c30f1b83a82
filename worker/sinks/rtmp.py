"""The RTMP sink: one URL, pushed to for as long as the job lives, whatever its server does.

The sink takes its packets at once, always; what a server cannot take in time is dropped from a
queue of its own, in whole groups of pictures, so that neither the recording nor other URLs wait.
"""

import asyncio
import logging
import random
import ssl
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum

from worker.errors import DestinationError
from worker.media.flv import FlvMuxer
from worker.net.dial import Dialer
from worker.ports import Clock, PacketSource, Program, SinkReport, StreamKind
from worker.sinks.rtmp_backoff import Backoff
from worker.sinks.rtmp_link import AddressForbidden, rtmp_link
from worker.sinks.rtmp_progress import Flow
from worker.sinks.rtmp_push import PushCounters, RtmpPush
from worker.sinks.rtmp_queue import GroupQueue
from worker.sinks.rtmp_url import parse_rtmp_url

log = logging.getLogger(__name__)

DRAIN_S = 5.0
"""How long the end of a job waits for the last pictures to arrive."""
MIN_WINDOW_BYTES = 4096


class PushState(Enum):
    """Where a push stands."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"
    """Connected, but the server does not take what it is sent."""
    WAITING = "waiting"
    """For the next attempt."""
    REFUSED = "refused"
    """For good: nobody may be called at this address."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class PushStatus:
    """State of a push and why it is not live; never a path or a key."""

    state: PushState
    reason: str | None = None


class RtmpSink:
    """`ports.Sink` for one URL. No server makes it end before its packets do."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        clock: Clock,
        dialer: Dialer,
        tls: ssl.SSLContext,
        want_keyframe: Callable[[], None] = lambda: None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """*want_keyframe* asks the encoder for one. Raises ValueError (without *url* in it)."""
        self._target = parse_rtmp_url(url)
        self._name = name
        self._clock = clock
        self._dialer = dialer
        self._tls = tls
        self._want_keyframe = want_keyframe
        self._backoff = Backoff(jitter)
        self._status = PushStatus(PushState.CONNECTING)
        self._counters = PushCounters()
        self._queue = GroupQueue(frozenset())

    @property
    def name(self) -> str:
        return self._name

    @property
    def state(self) -> PushStatus:
        """Where the push stands now, for progress."""
        return self._status

    def report(self) -> SinkReport:
        counters = asdict(self._counters)
        return SinkReport(
            name=self._name,
            location=self._target.address,
            packets=counters.pop("packets"),
            bytes=counters.pop("bytes"),
            error=self._status.reason,
            details={
                "state": self._status.state.value,
                **counters,
                "dropped_groups": self._queue.dropped_groups,
                "dropped_frames": self._queue.dropped_pictures,
                "dropped_audio_packets": self._queue.dropped_sound,
            },
            state=self._status.state.value,
            pending_bytes=self._queue.pending_bytes,
            lag_s=self._queue.span_ms / 1000,
        )

    async def run(self, program: Program, packets: PacketSource) -> None:
        """Push until *packets* ends and what was sent has arrived, or five seconds more.

        A server that cannot be had is tried again and again, an address that may not be called
        is not; neither is an error here, both are in the report.
        """
        muxer = FlvMuxer(program)
        streams = {StreamKind.VIDEO: program.video, StreamKind.AUDIO: program.audio}
        self._queue = GroupQueue(frozenset(k for k, stream in streams.items() if stream))
        try:
            async with asyncio.TaskGroup() as group:
                pushing = group.create_task(self._push(program, muxer), name=f"push:{self._name}")
                while batch := await packets.get_all():
                    for packet in batch:
                        self._queue.put(packet, muxer.timestamp_ms(packet))
                self._queue.close()
                await self._drain(pushing)
                pushing.cancel()
        finally:
            if self._status.state is not PushState.REFUSED:
                self._enter(PushState.ENDED, self._status.reason)

    async def _drain(self, pushing: asyncio.Task[None]) -> None:
        """Let what is on its way arrive; nobody waits for a server that was not there."""
        if self._status.state in (PushState.LIVE, PushState.STALLED):
            done, _ = await asyncio.wait({pushing}, timeout=DRAIN_S)
            if not done:
                self._enter(self._status.state, "the last pictures did not arrive")

    async def _push(self, program: Program, muxer: FlvMuxer) -> None:
        """Connect and send, again and again, until the queue is over or nobody may be called."""
        window_bytes = _window_bytes(program)
        while not self._queue.is_over:
            live_since_ns: int | None = None
            self._enter(PushState.CONNECTING, self._status.reason)
            self._counters.attempts += 1
            try:
                async with rtmp_link(
                    self._target, self._dialer, self._tls, window_bytes=window_bytes
                ) as link:
                    self._counters.connects += 1
                    live_since_ns = self._clock.now_ns()
                    self._enter(PushState.LIVE)
                    await RtmpPush(
                        link,
                        self._queue,
                        muxer=muxer,
                        clock=self._clock,
                        window_bytes=window_bytes,
                        counters=self._counters,
                        on_flow=self._flows,
                        want_keyframe=self._want_keyframe,
                    ).run()
            except AddressForbidden as exc:
                self._enter(PushState.REFUSED, str(exc))
                return
            except DestinationError as exc:
                lived_ns = None
                if live_since_ns is not None:
                    lived_ns = self._clock.now_ns() - live_since_ns
                self._enter(PushState.WAITING, str(exc))
                if self._queue.is_closed:
                    return  # nobody watches the last seconds of a stream that is over
                # A refusal is not final here: keys are corrected, streams are freed, while the
                # job goes on. It is only asked about more seldom.
                wait_s = self._backoff.failed(refused=not exc.retryable, lived_ns=lived_ns)
                await asyncio.sleep(wait_s)

    def _flows(self, flow: Flow) -> None:
        if flow is Flow.STALLED:
            self._enter(PushState.STALLED, "the server does not keep up")
        else:
            self._enter(PushState.LIVE)

    def _enter(self, state: PushState, reason: str | None = None) -> None:
        before, self._status = self._status, PushStatus(state, reason)
        if before != self._status:
            log.info(
                "push changed",
                extra={"sink": self._name, "state": state.value, "reason": reason},
            )


def _window_bytes(program: Program) -> int:
    """A quarter of a second of the program: how often the server shall acknowledge."""
    bitrate_kbps = 0
    if program.video is not None:
        bitrate_kbps += program.video.template.bitrate_kbps
    if program.audio is not None:
        bitrate_kbps += program.audio.bitrate_kbps
    return max(MIN_WINDOW_BYTES, bitrate_kbps * 1000 // 8 // 4)
