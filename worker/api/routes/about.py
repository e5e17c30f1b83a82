"""That the API is up, and what it can do; both for everybody."""

from collections.abc import Sequence

from worker.api.openapi import openapi_document
from worker.api.operation import Answer, AnyOperation, Call, Operation
from worker.api.wire.told import Told


class HealthTold(Told):
    """That there is an answer is the news: the event loop turns."""

    status: str


class DocumentTold(Told):
    """An OpenAPI 3.1 document."""

    openapi: str


def about(operations: Sequence[AnyOperation]) -> Sequence[AnyOperation]:
    """Operations that tell of *operations*, and of themselves."""

    async def health(_: Call[None, None]) -> Answer:
        return Answer(200, HealthTold(status="ok"))

    async def document(_: Call[None, None]) -> Answer:
        return Answer(200, described)

    ours = [
        Operation(
            method="GET",
            path="/healthz",
            name="health",
            handler=health,
            responses={200: HealthTold},
            is_public=True,
        ),
        Operation(
            method="GET",
            path="/openapi.json",
            name="openapi",
            handler=document,
            responses={200: DocumentTold},
            is_public=True,
        ),
    ]
    described = openapi_document([*operations, *ours])
    return ours
