"""What one tick of a push costs the event loop: the largest picture there is, cut into chunks.

    python benchmarks/rtmp.py [--kilobytes 400] [--urls 5] [--rounds 200]

A picture goes from the encoder's bytes to RTMP chunks and into a socket of a server on loopback,
plain and through TLS, for all URLs of a job one after the other, as a tick does it. Beside it: how
long a search for garbage stops everything, in this process and after `gc.freeze()`, which a worker
does when it begins to record.
"""

import argparse
import asyncio
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the certificates of the tests

from tests.support.live_packets import footage  # noqa: E402
from tests.support.rtmp import make_certificate, tls_front  # noqa: E402
from worker.media.flv import FlvMuxer  # noqa: E402
from worker.net.tls import verified_tls  # noqa: E402
from worker.ports import EncodedPacket, StreamKind  # noqa: E402
from worker.sinks.rtmp_chunks import chunks  # noqa: E402
from worker.sinks.rtmp_session import CHUNK_BYTES, Message  # noqa: E402

VIDEO_CHUNK_STREAM = 6


def largest_ms(call: Callable[[], object], rounds: int) -> str:
    """Median and maximum of many calls."""
    taken_ms = []
    for _ in range(rounds):
        began_s = time.perf_counter()
        call()
        taken_ms.append((time.perf_counter() - began_s) * 1000)
    return f"{statistics.median(taken_ms):6.2f} ms, at most {max(taken_ms):6.2f} ms"


def pushed(muxer: FlvMuxer, packet: EncodedPacket) -> bytes:
    """The bytes a picture becomes."""
    tag = muxer.tag(packet)
    return chunks(Message(tag.kind, tag.body, tag.timestamp_ms, 1), VIDEO_CHUNK_STREAM, CHUNK_BYTES)


async def measure(kilobytes: int, urls: int, rounds: int) -> None:
    show = footage(1)
    muxer = FlvMuxer(show.program)
    picture = EncodedPacket(
        StreamKind.VIDEO, b"\0\0\1\x65" + b"\x55" * kilobytes * 1000, 0, 0, 1, keyframe=True
    )
    print(f"chunks of {kilobytes} kB, {urls} URLs:")
    print("  cutting", largest_ms(lambda: [pushed(muxer, picture) for _ in range(urls)], rounds))
    data = pushed(muxer, picture)

    # A plain protocol takes what comes and forgets it.
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        certificate, key = make_certificate(Path(directory))
        tls = verified_tls(certificate)
        async with tls_front(port, certificate, key) as front:
            for name, where, context in (("plain", port, None), ("TLS", front, tls)):
                host = "localhost" if context else None
                writers = [
                    (
                        await asyncio.open_connection(
                            "127.0.0.1", where, ssl=context, server_hostname=host
                        )
                    )[1]
                    for _ in range(urls)
                ]
                taken_ms = []
                for _ in range(rounds):
                    began_s = time.perf_counter()
                    for writer in writers:
                        writer.write(data)
                    taken_ms.append((time.perf_counter() - began_s) * 1000)
                    for writer in writers:
                        await writer.drain()
                middle, most = statistics.median(taken_ms), max(taken_ms)
                print(f"  {name:7} {middle:6.2f} ms, at most {most:6.2f} ms")
                for writer in writers:
                    writer.transport.abort()
    server.close()
    print(f"search for garbage among {len(gc.get_objects())} objects:")
    print("  as it is ", largest_ms(gc.collect, 5))
    gc.freeze()
    print("  after gc.freeze()", largest_ms(gc.collect, 5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kilobytes", type=int, default=400, help="a keyframe of 1080p at most")
    parser.add_argument("--urls", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.kilobytes, arguments.urls, arguments.rounds))


if __name__ == "__main__":
    main()
