"""Administers rooms of the test room's server over its HTTP interface."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from urllib.parse import quote, urlsplit

import aiohttp

from worker.errors import RoomError, RoomRefused
from worker.rooms.rejoining import without_address

WITHIN_S = 10.0
_SCHEMES = {"ws": "http", "wss": "https"}


class MeshKeeper:
    """`jobs.ports.RoomKeeper` of one server of test rooms."""

    def __init__(self, url: str, *, admin_token: str | None = None) -> None:
        """*url* is the server's `ws:` or `wss:` address, as job documents have it.

        Without *admin_token* only a server without any tokens lets us.
        """
        parts = urlsplit(url)
        self._rooms_url = parts._replace(
            scheme=_SCHEMES.get(parts.scheme, parts.scheme),
            path=f"{parts.path.rpartition('/')[0]}/rooms",
            query="",
            fragment="",
        ).geturl()
        self._headers = {} if admin_token is None else {"Authorization": f"Bearer {admin_token}"}

    async def dismiss(self, room_id: str) -> bool:
        """Put everybody out; False when nobody is there. Raises `RoomError`."""
        status = await self._ask("DELETE", quote(room_id, safe=""))
        return status is not HTTPStatus.NOT_FOUND

    async def remove_users(self, room_id: str, user_ids: Sequence[str]) -> None:
        """Put out whichever of *user_ids* are there. Raises `RoomError`."""
        await self._ask("POST", f"{quote(room_id, safe='')}/remove", {"user_ids": list(user_ids)})

    async def _ask(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> HTTPStatus:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WITHIN_S)) as http,
                http.request(
                    method,
                    f"{self._rooms_url}/{path}",
                    json=body,
                    headers=self._headers,
                    allow_redirects=False,  # the token is for this server
                ) as response,
            ):
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            raise RoomError(f"the room's server: {without_address(exc)}") from exc
        match status:
            case HTTPStatus.NO_CONTENT | HTTPStatus.NOT_FOUND:
                return HTTPStatus(status)
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
                raise RoomRefused("the room's server does not accept our token of an administrator")
        raise RoomError(f"the room's server answered {status}")
