"""One subscriber handle of a VideoRoom: what is wanted and what is subscribed, kept equal.

Janus offers and we answer, whenever anything changes. A connection that fails or falls silent is
replaced by a new handle in parallel; the old one goes on until its successor is connected.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass

from worker.core.identity import Kind, TrackId
from worker.core.layout.geometry import Size
from worker.core.timing import NS_PER_S
from worker.errors import RoomError
from worker.ports import EncodedFrame, RoomListener, SenderReport, TrackStatistics
from worker.rooms.backoff import Backoff
from worker.rooms.ice import IceSettings
from worker.rooms.janus_layers import HIGHEST, SimulcastLayers
from worker.rooms.janus_link import JanusLink, RequestFailed
from worker.rooms.janus_messages import FeedId, JanusMessage, subscribed
from worker.rooms.janus_roster import LiveStream
from worker.rooms.reader import DatagramReader
from worker.rooms.receive.patience import Patience
from worker.rooms.sdp import BadSdp
from worker.rooms.session import MediaSession
from worker.rooms.silence import SilenceWatch

logger = logging.getLogger(__name__)

WATCH_INTERVAL_S = 0.5
RETRY_S = 0.3
"""A feed may be gone before we are told: what Janus refused is asked for again after this."""
MAX_WAITING_OFFERS = 8
"""Policy: a connection that is offered faster than we answer is given up."""
STABLE_NS = 5 * NS_PER_S

StreamKey = tuple[FeedId, str]


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


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one stream shall be relayed to us."""

    send: bool
    substream: int | None
    """None where there is only one layer."""

    def fields(self) -> dict[str, object]:
        """As fields of a stream in `join`, `update` and `configure`."""
        if self.substream is None:
            return {"send": self.send}
        return {"send": self.send, "substream": self.substream}


class _Handle:
    """One handle and its peer connection."""

    def __init__(self, session: MediaSession) -> None:
        self.session = session
        self.handle_id = 0
        self.streams: dict[str, StreamKey] = {}
        """Our MID to the stream it carries."""
        self.delivery: dict[str, Delivery] = {}
        """What was asked for, by MID."""
        self.substreams: dict[str, int] = {}
        """The simulcast layer that is being relayed, by MID."""
        self.suspects: set[StreamKey] = set()
        """Streams from which nothing comes, to be subscribed to anew."""
        self.offers: deque[str] = deque()
        self.changed = asyncio.Event()

    def take(self, message: JanusMessage) -> None:
        """An event of Janus for this handle; answers to our requests come here too."""
        if message.kind in ("hangup", "detached"):
            self.session.end()
        streams = subscribed(message.event)
        if streams is not None:
            self.streams = {
                stream.mid: (stream.feed_id, stream.feed_mid)
                for stream in streams
                if stream.feed_id is not None and stream.feed_mid is not None and stream.is_active
            }
        mid, substream = message.event.get("mid"), message.event.get("substream")
        if isinstance(mid, str) and substream in range(HIGHEST + 1):
            assert isinstance(substream, int)
            self.substreams[mid] = substream
        if message.offer is not None:
            if len(self.offers) >= MAX_WAITING_OFFERS:
                self.session.end()
            self.offers.append(message.offer)
        self.changed.set()

    def mids(self, key: StreamKey) -> list[str]:
        return [mid for mid, carried in self.streams.items() if carried == key]


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
        room_pass: Callable[[], JanusPass],
        reader: DatagramReader | None = None,
    ) -> None:
        """*room_pass* is asked anew for each connection."""
        self._link = link
        self._listener = listener
        self._ice = ice
        self._clock_ns = clock_ns
        self._statistics = statistics
        self._patience = patience
        self._reader = reader
        self._room_pass = room_pass
        self._wanted: dict[StreamKey, LiveStream] = {}
        self._keys: dict[TrackId, StreamKey] = {}
        self._tiles: Mapping[TrackId, Size] | None = None
        self._layers: dict[TrackId, SimulcastLayers] = {}
        self._changed = asyncio.Event()
        self._current: _Handle | None = None
        self._coming: _Handle | None = None
        self._delivering: MediaSession | None = None
        self._silence = SilenceWatch()

    @property
    def wanted(self) -> Mapping[StreamKey, LiveStream]:
        """What shall be received."""
        return self._wanted

    def set_wanted(self, wanted: Mapping[StreamKey, LiveStream]) -> None:
        """Take the new list of streams; frames of others are dropped from now on."""
        if self._wanted == wanted:
            return
        self._wanted = dict(wanted)
        self._keys = {live.track.track_id: key for key, live in wanted.items()}
        self._layers = {
            track_id: layers for track_id, layers in self._layers.items() if track_id in self._keys
        }
        self._wake()

    def set_tiles(self, tiles: Mapping[TrackId, Size] | None) -> None:
        """Take how large each video is shown; None: everything, as large as it comes."""
        self._tiles = tiles
        self._wake()

    def renew(self) -> None:
        """Janus has forgotten us and our handles."""
        for handle in (self._current, self._coming):
            if handle is not None:
                handle.session.end()
                handle.changed.set()

    def poll(self, now_ns: int) -> None:
        """Send the RTCP that is due."""
        for handle in (self._current, self._coming):
            if handle is not None:
                handle.session.poll(now_ns)

    def request_keyframe(self, track_id: TrackId) -> None:
        """Ask the publisher for a keyframe, at most once a second."""
        if self._delivering is not None:
            self._delivering.request_keyframe(track_id)

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        backoff = Backoff()
        try:
            while True:
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
            for handle in (self._current, self._coming):
                if handle is not None:
                    await handle.session.close()

    # --- connecting ---------------------------------------------------------------------------

    async def _await_need(self) -> None:
        """Wait until there is something to receive and somebody to ask."""
        while not self._wanted:
            self._changed.clear()
            await self._changed.wait()
        await self._link.is_up.wait()

    async def _establish(self) -> None:
        handle = _Handle(
            MediaSession(
                ice=self._ice,
                clock_ns=self._clock_ns,
                on_connected=self._switch_to,
                on_frame=self._deliver_frame,
                on_sender_report=self._deliver_report,
                statistics=self._statistics,
                patience=self._patience,
                reader=self._reader,
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
        self._coming = None
        old, self._current = self._current, handle
        if old is not None:
            await old.session.close()
            await self._link.detach(old.handle_id)

    async def _join(self, handle: _Handle) -> None:
        """Subscribe to everything, or when Janus refuses to what it knows of that."""
        keys = list(self._wanted)
        body = {"request": "join", "ptype": "subscriber", **self._room_pass().body()}
        try:
            streams = [self._entry(handle, key) for key in keys]
            await self._link.message(handle.handle_id, body | {"streams": streams})
            return
        except RequestFailed as exc:
            logger.info("a feed has gone before it was subscribed to: %s", exc)
        for key in keys:
            try:
                streams = [self._entry(handle, key)]
                await self._link.message(handle.handle_id, body | {"streams": streams})
                return
            except RequestFailed:
                continue
        raise RoomError("none of the room's feeds can be subscribed to")

    async def _answer_all(self, handle: _Handle) -> None:
        while handle.offers:
            offer = handle.offers.popleft()
            track_ids = {
                mid: self._wanted[key].track.track_id
                for mid, key in handle.streams.items()
                if key in self._wanted
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
                logger.warning("offer refused: %s", exc)
            except RequestFailed as exc:
                logger.info("Janus refused a change: %s", exc)
                await asyncio.sleep(RETRY_S)
                handle.changed.set()

    async def _reconcile(self, handle: _Handle) -> None:
        carried = set(handle.streams.values())
        missing = [key for key in self._wanted if key not in carried]
        suspects, handle.suspects = handle.suspects, set()
        missing += suspects & carried
        surplus = [
            mid for mid, key in handle.streams.items() if key not in self._wanted or key in suspects
        ]
        if surplus:
            entries = [{"sub_mid": mid} for mid in surplus]
            body: dict[str, object] = {"request": "unsubscribe", "streams": entries}
            await self._link.message(handle.handle_id, body)
            await self._answer_all(handle)
        if missing:
            await self._subscribe(handle, missing)
            await self._answer_all(handle)

    async def _subscribe(self, handle: _Handle, keys: list[StreamKey]) -> None:
        """All at once; when one of them has gone meanwhile, one after the other."""
        body: dict[str, object] = {"request": "subscribe"}
        try:
            streams = [self._entry(handle, key) for key in keys]
            await self._link.message(handle.handle_id, body | {"streams": streams})
        except RequestFailed:
            if len(keys) == 1:
                raise
            for key in keys:
                await self._subscribe(handle, [key])

    async def _configure(self, handle: _Handle) -> None:
        """Pause what nobody sees; ask for layers as large as their tiles."""
        changes: dict[str, Delivery] = {}
        for mid, key in handle.streams.items():
            live = self._wanted.get(key)
            if live is None or live.track.kind is not Kind.VIDEO:
                continue
            delivery = self._delivery(live)
            if handle.delivery.get(mid) != delivery:
                changes[mid] = delivery
        if changes:
            entries = [{"mid": mid, **delivery.fields()} for mid, delivery in changes.items()]
            body: dict[str, object] = {"request": "configure", "streams": entries}
            await self._link.message(handle.handle_id, body)
            handle.delivery |= changes

    def _entry(self, handle: _Handle, key: StreamKey) -> dict[str, object]:
        feed_id, mid = key
        live = self._wanted.get(key)
        fields = {} if live is None else self._delivery(live).fields()
        return {"feed": feed_id, "mid": mid, **fields}

    def _delivery(self, live: LiveStream) -> Delivery:
        if live.track.kind is not Kind.VIDEO or self._tiles is None:
            return Delivery(send=True, substream=None)
        tile = self._tiles.get(live.track.track_id)
        if not live.stream.is_simulcast:
            return Delivery(send=tile is not None, substream=None)
        layers = self._layers.setdefault(live.track.track_id, SimulcastLayers())
        return Delivery(send=tile is not None, substream=layers.fit(tile) if tile else 0)

    # --- media --------------------------------------------------------------------------------

    def _switch_to(self, session: MediaSession) -> int:
        """From now on *session* delivers; returns the first epoch it may use."""
        before, self._delivering = self._delivering, session
        return before.next_epoch if before is not None else 0

    def _deliver_frame(self, session: MediaSession, frame: EncodedFrame) -> None:
        if session is self._delivering and frame.track_id in self._keys:
            if frame.keyframe and frame.size is not None:
                self._note_size(frame.track_id, frame.size)
            self._listener.on_frame(frame)

    def _deliver_report(self, session: MediaSession, report: SenderReport) -> None:
        if session is self._delivering and report.track_id in self._keys:
            self._listener.on_sender_report(report)

    def _note_size(self, track_id: TrackId, size: Size) -> None:
        """Learn how large the publisher's layers are; the next change of a tile uses it."""
        handle, layers = self._current, self._layers.get(track_id)
        if handle is None or layers is None:
            return
        for mid in handle.mids(self._keys[track_id]):
            substream = handle.substreams.get(mid)
            if substream is not None:
                layers.note(substream, size)
                handle.changed.set()

    def _wake(self) -> None:
        self._changed.set()
        if self._current is not None:
            self._current.changed.set()

    def _is_silent(self, handle: _Handle) -> bool:
        """Whether something that should come does not; also nudges silent video tracks."""
        session, now_ns = handle.session, self._clock_ns()
        if session.connected_ns is None:
            return False
        carried = set(handle.streams.values())
        self._silence.expect(
            (
                live.track.track_id
                for key, live in self._wanted.items()
                if key in carried and self._delivery(live).send
            ),
            now_ns,
        )
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
            handle.suspects = {self._keys[track_id] for track_id in judgement.silent}
        return judgement.is_silent
