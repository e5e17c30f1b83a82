"""Nothing is open by default beyond loopback, and foreign pages stay out."""

import pytest

from worker.errors import InvalidField
from worker.testroom.access import (
    bears,
    check_exposure,
    is_local_name,
    is_loopback,
    is_same_origin,
)

TOKEN = "a-token-of-some-length"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost", "LOCALHOST"])
def test_loopback_needs_no_permission(host: str) -> None:
    check_exposure(host, None, allow_remote=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org", ""])
def test_the_network_needs_permission_and_a_token(host: str) -> None:
    with pytest.raises(InvalidField, match="^host: "):
        check_exposure(host, TOKEN, allow_remote=False)
    with pytest.raises(InvalidField, match="^token: is required"):
        check_exposure(host, None, allow_remote=True)
    check_exposure(host, TOKEN, allow_remote=True)


def test_a_token_that_could_be_guessed_is_refused_anywhere() -> None:
    with pytest.raises(InvalidField, match="^token: must have at least 16"):
        check_exposure("127.0.0.1", "x" * 15, allow_remote=False)


@pytest.mark.parametrize("host", ["127.0.0.1.example.org", "localhost.example.org", "0.0.0.0", "1"])
def test_names_that_only_look_like_loopback_are_not(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("header", "local"),
    [
        ("127.0.0.1:8080", True),
        ("localhost", True),
        ("[::1]:8080", True),
        ("rebound.example.org:8080", False),
        ("127.0.0.1@example.org", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_a_host_header_is_local_or_not(header: str, local: bool) -> None:
    assert is_local_name(header) is local


@pytest.mark.parametrize(
    ("origin", "same"),
    [
        (None, True),
        ("http://127.0.0.1:8080", True),
        ("https://127.0.0.1:8080", True),
        ("http://127.0.0.1:8081", False),
        ("http://localhost:8080", False),
        ("https://example.org", False),
        ("http://127.0.0.1:8080.example.org", False),
        ("file://127.0.0.1:8080", False),
        ("null", False),
        ("", False),
    ],
)
def test_only_pages_of_this_server_have_its_origin(origin: str | None, same: bool) -> None:
    assert is_same_origin(origin, "127.0.0.1:8080") is same


def test_a_bearer_is_known_by_the_whole_token() -> None:
    assert bears(f"Bearer {TOKEN}", TOKEN)
    for wrong in (None, "", TOKEN, f"Bearer {TOKEN}x", "Bearer", f"Basic {TOKEN}"):
        assert not bears(wrong, TOKEN)
