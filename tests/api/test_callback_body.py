"""Bodies of callbacks: API reference section 8, every field with its type."""

import json
from dataclasses import replace

from tests.support.record_events import completed, over, recorded_file, started
from worker.api.wire.callback import CallbackFacts, callback_body
from worker.ports import FileCompleted

FACTS = CallbackFacts(
    app_id="5e9fd2c1a8b7c6d5e4f30201",
    room_id="room001",
    stream_name="job-stream",
    obs_location="cn-north-4",
    download_root="https://s3.example:9000/bucket",
)
HEAD = {
    "job_id": "job",
    "stream_name": "job-stream",
    "app_id": "5e9fd2c1a8b7c6d5e4f30201",
    "room_id": "room001",
}


def test_a_file_that_began():
    assert json.loads(callback_body(started(), FACTS)) == HEAD | {
        "event_type": "RECORD_NEW_FILE_START",
        "record_format": "MP4",
    }


def test_a_file_that_is_complete():
    event = FileCompleted(
        replace(recorded_file(), key="app/a b/ü.mp4"), "s3://bucket", size=123_456, duration_s=59.97
    )

    body = json.loads(callback_body(event, FACTS))

    assert body == HEAD | {
        "event_type": "RECORD_FILE_COMPLETE",
        "record_format": "MP4",
        "download_url": "https://s3.example:9000/bucket/app/a%20b/%C3%BC.mp4",
        "file_size": 123_456,
        "record_duration": 60,
        "width": 1280,
        "height": 720,
        "start_time": "2026-01-02T03:04:05Z",
        "end_time": "2026-01-02T03:05:04Z",
        "obs_location": "cn-north-4",
        "obs_bucket": "bucket",
        "obs_object": "app/a b/ü.mp4",
    }
    for name in ("file_size", "record_duration", "width", "height"):
        assert type(body[name]) is int


def test_a_file_in_a_directory_has_no_bucket():
    event = replace(completed(), location="file:///srv/recordings")

    body = json.loads(callback_body(event, replace(FACTS, download_root="")))

    assert body["obs_bucket"] == ""
    assert body["download_url"] == "file:///srv/recordings/app/job/1.mp4"


def test_the_end_of_a_job_under_either_of_its_names():
    assert json.loads(callback_body(over(), FACTS)) == HEAD | {
        "event_type": "CLOUD_RECORD_SERVER_OVER",
        "detail_message": "tenant_stop",
    }

    other = callback_body(over(), replace(FACTS, over_event="CLOUD_RECORD_OVER"))
    assert json.loads(other)["event_type"] == "CLOUD_RECORD_OVER"


def test_a_body_is_utf_8_and_the_same_each_time():
    facts = replace(FACTS, stream_name="Besprechung-ü")

    assert "Besprechung-ü".encode() in callback_body(started(), facts)
    assert callback_body(started(), facts) == callback_body(started(), facts)
