"""One stream, pushed to many servers at once, each with a trouble of its own (faults R1 to R7).

The stream runs once, for all tests here; each looks at what became of one server, with the eyes
of somebody who only has the files that the servers wrote.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.support import hearing, seeing
from tests.support.container import decode_errors
from tests.support.live_packets import BEEP_HZ, FPS, LiveSource, Seen, footage, see
from tests.support.look import Recording
from tests.support.loop_pauses import LoopPauses
from tests.support.rtmp import (
    RtmpServer,
    black_hole,
    make_certificate,
    narrow_link,
    rtmp_server,
    tls_front,
)
from worker.engine.clock import LoopClock
from worker.net.dial import Dialer
from worker.net.reach import Reach
from worker.net.tls import verified_tls
from worker.ports import SinkReport
from worker.sinks.rtmp import PushState, RtmpSink

SECONDS = 21
FROZEN_S, SHORT_THAW_S, LONG_THAW_S = 2.7, 9.7, 16.4
LONGEST_PAUSE_S = 0.1
BACK_WITHIN_S = 5.0
SECRET = "k3y-0f-the-stream"  # noqa: S105
NARROW_BYTES_PER_S = 36_000
"""Of about 55,000 that sound and pictures have."""


@dataclass
class Push:
    """One URL and what was seen of it."""

    sink: RtmpSink
    states: list[tuple[float, PushState, str | None]] = field(default_factory=list)
    """When the state changed, s into the stream."""
    keyframes_wanted: int = 0

    @property
    def report(self) -> SinkReport:
        return self.sink.report()

    def when(self, state: PushState, after_s: float = 0.0) -> float:
        return next(at_s for at_s, each, _ in self.states if each is state and at_s >= after_s)


@dataclass
class Show:
    """Everything that is left when the stream is over."""

    directory: Path
    begins_s: float = 0.0
    pushes: dict[str, Push] = field(default_factory=dict)
    servers: dict[str, RtmpServer] = field(default_factory=dict)
    times_s: dict[str, float] = field(default_factory=dict)
    pauses: LoopPauses = field(default_factory=LoopPauses)
    black_hole_connections: int = 0
    processes: str = ""
    log: str = ""

    def received(self, name: str) -> list[Path]:
        return self.servers[name].received(SECRET)

    def seen(self, name: str) -> Seen:
        """The only file of a server."""
        (path,) = self.received(name)
        assert decode_errors(path) == ""
        return see(path)


@pytest.fixture(scope="module")
def show(tmp_path_factory) -> Show:
    directory = tmp_path_factory.mktemp("rtmp")
    footage(SECONDS)  # encoded before the clock runs
    done = Show(directory)
    logger, diary = logging.getLogger("worker"), _Diary(done)
    logger.addHandler(diary)
    logger.setLevel(logging.DEBUG)
    try:
        asyncio.run(_run(done))
    finally:
        logger.removeHandler(diary)
        logger.setLevel(logging.NOTSET)
    return done


class _Diary(logging.Handler):
    """Keeps every log record with all its values, and when which push changed its state."""

    def __init__(self, show: Show) -> None:
        super().__init__(logging.DEBUG)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        values = vars(record)
        self._show.log += json.dumps(values, default=repr) + "\n"
        if record.msg == "push changed":
            at_s = asyncio.get_running_loop().time() - self._show.begins_s
            state = PushState(values["state"])
            self._show.pushes[values["sink"]].states.append((at_s, state, values["reason"]))


async def _run(show: Show) -> None:
    directory = show.directory
    loop = asyncio.get_running_loop()
    certificate, key = make_certificate(directory)
    async with AsyncExitStack() as world:

        async def server(name: str, *, running: bool = True) -> RtmpServer:
            made = await world.enter_async_context(rtmp_server(directory / name, running=running))
            show.servers[name] = made
            return made

        steady = await server("steady")
        late = await server("late", running=False)
        short, long = await server("short"), await server("long")
        restarted = await server("restarted")
        narrow, encrypted = await server("narrow"), await server("encrypted")
        hole = await world.enter_async_context(black_hole())
        link = await world.enter_async_context(narrow_link(narrow.port, NARROW_BYTES_PER_S))
        front = await world.enter_async_context(tls_front(encrypted.port, certificate, key))
        urls = {
            "steady": steady.url(SECRET),
            "late": late.url(SECRET),
            "black hole": f"rtmp://127.0.0.1:{hole.port}/live/{SECRET}",
            "denied": steady.url(SECRET, app="denied"),
            "no such app": steady.url(SECRET, app=f"app-{SECRET}"),
            "short": short.url(SECRET),
            "long": long.url(SECRET),
            "restarted": restarted.url(SECRET),
            "narrow": f"rtmp://127.0.0.1:{link}/live/{SECRET}",
            "encrypted": f"rtmps://localhost:{front}/live/{SECRET}?token=a/b",
            "untrusted": f"rtmps://127.0.0.1:{front}/live/{SECRET}",
        }
        show.begins_s = begins_s = loop.time()
        tls, dialer = verified_tls(certificate), Dialer(Reach.parse(["127.0.0.0/8", "::1/128"]))
        for name, url in urls.items():
            show.pushes[name] = _push(name, url, dialer, tls)
        # Faults lie off the two seconds' grid of the keyframes.
        plan: list[tuple[float, str, Callable[[], Awaitable[None]]]] = [
            (FROZEN_S, "short", _call(short.freeze)),
            (FROZEN_S, "long", _call(long.freeze)),
            (3.3, "restarted", restarted.kill),
            (5.7, "restarted", restarted.start),
            (6.3, "late", late.start),
            (SHORT_THAW_S, "short", _call(short.thaw)),
            (LONG_THAW_S, "long", _call(long.thaw)),
        ]
        async with asyncio.TaskGroup() as watching:
            watchers = [
                watching.create_task(show.pauses.run()),
                watching.create_task(_watch_processes(show)),
            ]
            async with asyncio.TaskGroup() as tasks:
                for push in show.pushes.values():
                    source = LiveSource(footage(SECONDS), begins_s)
                    tasks.create_task(push.sink.run(footage(SECONDS).program, source))
                for at_s, name, act in plan:
                    await asyncio.sleep(begins_s + at_s - loop.time())
                    await act()
                    show.times_s[name] = loop.time() - begins_s
            for watcher in watchers:
                watcher.cancel()
        show.black_hole_connections = hole.connections
        for each in show.servers.values():
            await each.written()


def _push(name, url, dialer, tls) -> Push:
    def wanted() -> None:
        push.keyframes_wanted += 1

    clock = LoopClock(asyncio.get_running_loop())
    push = Push(
        RtmpSink(
            url,
            name=name,
            clock=clock,
            dialer=dialer,
            tls=tls,
            want_keyframe=wanted,
            jitter=lambda: 0.5,
        )
    )
    return push


def _call(act: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def call() -> None:
        act()

    return call


async def _watch_processes(show: Show) -> None:
    """What anybody on this machine sees in the process list, some seconds into the stream."""
    await asyncio.sleep(3)
    listing = await asyncio.create_subprocess_exec(
        *("ps", "-e", "-ww", "-o", "args="), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await listing.communicate()
    show.processes = output.decode(errors="replace")
    await asyncio.Event().wait()


def test_a_server_in_good_health_gets_every_frame_and_all_sound(show):
    seen = show.seen("steady")

    assert seen.numbers == list(range(SECONDS * FPS))
    assert seen.times_s == pytest.approx([k / FPS for k in range(SECONDS * FPS)], abs=0.0021)
    (path,) = show.received("steady")
    recording = Recording(path)
    assert recording.audio.duration_s == pytest.approx(SECONDS, abs=0.05)
    beeps_s = hearing.beep_onsets(hearing.mono(recording.sound()), BEEP_HZ)
    offsets_s = seeing.av_offsets(np.array(seen.flash_times_s), beeps_s)
    assert len(offsets_s) >= SECONDS - 2
    assert abs(offsets_s).max() < 0.045
    report = show.pushes["steady"].report
    assert report.error is None
    assert report.packets == recording.video.packets + recording.audio.packets
    assert report.location == "rtmp://127.0.0.1"


def test_r1_the_first_push_comes_within_five_seconds_of_a_dead_servers_return(show):
    push = show.pushes["late"]

    assert push.states[0][1:] == (PushState.WAITING, "cannot connect: Connection refused")
    assert push.when(PushState.LIVE) - show.times_s["late"] <= BACK_WITHIN_S
    seen = show.seen("late")
    first = seen.numbers[0]
    assert first is not None
    assert first % (2 * FPS) == 0, "it began with a keyframe"
    assert first / FPS - show.times_s["late"] <= BACK_WITHIN_S
    assert seen.numbers == list(range(first, SECONDS * FPS))


def test_r1_rtmps_is_verified_and_a_certificate_for_another_name_gets_nothing(show):
    assert show.seen("encrypted").numbers == list(range(SECONDS * FPS))
    untrusted = show.pushes["untrusted"].report
    assert untrusted.error is not None
    assert untrusted.error.startswith("the certificate is not valid")
    assert untrusted.details["connects"] == 0


def test_r2_a_server_that_never_answers_is_left_after_five_seconds_and_tried_again(show):
    push = show.pushes["black hole"]

    assert push.states[0][1:] == (PushState.WAITING, "the server did not answer the handshake")
    assert 5 <= push.states[0][0] <= 6
    assert show.black_hole_connections >= 3
    assert push.report.packets == 0
    # At the end nobody waits for it.
    assert push.sink.state.state is PushState.ENDED


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("denied", "the server closed the connection"),
        ("no such app", "the server hung up when asked to connect"),
    ],
)
def test_r3_a_server_that_says_no_is_asked_more_and_more_seldom(show, name, error):
    push = show.pushes[name]

    assert push.report.error == error
    changes = zip(push.states, push.states[1:], strict=False)
    waits_s = [b[0] - a[0] for a, b in changes if a[1] is PushState.WAITING]
    assert waits_s[:4] == pytest.approx([0.9, 1.8, 3.6, 7.2], abs=0.5), "0.9 of 1, 2, 4, 8 s"
    assert len(waits_s) == 5, "the last one is cut short by the end"
    assert push.report.details["attempts"] == 5


def test_r4_a_server_that_stopped_for_seven_seconds_goes_on_where_the_stream_is_then(show):
    push = show.pushes["short"]

    stalled_s = push.when(PushState.STALLED)
    assert stalled_s - FROZEN_S < 5, "noticed, although the kernel took everything"
    assert push.report.details["connects"] == 1
    seen = show.seen("short")
    assert seen.gaps, "some was dropped"
    assert all(number is not None for number in seen.numbers), "but no picture was damaged"
    back = next(k for k, n in enumerate(seen.numbers) if n is not None and n / FPS > stalled_s)
    assert seen.numbers[back] % (2 * FPS) == 0
    assert seen.numbers[back:] == list(range(seen.numbers[back], SECONDS * FPS))
    live_again_s = push.when(PushState.LIVE, after_s=SHORT_THAW_S)
    assert live_again_s - SHORT_THAW_S <= 1
    assert seen.numbers[back] / FPS - SHORT_THAW_S <= BACK_WITHIN_S


def test_r4_a_server_that_stopped_for_longer_is_connected_to_again(show):
    push = show.pushes["long"]

    reason = "nothing has arrived for ten seconds"
    given_up_s = next(at_s for at_s, _, why in push.states if why == reason)
    assert 10 <= given_up_s - FROZEN_S <= 13
    live_s = push.when(PushState.LIVE, after_s=LONG_THAW_S)
    assert live_s - LONG_THAW_S <= BACK_WITHIN_S
    files = show.received("long")
    for path in files:
        assert decode_errors(path) == ""
    last = see(files[-1])
    assert last.numbers[0] % (2 * FPS) == 0
    assert last.numbers == list(range(last.numbers[0], SECONDS * FPS))


def test_r5_a_restarted_server_misses_less_than_five_seconds(show):
    before, after = (see(path) for path in show.received("restarted"))

    assert before.numbers == list(range(len(before.numbers)))
    assert after.numbers[0] % (2 * FPS) == 0
    assert after.numbers == list(range(after.numbers[0], SECONDS * FPS))
    missing_s = (after.numbers[0] - before.numbers[-1]) / FPS
    print(f"missing {missing_s:.1f} s")
    assert missing_s <= BACK_WITHIN_S
    assert show.pushes["restarted"].report.details["connects"] == 2
    for path in show.received("restarted")[1:]:
        assert decode_errors(path) == ""


def test_r6_no_server_knows_of_the_others(show):
    """The healthy ones lost nothing, see above; and the event loop never paused."""
    print(f"longest pause of the event loop {show.pauses.longest_s * 1000:.0f} ms")
    assert show.pauses.longest_s <= LONGEST_PAUSE_S


def test_r7_over_a_narrow_link_whole_groups_are_dropped_and_sound_is_kept(show):
    push = show.pushes["narrow"]

    details = push.report.details
    print(details, push.states)
    seen = show.seen("narrow")
    assert seen.gaps
    assert all(number is not None for number in seen.numbers), "decodable throughout"
    assert [a for a, b in zip(seen.times_s, seen.times_s[1:], strict=False) if b <= a] == []
    numbers = [number for number in seen.numbers if number is not None]
    resumed = [b for a, b in zip(numbers, numbers[1:], strict=False) if b != a + 1]
    assert all(number % (2 * FPS) == 0 for number in resumed), "always from a keyframe on"
    (path,) = show.received("narrow")
    recording = Recording(path)
    assert recording.audio.packets > 0.9 * SECONDS * 48_000 / 1024
    assert details["connects"] == 1, push.states
    assert int(str(details["dropped_groups"])) >= 1
    assert numbers[-1] / FPS > SECONDS - 7, "and it stayed live"


def test_no_key_is_told_to_anybody(show):
    reports = json.dumps([vars_of(push.report) for push in show.pushes.values()])
    states = repr([push.states for push in show.pushes.values()])

    assert "nginx" in show.processes
    assert "push changed" in show.log
    for text in (show.processes, show.log, reports, states, repr(show.pushes)):
        assert SECRET not in text


def vars_of(report: SinkReport) -> dict[str, object]:
    return {
        "location": report.location,
        "error": report.error,
        "details": dict(report.details),
    }
