"""The bad-input tables of jobs, row by row through the server: `bad_input/*.json`.

A row puts a value `at` a place of a `base` (`drop`: takes it away; `literal`: as JSON text), or
is a whole `body`. It expects a `status` (400 unless said otherwise), a `code` and the `field` in
the text of the refusal, or that the answer `tells` a value at that place (or at `told_at`).
"""

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.api.routes.jobs_world import APP, RULES, Reply, World, jobs_world

TABLES = Path(__file__).parent / "bad_input"
NAMES = re.compile(r"\b(RULE|FOREIGN)\b")

pytestmark = pytest.mark.asyncio(loop_scope="module")


def table(name: str) -> dict[str, Any]:
    return json.loads((TABLES / f"{name}.json").read_text())


MIX, INDIVIDUAL, UPDATE = (
    table(name) for name in ("create_mix_job", "create_individual_job", "update_mix_job")
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory):
    async with jobs_world(tmp_path_factory.mktemp("records")) as served:
        yield served


def place_of(value: Any, path: str) -> tuple[Any, Any]:
    """The holder, and the key in it, of what is at *path*; holders on the way are made."""
    keys: list[Any] = [
        int(number) if number else name for name, number in re.findall(r"(\w+)|\[(\d+)\]", path)
    ]
    for key in keys[:-1]:
        value = value[key] if isinstance(key, int) else value.setdefault(key, {})
    return value, keys[-1]


def text_of(row: dict[str, Any], bases: dict[str, Any]) -> str:
    if "body" in row:
        return row["body"]
    body = deepcopy(bases[row["base"]])
    holder, key = place_of(body, row["at"])
    if row.get("drop"):
        holder.pop(key, None)
    else:
        holder[key] = row.get("put", "LITERAL")
    text = json.dumps(body).replace('"LITERAL"', row.get("literal", ""))
    return NAMES.sub(lambda name: RULES[name[1]], text)


def told(answer: Any, path: str) -> Any:
    """None where nothing is told, as what is null."""
    for name, number in re.findall(r"(\w+)|\[(\d+)\]", path):
        answer = answer[int(number)] if number else (answer or {}).get(name)
    return answer


def check(row: dict[str, Any], reply: Reply, success: int) -> None:
    if "code" not in row:
        assert (reply.status, told(reply.body, row.get("told_at", row["at"]))) == (
            success,
            row["tells"],
        ), reply.text
        # Equal to 0.0, and still nothing to tell.
        assert "-0.0" not in reply.text
        return
    assert (reply.status, reply.code) == (row.get("status", 400), row["code"]), reply.text
    message = reply.body["error_msg"]
    if reply.status == 404:
        assert message == "InvalidParameterValue"
    else:
        assert f": {row.get('field', row.get('at', 'document'))}: " in message


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [ascii(row.get("at", row.get("body", "")))[1:-1][:40] for row in rows]


@pytest.mark.parametrize("row", MIX["rows"], ids=names(MIX["rows"]))
async def test_a_new_mix_job(world: World, row: dict[str, Any]) -> None:
    reply = await world.call("POST", f"{APP}/mix-stream-jobs", raw=text_of(row, MIX["bases"]))
    check(row, reply, 201)


@pytest.mark.parametrize("row", INDIVIDUAL["rows"], ids=names(INDIVIDUAL["rows"]))
async def test_a_new_individual_job(world: World, row: dict[str, Any]) -> None:
    text = text_of(row, INDIVIDUAL["bases"])
    reply = await world.call("POST", f"{APP}/individual-stream-jobs", raw=text)
    check(row, reply, 201)


@pytest.mark.parametrize("row", UPDATE["rows"], ids=names(UPDATE["rows"]))
async def test_a_changed_mix_job(world: World, row: dict[str, Any]) -> None:
    base = json.dumps(MIX["bases"][row["job"]]).replace("RULE", RULES["RULE"])
    job = (await world.mix(json.loads(base))).body
    await world.is_running(job["job_id"])
    path = f"{APP}/mix-stream-jobs/{job['job_id']}"
    before = await world.call("GET", path)
    reply = await world.call("PUT", path, raw=text_of(row, UPDATE["bases"]))
    check(row, reply, 200)
    if reply.status == 200:
        before = reply
    assert (await world.call("GET", path)).body == before.body
