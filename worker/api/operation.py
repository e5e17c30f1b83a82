"""One operation of the API, declared once: its route, its checks and its documentation.

A module of `routes` gives its operations; `server` serves them, `openapi` describes them.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from worker.api.errors import Refusal
from worker.errors import InternalError, WorkerError
from worker.jobs.values import Account, Json

Body = TypeVar("Body")
Query = TypeVar("Query")


class Group(Enum):
    """Operations that share one rate limit (API reference section 9, throttling)."""

    SETUP = "setup"
    """Applications, rules, automatic recording, callbacks: 60 a minute."""
    JOBS = "jobs"
    """10 a second."""
    ROOMS = "rooms"
    """60 a minute."""
    BUCKETS = "buckets"
    """2 a second."""
    STATISTICS = "statistics"
    """30 a minute."""
    IDENTITY = "identity"
    """Tokens and projects."""


@dataclass(frozen=True, slots=True)
class Call(Generic[Body, Query]):
    """One request, as far as it was checked before its handler."""

    path: Mapping[str, str]
    """Path variables, decoded; printable, at most 128 characters."""
    body: Body
    """An instance of `Operation.request`; None where the operation takes no body."""
    query: Query
    """An instance of `Operation.query`; None where it takes none."""
    headers: Mapping[str, str]
    """Names in any case."""
    request_id: str
    remote: str
    """Address of the caller, or of the proxy before us."""
    caller: Account | None = None
    """None in public operations."""

    @property
    def account(self) -> Account:
        """Who calls. Raises `InternalError` in public operations."""
        if self.caller is None:
            raise InternalError("a public operation has no account")
        return self.caller


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back; errors are raised instead."""

    status: int
    body: BaseModel | Json | None = field(default=None, repr=False)
    """What is None in a model is left out."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[Body, Query]):
    """A method on a path, and what goes in and out."""

    method: str
    path: str
    """With variables, `/v2/apps/{app_id}`; they match any text without a raw slash."""
    name: str
    """Unique, in snake case; the SDK's where it has one."""
    handler: Callable[[Call[Body, Query]], Awaitable[Answer]]
    """May raise any `WorkerError`."""
    responses: Mapping[int, type[BaseModel] | None]
    """What each success has for a body. Failures need no mention unless they look their own way."""
    group: Group | None = None
    """Whose rate limit counts; None: nobody's."""
    request: type[Body] | None = None
    """Model (pydantic) of the JSON body, which is then mandatory; unknown keys are ignored."""
    query: type[Query] | None = None
    """Model of the query: its fields get text."""
    refusals: Mapping[type[WorkerError], Refusal] = field(default_factory=dict)
    """What an error means here, where that differs from the table in `errors`."""
    is_public: bool = False
    """Asks for no credentials."""


AnyOperation = Operation[Any, Any]
