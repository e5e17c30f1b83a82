"""mix_param as the API's pages write it, and every way to get it wrong."""

import json
from collections.abc import Mapping

import pytest

from worker.api.wire.job_document import parse_job_document
from worker.core.identity import Source, UserId
from worker.core.layout.geometry import Fit
from worker.core.spec import (
    Backgrounds,
    CustomLayout,
    GalleryLayout,
    ImageRef,
    MixSpec,
    Pane,
    ScreenShareLayout,
    Side,
    StagePolicy,
)
from worker.core.template import parse_template
from worker.errors import InvalidField

Fields = Mapping[str, object]

TEMPLATE = parse_template("1280x720_15_2260")
GALLERY: Fields = {
    "room_id": "room001",
    "encode_template": "1280x720_15_2260",
    "max_idle_time": 30,
    "layout_template": "nine_grids_view",
}
SHARE: Fields = GALLERY | {"layout_template": "screen_share_right"}
ANN_PANE: Fields = {"user_id": "ann", "x": 0, "y": 0, "width": 0.5, "height": 0.5}
CUSTOM: Fields = GALLERY | {"layout_template": "custom", "layout_panes": [ANN_PANE]}


def read(mix_param: object) -> MixSpec:
    document = {
        "room": {"kind": "testroom", "url": "ws://127.0.0.1/ws"},
        "mix_param": mix_param,
        "output": {"directory": "out"},
    }
    return parse_job_document(json.dumps(document)).mix


def with_panes(base: Fields, *panes: Fields) -> Fields:
    return base | {"layout_panes": list(panes)}


# --- what the API's pages show --------------------------------------------------------------


def test_the_gallery_of_the_api_pages() -> None:
    assert read(GALLERY) == MixSpec("room001", TEMPLATE, GalleryLayout(), Backgrounds(), 30)


def test_the_shared_screen_of_the_api_pages() -> None:
    pane = {
        "id": 1,
        "user_id": "",
        "video_type": "SCREENSTREAM",
        "filling_policy": "SHARED_SCREEN",
    }
    assert read(with_panes(SHARE, pane)).layout == ScreenShareLayout(
        Side.RIGHT, StagePolicy.SHARED_SCREEN, None, Source.SCREEN
    )


def test_the_fixed_user_of_the_api_pages() -> None:
    pane = {
        "id": 1,
        "user_id": "user1",
        "video_type": "CAMERASTREAM",
        "filling_policy": "FIXED_USER",
    }
    assert read(with_panes(SHARE, pane)).layout == ScreenShareLayout(
        Side.RIGHT, StagePolicy.FIXED_USER, UserId("user1"), Source.CAMERA
    )


def test_the_custom_layout_of_the_api_pages() -> None:
    panes = [
        {
            "id": 1,
            "user_id": "user1",
            "video_type": "CAMERASTREAM",
            "x": 0,
            "y": 0,
            "width": 0.666,
            "height": 0.333,
            "crop_mode": "KEEP_RATIO_CROP",
        },
        {
            "id": 2,
            "user_id": "user2",
            "video_type": "CAMERASTREAM",
            "x": 0.666,
            "y": 0,
            "width": 0.333,
            "height": 0.666,
            "crop_mode": "KEEP_RATIO_CROP",
        },
    ]
    assert read(with_panes(CUSTOM, *panes)).layout == CustomLayout(
        (
            Pane(1, UserId("user1"), Source.CAMERA, 0, 0, 0.666, 0.333, 0, Fit.COVER),
            Pane(2, UserId("user2"), Source.CAMERA, 0.666, 0, 0.333, 0.666, 0, Fit.COVER),
        )
    )


# --- what the API leaves open ---------------------------------------------------------------


def test_both_spellings_of_a_template_mean_the_same() -> None:
    assert read(GALLERY | {"encode_template": "1280*720_15_2260"}).template == TEMPLATE


def test_audio_only_ignores_everything_of_the_layout() -> None:
    audio = CUSTOM | {
        "encode_template": "audio_only",
        "background_image": "nonsense",
        "layout_panes": [{}],
        "max_idle_time": 60,
    }
    assert read(audio) == MixSpec("room001", None, GalleryLayout(), Backgrounds(), 60)


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [({}, 30), ({"max_idle_time": None}, 30), ({"max_idle_time": 0}, 30)]
    + [({"max_idle_time": value}, value) for value in (5, 6, 43_199, 43_200)],
)
def test_the_idle_time_is_30_s_unless_asked_otherwise(asked: Fields, seconds: int) -> None:
    mix = {key: value for key, value in GALLERY.items() if key != "max_idle_time"}
    assert read(mix | asked).max_idle_s == seconds


@pytest.mark.parametrize(
    ("pane", "layout"),
    [
        ({"filling_policy": "SHARED_SCREEN"}, (StagePolicy.SHARED_SCREEN, None, Source.SCREEN)),
        ({"video_type": "CAMERASTREAM"}, (StagePolicy.SHARED_SCREEN, None, Source.SCREEN)),
        ({"user_id": "ann"}, (StagePolicy.FIXED_USER, "ann", Source.CAMERA)),
        (
            {"user_id": "ann", "video_type": "SCREENSTREAM"},
            (StagePolicy.FIXED_USER, "ann", Source.SCREEN),
        ),
        (
            {"user_id": "ann", "filling_policy": "SHARED_SCREEN"},
            (StagePolicy.SHARED_SCREEN, "ann", Source.SCREEN),
        ),
        ({}, (StagePolicy.SHARED_SCREEN, None, Source.SCREEN)),
    ],
)
def test_the_stage_without_a_policy_follows_its_user_id(
    pane: Fields, layout: tuple[StagePolicy, UserId | None, Source]
) -> None:
    assert read(with_panes(SHARE, pane)).layout == ScreenShareLayout(Side.RIGHT, *layout)


@pytest.mark.parametrize("panes", [{}, {"layout_panes": []}, {"layout_panes": None}])
@pytest.mark.parametrize("side", Side)
def test_a_screen_share_without_panes_shows_any_share(panes: Fields, side: Side) -> None:
    mix = GALLERY | {"layout_template": f"screen_share_{side.value}"} | panes
    assert read(mix).layout == ScreenShareLayout(side)


def test_the_pane_with_a_policy_is_the_stage_wherever_it_stands() -> None:
    stage = {"user_id": "bob", "filling_policy": "FIXED_USER"}
    layout = read(with_panes(SHARE, {"user_id": "ann"}, stage)).layout
    assert layout == ScreenShareLayout(
        Side.RIGHT, StagePolicy.FIXED_USER, UserId("bob"), Source.CAMERA
    )


def test_panes_mean_nothing_in_a_gallery() -> None:
    assert read(with_panes(GALLERY, {}, {})).layout == GalleryLayout()


def test_a_custom_pane_has_defaults_for_what_is_left_out_or_null() -> None:
    nothing = dict.fromkeys(("id", "video_type", "zorder", "crop_mode", "filling_policy"))
    for pane in (ANN_PANE, ANN_PANE | nothing):
        layout = read(with_panes(CUSTOM, pane)).layout
        assert layout == CustomLayout(
            (Pane(1, UserId("ann"), Source.CAMERA, 0, 0, 0.5, 0.5, 0, Fit.COVER),)
        )


def test_a_custom_pane_says_everything() -> None:
    pane = {
        "id": 2**31 - 1,
        "user_id": 7,
        "video_type": "SCREENSTREAM",
        "x": 0.999,
        "y": -0.0,
        "width": 0.002,
        "height": 1.0,
        "zorder": 24,
        "crop_mode": "KEEP_RATIO_PADDING",
    }
    layout = read(with_panes(CUSTOM, pane)).layout
    assert layout == CustomLayout(
        (Pane(2**31 - 1, UserId("7"), Source.SCREEN, 0.999, 0, 0.002, 1, 24, Fit.CONTAIN),)
    )


def test_images_are_read_and_of_two_for_one_user_the_last_counts() -> None:
    mix = GALLERY | {
        "background_image": "s3://images/canvas.png",
        "screen_background_image": "",
        "default_user_background_image": "file:///srv/user.png",
        "user_background_images": [
            {"user_id": "ann", "image_uri": "s3://images/1.png"},
            {"user_id": 5, "image_uri": "s3://images/5.png"},
            {"user_id": "ann", "image_uri": "s3://images/2.png"},
        ],
    }
    assert read(mix).backgrounds == Backgrounds(
        canvas=ImageRef("s3://images/canvas.png"),
        stage=None,
        default_user=ImageRef("file:///srv/user.png"),
        users={
            UserId("ann"): ImageRef("s3://images/2.png"),
            UserId("5"): ImageRef("s3://images/5.png"),
        },
    )


@pytest.mark.parametrize(
    ("written", "read_as"), [("a" * 64, "a" * 64), ("a-B_9", "a-B_9"), (42, "42")]
)
def test_an_id_may_be_written_as_a_number(written: object, read_as: str) -> None:
    assert read(GALLERY | {"room_id": written}).room_id == read_as


# --- bad input ------------------------------------------------------------------------------

ID_RULE = "must match ^[A-Za-z0-9_-]{1,64}$"
NO_IMAGE = "must be s3://bucket/object or file:///path"

BAD_FIELDS = [
    ({"room_id": None}, "room_id: must be text"),
    ({"room_id": ""}, f"room_id: {ID_RULE}"),
    ({"room_id": "a" * 65}, f"room_id: {ID_RULE}"),
    ({"room_id": "a b"}, f"room_id: {ID_RULE}"),
    ({"room_id": "a/b"}, f"room_id: {ID_RULE}"),
    ({"room_id": ".."}, f"room_id: {ID_RULE}"),
    ({"room_id": "房间"}, f"room_id: {ID_RULE}"),
    ({"room_id": "a\n"}, f"room_id: {ID_RULE}"),
    ({"room_id": "a\u202e"}, f"room_id: {ID_RULE}"),
    ({"room_id": "a\0"}, "room_id: has characters that are not text"),
    ({"room_id": True}, "room_id: must be text"),
    ({"room_id": 1.5}, "room_id: must be text"),
    ({"room_id": ["a"]}, "room_id: must be text"),
    ({"encode_template": None}, "encode_template: must be text"),
    ({"encode_template": "1280x720_15_2261"}, "encode_template: is not an encode template"),
    ({"encode_template": "Audio_only"}, "encode_template: is not an encode template"),
    ({"max_idle_time": 4}, "max_idle_time: 4 is below 5"),
    ({"max_idle_time": -1}, "max_idle_time: -1 is below 5"),
    ({"max_idle_time": 43_201}, "max_idle_time: 43201 is above 43200"),
    ({"max_idle_time": True}, "max_idle_time: must be a whole number"),
    ({"max_idle_time": False}, "max_idle_time: must be a whole number"),
    ({"max_idle_time": "30"}, "max_idle_time: must be a whole number"),
    ({"max_idle_time": 30.5}, "max_idle_time: must be a whole number"),
    ({"max_idle_time": 0.0}, "max_idle_time: must be a whole number"),
    ({"layout_template": None}, "layout_template: is missing"),
    (
        {"layout_template": "Nine_grids_view"},
        "layout_template: must be 'nine_grids_view', 'screen_share_left', "
        "'screen_share_right' or 'custom'",
    ),
    ({"layout_template": 9}, "layout_template: must be 'nine_grids_view', "),
    ({"background_image": "http://host/a.png"}, f"background_image: {NO_IMAGE}"),
    ({"screen_background_image": "a.png"}, f"screen_background_image: {NO_IMAGE}"),
    ({"default_user_background_image": "s3://"}, "default_user_background_image: has no valid"),
    ({"background_image": 5}, "background_image: must be text"),
    (
        {"user_background_images": [{"user_id": "a", "image_uri": "x"}]},
        f"user_background_images[0].image_uri: {NO_IMAGE}",
    ),
    (
        {"user_background_images": [{"user_id": "a"}]},
        "user_background_images[0].image_uri: is missing",
    ),
    (
        {"user_background_images": [{"user_id": "", "image_uri": "s3://bkt/x"}]},
        f"user_background_images[0].user_id: {ID_RULE}",
    ),
    (
        {"user_background_images": [{"user_id": "a", "image_uri": "s3://bkt/x"}] * 26},
        "user_background_images: has 26 entries, more than 25",
    ),
    ({"user_background_images": {}}, "user_background_images: must be a list"),
    ({"layout_panes": {}}, "layout_panes: must be a list"),
    ({"layout_panes": [None]}, "layout_panes[0]: must be an object"),
    ({"layout_panes": [{}] * 26}, "layout_panes: has 26 entries, more than 25"),
    ({"layout": "x"}, "layout: is not a known key"),
    ({"record_param": {}}, "record_param: is not a known key"),
]


@pytest.mark.parametrize(("change", "complaint"), BAD_FIELDS)
def test_a_bad_field_is_refused_with_its_path(change: Fields, complaint: str) -> None:
    with pytest.raises(InvalidField) as refused:
        read(GALLERY | change)
    assert str(refused.value).startswith(f"mix_param.{complaint}")


BAD_PANE_FIELDS = [
    ({"id": 0}, "id: 0 is below 1"),
    ({"id": -1}, "id: -1 is below 1"),
    ({"id": 2**31}, "id: 2147483648 is above 2147483647"),
    ({"id": 1.5}, "id: must be a whole number"),
    ({"id": "1"}, "id: must be a whole number"),
    ({"user_id": ""}, "user_id: is missing"),
    ({"user_id": None}, "user_id: is missing"),
    ({"user_id": "a b"}, "user_id: must match ^[A-Za-z0-9_-]{0,64}$"),
    ({"x": -0.01}, "x: -0.01 is below 0"),
    ({"x": 1.01}, "x: 1.01 is above 1"),
    ({"x": "0.5"}, "x: must be a number"),
    ({"x": True}, "x: must be a number"),
    ({"x": None}, "x: is missing"),
    ({"y": -0.01}, "y: -0.01 is below 0"),
    ({"y": None}, "y: is missing"),
    ({"width": 0}, "width: 0 is not above 0"),
    ({"width": -1}, "width: -1 is not above 0"),
    ({"width": 1.01}, "width: 1.01 is above 1"),
    ({"width": None}, "width: is missing"),
    ({"width": 1e-9}, "width: 1e-09 is less than 2 px of the canvas"),
    ({"height": None}, "height: is missing"),
    ({"height": 0.0027}, "height: 0.0027 is less than 2 px of the canvas"),
    ({"x": 0.51, "width": 0.5}, "width: 0.5 from 0.51 ends outside the canvas"),
    ({"y": 1, "height": 0.5}, "height: 0.5 from 1.0 ends outside the canvas"),
    ({"zorder": -1}, "zorder: -1 is below 0"),
    ({"zorder": 25}, "zorder: 25 is above 24"),
    ({"zorder": 31}, "zorder: 31 is above 24"),
    ({"zorder": 1.0}, "zorder: must be a whole number"),
    ({"crop_mode": "keep_ratio_crop"}, "crop_mode: must be 'KEEP_RATIO_PADDING' or "),
    ({"video_type": "CAMERA"}, "video_type: must be 'CAMERASTREAM' or 'SCREENSTREAM'"),
    ({"filling_policy": ""}, "filling_policy: must be 'FIXED_USER' or 'SHARED_SCREEN'"),
    ({"z_order": 1}, "z_order: is not a known key"),
]


@pytest.mark.parametrize(("change", "complaint"), BAD_PANE_FIELDS)
def test_a_bad_field_of_a_pane_is_refused_with_its_path(change: Fields, complaint: str) -> None:
    bob = ANN_PANE | {"user_id": "bob", "id": 10}
    cid = ANN_PANE | {"user_id": "cid", "id": 11}
    with pytest.raises(InvalidField) as refused:
        read(with_panes(CUSTOM, bob, cid, ANN_PANE | change))
    assert str(refused.value).startswith(f"mix_param.layout_panes[2].{complaint}")


@pytest.mark.parametrize(("x", "width"), [(0.5, 0.5), (0.501, 0.5), (0, 1), (0.667, 0.3335)])
def test_a_pane_may_end_a_thousandth_outside_the_canvas(x: float, width: float) -> None:
    read(with_panes(CUSTOM, ANN_PANE | {"x": x, "width": width}))


def test_a_pane_may_be_as_small_as_2_px() -> None:
    read(with_panes(CUSTOM, ANN_PANE | {"width": 2 / 1280, "height": 2 / 720}))


BAD_PANES = [
    (with_panes(CUSTOM), "layout_panes: is missing, the custom layout needs at least one pane"),
    (CUSTOM | {"layout_panes": None}, "layout_panes: is missing, "),
    (
        with_panes(CUSTOM, ANN_PANE | {"id": 2}, ANN_PANE | {"user_id": "bob"}),
        "layout_panes[1].id: 2 is used twice",
    ),
    (
        with_panes(CUSTOM, ANN_PANE | {"id": 5}, ANN_PANE),
        "layout_panes[1]: has the user and video type of pane 5",
    ),
    (with_panes(SHARE, *[{}] * 18), "layout_panes: has 18 entries, more than 17"),
    (
        with_panes(SHARE, {}, {"filling_policy": "FIXED_USER", "user_id": ""}),
        "layout_panes[1].user_id: is missing, FIXED_USER needs it",
    ),
    (
        with_panes(SHARE, *[{"filling_policy": "SHARED_SCREEN"}] * 2),
        "layout_panes[1].filling_policy: there is only one stage",
    ),
]


@pytest.mark.parametrize(("mix", "complaint"), BAD_PANES)
def test_panes_that_do_not_fit_together_are_refused(mix: Fields, complaint: str) -> None:
    with pytest.raises(InvalidField) as refused:
        read(mix)
    assert str(refused.value).startswith(f"mix_param.{complaint}")


def test_the_same_user_may_be_seen_with_camera_and_screen() -> None:
    layout = read(with_panes(CUSTOM, ANN_PANE, ANN_PANE | {"video_type": "SCREENSTREAM"})).layout
    assert isinstance(layout, CustomLayout)
    assert [pane.source for pane in layout.panes] == [Source.CAMERA, Source.SCREEN]


@pytest.mark.parametrize("key", ["room_id", "encode_template", "layout_template"])
def test_what_is_needed_must_be_there(key: str) -> None:
    with pytest.raises(InvalidField, match=f"^mix_param.{key}: is missing$"):
        read({name: value for name, value in GALLERY.items() if name != key})


@pytest.mark.parametrize("mix", [None, [], "x", 1])
def test_mix_param_must_be_an_object(mix: object) -> None:
    with pytest.raises(InvalidField, match="^mix_param: must be an object$"):
        read(mix)
