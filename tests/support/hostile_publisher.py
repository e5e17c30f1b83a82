"""A publisher that means harm, as a process of its own: real ICE, DTLS and SRTP, hostile inside.

    python -m tests.support.hostile_publisher

It is talked to in JSON lines: orders {"seed", "packets", "per_s"}, its offer {"sdp"}, our answer
{"sdp"}, {} when it is connected, {} to let it go, {"sent"} when it is done, {} to end.
"""

import asyncio
import json
import sys
import time
from typing import Any

from tests.support.connecting import ICE
from tests.support.hostile_packets import MEDIA, HostilePackets
from worker.rooms.peer import Peer, PeerState

INTERVAL_S = 0.005
MAX_AT_ONCE = 100
MAX_STEP = 900
"""SRTP drops what is older than its window of 1024, and guesses wrong after longer jumps."""


async def hear() -> Any:
    return json.loads(await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline))


def say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


async def flood(peer: Peer, supply: HostilePackets, packets: int, per_s: int) -> int:
    """Send *packets* at *per_s*, a tenth of them RTCP, while connected; returns how many."""
    before, began_s = peer.counters.sent, time.monotonic()
    sent = made = 0
    while sent < packets and peer.state is PeerState.CONNECTED:
        # Who falls behind catches up a little at a time: between, ICE has its turn.
        due = int((time.monotonic() - began_s) * per_s) - sent
        for _ in range(min(due, MAX_AT_ONCE)):
            made += 1
            if made % 10:
                peer.send_rtp(supply.rtp())
            else:
                peer.send_rtcp(supply.rtcp())
        sent = peer.counters.sent - before
        await asyncio.sleep(INTERVAL_S if due < MAX_AT_ONCE else 0)
    return sent


async def main() -> None:
    orders = await hear()
    peer = Peer(ice=ICE, clock_ns=time.monotonic_ns)
    try:
        say({"sdp": await peer.offer(MEDIA)})
        await peer.accept((await hear())["sdp"])
        await peer.connect()
        say({})
        await hear()
        supply = HostilePackets(orders["seed"], max_step=MAX_STEP)
        say({"sent": await flood(peer, supply, orders["packets"], orders["per_s"])})
        await hear()
    finally:
        await peer.close()


if __name__ == "__main__":
    asyncio.run(main())
