"""A record rule as values: where files go, what they are called, how long they are.

Source: API reference section 4 (RecordRule) and 7. Ranges are checked where the wire is read.
"""

from dataclasses import dataclass
from enum import Enum

from worker.core.record.naming import FileNames, KeyTemplate


class RecordFormat(Enum):
    """Containers of a recording; the values are the API's names of them."""

    MP4 = "MP4"
    HLS = "HLS"

    @property
    def extension(self) -> str:
        """Ending of the object key; of HLS the playlist's."""
        return ".mp4" if self is RecordFormat.MP4 else ".m3u8"


@dataclass(frozen=True, slots=True)
class ObjectAddress:
    """The API's obs_addr: a bucket, where it is, and what every key in it begins with."""

    location: str
    bucket: str
    key_prefix: str = ""


@dataclass(frozen=True, slots=True)
class FileRule:
    """The files of one format."""

    keys: KeyTemplate
    cycle_s: int
    """A file is closed, and the next begun, at this length; 0: never."""
    merge_s: int | None
    """Interruptions up to this long stay within a file; None: all of them."""
    slice_s: int | None = None
    """HLS: length of a segment."""


@dataclass(frozen=True, slots=True)
class RecordRule:
    """What is recorded of a job; at least one format is.

    `store` is the address of the store, `s3://bucket` or `file:///directory`; None: the settings
    know it from the location and bucket.
    """

    address: ObjectAddress
    mp4: FileRule | None = None
    hls: FileRule | None = None
    store: str | None = None

    @property
    def files(self) -> dict[RecordFormat, FileRule]:
        """The rule of every format that is wanted."""
        rules = {RecordFormat.MP4: self.mp4, RecordFormat.HLS: self.hls}
        return {each: rule for each, rule in rules.items() if rule is not None}

    def names(self, record_format: RecordFormat, *, app_id: str, stream: str) -> FileNames:
        """The names of one format's files. Raises ValueError when they would be too long."""
        return FileNames(
            self.files[record_format].keys,
            app_id=app_id,
            stream=stream,
            record_format=record_format.value,
            extension=record_format.extension,
            key_prefix=self.address.key_prefix,
        )
