import aioice.ice
import pytest
from aiortc import RTCDtlsTransport

from worker.errors import InternalError
from worker.rooms import private


async def test_the_installed_libraries_are_the_ones_this_code_was_written_for() -> None:
    private.verify()


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (aioice.ice, "get_host_addresses"),
        (aioice.ice.StunProtocol, "datagram_received"),
        (aioice.ice.Connection, "get_component_candidates"),
        (RTCDtlsTransport, "_set_role"),
    ],
)
async def test_a_name_that_has_gone_is_reported_by_name(
    owner: object, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(owner, name)
    with pytest.raises(InternalError, match=name):
        private.verify()
