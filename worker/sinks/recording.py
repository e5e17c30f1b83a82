"""The MP4 sink: one file, written as it grows, ordinary once closed."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from worker.errors import DestinationError
from worker.ports import EncodedPacket, Muxer, PacketSource, Program, SinkReport


class RecordingSink:
    """Writes every packet it is given into one MP4 file."""

    def __init__(self, path: Path, open_muxer: Callable[[Path, Program], Muxer]) -> None:
        self._path = path
        self._open_muxer = open_muxer
        self._packets = 0
        self._bytes = 0
        self._error: str | None = None

    @property
    def name(self) -> str:
        return "mp4"

    def report(self) -> SinkReport:
        return SinkReport(
            name=self.name,
            location=str(self._path),
            packets=self._packets,
            bytes=self._bytes,
            error=self._error,
        )

    async def run(self, program: Program, packets: PacketSource) -> None:
        """Write until *packets* ends, then finish the file; cancelled, finish it at once.

        Raises `DestinationError`; what was written before stays playable.
        """
        loop = asyncio.get_running_loop()
        # One thread owns the muxer from open to close: a call cancelled from here still runs
        # there, and a close queued behind it cannot meet it half-way.
        thread = ThreadPoolExecutor(1, "mp4")
        try:
            muxer = await loop.run_in_executor(thread, self._open_muxer, self._path, program)
            try:
                while batch := await packets.get_all():
                    await loop.run_in_executor(thread, self._write, muxer, batch)
            finally:
                await asyncio.shield(loop.run_in_executor(thread, muxer.close))
        except DestinationError as exc:
            self._error = str(exc)
            raise
        finally:
            thread.shutdown(wait=False)

    def _write(self, muxer: Muxer, batch: Sequence[EncodedPacket]) -> None:
        for packet in batch:
            muxer.write(packet)
            self._packets += 1
            self._bytes += len(packet.data)
