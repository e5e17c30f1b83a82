"""What a job's worker and the control plane say to each other: one JSON object a message.

Both tell their whole state again and again, so nothing is lost with a connection. The worker
sends `Told`, the control plane `Desired`; `STILL` asks for a picture, which comes as bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.core.lifecycle import State, StopReason

CHANNEL_PATH = "/internal/v1/jobs/{job_id}/{attempt}/channel"
EVENTS_PATH = "/internal/v1/jobs/{job_id}/{attempt}/events"
MAX_MESSAGE_BYTES = 2 << 20
STILL = '{"type":"still"}'


class BadChannelMessage(Exception):
    """The other end said what makes no sense."""


@dataclass(frozen=True, slots=True)
class Told:
    """How the worker of one attempt is doing."""

    state: State
    reason: StopReason | None = None
    description: str = ""
    is_final: bool = False
    """Nothing more will come."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """For people; see `ports.Watch`."""


@dataclass(frozen=True, slots=True)
class Desired:
    """How the worker should be doing."""

    is_stopped: bool
    mix_param: Mapping[str, Any] | None = None
    """The mix as it shall be; None leaves it as it is."""
    has_all: bool = False
    """Everything final has been noted; the worker may go."""


def told_text(told: Told) -> str:
    return _text(
        type="told",
        state=told.state.value,
        reason=None if told.reason is None else told.reason.value,
        description=told.description,
        final=told.is_final,
        report=told.report,
    )


def desired_text(desired: Desired) -> str:
    return _text(
        type="desired",
        stop=desired.is_stopped,
        mix_param=desired.mix_param,
        has_all=desired.has_all,
    )


def parse_told(text: str) -> Told:
    """Raises `BadChannelMessage`."""
    message = _message(text, "told")
    try:
        reason = message["reason"]
        return Told(
            state=State(message["state"]),
            reason=None if reason is None else StopReason(reason),
            description=str(message["description"]),
            is_final=message["final"] is True,
            report=dict(message["report"]),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise BadChannelMessage(type(exc).__name__) from exc


def parse_desired(text: str) -> Desired | None:
    """None when a still is asked for. Raises `BadChannelMessage`."""
    if text == STILL:
        return None
    message = _message(text, "desired")
    try:
        return Desired(
            is_stopped=message["stop"] is True,
            mix_param=message["mix_param"],
            has_all=message["has_all"] is True,
        )
    except KeyError as exc:
        raise BadChannelMessage(str(exc)) from exc


def _text(**members: object) -> str:
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"))


def _message(text: str, kind: str) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise BadChannelMessage("not JSON") from exc
    if not isinstance(message, dict) or message.get("type") != kind:
        raise BadChannelMessage(f"not {kind}")
    return message
