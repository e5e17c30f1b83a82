"""The generated document, and requests generated from it."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hypothesis
import jsonschema
import pytest
import schemathesis
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi import checks

from tests.api.routes.test_rules import RULE
from tests.support.api import ALICE, Api, running_api

CHECKS: list[CheckFunction] = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
"""What must hold of any answer."""


async def document_of(api: Api) -> Mapping[str, Any]:
    reply = await api.call("GET", "/openapi.json", token=None)
    assert reply.status == 200
    return reply.body


async def test_every_operation_is_described(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        document = await document_of(api)

    described = {
        (method, path): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    create = described["post", "/v2/apps/{app_id}/record-rules"]
    assert document["openapi"] == "3.1.0"
    assert len(described) == 6 + 5 + 2 + 2 + 3 + 14 + 2
    assert len({each["operationId"] for each in described.values()}) == len(described)
    assert create["requestBody"]["required"]
    assert {"200", "201", "400", "401", "404", "429", "500"} <= create["responses"].keys()
    assert create["security"] == [{"token": []}, {"signature": []}]
    assert described["get", "/healthz"]["security"] == []
    assert [each["name"] for each in described["get", "/v2/apps"]["parameters"]] == [
        "offset",
        "limit",
        "state",
    ]


async def test_models_are_described_as_they_are_read(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        document = await document_of(api)

    schemas = document["components"]["schemas"]
    jsonschema.Draft202012Validator.check_schema(schemas)
    rule = {"$ref": "#/components/schemas/RuleRequest", "components": document["components"]}
    jsonschema.validate({**RULE, "unknown": 1}, rule)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**RULE, "record_formats": ["AVI"]}, rule)
    references = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert references <= schemas.keys()


def _ask(document: Mapping[str, Any], url: str, ids: Mapping[str, str], examples: int) -> set[str]:
    """Ask every operation *examples* times; gives what was answered."""
    # The statistics are all alike, and empty.
    schema = schemathesis.openapi.from_dict(dict(document)).exclude(path_regex="^/v1/")
    seen: set[str] = set()
    for result in schema.get_all_operations():
        operation = result.ok()

        @hypothesis.settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            # What is random is nothing that is there: half of them shall be.
            if len(str(case.path_parameters)) % 2:
                case.path_parameters |= {
                    name: ids[name] for name in case.path_parameters if name in ids
                }
            answer = case.call(base_url=url, headers={"X-Auth-Token": "alice"})
            seen.add(f"{case.operation.label} {answer.status_code}")
            case.validate_response(answer, checks=CHECKS)

        ask()
    return seen


async def _sweep(directory: Path, examples: int) -> set[str]:
    async with running_api(directory) as api:
        app_id = await api.app()
        rule = await api.call("POST", f"/v2/apps/{app_id}/record-rules", RULE)
        ids = {
            "app_id": app_id,
            "rule_id": rule.body["rule_id"],
            "project_id": ALICE.account_id,
        }
        return await asyncio.to_thread(_ask, await document_of(api), api.url, ids, examples)


async def test_no_generated_request_is_a_surprise(tmp_path: Path) -> None:
    seen = await _sweep(tmp_path, examples=4)

    assert {answer.rpartition(" ")[2] for answer in seen} >= {"200", "400", "404"}


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_no_generated_request_is_a_surprise_however_many(tmp_path: Path) -> None:
    await _sweep(tmp_path, examples=300)
