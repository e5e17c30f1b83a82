"""The official SDK, as it is, against our authentication."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api.auth.world import Clock, World, a_world
from worker.api.auth.tokens import Tokens

Client = Callable[..., Any]


@pytest.fixture
async def world(tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    """At the time the SDK signs with."""
    clock.now_unix_ms = int(time.time() * 1000)
    async with a_world(tmp_path, clock) as world:
        yield world


@pytest.fixture
def client(sdk_home: None, world: World) -> Client:
    """alice's unless something else is said."""
    from huaweicloudsdkcloudrtc.v2 import CloudRTCClient
    from huaweicloudsdkcore.auth.credentials import BasicCredentials
    from huaweicloudsdkcore.region.region import Region

    def client(
        ak: str = world.alice.ak,
        sk: str = world.alice.sk,
        project: str | None = None,
        *,
        by_region: bool = False,
    ) -> Any:
        endpoint = f"http://{world.host}"
        credentials = BasicCredentials(ak, sk, project).with_iam_endpoint(endpoint)
        builder = CloudRTCClient.new_builder().with_credentials(credentials)
        if by_region:
            builder.with_region(Region("cn-north-4", endpoint))
        else:
            builder.with_endpoint(endpoint)
        return builder.build()

    return client


async def list_apps(client: Any, **request: Any) -> Any:
    from huaweicloudsdkcloudrtc.v2 import ListAppsRequest

    return await asyncio.to_thread(
        client.list_apps, ListAppsRequest(content_type="application/json", **request)
    )


async def refusal(client: Any, **request: Any) -> Any:
    from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

    with pytest.raises(ClientRequestException) as refused:
        await list_apps(client, **request)
    return refused.value


async def test_the_sdk_signs_and_is_let_in(world: World, client: Client) -> None:
    from huaweicloudsdkcloudrtc.v2 import AppReq, CreateAppRequest

    response = await list_apps(client(), state="ACTIVATION", offset=0, limit=100)
    assert (response.status_code, len(response.x_request_id)) == (200, 32)

    request = CreateAppRequest(content_type="application/json", body=AppReq(app_name="日本"))
    created = await asyncio.to_thread(client().create_app, request)
    assert (created.status_code, created.app_id) == (201, "日本-1")


async def test_a_project_of_the_account_is_accepted_and_anothers_is_not(
    world: World, client: Client
) -> None:
    own, other = world.alice.account.account_id, world.bob.account.account_id

    assert (await list_apps(client(project=own))).status_code == 200
    assert (await refusal(client(project=other))).status_code == 401


async def test_the_sdk_finds_its_project_by_the_region(world: World, client: Client) -> None:
    found = await asyncio.to_thread(lambda: client(by_region=True))

    assert found._credentials.project_id == world.alice.account.account_id
    assert (await list_apps(found)).status_code == 200


async def test_a_wrong_key_is_the_sdks_exception(world: World, client: Client) -> None:
    for wrong in (client(sk="wrong"), client(ak="AKNOBODY")):
        error = await refusal(wrong)
        assert (error.status_code, error.error_code) == (401, "APIGW.0301")
        assert error.error_msg == (
            "Incorrect IAM authentication information: verify aksk signature fail"
        )
        assert len(error.request_id) == 32


async def test_an_old_date_is_refused_although_it_is_signed(client: Client) -> None:
    error = await refusal(client(), x_sdk_date="20200101T000000Z")

    assert "signature expired, signature time:20200101T000000Z" in error.error_msg


async def test_a_forged_signature_is_refused(client: Client) -> None:
    error = await refusal(client(), authorization="SDK-HMAC-SHA256 Access=AKALICE")

    assert (error.status_code, error.error_code) == (401, "APIGW.0301")


async def test_a_token_may_come_along_and_the_signature_counts(
    world: World, client: Client, clock: Clock
) -> None:
    tokens = Tokens(records=world.records, unix_ms=clock)
    token, _ = await tokens.issue(world.bob.account.account_id)
    alices = client()
    alices.preset_headers["X-Auth-Token"] = token

    assert (await list_apps(alices)).status_code == 200
    wrong = client(sk="wrong")
    wrong.preset_headers["X-Auth-Token"] = token
    assert (await refusal(wrong)).status_code == 401
