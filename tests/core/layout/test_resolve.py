from collections.abc import Sequence

import pytest

from worker.core.identity import Kind, Participant, ParticipantId, Source, Track, TrackId, UserId
from worker.core.layout.geometry import Fit, Rect, Size
from worker.core.layout.resolve import resolve
from worker.core.layout.scene import Scene, Tile
from worker.core.roster import Roster
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

CANVAS = Size(1280, 720)
WHOLE = Rect(0, 0, 1280, 720)
STAGE_LEFT = Rect(0, 0, 960, 720)
ANN, BOB, CID = UserId("ann"), UserId("bob"), UserId("cid")
CANVAS_IMAGE = ImageRef("s3://images/canvas.png")
STAGE_IMAGE = ImageRef("s3://images/stage.png")
ANY_USER_IMAGE = ImageRef("s3://images/anybody.png")
BOB_IMAGE = ImageRef("s3://images/bob.png")
IMAGES = Backgrounds(CANVAS_IMAGE, STAGE_IMAGE, ANY_USER_IMAGE, {BOB: BOB_IMAGE})


def camera_of(user: str) -> TrackId:
    return TrackId(f"{user}-camera")


def screen_of(user: str) -> TrackId:
    return TrackId(f"{user}-screen")


def publish(roster: Roster, user: str, source: Source) -> None:
    kind = Kind.AUDIO if source is Source.MICROPHONE else Kind.VIDEO
    track_id = TrackId(f"{user}-{source.value}")
    roster.publish(Track(track_id, ParticipantId(user), kind, source))


def room_of(*users: str, source: Source = Source.CAMERA) -> Roster:
    """Everybody has joined and publishes *source*; display names are in capitals."""
    roster = Roster()
    for user in users:
        roster.join(Participant(ParticipantId(user), UserId(user), user.upper()))
        publish(roster, user, source)
    return roster


def scene_of(
    layout: Layout, roster: Roster, backgrounds: Backgrounds | None = None, canvas: Size = CANVAS
) -> Scene:
    mix = MixSpec("room", parse_template("1280x720_30_1710"), layout, backgrounds or Backgrounds())
    return resolve(mix, roster, canvas)


def who(tiles: Sequence[Tile]) -> list[UserId | None]:
    return [tile.user_id for tile in tiles]


# --- gallery --------------------------------------------------------------------------------


def test_an_empty_room_shows_the_background_of_the_canvas() -> None:
    assert scene_of(GalleryLayout(), Roster(), IMAGES) == Scene(CANVAS, CANVAS_IMAGE, ())
    assert scene_of(GalleryLayout(), Roster()) == Scene(CANVAS, None, ())


def test_a_gallery_tile_shows_the_camera_cropped_to_it() -> None:
    scene = scene_of(GalleryLayout(), room_of("ann", "bob"))
    assert scene.tiles == (
        Tile(Rect(0, 0, 640, 720), Fit.COVER, ANN, camera_of("ann"), None, "ANN"),
        Tile(Rect(640, 0, 640, 720), Fit.COVER, BOB, camera_of("bob"), None, "BOB"),
    )


def test_a_user_with_audio_only_owns_a_tile_with_an_image_or_a_name() -> None:
    roster = room_of("ann", "bob", source=Source.MICROPHONE)
    ann, bob = scene_of(GalleryLayout(), roster, IMAGES).tiles
    assert (ann.track_id, ann.image, ann.label) == (None, ANY_USER_IMAGE, "ANN")
    assert (bob.track_id, bob.image, bob.label) == (None, BOB_IMAGE, "BOB")


def test_an_empty_slot_of_the_gallery_has_no_tile() -> None:
    roster = room_of("ann", "bob", "cid", "dan")
    roster.leave(ParticipantId("bob"))
    scene = scene_of(GalleryLayout(), roster)
    assert {tile.user_id: tile.rect for tile in scene.tiles} == {
        ANN: Rect(0, 0, 640, 360),
        CID: Rect(0, 360, 640, 360),
        UserId("dan"): Rect(640, 360, 640, 360),
    }


def test_a_shared_screen_is_not_in_the_gallery() -> None:
    roster = room_of("ann", source=Source.SCREEN)
    (tile,) = scene_of(GalleryLayout(), roster).tiles
    assert (tile.user_id, tile.track_id) == (ANN, None)


def test_the_gallery_shows_25_of_26() -> None:
    users = [f"u{number:02}" for number in range(26)]
    scene = scene_of(GalleryLayout(), room_of(*users), canvas=Size(1920, 1080))
    assert who(scene.tiles) == users[:25]


# --- screen share ---------------------------------------------------------------------------


def test_the_newest_share_is_on_the_stage_and_the_sharers_camera_in_the_strip() -> None:
    roster = room_of("ann", "bob")
    publish(roster, "bob", Source.SCREEN)
    scene = scene_of(ScreenShareLayout(Side.LEFT), roster, IMAGES)
    assert scene == Scene(
        CANVAS,
        CANVAS_IMAGE,
        (
            Tile(STAGE_LEFT, Fit.CONTAIN, BOB, screen_of("bob"), STAGE_IMAGE, "BOB"),
            Tile(Rect(960, 0, 320, 180), Fit.COVER, ANN, camera_of("ann"), ANY_USER_IMAGE, "ANN"),
            Tile(Rect(960, 180, 320, 180), Fit.COVER, BOB, camera_of("bob"), BOB_IMAGE, "BOB"),
        ),
    )


@pytest.mark.parametrize("backgrounds", [IMAGES, Backgrounds()])
def test_nobody_on_the_stage_leaves_its_image_or_plain_colour(backgrounds: Backgrounds) -> None:
    scene = scene_of(ScreenShareLayout(Side.RIGHT), room_of("ann"), backgrounds)
    stage, _ = scene.tiles
    assert stage == Tile(
        Rect(320, 0, 960, 720), Fit.CONTAIN, None, None, backgrounds.stage, "", opaque=True
    )


def test_the_stage_of_an_empty_room_is_the_whole_canvas() -> None:
    scene = scene_of(ScreenShareLayout(Side.RIGHT), Roster(), IMAGES)
    assert scene.tiles == (Tile(WHOLE, Fit.CONTAIN, None, None, STAGE_IMAGE, ""),)


def test_the_strip_stands_in_join_order_and_takes_sixteen() -> None:
    users = [f"u{number:02}" for number in range(18)]
    stage, *strip = scene_of(ScreenShareLayout(Side.LEFT), room_of(*users)).tiles
    assert stage.rect == STAGE_LEFT
    assert who(strip) == users[:16]
    assert strip[0].rect == Rect(960, 0, 160, 90)
    assert strip[15].rect == Rect(1120, 630, 160, 90)


def test_a_pinned_sharer_is_shown_whoever_else_shares() -> None:
    roster = room_of("ann", "bob")
    publish(roster, "ann", Source.SCREEN)
    publish(roster, "bob", Source.SCREEN)
    layout = ScreenShareLayout(Side.LEFT, StagePolicy.SHARED_SCREEN, ANN)
    assert scene_of(layout, roster).tiles[0].track_id == screen_of("ann")
    roster.unpublish(screen_of("ann"))
    stage, *strip = scene_of(layout, roster).tiles
    assert (stage.user_id, stage.track_id, stage.label) == (None, None, "")
    assert who(strip) == [ANN, BOB]


def test_who_is_on_the_stage_with_the_camera_is_not_in_the_strip() -> None:
    layout = ScreenShareLayout(Side.LEFT, StagePolicy.FIXED_USER, BOB, Source.CAMERA)
    stage, *strip = scene_of(layout, room_of("ann", "bob", "cid"), IMAGES).tiles
    assert stage == Tile(STAGE_LEFT, Fit.CONTAIN, BOB, camera_of("bob"), STAGE_IMAGE, "BOB")
    assert who(strip) == [ANN, CID]


def test_alone_on_the_stage_a_fixed_user_has_the_whole_canvas() -> None:
    layout = ScreenShareLayout(Side.LEFT, StagePolicy.FIXED_USER, ANN, Source.CAMERA)
    (stage,) = scene_of(layout, room_of("ann")).tiles
    assert stage == Tile(WHOLE, Fit.CONTAIN, ANN, camera_of("ann"), None, "ANN")


@pytest.mark.parametrize(
    ("backgrounds", "image"),
    [
        (IMAGES, STAGE_IMAGE),
        (Backgrounds(users={BOB: BOB_IMAGE}), BOB_IMAGE),
        (Backgrounds(), None),
    ],
)
def test_a_fixed_user_with_audio_only_holds_the_stage(
    backgrounds: Backgrounds, image: ImageRef | None
) -> None:
    layout = ScreenShareLayout(Side.LEFT, StagePolicy.FIXED_USER, BOB, Source.CAMERA)
    roster = room_of("ann", "bob", source=Source.MICROPHONE)
    stage, *strip = scene_of(layout, roster, backgrounds).tiles
    assert stage == Tile(STAGE_LEFT, Fit.CONTAIN, BOB, None, image, "BOB")
    assert who(strip) == [ANN]


def test_a_fixed_user_who_is_not_there_leaves_the_stage_empty() -> None:
    layout = ScreenShareLayout(Side.LEFT, StagePolicy.FIXED_USER, CID, Source.CAMERA)
    stage, *strip = scene_of(layout, room_of("ann", "bob")).tiles
    assert (stage.user_id, stage.label) == (None, "")
    assert who(strip) == [ANN, BOB]


def test_a_fixed_users_screen_leaves_the_camera_in_the_strip() -> None:
    layout = ScreenShareLayout(Side.LEFT, StagePolicy.FIXED_USER, ANN, Source.SCREEN)
    roster = room_of("ann", "bob")
    publish(roster, "bob", Source.SCREEN)
    assert scene_of(layout, roster).tiles[0].user_id is None
    publish(roster, "ann", Source.SCREEN)
    stage, *strip = scene_of(layout, roster).tiles
    assert (stage.user_id, stage.track_id) == (ANN, screen_of("ann"))
    assert who(strip) == [ANN, BOB]


def test_a_fixed_policy_without_a_user_shows_no_share() -> None:
    roster = room_of("ann", source=Source.SCREEN)
    layout = ScreenShareLayout(Side.LEFT, StagePolicy.FIXED_USER)
    assert scene_of(layout, roster).tiles[0].track_id is None


# --- custom ---------------------------------------------------------------------------------


def pane(
    user: str,
    source: Source = Source.CAMERA,
    *,
    zorder: int = 0,
    width: float = 0.5,
    fit: Fit = Fit.COVER,
) -> Pane:
    return Pane(1, UserId(user), source, 0, 0, width, 0.5, zorder, fit)


def test_panes_are_painted_in_zorder_with_their_own_fit() -> None:
    layout = CustomLayout(
        (
            pane("ann", zorder=3, fit=Fit.CONTAIN),
            pane("bob", zorder=1, width=1),
            pane("ann", Source.SCREEN, zorder=3),
        )
    )
    roster = room_of("ann", "bob")
    publish(roster, "ann", Source.SCREEN)
    half = Rect(0, 0, 640, 360)
    assert scene_of(layout, roster, IMAGES).tiles == (
        Tile(Rect(0, 0, 1280, 360), Fit.COVER, BOB, camera_of("bob"), BOB_IMAGE, "BOB"),
        Tile(half, Fit.CONTAIN, ANN, camera_of("ann"), ANY_USER_IMAGE, "ANN"),
        Tile(half, Fit.COVER, ANN, screen_of("ann"), ANY_USER_IMAGE, "ANN"),
    )


def test_an_absent_user_lets_the_background_of_the_canvas_through() -> None:
    layout = CustomLayout((pane("ann"), pane("bob")))
    assert who(scene_of(layout, room_of("ann"), IMAGES).tiles) == [ANN]


def test_a_present_user_without_that_video_has_an_image_or_a_name() -> None:
    layout = CustomLayout((pane("ann", Source.SCREEN), pane("bob", Source.SCREEN)))
    ann, bob = scene_of(layout, room_of("ann", "bob"), IMAGES).tiles
    assert (ann.track_id, ann.image, ann.label) == (None, ANY_USER_IMAGE, "ANN")
    assert (bob.track_id, bob.image, bob.label) == (None, BOB_IMAGE, "BOB")
    assert scene_of(layout, room_of("ann")).tiles[0].image is None


def test_a_muted_camera_is_a_tile_without_video() -> None:
    roster = room_of("ann")
    roster.mute(camera_of("ann"), True)
    (tile,) = scene_of(CustomLayout((pane("ann"),)), roster).tiles
    assert (tile.track_id, tile.label) == (None, "ANN")
