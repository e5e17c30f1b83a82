"""A clock, and the official SDK's signer."""

from collections.abc import Iterator

import pytest

from tests.api.auth.signing import SdkSigner, sdk_signer
from tests.api.auth.world import Clock


@pytest.fixture(scope="session")
def sdk_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The SDK writes an id into the home directory when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("no_proxy", "127.0.0.1")
        yield


@pytest.fixture(scope="session")
def signer(sdk_home: None) -> SdkSigner:
    return sdk_signer()


@pytest.fixture
def clock() -> Clock:
    return Clock()
