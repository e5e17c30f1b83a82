"""Administers rooms of the test room's server over its HTTP interface."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp

from worker.core.identity import Source
from worker.errors import RoomError, RoomRefused
from worker.ports import RoomPresence
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

    async def people(self) -> Mapping[str, Sequence[RoomPresence]]:
        """Who publishes, in every room where anybody does. Raises `RoomError`."""
        status, text = await self._asked("GET", "")
        if status != HTTPStatus.OK:
            raise _refusal(status)
        try:
            rooms = json.loads(text)["rooms"]
            listed = {
                str(room["room"]): [_presence(each) for each in room["participants"]]
                for room in rooms
            }
        except (ValueError, KeyError, TypeError) as exc:
            raise RoomError("the room's server lists no rooms") from exc
        return {room_id: people for room_id, people in listed.items() if people}

    async def _ask(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> HTTPStatus:
        status, _ = await self._asked(method, f"/{path}", body)
        match status:
            case HTTPStatus.NO_CONTENT | HTTPStatus.NOT_FOUND:
                return HTTPStatus(status)
        raise _refusal(status)

    async def _asked(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> tuple[int, str]:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WITHIN_S)) as http,
                http.request(
                    method,
                    f"{self._rooms_url}{path}",
                    json=body,
                    headers=self._headers,
                    allow_redirects=False,  # the token is for this server
                ) as response,
            ):
                return response.status, await response.text()
        except (aiohttp.ClientError, OSError, TimeoutError, UnicodeDecodeError) as exc:
            raise RoomError(f"the room's server: {without_address(exc)}") from exc


def _refusal(status: int) -> RoomError:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return RoomRefused("the room's server does not accept our token of an administrator")
    return RoomError(f"the room's server answered {status}")


def _presence(listed: Any) -> RoomPresence:
    return RoomPresence(
        str(listed["user_id"]),
        shares_screen=any(track["source"] == Source.SCREEN.value for track in listed["tracks"]),
    )
