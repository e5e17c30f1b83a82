"""Every error the worker raises on purpose.

WorkerError
├── RequestError          the caller asked for something impossible
│   └── InvalidField      one named field is missing, of the wrong type or out of range
├── DestinationError      a file system, bucket or server refused us (the job goes on)
│   ├── DestinationRefused    it will not help to ask again: wrong key, no such bucket
│   ├── KeyTaken              there is such an object already; nothing is ever overwritten
│   └── UploadGone            an upload was completed, aborted, or has expired: begin anew
├── RoomError             the room or its server failed (retried, then the job stops)
│   └── RoomRefused       the room said no: wrong pin, unknown room (not retried)
├── MediaError            one source sent what cannot be decoded (that source is held)
└── InternalError         our bug

A branch exists only where some code treats it differently: it says who must act.
"""


class WorkerError(Exception):
    """Root of everything raised on purpose; `code` is stable, the text is for people."""

    code = "error"
    retryable = False


class RequestError(WorkerError):
    """The caller asked for something impossible."""

    code = "bad_request"


class InvalidField(RequestError):
    """A field of a document is missing, of the wrong type or out of range."""

    code = "invalid_field"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class DestinationError(WorkerError):
    """A destination refused us or went away; other destinations go on."""

    code = "destination"
    retryable = True
    retry_after_s: float | None = None
    """How long the destination asks to be left alone."""


class DestinationRefused(DestinationError):
    """The destination answered, and the answer is no; asking again would not help."""

    code = "destination_refused"
    retryable = False


class KeyTaken(DestinationError):
    """There is an object of that name already, and nothing is ever overwritten."""

    code = "key_taken"
    retryable = False


class UploadGone(DestinationError):
    """The store does not know the upload (any more): completed, aborted or expired."""

    code = "upload_gone"
    retryable = False


class RoomError(WorkerError):
    """The room, its server or the path to it failed."""

    code = "room"
    retryable = True


class RoomRefused(RoomError):
    """The room answered, and the answer is no; asking again would not help."""

    code = "room_refused"
    retryable = False


class MediaError(WorkerError):
    """One source sent something that cannot or must not be decoded."""

    code = "media"


class InternalError(WorkerError):
    """A bug of ours."""

    code = "internal"
