"""mix_param to `MixSpec`: the rules that span fields, and the meaning of the API's words.

Source: API reference section 6 and the decisions of its section 15.
"""

from collections.abc import Sequence

from worker.api.wire.addresses import image_address
from worker.api.wire.mix_param import LayoutPane, MixParam
from worker.api.wire.refusal import read
from worker.core.identity import Source, UserId
from worker.core.layout.geometry import Fit, Size
from worker.core.layout.screenshare import MAX_STRIP_USERS
from worker.core.spec import (
    Backgrounds,
    CustomLayout,
    GalleryLayout,
    ImageRef,
    Layout,
    MixSpec,
    Pane,
    ScreenShareLayout,
    Side,
    StagePolicy,
)
from worker.core.template import parse_template
from worker.errors import Fault, InvalidField

DEFAULT_MAX_IDLE_S = 30

EDGE_TOLERANCE = 1e-3
"""Published examples cut the canvas into thirds, written with three digits."""

_MIN_PANE_PX = 2

SOURCES = {"CAMERASTREAM": Source.CAMERA, "SCREENSTREAM": Source.SCREEN}
FITS = {"KEEP_RATIO_CROP": Fit.COVER, "KEEP_RATIO_PADDING": Fit.CONTAIN}
POLICIES = {"FIXED_USER": StagePolicy.FIXED_USER, "SHARED_SCREEN": StagePolicy.SHARED_SCREEN}


def mix_spec(param: MixParam, path: str = "mix_param") -> MixSpec:
    """The meaning of *param*, which stands at *path*. Raises `InvalidField`."""
    template = read(f"{path}.encode_template", parse_template, param.encode_template)
    max_idle_s = param.max_idle_time or DEFAULT_MAX_IDLE_S
    if template is None:
        # The API ignores layout and images here (section 6.1); nobody will look at the gallery.
        return MixSpec(param.room_id, None, GalleryLayout(), max_idle_s=max_idle_s)
    return MixSpec(
        room_id=param.room_id,
        template=template,
        layout=_layout(param, template.size, path),
        backgrounds=_backgrounds(param, path),
        max_idle_s=max_idle_s,
    )


def _layout(param: MixParam, canvas: Size, path: str) -> Layout:
    panes = param.layout_panes or []
    panes_path = f"{path}.layout_panes"
    match param.layout_template:
        case None:
            raise InvalidField(f"{path}.layout_template", "is missing", Fault.COMBINATION)
        case "nine_grids_view":
            return GalleryLayout()
        case "screen_share_left":
            return _screen_share(Side.LEFT, panes, panes_path)
        case "screen_share_right":
            return _screen_share(Side.RIGHT, panes, panes_path)
        case "custom":
            return _custom(panes, canvas, panes_path)


def stage_index(panes: Sequence[LayoutPane]) -> int:
    """Which of *panes* is the stage: the first with a filling policy, else the first."""
    marked = (index for index, pane in enumerate(panes) if pane.filling_policy is not None)
    return next(marked, 0)


def _screen_share(side: Side, panes: Sequence[LayoutPane], path: str) -> ScreenShareLayout:
    if len(panes) > MAX_STRIP_USERS + 1:
        raise InvalidField(path, f"has {len(panes)} entries, more than {MAX_STRIP_USERS + 1}")
    if not panes:
        return ScreenShareLayout(side)
    index = stage_index(panes)
    for other, pane in enumerate(panes[index + 1 :], index + 1):
        if pane.filling_policy is not None:
            raise InvalidField(
                f"{path}[{other}].filling_policy", "there is only one stage", Fault.COMBINATION
            )
    pane = panes[index]
    user_id = UserId(pane.user_id) if pane.user_id else None
    policy = POLICIES[pane.filling_policy or ("FIXED_USER" if user_id else "SHARED_SCREEN")]
    if policy is StagePolicy.SHARED_SCREEN:
        return ScreenShareLayout(side, policy, user_id, Source.SCREEN)
    if user_id is None:
        raise InvalidField(
            f"{path}[{index}].user_id", "is missing, FIXED_USER needs it", Fault.COMBINATION
        )
    return ScreenShareLayout(side, policy, user_id, _source(pane))


def _custom(panes: Sequence[LayoutPane], canvas: Size, path: str) -> CustomLayout:
    if not panes:
        raise InvalidField(
            path, "is missing, the custom layout needs at least one pane", Fault.COMBINATION
        )
    read_panes: list[Pane] = []
    for index, wire in enumerate(panes):
        pane = _pane(wire, index, canvas, f"{path}[{index}]")
        for other in read_panes:
            if pane.pane_id == other.pane_id:
                raise InvalidField(f"{path}[{index}].id", f"{pane.pane_id} is used twice")
            if (pane.user_id, pane.source) == (other.user_id, other.source):
                raise InvalidField(
                    f"{path}[{index}]",
                    f"has the user and video type of pane {other.pane_id}",
                    Fault.COMBINATION,
                )
        read_panes.append(pane)
    return CustomLayout(tuple(read_panes))


def _pane(wire: LayoutPane, index: int, canvas: Size, path: str) -> Pane:
    if not wire.user_id:
        raise InvalidField(f"{path}.user_id", "is missing", Fault.MISSING)
    x, width = _span(wire.x, wire.width, canvas.width, f"{path}.x", f"{path}.width")
    y, height = _span(wire.y, wire.height, canvas.height, f"{path}.y", f"{path}.height")
    return Pane(
        pane_id=wire.id or index + 1,
        user_id=UserId(wire.user_id),
        source=_source(wire),
        x=x,
        y=y,
        width=width,
        height=height,
        zorder=wire.zorder or 0,
        fit=FITS[wire.crop_mode or "KEEP_RATIO_CROP"],
    )


def _span(
    start: float | None, extent: float | None, length_px: int, start_path: str, extent_path: str
) -> tuple[float, float]:
    """One direction of a pane: begins and ends on the canvas, and can be seen."""
    if start is None:
        raise InvalidField(start_path, "is missing", Fault.MISSING)
    if extent is None:
        raise InvalidField(extent_path, "is missing", Fault.MISSING)
    if extent * length_px < _MIN_PANE_PX:
        raise InvalidField(extent_path, f"{extent} is less than {_MIN_PANE_PX} px of the canvas")
    if start + extent > 1 + EDGE_TOLERANCE:
        raise InvalidField(extent_path, f"{extent} from {start} ends outside the canvas")
    return start, extent


def _source(pane: LayoutPane) -> Source:
    return SOURCES[pane.video_type or "CAMERASTREAM"]


def _backgrounds(param: MixParam, path: str) -> Backgrounds:
    return Backgrounds(
        canvas=_image(param.background_image, f"{path}.background_image"),
        stage=_image(param.screen_background_image, f"{path}.screen_background_image"),
        default_user=_image(
            param.default_user_background_image, f"{path}.default_user_background_image"
        ),
        users={
            UserId(entry.user_id): read(
                f"{path}.user_background_images[{index}].image_uri", image_address, entry.image_uri
            )
            for index, entry in enumerate(param.user_background_images or [])
        },
    )


def _image(text: str | None, path: str) -> ImageRef | None:
    # The API's optional texts may be empty, meaning absent, as a pane's user_id in its examples.
    return read(path, image_address, text) if text else None
