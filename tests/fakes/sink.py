"""A sink that keeps what it was given, and can be told to fail."""

from worker.errors import DestinationError
from worker.ports import EncodedPacket, PacketSource, Program, SinkReport, StreamKind


class FakeSink:
    def __init__(self, name: str = "fake", *, fail_after: int | None = None) -> None:
        self.name = name
        self.packets: list[EncodedPacket] = []
        self.program: Program | None = None
        self.finished = False
        self.cut_short = False
        self._fail_after = fail_after

    async def run(self, program: Program, packets: PacketSource) -> None:
        self.program = program
        try:
            while batch := await packets.get_all():
                self.packets.extend(batch)
                if self._fail_after is not None and len(self.packets) >= self._fail_after:
                    raise DestinationError("the fake disk is full")
            self.finished = True
        finally:
            self.cut_short = not self.finished

    def report(self) -> SinkReport:
        return SinkReport(self.name, "memory", len(self.packets), 0)

    @property
    def video_pts(self) -> list[int]:
        return [packet.pts for packet in self.packets if packet.kind is StreamKind.VIDEO]
