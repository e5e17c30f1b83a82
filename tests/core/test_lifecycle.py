from itertools import product

import pytest

from worker.core.lifecycle import TRANSITIONS, IdleRule, Lifecycle, State, StopReason, Trigger

S = 1_000_000_000


def test_a_job_runs_and_stops() -> None:
    job = Lifecycle()
    assert (job.state, job.reason) == (State.INIT, None)
    job.pipeline_up()
    assert (job.state, job.reason) == (State.RUNNING, None)
    job.stop(StopReason.MAX_IDLE)
    assert (job.state, job.reason) == (State.STOPPED, StopReason.MAX_IDLE)


def test_a_pipeline_that_comes_up_after_the_stop_revives_nothing() -> None:
    job = Lifecycle()
    job.stop(StopReason.TENANT_STOP)
    job.pipeline_up()
    assert (job.state, job.reason) == (State.STOPPED, StopReason.TENANT_STOP)


def test_the_first_reason_stays() -> None:
    job = Lifecycle()
    job.pipeline_up()
    job.pipeline_up()
    job.stop(StopReason.TENANT_STOP)
    job.stop(StopReason.INTERNAL_ERROR)
    assert job.reason is StopReason.TENANT_STOP


def test_every_state_answers_every_trigger_and_stopped_is_final() -> None:
    assert set(TRANSITIONS) == set(product(State, Trigger))
    assert {TRANSITIONS[State.STOPPED, trigger] for trigger in Trigger} == {State.STOPPED}
    assert {TRANSITIONS[state, Trigger.STOP] for state in State} == {State.STOPPED}


@pytest.mark.parametrize("max_idle_s", [5, 30, 43_200])
def test_an_empty_room_ends_the_job_after_its_idle_time(max_idle_s: int) -> None:
    rule = IdleRule(max_idle_s)
    assert rule.deadline_ns is None
    deadline = rule.observe(publisher_present=False, confirmed=True, now_ns=7 * S)
    assert deadline == rule.deadline_ns == (7 + max_idle_s) * S


def test_looking_again_does_not_move_the_deadline() -> None:
    rule = IdleRule(5)
    rule.observe(publisher_present=False, confirmed=True, now_ns=1 * S)
    assert rule.observe(publisher_present=False, confirmed=True, now_ns=4 * S) == 6 * S


def test_a_publisher_resets_the_wait() -> None:
    rule = IdleRule(5)
    rule.observe(publisher_present=False, confirmed=True, now_ns=0)
    assert rule.observe(publisher_present=True, confirmed=True, now_ns=4 * S) is None
    assert rule.observe(publisher_present=False, confirmed=True, now_ns=10 * S) == 15 * S


def test_a_room_that_cannot_be_seen_is_not_empty() -> None:
    rule = IdleRule(5)
    assert rule.observe(publisher_present=False, confirmed=False, now_ns=0) is None
    rule.observe(publisher_present=False, confirmed=True, now_ns=1 * S)
    assert rule.observe(publisher_present=False, confirmed=False, now_ns=4 * S) is None
    assert rule.observe(publisher_present=True, confirmed=False, now_ns=100 * S) is None


def test_after_an_outage_the_wait_starts_with_the_confirmation() -> None:
    rule = IdleRule(5)
    rule.observe(publisher_present=False, confirmed=True, now_ns=0)
    rule.observe(publisher_present=False, confirmed=False, now_ns=2 * S)
    assert rule.observe(publisher_present=False, confirmed=True, now_ns=60 * S) == 65 * S


def test_a_hundred_times_away_from_an_empty_looking_room_is_not_idle() -> None:
    """Away for longer than the idle time, back with an empty list, filled again just in time."""
    rule = IdleRule(5)
    now_ns = 0
    for _ in range(100):
        assert rule.observe(publisher_present=True, confirmed=True, now_ns=now_ns) is None
        for at_s in (1, 4, 7, 9):
            away_ns = now_ns + at_s * S
            assert rule.observe(publisher_present=False, confirmed=False, now_ns=away_ns) is None
        back_ns = now_ns + 10 * S
        deadline_ns = rule.observe(publisher_present=False, confirmed=True, now_ns=back_ns)
        assert deadline_ns == back_ns + 5 * S
        now_ns = back_ns + 4 * S
