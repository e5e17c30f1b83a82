"""Tokens and projects, as the identity service of the vendor's cloud has them.

Source: API reference 11.1. An account is a domain with one user, who has the account's name, and
one project, which has the account's id and answers to the name of any region.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.api.auth.login import WRONG, Login
from worker.api.auth.refusals import Unauthenticated
from worker.api.auth.tokens import Tokens
from worker.api.operation import Answer, AnyOperation, Call, Group, Operation
from worker.api.wire.told import FailureTold
from worker.jobs.values import Account, Json, Token

SUBJECT_TOKEN_HEADER = "X-Subject-Token"


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, hide_input_in_errors=True)


class Reference(_Model):
    """A domain or a project, by either."""

    id: str | None = None
    name: str | None = None


class User(_Model):
    """Who logs in."""

    name: Annotated[str, Field(max_length=64)]
    password: Annotated[str, Field(max_length=1024, repr=False)]
    domain: Reference | None = None


class Password(_Model):
    user: User


class Identity(_Model):
    methods: Annotated[list[Literal["password"]], Field(min_length=1, max_length=1)]
    password: Password


class Scope(_Model):
    """What the token is for; without one, the domain."""

    domain: Reference | None = None
    project: Reference | None = None


class Auth(_Model):
    identity: Identity
    scope: Scope | None = None


class TokenRequest(_Model):
    auth: Auth


class Domain(_Model):
    id: str
    name: str


class Project(_Model):
    id: str
    name: str
    domain: Domain | None = None


class TokenUser(_Model):
    id: str
    name: str
    domain: Domain
    password_expires_at: str = ""
    """Never."""


class TokenFacts(_Model):
    methods: list[str]
    issued_at: str
    expires_at: str
    user: TokenUser
    domain: Domain | None = None
    project: Project | None = None
    roles: list[Json]
    catalog: list[Json] | None = None
    """Left out when `nocatalog` is asked for."""


class TokenAnswer(_Model):
    token: TokenFacts


class Failure(_Model):
    code: int
    """The HTTP status."""
    message: str
    title: str


class FailureAnswer(_Model):
    """How the identity service says that it refuses."""

    error: Failure


class TokenQuery(_Model):
    nocatalog: str = ""


class ProjectsQuery(_Model):
    name: str | None = None


class ProjectsAnswer(_Model):
    projects: list[Project]


def operations(*, login: Login, tokens: Tokens) -> Sequence[AnyOperation]:
    """The operations below `/v3`."""
    identity = _Operations(login, tokens)
    return (
        Operation(
            method="POST",
            path="/v3/auth/tokens",
            name="create_token",
            handler=identity.create_token,
            responses={201: TokenAnswer, 401: FailureAnswer, 429: FailureTold},
            request=TokenRequest,
            query=TokenQuery,
            is_public=True,
        ),
        Operation(
            method="DELETE",
            path="/v3/auth/tokens",
            name="revoke_token",
            handler=identity.revoke_token,
            responses={204: None, 400: FailureAnswer, 404: FailureAnswer},
            group=Group.IDENTITY,
        ),
        Operation(
            method="GET",
            path="/v3/projects",
            name="list_projects",
            handler=identity.list_projects,
            responses={200: ProjectsAnswer},
            query=ProjectsQuery,
            group=Group.IDENTITY,
        ),
    )


class _Operations:
    def __init__(self, login: Login, tokens: Tokens) -> None:
        self._login = login
        self._tokens = tokens

    async def create_token(self, call: Call[TokenRequest, TokenQuery]) -> Answer:
        user, scope = call.body.auth.identity.password.user, call.body.auth.scope or Scope()
        try:
            account = await self._login.account(user.name, user.password, call.remote)
            if not _is_of(account, user.domain, scope):
                raise Unauthenticated(WRONG)
        except Unauthenticated as exc:
            return _failure(401, "Unauthorized", exc.reason)
        text, token = await self._tokens.issue(account.account_id)
        facts = _facts(account, token, scope, has_catalog=not call.query.nocatalog)
        return Answer(201, TokenAnswer(token=facts), {SUBJECT_TOKEN_HEADER: text})

    async def revoke_token(self, call: Call[None, None]) -> Answer:
        text = call.headers.get(SUBJECT_TOKEN_HEADER)
        if text is None:
            return _failure(400, "Bad Request", f"{SUBJECT_TOKEN_HEADER} is missing")
        try:
            token = await self._tokens.check(text)
        except Unauthenticated:
            token = None
        if token is None or token.account_id != call.account.account_id:
            return _failure(404, "Not Found", "There is no such token.")
        await self._tokens.revoke(token)
        return Answer(204)

    async def list_projects(self, call: Call[None, ProjectsQuery]) -> Answer:
        name = call.account.name if call.query.name is None else call.query.name
        project = Project(id=call.account.account_id, name=name)
        return Answer(200, ProjectsAnswer(projects=[project]))


def _is_of(account: Account, domain: Reference | None, scope: Scope) -> bool:
    """Whether everything that was named is the account's; a project's name may be any region."""
    for named in (domain, scope.domain):
        if named is not None and named.name not in (None, account.name):
            return False
    ids = [named.id for named in (domain, scope.domain, scope.project) if named is not None]
    return all(each in (None, account.account_id) for each in ids)


def _facts(account: Account, token: Token, scope: Scope, *, has_catalog: bool) -> TokenFacts:
    domain = Domain(id=account.account_id, name=account.name)
    project = None
    if scope.project is not None:
        name = scope.project.name or account.name
        project = Project(id=account.account_id, name=name, domain=domain)
    return TokenFacts(
        methods=["password"],
        issued_at=_instant(token.issued_unix_ms),
        expires_at=_instant(token.expires_unix_ms),
        user=TokenUser(id=account.account_id, name=account.name, domain=domain),
        domain=domain if project is None else None,
        project=project,
        roles=[],
        catalog=[] if has_catalog else None,
    )


def _instant(unix_ms: int) -> str:
    instant = datetime.fromtimestamp(unix_ms / 1000, UTC)
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _failure(status: int, title: str, message: str) -> Answer:
    return Answer(status, FailureAnswer(error=Failure(code=status, message=message, title=title)))
