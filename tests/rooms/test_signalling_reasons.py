import aiohttp
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from worker.errors import RoomError
from worker.rooms.rejoining import without_address

ADDRESS = URL("ws://127.0.0.1:8080/ws?token=planted-secret")
REQUEST = aiohttp.RequestInfo(ADDRESS, "GET", CIMultiDictProxy(CIMultiDict()), ADDRESS)

ERRORS = [
    aiohttp.WSServerHandshakeError(REQUEST, (), status=403, message="Invalid response status"),
    aiohttp.InvalidURL(ADDRESS),
    aiohttp.ClientConnectionError(f"Cannot connect to {ADDRESS}"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_reason_never_holds_the_rooms_address(error):
    assert "planted-secret" in str(error), "the library's own text would tell"

    assert "planted-secret" not in without_address(error)


def test_our_own_reasons_are_told():
    assert without_address(RoomError("the server hung up")) == "the server hung up"
    assert without_address(TimeoutError()) == "TimeoutError"
