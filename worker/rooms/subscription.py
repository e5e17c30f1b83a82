"""Being subscribed to one publisher: a session, and a new one whenever it is needed.

A session that fails or falls silent is replaced by a new one in parallel (make before break).
The old one goes on, track by track, until its successor has brought something; when it comes
back to life before that, it is kept and the attempt given up.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, MutableMapping

from worker.core.backoff import Backoff
from worker.core.identity import ParticipantId, Track, TrackId
from worker.core.layout.geometry import Size
from worker.core.timing import NS_PER_S
from worker.errors import RoomError
from worker.ports import EncodedFrame, RoomListener, SenderReport, TrackStatistics
from worker.rooms.attention import Attention
from worker.rooms.cancellation import stop_if_cancelled
from worker.rooms.handover import Handover
from worker.rooms.handshakes import Handshakes
from worker.rooms.ice import IceSettings
from worker.rooms.mesh_messages import (
    Offer,
    answer_message,
    close_message,
    subscribe_message,
    want_message,
)
from worker.rooms.peer import CONNECT_TIMEOUT_S
from worker.rooms.reader import DatagramReader
from worker.rooms.receive.doze import Resting
from worker.rooms.receive.patience import Patience
from worker.rooms.sdp import BadSdp
from worker.rooms.session import MediaSession
from worker.rooms.signalling import Signalling
from worker.rooms.silence import Judgement, SilenceWatch

logger = logging.getLogger(__name__)

OFFER_TIMEOUT_S = 10.0
WATCH_INTERVAL_S = 0.5
RETRY_LIMIT_S = 2.0
RECONNECT_S = 2.0
"""ICE asks again after 0.5, 1, 2, 4 s: an attempt that is older than this notices too late that
the network is back. A network on which connecting takes long is given four times as long."""
STABLE_NS = 5 * NS_PER_S
"""A session that lasted this long was a success; after a shorter one the next has to wait."""
RECENT_NS = 2 * NS_PER_S


class Subscription:
    """Keeps one publisher's media flowing until its task is cancelled."""

    def __init__(
        self,
        participant_id: ParticipantId,
        *,
        listener: RoomListener,
        signalling: Signalling,
        handshakes: Handshakes,
        ice: IceSettings,
        clock_ns: Callable[[], int],
        statistics: MutableMapping[TrackId, TrackStatistics],
        patience: Patience,
        resting: Resting,
        wanted: Mapping[TrackId, Size] | None = None,
        reader: DatagramReader | None = None,
    ) -> None:
        """*handshakes* limits how many publishers are being connected to at once; *wanted* is
        what was said so far about the videos of all publishers.
        """
        self.participant_id = participant_id
        self._listener = listener
        self._signalling = signalling
        self._handshakes = handshakes
        self._ice = ice
        self._clock_ns = clock_ns
        self._statistics = statistics
        self._patience = patience
        self._resting = resting
        self._reader = reader
        self._tracks: dict[TrackId, tuple[Track, bool]] = {}
        self._has_tracks = asyncio.Event()
        self._former: MediaSession | None = None
        self._current: MediaSession | None = None
        self._coming: MediaSession | None = None
        self._handover = Handover()
        self._attempt: asyncio.Timeout | None = None
        self._failures = 0
        self._next_watch_ns = 0
        self._connect_timeout_s = CONNECT_TIMEOUT_S
        self._silence = SilenceWatch()
        self._attention = Attention()
        self._is_told = True
        self._attention.want(self._own(wanted))

    @property
    def tracks(self) -> Mapping[TrackId, tuple[Track, bool]]:
        """What the publisher lists: the track, and whether it is muted."""
        return self._tracks

    def set_tracks(self, tracks: Mapping[TrackId, tuple[Track, bool]]) -> None:
        """Take the publisher's new list; frames of tracks not in it are dropped."""
        self._tracks = dict(tracks)
        self._attention.set_tracks(self._tracks)
        self._expect()
        self._handover.keep(tracks.keys())
        if tracks:
            self._has_tracks.set()
        else:
            self._has_tracks.clear()

    def want_video(self, wanted: Mapping[TrackId, Size] | None) -> None:
        """Take which videos of all publishers are looked at; `tell_wanted` passes it on."""
        if self._attention.want(self._own(wanted)):
            self._is_told = False
            self._expect()
            for session in self._sessions():
                session.want_video(self._attention.wanted)

    async def tell_wanted(self) -> None:
        """Tell the publisher which of its videos are looked at, if it may not know."""
        if self._is_told or self._attention.wanted is None:
            return
        self._is_told = True
        try:
            for session in self._sessions():
                await self._signalling.send(
                    want_message(self.participant_id, session.session_id, self._wanted_names())
                )
        except RoomError:
            self._is_told = False  # told after the next joining

    def resume(self) -> None:
        """Signalling was away and goes on; what was said last may have been lost."""
        self._is_told = False

    def renew(self) -> None:
        """Signalling began anew, so the publisher no longer knows our sessions."""
        for session in self._sessions():
            session.end()

    def receive_offer(self, offer: Offer) -> None:
        """An offer of this publisher; ignored when it is for a session that is over."""
        for session in self._sessions():
            if session.session_id == offer.session:
                session.put_offer(offer)

    def receive_close(self, session_id: str) -> None:
        """The publisher ended a session."""
        for session in self._sessions():
            if session.session_id == session_id:
                session.end()

    def poll(self, now_ns: int) -> None:
        """Send the RTCP that is due; give up replacing a session that has come back to life."""
        for session in self._sessions():
            session.poll(now_ns)
        if now_ns >= self._next_watch_ns:
            self._next_watch_ns = now_ns + round(WATCH_INTERVAL_S * NS_PER_S)
            self._watch()
        if self._attempt is not None and not self._needs_session():
            self._attempt.reschedule(asyncio.get_running_loop().time())
            self._attempt = None

    @property
    def is_calm(self) -> bool:
        """Whether every session is connected and waits for nothing."""
        return all(session.is_calm for session in self._sessions())

    def is_receiving(self, now_ns: int) -> bool:
        """Whether the publisher's media comes, or came a moment ago."""
        session = self._current
        return (
            session is not None
            and not session.is_over
            and session.last_media_ns is not None
            and now_ns - session.last_media_ns < RECENT_NS
        )

    def request_keyframe(self, track_id: TrackId) -> None:
        """Ask the publisher for a keyframe, at most once a second."""
        session = self._handover.source(track_id)
        if session is not None:
            session.request_keyframe(track_id)

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        pace = Backoff(RETRY_LIMIT_S)
        delay_s = 0.0
        try:
            while True:
                stop_if_cancelled()
                began_ns = self._clock_ns()
                try:
                    await self._serve(delay_s)
                    if self._clock_ns() - began_ns > STABLE_NS:
                        pace.reset()
                    began_ns = self._clock_ns()
                    await self._establish()
                    delay_s = pace.next_s()
                except (RoomError, TimeoutError) as exc:
                    logger.info("no session: %s", exc or "no answer", extra=self._who())
                    delay_s = pace.next_s() - (self._clock_ns() - began_ns) / NS_PER_S
                except Exception:  # participant boundary: one publisher must not end the job
                    logger.exception("subscription failed", extra=self._who())
                    delay_s = pace.next_s()
        finally:
            for session in self._sessions():
                await session.close()

    async def _serve(self, at_least_s: float) -> None:
        """Answer offers; return when a session is needed, after *at_least_s* or later."""
        loop = asyncio.get_running_loop()
        earliest_s = loop.time() + at_least_s
        while True:
            session = self._current
            wait_s = earliest_s - loop.time()
            if wait_s <= 0 and self._needs_session():
                return
            if session is None or session.is_over:
                await asyncio.sleep(max(0.0, wait_s))
                await self._has_tracks.wait()
                continue
            try:
                # `_watch` wakes it: a timer for each publisher would cost more than to look.
                async with asyncio.timeout(wait_s if wait_s > 0 else None):
                    offer = await session.next_offer()
            except TimeoutError:
                continue
            if offer is not None:
                await self._take_offer(session, offer)

    async def _take_offer(self, session: MediaSession, offer: Offer) -> None:
        """Answer an offer on the current session; one that asks too much costs the session."""
        try:
            await self._answer(session, offer)
        except BadSdp as exc:
            logger.warning("offer refused: %s", exc, extra=self._who())
        except RoomError as exc:
            logger.info("the session must be replaced: %s", exc, extra=self._who())
            session.end()

    async def _establish(self) -> None:
        """Connect a new session, and let it take over from the current one."""
        await self._signalling.is_up.wait()
        is_silent = self._current is not None and not self._current.is_over
        async with self._handshakes.slot():
            if not self._needs_session():
                return
            session = self._coming = MediaSession(
                ice=self._ice.attempt(self._failures),
                clock_ns=self._clock_ns,
                on_connected=self._handover.connected,
                on_frame=self._deliver_frame,
                on_sender_report=self._deliver_report,
                statistics=self._statistics,
                patience=self._patience,
                resting=self._resting,
                reader=self._reader,
                wanted=self._attention.wanted,
            )
            try:
                async with asyncio.timeout(None) as self._attempt:
                    await self._connect(session)
            except BaseException as exc:
                self._failures += 1
                self._coming = None
                await session.close()
                if isinstance(exc, Exception):  # when cancelled nobody waits for messages
                    await self._say_closed(session)
                raise
            finally:
                self._attempt = None
        self._former, self._current, self._coming = self._current, session, None
        if is_silent:
            self._silence.has_replaced()
        if self._former is not None:
            await self._end_former(self._former)

    async def _connect(self, session: MediaSession) -> None:
        wanted = self._wanted_names() if self._attention.wanted is not None else None
        await self._signalling.send(
            subscribe_message(self.participant_id, session.session_id, wanted)
        )
        async with asyncio.timeout(OFFER_TIMEOUT_S):
            offer = await session.next_offer()
        if offer is None:
            raise RoomError("the publisher declined the session")
        began_ns = self._clock_ns()
        await self._answer(session, offer)
        await session.connect(self._connect_timeout_s)
        took_s = (self._clock_ns() - began_ns) / NS_PER_S
        self._connect_timeout_s = min(max(RECONNECT_S, 4 * took_s), CONNECT_TIMEOUT_S)

    async def _end_former(self, former: MediaSession) -> None:
        """Close the former session once its successor has brought a frame of every track."""
        await self._handover.finish(former)
        self._former = None
        await former.close()
        await self._say_closed(former)

    async def _answer(self, session: MediaSession, offer: Offer) -> None:
        track_ids = {mid: self.track_id(name) for mid, name in offer.tracks.items()}
        sdp = await session.answer(offer.sdp, track_ids)
        await self._signalling.send(answer_message(self.participant_id, session.session_id, sdp))

    async def _say_closed(self, session: MediaSession) -> None:
        try:
            await self._signalling.send(close_message(self.participant_id, session.session_id))
        except RoomError:
            pass  # without signalling the publisher notices by itself

    def track_id(self, name: str) -> TrackId:
        """The id, unique within the job, of the publisher's track *name*."""
        return TrackId(f"{self.participant_id}/{name}")

    # --- what should come -------------------------------------------------------------------

    def _sessions(self) -> list[MediaSession]:
        sessions = (self._former, self._current, self._coming)
        return [session for session in sessions if session is not None]

    def _own(self, wanted: Mapping[TrackId, Size] | None) -> Mapping[TrackId, Size] | None:
        """Of *wanted* what this publisher can have."""
        if wanted is None:
            return None
        prefix = self.track_id("")
        return {track_id: size for track_id, size in wanted.items() if track_id.startswith(prefix)}

    def _wanted_names(self) -> Mapping[str, Size]:
        prefix = self.track_id("")
        wanted = self._attention.wanted or {}
        return {track_id.removeprefix(prefix): size for track_id, size in wanted.items()}

    def _expect(self) -> None:
        self._silence.expect(
            [
                track_id
                for track_id, (track, is_muted) in self._tracks.items()
                if not is_muted and not self._attention.is_paused(track)
            ],
            self._clock_ns(),
        )

    def _needs_session(self) -> bool:
        """Whether there is no session that does what it should."""
        session = self._current
        if session is None or session.is_over:
            return bool(self._tracks)
        return self._judge(session).is_dead

    def _watch(self) -> None:
        """Have a dead session replaced; ask for keyframes of what is silent on a live one, for the
        publisher may have forgotten to send it."""
        session = self._current
        if session is None or session.is_over or self._coming is not None:
            return
        judgement = self._judge(session)
        if judgement.is_dead:
            session.wake()
            return
        for track_id in judgement.silent:
            session.request_keyframe(track_id)

    def _judge(self, session: MediaSession) -> Judgement:
        now_ns = self._clock_ns()
        return self._silence.judge(
            now_ns,
            connected_ns=now_ns if session.connected_ns is None else session.connected_ns,
            carried=session.tracks,
            refused=session.refused,
            last_packet_ns=session.last_packet_ns,
        )

    # --- what comes -------------------------------------------------------------------------

    def _deliver_frame(self, session: MediaSession, frame: EncodedFrame) -> None:
        track_id = frame.track_id
        if track_id not in self._tracks:
            return
        if not self._handover.take(session, track_id):
            return
        if self._attention.admits(frame):
            self._listener.on_frame(frame)
        elif self._attention.awaits_keyframe(track_id):
            session.request_keyframe(track_id)

    def _deliver_report(self, session: MediaSession, report: SenderReport) -> None:
        if self._handover.brings(session, report.track_id):
            self._listener.on_sender_report(report)

    def _who(self) -> dict[str, str]:
        return {"participant": self.participant_id}
