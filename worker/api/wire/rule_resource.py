"""Record rules as a resource of the API: read by the code that job documents are read by.

Source: API reference sections 3.2, 4 and 7.
"""

from collections.abc import Collection, Mapping
from typing import Any, Literal

from pydantic import model_validator

from worker.api.wire.record import (
    ALWAYS_MERGE,
    HlsConfig,
    Mp4Config,
    ObjectStorage,
    RecordRuleBody,
    record_rule,
)
from worker.api.wire.times import instant
from worker.api.wire.told import Told
from worker.core.record.rule import FileRule, RecordFormat
from worker.errors import Fault, InvalidField
from worker.jobs.values import Json, Rule

LONGEST_STREAM_NAME = "x" * (2 + 32 + 1 + 64 + 1 + 64)
"""Of a job that records one user: what it is called must not make its keys too long."""

_OURS = ("rule_id", "app_id", "create_time", "update_time")
_PATH = "rule"


class RuleRequest(RecordRuleBody):
    """A record rule to be stored."""

    @model_validator(mode="before")
    @classmethod
    def _without_what_we_say(cls, value: object) -> object:
        """Who sends back what was answered means the rule, not our ids and times."""
        if not isinstance(value, dict):
            return value
        return {key: member for key, member in value.items() if key not in _OURS}


class RuleTold(Told):
    """A record rule with its defaults; the settings of a format that is not recorded are absent."""

    rule_id: str
    app_id: str
    obs_addr: ObjectStorage
    record_formats: list[Literal["HLS", "MP4"]]
    hls_config: HlsConfig | None = None
    mp4_config: Mp4Config | None = None
    create_time: str
    update_time: str


class RulesTold(Told):
    """A page of rules."""

    rules: list[RuleTold]


def rule_body(body: RuleRequest, *, app_id: str, locations: Collection[str]) -> Json:
    """The rule that *body* asks for, defaults filled in; what it says any job can go by.

    *locations* are where buckets are; empty: anywhere. Raises `InvalidField`.
    """
    try:
        rule = record_rule(
            body, app_id=app_id, stream_name=LONGEST_STREAM_NAME, store=None, path=_PATH
        )
    except InvalidField as exc:
        path = exc.path.removeprefix(f"{_PATH}.")
        raise InvalidField(path, exc.reason, exc.fault) from None
    address = rule.address
    if locations and address.location not in locations:
        raise InvalidField("obs_addr.location", "is not served", Fault.REGION)
    return {
        "obs_addr": {
            "location": address.location,
            "project_id": body.obs_addr.project_id or "",
            "bucket": address.bucket,
            "object": address.key_prefix,
        },
        "record_formats": list(dict.fromkeys(body.record_formats)),
        **{
            f"{each.value.lower()}_config": _config(each, files)
            for each, files in rule.files.items()
        },
    }


def rule_told(rule: Rule) -> RuleTold:
    """*rule* with its ids and times."""
    return RuleTold.model_validate(
        {
            **rule.body,
            "rule_id": rule.rule_id,
            "app_id": rule.app_id,
            "create_time": instant(rule.created_unix_ms),
            "update_time": instant(rule.updated_unix_ms),
        }
    )


def _config(record_format: RecordFormat, files: FileRule) -> Mapping[str, Any]:
    config = {
        "record_cycle": files.cycle_s,
        "record_prefix": files.keys.text,
        "record_max_duration_to_merge_file": (
            ALWAYS_MERGE if files.merge_s is None else files.merge_s
        ),
    }
    if record_format is RecordFormat.HLS:
        config["record_slice_duration"] = files.slice_s
    return config
