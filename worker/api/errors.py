"""What our errors are called in answers: HTTP status, code and text. The only such table.

Source: API reference section 9; the bindings it leaves open are those of its section 15.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from worker.api.auth.refusals import TooManyRequests, Unauthenticated
from worker.errors import (
    AppStopped,
    DestinationError,
    Fault,
    InUse,
    InvalidField,
    JobDone,
    JobNotRunning,
    JobRunning,
    LaunchError,
    NameTaken,
    NotFound,
    QuotaExceeded,
    RecordsDown,
    RequestError,
    RoomError,
    WorkerError,
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a failed request is answered."""

    status: int
    code: str
    text: str
    """As published; the field and the reason follow it."""
    retry_after_s: int | None = None


MALFORMED = Refusal(400, "RTC.00001002", "MalformedRequestBody: json parsing failed")
BAD_VALUE = Refusal(400, "RTC.00001003", "InvalidParameterValue")
NOT_FOUND = Refusal(404, "RTC.00001003", "InvalidParameterValue")
BAD_COMBINATION = Refusal(400, "RTC.00001004", "InvalidParameterCombination")
MISSING = Refusal(400, "RTC.00001005", "MissingParameter")
JOB_RUNNING = Refusal(400, "RTC.00001006", "JobRunning: job exists and is not over")
JOBS_EXCEED = Refusal(400, "RTC.00001007", "JobExceed")
JOB_DONE = Refusal(400, "RTC.00001009", "JobDone: task canceled or completed")
NO_LAYOUT = Refusal(
    400,
    "RTC.00001010",
    "LayoutTemplateNotExist: layout template not exist under your app",
)
NO_REGION = Refusal(
    400,
    "RTC.00001012",
    "UnsupportRegion: rtc does not provide services in the region",
)
RULE_IN_USE = Refusal(
    400,
    "RTC.00001013",
    "RuleForbidenDelete: rule is associated with backup rule",
)
APP_STOPPED = Refusal(400, "RTC.00001016", "AppDeactivation: app is stopped")
APPS_EXCEED = Refusal(400, "RTC.00001017", "AppsExceed: app num exceed")
URL_UNAVAILABLE = Refusal(
    400,
    "RTC.00001018",
    "URL unavailable: The callback URL is unavailable.",
)
RULE_EXISTS = Refusal(400, "RTC.00001019", "RecordRuleExist: record rule of the app exists")
APP_EXISTS = Refusal(400, "RTC.00001020", "AppExist: app exists")
NOT_ALLOWED = Refusal(400, "RTC.00001021", "policy doesn't allow action to be performed")
NOT_INITIALIZED = Refusal(400, "RTC.00001022", "job is not initialized")
DATABASE = Refusal(500, "RTC.00002002", "InternalError.DbErr", retry_after_s=1)
MEDIA = Refusal(500, "RTC.00002003", "InternalError.Transcode4xxError", retry_after_s=5)
INTERNAL = Refusal(500, "RTC.00002004", "InternalError")
"""The text of this code was not published; the pages show this one for anything else."""

NO_SUCH_API = Refusal(
    404,
    "APIGW.0101",
    "The API does not exist or has not been published in the environment.",
)

BAD_REQUEST = Refusal(400, "APIGW.0201", "Bad request")
UNAUTHENTICATED = Refusal(401, "APIGW.0301", "Incorrect IAM authentication information")
NO_SUCH_METHOD = Refusal(405, "APIGW.0101", NO_SUCH_API.text)
TOO_SLOW = Refusal(408, "APIGW.0201", "Request timeout")
TOO_LARGE = Refusal(413, "APIGW.0201", "Request entity too large")
ADDRESS_TOO_LONG = Refusal(414, "APIGW.0201", "Request URI too large")
CODED = Refusal(415, "APIGW.0201", "Content encodings are not supported")
THROTTLED = Refusal(429, "APIGW.0308", "The throttling threshold has been reached")
HEADERS_TOO_LARGE = Refusal(431, "APIGW.0201", "Request headers too large")

_FAULTS = {
    Fault.SYNTAX: MALFORMED,
    Fault.MISSING: MISSING,
    Fault.VALUE: BAD_VALUE,
    Fault.COMBINATION: BAD_COMBINATION,
    Fault.LAYOUT_TEMPLATE: NO_LAYOUT,
    Fault.REGION: NO_REGION,
}

_ERRORS: Mapping[type[WorkerError], Refusal] = {
    RequestError: BAD_VALUE,
    NotFound: NOT_FOUND,
    NameTaken: BAD_VALUE,
    QuotaExceeded: JOBS_EXCEED,
    InUse: RULE_IN_USE,
    AppStopped: APP_STOPPED,
    JobRunning: JOB_RUNNING,
    JobNotRunning: NOT_INITIALIZED,
    JobDone: JOB_DONE,
    DestinationError: MEDIA,
    RoomError: MEDIA,
    LaunchError: MEDIA,
    RecordsDown: DATABASE,
    WorkerError: INTERNAL,
}
"""An error that is not here goes as its base does."""


class Refused(Exception):
    """The request is answered by `refusal`; for what HTTP alone knows, such as credentials."""

    def __init__(self, refusal: Refusal, reason: str = "") -> None:
        super().__init__(reason)
        self.refusal = refusal
        self.reason = reason
        """Follows the published text."""


def refused(error: WorkerError, here: Mapping[type[WorkerError], Refusal]) -> Refused:
    """How *error* is answered by an operation where the errors of *here* mean something else.

    Only what the caller wrote is explained: the other texts are for us, and whether something is
    not there or somebody else's must not show.
    """
    bases = type(error).__mro__
    for base in bases:
        if base in here:
            return Refused(here[base])
    match error:
        case InvalidField(fault=fault):
            return Refused(_FAULTS[fault], str(error))
        case Unauthenticated(reason=reason):
            return Refused(UNAUTHENTICATED, reason)
        case TooManyRequests(retry_after_s=retry_after_s):
            return Refused(replace(THROTTLED, retry_after_s=retry_after_s))
    return Refused(next(_ERRORS[base] for base in bases if base in _ERRORS))
