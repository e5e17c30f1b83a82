"""When files begin and end."""

from worker.core.record.naming import KeyTemplate
from worker.core.record.plan import FileCut, RecordPlan
from worker.core.record.rule import FileRule, ObjectAddress, RecordFormat, RecordRule

FPS = 15
S = 1_000_000_000
ADDRESS = ObjectAddress("here", "bucket")


def rule(cycle_s=0, merge_s: int | None = 0, slice_s=None) -> FileRule:
    return FileRule(KeyTemplate("x"), cycle_s, merge_s, slice_s)


def run(
    files: FileRule,
    presence: list[tuple[float, bool]],
    seconds: int,
    *,
    fps: int | None = FPS,
    origin_s: float = 100,
) -> tuple[list[tuple[float, bool]], list[float]]:
    """Cuts as (second, begins), and the seconds of keyframes that were wanted."""
    record = RecordRule(ADDRESS, hls=files)
    plan = RecordPlan(record, fps=fps, unix_offset_s=1000)
    plan.begin(round(origin_s * S))
    for at_s, present in presence:
        plan.note(round((origin_s + at_s) * S), present=present)
    rate = fps or 50
    keyframes = [step / rate for step in range(seconds * rate) if plan.advance(step)]
    cuts = [(cut.sample / 48_000, cut.begins) for cut in plan.cuts(RecordFormat.HLS)]
    return cuts, keyframes


def test_a_cycle_cuts_again_and_again_with_a_keyframe_each():
    cuts, keyframes = run(rule(cycle_s=7), [(0, True)], 30)
    assert cuts == [(0, True), (7, True), (14, True), (21, True), (28, True)]
    assert keyframes == [0, 7, 14, 21, 28]


def test_segments_want_keyframes_counted_from_the_files_begin():
    cuts, keyframes = run(rule(cycle_s=7, slice_s=3), [(0, True)], 15)
    assert [second for second, _ in cuts] == [0, 7, 14]
    assert keyframes == [0, 3, 6, 7, 10, 13, 14]


def test_without_a_cycle_there_is_one_file():
    assert run(rule(cycle_s=0), [(0, True)], 600)[0] == [(0, True)]


def test_nothing_is_recorded_before_somebody_comes():
    cuts, keyframes = run(rule(cycle_s=60), [(5.01, True)], 70)
    first = 76 / FPS  # the first frame of which the start has seen the newcomer
    assert cuts == [(first, True), (first + 60, True)]
    assert keyframes == [first, first + 60]
    assert run(rule(), [], 30) == ([], [])


def test_an_interruption_ends_the_file_and_the_return_begins_another():
    cuts, _ = run(rule(merge_s=0), [(0, True), (10, False), (20, True)], 40)
    assert cuts == [(0, True), (11, False), (20, True)]


def test_who_is_back_within_a_second_was_never_gone():
    flapping = [(0.0, True)]
    for second in range(1, 30):
        flapping += [(second, False), (second + 0.9, True)]
    assert run(rule(merge_s=0), flapping, 40)[0] == [(0, True)]


def test_an_interruption_within_the_merge_time_stays_in_the_file():
    away = [(0, True), (10, False), (39.9, True), (50, False)]
    cuts, _ = run(rule(merge_s=30), away, 100)
    assert cuts == [(0, True), (80, False)]


def test_always_merging_keeps_one_file_through_any_interruption():
    away = [(0, True), (10, False), (3000, True)]
    assert run(rule(merge_s=None), away, 3100)[0] == [(0, True)]


def test_a_cycle_counts_from_the_return():
    away = [(0, True), (10, False), (33, True)]
    cuts, _ = run(rule(cycle_s=60), away, 100)
    assert cuts == [(0, True), (11, False), (33, True), (93, True)]


def test_without_video_cuts_lie_on_blocks():
    cuts, _ = run(rule(cycle_s=60), [(0.03, True)], 130, fps=None)
    assert cuts == [(0.04, True), (60.04, True), (120.04, True)]


def test_who_is_there_before_the_recording_begins_counts_from_its_start():
    assert run(rule(), [(-3, True)], 5)[0] == [(0, True)]


def test_each_format_is_cut_by_itself():
    record = RecordRule(ADDRESS, mp4=rule(cycle_s=4), hls=rule(cycle_s=6))
    plan = RecordPlan(record, fps=FPS, unix_offset_s=0)
    plan.begin(0)
    plan.note(0, present=True)
    keyframes = [step / FPS for step in range(13 * FPS) if plan.advance(step)]
    assert keyframes == [0, 4, 6, 8, 12]
    assert list(plan.cuts(RecordFormat.MP4))[:2] == [FileCut(0, True), FileCut(4 * 48_000, True)]
    assert list(plan.cuts(RecordFormat.HLS))[1] == FileCut(6 * 48_000, True)


def test_steps_may_be_decided_many_at_once():
    record = RecordRule(ADDRESS, mp4=rule(cycle_s=4))
    plan = RecordPlan(record, fps=None, unix_offset_s=0)
    plan.begin(0)
    plan.note(0, present=True)
    plan.advance(50 * 9)
    assert [cut.sample // 48_000 for cut in plan.cuts(RecordFormat.MP4)] == [0, 4, 8]


def test_the_wall_clock_is_the_one_of_the_begin():
    plan = RecordPlan(RecordRule(ADDRESS, mp4=rule()), fps=FPS, unix_offset_s=1_000_000)
    plan.begin(5 * S)
    assert plan.origin_unix_s == 1_000_005


def test_the_cuts_of_a_sink_that_is_down_do_not_pile_up():
    record = RecordRule(ADDRESS, mp4=rule(cycle_s=1))
    plan = RecordPlan(record, fps=None, unix_offset_s=0)
    plan.begin(0)
    plan.note(0, present=True)
    plan.advance(50 * 5000)
    assert len(plan.cuts(RecordFormat.MP4)) == 1024
