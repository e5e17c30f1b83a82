"""What one subscription shall be sent, and how it differs from what was asked for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.core.identity import Kind, TrackId
from worker.core.layout.geometry import Size
from worker.ports import EncodedFrame
from worker.rooms.attention import Attention
from worker.rooms.janus_layers import SimulcastLayers
from worker.rooms.janus_messages import FeedId
from worker.rooms.janus_roster import LiveStream

StreamKey = tuple[FeedId, str]


@dataclass(frozen=True, slots=True)
class Relay:
    """How one stream shall be relayed to us."""

    send: bool
    substream: int | None = None
    """None where there is only one layer."""

    def fields(self) -> dict[str, object]:
        """As fields of a stream in `join`, `subscribe` and `configure`."""
        if self.substream is None:
            return {"send": self.send}
        return {"send": self.send, "substream": self.substream}


class JanusPlan:
    """The streams of one subscription, who is looked at, and in which layer."""

    def __init__(self) -> None:
        self._wanted: dict[StreamKey, LiveStream] = {}
        self._keys: dict[TrackId, StreamKey] = {}
        self._layers: dict[TrackId, SimulcastLayers] = {}
        self._attention = Attention()

    @property
    def wanted(self) -> Mapping[StreamKey, LiveStream]:
        """What shall be received, seen or not."""
        return self._wanted

    def set_wanted(self, wanted: Mapping[StreamKey, LiveStream]) -> bool:
        """Take the new list of streams; whether it is another one."""
        if self._wanted == wanted:
            return False
        self._wanted = dict(wanted)
        self._keys = {live.track.track_id: key for key, live in wanted.items()}
        self._layers = {
            track_id: layers for track_id, layers in self._layers.items() if track_id in self._keys
        }
        self._attention.set_tracks(
            {live.track.track_id: (live.track, False) for live in wanted.values()}
        )
        return True

    @property
    def tiles(self) -> Mapping[TrackId, Size] | None:
        """How large each video is shown; None: everything, as large as it comes."""
        return self._attention.wanted

    def set_tiles(self, tiles: Mapping[TrackId, Size] | None) -> bool:
        """Take how large each video is shown; None: everything, as large as it comes."""
        return self._attention.want(tiles)

    def key(self, track_id: TrackId) -> StreamKey | None:
        """The stream that is *track_id*; None when it is not wanted."""
        return self._keys.get(track_id)

    def awaited(self, carried: Mapping[str, StreamKey]) -> list[TrackId]:
        """Of the streams that are *carried* (by MID), the tracks of which something must come."""
        lives = (self._wanted.get(key) for key in carried.values())
        return [
            live.track.track_id
            for live in lives
            if live is not None and not self._attention.is_paused(live.track)
        ]

    def entry(self, key: StreamKey) -> dict[str, object]:
        """The stream as an entry of `join` and `subscribe`."""
        feed_id, mid = key
        live = self._wanted.get(key)
        return {"feed": feed_id, "mid": mid, **(self._relay(live).fields() if live else {})}

    def changes(
        self, carried: Mapping[str, StreamKey], asked: Mapping[str, Relay]
    ) -> dict[str, Relay]:
        """By MID, how the videos that are *carried* shall be relayed where that was not *asked*."""
        changes = {}
        for mid, key in carried.items():
            live = self._wanted.get(key)
            if live is not None and live.track.kind is Kind.VIDEO:
                relay = self._relay(live)
                if asked.get(mid) != relay:
                    changes[mid] = relay
        return changes

    def note_size(self, track_id: TrackId, substream: int, size: Size) -> None:
        """A keyframe tells how large the publisher's layers are."""
        layers = self._layers.get(track_id)
        if layers is not None:
            layers.note(substream, size)

    def admits(self, frame: EncodedFrame) -> bool:
        """Whether *frame* may be delivered: Janus takes a moment to pause."""
        return self._attention.admits(frame)

    def awaits_keyframe(self, track_id: TrackId) -> bool:
        """Whether *track_id* is looked at, but held back until it can begin."""
        return self._attention.awaits_keyframe(track_id)

    def _relay(self, live: LiveStream) -> Relay:
        tiles, track_id = self._attention.wanted, live.track.track_id
        if live.track.kind is not Kind.VIDEO or tiles is None:
            return Relay(send=True)
        tile = tiles.get(track_id)
        if not live.stream.is_simulcast:
            return Relay(send=tile is not None)
        layers = self._layers.setdefault(track_id, SimulcastLayers())
        return Relay(send=tile is not None, substream=layers.fit(tile) if tile else 0)
