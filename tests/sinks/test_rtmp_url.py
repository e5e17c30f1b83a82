"""RTMP addresses taken apart, and kept to themselves."""

import pytest

from worker.sinks.rtmp_url import parse_rtmp_url


@pytest.mark.parametrize(
    ("text", "host", "port", "app", "key"),
    [
        ("rtmp://example.org/live/key", "example.org", 1935, "live", "key"),
        ("rtmps://example.org/live/key", "example.org", 443, "live", "key"),
        ("RTMP://Example.org:1936/live/Key", "example.org", 1936, "live", "Key"),
        ("rtmp://h/live/key?a=b/c&d", "h", 1935, "live", "key?a=b/c&d"),
        ("rtmp://h/app/instance/key", "h", 1935, "app/instance", "key"),
        ("rtmp://h/app/instance/a/b", "h", 1935, "app/instance", "a/b"),
        ("rtmp://h/app?vhost=v/key", "h", 1935, "app?vhost=v", "key"),
        ("rtmp://[2001:db8::1]:1935/live/key", "2001:db8::1", 1935, "live", "key"),
    ],
)
def test_an_address_names_a_server_an_application_and_a_stream(text, host, port, app, key):
    target = parse_rtmp_url(text)

    assert (target.host, target.port, target.app, target.key) == (host, port, app, key)


@pytest.mark.parametrize(
    "text",
    [
        *("", "rtmp://", "rtmp:///live/key", "http://h/live/key", "file:///etc/passwd"),
        *("rtmp://h", "rtmp://h/", "rtmp://h/live", "rtmp://h/live/", "rtmp://h/live?key=1"),
        *("rtmp://user:pass@h/live/key", "rtmp://h/live/key#x", "rtmp://h:0/live/key"),
        *("rtmp://h:99999/live/key", "rtmp://h:x/live/key", "rtmp://[::1/live/key"),
        *("rtmp://h/live/k\r\ney", "rtmp://h/live/a key", "rtmp://h/live/" + "k" * 2048),
    ],
)
def test_anything_else_is_refused_without_being_repeated(text):
    with pytest.raises(ValueError, match=r"^(must|is not)") as caught:
        parse_rtmp_url(text)
    for secret in ("key", "pass", "k\r\ney"):
        assert secret not in str(caught.value).replace("app/key", "")


def test_neither_path_nor_key_is_shown():
    target = parse_rtmp_url("rtmps://example.org:8443/s3cret-app/s3cret-key?t=s3cret")

    assert "s3cret" not in repr(target) + target.address
    assert target.address == "rtmps://example.org"
    assert target.tc_url == "rtmps://example.org:8443/s3cret-app"
    assert parse_rtmp_url("rtmp://[2001:db8::1]/a/k").address == "rtmp://[2001:db8::1]"
