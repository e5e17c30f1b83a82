"""Being subscribed to one publisher: a session, and a new one whenever it is needed.

A session that fails or falls silent is replaced by a new one in parallel (make before break);
the old one goes on until its successor is connected.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, MutableMapping

from worker.core.identity import Kind, ParticipantId, Track, TrackId
from worker.core.timing import NS_PER_S
from worker.errors import RoomError
from worker.ports import EncodedFrame, RoomListener, SenderReport, TrackStatistics
from worker.rooms.backoff import Backoff
from worker.rooms.ice import IceSettings
from worker.rooms.mesh_messages import (
    Offer,
    answer_message,
    close_message,
    subscribe_message,
)
from worker.rooms.sdp import BadSdp
from worker.rooms.session import MediaSession
from worker.rooms.signalling import Signalling

logger = logging.getLogger(__name__)

OFFER_TIMEOUT_S = 10.0
WATCH_INTERVAL_S = 0.5
STABLE_NS = 5 * NS_PER_S
"""A session that lasted this long was a success; after a shorter one the next has to wait."""
SILENT_TRACK_NS = 3 * NS_PER_S
SILENT_SESSION_NS = 5 * NS_PER_S
MAX_SILENT_SESSION_NS = 40 * NS_PER_S
"""A publisher that sends nothing on session after session is asked less and less often."""


class Subscription:
    """Keeps one publisher's media flowing until its task is cancelled."""

    def __init__(
        self,
        participant_id: ParticipantId,
        *,
        listener: RoomListener,
        signalling: Signalling,
        handshakes: asyncio.Semaphore,
        ice: IceSettings,
        clock_ns: Callable[[], int],
        statistics: MutableMapping[TrackId, TrackStatistics],
    ) -> None:
        """*handshakes* limits how many publishers are being connected to at once."""
        self.participant_id = participant_id
        self._listener = listener
        self._signalling = signalling
        self._handshakes = handshakes
        self._ice = ice
        self._clock_ns = clock_ns
        self._statistics = statistics
        self._tracks: dict[TrackId, tuple[Track, bool]] = {}
        self._has_tracks = asyncio.Event()
        self._current: MediaSession | None = None
        self._coming: MediaSession | None = None
        self._delivering: MediaSession | None = None
        self._silence_limit_ns = SILENT_SESSION_NS

    @property
    def tracks(self) -> Mapping[TrackId, tuple[Track, bool]]:
        """What the publisher lists: the track, and whether it is muted."""
        return self._tracks

    def set_tracks(self, tracks: Mapping[TrackId, tuple[Track, bool]]) -> None:
        """Take the publisher's new list; frames of tracks not in it are dropped."""
        self._tracks = dict(tracks)
        if tracks:
            self._has_tracks.set()
        else:
            self._has_tracks.clear()

    def renew(self) -> None:
        """Signalling began anew, so the publisher no longer knows our sessions."""
        for session in (self._current, self._coming):
            if session is not None:
                session.end()

    def receive_offer(self, offer: Offer) -> None:
        """An offer of this publisher; ignored when it is for a session that is over."""
        for session in (self._current, self._coming):
            if session is not None and session.session_id == offer.session:
                session.put_offer(offer)

    def receive_close(self, session_id: str) -> None:
        """The publisher ended a session."""
        for session in (self._current, self._coming):
            if session is not None and session.session_id == session_id:
                session.end()

    def poll(self, now_ns: int) -> None:
        """Send the RTCP that is due."""
        for session in (self._current, self._coming):
            if session is not None:
                session.poll(now_ns)

    def request_keyframe(self, track_id: TrackId) -> None:
        """Ask the publisher for a keyframe, at most once a second."""
        if self._delivering is not None:
            self._delivering.request_keyframe(track_id)

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        backoff = Backoff()
        delay_s = 0.0
        try:
            while True:
                try:
                    if delay_s > 0:
                        await self._serve(delay_s)
                    await self._has_tracks.wait()
                    await self._establish()
                    began_ns = self._clock_ns()
                    await self._serve(None)
                    if self._clock_ns() - began_ns > STABLE_NS:
                        backoff.reset()
                    delay_s = backoff.next_s()
                except (RoomError, TimeoutError) as exc:
                    logger.info("subscription broke: %s", exc, extra=self._who())
                    delay_s = backoff.next_s()
                except Exception:  # participant boundary: one publisher must not end the job
                    logger.exception("subscription failed", extra=self._who())
                    delay_s = backoff.next_s()
        finally:
            for session in (self._current, self._coming):
                if session is not None:
                    await session.close()

    async def _establish(self) -> None:
        async with self._handshakes:
            await self._signalling.is_up.wait()
            session = MediaSession(
                ice=self._ice,
                clock_ns=self._clock_ns,
                on_connected=self._switch_to,
                on_frame=self._deliver_frame,
                on_sender_report=self._deliver_report,
                statistics=self._statistics,
            )
            self._coming = session
            try:
                await self._signalling.send(
                    subscribe_message(self.participant_id, session.session_id)
                )
                async with asyncio.timeout(OFFER_TIMEOUT_S):
                    offer = await session.next_offer()
                if offer is None:
                    raise RoomError("the publisher declined the session")
                await self._answer(session, offer)
                await session.connect()
            except BaseException as exc:
                self._coming = None
                await session.close()
                if isinstance(exc, Exception):  # when cancelled nobody waits for messages
                    await self._say_closed(session)
                raise
        self._coming = None
        old, self._current = self._current, session
        if old is not None:
            await old.close()
            await self._say_closed(old)

    async def _serve(self, duration_s: float | None) -> None:
        """Answer offers and watch the current session until it has to be replaced.

        With a duration, return after it at the latest: the time until the next attempt.
        """
        session = self._current
        loop = asyncio.get_running_loop()
        end_s = loop.time() + duration_s if duration_s is not None else None
        if session is None:
            await asyncio.sleep(duration_s or 0)
            return
        while True:
            if duration_s is None and (session.is_over or self._is_silent()):
                return
            wait_s = WATCH_INTERVAL_S if end_s is None else end_s - loop.time()
            if wait_s <= 0:
                return
            try:
                async with asyncio.timeout(wait_s):
                    offer = await session.next_offer()
            except TimeoutError:
                continue
            if offer is not None:
                try:
                    await self._answer(session, offer)
                except BadSdp as exc:
                    logger.warning("offer refused: %s", exc, extra=self._who())

    async def _answer(self, session: MediaSession, offer: Offer) -> None:
        track_ids = {mid: self.track_id(name) for mid, name in offer.tracks.items()}
        sdp = await session.answer(offer, track_ids)
        await self._signalling.send(answer_message(self.participant_id, session.session_id, sdp))

    async def _say_closed(self, session: MediaSession) -> None:
        try:
            await self._signalling.send(close_message(self.participant_id, session.session_id))
        except RoomError:
            pass  # without signalling the publisher notices by itself

    def track_id(self, name: str) -> TrackId:
        """The id, unique within the job, of the publisher's track *name*."""
        return TrackId(f"{self.participant_id}/{name}")

    def _is_silent(self) -> bool:
        """Whether nothing comes although something should; also nudges silent video tracks."""
        session, now_ns = self._current, self._clock_ns()
        if session is None or session.last_media_ns is None:
            return False
        live = [
            track
            for track, is_muted in self._tracks.values()
            if not is_muted and track.track_id in session.tracks
        ]
        if not live:
            return False
        if session.has_received:
            self._silence_limit_ns = SILENT_SESSION_NS
        if now_ns - session.last_media_ns > self._silence_limit_ns:
            logger.warning("publisher is silent; subscribing again", extra=self._who())
            self._silence_limit_ns = min(2 * self._silence_limit_ns, MAX_SILENT_SESSION_NS)
            return True
        for track in live:
            last_ns = session.last_packet_ns(track.track_id) or session.connected_ns or now_ns
            if track.kind is Kind.VIDEO and now_ns - last_ns > SILENT_TRACK_NS:
                session.request_keyframe(track.track_id)
        return False

    def _switch_to(self, session: MediaSession) -> int:
        """From now on *session* delivers; returns the first epoch it may use."""
        before, self._delivering = self._delivering, session
        return before.next_epoch if before is not None else 0

    def _deliver_frame(self, session: MediaSession, frame: EncodedFrame) -> None:
        if session is self._delivering and frame.track_id in self._tracks:
            self._listener.on_frame(frame)

    def _deliver_report(self, session: MediaSession, report: SenderReport) -> None:
        if session is self._delivering and report.track_id in self._tracks:
            self._listener.on_sender_report(report)

    def _who(self) -> dict[str, str]:
        return {"participant": self.participant_id}
