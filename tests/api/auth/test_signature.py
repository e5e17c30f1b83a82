"""Signatures: vectors of the API reference, the official SDK's signer, and what must be refused."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.api.auth.signing import AK, HOST, SK, SdkSigner, Wire
from tests.api.auth.world import NOW_UNIX_MS
from worker.api.auth.signature import is_signed, read_signature

_SIGNED = "content-type;host;user-agent;x-project-id;x-sdk-date"


def is_accepted(wire: Wire, secret: str = SK) -> bool:
    try:
        signature = read_signature(wire.headers)
    except ValueError:
        return False
    return is_signed(signature, secret, wire.method, wire.target, wire.body)


# -- vectors ---------------------------------------------------------------------------------

VECTORS = {
    "post": (
        "POST",
        b"/v2/apps",
        b"application/json;charset=utf-8",
        b'{"app_name": "rtctest"}',
        "45bfa67b4e0227bcfcfa28e8c65fb0fac682faabfa6d9afd3a1454392f142282",
    ),
    "query": (
        "GET",
        b"/v2/apps?limit=100&offset=0&state=A%20B%2Bc%2F~",
        b"application/json",
        b"",
        "b031fc28b4a4d98f650ffd3c8f84aa1dff0ae550229d2a8a37d0cac4ab538ec6",
    ),
    "path": (
        "POST",
        b"/v2/apps/A/rooms/a%2Fb%20%E6%97%A5/dismiss",
        b"application/json",
        b"",
        "759ab88ada84bc6cccd8297c6eed67a8b1eaaa415544b428d9f045ee494c2daa",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_the_vectors_of_the_reference_are_accepted(name: str) -> None:
    method, target, content_type, body, signature = VECTORS[name]
    wire = Wire(
        method,
        target,
        (
            (b"Host", HOST.encode()),
            (b"User-Agent", b"ua/1"),
            (b"X-Project-Id", b"p1"),
            (b"X-Sdk-Date", b"20260102T030405Z"),
            (b"Content-Type", content_type),
            (
                b"Authorization",
                f"SDK-HMAC-SHA256 Access={AK}, SignedHeaders={_SIGNED}, "
                f"Signature={signature}".encode(),
            ),
        ),
        body,
    )

    assert is_accepted(wire)
    assert not is_accepted(wire, secret="another")
    assert read_signature(wire.headers).date_unix_ms == NOW_UNIX_MS


# -- the SDK ---------------------------------------------------------------------------------

ROOMS = {
    "space": "a%20b",
    "slash": "a%2Fb",
    "percent": "100%25",
    "written escape": "a%252Fb",
    "question": "a%3Fb",
    "hash": "a%23b",
    "plus": "a%2Bb",
    "query signs": "a%26%3Db",
    "chinese": "%E6%97%A5%E6%9C%AC",
    "emoji": "%F0%9F%98%80",
    "tilde": "~a~",
    "quotes": "%22%27%3C%3E",
    "semicolon": "a%3Bb%3A%40%21",
}


@pytest.mark.parametrize("room", ROOMS.values(), ids=ROOMS)
def test_awkward_room_ids_are_accepted_as_the_sdk_signs_them(signer: SdkSigner, room: str) -> None:
    wire = signer("POST", f"/v2/apps/A/rooms/{room}/dismiss", unix_ms=NOW_UNIX_MS)

    assert is_accepted(wire)


QUERIES = {
    "chinese": [("name", "日本"), ("区", "一")],
    "spaces": [("name", "a b"), ("a b", "c")],
    "plus and slash": [("name", "a+b/c"), ("z", "=&?")],
    "order of values": [("prefix", ["b", "a", "B", "日", "é"])],
    "order of names": [("b", "1"), ("a", "2"), ("B", "3"), ("a-b", "4"), ("ab", "5")],
    "empty": [("nocatalog", ""), ("limit", 100)],
    "truth": [("flag", True), ("other", False)],
    "beyond the first plane": [("a", "\U0001f600"), ("a￿", "1"), ("a\U0001f600", "2")],
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_awkward_queries_are_accepted_as_the_sdk_signs_them(
    signer: SdkSigner, query: list[tuple[str, object]]
) -> None:
    wire = signer("GET", "/v2/apps", query=query, unix_ms=NOW_UNIX_MS)

    assert is_accepted(wire)


def test_a_query_may_be_sent_in_another_order_than_it_is_signed_in(signer: SdkSigner) -> None:
    wire = signer("GET", "/v2/apps", query=[("a", "1"), ("b", "2")], unix_ms=NOW_UNIX_MS)

    assert is_accepted(replace(wire, target=b"/v2/apps?b=2&&a=1"))


HEADERS = {
    "chinese": {"X-Note": "日本"},
    "outer spaces": {"X-Note": "  two  words  "},
    "project": {"X-Project-Id": "p1"},
    "charset": {"Content-Type": "application/json;charset=utf-8"},
    "underscore": {"X_Note": "not signed"},
    "token": {"X-Auth-Token": "abc"},
    "empty": {"X-Note": ""},
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
def test_awkward_headers_are_accepted_as_the_sdk_signs_them(
    signer: SdkSigner, headers: dict[str, str]
) -> None:
    wire = signer(
        "POST", "/v2/apps", headers=headers, body='{"a": "日本"}'.encode(), unix_ms=NOW_UNIX_MS
    )

    assert is_accepted(wire)


def test_a_body_that_the_sdk_did_not_sign_is_the_senders_decision(signer: SdkSigner) -> None:
    wire = signer(
        "PUT", "/v2/apps", headers={"Content-Type": "text/plain"}, body=b"x", unix_ms=NOW_UNIX_MS
    )

    assert wire.header("X-Sdk-Content-Sha256") == b"UNSIGNED-PAYLOAD"
    assert is_accepted(wire)
    assert not is_accepted(wire.with_header("X-Sdk-Content-Sha256", None))


def test_no_body_can_be_added_to_a_request_that_was_sent_without_one(signer: SdkSigner) -> None:
    wire = signer("PUT", "/v2/apps", headers={"Content-Type": "text/plain"}, unix_ms=NOW_UNIX_MS)

    assert wire.header("X-Sdk-Content-Sha256") == b"UNSIGNED-PAYLOAD"
    assert is_accepted(wire)
    assert not is_accepted(replace(wire, body=b"x"))


def test_a_digest_that_was_sent_must_be_the_bodys(signer: SdkSigner) -> None:
    # As sha256sum prints them, for {} and for nothing.
    right = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    wrong = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

    def sent(digest: str) -> Wire:
        headers = {"X-Sdk-Content-Sha256": digest}
        return signer("POST", "/v2/apps", headers=headers, body=b"{}", unix_ms=NOW_UNIX_MS)

    assert is_accepted(sent(right))
    assert not is_accepted(sent(wrong))


# -- what must be refused --------------------------------------------------------------------


@pytest.fixture
def good(signer: SdkSigner) -> Wire:
    wire = signer(
        "POST",
        "/v2/apps/A/rooms/a%2Fb/dismiss",
        query=[("limit", 100), ("name", "日 本")],
        headers={"X-Project-Id": "p1", "User-Agent": "ua/1"},
        body=b'{"app_name": "rtctest"}',
        unix_ms=NOW_UNIX_MS,
    )
    assert is_accepted(wire)
    return wire


AUTHORIZATIONS = {
    "empty": "",
    "only the scheme": "SDK-HMAC-SHA256",
    "bearer": "Bearer abc",
    "basic": "Basic QUtURVNUOlNL",
    "sm3": "SDK-HMAC-SM3 Access=AKTEST, SignedHeaders={signed}, Signature={signature}",
    "derived": "V11-HMAC-SHA256 Credential=AKTEST/20260102/r/s, SignedHeaders={signed}, "
    "Signature={signature}",
    "lower-case scheme": "sdk-hmac-sha256 Access=AKTEST, SignedHeaders={signed}, "
    "Signature={signature}",
    "comma after scheme": "SDK-HMAC-SHA256, Access=AKTEST, SignedHeaders={signed}, "
    "Signature={signature}",
    "other order": "SDK-HMAC-SHA256 SignedHeaders={signed}, Access=AKTEST, Signature={signature}",
    "no key": "SDK-HMAC-SHA256 Access=, SignedHeaders={signed}, Signature={signature}",
    "long key": "SDK-HMAC-SHA256 Access=" + "A" * 129 + ", SignedHeaders={signed}, "
    "Signature={signature}",
    "space in key": "SDK-HMAC-SHA256 Access=AK TEST, SignedHeaders={signed}, Signature={signature}",
    "no headers": "SDK-HMAC-SHA256 Access=AKTEST, SignedHeaders=, Signature={signature}",
    "no signature": "SDK-HMAC-SHA256 Access=AKTEST, SignedHeaders={signed}",
    "short signature": "SDK-HMAC-SHA256 Access=AKTEST, SignedHeaders={signed}, Signature=abc",
    "upper-case signature": "SDK-HMAC-SHA256 Access=AKTEST, SignedHeaders={signed}, "
    "Signature={upper}",
    "two signatures": "SDK-HMAC-SHA256 Access=AKTEST, SignedHeaders={signed}, "
    "Signature={signature}, Signature={signature}",
    "text after it": "SDK-HMAC-SHA256 Access=AKTEST, SignedHeaders={signed}, "
    "Signature={signature} x",
}


@pytest.mark.parametrize("text", AUTHORIZATIONS.values(), ids=AUTHORIZATIONS)
def test_another_scheme_or_form_is_refused(good: Wire, text: str) -> None:
    parts = re.findall(
        r"(?:SignedHeaders|Signature)=([^, ]+)", good.header("Authorization").decode()
    )
    value = text.format(signed=parts[0], signature=parts[1], upper=parts[1].upper())

    assert not is_accepted(good.with_header("Authorization", value.encode()))


def test_spaces_between_the_parts_do_not_matter(good: Wire) -> None:
    value = good.header("Authorization").replace(b", ", b",   ").replace(b" Access", b"   Access")

    assert is_accepted(good.with_header("Authorization", value))
    assert is_accepted(good.with_header("Authorization", value.replace(b",   ", b",")))


SIGNED_HEADERS = {
    "without host": "content-type;user-agent;x-project-id;x-sdk-date",
    "without the date": "content-type;host;user-agent;x-project-id",
    "upper case": "Content-Type;host;user-agent;x-project-id;x-sdk-date",
    "not sorted": "host;content-type;user-agent;x-project-id;x-sdk-date",
    "one twice": "content-type;host;host;user-agent;x-project-id;x-sdk-date",
    "one that is not there": "content-type;host;user-agent;x-nothing;x-project-id;x-sdk-date",
    "empty entry": ";content-type;host;user-agent;x-project-id;x-sdk-date",
}


@pytest.mark.parametrize("names", SIGNED_HEADERS.values(), ids=SIGNED_HEADERS)
def test_a_list_of_signed_headers_in_another_form_is_refused(good: Wire, names: str) -> None:
    value = re.sub(
        b"SignedHeaders=[^,]+", f"SignedHeaders={names}".encode(), good.header("Authorization")
    )
    with pytest.raises(ValueError):
        read_signature(good.with_header("Authorization", value).headers)


@pytest.mark.parametrize(
    "name",
    ["Host", "X-Sdk-Date", "Content-Type", "User-Agent", "X-Project-Id", "Authorization"],
)
def test_a_header_that_matters_must_be_there_once(good: Wire, name: str) -> None:
    assert not is_accepted(good.plus(name, good.header(name)))
    assert not is_accepted(good.plus(name.lower(), b"other"))
    assert not is_accepted(good.with_header(name, None))


def test_the_digest_of_the_body_must_not_be_there_twice(good: Wire) -> None:
    once = good.plus("X-Sdk-Content-Sha256", b"UNSIGNED-PAYLOAD")

    assert not is_accepted(once)
    assert not is_accepted(once.plus("X-Sdk-Content-Sha256", b"UNSIGNED-PAYLOAD"))


def test_temporary_keys_are_refused(signer: SdkSigner) -> None:
    wire = signer("GET", "/v2/apps", headers={"X-Security-Token": "abc"}, unix_ms=NOW_UNIX_MS)

    assert not is_accepted(wire)


@pytest.mark.parametrize(
    "date",
    [
        "",
        "2026-01-02T03:04:05Z",
        "20260102T030405",
        "20260102T030405z",
        "20260102T030405+0000",
        "20260102T03045Z",
        "20260231T030405Z",
        "20261302T030405Z",
        "20260102T240405Z",
        "20260102T030460Z",
        "00000102T030405Z",
        "２０２６0102T030405Z",
        "Fri, 02 Jan 2026 03:04:05 GMT",
    ],
)
def test_a_date_in_another_form_is_refused(good: Wire, date: str) -> None:
    with pytest.raises(ValueError):
        read_signature(good.with_header("X-Sdk-Date", date.encode()).headers)


# -- any change ------------------------------------------------------------------------------

_SENT = (
    "POST",
    "/v2/apps/A/rooms/a%2Fb%20%E6%97%A5/dismiss",
    [("limit", 100), ("name", "日 +/本")],
    {"X-Project-Id": "p1", "User-Agent": "ua/1", "X-Note": "日本"},
    b'{"app_name": "rtctest", "name": "\xe6\x97\xa5"}',
)


@pytest.fixture(scope="module")
def sent(signer: SdkSigner) -> Wire:
    method, path, query, headers, body = _SENT
    return signer(method, path, query=query, headers=headers, body=body, unix_ms=NOW_UNIX_MS)


def _spelled(target: bytes) -> bytes:
    """The digits of an escape may be in either case: `%2f` is `%2F`."""
    return re.sub(rb"%[0-9A-Fa-f]{2}", lambda escape: escape[0].upper(), target)


@given(data=st.data())
def test_no_byte_of_a_signed_request_can_be_changed(sent: Wire, data: st.DataObject) -> None:
    names = [name for name, _ in sent.headers]
    part = data.draw(st.sampled_from(["method", "target", "body", *names]))
    value = {
        "method": sent.method.encode(),
        "target": sent.target,
        "body": sent.body,
        **dict(sent.headers),
    }[part]
    index = data.draw(st.integers(0, len(value) - 1))
    byte = data.draw(st.integers(0x21, 0xFF).filter(lambda byte: byte != value[index]))
    changed = value[:index] + bytes([byte]) + value[index + 1 :]

    match part:
        case "method":
            other = replace(sent, method=changed.decode("latin-1"))
        case "target":
            if _spelled(changed) == _spelled(value):
                return
            other = replace(sent, target=changed)
        case "body":
            other = replace(sent, body=changed)
        case _:
            other = sent.with_header(part.decode(), changed)

    assert is_accepted(sent)
    # A changed access key still fits the signature: its secret is another, or it has none.
    signature_key = AK
    try:
        signature_key = read_signature(other.headers).access_key
    except ValueError:
        pass
    assert signature_key != AK or not is_accepted(other)


@given(
    at=st.sampled_from(["body", "path", "query"]),
    index=st.integers(0, 1000),
    byte=st.sampled_from(b"aZ09-/&=%+ "),
)
def test_nothing_can_be_put_in(sent: Wire, at: str, index: int, byte: int) -> None:
    path, _, query = sent.target.partition(b"?")
    value = {"body": sent.body, "path": path, "query": query}[at]
    index %= len(value)
    changed = value[:index] + bytes([byte]) + value[index:]
    match at:
        case "body":
            other = replace(sent, body=changed)
        case "path":
            other = replace(sent, target=changed + b"?" + query)
        case _:
            other = replace(sent, target=path + b"?" + changed)
    # An empty pair, from "&&", is nothing to the scheme.
    assert is_accepted(other) == (
        at == "query" and changed.replace(b"&&", b"&").strip(b"&") == query
    )


def test_nothing_of_a_signature_is_printed(good: Wire) -> None:
    signature = read_signature(good.headers)

    assert signature.hexadecimal not in repr(signature)
