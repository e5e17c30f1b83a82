"""Record rules, push addresses and callbacks of a job document."""

import json
from copy import deepcopy
from typing import Any

import pytest

from worker.api.wire.job_document import parse_job_document
from worker.core.record.naming import DEFAULT_PREFIX
from worker.core.record.rule import ObjectAddress, RecordFormat
from worker.core.spec import CallbackEvent, JobSpec
from worker.errors import InvalidField

KEY = "8923ab8c2dcef4538923ab8c2dcef453"
JOB: dict[str, Any] = {
    "job_id": "job-1",
    "room": {"kind": "testroom", "url": "ws://127.0.0.1:8080/ws"},
    "mix_param": {
        "room_id": "demo",
        "encode_template": "1280x720_30_1710",
        "layout_template": "nine_grids_view",
    },
    "output": {"directory": "out"},
    "record": {
        "rule_id": "0123456789abcdef0123456789abcdef",
        "app_id": "607a1b2c3d4e5f6071829304",
        "obs_addr": {
            "location": "cn-north-4",
            "project_id": "p",
            "bucket": "records",
            "object": "Record/",
        },
        "record_formats": ["HLS", "MP4"],
        "hls_config": {},
        "mp4_config": {},
        "create_time": "2021-04-16T16:22:44Z",
        "update_time": "2021-04-16T16:22:44Z",
    },
    "publish_param": {"rtmp_urls": ["rtmp://host/app/key"]},
    "callback": {"url": "https://host/hook?token=hidden", "auth_key": KEY},
}


def parsed(**changes: object) -> JobSpec:
    return parse_job_document(json.dumps(changed(changes)))


def changed(changes: dict[str, object]) -> dict[str, Any]:
    """JOB with values put in by path, parts joined by `__`."""
    job = deepcopy(JOB)
    for path, value in changes.items():
        *parents, key = path.split("__")
        target = job
        for parent in parents:
            target = target[parent]
        target[key] = value
    return job


def complaint(**changes: object) -> str:
    with pytest.raises(InvalidField) as refused:
        parsed(**changes)
    return str(refused.value)


def test_the_defaults_are_those_of_the_api():
    spec = parsed()
    rule = spec.record
    assert rule is not None
    assert rule.address == ObjectAddress("cn-north-4", "records", "Record/")
    assert rule.store is None
    mp4, hls = rule.files[RecordFormat.MP4], rule.files[RecordFormat.HLS]
    assert (mp4.cycle_s, mp4.merge_s, mp4.slice_s) == (7200, 0, None)
    assert (hls.cycle_s, hls.merge_s, hls.slice_s) == (0, 0, 10)
    assert mp4.keys.text == hls.keys.text == DEFAULT_PREFIX
    assert (spec.app_id, spec.stream_name) == ("607a1b2c3d4e5f6071829304", "job-1")


def test_a_job_without_a_rule_is_what_it_was():
    job = deepcopy(JOB)
    for key in ("record", "publish_param", "callback"):
        del job[key]
    spec = parse_job_document(json.dumps(job))
    assert (spec.record, spec.rtmp_urls, spec.callback) == (None, (), None)
    assert (spec.app_id, spec.stream_name) == ("mixworker", "job-1")


def test_app_and_stream_can_be_named():
    spec = parsed(app_id="app", stream_name="m_job_room")
    assert (spec.app_id, spec.stream_name) == ("app", "m_job_room")


@pytest.mark.parametrize(
    ("path", "good", "bad"),
    [
        ("record__hls_config__record_cycle", [0, 60, 43_200, None], [-1, 1, 59, 43_201]),
        ("record__mp4_config__record_cycle", [60, 10_800, None], [-1, 0, 59, 10_801]),
        ("record__hls_config__record_slice_duration", [2, 60, None], [-2, 0, 1, 61]),
        (
            "record__hls_config__record_max_duration_to_merge_file",
            [-1, 0, 1, 300, None],
            [-2, 301],
        ),
        ("record__mp4_config__record_max_duration_to_merge_file", [0, 300, None], [-1, 301]),
    ],
)
def test_numbers_have_the_ranges_of_the_api(path, good, bad):
    for value in good:
        parsed(**{path: value})
    for value in bad:
        assert complaint(**{path: value}).startswith(f"{path.replace('__', '.')}: {value} is ")
    for value in ("60", 60.5, True, []):
        assert "must be a whole number" in complaint(**{path: value})


def test_minus_one_merges_whatever_the_interruption():
    rule = parsed(record__hls_config__record_max_duration_to_merge_file=-1).record
    assert rule is not None
    assert rule.hls is not None
    assert rule.hls.merge_s is None


def test_formats_are_merged_and_only_known_ones_taken():
    rule = parsed(record__record_formats=["MP4", "MP4"]).record
    assert rule is not None
    assert list(rule.files) == [RecordFormat.MP4]
    assert "must not be empty" in complaint(record__record_formats=[])
    for formats in (["mp4"], ["AVI"], ["MP4", None]):
        assert complaint(record__record_formats=formats).startswith("record.record_formats[")


def test_a_format_needs_its_settings_and_only_they_are_looked_at():
    assert complaint(record__hls_config=None) == "record.hls_config: is missing"
    # The API itself gives zeros for what is not recorded.
    rule = parsed(record__record_formats=["HLS"], record__mp4_config__record_cycle=0).record
    assert rule is not None
    assert rule.mp4 is None


@pytest.mark.parametrize(
    "prefix",
    ["{room}/x", "../x", "a/../b", "x/", "/x", "a\nb", "{stream", "x" * 600, "é" * 300],
)
def test_a_prefix_that_makes_no_key_is_refused_where_it_stands(prefix):
    message = complaint(record__mp4_config__record_prefix=prefix)
    assert message.startswith("record.mp4_config.record_prefix: ")


def test_a_prefix_may_use_every_macro():
    older = "Record/{publish_domain}/{app}/{record_type}/{record_format}/{stream}_{file_start_time}"
    rule = parsed(record__hls_config__record_prefix=older).record
    assert rule is not None
    key = rule.names(RecordFormat.HLS, app_id="607a", stream="s").next(1_619_600_227)
    assert key == (
        "Record/Record/607a.SparkRTC.myhuaweicloud.com/live/continuous_record/hls/"
        "s_2021-04-28-08-57-07.m3u8"
    )


@pytest.mark.parametrize("text", ["../", "/x", "a//", "x" * 1025, "a\x07", "a/./b", "a\\b"])
def test_a_folder_outside_the_bucket_is_refused(text):
    assert complaint(record__obs_addr__object=text).startswith("record.obs_addr.object: ")


@pytest.mark.parametrize("text", [None, "", "records", "records/", "a/b/"])
def test_a_folder_may_be_left_out(text):
    parsed(record__obs_addr__object=text)


def test_bucket_and_location_must_be_names():
    assert complaint(record__obs_addr__bucket="a/b").startswith("record.obs_addr.bucket: ")
    assert complaint(record__obs_addr__bucket="").startswith("record.obs_addr.bucket: ")
    assert complaint(record__obs_addr__location="http://x").startswith("record.obs_addr.location")


def test_the_store_can_be_named():
    for address in ("s3://records", "file:///var/records"):
        rule = parsed(store=address).record
        assert rule is not None
        assert rule.store == address
    for address in ("s3://records/key", "http://x", "file://x", "file:///a/../b", "s3://"):
        assert complaint(store=address).startswith("store: ")
    assert complaint(store="s3://records", record=None) == "store: is only of use with record"


# --- rtmp_urls ------------------------------------------------------------------------------


def test_push_addresses_are_merged_and_kept_in_order():
    urls = ["rtmp://b/live/1", "rtmps://a:443/live/1?k=v", "rtmp://b/live/1"]
    assert parsed(publish_param={"rtmp_urls": urls}).rtmp_urls == (urls[0], urls[1])
    assert parsed(publish_param={"rtmp_urls": []}).rtmp_urls == ()
    assert parsed(publish_param={"rtmp_urls": None}).rtmp_urls == ()
    assert parsed(publish_param=None).rtmp_urls == ()


@pytest.mark.parametrize(
    "url",
    [
        "http://host/app/secret",
        "file:///app/secret",
        "rtmp:///app/secret",
        "rtmp://user:secret@host/app",
        "rtmp://host/app/se cret",
        "rtmp://host/app/secret\r\nx",
        "rtmp://host:99999/app/secret",
        "rtmp://host",
        "rtmp://host/" + "secret" * 700,
        "secret",
        "",
    ],
)
def test_what_is_no_push_address_is_refused_without_repeating_it(url):
    message = complaint(publish_param={"rtmp_urls": ["rtmp://host/app/key", url]})
    assert message.startswith("publish_param.rtmp_urls[1]: ")
    assert "secret" not in message


def test_six_push_addresses_are_too_many():
    urls = [f"rtmp://host/app/{number}" for number in range(6)]
    assert len(parsed(publish_param={"rtmp_urls": urls[:5]}).rtmp_urls) == 5
    assert "more than 5" in complaint(publish_param={"rtmp_urls": urls})


# --- callback -------------------------------------------------------------------------------


def test_a_callback_hears_of_everything_unless_it_says_otherwise():
    callback = parsed().callback
    assert callback is not None
    assert callback.url == "https://host/hook?token=hidden"
    assert callback.auth_key == KEY
    assert callback.events == frozenset(CallbackEvent)
    some = parsed(callback__events=["RECORD_FILE_COMPLETE", "CLOUD_RECORD_OVER"]).callback
    assert some is not None
    assert some.events == {CallbackEvent.FILE_COMPLETED, CallbackEvent.RECORDING_OVER}
    assert complaint(callback__events=["RTC_X"]).startswith("callback.events[0]: ")


def test_a_key_has_32_to_64_visible_characters_or_is_left_out():
    for key in ("k" * 32, "k" * 64):
        assert parsed(callback__auth_key=key).callback.auth_key == key
    for key in ("", None):
        assert parsed(callback__auth_key=key).callback.auth_key is None
    for key in ("k" * 31, "k" * 65, "k" * 31 + "é", "k" * 31 + " "):
        message = complaint(callback__auth_key=key)
        assert message.startswith("callback.auth_key: ")
        assert key not in message


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "http:///x", "http://user:secret@host/", "http://" + "x" * 3000, "x"]
)
def test_what_is_no_callback_address_is_refused(url):
    message = complaint(callback__url=url)
    assert message.startswith("callback.url: ")
    assert "secret" not in message


def test_secrets_are_in_no_printed_job():
    printed = repr(parsed())
    assert KEY not in printed
    assert "rtmp://" not in printed
    assert "hidden" not in printed
