"""What waits for an RTMP server: a few seconds, in groups of pictures. Pure.

Policy when it is full: the oldest group of pictures goes, whole, and the oldest sound. What is
taken out can always be decoded: after a gap the next picture is a keyframe.
"""

from collections import deque

from worker.ports import EncodedPacket, StreamKind

LIMIT_MS = 4_000
"""Two groups of pictures: less would drop what only waits for a reconnect, more is no live."""
INTERLEAVE_MS = 1_000
"""Sound leaves the encoder before its picture; it waits so long to be sent in order."""
FAR_MS = 1_000
"""A keyframe further away than this is asked for."""

Timed = tuple[int, EncodedPacket]
"""A packet and its time, ms."""


class GroupQueue:
    """Sound and pictures of one program, taken out in the order of their times."""

    def __init__(self, kinds: frozenset[StreamKind]) -> None:
        self._pictures: deque[Timed] = deque()
        self._sound: deque[Timed] = deque()
        self._kinds = kinds
        self._latest_ms: dict[StreamKind, int] = {}
        self._latest_keyframe_ms: int | None = None
        self._needs_keyframe = True
        """Pictures that come now depend on one that was dropped."""
        self._is_opening = True
        """Nothing was sent over this connection yet."""
        self._was_open = False
        self._is_closed = False
        self.dropped_groups = 0
        self.dropped_pictures = 0
        self.dropped_sound = 0

    def __len__(self) -> int:
        return len(self._pictures) + len(self._sound)

    @property
    def is_closed(self) -> bool:
        """Nothing will come."""
        return self._is_closed

    @property
    def is_over(self) -> bool:
        """Nothing is left and nothing will come."""
        return self._is_closed and not self

    @property
    def span_ms(self) -> int:
        """Media time between the oldest and the newest that waits."""
        waiting = [queue for queue in (self._pictures, self._sound) if queue]
        if not waiting:
            return 0
        return max(queue[-1][0] for queue in waiting) - min(queue[0][0] for queue in waiting)

    @property
    def pending_bytes(self) -> int:
        """Of the packets that wait; counted when asked, there are a few hundred at most."""
        return sum(len(packet.data) for _, packet in (*self._pictures, *self._sound))

    def close(self) -> None:
        """The job has ended; what is in can still be taken."""
        self._is_closed = True

    def put(self, packet: EncodedPacket, time_ms: int) -> None:
        """Append *packet*; never fails and never waits."""
        self._latest_ms[packet.kind] = time_ms
        if packet.kind is StreamKind.AUDIO:
            self._sound.append((time_ms, packet))
        else:
            self._put_picture(packet, time_ms)
        oldest_ms = max(self._latest_ms.values()) - LIMIT_MS
        while self._pictures and self._pictures[0][0] < oldest_ms:
            self._drop_group()
        while self._sound and self._sound[0][0] < oldest_ms:
            self._sound.popleft()
            self.dropped_sound += 1

    def take(self) -> Timed | None:
        """The next packet to send; None when it is not here yet."""
        if self._is_opening and not self._open():
            return None
        first = self._first()
        if first is None or not self._is_in_order(first[0][0]):
            return None
        return first.popleft()

    def begin(self) -> None:
        """A new connection: begin with a keyframe, and with no sound from before it."""
        self.skip_to_keyframe()
        self._is_opening = True

    def skip_to_keyframe(self) -> None:
        """Give up the group that was begun; sound goes on."""
        if self._pictures and self._pictures[0][1].keyframe:
            return
        if self._pictures:
            self._drop_group()
        elif not self._needs_keyframe:
            self._needs_keyframe = True
            self.dropped_groups += 1

    @property
    def wants_keyframe(self) -> bool:
        """Nothing can be sent before the next keyframe, and that is far."""
        if StreamKind.VIDEO not in self._kinds or not self._needs_keyframe:
            return False
        latest_ms, keyframe_ms = self._latest_ms.get(StreamKind.VIDEO), self._latest_keyframe_ms
        if latest_ms is None or keyframe_ms is None:
            return False
        return latest_ms - keyframe_ms < FAR_MS

    def _put_picture(self, packet: EncodedPacket, time_ms: int) -> None:
        if packet.keyframe:
            self._needs_keyframe = False
            self._latest_keyframe_ms = time_ms
        if self._needs_keyframe:
            self.dropped_pictures += 1
        else:
            self._pictures.append((time_ms, packet))

    def _drop_group(self) -> None:
        """Everything up to the next keyframe; when there is none, what still comes before it."""
        self.dropped_groups += 1
        self.dropped_pictures += 1
        self._pictures.popleft()
        while self._pictures and not self._pictures[0][1].keyframe:
            self._pictures.popleft()
            self.dropped_pictures += 1
        if not self._pictures:
            self._needs_keyframe = True

    def _open(self) -> bool:
        """Wait for the keyframe that a connection begins with, and drop the sound before it."""
        if StreamKind.VIDEO in self._kinds:
            if not self._pictures:
                if self._is_closed:
                    self._sound.clear()  # there will be no keyframe to begin with
                return False
            while self._sound and self._sound[0][0] < self._pictures[0][0]:
                self._sound.popleft()
                self.dropped_sound += self._was_open  # at first it is only the encoder's priming
        self._is_opening = False
        self._was_open = True
        return True

    def _first(self) -> deque[Timed] | None:
        """The queue whose head is the oldest."""
        if not self._pictures or not self._sound:
            return self._pictures or self._sound or None
        return self._pictures if self._pictures[0][0] <= self._sound[0][0] else self._sound

    def _is_in_order(self, time_ms: int) -> bool:
        """Whether nothing older can come: every kind has got that far, or is late."""
        if self._is_closed:
            return True
        latest = [self._latest_ms.get(kind, -INTERLEAVE_MS) for kind in self._kinds]
        return time_ms <= min(latest) or time_ms <= max(latest) - INTERLEAVE_MS
