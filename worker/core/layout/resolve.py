"""Which tiles a layout has for one roster, and what fills each of them."""

from worker.core.identity import Source, TrackId, UserId
from worker.core.layout.custom import painting_order, pane_rect
from worker.core.layout.gallery import grid_for, grid_tiles
from worker.core.layout.geometry import Fit, Rect, Size
from worker.core.layout.scene import Scene, Tile
from worker.core.layout.screenshare import MAX_STRIP_USERS, stage_and_strip
from worker.core.roster import Roster
from worker.core.spec import (
    Backgrounds,
    CustomLayout,
    GalleryLayout,
    MixSpec,
    ScreenShareLayout,
    StagePolicy,
)


def resolve(mix: MixSpec, roster: Roster, canvas: Size) -> Scene:
    """The scene that *mix* asks for while *roster* is in the room.

    Source of the rules: API reference section 6.2. *canvas* is even on both sides.
    """
    match mix.layout:
        case GalleryLayout():
            tiles = _gallery(mix.backgrounds, roster, canvas)
        case ScreenShareLayout():
            tiles = _screen_share(mix.layout, mix.backgrounds, roster, canvas)
        case CustomLayout():
            tiles = _custom(mix.layout, mix.backgrounds, roster, canvas)
    return Scene(canvas, mix.backgrounds.canvas, tuple(tiles))


def _gallery(backgrounds: Backgrounds, roster: Roster, canvas: Size) -> list[Tile]:
    slots = roster.gallery_slots()
    grid = grid_for(len(slots) - slots.count(None))
    return [
        _user_tile(rect, user_id, Source.CAMERA, Fit.COVER, backgrounds, roster)
        for user_id, rect in zip(slots, grid_tiles(canvas, grid), strict=True)
        if user_id is not None
    ]


def _screen_share(
    layout: ScreenShareLayout, backgrounds: Backgrounds, roster: Roster, canvas: Size
) -> list[Tile]:
    user_id, track_id = _on_stage(layout, roster)
    strip_users = [
        user
        for user in roster.users()
        # With the camera on the stage there is nothing left of a user for the strip.
        if user != user_id or _stage_source(layout) is Source.SCREEN
    ][:MAX_STRIP_USERS]
    stage, strip = stage_and_strip(canvas, layout.side, len(strip_users))
    return [
        _stage_tile(stage, user_id, track_id, backgrounds, roster),
        *(
            _user_tile(rect, user, Source.CAMERA, Fit.COVER, backgrounds, roster)
            for user, rect in zip(strip_users, strip, strict=True)
        ),
    ]


def _stage_tile(
    rect: Rect,
    user_id: UserId | None,
    track_id: TrackId | None,
    backgrounds: Backgrounds,
    roster: Roster,
) -> Tile:
    if user_id is None:
        return Tile(rect, Fit.CONTAIN, None, None, image=backgrounds.stage, label="")
    return Tile(
        rect=rect,
        fit=Fit.CONTAIN,
        user_id=user_id,
        track_id=track_id,
        image=backgrounds.stage or backgrounds.for_user(user_id),
        label=roster.label(user_id),
    )


def _stage_source(layout: ScreenShareLayout) -> Source:
    return Source.SCREEN if layout.policy is StagePolicy.SHARED_SCREEN else layout.source


def _on_stage(layout: ScreenShareLayout, roster: Roster) -> tuple[UserId | None, TrackId | None]:
    """Who is on the stage, and with which track.

    Whoever is there without a screen to show leaves the stage empty, as the strip has a tile for
    that user; who belongs there with the camera is there without one too (audio only).
    """
    if layout.user_id is None:
        share = roster.screen_share() if layout.policy is StagePolicy.SHARED_SCREEN else None
        return (share.user_id, share.track_id) if share is not None else (None, None)
    source = _stage_source(layout)
    track_id = roster.video(layout.user_id, source)
    if track_id is None and (source is Source.SCREEN or not roster.is_shown(layout.user_id)):
        return None, None
    return layout.user_id, track_id


def _custom(
    layout: CustomLayout, backgrounds: Backgrounds, roster: Roster, canvas: Size
) -> list[Tile]:
    return [
        _user_tile(
            pane_rect(pane, canvas), pane.user_id, pane.source, pane.fit, backgrounds, roster
        )
        for pane in painting_order(layout.panes)
        if roster.is_shown(pane.user_id)
    ]


def _user_tile(
    rect: Rect,
    user_id: UserId,
    source: Source,
    fit: Fit,
    backgrounds: Backgrounds,
    roster: Roster,
) -> Tile:
    return Tile(
        rect=rect,
        fit=fit,
        user_id=user_id,
        track_id=roster.video(user_id, source),
        image=backgrounds.for_user(user_id),
        label=roster.label(user_id),
    )
