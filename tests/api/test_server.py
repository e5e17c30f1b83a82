import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from aiohttp import web

import worker.errors
from tests.support.api import Api, running_api
from worker.api import listener, requests
from worker.api.auth.refusals import TooManyRequests, Unauthenticated
from worker.api.errors import APP_EXISTS, Refused
from worker.api.operation import Answer, AnyOperation, Call, Operation
from worker.api.requests import MAX_BODY_BYTES
from worker.api.wire.app import AppRequest
from worker.errors import Fault, InternalError, InvalidField, NameTaken

SECRET = "s3cr3t"
TROUBLE: dict[str, Exception] = {}


def _operation(method: str, path: str, handler: Any, **more: Any) -> AnyOperation:
    return Operation(
        method=method,
        path=path,
        name=path,
        handler=handler,
        responses={200: None},
        **more,
    )


async def _echo(call: Call[Any, Any]) -> Answer:
    return Answer(200, {"path": dict(call.path), "account": call.account.name})


async def _read(call: Call[AppRequest, None]) -> Answer:
    return Answer(200, {"name": call.body.app_name})


async def _raise(call: Call[Any, Any]) -> Answer:
    raise TROUBLE["next"]


async def _redirect(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/login")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    directory: Path = tmp_path_factory.mktemp("api")
    operations: Sequence[AnyOperation] = [
        _operation("POST", "/test/rooms/{room_id}/dismiss", _echo),
        _operation("POST", "/test/read", _read, request=AppRequest),
        _operation("GET", "/test/raise", _raise),
        _operation("GET", "/test/taken", _raise, refusals={NameTaken: APP_EXISTS}),
    ]
    async with running_api(
        directory, operations=operations, pages=[web.get("/page", _redirect)]
    ) as running:
        yield running


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def raw(api: Api, sent: bytes) -> bytes:
    """Everything that comes back until the server hangs up."""
    address = urlsplit(api.url)
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(sent)
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


def request_of(*lines: str, body: str = "") -> bytes:
    return ("\r\n".join([*lines, "", ""]) + body).encode()


# -- what every answer has ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("GET", "/v2/apps", "alice", 200),
        ("GET", "/v2/apps", None, 401),
        ("GET", "/v2/apps?limit=0", "alice", 400),
        ("GET", "/v2/apps/6553f1003912dbd98858e732", "alice", 404),
        ("GET", "/nowhere", "alice", 404),
        ("PATCH", "/v2/apps", "alice", 405),
        ("GET", "/page", None, 302),
        ("GET", "/healthz", None, 200),
    ],
)
async def test_every_answer_has_a_request_id_of_its_own(
    api: Api, method: str, path: str, token: str | None, status: int
) -> None:
    first = await api.call(method, path, token=token)
    second = await api.call(method, path, token=token)

    assert (first.status, second.status) == (status, status)
    ids = {reply.headers["X-request-Id"] for reply in (first, second)}
    assert len(ids) == 2
    assert all(len(each) == 32 for each in ids)


async def test_the_request_id_is_spelled_as_documented(api: Api) -> None:
    answer = await raw(api, request_of("GET /healthz HTTP/1.1", "Host: a", "Connection: close"))

    assert b"\r\nX-request-Id: " in answer
    assert b"\r\nServer: mixworker\r\n" in answer


async def test_refusals_of_the_gateway_repeat_the_request_id(api: Api) -> None:
    reply = await api.call("GET", "/nowhere")

    assert reply.body == {
        "error_code": "APIGW.0101",
        "error_msg": "The API does not exist or has not been published in the environment.",
        "request_id": reply.headers["X-request-Id"],
    }


async def test_answers_are_not_to_be_kept(api: Api) -> None:
    reply = await api.call("GET", "/v2/apps")

    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


# -- errors ------------------------------------------------------------------------------------

ERRORS = [
    (InvalidField("a.b", "is wrong"), 400, "RTC.00001003", "InvalidParameterValue: a.b: is wrong"),
    (
        InvalidField("document", "is not JSON", Fault.SYNTAX),
        400,
        "RTC.00001002",
        "MalformedRequestBody: json parsing failed: document: is not JSON",
    ),
    (
        InvalidField("a", "is missing", Fault.MISSING),
        400,
        "RTC.00001005",
        "MissingParameter: a: is missing",
    ),
    (
        InvalidField("a", "not with b", Fault.COMBINATION),
        400,
        "RTC.00001004",
        "InvalidParameterCombination: a: not with b",
    ),
    (
        InvalidField("a", "is unknown", Fault.LAYOUT_TEMPLATE),
        400,
        "RTC.00001010",
        "LayoutTemplateNotExist: layout template not exist under your app: a: is unknown",
    ),
    (
        InvalidField("a", "is unknown", Fault.REGION),
        400,
        "RTC.00001012",
        "UnsupportRegion: rtc does not provide services in the region: a: is unknown",
    ),
    (worker.errors.NotFound(SECRET), 404, "RTC.00001003", "InvalidParameterValue"),
    (worker.errors.NameTaken(SECRET), 400, "RTC.00001003", "InvalidParameterValue"),
    (worker.errors.QuotaExceeded(SECRET), 400, "RTC.00001007", "JobExceed"),
    (
        worker.errors.InUse(SECRET),
        400,
        "RTC.00001013",
        "RuleForbidenDelete: rule is associated with backup rule",
    ),
    (worker.errors.AppStopped(SECRET), 400, "RTC.00001016", "AppDeactivation: app is stopped"),
    (
        worker.errors.JobRunning(SECRET),
        400,
        "RTC.00001006",
        "JobRunning: job exists and is not over",
    ),
    (worker.errors.JobNotRunning(SECRET), 400, "RTC.00001022", "job is not initialized"),
    (worker.errors.JobDone(SECRET), 400, "RTC.00001009", "JobDone: task canceled or completed"),
    (worker.errors.RequestError(SECRET), 400, "RTC.00001003", "InvalidParameterValue"),
    (worker.errors.RecordsDown(SECRET), 500, "RTC.00002002", "InternalError.DbErr"),
    (
        worker.errors.DestinationError(SECRET),
        500,
        "RTC.00002003",
        "InternalError.Transcode4xxError",
    ),
    (worker.errors.RoomError(SECRET), 500, "RTC.00002003", "InternalError.Transcode4xxError"),
    (worker.errors.LaunchError(SECRET), 500, "RTC.00002003", "InternalError.Transcode4xxError"),
    (InternalError(SECRET), 500, "RTC.00002004", "InternalError"),
    (worker.errors.MediaError(SECRET), 500, "RTC.00002004", "InternalError"),
    (ValueError(SECRET), 500, "RTC.00002004", "InternalError"),
    (
        Unauthenticated("token expires"),
        401,
        "APIGW.0301",
        "Incorrect IAM authentication information: token expires",
    ),
    (TooManyRequests(7), 429, "APIGW.0308", "The throttling threshold has been reached"),
    (Refused(APP_EXISTS, "really"), 400, "RTC.00001020", "AppExist: app exists: really"),
]


@pytest.mark.parametrize(("error", "status", "code", "text"), ERRORS, ids=lambda value: str(value))
async def test_an_error_has_its_status_code_and_published_text(
    api: Api, error: Exception, status: int, code: str, text: str
) -> None:
    TROUBLE["next"] = error

    reply = await api.call("GET", "/test/raise")

    assert (reply.status, reply.body["error_code"], reply.body["error_msg"]) == (status, code, text)


async def test_every_error_of_requests_has_been_thought_of() -> None:
    def below(kind: type[Exception]) -> set[type[Exception]]:
        return {kind}.union(*(below(each) for each in kind.__subclasses__()))

    wanted = {
        each for each in below(worker.errors.RequestError) if each.__module__ == "worker.errors"
    }

    assert wanted <= {type(error) for error, *_ in ERRORS}


async def test_an_operation_says_where_an_error_means_something_else(api: Api) -> None:
    TROUBLE["next"] = NameTaken("there is an application of that name")

    reply = await api.call("GET", "/test/taken")

    assert reply.refusal == (400, "RTC.00001020")


async def test_who_comes_too_often_is_told_when_to_come_back(api: Api) -> None:
    TROUBLE["next"] = TooManyRequests(7)

    assert (await api.call("GET", "/test/raise")).headers["Retry-After"] == "7"


async def test_a_bug_is_logged_with_the_request_id_and_told_without_anything(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    TROUBLE["next"] = ValueError(SECRET)

    with caplog.at_level(logging.DEBUG):
        reply = await api.call("GET", "/test/raise")

    [bug] = [record for record in caplog.records if record.getMessage() == "bug"]
    told = vars(bug)
    assert told["request_id"] == reply.headers["X-request-Id"]
    assert told["error"] == "ValueError"
    assert "_raise" in told["where"]
    assert SECRET not in str(reply.body) + str(told)


async def test_every_call_is_logged_without_its_body(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="worker.api.server"):
        reply = await api.call("POST", "/test/read", {"app_name": SECRET})

    [call] = [vars(record) for record in caplog.records]
    assert (call["operation"], call["account"], call["status"]) == ("/test/read", "a" * 32, 200)
    assert call["request_id"] == reply.headers["X-request-Id"]
    assert SECRET not in str(call)


# -- addresses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("room1", "room1"),
        ("a%2Fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("a%20b", "a b"),
        ("%E6%97%A5", "日"),
        ("a+b", "a+b"),
        ("%7Ba%7D", "{a}"),
        ("a;x=1", "a;x=1"),
    ],
)
async def test_path_variables_are_routed_as_written_and_read_as_meant(
    api: Api, written: str, meant: str
) -> None:
    answer = await raw(
        api,
        request_of(
            f"POST /test/rooms/{written}/dismiss HTTP/1.1",
            "Host: a",
            "X-Auth-Token: alice",
            "Content-Type: application/json",
            "Content-Length: 0",
            "Connection: close",
        ),
    )

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert f'"path": {{"room_id": "{meant}"}}'.encode() in answer


@pytest.mark.parametrize("written", ["%00", "a%0Ab", "x" * 129, "%C2%85"])
async def test_what_no_id_is_written_like_is_not_there(api: Api, written: str) -> None:
    answer = await raw(
        api,
        request_of(
            f"POST /test/rooms/{written}/dismiss HTTP/1.1",
            "Host: a",
            "X-Auth-Token: alice",
            "Content-Length: 0",
            "Connection: close",
        ),
    )

    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"RTC.00001003" in answer


@pytest.mark.parametrize(
    "path",
    [
        "//v2/apps",
        "/v2/apps/",
        "/v2//apps",
        "/v2/apps;x",
        "/V2/apps",
        "/v2/%2e%2e/apps",
        "/v2/x/../apps",
        "/v2",
        "/",
    ],
)
async def test_nothing_is_guessed_about_addresses_and_nobody_is_redirected(
    api: Api, path: str
) -> None:
    answer = await raw(
        api,
        request_of(f"GET {path} HTTP/1.1", "Host: a", "X-Auth-Token: alice", "Connection: close"),
    )

    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"APIGW.0101" in answer
    assert b"Location" not in answer


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "TRACE", "CONNECT"])
@pytest.mark.parametrize("path", ["/v2/apps", "/nowhere"])
async def test_other_methods_do_nothing(api: Api, method: str, path: str) -> None:
    answer = await raw(
        api,
        request_of(
            f"{method} {path} HTTP/1.1",
            "Host: a",
            "X-Auth-Token: alice",
            "Content-Length: 0",
            "Connection: close",
        ),
    )

    is_there = path == "/v2/apps" and method != "CONNECT"  # which names a host, not a path
    assert int(answer.split()[1]) == (405 if method == "TRACE" or is_there else 404)
    assert b"X-request-Id" in answer


async def test_a_refused_method_is_told_the_others(api: Api) -> None:
    reply = await api.call("DELETE", "/v2/apps")

    assert reply.refusal == (405, "APIGW.0101")
    assert set(reply.headers["Allow"].split(",")) == {"GET", "POST"}


# -- bodies ------------------------------------------------------------------------------------


async def test_a_body_without_a_model_is_ignored(api: Api) -> None:
    reply = await api.call("POST", "/test/rooms/a/dismiss", data=b"{not json")

    assert reply.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "application/json"},
        {"Content-Type": "application/json;charset=utf-8"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "text/plain; charset=klingon"},
        {"Content-Encoding": "identity"},
    ],
)
async def test_the_content_type_does_not_matter(api: Api, headers: dict[str, str]) -> None:
    reply = await api.call(
        "POST", "/test/read", data='{"app_name": "日", "more": 1}'.encode(), headers=headers
    )

    assert (reply.status, reply.body) == (200, {"name": "日"})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'"x"',
        b"{} // comment",
        b'{"app_name": "a",}',
        b'\xef\xbb\xbf{"app_name": "a"}',
        '{"app_name": "a"}'.encode("utf-16"),
        b'{"app_name": NaN}',
        b'{"app_name": "a", "app_name": "b"}',
        b'{"x":' * 1000 + b"1" + b"}" * 1000,
        b'{"x": ' + b"9" * 5000 + b"}",
        b'{"app_name": "\xff"}',
    ],
)
async def test_what_is_not_a_json_object_is_malformed(api: Api, data: bytes) -> None:
    reply = await api.call("POST", "/test/read", data=data)

    assert reply.refusal == (400, "RTC.00001002")


async def test_a_body_may_have_twelve_megabytes_and_no_byte_more(api: Api) -> None:
    largest = await api.call("POST", "/test/read", data=b" " * MAX_BODY_BYTES)
    larger = await api.call("POST", "/test/read", data=b" " * (MAX_BODY_BYTES + 1))

    assert largest.refusal == (400, "RTC.00001002")
    assert larger.refusal == (413, "APIGW.0201")
    assert "X-request-Id" in larger.headers


async def test_a_body_of_unknown_length_has_the_same_limit(api: Api) -> None:
    size = MAX_BODY_BYTES // 4 + 1
    chunk = f"{size:x}\r\n".encode() + b" " * size + b"\r\n"
    head = request_of(
        "POST /test/read HTTP/1.1",
        "Host: a",
        "X-Auth-Token: alice",
        "Transfer-Encoding: chunked",
        "Connection: close",
    )

    answer = await raw(api, head + 4 * chunk + b"0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "x"])
async def test_compressed_bodies_are_refused_unread(api: Api, coding: str) -> None:
    reply = await api.call("POST", "/test/read", data=b"{}", headers={"Content-Encoding": coding})

    assert reply.refusal == (415, "APIGW.0201")


# -- what is hardly HTTP -----------------------------------------------------------------------

APPS = ("GET /v2/apps HTTP/1.1", "Host: a", "X-Auth-Token: alice")
READ = ("POST /test/read HTTP/1.1", "Host: a", "X-Auth-Token: alice")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request_of(f"GET /{'a' * 9000} HTTP/1.1", "Host: a"), 414),
        (request_of(*APPS, f"X-Long: {'a' * 9000}"), 431),
        (request_of(*APPS, *(f"X-{n}: 1" for n in range(200)), "Connection: close"), 431),
        (request_of(*APPS, *(f"X-{n}: 1" for n in range(2000))), 400),
        (request_of("GET /v2/apps HTTP/1.1"), 400),
        (request_of("GET /v2/apps HTTP/9.9", "Host: a"), 400),
        (request_of("NOISE"), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (request_of("GET /\xff\xfe HTTP/1.1", "Host: a"), 400),
        (request_of(*READ, "Content-Length: 2", "Content-Length: 3", body="{}x"), 400),
        (
            request_of(
                *READ, "Content-Length: 4", "Transfer-Encoding: chunked", body="0\r\n\r\nGET /"
            ),
            400,
        ),
        (request_of(*READ, "Transfer-Encoding: chunked", "Transfer-Encoding: x", body="0"), 400),
        (request_of(*READ, "Transfer-Encoding : chunked", body="0\r\n\r\n"), 400),
        (request_of(*READ, "Content-Length: -1"), 400),
        (request_of(*READ, "Content-Length: +2", body="{}"), 400),
        (request_of(*READ, " folded: 1"), 400),
        (request_of(*READ, "Transfer-Encoding: chunked", body="zz\r\n"), 400),
        (request_of(*APPS, "Expect: miracles", "Connection: close"), 417),
    ],
)
async def test_what_is_not_quite_http_is_refused_in_our_form_and_hung_up_on(
    api: Api, sent: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = await raw(api, sent)

    assert answer.split()[1] == str(status).encode()
    assert answer.count(b"HTTP/1.") == 1
    assert b"X-request-Id: " in answer
    assert not any(record.exc_info for record in caplog.records)


async def test_a_token_in_a_request_that_is_refused_shows_nowhere(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = await raw(
            api, request_of("GET / HTTP/1.1", "Host: a", f"X-Auth-Token: {SECRET}{'a' * 9000}")
        )

    assert answer.split()[1] == b"431"
    assert SECRET.encode() not in answer
    assert SECRET not in str([vars(record) for record in caplog.records])


async def test_slow_headers_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(listener._CONNECTION, "keepalive_timeout", 0.2)

    async with running_api(tmp_path) as api:
        assert await raw(api, b"GET /v2/apps HTTP/1.1\r\nHost: a\r\nX-Sl") == b""


async def test_slow_bodies_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "BODY_WITHIN_S", 0.2)
    monkeypatch.setitem(listener._CONNECTION, "lingering_time", 0.2)
    sent = request_of(
        "POST /v2/apps HTTP/1.1",
        "Host: a",
        "X-Auth-Token: alice",
        "Content-Length: 20",
        body='{"app',
    )

    async with running_api(tmp_path) as api:
        answer = await raw(api, sent)

    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_caller_who_hangs_up_is_no_bug(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    address = urlsplit(api.url)
    with caplog.at_level(logging.INFO, logger="worker"):
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(request_of(*READ, "Content-Length: 20", "Expect: 100-continue"))
            assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
            writer.write(b'{"app')
            writer.close()
            while not caplog.records:  # noqa: ASYNC110 - a log has no event
                await asyncio.sleep(0)

    [call] = [vars(record) for record in caplog.records]
    assert (call["msg"], call["status"]) == ("call", 400)


async def test_the_time_limits_are_those_that_were_promised() -> None:
    assert listener._CONNECTION["keepalive_timeout"] == 10
    assert requests.BODY_WITHIN_S == 30
