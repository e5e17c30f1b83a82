"""Synthetic participants who publish into a Janus room instead of our own test room.

Run as a program it reads a scenario from standard input and says `ready` once everybody is in.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from tests.support.janus import URL, JanusClient
from tests.support.namespace import ADDRESS
from worker.cli.casting import performing
from worker.core.identity import Source, UserId
from worker.rooms.ice import IceSettings
from worker.testroom.faults import Impairment, NetworkFaults
from worker.testroom.publisher import run_cast
from worker.testroom.scenario_file import parse_scenario
from worker.testroom.subscription import LocalTrack, Subscription
from worker.testroom.uplink import Uplink

DESCRIPTIONS = {Source.CAMERA: "camera", Source.MICROPHONE: "microphone", Source.SCREEN: "screen"}
ICE = IceSettings(host_addresses=(ADDRESS,))


class JanusPresence:
    """One stay of a synthetic participant in a VideoRoom; stands where `Presence` does."""

    def __init__(
        self,
        *,
        user_id: UserId,
        name: str,
        seed: str,
        faults: NetworkFaults,
        start_ns: int,
        on_joined: Callable[[], None],
        room: int | str = 1234,
        pin: str | None = None,
        **_: Any,
    ) -> None:
        self._join = {"request": "join", "ptype": "publisher", "room": room, "display": name}
        if pin is not None:
            self._join["pin"] = pin
        self._on_joined = on_joined
        self._tracks: dict[str, LocalTrack] = {}
        self._sources: dict[str, Source] = {}
        self._offers: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(8)
        self._up = Subscription(
            tracks=self._tracks,
            signal=self._offers.put_nowait,
            uplink=Uplink(Impairment(faults, f"{seed}/network", start_ns)),
            ice=ICE,
            cname=user_id,
            seed=seed,
        )

    @property
    def subscriptions(self) -> list[Subscription]:
        return [self._up]

    def publish(self, track: LocalTrack, source: Source, *, muted: bool) -> None:
        self._tracks[track.label] = track
        self._sources[track.label] = source
        self._up.renegotiate()

    def end(self, label: str) -> None:
        del self._tracks[label], self._sources[label]
        self._up.renegotiate()

    def set_muted(self, label: str, *, muted: bool) -> None:
        """Janus tells nobody."""

    def set_faults(self, faults: NetworkFaults) -> None:
        self._up.uplink.faults = faults

    def track(self, label: str) -> LocalTrack:
        return self._tracks[label]

    async def run(self) -> None:
        """Publish until cancelled."""
        async with JanusClient.connect(URL) as client, asyncio.TaskGroup() as tasks:
            handle = await client.attach()
            await client.message(handle, self._join)
            self._on_joined()
            sending = tasks.create_task(self._up.run())
            try:
                request = "publish"
                while True:
                    offer = await self._offers.get()
                    reply = await client.message(
                        handle,
                        {"request": request, "descriptions": self._descriptions(offer["mids"])},
                        jsep={"type": "offer", "sdp": offer["sdp"], "trickle": False},
                    )
                    request = "configure"
                    self._up.take_answer(reply["jsep"]["sdp"])
            finally:
                sending.cancel()

    def _descriptions(self, mids: Mapping[str, str]) -> list[dict[str, str]]:
        return [
            {"mid": mid, "description": DESCRIPTIONS[self._sources[label]]}
            for mid, label in mids.items()
            if label in self._sources
        ]


def janus_cast(scenario: str, *, room: int | str = 1234) -> AbstractAsyncContextManager[None]:
    """Inside, the people of *scenario* publish, from a process of their own."""
    return performing(scenario, "tests.support.janus_cast", json.dumps(room))


async def _perform(text: str, room: int | str) -> None:
    await run_cast(
        parse_scenario(text),
        url=URL,
        room_id="",
        ice=ICE,
        on_ready=lambda: print("ready", flush=True),
        presence=partial(JanusPresence, room=room),
    )


if __name__ == "__main__":
    asyncio.run(_perform(sys.stdin.read(), json.loads(sys.argv[1])))
