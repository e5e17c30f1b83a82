"""What recorded files are called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.record.naming import FileNames, KeyTemplate, playlist_key, segment_key

START_UNIX_S = 1_619_600_227.9  # 2021-04-28 08:57:07 UTC, the API page's example


def names(prefix: str | None = None, **values: str) -> FileNames:
    given = {
        "app_id": "607a",
        "stream": "m_job_room",
        "record_format": "HLS",
        "extension": ".m3u8",
        "key_prefix": "",
    }
    template = KeyTemplate() if prefix is None else KeyTemplate(prefix)
    return FileNames(template, **(given | values))


def test_the_default_prefix_is_the_one_of_the_api():
    assert names().next(START_UNIX_S) == (
        "607a/hls/m_job_room_2021-04-28-08-57-07/m_job_room_2021-04-28-08-57-07.m3u8"
    )


def test_the_older_macros_give_what_the_callback_page_shows():
    older = (
        "Record/{publish_domain}/{app}/{record_type}/{record_format}/"
        "{stream}_{file_start_time}/{stream}_{file_start_time}"
    )
    assert names(older, key_prefix="Record/").next(START_UNIX_S) == (
        "Record/Record/607a.SparkRTC.myhuaweicloud.com/live/continuous_record/hls/"
        "m_job_room_2021-04-28-08-57-07/m_job_room_2021-04-28-08-57-07.m3u8"
    )


def test_the_format_is_lower_case_in_names():
    mp4 = names("{record_format}/x", record_format="MP4", extension=".mp4")
    assert mp4.next(0) == "mp4/x.mp4"


@pytest.mark.parametrize(
    "prefix",
    ["{room}/x", "{}", "a{", "a}b", "{{app}}", "{app", "/x", "x/", "a//b", "", "..", "a/../b",
     "./a", "a/.", "a\\b", "a\nb", "a\u202eb"],
)  # fmt: skip
def test_a_prefix_that_makes_no_key_is_refused(prefix):
    with pytest.raises(ValueError, match="must"):
        KeyTemplate(prefix)


def test_values_are_cleaned_before_they_are_put_in():
    assert names("{stream}/x", stream="../a b/ü").next(0) == ".._a_b__/x.m3u8"
    assert names("{stream}/x", stream="..").next(0) == "__/x.m3u8"
    assert names("{stream}", stream="{app}").next(0) == "_app_.m3u8"


def test_no_key_is_given_out_twice():
    fixed = names("fixed")
    assert [fixed.next(second) for second in (0, 1, 2)] == [
        "fixed.m3u8",
        "fixed_1.m3u8",
        "fixed_2.m3u8",
    ]


def test_names_that_are_too_long_are_refused_at_once():
    with pytest.raises(ValueError, match="512"):
        names("x" * 505 + "{stream}")
    with pytest.raises(ValueError, match="1024"):
        names("x" * 500, key_prefix="y" * 500)


def test_segments_lie_beside_their_playlist():
    assert segment_key("a.b/c.m3u8", 7) == "a.b/c_00007.ts"


def test_a_playlist_gives_way_where_its_segments_had_to():
    assert playlist_key("a/x.m3u8", 0, "a/x_00000.ts") == "a/x.m3u8"
    assert playlist_key("a/x.m3u8", 0, "a/x_00000_2.ts") == "a/x-2.m3u8"


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_the_ids_are_the_key_stays_in_its_folder(app_id, stream):
    key = names("{app_id}/{stream}/x", app_id=app_id or "a", stream=stream or "s").next(0)
    parts = key.split("/")
    assert len(parts) == 3
    assert not {".", "..", ""} & set(parts)
    assert key.isascii()
