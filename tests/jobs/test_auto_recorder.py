"""Who publishes in a new room is recorded by itself: once, while they are there."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.jobs.control import ACCOUNT, APP, Control, control, job_record
from worker.core.lifecycle import State, StopReason
from worker.errors import RoomError
from worker.jobs.auto_recorder import ABSENCE_MS, AutoRecorder, Stream
from worker.jobs.desk import Room
from worker.jobs.values import AppState, AutoRecord, JobKind, JobRecord, Rule
from worker.ports import RoomPresence

RULE = "e" * 32
ADA, BOB = RoomPresence("ada"), RoomPresence("bob", shares_screen=True)


@dataclass
class FakeKeeper:
    rooms: dict[str, list[RoomPresence]] = field(default_factory=dict)
    is_down: bool = False

    async def people(self) -> Mapping[str, Sequence[RoomPresence]]:
        if self.is_down:
            raise RoomError("down")
        return self.rooms

    async def dismiss(self, room_id: str) -> bool:
        return False

    async def remove_users(self, room_id: str, user_ids: Sequence[str]) -> None:
        pass


@dataclass
class Scene:
    plane: Control
    keeper: FakeKeeper
    recorder: AutoRecorder

    async def look(self, after_ms: int = 2000) -> None:
        self.plane.wall.now_ms += after_ms
        await self.recorder.look()

    async def live(self) -> list[str]:
        """Whose streams are recorded, in the order they began."""
        jobs = await self.plane.records.unfinished_jobs()
        return [job.stream_name.removeprefix(f"{APP}_room1_") for job in jobs if job.is_live]


def recorder_of(plane: Control, keeper: FakeKeeper) -> AutoRecorder:
    def job_of(stream: Stream) -> JobRecord:
        kind = "v_a" if stream.is_screen else "av_m"
        # In the order in which they are asked for.
        plane.wall.now_ms += 1
        return job_record(
            f"{plane.wall():032}",
            plane.wall,
            kind=JobKind.INDIVIDUAL,
            unique_id=stream.key,
            room_id=stream.room_id,
            stream_name=f"{APP}_{stream.room_id}_{stream.user_id}_{kind}",
            asked={"rule_id": stream.rule.rule_id},
        )

    return AutoRecorder(
        plane.records,
        plane.desk,
        lambda app_id: keeper,
        job_of=job_of,
        is_automatic=lambda job: job.stream_name.startswith(APP),
        is_leader=lambda: True,
        unix_ms=plane.wall,
    )


@asynccontextmanager
async def scene(directory: Path, room: Room | None = None) -> AsyncIterator[Scene]:
    async with control(directory, room=room) as plane:
        rule = Rule(RULE, APP, "here", {}, plane.wall(), plane.wall())
        await plane.records.put_rule(ACCOUNT, rule)
        keeper = FakeKeeper()
        yield Scene(plane, keeper, recorder_of(plane, keeper))


async def switch(plane: Control, *, on: bool, rule_id: str = RULE) -> None:
    auto = AutoRecord(on, rule_id if on else "", plane.wall())
    await plane.records.set_auto_record(ACCOUNT, APP, auto)


async def test_everybody_in_a_new_room_is_recorded_screens_apart(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        await switch(on.plane, on=True)
        await on.look()
        on.keeper.rooms = {"room1": [ADA]}
        await on.look()
        assert await on.live() == ["ada_av_m"]
        on.keeper.rooms = {"room1": [ADA, BOB]}
        await on.look()
        await on.look()
        assert await on.live() == ["ada_av_m", "bob_av_m", "bob_v_a"]


async def test_rooms_from_before_it_was_switched_on_are_left_alone(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        on.keeper.rooms = {"room1": [ADA]}
        await on.look()
        await switch(on.plane, on=True)
        await on.look()
        await on.look()
        assert await on.live() == []
        on.keeper.rooms = {}
        await on.look()
        on.keeper.rooms = {"room1": [ADA]}
        await on.look()
        assert await on.live() == ["ada_av_m"], "empty in between, so it is a new room"


async def test_nothing_is_recorded_that_nobody_switched_on(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        await switch(on.plane, on=True)
        await switch(on.plane, on=False)
        await on.look()
        on.keeper.rooms = {"room1": [ADA]}
        await on.look()
        assert await on.live() == []


async def test_who_comes_back_soon_goes_on_and_who_stays_away_is_done(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        await switch(on.plane, on=True)
        await on.look()
        on.keeper.rooms = {"room1": [ADA, BOB]}
        await on.look()
        on.keeper.rooms = {"room1": [BOB]}
        await on.look()
        await on.look(after_ms=ABSENCE_MS - 5000)
        on.keeper.rooms = {"room1": [ADA, BOB]}
        await on.look()
        assert "ada_av_m" in await on.live()
        on.keeper.rooms = {"room1": [BOB]}
        await on.look()
        await on.look(after_ms=ABSENCE_MS)
        assert await on.live() == ["bob_av_m", "bob_v_a"]
        on.keeper.rooms = {"room1": [ADA, BOB]}
        await on.look()
        assert "ada_av_m" in await on.live(), "a job of its own"


@pytest.mark.parametrize("how", ["switched off", "application stopped"])
async def test_what_is_recorded_goes_on_until_they_leave_whatever_is_switched(
    tmp_path: Path, how: str
) -> None:
    async with scene(tmp_path) as on:
        await switch(on.plane, on=True)
        await on.look()
        on.keeper.rooms = {"room1": [ADA]}
        await on.look()
        if how == "switched off":
            await switch(on.plane, on=False)
        else:
            await on.plane.records.set_app_state(ACCOUNT, APP, AppState.STOPPED, on.plane.wall())
        on.keeper.rooms = {"room1": [ADA, BOB]}
        await on.look()
        await on.look(after_ms=2 * ABSENCE_MS)
        assert await on.live() == ["ada_av_m"], "and none begins"
        on.keeper.rooms = {"room1": [BOB]}
        await on.look()
        await on.look(after_ms=ABSENCE_MS)
        assert await on.live() == []


async def test_a_room_keeps_the_rule_it_began_with(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        await switch(on.plane, on=True)
        await on.look()
        on.keeper.rooms = {"room1": []}
        await on.look()
        other = Rule("d" * 32, APP, "there", {}, on.plane.wall(), on.plane.wall())
        await on.plane.records.put_rule(ACCOUNT, other)
        await switch(on.plane, on=True, rule_id=other.rule_id)
        on.keeper.rooms = {"room1": [ADA], "room2": [BOB]}
        await on.look()
        jobs = await on.plane.records.unfinished_jobs()
        rules = {job.room_id: job.asked["rule_id"] for job in jobs}
        assert rules == {"room1": RULE, "room2": other.rule_id}


async def test_what_a_tenant_has_stopped_is_not_begun_again_while_they_are_there(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as on:
        await switch(on.plane, on=True)
        await on.look()
        on.keeper.rooms = {"room1": [ADA]}
        await on.look()
        [job] = await on.plane.records.unfinished_jobs()
        await on.plane.desk.stop(ACCOUNT, APP, JobKind.INDIVIDUAL, job.job_id)
        await on.look()
        assert await on.live() == []


async def test_a_restarted_control_plane_goes_on_with_the_rooms_that_are_recorded(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as on:
        await switch(on.plane, on=True)
        await on.look()
        on.keeper.rooms = {"room1": [ADA], "room2": []}
        await on.look()
        on.recorder = recorder_of(on.plane, on.keeper)
        on.keeper.rooms = {"room1": [ADA, BOB], "room2": [ADA]}
        await on.look()
        assert await on.live() == ["ada_av_m", "bob_av_m", "bob_v_a"]


async def test_without_room_for_a_job_it_is_tried_again(tmp_path: Path) -> None:
    async with scene(tmp_path, Room(cores=1.0)) as on:
        await switch(on.plane, on=True)
        other = await on.plane.create("f" * 32)
        await on.look()
        on.keeper.rooms = {"room1": [ADA]}
        await on.look()
        assert await on.live() == [other.stream_name]

        def over(job: JobRecord) -> JobRecord:
            ended = replace(job, state=State.STOPPED, reason=StopReason.MAX_IDLE)
            return replace(ended, stopped_unix_ms=on.plane.wall(), is_over=True)

        await on.plane.records.change_job(other.job_id, over)
        await on.look()
        assert await on.live() == ["ada_av_m"]


async def test_a_room_server_that_is_down_changes_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        await switch(on.plane, on=True)
        await on.look()
        on.keeper.rooms = {"room1": [ADA]}
        await on.look()
        on.keeper.is_down = True
        with pytest.raises(RoomError):
            await on.look(after_ms=10 * ABSENCE_MS)
        on.keeper.is_down = False
        await on.look()
        assert await on.live() == ["ada_av_m"]
