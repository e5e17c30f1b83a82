"""mix_param with everything filled in that it means: as it is answered, and as the worker gets it.

Source: API reference section 4 (UpdateMixParam), and section 15, decisions 1, 3 and 4.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from worker.api.wire.mix_param import MixChange, MixParam
from worker.api.wire.mix_spec import FITS, POLICIES, SOURCES, mix_spec, stage_index
from worker.core.spec import CustomLayout, GalleryLayout, MixSpec, Pane, ScreenShareLayout
from worker.errors import Fault, InvalidField
from worker.jobs.values import Json

_IMAGES = ("background_image", "default_user_background_image", "screen_background_image")
_FIXED = ("room_id", "encode_template")

_VIDEO_TYPES = {source: name for name, source in SOURCES.items()}
_CROP_MODES = {fit: name for name, fit in FITS.items()}
_FILLING_POLICIES = {policy: name for name, policy in POLICIES.items()}


def effective(param: MixParam) -> Json:
    """*param* as it counts, which means the same and reads the same again.

    The template is spelled as the caller did. What audio_only ignores is left out. Raises
    `InvalidField`.
    """
    spec = mix_spec(param)
    mix: dict[str, Any] = {
        "room_id": param.room_id,
        "encode_template": param.encode_template,
        "max_idle_time": spec.max_idle_s,
    }
    if spec.template is None:
        return mix
    mix["layout_template"] = param.layout_template
    mix |= {key: text for key in _IMAGES if (text := getattr(param, key))}
    if panes := _panes(param, spec):
        mix["layout_panes"] = panes
    if users := spec.backgrounds.users:
        mix["user_background_images"] = [
            {"user_id": user_id, "image_uri": image} for user_id, image in users.items()
        ]
    return mix


def changed(mix: Json, change: MixChange) -> Json:
    """The `effective` *mix* with what *change* says; lists are replaced as a whole.

    An empty text takes an image away. Raises `InvalidField`.
    """
    written = change.model_dump(exclude_none=True)
    if not written:
        raise InvalidField("mix_param", "has nothing that can be changed", Fault.MISSING)
    for key in (*_FIXED, "layout_template"):
        if key in written and written[key] != mix.get(key):
            raise InvalidField(f"mix_param.{key}", "cannot be changed", Fault.COMBINATION)
    if "layout_panes" in written and mix.get("layout_template") != "custom":
        raise InvalidField(
            "mix_param.layout_panes", "can be changed in custom layouts only", Fault.COMBINATION
        )
    return effective(MixParam.model_validate({**mix, **written}))


def check_images(mix: Json, granted: Collection[str] | None) -> None:
    """Raise `InvalidField` unless every image of *mix* lies in a bucket that is *granted*.

    None: any bucket is.
    """
    for path, address in _images(mix):
        scheme, _, place = address.partition("://")
        if scheme != "s3":
            raise InvalidField(path, "must be s3://bucket/object")
        if granted is not None and place.partition("/")[0] not in granted:
            raise InvalidField(path, "is in a bucket that nobody granted")


def _images(mix: Json) -> Iterator[tuple[str, str]]:
    for key in _IMAGES:
        if key in mix:
            yield f"mix_param.{key}", mix[key]
    for index, entry in enumerate(mix.get("user_background_images", ())):
        yield f"mix_param.user_background_images[{index}].image_uri", entry["image_uri"]


def _panes(param: MixParam, spec: MixSpec) -> list[Mapping[str, object]]:
    match spec.layout:
        case GalleryLayout():
            return []
        case ScreenShareLayout(policy=policy, user_id=user_id, source=source):
            panes = param.layout_panes or []
            index = stage_index(panes)
            return [
                {
                    "id": (panes[index].id if panes else None) or index + 1,
                    "user_id": user_id or "",
                    "video_type": _VIDEO_TYPES[source],
                    "filling_policy": _FILLING_POLICIES[policy],
                }
            ]
        case CustomLayout(panes=panes):
            return [_pane(pane) for pane in panes]


def _pane(pane: Pane) -> Mapping[str, object]:
    return {
        "id": pane.pane_id,
        "user_id": pane.user_id,
        "video_type": _VIDEO_TYPES[pane.source],
        "x": pane.x,
        "y": pane.y,
        "width": pane.width,
        "height": pane.height,
        "zorder": pane.zorder,
        "crop_mode": _CROP_MODES[pane.fit],
    }
