"""Fan-out of encoded packets: every sink gets all of them, none can hold up another."""

import logging
from collections.abc import Sequence

from worker.engine.mailbox import Mailbox, MailboxFull, Overflow
from worker.ports import EncodedPacket, Sink

log = logging.getLogger(__name__)

QUEUE_PACKETS = 2_500
"""About thirty seconds of 1080p30 with sound, some 17 MB a sink at 4.6 Mbit/s."""


class Delivery:
    """One bounded mailbox per sink, policy FAIL: a sink that fell behind is cut off."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._mailboxes: dict[str, Mailbox[EncodedPacket]] = {
            sink.name: Mailbox(QUEUE_PACKETS, Overflow.FAIL) for sink in sinks
        }
        self.down: dict[str, str] = {}
        """Name of each sink that is out, and why."""

    def source(self, name: str) -> Mailbox[EncodedPacket]:
        """Where the sink called *name* takes its packets from."""
        return self._mailboxes[name]

    async def send(self, packets: Sequence[EncodedPacket]) -> None:
        """Give *packets* to every sink that is still up; never waits."""
        for name, mailbox in self._mailboxes.items():
            if name in self.down:
                continue
            try:
                for packet in packets:
                    await mailbox.put(packet)
            except MailboxFull:
                log.error("sink fell behind", extra={"sink": name})
                self.drop(name, "fell behind by more packets than its queue holds")

    def drop(self, name: str, why: str) -> None:
        """Send nothing more to sink *name*."""
        self.down.setdefault(name, why)
        self._mailboxes[name].close()

    def close(self) -> None:
        """The job's last packet was sent."""
        for mailbox in self._mailboxes.values():
            mailbox.close()
