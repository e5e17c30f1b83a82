"""Answers as HTTP responses."""

import json

from aiohttp import web
from pydantic import BaseModel

from worker.api.errors import Refused
from worker.api.operation import Answer

REQUEST_ID_HEADER = "X-request-Id"


def response(answer: Answer) -> web.Response:
    """What a successful operation sends."""
    body = answer.body
    if body is None:
        return web.Response(status=answer.status, headers=answer.headers)
    text = (
        body.model_dump_json(exclude_none=True)
        if isinstance(body, BaseModel)
        else json.dumps(body, ensure_ascii=False)
    )
    return web.Response(
        status=answer.status, text=text, content_type="application/json", headers=answer.headers
    )


def refusal_response(refused: Refused, request_id: str) -> web.Response:
    """What everything else sends; the gateway's refusals repeat the request id."""
    refusal = refused.refusal
    text = f"{refusal.text}: {refused.reason}" if refused.reason else refusal.text
    body = {"error_code": refusal.code, "error_msg": text}
    if refusal.code.startswith("APIGW."):
        body["request_id"] = request_id
    headers = {}
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(refusal.retry_after_s)
    return web.json_response(body, status=refusal.status, headers=headers)
