"""The encoded media of a scenario: every loop built once, in parallel, and kept.

Playing loops instead of encoding leaves the CPU to the worker under test.
"""

import hashlib
import os
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from worker.core.identity import Source
from worker.media import loops, opus_loop
from worker.media.loops import VideoSettings, encode_video_loop
from worker.media.opus_loop import encode_opus_loop
from worker.testroom import lettering, marks, painter, person, voice
from worker.testroom.loop_cache import Loop, LoopCache, LoopUnit, default_directory
from worker.testroom.painter import Painter, Picture
from worker.testroom.performance import feeds_of, voices_of
from worker.testroom.person import Person
from worker.testroom.scenario import Scenario, VideoFeed
from worker.testroom.voice import Voice, block_levels, sound

OPUS_BITRATE_KBPS = 32
_RECIPES = (lettering, loops, marks, opus_loop, painter, person, voice)
"""A change in any of these modules makes other media of the same parameters."""


class LoopLibrary:
    """Loops by what is in them; built on first use. Safe to use from several threads.

    *cache* None keeps loops in memory only.
    """

    def __init__(self, cache: LoopCache | None) -> None:
        self._cache = cache
        self._loops: dict[Hashable, Loop] = {}
        self._recipe = _recipe_digest()

    @classmethod
    def of_user(cls) -> "LoopLibrary":
        """The library over the user's cache directory."""
        directory = default_directory()
        return cls(LoopCache(directory) if directory else None)

    def prepare(self, scenario: Scenario) -> None:
        """Build everything *scenario* replays; seconds of CPU the first time. Blocks."""
        builds: list[Callable[[], Loop]] = []
        for actor in scenario.actors:
            builds += [
                partial(self.audio, each, actor.person, scenario.loop_s)
                for each in voices_of(scenario, actor)
            ]
            builds += [
                partial(self.video, picture_of(actor.person, source, feed, scenario.loop_s), feed)
                for source, feed in feeds_of(scenario, actor)
                if not feed.live
            ]
        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="loops") as threads:
            for result in [threads.submit(build) for build in builds]:
                result.result()

    def video(self, picture: Picture, feed: VideoFeed) -> Loop:
        """One unit per frame of the loop, a keyframe first and then once a second."""
        settings = settings_of(feed)
        return self._get((picture, settings), partial(_encode_video, picture, settings))

    def audio(self, voice: Voice, person: Person, loop_s: int) -> Loop:
        """One Opus packet per 20 ms with its RFC 6464 level."""
        parameters = (voice, person, loop_s, OPUS_BITRATE_KBPS)
        return self._get(parameters, partial(_encode_audio, voice, person, loop_s))

    def _get(self, parameters: Hashable, build: Callable[[], Loop]) -> Loop:
        """From memory, from disk, or built. Two threads may build the same loop; both are good."""
        loop = self._loops.get(parameters)
        if loop is not None:
            return loop
        key = hashlib.sha256(f"{self._recipe} {parameters!r}".encode()).hexdigest()
        loop = self._cache.load(key) if self._cache else None
        if loop is None:
            loop = build()
            if self._cache:
                self._cache.store(key, loop)
        self._loops[parameters] = loop
        return loop


def picture_of(person: Person, source: Source, feed: VideoFeed, loop_s: int) -> Picture:
    """What *person* shows in *feed*."""
    return Picture(person, source, feed.size, feed.fps, loop_s, feed.motion)


def settings_of(feed: VideoFeed) -> VideoSettings:
    """How *feed* is encoded."""
    return VideoSettings(feed.codec, feed.size, feed.fps, feed.bitrate_kbps, feed.h264_profile)


def _encode_video(picture: Picture, settings: VideoSettings) -> Loop:
    painter = Painter(picture)
    pictures = (painter.paint(frame) for frame in range(picture.loop_frames))
    return tuple(
        LoopUnit(unit.data, unit.keyframe) for unit in encode_video_loop(pictures, settings)
    )


def _encode_audio(voice: Voice, person: Person, loop_s: int) -> Loop:
    pcm = sound(voice, person, loop_s)
    packets = encode_opus_loop(pcm, OPUS_BITRATE_KBPS)
    return tuple(
        LoopUnit(data, keyframe=True, level_dbov=level)
        for data, level in zip(packets, block_levels(pcm), strict=True)
    )


def _recipe_digest() -> str:
    digest = hashlib.sha256()
    for module in _RECIPES:
        assert module.__file__ is not None, "the package is installed as files"
        digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()
