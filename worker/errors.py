"""Every error the worker raises on purpose.

WorkerError
├── RequestError          the caller asked for something impossible
│   ├── InvalidField      one named field is missing, of the wrong type or out of range
│   ├── NotFound          no such application, rule or job, or somebody else's
│   ├── NameTaken         something of that name exists
│   ├── QuotaExceeded     there are as many as may be
│   ├── InUse             something that lives depends on it
│   ├── AppStopped        the application is switched off
│   ├── JobRunning        an unfinished job has the caller's key
│   ├── JobNotRunning     the job's worker is not up yet
│   └── JobDone           the job has ended
├── DestinationError      a file system, bucket or server refused us (the job goes on)
│   ├── DestinationRefused    it will not help to ask again: wrong key, no such bucket
│   ├── KeyTaken              there is such an object already; nothing is ever overwritten
│   └── UploadGone            an upload was completed, aborted, or has expired: begin anew
├── RoomError             the room or its server failed (retried, then the job stops)
│   └── RoomRefused       the room said no: wrong pin, unknown room (not retried)
├── LaunchError           a worker could not be started (retried)
│   └── LaunchRefused     there is no room for another worker now
├── RecordsDown           the database does not answer
├── MediaError            one source sent what cannot be decoded (that source is held)
└── InternalError         our bug

A branch exists only where some code treats it differently: it says who must act.
"""

from enum import Enum


class Fault(Enum):
    """What is wrong with a field; the API has a code for each."""

    SYNTAX = "syntax"
    """The document cannot be read at all."""
    MISSING = "missing"
    VALUE = "value"
    COMBINATION = "combination"
    """Fields that do not go together."""
    LAYOUT_TEMPLATE = "layout_template"
    """There is no such layout."""
    REGION = "region"
    """Nothing is offered there."""


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

    def __init__(self, path: str, reason: str, fault: Fault = Fault.VALUE) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.fault = fault


class NotFound(RequestError):
    """There is no such thing, or it is another account's: nobody can tell which."""

    code = "not_found"


class NameTaken(RequestError):
    """Something of that name exists already."""

    code = "name_taken"


class QuotaExceeded(RequestError):
    """There are as many as may be."""

    code = "quota_exceeded"


class InUse(RequestError):
    """Something that lives depends on it."""

    code = "in_use"


class AppStopped(RequestError):
    """The application is switched off."""

    code = "app_stopped"


class JobRunning(RequestError):
    """An unfinished job has the caller's key."""

    code = "job_running"


class JobNotRunning(RequestError):
    """The job's worker is not up yet."""

    code = "job_not_running"


class JobDone(RequestError):
    """The job has ended."""

    code = "job_done"


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


class LaunchError(WorkerError):
    """The engine that runs workers failed or does not answer."""

    code = "launch"
    retryable = True


class LaunchRefused(LaunchError):
    """There is no room for another worker now."""

    code = "launch_refused"


class RecordsDown(WorkerError):
    """The database does not answer."""

    code = "records"
    retryable = True


class MediaError(WorkerError):
    """One source sent something that cannot or must not be decoded."""

    code = "media"


class InternalError(WorkerError):
    """A bug of ours."""

    code = "internal"
