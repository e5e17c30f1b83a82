"""What all models of answers have in common."""

from pydantic import BaseModel, ConfigDict


class Told(BaseModel):
    """A JSON object of an answer, of exactly these types; what is None is left out."""

    model_config = ConfigDict(strict=True, frozen=True, use_attribute_docstrings=True)


class FailureTold(Told):
    """Why a request failed."""

    error_code: str
    """Such as RTC.00001003."""
    error_msg: str
    request_id: str | None = None
    """In what the gateway refused; all answers have it in the header X-request-Id."""
