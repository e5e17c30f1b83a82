"""The API's mix_param as it is written: shapes, ranges and defaults of its single fields.

Source: API reference section 4 (MixParam, MixLayoutPane, MixUserBackgroundImage) and the
decisions of its section 15. A key with null counts as absent; an unknown key is refused.
"""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from worker.core.layout.gallery import MAX_USERS
from worker.core.template import ALL_TEMPLATES, AUDIO_ONLY

MAX_PANES = 25
MAX_ZORDER = 24
MIN_IDLE_S, MAX_IDLE_S = 5, 43_200
MAX_PANE_ID = 2**31 - 1

ID_PATTERN = "^[A-Za-z0-9_-]{1,64}$"
_OPTIONAL_ID_PATTERN = "^[A-Za-z0-9_-]{0,64}$"


class WireModel(BaseModel):
    """A JSON object with exactly these keys and JSON types."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True
    )


def _number_as_text(value: object) -> object:
    """The vendor's own examples write ids as numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def _id_schema(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "string", "pattern": pattern}, {"type": "integer"}]})


Id = Annotated[
    str,
    Field(pattern=ID_PATTERN),
    BeforeValidator(_number_as_text),
    _id_schema(ID_PATTERN),
]
"""Room, user or job id, as the vendor documents them."""

OptionalId = Annotated[
    str,
    Field(pattern=_OPTIONAL_ID_PATTERN),
    BeforeValidator(_number_as_text),
    _id_schema(_OPTIONAL_ID_PATTERN),
]
"""An id, or empty for nobody."""

TemplateName = Annotated[
    str,
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": [AUDIO_ONLY, *(template.name for template in ALL_TEMPLATES)]},
                {"type": "string", "pattern": r"^\d+[xX*]\d+_\d+_\d+$"},
            ]
        }
    ),
]

IdleTime = Annotated[
    Annotated[int, Field(ge=MIN_IDLE_S, le=MAX_IDLE_S)] | None,
    # The API's own examples have 0 where nothing was asked.
    BeforeValidator(lambda value: None if type(value) is int and value == 0 else value),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": 0},
                {"type": "integer", "minimum": MIN_IDLE_S, "maximum": MAX_IDLE_S},
                {"type": "null"},
            ]
        }
    ),
]

Position = Annotated[
    float,
    Field(ge=0, le=1),
    # Nobody wants to be told of -0.0.
    AfterValidator(lambda value: value + 0.0),
]
Extent = Annotated[float, Field(gt=0, le=1)]
VideoType = Literal["CAMERASTREAM", "SCREENSTREAM"]
CropMode = Literal["KEEP_RATIO_PADDING", "KEEP_RATIO_CROP"]
FillingPolicy = Literal["FIXED_USER", "SHARED_SCREEN"]
LayoutTemplate = Literal["nine_grids_view", "screen_share_left", "screen_share_right", "custom"]


class LayoutPane(WireModel):
    """One pane. Geometry, zorder and crop mode count in the custom layout only."""

    id: Annotated[int, Field(ge=1, le=MAX_PANE_ID)] | None = None
    """Number of the pane, unique in the list; default: its place in the list, from 1."""
    user_id: OptionalId | None = None
    """Whose video. Needed in the custom layout and with FIXED_USER."""
    video_type: VideoType | None = None
    """Default CAMERASTREAM."""
    x: Position | None = None
    """Left edge as a fraction of the canvas width."""
    y: Position | None = None
    """Upper edge as a fraction of the canvas height."""
    width: Extent | None = None
    """Fraction of the canvas width."""
    height: Extent | None = None
    """Fraction of the canvas height."""
    zorder: Annotated[int, Field(ge=0, le=MAX_ZORDER)] | None = None
    """0 is at the bottom (default); equal values stack in the order of the list."""
    crop_mode: CropMode | None = None
    """Default KEEP_RATIO_CROP."""
    filling_policy: FillingPolicy | None = None
    """Screen-share layouts: marks the pane of the stage. Default FIXED_USER with a user_id."""


class UserBackgroundImage(WireModel):
    """The picture that stands in for one user's video."""

    user_id: Id
    image_uri: str
    """s3://bucket/object or file:///path"""


class MixLook(WireModel):
    """What of a mix may change while it runs."""

    max_idle_time: IdleTime = None
    """Seconds without a publisher after which the job ends; default 30, also for 0."""
    layout_template: LayoutTemplate | None = None
    """Needed unless encode_template is audio_only, where everything of the layout is ignored."""
    default_user_background_image: str | None = None
    """Picture for users without a video: s3://bucket/object or file:///path."""
    screen_background_image: str | None = None
    """Picture for the empty stage of a screen-share layout."""
    background_image: str | None = None
    """Picture behind everything."""
    layout_panes: Annotated[list[LayoutPane], Field(max_length=MAX_PANES)] | None = None
    """custom: the panes. screen_share_*: one pane that says who is on the stage."""
    user_background_images: (
        Annotated[list[UserBackgroundImage], Field(max_length=MAX_USERS)] | None
    ) = None
    """Pictures for single users; of two for one user the last counts."""


class MixParam(MixLook):
    """What to mix and how it shall look."""

    room_id: Id
    encode_template: TemplateName
    """Size, frame rate and bitrate, as in 1280x720_30_1710; audio_only: no video."""

    @model_validator(mode="before")
    @classmethod
    def _without_what_is_ignored(cls, value: object) -> object:
        """audio_only ignores the layout, however it is written (API reference section 6.1)."""
        if not isinstance(value, dict) or value.get("encode_template") != AUDIO_ONLY:
            return value
        return {key: member for key, member in value.items() if key not in _OF_THE_PICTURE}


_OF_THE_PICTURE = MixLook.model_fields.keys() - {"max_idle_time"}


class MixChange(MixLook):
    """The API's UpdateMixParam; what is left out stays as it is."""

    room_id: Id | None = None
    """May be repeated, not changed."""
    encode_template: str | None = None
    """May be repeated, not changed."""
