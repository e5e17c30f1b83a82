"""The sink at the edges of a job: its beginning, its end, and being called off."""

import asyncio

import pytest

from tests.support.live_packets import footage
from tests.support.rtmp import black_hole, rtmp_server
from worker.engine.clock import LoopClock
from worker.engine.mailbox import Mailbox, Overflow
from worker.net.dial import Dialer
from worker.net.reach import Reach
from worker.net.tls import verified_tls
from worker.ports import EncodedPacket
from worker.sinks.rtmp import PushState, RtmpSink

SHOWN = footage(2)


def rtmp_sink(url: str, **options) -> RtmpSink:
    return RtmpSink(
        url,
        name="rtmp-1",
        clock=LoopClock(asyncio.get_running_loop()),
        dialer=Dialer(Reach.parse(["127.0.0.0/8"])),
        tls=verified_tls(),
        **options,
    )


def mailbox() -> Mailbox[EncodedPacket]:
    return Mailbox(2500, Overflow.FAIL)


async def reach_state(sink: RtmpSink, state: PushState) -> None:
    async with asyncio.timeout(5):
        while sink.state.state is not state:  # noqa: ASYNC110 - it is polled by people, too
            await asyncio.sleep(0.01)


async def test_a_job_that_ends_does_not_wait_for_a_server_that_was_never_there():
    async with black_hole() as hole:
        sink, packets = rtmp_sink(f"rtmp://127.0.0.1:{hole.port}/live/key"), mailbox()
        packets.close()
        async with asyncio.timeout(1):
            await sink.run(SHOWN.program, packets)

    assert sink.state.state is PushState.ENDED


async def test_what_a_dead_server_is_sent_is_taken_at_once_and_not_kept():
    async with black_hole() as hole:
        sink, packets = rtmp_sink(f"rtmp://127.0.0.1:{hole.port}/live/key"), mailbox()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(sink.run(SHOWN.program, packets))
            for packet in SHOWN.packets:
                await packets.put(packet)
            await asyncio.sleep(0.05)
            assert len(packets) == 0
            assert 0 < sink.report().pending_bytes < 4_000_000
            assert 1 < sink.report().lag_s <= 4
            packets.close()
            await running


async def test_a_push_that_is_lost_while_a_job_ends_is_not_waited_for(tmp_path):
    async with rtmp_server(tmp_path) as server:
        sink, packets = rtmp_sink(server.url("key")), mailbox()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(sink.run(SHOWN.program, packets))
            await reach_state(sink, PushState.LIVE)
            server.freeze()
            for packet in SHOWN.packets:
                await packets.put(packet)
            packets.close()
            await asyncio.sleep(0.2)
            assert not running.done()
            await server.kill()
            async with asyncio.timeout(1):
                await running

    assert sink.report().error == "the server closed the connection"


async def test_a_push_that_is_called_off_has_ended_and_is_not_waited_for(tmp_path):
    async with rtmp_server(tmp_path) as server:
        sink, packets = rtmp_sink(server.url("key")), mailbox()
        running = asyncio.create_task(sink.run(SHOWN.program, packets))
        await reach_state(sink, PushState.LIVE)
        assert sink.report().state == "live"
        running.cancel()
        async with asyncio.timeout(0.5):
            with pytest.raises(asyncio.CancelledError):
                await running

    assert sink.state.state is PushState.ENDED


async def test_a_bug_is_not_taken_for_a_server_that_is_gone():
    class Broken:
        async def get_all(self):
            raise RuntimeError("a bug")

    async with black_hole() as hole:
        sink = rtmp_sink(f"rtmp://127.0.0.1:{hole.port}/live/key")
        with pytest.raises(ExceptionGroup) as caught:
            await sink.run(SHOWN.program, Broken())

    assert caught.group_contains(RuntimeError, match="a bug")


async def test_a_reconnect_in_the_middle_of_a_group_asks_for_a_keyframe(tmp_path):
    wanted = []
    async with rtmp_server(tmp_path) as server:
        sink = rtmp_sink(server.url("key"), want_keyframe=lambda: wanted.append(sink.state.state))
        packets = mailbox()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(sink.run(SHOWN.program, packets))
            for packet in [each for tick in SHOWN.ticks[:14] for each in tick]:
                await packets.put(packet)
            async with asyncio.timeout(5):
                while sink.report().packets < 10:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert wanted == []
            await server.kill()
            await reach_state(sink, PushState.WAITING)
            await server.start()
            await reach_state(sink, PushState.LIVE)
            await asyncio.sleep(0.1)
            packets.close()
            await running

    assert wanted == [PushState.LIVE]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("10.1.2.3:1935", "the host is at an address that may not be called"),
        ("127.0.0.1:25", "this port may not be called"),
    ],
)
async def test_an_address_that_may_not_be_called_is_final_and_told(address: str, reason: str):
    sink, packets = rtmp_sink(f"rtmp://{address}/live/key", jitter=lambda: 0.0), mailbox()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(sink.run(SHOWN.program, packets))
        await reach_state(sink, PushState.REFUSED)
        for packet in SHOWN.packets:
            await packets.put(packet)
        await asyncio.sleep(1.2)  # a second try would come after one second
        packets.close()
        async with asyncio.timeout(0.5):
            await running

    report = sink.report()
    assert (report.state, report.error) == ("refused", reason)
    assert report.details["attempts"] == 1


async def test_an_address_that_is_none_is_refused_without_being_repeated():
    with pytest.raises(ValueError, match="must name") as caught:
        rtmp_sink("rtmp://example.org/s3cret")
    assert "s3cret" not in str(caught.value)
