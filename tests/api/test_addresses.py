from collections.abc import Callable
from pathlib import Path

import pytest

from worker.api.wire.addresses import directory, file_name, image_address, room_url


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/object",
        "s3://my.bucket-1/folder/picture one.png",
        "s3://bkt/ähnlich.png",
        "s3://bkt/100%.png",
        "s3://bkt/" + "x" * 1024,
        "file:///srv/images/a.png",
        "file:///srv/a%20b.png",
    ],
)
def test_image_addresses_stay_as_they_were_written(text: str) -> None:
    assert image_address(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://host/a.png",
        "https://host/a.png",
        "a.png",
        "/srv/a.png",
        "S3://bucket/object",
        "s3:/bucket/object",
        "s3://",
        "s3://bucket",
        "s3://bucket/",
        "s3:///object",
        "s3://b/object",
        "s3://" + "b" * 64 + "/object",
        "s3://bu..cket/object",
        "s3://-bucket/object",
        "s3://user:key@bucket/object",
        "s3://bucket/../object",
        "s3://bucket/a/..",
        "s3://bucket/./a",
        "s3://bucket/%2e%2E/a",
        "s3://bucket/a\\..\\b",
        "s3://bucket/a%00.png",
        "s3://bucket/a\n.png",
        "s3://bucket/\u202egnp.a",
        "s3://bucket/" + "x" * 1025,
        "s3://bucket/" + "ä" * 513,
        "file://",
        "file://a.png",
        "file://host/srv/a.png",
        "file:///srv/../etc/a.png",
        "file:///srv/%2e%2e/a.png",
        "file:///a%00.png",
        "file:///" + "x" * 4096,
    ],
)
def test_other_image_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        image_address(text)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("out", "out"),
        ("a/b", "a/b"),
        ("/srv/recordings", "/srv/recordings"),
        ("file:///srv/recordings", "/srv/recordings"),
        ("file:///srv/my%20recordings", "/srv/my recordings"),
        # Only addresses are percent-decoded.
        ("/srv/100%25", "/srv/100%25"),
        ("Aufnahmen März", "Aufnahmen März"),
    ],
)
def test_a_directory_is_a_path_or_a_file_address(text: str, path: str) -> None:
    assert directory(text) == Path(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "../out",
        "a/../b",
        "./out",
        "a\\..\\b",
        "a\nb",
        "a\x7fb",
        "x" * 4097,
        "s3://bucket/recordings",
        "http://host/recordings",
        "file://host/recordings",
        "file://recordings",
        "file:///srv/../etc",
        "file:///srv/%2e%2e/etc",
        "file:///srv/%0a",
    ],
)
def test_other_directories_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        directory(text)


@pytest.mark.parametrize("text", ["a", "m_1_room", "Montag, 3. März", "x" * 200, "a..b"])
def test_a_name_is_any_printable_file_name(text: str) -> None:
    assert file_name(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        ".hidden",
        "a/b",
        "/a",
        "a\\b",
        "../a",
        "a\nb",
        "a\u202eb",
        "x" * 201,
        "ä" * 101,
    ],
)
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        file_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "ws://127.0.0.1:8080/ws",
        "ws://localhost/ws",
        "wss://rooms.example.org/ws?token=abc",
        "ws://[::1]:8080/ws",
        "ws://h:65535",
        "ws://host/" + "x" * 2038,
    ],
)
def test_a_room_address_is_a_websocket_address(text: str) -> None:
    assert room_url(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://127.0.0.1/ws",
        "127.0.0.1:8080",
        "ws:",
        "ws://",
        "ws:///ws",
        "ws://:8080/ws",
        "ws://host:0/ws",
        "ws://host:65536/ws",
        "ws://host:x/ws",
        "ws://[::1/ws",
        "ws://user:secret@host/ws",
        "ws://@host/ws",
        "ws://host/ws#fragment",
        "ws://host/w s",
        "ws://host/ws\n",
        "ws://hös.example/ws",
        "ws://host/" + "x" * 2039,
    ],
)
def test_other_room_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        room_url(text)


@pytest.mark.parametrize("parse", [image_address, directory, room_url])
def test_what_is_refused_is_not_repeated(parse: Callable[[str], object]) -> None:
    with pytest.raises(ValueError) as refused:
        parse("http://user:secret@host/../x")
    assert "secret" not in str(refused.value)
