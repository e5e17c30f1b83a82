"""The OpenAPI 3.1 document of operations, made from their declarations."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import (
    GenerateJsonSchema,
    JsonSchemaMode,
    JsonSchemaValue,
    models_json_schema,
)
from pydantic_core import core_schema

from worker.api.answers import REQUEST_ID_HEADER
from worker.api.operation import AnyOperation
from worker.api.wire.told import FailureTold
from worker.jobs.values import Json

API_VERSION = "2.0"

_REFERENCE = "#/components/schemas/{model}"
_JSON = "application/json"
_VARIABLE = re.compile(r"\{(\w+)\}")
_PROBLEMS = {
    400: "The request is not one.",
    401: "Nobody who is known.",
    404: "There is no such thing, or it is somebody else's.",
    408: "The request did not arrive in time.",
    413: "The body is too large.",
    415: "The body is compressed.",
    429: "Too many requests.",
    500: "It is not the caller's fault.",
}
_PUBLIC_PROBLEMS = _PROBLEMS.keys() - {401, 404, 429}
_SECURITY = {
    "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "SDK-HMAC-SHA256 signature of the request, with X-Sdk-Date.",
    },
}


_Schemas = Mapping[Any, JsonSchemaValue]


class _Schema(GenerateJsonSchema):
    """Without titles that only repeat the key; unknown keys are ignored, whatever models say."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        made.pop("additionalProperties", None)
        return made


def openapi_document(operations: Sequence[AnyOperation]) -> Json:
    """*operations* with their models; failures all look alike."""
    schemas, definitions = models_json_schema(
        _models(operations), ref_template=_REFERENCE, schema_generator=_Schema
    )
    paths: dict[str, dict[str, Json]] = {}
    for operation in operations:
        described = _operation(operation, schemas, definitions.get("$defs", {}))
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": "mixworker", "version": API_VERSION},
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "responses": {
                str(status): _response(text, schemas[FailureTold, "serialization"])
                for status, text in _PROBLEMS.items()
            },
            "securitySchemes": _SECURITY,
        },
    }


def _models(operations: Sequence[AnyOperation]) -> Sequence[tuple[type[BaseModel], JsonSchemaMode]]:
    """Every model once, in the role it has."""
    models: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {
        (FailureTold, "serialization"): None
    }
    for operation in operations:
        for asked in filter(None, (operation.request, operation.query)):
            models[asked, "validation"] = None
        for told in filter(None, operation.responses.values()):
            models[told, "serialization"] = None
    return list(models)


def _operation(operation: AnyOperation, schemas: _Schemas, definitions: Json) -> Json:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _VARIABLE.findall(operation.path)
        ],
        "security": [] if operation.is_public else [{name: []} for name in _SECURITY],
        "responses": {
            **{
                str(status): {"$ref": f"#/components/responses/{status}"}
                for status in _PROBLEMS
                if not operation.is_public or status in _PUBLIC_PROBLEMS
            },
            **{
                str(status): _response(
                    _PROBLEMS.get(status, "Done."),
                    None if model is None else schemas[model, "serialization"],
                )
                for status, model in operation.responses.items()
            },
        },
    }
    if operation.group is not None:
        described["tags"] = [operation.group.value]
    if operation.query is not None:
        name = schemas[operation.query, "validation"]["$ref"].rpartition("/")[2]
        described["parameters"] += _query(definitions[name])
    if operation.request is not None:
        body = {_JSON: {"schema": schemas[operation.request, "validation"]}}
        described["requestBody"] = {"required": True, "content": body}
    return described


def _query(model: Json) -> list[Json]:
    required = model.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": schema.get("description", ""),
            "schema": _present(schema),
        }
        for name, schema in model["properties"].items()
    ]


def _present(schema: Json) -> Json:
    """Of what may be null the rest: a query has no null."""
    choices = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    return choices[0] if len(choices) == 1 else schema


def _response(description: str, schema: JsonSchemaValue | None) -> Json:
    described: dict[str, Any] = {
        "description": description,
        "headers": {REQUEST_ID_HEADER: {"schema": {"type": "string"}}},
    }
    if schema is not None:
        described["content"] = {_JSON: {"schema": schema}}
    return described
