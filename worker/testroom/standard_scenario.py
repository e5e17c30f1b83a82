"""Writes the scenario of the demo: people in a conversation, and perhaps a shared screen."""

from collections.abc import Iterator
from random import Random
from typing import Final

from worker.errors import InvalidField

NAMES: Final = (
    *("Ada", "Bruno", "Chiara", "Dmitri", "Esther", "Farid", "Greta", "Hiro", "Ines"),
    *("Jonas", "Kavya", "Luca", "Mei", "Nadia", "Oscar", "Priya", "Quentin", "Rosa"),
    *("Samir", "Tess", "Umar", "Vera", "Wim", "Xenia", "Yusuf"),
)
MAX_PARTICIPANTS = len(NAMES)

_TURN_S: Final = (2.5, 6.0)
_PAUSE_S: Final = (-0.6, 0.8)
"""Between two turns; below zero people talk over each other."""
_LEVELS_LUFS: Final = (-20, -24, -28)
"""People sit nearer or farther from their microphones."""
_SHARE: Final = (0.35, 0.7)
"""The part of the time somebody shares a screen."""
_LATE_SHARE = 0.12
"""When the last one joins, if there are more than two."""


def standard_scenario(*, participants: int = 4, seconds: float = 30.0, share: bool = False) -> str:
    """The text of a scenario file. Raises `InvalidField`.

    People take turns in speaking, most often answering the one before; every third sends H.264,
    the last one comes late, one has a bad network. The same arguments give the same text.
    """
    if not 1 <= participants <= MAX_PARTICIPANTS:
        raise InvalidField("participants", f"expected 1 to {MAX_PARTICIPANTS}")
    if seconds <= 0:
        raise InvalidField("seconds", "expected a positive number")
    lines = [
        'name = "conversation"',
        f"duration_s = {seconds:.3f}",
        "",
        "[defaults.camera]",
        f"width = {640 if participants <= _LARGE_CAMERAS else 320}",
        f"height = {360 if participants <= _LARGE_CAMERAS else 180}",
        f"bitrate_kbps = {500 if participants <= _LARGE_CAMERAS else 150}",
        "",
        "[defaults.microphone]",
        'mode = "silent"',
    ]
    for position in range(participants):
        lines += _participant(position, participants, seconds)
    lines += _conversation(participants, seconds)
    if share:
        lines += _screen_share(participants, seconds)
    return "\n".join(lines) + "\n"


_LARGE_CAMERAS = 9
"""Beyond nine tiles a forwarding server would send its small layer."""


def _participant(position: int, participants: int, seconds: float) -> list[str]:
    is_late = participants > 2 and position == participants - 1
    lines = [
        "",
        "[[participants]]",
        f'user_id = "{_user_id(position)}"',
        f'name = "{NAMES[position]}"',
        f"join_s = {_LATE_SHARE * seconds if is_late else 0.0:.3f}",
    ]
    if position % 3 == 2:
        lines.append('camera = { codec = "h264" }')
    if position == 1:
        lines.append("network = { delay_ms = 20, jitter_ms = 20, loss = 0.01 }")
    return lines


def _conversation(participants: int, seconds: float) -> Iterator[str]:
    """Turns of a few seconds: somebody answers the speaker before, or anybody else goes on."""
    random = Random(participants)
    present = participants - 1 if participants > 2 else participants
    speaker, previous = 0, min(1, participants - 1)
    at_s = end_s = 0.3
    while end_s < seconds:
        if at_s > _LATE_SHARE * seconds:
            present = participants
        end_s = at_s + random.uniform(*_TURN_S)
        level = _LEVELS_LUFS[speaker % len(_LEVELS_LUFS)]
        yield from _voice_event(speaker, at_s, f'mode = "speech", level_lufs = {level}')
        yield from _voice_event(speaker, end_s, 'mode = "silent"')
        others = [each for each in range(present) if each != speaker] or [0]
        answers = previous in others and random.random() < 0.5
        speaker, previous = (previous if answers else random.choice(others)), speaker
        at_s = end_s + (random.uniform(*_PAUSE_S) if participants > 1 else _PAUSE_S[1])


def _voice_event(position: int, at_s: float, microphone: str) -> list[str]:
    return [
        "",
        "[[events]]",
        f"at_s = {at_s:.3f}",
        f'user_id = "{_user_id(position)}"',
        'do = "voice"',
        f"microphone = {{ {microphone} }}",
    ]


def _screen_share(participants: int, seconds: float) -> Iterator[str]:
    user_id = _user_id(min(1, participants - 1))
    for at, deed in zip(_SHARE, ("share_screen", "stop_screen"), strict=True):
        yield from ("", "[[events]]", f"at_s = {at * seconds:.3f}")
        yield from (f'user_id = "{user_id}"', f'do = "{deed}"')


def _user_id(position: int) -> str:
    return NAMES[position].lower()
