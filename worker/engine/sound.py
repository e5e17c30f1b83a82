"""The sound lane: every 20 ms block of room time mixed once, in order, none skipped."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from worker.core.audio.desk import LATENCY_BLOCKS, Desk
from worker.core.audio.mixing import sum_tracks
from worker.core.audio.shortlist import Shortlist
from worker.core.audio.turnlog import TurnLog
from worker.core.identity import ParticipantId, TrackId
from worker.core.playoutdelay import PlayoutDelay
from worker.core.spec import AudioSpec
from worker.core.timing import BLOCK_NS, NS_PER_S, SAMPLE_RATE_HZ
from worker.engine.hearing import AudioIngest, Heard
from worker.ports import AudioEncoder, AudioStream, Clock, EncodedPacket

CHOICE_BLOCKS = 6
"""Who is decoded is chosen anew for so many; chosen less often, the wrong ones are heard."""

BATCH_BLOCKS = 2 * CHOICE_BLOCKS
"""Blocks mixed in one call: a thread hop costs as much as mixing a block."""

LEAD_NS = LATENCY_BLOCKS * BLOCK_NS
"""By how much sound is decoded before the playout delay is over."""

LEAST_DELAY_NS = 100_000_000
"""Sound is decoded no earlier than this after its instant, even with a short playout delay."""

HINDSIGHT_NS = NS_PER_S
"""A lane that is late hears what came this long after its time, but no more: what is for later
would push out what is for now."""


class SoundLane:
    """Runs from sample 0 to `end_sample`, which may be set while it runs."""

    def __init__(
        self,
        *,
        clock: Clock,
        tracks: Mapping[TrackId, AudioIngest],
        encoder: AudioEncoder,
        audio: AudioSpec,
        deliver: Callable[[Sequence[EncodedPacket]], Awaitable[None]],
        rest: Callable[[frozenset[TrackId]], None],
    ) -> None:
        """*rest* is told, whenever it changes, which of *tracks* are not decoded."""
        self._clock = clock
        self._tracks = tracks
        self._encoder = encoder
        self._deliver = deliver
        self._desk = Desk(audio)
        self._shortlist = Shortlist(audio.speakers)
        self._thread = ThreadPoolExecutor(1, "sound")
        self._turns = TurnLog()
        self._rest = rest
        self._chosen: set[TrackId] = set()
        self._resting: frozenset[TrackId] = frozenset()
        self.end_sample: int | None = None
        self.encoded_samples = 0

    @property
    def stream(self) -> AudioStream:
        """What muxers must know of the sound."""
        return self._encoder.stream

    @property
    def speaking(self) -> frozenset[ParticipantId]:
        """Who is in the mix now."""
        return self._desk.heard

    def turns(self) -> dict[ParticipantId, list[tuple[float, float]]]:
        """From when to when each was in the mix, s of room time; ended turns only."""
        end_s = self.encoded_samples / SAMPLE_RATE_HZ
        turns: dict[ParticipantId, list[tuple[float, float]]] = {}
        for turn in self._turns:
            start_s = turn.start_block * BLOCK_NS / NS_PER_S
            if start_s < end_s:
                turn_end_s = min(turn.end_block * BLOCK_NS / NS_PER_S, end_s)
                turns.setdefault(turn.voice, []).append((start_s, turn_end_s))
        return turns

    async def run(self, origin_ns: int, delay: PlayoutDelay) -> None:
        """Mix block n once all of its lookahead is there; at the end flush the encoder."""
        loop = asyncio.get_running_loop()
        block = 0
        try:
            while not self._is_complete():
                end_ns = origin_ns + (block + BATCH_BLOCKS) * BLOCK_NS
                # The desk gives out a block when it has seen the lookahead after it, so the sound
                # of an instant leaves the lane together with its picture.
                wait_ns = max(delay.now_ns - LEAD_NS, LEAST_DELAY_NS)
                due_ns = end_ns + wait_ns
                await self._clock.sleep_until_ns(due_ns)
                start_ns = origin_ns + block * BLOCK_NS
                batch, resting = self._choose(start_ns, due_ns + HINDSIGHT_NS)
                packets = await loop.run_in_executor(
                    self._thread, self._mix, batch, resting, start_ns, block
                )
                block += BATCH_BLOCKS
                await self._deliver(packets)
            await self._deliver(await loop.run_in_executor(self._thread, self._finish))
        finally:
            self._thread.shutdown(wait=False)

    def _is_complete(self) -> bool:
        return self.end_sample is not None and self.encoded_samples >= self.end_sample

    def _choose(
        self, start_ns: int, arrived_ns: int
    ) -> tuple[list[tuple[AudioIngest, Heard]], list[AudioIngest]]:
        """Whose packets are decoded for the batch at *start_ns*, and whose no longer are.

        Packets that came after *arrived_ns* are left for later batches.
        """
        tracks = list(self._tracks.values())
        claims = [ingest.claim for ingest in tracks]
        # The desk is at rest: its thread works only while the loop waits for it.
        heard, loudness_lufs = self._desk.chosen, self._desk.loudness_lufs()
        chosen: set[TrackId] = set()
        for block in range(CHOICE_BLOCKS, BATCH_BLOCKS + 1, CHOICE_BLOCKS):
            # Levels tell who is about to speak: as much before it is heard as the desk looks ahead.
            until_ns = start_ns + block * BLOCK_NS + LEAD_NS
            for ingest in tracks:
                ingest.weigh(until_ns)
            chosen |= self._shortlist.choose(claims, heard, loudness_lufs, until_ns)
        batch, resting = [], []
        for ingest in tracks:
            track_id = ingest.track.track_id
            if track_id in chosen:
                batch.append((ingest, ingest.take(arrived_ns)))
                continue
            ingest.skip(start_ns)
            if track_id in self._chosen:
                resting.append(ingest)
        self._chosen = chosen
        not_chosen = frozenset(self._tracks) - chosen
        if not_chosen != self._resting:
            self._resting = not_chosen
            self._rest(not_chosen)
        return batch, resting

    def _mix(
        self,
        batch: Sequence[tuple[AudioIngest, Heard]],
        resting: Sequence[AudioIngest],
        start_ns: int,
        first_block: int,
    ) -> Sequence[EncodedPacket]:
        """On the sound thread: blocks first_block .. first_block + BATCH_BLOCKS - 1."""
        for ingest in resting:
            ingest.rest()
        tracks: list[dict[ParticipantId, list[NDArray[np.float32]]]]
        tracks = [{} for _ in range(BATCH_BLOCKS)]
        for ingest, heard in batch:
            ingest.hear(heard)
            blocks = ingest.blocks(start_ns, BATCH_BLOCKS)
            for voices, pcm in zip(tracks, blocks, strict=True):
                if pcm is not None:
                    voices.setdefault(ingest.track.participant_id, []).append(pcm)
        mixed = self._desk.process(
            first_block,
            [{voice: sum_tracks(pcm) for voice, pcm in voices.items()} for voices in tracks],
        )
        self._turns.extend(self._desk.take_turns())
        return self._encode(np.concatenate(mixed)) if mixed else []

    def _finish(self) -> Sequence[EncodedPacket]:
        self._desk.flush()
        self._turns.extend(self._desk.take_turns())
        return self._encoder.flush()

    def _encode(self, mixed: NDArray[np.float32]) -> Sequence[EncodedPacket]:
        if self.end_sample is not None:
            mixed = mixed[: max(0, self.end_sample - self.encoded_samples)]
        self.encoded_samples += len(mixed)
        return self._encoder.encode(mixed) if len(mixed) else []
