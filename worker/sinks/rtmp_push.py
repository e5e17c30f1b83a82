"""One life of a push: from the first tag over a live connection to its loss or the job's end."""

from collections.abc import Callable
from dataclasses import dataclass

from worker.core.timing import NS_PER_MS
from worker.errors import DestinationError
from worker.media.flv import FlvMuxer
from worker.ports import Clock
from worker.sinks.rtmp_link import RtmpLink
from worker.sinks.rtmp_pace import Pace
from worker.sinks.rtmp_progress import Flow, Progress
from worker.sinks.rtmp_queue import GroupQueue

TICK_NS = 50 * NS_PER_MS
"""How often the queue and the connection are looked at: few wake-ups, and no one sees 50 ms."""


@dataclass(slots=True)
class PushCounters:
    """What one URL has been given, over all its connections."""

    attempts: int = 0
    connects: int = 0
    stalls: int = 0
    packets: int = 0
    bytes: int = 0
    """Of media, without RTMP's own."""


class RtmpPush:
    """Sends a queue over one connection, which must be live."""

    def __init__(
        self,
        link: RtmpLink,
        queue: GroupQueue,
        *,
        muxer: FlvMuxer,
        clock: Clock,
        window_bytes: int,
        counters: PushCounters,
        on_flow: Callable[[Flow], None],
        want_keyframe: Callable[[], None],
    ) -> None:
        now_ns = clock.now_ns()
        self._link = link
        self._queue = queue
        self._muxer = muxer
        self._clock = clock
        self._counters = counters
        self._on_flow = on_flow
        self._want_keyframe = want_keyframe
        self._progress = Progress(now_ns, window_bytes=window_bytes)
        self._pace = Pace(now_ns)
        self._flow = Flow.OPEN
        self._is_opened = False

    async def run(self) -> None:
        """Send until the queue is over and everything has arrived.

        Raises `DestinationError` when the connection is lost or nothing gets through.
        """
        self._queue.begin()
        self._ask_for_keyframe()
        is_finished = False
        while not (is_finished and self._progress.has_arrived):
            now_ns = self._clock.now_ns()
            if is_finished and self._link.is_lost:
                return  # many servers hang up when told that the stream has ended
            self._link.raise_failure()
            self._look(now_ns)
            if self._flow is Flow.OPEN:
                self._send_due(now_ns)
            if self._queue.is_over and not is_finished:
                is_finished = True
                self._link.session.finish()
            self._link.flush()
            await self._clock.sleep_until_ns(now_ns + TICK_NS)
        await self._link.close()

    def _look(self, now_ns: int) -> None:
        acknowledged = self._link.session.acknowledged
        if acknowledged is not None:
            self._progress.acknowledged(acknowledged)
        flow = self._progress.look(now_ns, queued_bytes=self._link.queued_bytes)
        if flow is Flow.DEAD:
            raise DestinationError("nothing has arrived for ten seconds")
        if flow is self._flow:
            return
        self._flow = flow
        self._on_flow(flow)
        if flow is Flow.STALLED:
            self._counters.stalls += 1
            self._queue.skip_to_keyframe()
        else:
            self._ask_for_keyframe()

    def _send_due(self, now_ns: int) -> None:
        session = self._link.session
        while self._pace.allows(now_ns) and (timed := self._queue.take()) is not None:
            time_ms, packet = timed
            if not self._is_opened:
                self._is_opened = True
                for tag in self._muxer.opening(time_ms):
                    session.send(tag)
            session.send(self._muxer.tag(packet))
            self._progress.sent(session.sent_bytes, time_ms)
            self._pace.sent(time_ms, now_ns)
            self._counters.packets += 1
            self._counters.bytes += len(packet.data)

    def _ask_for_keyframe(self) -> None:
        if self._queue.wants_keyframe:
            self._want_keyframe()
