"""One session with one publisher: a peer connection and what is received over it."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Collection, Mapping, MutableMapping
from functools import partial

from worker.core.identity import TrackId
from worker.ports import EncodedFrame, SenderReport, TrackStatistics
from worker.rooms.ice import IceSettings
from worker.rooms.media import NegotiatedMedia
from worker.rooms.mesh_messages import Offer
from worker.rooms.peer import CONNECT_TIMEOUT_S, Peer, PeerState
from worker.rooms.reader import DatagramReader
from worker.rooms.receive.doze import Resting
from worker.rooms.receive.patience import Patience
from worker.rooms.receive.receiver import PeerReceiver

logger = logging.getLogger(__name__)

MAX_WAITING_OFFERS = 8
"""Policy `fail`: a publisher that offers faster than we answer loses the session."""


class MediaSession:
    """Receives what one publisher sends on one session, from `subscribe` to `close`."""

    def __init__(
        self,
        *,
        ice: IceSettings,
        clock_ns: Callable[[], int],
        on_connected: Callable[["MediaSession"], int],
        on_frame: Callable[["MediaSession", EncodedFrame], None],
        on_sender_report: Callable[["MediaSession", SenderReport], None],
        statistics: MutableMapping[TrackId, TrackStatistics],
        patience: Patience,
        resting: Resting,
        reader: DatagramReader | None = None,
        wanted: Collection[TrackId] | None = None,
    ) -> None:
        """*on_connected* returns the first epoch this session may use. *wanted*: see
        `want_video`.
        """
        self.session_id = secrets.token_hex(8)
        self.connected_ns: int | None = None
        self.is_over = False
        """The publisher or the transport ended it, or it cannot be kept up."""
        self.tracks: Mapping[TrackId, NegotiatedMedia] = {}
        """What was agreed."""
        self.refused: frozenset[TrackId] = frozenset()
        """What was offered in a form that we cannot receive."""
        self._clock_ns = clock_ns
        self._on_connected = on_connected
        self._on_frame = on_frame
        self._on_sender_report = on_sender_report
        self._statistics = statistics
        self._patience = patience
        self._resting = resting
        self._wanted = wanted
        self._offers: asyncio.Queue[Offer | None] = asyncio.Queue(MAX_WAITING_OFFERS)
        self._ended_epoch = 0
        self._unanswered = 0
        self._peer = Peer(ice=ice, clock_ns=clock_ns, on_state=self._follow_peer, reader=reader)
        self._receiver: PeerReceiver | None = None

    # --- called on the event loop by whoever owns the session --------------------------------

    def put_offer(self, offer: Offer) -> None:
        """An offer arrived for this session."""
        try:
            self._offers.put_nowait(offer)
        except asyncio.QueueFull:
            logger.warning("a publisher sends more offers than can be answered")
            self.end()
        else:
            self.note_offer()

    def note_offer(self) -> None:
        """An offer has arrived that `answer` will be called with."""
        self._count_offers(+1)

    def end(self) -> None:
        """The session is over; wakes whoever waits for offers."""
        self.is_over = True
        self.wake()

    def wake(self) -> None:
        """Whoever waits for offers shall look how the session does."""
        if self._offers.empty():
            self._offers.put_nowait(None)

    async def next_offer(self) -> Offer | None:
        """The next offer; None when the session's state has changed instead."""
        return await self._offers.get()

    async def answer(self, offer: str, track_ids: Mapping[str, TrackId]) -> str:
        """Our answer to *offer*; *track_ids* names the tracks of its MIDs.

        Raises `BadSdp` (the session can go on) or `PeerFailed` (it can't).
        """
        try:
            result = await self._peer.answer(offer)
            self.tracks = {
                track_ids[media.mid]: media
                for media in result.media
                if media.mid in track_ids and media.codecs
            }
            self.refused = frozenset(track_ids.values()) - self.tracks.keys()
            if self._receiver is not None:
                self._receiver.set_tracks(self.tracks, self._clock_ns())
        finally:
            self._count_offers(-1)
        return result.sdp

    async def connect(self, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        """Bring the transport up; frames follow. Raises `PeerFailed`."""
        await self._peer.connect(timeout_s)

    async def close(self) -> None:
        """Free everything."""
        self.is_over = True
        try:
            await self._peer.close()
        finally:
            self._ended_epoch = self.next_epoch
            self._receiver = None

    # --- media ------------------------------------------------------------------------------

    @property
    def next_epoch(self) -> int:
        """Above every epoch this session has used."""
        return self._receiver.next_epoch if self._receiver is not None else self._ended_epoch

    @property
    def last_media_ns(self) -> int | None:
        """When the newest RTP packet came, or the session connected; None before that."""
        if self._receiver is None:
            return None
        return self._receiver.last_rtp_ns or self.connected_ns

    @property
    def is_calm(self) -> bool:
        """Whether it is connected and waits for nothing."""
        return self._receiver is not None and self._receiver.is_idle

    def last_packet_ns(self, track_id: TrackId) -> int | None:
        """When the newest packet of *track_id* came."""
        return self._receiver.last_packet_ns(track_id) if self._receiver is not None else None

    def poll(self, now_ns: int) -> None:
        """Send the RTCP that is due."""
        if self._receiver is not None:
            for compound in self._receiver.poll(now_ns):
                self._peer.send_rtcp(compound)

    def want_video(self, wanted: Collection[TrackId] | None) -> None:
        """Ask for keyframes of the videos in *wanted* only, for others may be paused; None: all."""
        self._wanted = wanted
        if self._receiver is not None:
            self._receiver.want_video(wanted, self._clock_ns())

    def request_keyframe(self, track_id: TrackId) -> None:
        """Ask the publisher for a keyframe, at most once a second."""
        if self._receiver is not None:
            self._receiver.request_keyframe(track_id)

    def _count_offers(self, more: int) -> None:
        self._unanswered += more
        if self._receiver is not None:
            self._receiver.expect_change(self._unanswered > 0)

    def _follow_peer(self, state: PeerState) -> None:
        if state is PeerState.CONNECTED:
            self._begin()
        elif state in (PeerState.FAILED, PeerState.CLOSED):
            self.end()

    def _begin(self) -> None:
        self.connected_ns = self._clock_ns()
        self._receiver = PeerReceiver(
            ssrc=secrets.randbits(32),
            on_frame=partial(self._on_frame, self),
            on_sender_report=partial(self._on_sender_report, self),
            statistics=self._statistics,
            first_epoch=self._on_connected(self),
            patience=self._patience,
            resting=self._resting,
            wanted=self._wanted,
        )
        self._receiver.set_tracks(self.tracks, self.connected_ns)
        self._receiver.expect_change(self._unanswered > 0)
        self._peer.gates = self._receiver.gates
        self._peer.on_rtp = self._receiver.on_rtp
        self._peer.on_rtcp = self._receiver.on_rtcp
