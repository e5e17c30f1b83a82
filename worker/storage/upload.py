"""How far an upload in parts has come."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from worker.ports import StoredObject, StoredPart
from worker.storage.part_plan import etag_of, part_count, part_range


@dataclass(slots=True)
class Upload:
    """An open upload, or, without an id, one that is not begun."""

    key: str = ""
    upload_id: str = ""
    sent: dict[int, tuple[StoredPart, bytes]] = field(default_factory=dict)
    """With the MD5 of each part."""
    _complete_below: int = 1
    """No part before this one is missing."""

    @property
    def sent_bytes(self) -> int:
        return sum(part.size for part, _ in self.sent.values())

    def missing(
        self, size: int, *, is_whole: bool, apart_from: Collection[int] = ()
    ) -> Iterator[int]:
        """Parts of a file of *size* bytes that could be sent, in order.

        The last one only when the file *is_whole*. Raises `DestinationRefused` beyond 175 GiB.
        """
        while self._complete_below in self.sent:
            self._complete_below += 1
        number = self._complete_below
        while True:
            start, end = part_range(number)
            if end > size and (start >= size or not is_whole):
                return
            if number not in self.sent and number not in apart_from:
                yield number
            number += 1

    def trim(self, size: int) -> None:
        """Forget parts that a file of *size* bytes, having been cut, does not have so."""
        self.sent = {
            number: self.sent[number]
            for number in self.sent.keys() & range(1, part_count(size) + 1)
            if self.sent[number][0].size == extent(number, size)
        }
        self._complete_below = 1

    def all_of(self, size: int) -> list[tuple[StoredPart, bytes]] | None:
        """Every part of a file of *size* bytes, or None when one is missing."""
        numbers = range(1, part_count(size) + 1)
        if not all(number in self.sent for number in numbers):
            return None
        return [self.sent[number] for number in numbers]


def extent(number: int, size: int) -> int:
    """Bytes of a part of a file of *size* bytes."""
    start, end = part_range(number)
    return min(end, size) - start


def digest_etag(sent: list[tuple[StoredPart, bytes]]) -> str | None:
    """The etag the object will have; None where etags are no digests (encryption with KMS)."""
    if any(part.etag != md5.hex() for part, md5 in sent):
        return None
    return etag_of([md5 for _, md5 in sent])


def is_ours(there: StoredObject, size: int, etag: str | None, *, was_unheard: bool) -> bool:
    """Whether an object is what we sent, the answer to which was lost perhaps."""
    if there.size != size:
        return False
    return there.etag == etag if etag is not None else was_unheard
