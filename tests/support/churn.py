"""Rooms in which people come and go all the time, and what a process holds meanwhile."""

import asyncio
import gc
import json
import os
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

LOSS = 0.01


def churning(
    seconds: float,
    *,
    people: int,
    every_s: float,
    pool: int,
    height_px: int = 180,
    quiet: Sequence[tuple[float, float]] = (),
) -> str:
    """A scenario (TOML) of *people* of whom, every *every_s*, one leaves or the next one joins.

    *pool* user ids take turns, so that most come back as a new presence. In the *quiet* times,
    from and to, nobody does.
    """
    lines = ["[defaults.camera]", f"width = {height_px * 16 // 9}", f"height = {height_px}"]
    lines += ["fps = 15", "bitrate_kbps = 120"]
    lines += ["[defaults.network]", f"loss = {LOSS}"]
    joined = dict.fromkeys(range(people), 0.0)
    events: list[tuple[float, int, str]] = []
    present, waiting = deque(range(people)), deque(range(people, pool))
    at_s, leaves = every_s, True
    while at_s < seconds:
        if any(from_s <= at_s < to_s for from_s, to_s in quiet):
            at_s += every_s
            continue
        if leaves:
            number = present.popleft()
            events.append((at_s, number, "leave"))
            waiting.append(number)
        else:
            number = waiting.popleft()
            if number in joined:
                events.append((at_s, number, "rejoin"))
            joined.setdefault(number, at_s)
            present.append(number)
        at_s, leaves = at_s + every_s, not leaves
    for number, join_s in joined.items():
        lines += ["[[participants]]", f'user_id = "user-{number}"']
        lines += [f"colour = {number % 28}", f"join_s = {join_s}"]
    for at_s, number, deed in sorted(events):
        lines += ["[[events]]", f"at_s = {at_s}", f'user_id = "user-{number}"', f'do = "{deed}"']
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process holds at one instant of its recording."""

    at_s: float
    resident_mb: float
    descriptors: int
    threads: int


def sample(at_s: float, pid: int | None = None) -> Sample:
    """Of *pid*, or of this process."""
    process = Path("/proc") / str(pid or os.getpid())
    status = dict(
        line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line
    )
    return Sample(
        at_s=at_s,
        resident_mb=int(status["VmRSS"].split()[0]) / 1024,
        descriptors=len(list((process / "fd").iterdir())),
        threads=int(status["Threads"]),
    )


@dataclass(frozen=True, slots=True)
class Trend:
    """What became of the samples over time."""

    first_mb: float
    last_mb: float
    slope_mb_per_h: float
    descriptors: tuple[int, int]
    """Least and most."""
    threads: tuple[int, int]


def trend(samples: Sequence[Sample], after_s: float) -> Trend:
    """The straight line through the samples taken from *after_s* on."""
    late = [each for each in samples if each.at_s >= after_s]
    slope, _ = np.polyfit([each.at_s for each in late], [each.resident_mb for each in late], 1)
    return Trend(
        first_mb=round(late[0].resident_mb, 2),
        last_mb=round(late[-1].resident_mb, 2),
        slope_mb_per_h=round(float(slope) * 3600, 3),
        descriptors=(
            min(each.descriptors for each in late),
            max(each.descriptors for each in late),
        ),
        threads=(min(each.threads for each in late), max(each.threads for each in late)),
    )


def write_samples(path: Path, samples: Sequence[Sample], found: Trend) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"trend": asdict(found), "samples": [asdict(each) for each in samples]}
    path.write_text(json.dumps(document, indent=1) + "\n")


def census() -> Counter[str]:
    """Living objects by the name of their class, as far as the garbage collector sees them."""
    gc.collect()
    found: Counter[str] = Counter()
    for each in gc.get_objects():
        kind = type(each)
        found[f"{kind.__module__}.{kind.__qualname__}"] += 1
    return found


async def at_instants(instants_s: Sequence[float], look: Callable[[float], None]) -> None:
    """Call *look* at each of the instants, s on the loop's clock from now."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    for at_s in instants_s:
        await asyncio.sleep(max(0.0, start_s + at_s - loop.time()))
        look(at_s)
