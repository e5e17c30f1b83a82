"""The vendor's SDK, as it is, and a control plane as an operator runs it: all that it can do.

What each operation answers in detail, `tests/api/routes` pins; this is one story from the
application to the file, told over TLS by who signs, and over HTTP by who has a token.
"""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.control import worlds
from tests.control.worlds import FPS, ROOM, World
from tests.support import hearing
from tests.support.control_plane import PASSWORD, Tenant, control_plane
from tests.support.delivering import AUTH_KEY, CAMERA, of_type
from tests.support.look import Recording
from tests.support.receiver import Receiver
from tests.support.rtmp import free_port, make_certificate
from tests.support.s3 import BUCKET
from tests.support.seeing import Watch
from tests.support.selection import heard
from worker.core.layout.geometry import Fit, Rect, Size
from worker.testroom.person import Sighting, tone_hz

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(150)]

TONES = f'{CAMERA}[defaults.microphone]\nmode = "tone"\nlevel_db = -26\nbeep = false\n'
LOBBY = "lobby"
LOCATION = "cn-north-4"
RECORDED_S = 3

MAY_BE_ABSENT = {
    *(
        f"app.{each}callbacks.{name}_callback"
        for each in ("", "apps.")
        for name in ("push", "record")
    ),
    *("job.description", "job.stop_reason"),
    *("rule.hls_config", "rule.rules.hls_config"),
    *(f"job.mix_param.{name}background_image" for name in ("", "screen_", "default_user_")),
    "job.mix_param.user_background_images",
    "job.mix_param.layout_panes.filling_policy",
}
"""What the answers leave out here, although the SDK's models have it; of lists, in any element."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    directory = tmp_path_factory.mktemp("world")
    async with worlds.world(
        directory, defaults=TONES, MIXWORKER_API__BUCKET_GRANTS="true"
    ) as around:
        yield around


@dataclass(frozen=True)
class Tls:
    """A control plane's certificate, which vouches for itself, and where it is found."""

    certificate: Path
    url: str
    settings: Mapping[str, str]


@pytest.fixture(scope="module")
def tls(world: World) -> Tls:
    certificate, key = make_certificate(world.directory)
    port = free_port()
    url = f"https://localhost:{port}"
    settings = {
        "MIXWORKER_API__PORT": str(port),
        "MIXWORKER_API__TLS_CERTIFICATE": str(certificate),
        "MIXWORKER_API__TLS_KEY": str(key),
        "MIXWORKER_CONTROL__WORKER_URL": url,
        "MIXWORKER_NET__CA_FILE": str(certificate),
    }
    return Tls(certificate, url, settings)


@pytest.fixture(scope="module")
def home(world: World) -> Path:
    directory = world.directory / "home"
    directory.mkdir()
    return directory


@pytest.fixture(scope="module", autouse=True)
def v2(home: Path) -> Any:
    """The SDK; it writes into the home directory when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("no_proxy", "127.0.0.1,localhost")
        from huaweicloudsdkcloudrtc import v2

        yield v2


# --- Its client -----------------------------------------------------------------------------


@dataclass
class Sdk:
    """Calls operations by name, each in a thread; looks at every answer."""

    models: ModuleType
    invoke: Callable[[str, Any], Any]
    called: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)

    async def __call__(self, operation: str, *, status: int = 200, **arguments: Any) -> Any:
        response = await self._response(operation, arguments)
        assert response.status_code == status
        assert re.fullmatch("[0-9a-f]{32}", response.x_request_id)
        told = response.to_json_object()
        if status in (202, 204) or operation == "update_obs_bucket_authority":
            assert told is None
        else:
            self._check(operation.rpartition("_")[2].removesuffix("s"), response, told)
        self.called.add(operation)
        return response

    async def refused(self, operation: str, **arguments: Any) -> tuple[int, str, str]:
        """Status, code and text of the exception."""
        from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

        with pytest.raises(ClientRequestException) as raised:
            await self._response(operation, arguments)
        error = raised.value
        assert re.fullmatch("[0-9a-f]{32}", error.request_id)
        return error.status_code, error.error_code, error.error_msg

    async def _response(self, operation: str, arguments: Mapping[str, Any]) -> Any:
        name = "".join(part.capitalize() for part in operation.split("_"))
        request = getattr(self.models, f"{name}Request")(**arguments)
        return await asyncio.to_thread(self.invoke, operation, request)

    def _check(self, path: str, model: Any, told: Mapping[str, Any]) -> None:
        """Every attribute of *model* has in *told* the JSON type that it is declared with."""
        for attribute, type_name in model.openapi_types.items():
            if attribute == "x_request_id":
                continue
            value, read = told.get(model.attribute_map[attribute]), getattr(model, attribute)
            here = f"{path}.{attribute}"
            listed = re.fullmatch(r"list\[(\w+)\]", type_name)
            if value is None:
                self.absent.add(here)
            elif listed:
                for each, member in zip(value, read, strict=True):
                    self._check_value(here, listed[1], member, each)
            else:
                self._check_value(here, type_name, read, value)

    def _check_value(self, path: str, type_name: str, read: Any, value: Any) -> None:
        wanted = {"str": str, "int": int, "bool": bool, "float": (float, int)}.get(type_name)
        if wanted is None:
            assert isinstance(read, getattr(self.models, type_name)), path
            self._check(path, read, value)
        else:
            assert isinstance(value, wanted), path
            assert isinstance(value, bool) is (type_name == "bool"), path
            assert read == value, path


def signing(v2: Any, tenant: Tenant, tls: Tls) -> Sdk:
    """Signs every request; knows the server's certificate."""
    from huaweicloudsdkcore.auth.credentials import BasicCredentials
    from huaweicloudsdkcore.http.http_config import HttpConfig

    credentials = BasicCredentials(tenant.access_key, tenant.secret_key, tenant.account_id)
    builder = v2.CloudRTCClient.new_builder().with_credentials(credentials)
    builder.with_http_config(HttpConfig(ssl_ca_cert=str(tls.certificate)))
    client = builder.with_endpoint(tls.url).build()
    return Sdk(v2, lambda operation, request: getattr(client, operation)(request))


def bearing(v2: Any, url: str, token: str, authorization: str = "") -> Sdk:
    """Shows a token instead of signing: who gives an Authorization keeps the SDK from doing so."""
    from huaweicloudsdkcore.auth.credentials import BasicCredentials

    builder = v2.CloudRTCAsyncClient.new_builder()
    builder.with_credentials(BasicCredentials("nobodys", "secret"))
    client = builder.with_endpoint(url).build()
    client.preset_headers |= {"X-Auth-Token": token, "Authorization": authorization}

    def invoke(operation: str, request: Any) -> Any:
        return getattr(client, f"{operation}_async")(request).result()

    return Sdk(v2, invoke)


async def token_of(url: str, tenant: Tenant) -> str:
    """A token by the documented request, which the SDK never makes."""
    user = {"name": tenant.name, "password": PASSWORD, "domain": {"name": tenant.name}}
    identity = {"methods": ["password"], "password": {"user": user}}
    body = {"auth": {"identity": identity, "scope": {"project": {"name": LOCATION}}}}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v3/auth/tokens", json=body) as response,
    ):
        assert response.status == 201
        return response.headers["X-Subject-Token"]


# --- The story ------------------------------------------------------------------------------


async def told(sdk: Sdk, world: World, app_name: str) -> Mapping[str, Any]:
    """All 28 operations as one story; gives what the bucket has of its two jobs, by kind."""
    models, of_bucket = sdk.models, {"bucket": BUCKET, "location": LOCATION}
    assert (await sdk("list_obs_buckets")).buckets[0].bucket == BUCKET
    grant = models.ObsAuthorityConfig(operation=1, project_id="p", **of_bucket)
    await sdk("update_obs_bucket_authority", body=grant)

    created = await sdk("create_app", status=201, body=models.AppReq(app_name=app_name))
    of_app = {"app_id": created.app_id}
    assert (await sdk("show_app", **of_app)).app_name == app_name
    rule = await _rules(sdk, of_app)
    hook = models.AppCallbackUrlReq(url=world.receiver.url, auth_key=AUTH_KEY)
    await sdk("update_record_callback", body=hook, **of_app)
    assert (await sdk("show_record_callback", **of_app)).record_callback.url == hook.url
    on = models.AutoRecordModeReq("AUTO_INDIVIDUAL_RECORD", rule.rule_id)
    await sdk("update_auto_record", body=on, **of_app)
    assert (await sdk("show_auto_record", **of_app)).auto_record_mode.mode == on.mode
    await sdk("update_auto_record", body=models.AutoRecordModeReq("AUTO_RECORD_OFF"), **of_app)

    record = models.RecordParam(record_rule_id=rule.rule_id)
    await _stopped_and_started(sdk, of_app, record)
    files = await _jobs(sdk, world, of_app, record)
    await _rooms(sdk, world, of_app)

    listed = await sdk(
        "list_obs_bucket_objects", type="objects", prefix=f"{app_name}/", **of_bucket
    )
    assert {each.file_name for each in listed.objects} == set(files.values())
    assert all(each.size > 0 for each in listed.objects)
    assert (await sdk("list_obs_buckets")).buckets[0].is_authorized is True

    await sdk("delete_record_rule", status=204, rule_id=rule.rule_id, **of_app)
    await sdk("delete_app", status=204, **of_app)
    gone = await sdk.refused("show_app", **of_app)
    assert gone == (404, "RTC.00001003", "InvalidParameterValue")
    return files


async def _rules(sdk: Sdk, of_app: Mapping[str, str]) -> Any:
    models = sdk.models
    app_name = (await sdk("list_apps", state="ACTIVATION", offset=0, limit=1)).apps[0].app_name
    address = models.RecordObsFileAddr(LOCATION, "p", BUCKET, f"{app_name}/")
    mp4 = models.MP4RecordConfig(record_cycle=600, record_prefix="{stream}")
    wanted = models.RecordRuleReq(address, ["MP4"], mp4_config=mp4)
    rule = await sdk("create_record_rule", status=201, body=wanted, **of_app)
    wanted.mp4_config.record_cycle = 700
    of_rule = {"rule_id": rule.rule_id, **of_app}
    await sdk("update_record_rule", body=wanted, **of_rule)
    assert (await sdk("show_record_rule", **of_rule)).mp4_config.record_cycle == 700
    listed = await sdk("list_record_rules", offset=0, limit=100, **of_app)
    assert [each.rule_id for each in listed.rules] == [rule.rule_id]
    return rule


async def _stopped_and_started(sdk: Sdk, of_app: Mapping[str, str], record: Any) -> None:
    assert (await sdk("stop_app", **of_app)).state.state == "DEACTIVATION"
    # Not the job that is created soon: the same request in the same second has the same answer.
    wanted = _mix(sdk.models, record, "nobody")
    refusal = await sdk.refused("create_mix_job", body=wanted, **of_app)
    assert refusal == (400, "RTC.00001016", "AppDeactivation: app is stopped")
    assert (await sdk("start_app", **of_app)).state.state == "ACTIVATION"


def _mix(models: Any, record: Any, user_id: str) -> Any:
    mix = models.MixParam(
        room_id=ROOM,
        encode_template="640x480_15_500",
        layout_template="custom",
        layout_panes=_panes(models, user_id),
    )
    return models.MixJobReq(mix_param=mix, record_param=record)


def _panes(models: Any, user_id: str) -> list[Any]:
    return [models.MixLayoutPane(id=1, user_id=user_id, x=0, y=0, width=1, height=1, zorder=0)]


async def _jobs(
    sdk: Sdk, world: World, of_app: Mapping[str, str], record: Any
) -> Mapping[str, str]:
    """A mix and somebody alone, recorded at once; the keys of their files."""
    models = sdk.models
    alone = models.IndividualStreamJobReq(
        room_id=ROOM,
        user_id="user-1",
        is_record_audio=True,
        video_type="CAMERASTREAM",
        select_stream_type="LD",
        max_idle_time=30,
        record_param=record,
    )
    wanted = {"mix": _mix(models, record, "user-0"), "individual_stream": alone}
    jobs = {}
    for kind, body in wanted.items():
        job = await sdk(f"create_{kind}_job", status=201, body=body, **of_app)
        assert (job.state, job.stop_time) == ("INIT", "0001-01-01T00:00:00Z")
        jobs[kind] = {"job_id": job.job_id, **of_app}
    for kind, of_job in jobs.items():
        await _reached("RUNNING", sdk, kind, of_job)
    await asyncio.sleep(RECORDED_S / 2)
    changes = {
        "mix": models.UpdateMixJobReq(models.UpdateMixParam(layout_panes=_panes(models, "user-1"))),
        "individual_stream": models.UpdateIndividualJobReq(record),
    }
    for kind, of_job in jobs.items():
        changed = await sdk(f"update_{kind}_job", body=changes[kind], **of_job)
        assert changed.job_id == of_job["job_id"]
    await asyncio.sleep(RECORDED_S / 2)
    for kind, of_job in jobs.items():
        await sdk(f"stop_{kind}_job", status=204, **of_job)
        stopped = await sdk(f"show_{kind}_job", **of_job)
        assert (stopped.state, stopped.stop_reason) == ("STOPPED", "TENANT_STOP")
        refusal = await sdk.refused(f"update_{kind}_job", body=changes[kind], **of_job)
        assert refusal == (400, "RTC.00001009", "JobDone: task canceled or completed")
    async with asyncio.timeout(40):
        return {
            kind: await _announced(world.receiver, of_job["job_id"])
            for kind, of_job in jobs.items()
        }


async def _reached(state: str, sdk: Sdk, kind: str, of_job: Mapping[str, str]) -> None:
    async with asyncio.timeout(40):
        while True:
            job = await sdk(f"show_{kind}_job", **of_job)
            if job.state == state:
                return
            await asyncio.sleep(0.5)


async def _announced(receiver: Receiver, job_id: str) -> str:
    """Where a job's file is, by its callbacks: three, signed, in order."""
    while True:
        receiver.came.clear()
        calls = [call for call in receiver.accepted if call.body["job_id"] == job_id]
        if calls and calls[-1].body["event_type"] == "CLOUD_RECORD_SERVER_OVER":
            break
        await receiver.came.wait()
    assert all(call.signed for call in calls)
    bodies = [call.body for call in calls]
    assert [body["event_type"] for body in bodies[:2]] == [
        "RECORD_NEW_FILE_START",
        "RECORD_FILE_COMPLETE",
    ]
    [complete] = of_type(bodies, "RECORD_FILE_COMPLETE")
    return str(complete["obs_object"])


async def _rooms(sdk: Sdk, world: World, of_app: Mapping[str, str]) -> None:
    of_room = {"room_id": LOBBY, **of_app}
    async with waiting(world.room_url, "ann") as ann, waiting(world.room_url, "bob") as bob:
        anns = sdk.models.RemoveUsersReq(user_ids=["ann", "nobody"])
        await sdk("remove_users", status=202, body=anns, **of_room)
        assert await put_out(ann) == 9
        await sdk("remove_room", status=202, **of_room)
        assert await put_out(bob) == 10
    nowhere = await sdk.refused("remove_room", room_id="nowhere", **of_app)
    assert nowhere[:2] == (404, "RTC.00001003")


@asynccontextmanager
async def waiting(room_url: str, user_id: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Somebody in the lobby, without camera and microphone."""
    join = {"type": "join", "room": LOBBY, "user_id": user_id, "name": "", "role": "publisher"}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(room_url) as socket,
    ):
        await socket.send_json(join | {"name": user_id})
        assert (await socket.receive_json(timeout=5))["type"] == "welcome"
        yield socket


async def put_out(socket: aiohttp.ClientWebSocketResponse) -> int:
    """Waits until one is told why one has to go: the code."""
    async with asyncio.timeout(10):
        while True:
            message = await socket.receive_json()
            if message["type"] == "removed":
                return int(message["code"])


def operations(v2: Any) -> set[str]:
    """What the SDK's client can do."""
    return {
        name.removesuffix("_invoker")
        for name in vars(v2.CloudRTCClient)
        if name.endswith("_invoker")
    }


async def assert_files(world: World, files: Mapping[str, str]) -> None:
    """The mix changes from one to the other; the other file has one person only, and one voice."""
    downloaded = await world.bucket.download(world.directory / "bucket")
    recordings = {kind: Recording(downloaded[key]) for kind, key in files.items()}
    for recording in recordings.values():
        assert recording.decode_errors() == ""
        assert recording.video.packets >= RECORDED_S * FPS
    mix, alone = recordings["mix"], recordings["individual_stream"]
    assert seen_in(mix, Fit.COVER) == [Sighting(0, is_screen=False), Sighting(1, is_screen=False)]
    assert seen_in(alone, Fit.CONTAIN) == [Sighting(1, is_screen=False)]
    # Begin and end may be without sound.
    assert voices_in(mix).count({0, 1}) > RECORDED_S / 2 / 0.1
    assert {0} not in voices_in(alone) and {0, 1} not in voices_in(alone)
    assert voices_in(alone).count({1}) > RECORDED_S / 2 / 0.1


def seen_in(recording: Recording, fit: Fit) -> list[Sighting]:
    """Who fills the canvas, one after the other, in frames that can be read."""
    canvas = Rect(0, 0, recording.video.width, recording.video.height)
    people_ = recording.watch({"all": Watch(canvas, Size(320, 180), fit)})["all"].people
    read = [one for one in people_ if one is not None]
    assert len(read) > RECORDED_S / 2 * FPS
    return [one for one, _ in groupby(read)]


def voices_in(recording: Recording) -> list[set[int]]:
    """Who is heard, each 100 ms."""
    return heard(hearing.mono(recording.sound()), [tone_hz(0), tone_hz(1)])


async def test_who_signs_does_all_that_the_sdk_can_over_tls(
    world: World, v2: Any, tls: Tls
) -> None:
    sdk = signing(v2, world.tenant, tls)
    async with control_plane(world.settings | tls.settings):
        files = await told(sdk, world, "signed")
    await assert_files(world, files)
    assert sdk.called == operations(v2) and len(sdk.called) == 28
    assert sdk.absent <= MAY_BE_ABSENT, sdk.absent - MAY_BE_ABSENT


async def test_who_has_a_token_does_all_that_the_sdk_can(world: World, v2: Any) -> None:
    async with control_plane(world.settings) as plane:
        token = await token_of(plane.url, world.tenant)
        sdk = bearing(v2, plane.url, token)
        files = await told(sdk, world, "borne")
        forged = "SDK-HMAC-SHA256 Access=A, SignedHeaders=host;x-sdk-date, Signature=" + "0" * 64
        for authorization in (forged, f"Bearer {token}"):
            forger = bearing(v2, plane.url, token, authorization)
            assert (await forger.refused("list_apps"))[:2] == (401, "APIGW.0301")
        assert (await bearing(v2, plane.url, "").refused("list_apps"))[0] == 401
    await assert_files(world, files)
    assert sdk.called == operations(v2)
    assert sdk.absent <= MAY_BE_ABSENT, sdk.absent - MAY_BE_ABSENT


PROGRAM = """
from huaweicloudsdkcloudrtc.v2 import CloudRTCClient, ListAppsRequest
from huaweicloudsdkcloudrtc.v2.region.cloudrtc_region import CloudRTCRegion

region = CloudRTCRegion.value_of("cn-north-4")
client = CloudRTCClient.new_builder().with_region(region).build()
print(client.list_apps(ListAppsRequest()).count, client.get_credentials().project_id)
"""


async def test_a_program_written_for_the_vendors_region_needs_its_environment_only(
    world: World, home: Path, v2: Any, tls: Tls
) -> None:
    from huaweicloudsdkcore.auth.credentials import BasicCredentials
    from huaweicloudsdkcore.exceptions.exceptions import SslHandShakeException
    from huaweicloudsdkcore.http.http_config import HttpConfig
    from huaweicloudsdkcore.region.region import Region

    tenant = world.tenant
    environment_ = {
        "HUAWEICLOUD_SDK_AK": tenant.access_key,
        "HUAWEICLOUD_SDK_SK": tenant.secret_key,
        "HUAWEICLOUD_SDK_REGION_CLOUDRTC_CN_NORTH_4": tls.url,
        "HUAWEICLOUD_SDK_IAM_ENDPOINT": tls.url,
        "REQUESTS_CA_BUNDLE": str(tls.certificate),
    }
    async with control_plane(world.settings | tls.settings):
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM),
            env=os.environ | environment_,
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await program.communicate()
        assert re.fullmatch(rf"\d+ {tenant.account_id}\n", printed.decode())

        def by_region(config: HttpConfig) -> Any:
            credentials = BasicCredentials(tenant.access_key, tenant.secret_key)
            credentials.with_iam_endpoint(tls.url)
            builder = v2.CloudRTCClient.new_builder().with_credentials(credentials)
            return builder.with_http_config(config).with_region(Region("eu-1", tls.url)).build()

        with pytest.raises(SslHandShakeException):
            await asyncio.to_thread(by_region, HttpConfig())
        for config in (
            HttpConfig(ssl_ca_cert=str(tls.certificate)),
            HttpConfig(ssl_ca_cert=str(tls.certificate), ignore_content_type_for_get_request=True),
        ):
            client = await asyncio.to_thread(by_region, config)
            assert client.get_credentials().project_id == tenant.account_id
            listed = await asyncio.to_thread(client.list_apps, v2.ListAppsRequest())
            assert listed.status_code == 200
