"""CPU of the sound lane: seconds of one core per second of sound, Opus and AAC included.

    python benchmarks/sound.py [--seconds 60] [--people 3 9 25 100] [--no-levels] [--profile]

People speak in the rehearsal room on a virtual clock, without cameras. The same room is played
once more with nobody mixing; that is taken off, so what remains is decoding, measuring, choosing,
mixing, limiting and AAC. CPU time, user and system, of the whole process.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the worker does, before numpy is loaded

import argparse
import asyncio
import cProfile
import logging
import pstats
import resource
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from worker.core.clockmap import ClockMap
from worker.core.identity import TrackId
from worker.core.playoutdelay import PlayoutDelay
from worker.core.spec import AudioSpec
from worker.core.timing import NS_PER_S, SAMPLE_RATE_HZ
from worker.engine.clock import LoopClock
from worker.engine.hearing import AudioIngest
from worker.engine.sound import LEAD_NS, SoundLane
from worker.media.kit import PyavKit
from worker.ports import EncodedFrame, EncodedPacket, RoomEvent, SenderReport, TrackPublished
from worker.testroom.rehearsal import RehearsalRoom
from worker.testroom.scenario_file import parse_scenario
from worker.testroom.virtual_loop import run_virtual

DELAY_NS = 600_000_000


class Ears:
    """A listener that has nothing but ears."""

    def __init__(self, kit: PyavKit, *, levels: bool) -> None:
        self.tracks: dict[TrackId, AudioIngest] = {}
        self._kit = kit
        self._levels = levels

    def on_event(self, event: RoomEvent) -> None:
        if isinstance(event, TrackPublished):
            self.tracks[event.track.track_id] = AudioIngest(
                track=event.track, clock_map=ClockMap(), decoder=self._kit.audio_decoder()
            )

    def on_frame(self, frame: EncodedFrame) -> None:
        ingest = self.tracks[frame.track_id]
        ingest.clock_map.observe_arrival(
            frame.track_id, frame.epoch, frame.rtp_timestamp, SAMPLE_RATE_HZ, frame.arrival_ns
        )
        ingest.push(frame if self._levels else replace(frame, level_dbov=None))

    def on_sender_report(self, report: SenderReport) -> None: ...


def scenario(people: int) -> str:
    return "".join(
        f'[[participants]]\nuser_id = "user-{n}"\ncolour = {n % 28}\ncamera = false\n'
        f'microphone = {{mode = "speech", level_db = {-20 - n % 12}}}\n'
        for n in range(people)
    )


async def _drop(packets: Sequence[EncodedPacket]) -> None: ...


def play(people: int, seconds: float, *, levels: bool, mixing: bool) -> float:
    """CPU of *seconds* of the room."""
    kit = PyavKit()

    async def listen() -> None:
        loop = asyncio.get_running_loop()
        clock = LoopClock(loop)
        ears = Ears(kit, levels=levels)
        room = RehearsalRoom(parse_scenario(scenario(people)), clock)
        lane = SoundLane(
            clock=clock,
            tracks=ears.tracks,
            encoder=kit.audio_encoder(),
            audio=AudioSpec(),
            deliver=_drop,
            rest=room.rest_sound,
        )
        lane.end_sample = round(seconds * SAMPLE_RATE_HZ)
        async with asyncio.TaskGroup() as group:
            attend = group.create_task(room.run(ears))
            if mixing:
                await lane.run(
                    clock.now_ns(), PlayoutDelay(DELAY_NS, picture_lead_ns=0, sound_lead_ns=LEAD_NS)
                )
            else:
                await clock.sleep_until_ns(round(seconds * NS_PER_S) + DELAY_NS)
            attend.cancel()

    before = cpu_s()
    run_virtual(listen())
    return cpu_s() - before


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class _ProfiledThreads(ThreadPoolExecutor):
    """The sound lane's thread under cProfile, which sees one thread only."""

    profile = cProfile.Profile()

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        return super().submit(self.profile.runcall, fn, *args, **kwargs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--people", type=int, nargs="+", default=[3, 9, 25, 100])
    parser.add_argument("--no-levels", action="store_true", help="packets without RFC 6464 levels")
    parser.add_argument("--profile", action="store_true", help="where the time of the lane goes")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    levels = not options.no_levels
    if options.profile:
        import worker.engine.sound as sound

        sound.ThreadPoolExecutor = _ProfiledThreads  # type: ignore[attr-defined]
        play(options.people[0], options.seconds, levels=levels, mixing=True)
        pstats.Stats(_ProfiledThreads.profile).sort_stats("tottime").print_stats(35)
        return
    print(f"{options.seconds:g} s of sound, {'with' if levels else 'without'} RFC 6464 levels")
    print(f"{'people':>8} {'cores':>8}")
    for people in options.people:
        play(people, 1, levels=levels, mixing=True)  # builds the loops, warms caches
        feeding = play(people, options.seconds, levels=levels, mixing=False)
        total = play(people, options.seconds, levels=levels, mixing=True)
        print(f"{people:>8} {(total - feeding) / options.seconds:>8.3f}")


if __name__ == "__main__":
    main()
