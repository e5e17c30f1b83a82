"""configs/worker.toml is the manual: it must show every setting with its default."""

import tomllib
from pathlib import Path

import pytest

from worker.errors import InvalidField
from worker.settings import Settings, load_settings

MANUAL = Path(__file__).parents[2] / "configs" / "worker.toml"


def test_the_manual_lists_every_key_with_its_default():
    assert tomllib.loads(MANUAL.read_text()) == Settings().model_dump(mode="json")


def test_the_manual_can_be_loaded():
    assert load_settings(MANUAL, {}) == Settings()


def test_the_environment_overrides_the_file():
    environment = {
        "MIXWORKER_VIDEO__PRESET": "veryfast",
        "MIXWORKER_ICE__HOST_ADDRESSES": "10.0.0.1,10.0.0.2",
        "HOME": "/nowhere",
    }

    settings = load_settings(MANUAL, environment)

    assert settings.video.preset == "veryfast"
    assert settings.ice.host_addresses == ("10.0.0.1", "10.0.0.2")


@pytest.mark.parametrize(
    ("environment", "field"),
    [
        ({"MIXWORKER_VIDEO__PRESET": "warp"}, "video.preset"),
        ({"MIXWORKER_VIDEO__SPEED": "1"}, "video.speed"),
        ({"MIXWORKER_NOTHING__X": "1"}, "nothing"),
        ({"MIXWORKER_STOP__GRACE_S": "soon"}, "stop.grace_s"),
    ],
)
def test_a_wrong_setting_is_named(environment, field):
    with pytest.raises(InvalidField) as refused:
        load_settings(None, environment)

    assert refused.value.path == field
