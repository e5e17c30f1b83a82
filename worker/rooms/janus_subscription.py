"""One subscriber handle of a VideoRoom: what is wanted and what is subscribed, kept equal.

Janus offers and we answer, whenever anything changes. A connection that fails or falls silent is
replaced by a new handle in parallel; the old one goes on until its successor is connected.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass

from worker.core.backoff import Backoff
from worker.core.identity import TrackId
from worker.core.layout.geometry import Size
from worker.core.timing import NS_PER_S
from worker.errors import RoomError
from worker.ports import EncodedFrame, RoomListener, SenderReport, TrackStatistics
from worker.rooms.cancellation import stop_if_cancelled
from worker.rooms.handover import Handover
from worker.rooms.ice import IceSettings
from worker.rooms.janus_handle import JanusHandle
from worker.rooms.janus_link import JanusLink, RequestFailed
from worker.rooms.janus_plan import JanusPlan, StreamKey
from worker.rooms.janus_roster import LiveStream
from worker.rooms.reader import DatagramReader
from worker.rooms.receive.doze import Resting
from worker.rooms.receive.patience import Patience
from worker.rooms.sdp import BadSdp
from worker.rooms.session import MediaSession
from worker.rooms.silence import SilenceWatch

logger = logging.getLogger(__name__)

WATCH_INTERVAL_S = 0.5
RETRY_S = 0.3
"""A feed may be gone before we are told: what Janus refused is asked for again after this."""
STABLE_NS = 5 * NS_PER_S


@dataclass(frozen=True, slots=True, repr=False)
class JanusPass:
    """What lets a subscriber into a room."""

    room: int | str
    pin: str | None = None
    private_id: int | None = None
    """Given to us when we joined; some rooms insist on it."""

    def body(self) -> dict[str, object]:
        """As fields of a `join` request."""
        fields = {"room": self.room, "pin": self.pin, "private_id": self.private_id}
        return {name: value for name, value in fields.items() if value is not None}


class JanusSubscription:
    """Keeps a set of streams flowing over one peer connection until its task is cancelled."""

    def __init__(
        self,
        *,
        link: JanusLink,
        listener: RoomListener,
        ice: IceSettings,
        clock_ns: Callable[[], int],
        statistics: MutableMapping[TrackId, TrackStatistics],
        patience: Patience,
        resting: Resting,
        room_pass: Callable[[], JanusPass],
        reader: DatagramReader | None = None,
    ) -> None:
        """*room_pass* is asked anew for each connection."""
        self.bad_offer_count = 0
        """Offers that made no sense; the connection goes on as it was."""
        self._link = link
        self._listener = listener
        self._ice = ice
        self._clock_ns = clock_ns
        self._statistics = statistics
        self._patience = patience
        self._resting = resting
        self._reader = reader
        self._room_pass = room_pass
        self._plan = JanusPlan()
        self._changed = asyncio.Event()
        self._former: JanusHandle | None = None
        self._current: JanusHandle | None = None
        self._coming: JanusHandle | None = None
        self._handover = Handover()
        self._silence = SilenceWatch()

    @property
    def wanted(self) -> Mapping[StreamKey, LiveStream]:
        """What shall be received."""
        return self._plan.wanted

    def set_wanted(self, wanted: Mapping[StreamKey, LiveStream]) -> None:
        """Take the new list of streams; frames of others are dropped from now on."""
        if self._plan.set_wanted(wanted):
            self._handover.keep([live.track.track_id for live in wanted.values()])
            self._wake()

    def set_tiles(self, tiles: Mapping[TrackId, Size] | None) -> None:
        """Take how large each video is shown; None: everything, as large as it comes."""
        if self._plan.set_tiles(tiles):
            for handle in self._handles():
                handle.session.want_video(tiles)
            self._wake()

    def renew(self) -> None:
        """Janus has forgotten us and our handles."""
        for handle in self._handles():
            handle.end()

    def poll(self, now_ns: int) -> None:
        """Send the RTCP that is due."""
        for handle in self._handles():
            handle.session.poll(now_ns)

    @property
    def is_calm(self) -> bool:
        """Whether every connection is up and waits for nothing."""
        return all(handle.session.is_calm for handle in self._handles())

    def request_keyframe(self, track_id: TrackId) -> None:
        """Ask the publisher for a keyframe, at most once a second."""
        session = self._handover.source(track_id)
        if session is not None:
            session.request_keyframe(track_id)

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        backoff = Backoff()
        try:
            while True:
                stop_if_cancelled()
                try:
                    await self._await_need()
                    await self._establish()
                    began_ns = self._clock_ns()
                    await self._serve()
                    if self._clock_ns() - began_ns > STABLE_NS:
                        backoff.reset()
                except (RoomError, TimeoutError) as exc:
                    logger.info("subscription broke: %s", exc)
                except Exception:  # connection boundary: one connection must not end the job
                    logger.exception("subscription failed")
                await asyncio.sleep(backoff.next_s())
        finally:
            for handle in self._handles():
                await handle.session.close()

    # --- connecting ---------------------------------------------------------------------------

    async def _await_need(self) -> None:
        """Wait until there is something to receive and somebody to ask."""
        while not self._plan.wanted:
            self._changed.clear()
            await self._changed.wait()
        await self._link.is_up.wait()

    async def _establish(self) -> None:
        handle = JanusHandle(
            MediaSession(
                ice=self._ice,
                clock_ns=self._clock_ns,
                on_connected=self._handover.connected,
                on_frame=self._deliver_frame,
                on_sender_report=self._deliver_report,
                statistics=self._statistics,
                patience=self._patience,
                resting=self._resting,
                reader=self._reader,
                wanted=self._plan.tiles,
            )
        )
        self._coming = handle
        try:
            handle.handle_id = await self._link.attach(handle.take)
            await self._join(handle)
            await self._answer_all(handle)
            await handle.session.connect()
        except BaseException as exc:
            self._coming = None
            await handle.session.close()
            if isinstance(exc, Exception) and handle.handle_id:
                await self._link.detach(handle.handle_id)
            raise
        self._former, self._current, self._coming = self._current, handle, None
        if self._former is not None:
            await self._handover.finish(self._former.session)
            former, self._former = self._former, None
            await former.session.close()
            await self._link.detach(former.handle_id)

    async def _join(self, handle: JanusHandle) -> None:
        """Subscribe to everything, or when Janus refuses to what it knows of that."""
        keys = list(self._plan.wanted)
        body = {"request": "join", "ptype": "subscriber", **self._room_pass().body()}
        try:
            streams = [self._plan.entry(key) for key in keys]
            await self._link.message(handle.handle_id, body | {"streams": streams})
            return
        except RequestFailed as exc:
            logger.info("a feed has gone before it was subscribed to: %s", exc)
        for key in keys:
            try:
                streams = [self._plan.entry(key)]
                await self._link.message(handle.handle_id, body | {"streams": streams})
                return
            except RequestFailed:
                continue
        raise RoomError("none of the room's feeds can be subscribed to")

    async def _answer_all(self, handle: JanusHandle) -> None:
        while handle.offers:
            offer = handle.offers.popleft()
            track_ids = {
                mid: self._plan.wanted[key].track.track_id
                for mid, key in handle.streams.items()
                if key in self._plan.wanted
            }
            answer = await handle.session.answer(offer, track_ids)
            await self._link.message(handle.handle_id, {"request": "start"}, answer=answer)

    # --- serving ------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Keep the current connection as it should be; return when it must be replaced."""
        handle = self._current
        assert handle is not None
        while not handle.session.is_over and not self._is_silent(handle):
            try:
                async with asyncio.timeout(WATCH_INTERVAL_S):
                    await handle.changed.wait()
            except TimeoutError:
                pass
            handle.changed.clear()
            if not self._link.is_up.is_set():
                continue  # media goes on meanwhile
            try:
                await self._answer_all(handle)
                await self._reconcile(handle)
                await self._configure(handle)
            except BadSdp as exc:
                self.bad_offer_count += 1
                logger.info("offer refused: %s", exc)
            except RequestFailed as exc:
                logger.info("Janus refused a change: %s", exc)
                await asyncio.sleep(RETRY_S)
                handle.changed.set()

    async def _reconcile(self, handle: JanusHandle) -> None:
        carried = set(handle.streams.values())
        missing = [key for key in self._plan.wanted if key not in carried]
        suspects, handle.suspects = handle.suspects, set()
        missing += suspects & carried
        surplus = [
            mid
            for mid, key in handle.streams.items()
            if key not in self._plan.wanted or key in suspects
        ]
        if surplus:
            entries = [{"sub_mid": mid} for mid in surplus]
            body: dict[str, object] = {"request": "unsubscribe", "streams": entries}
            await self._link.message(handle.handle_id, body)
            await self._answer_all(handle)
        if missing:
            try:
                await self._subscribe(handle, missing)
            finally:
                await self._answer_all(handle)

    async def _subscribe(self, handle: JanusHandle, keys: list[StreamKey]) -> None:
        """All at once; when one of them has gone meanwhile, each by itself.

        Raises `RequestFailed` when something is missing still.
        """
        body: dict[str, object] = {"request": "subscribe"}
        try:
            streams = [self._plan.entry(key) for key in keys]
            await self._link.message(handle.handle_id, body | {"streams": streams})
            return
        except RequestFailed as exc:
            refusal = exc
        if len(keys) == 1:
            raise refusal
        is_complete = True
        for key in keys:
            try:
                await self._subscribe(handle, [key])
            except RequestFailed:
                is_complete = False
        if not is_complete:
            raise refusal

    async def _configure(self, handle: JanusHandle) -> None:
        """Pause what nobody sees; ask for layers as large as their tiles."""
        changes = self._plan.changes(handle.streams, handle.asked)
        if changes:
            entries = [{"mid": mid, **relay.fields()} for mid, relay in changes.items()]
            body: dict[str, object] = {"request": "configure", "streams": entries}
            await self._link.message(handle.handle_id, body)
            handle.asked |= changes

    # --- media --------------------------------------------------------------------------------

    def _deliver_frame(self, session: MediaSession, frame: EncodedFrame) -> None:
        track_id = frame.track_id
        key = self._plan.key(track_id)
        if key is None or not self._handover.take(session, track_id):
            return
        if frame.keyframe and frame.size is not None:
            self._note_size(session, key, track_id, frame.size)
        if self._plan.admits(frame):
            self._listener.on_frame(frame)
        elif self._plan.awaits_keyframe(track_id):
            session.request_keyframe(track_id)

    def _deliver_report(self, session: MediaSession, report: SenderReport) -> None:
        if self._handover.brings(session, report.track_id):
            self._listener.on_sender_report(report)

    def _note_size(
        self, session: MediaSession, key: StreamKey, track_id: TrackId, size: Size
    ) -> None:
        """Learn how large the publisher's layers are; another one may fit the tile better."""
        for handle in self._handles():
            if handle.session is not session:
                continue
            for mid in handle.mids(key):
                substream = handle.substreams.get(mid)
                if substream is not None:
                    self._plan.note_size(track_id, substream, size)
                    handle.changed.set()

    def _handles(self) -> list[JanusHandle]:
        handles = (self._former, self._current, self._coming)
        return [handle for handle in handles if handle is not None]

    def _wake(self) -> None:
        self._changed.set()
        if self._current is not None:
            self._current.changed.set()

    def _is_silent(self, handle: JanusHandle) -> bool:
        """Whether something that should come does not; also nudges silent video tracks."""
        session, now_ns = handle.session, self._clock_ns()
        if session.connected_ns is None:
            return False
        self._silence.expect(self._plan.awaited(handle.streams), now_ns)
        judgement = self._silence.judge(
            now_ns,
            connected_ns=session.connected_ns,
            carried=session.tracks.keys(),
            refused=session.refused,
            last_packet_ns=session.last_packet_ns,
        )
        for track_id in judgement.silent:
            session.request_keyframe(track_id)
        if judgement.is_dead:
            self._silence.has_replaced()
        if judgement.is_silent:
            logger.warning("the room is silent; subscribing again")
        elif judgement.is_dead:
            logger.warning("streams are silent; subscribing to them again")
            keys = (self._plan.key(track_id) for track_id in judgement.silent)
            handle.suspects = {key for key in keys if key is not None}
        return judgement.is_silent
